//! AVX2, FMA and F16C: two registers.

use std::arch::x86_64::*;

use super::{Kernel, Lanes};

/// Needs `avx2`, `fma` and `f16c`.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

/// Lanes 0 to 7 and 8 to 15.
#[derive(Clone, Copy)]
pub(super) struct Two(__m256, __m256);

/// Adds lane i and i + 4, then i + 2, then i + 1.
#[inline(always)]
pub(super) unsafe fn sum8(a: __m256) -> f32 {
    // SAFETY: the caller has checked the instructions.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

/// The largest in the order of [`sum8`].
#[inline(always)]
pub(super) unsafe fn largest8(a: __m256) -> f32 {
    // SAFETY: the caller has checked the instructions.
    unsafe {
        let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
    }
}

/// Lane i of 8 has all bits set where `from <= i < to`.
#[inline(always)]
unsafe fn range8(from: i32, to: i32) -> __m256 {
    // SAFETY: the caller has checked the instructions.
    unsafe {
        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let below = _mm256_cmpgt_epi32(_mm256_set1_epi32(to), lane);
        _mm256_castsi256_ps(_mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(from), lane), below))
    }
}

/// `a * 2^n`: in two steps, since 2^n alone may exceed the exponent's range.
#[inline(always)]
unsafe fn scale8(a: __m256, n: __m256) -> __m256 {
    // SAFETY: the caller has checked the instructions.
    unsafe {
        let n = _mm256_cvtps_epi32(n);
        let first = _mm256_srai_epi32::<1>(n);
        let power = |n| _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127))));
        _mm256_mul_ps(_mm256_mul_ps(a, power(first)), power(_mm256_sub_epi32(n, first)))
    }
}

macro_rules! each {
    ($($name:ident($($a:ident: $t:ty),*) $(-> $r:ty)? { $e:expr })*) => {$(
        #[inline(always)]
        unsafe fn $name($($a: $t),*) $(-> $r)? {
            // SAFETY: the caller has checked the instructions and the pointers.
            unsafe { $e }
        }
    )*};
}

impl Lanes for Avx2 {
    type V = Two;
    const WIDE: bool = false;
    const ROWS: usize = 6;

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the caller has checked the instructions.
        unsafe { super::with_avx2(kernel) }
    }

    each! {
        splat(x: f32) -> Two { Two(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
        load(at: *const f32) -> Two { Two(_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))) }
        load_part(at: *const f32, count: usize) -> Two {{
            let count = count as i32;
            let mask = |m| _mm256_castps_si256(m);
            // Masked-off lanes are not read, so the pointer of the upper half need not be valid.
            Two(_mm256_maskload_ps(at, mask(range8(0, count))),
                _mm256_maskload_ps(at.wrapping_add(8), mask(range8(0, count - 8))))
        }}
        store(at: *mut f32, v: Two) {{
            _mm256_storeu_ps(at, v.0);
            _mm256_storeu_ps(at.add(8), v.1)
        }}
        store_part(at: *mut f32, count: usize, v: Two) {{
            let count = count as i32;
            _mm256_maskstore_ps(at, _mm256_castps_si256(range8(0, count)), v.0);
            _mm256_maskstore_ps(at.wrapping_add(8), _mm256_castps_si256(range8(0, count - 8)), v.1)
        }}
        load_half(at: *const u16) -> Two {
            Two(_mm256_cvtph_ps(_mm_loadu_si128(at.cast())), _mm256_cvtph_ps(_mm_loadu_si128(at.add(8).cast())))
        }
        store_half(at: *mut u16, v: Two) {{
            _mm_storeu_si128(at.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.0));
            _mm_storeu_si128(at.add(8).cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.1))
        }}
        load_bytes(at: *const i8) -> Two {{
            let bytes = _mm_loadu_si128(at.cast());
            Two(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes))))
        }}
        add(a: Two, b: Two) -> Two { Two(_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
        sub(a: Two, b: Two) -> Two { Two(_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
        mul(a: Two, b: Two) -> Two { Two(_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
        div(a: Two, b: Two) -> Two { Two(_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
        fma(a: Two, b: Two, c: Two) -> Two { Two(_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
        min(a: Two, b: Two) -> Two { Two(_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)) }
        max(a: Two, b: Two) -> Two { Two(_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
        round(a: Two) -> Two {{
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            Two(_mm256_round_ps::<NEAREST>(a.0), _mm256_round_ps::<NEAREST>(a.1))
        }}
        scale2(a: Two, n: Two) -> Two { Two(scale8(a.0, n.0), scale8(a.1, n.1)) }
        abs(a: Two) -> Two {{
            let sign = _mm256_set1_ps(-0.0);
            Two(_mm256_andnot_ps(sign, a.0), _mm256_andnot_ps(sign, a.1))
        }}
        with_sign(a: Two, sign: Two) -> Two {{
            let bit = _mm256_set1_ps(-0.0);
            Two(_mm256_or_ps(_mm256_andnot_ps(bit, a.0), _mm256_and_ps(bit, sign.0)),
                _mm256_or_ps(_mm256_andnot_ps(bit, a.1), _mm256_and_ps(bit, sign.1)))
        }}
        if_less(a: Two, b: Two, x: Two, y: Two) -> Two {
            Two(_mm256_blendv_ps(y.0, x.0, _mm256_cmp_ps::<_CMP_LT_OQ>(a.0, b.0)),
                _mm256_blendv_ps(y.1, x.1, _mm256_cmp_ps::<_CMP_LT_OQ>(a.1, b.1)))
        }
        within(from: usize, to: usize, x: Two, y: Two) -> Two {{
            let (from, to) = (from as i32, to as i32);
            Two(_mm256_blendv_ps(y.0, x.0, range8(from, to)), _mm256_blendv_ps(y.1, x.1, range8(from - 8, to - 8)))
        }}
        swap_pairs(a: Two) -> Two {
            Two(_mm256_permute_ps::<0b10_11_00_01>(a.0), _mm256_permute_ps::<0b10_11_00_01>(a.1))
        }
        sum(a: Two) -> f32 { sum8(_mm256_add_ps(a.0, a.1)) }
        largest(a: Two) -> f32 { largest8(_mm256_max_ps(a.0, a.1)) }
        prefetch(at: *const u8) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}
