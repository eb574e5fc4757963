//! AVX-512: one register.

use std::arch::x86_64::*;

use super::{Kernel, Lanes};

/// Needs `avx512f`, `avx512bw`, `avx512dq`, `avx512vl` and `avx2`.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

/// The lowest `count` bits.
#[inline(always)]
fn low(count: usize) -> u16 {
    ((1u32 << count) - 1) as u16
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

impl Lanes for Avx512 {
    type V = __m512;
    const WIDE: bool = true;
    const ROWS: usize = 6;

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: the caller has checked the instructions.
        unsafe { super::with_avx512(kernel) }
    }

    each! {
        splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
        load(at: *const f32) -> __m512 { _mm512_loadu_ps(at) }
        load_part(at: *const f32, count: usize) -> __m512 { _mm512_maskz_loadu_ps(low(count), at) }
        store(at: *mut f32, v: __m512) { _mm512_storeu_ps(at, v) }
        store_part(at: *mut f32, count: usize, v: __m512) { _mm512_mask_storeu_ps(at, low(count), v) }
        load_half(at: *const u16) -> __m512 { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) }
        store_half(at: *mut u16, v: __m512) {
            _mm256_storeu_si256(at.cast(), _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v))
        }
        load_bytes(at: *const i8) -> __m512 {
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at.cast())))
        }
        add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        round(a: __m512) -> __m512 {
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)
        }
        scale2(a: __m512, n: __m512) -> __m512 { _mm512_scalef_ps(a, n) }
        abs(a: __m512) -> __m512 { _mm512_abs_ps(a) }
        with_sign(a: __m512, sign: __m512) -> __m512 {
            // 0xca is the truth table of mask ? a : b.
            _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xca>(
                _mm512_set1_epi32(i32::MAX), _mm512_castps_si512(a), _mm512_castps_si512(sign)))
        }
        if_less(a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x)
        }
        within(from: usize, to: usize, x: __m512, y: __m512) -> __m512 {
            _mm512_mask_blend_ps(low(to) & !low(from), y, x)
        }
        swap_pairs(a: __m512) -> __m512 { _mm512_permute_ps::<0b10_11_00_01>(a) }
        sum(a: __m512) -> f32 {{
            let halves = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            super::avx2::sum8(halves)
        }}
        largest(a: __m512) -> f32 {{
            let halves = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            super::avx2::largest8(halves)
        }}
        prefetch(at: *const u8) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}
