//! AVX2 with FMA and F16C, with or without the VNNI dot product: two registers for each vector,
//! rows 0..8 and 8..16.

use super::Simd;
use std::arch::x86_64::*;

/// Needs `avx2`, `fma` and `f16c`; with `VNNI` also `avxvnni`.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx2<const VNNI: bool>;

macro_rules! op {
    ($($name:ident $(<const $flag:ident: bool>)? ($($a:ident: $t:ty),*) $(-> $r:ty)? { $e:expr })*) => {$(
        #[inline(always)]
        unsafe fn $name $(<const $flag: bool>)? ($($a: $t),*) $(-> $r)? {
            // SAFETY: the caller has checked the instructions and the pointers.
            unsafe { $e }
        }
    )*};
}

type Floats = [__m256; 2];
type Ints = [__m256i; 2];

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    type Floats = Floats;
    type Ints = Ints;
    type Bytes = Ints;

    op! {
        zero() -> Floats { [_mm256_setzero_ps(); 2] }
        load(at: *const f32) -> Floats { [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))] }
        store(at: *mut f32, v: Floats) {{
            _mm256_storeu_ps(at, v[0]);
            _mm256_storeu_ps(at.add(8), v[1]);
        }}
        splat(at: *const f32) -> Floats { [_mm256_set1_ps(at.read_unaligned()); 2] }
        add(a: Floats, b: Floats) -> Floats { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
        mul(a: Floats, b: Floats) -> Floats { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
        fma(a: Floats, b: Floats, c: Floats) -> Floats {
            [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])]
        }
        half(at: *const u8) -> Floats {
            [_mm256_cvtph_ps(_mm_loadu_si128(at.cast())), _mm256_cvtph_ps(_mm_loadu_si128(at.add(16).cast()))]
        }
        bfloat(at: *const u8) -> Floats { [bfloat8(at), bfloat8(at.add(16))] }
        unsigned(at: *const u8) -> Floats {
            [_mm256_cvtepi32_ps(wide(at)), _mm256_cvtepi32_ps(wide(at.add(8)))]
        }
        signed(at: *const u8) -> Floats {
            [
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at.cast()))),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at.add(8).cast()))),
            ]
        }
        low_nibbles(at: *const u8) -> Floats {{
            let mask = _mm256_set1_epi32(15);
            [
                _mm256_cvtepi32_ps(_mm256_and_si256(wide(at), mask)),
                _mm256_cvtepi32_ps(_mm256_and_si256(wide(at.add(8)), mask)),
            ]
        }}
        high_nibbles(at: *const u8) -> Floats {
            [
                _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(wide(at))),
                _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(wide(at.add(8)))),
            ]
        }
        bytes(at: *const u8) -> Ints {
            [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(32).cast())]
        }
        put_bytes(at: *mut u8, v: Ints) {{
            _mm256_storeu_si256(at.cast(), v[0]);
            _mm256_storeu_si256(at.add(32).cast(), v[1]);
        }}
        and(a: Ints, mask: u8) -> Ints {{
            let mask = _mm256_set1_epi8(mask.cast_signed());
            [_mm256_and_si256(a[0], mask), _mm256_and_si256(a[1], mask)]
        }}
        and_or(a: Ints, mask: u8, b: Ints) -> Ints {{
            let mask = _mm256_set1_epi8(mask.cast_signed());
            [
                _mm256_or_si256(_mm256_and_si256(a[0], mask), b[0]),
                _mm256_or_si256(_mm256_and_si256(a[1], mask), b[1]),
            ]
        }}
        right(a: Ints, n: u32) -> Ints {{
            let n = _mm_cvtsi32_si128(n.cast_signed());
            [_mm256_srl_epi16(a[0], n), _mm256_srl_epi16(a[1], n)]
        }}
        left(a: Ints, n: u32) -> Ints {{
            let n = _mm_cvtsi32_si128(n.cast_signed());
            [_mm256_sll_epi16(a[0], n), _mm256_sll_epi16(a[1], n)]
        }}
        look_up(table: &[u8; 16], i: Ints) -> Ints {{
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            [_mm256_shuffle_epi8(table, i[0]), _mm256_shuffle_epi8(table, i[1])]
        }}
        start<const WIDE: bool>(nsum: *const i32, shift: u32) -> Ints {
            // Without VNNI, wide weights are brought back to signed numbers before the product.
            if WIDE && !VNNI {
                [_mm256_setzero_si256(); 2]
            } else {
                let nsum = _mm256_set1_epi32(nsum.read_unaligned());
                [_mm256_sll_epi32(nsum, _mm_cvtsi32_si128(shift.cast_signed())); 2]
            }
        }
        quad(at: *const i8) -> Ints { [_mm256_set1_epi32(at.cast::<i32>().read_unaligned()); 2] }
        dot<const WIDE: bool>(acc: Ints, w: Ints, x: Ints) -> Ints {
            [dot::<VNNI, WIDE>(acc[0], w[0], x[0]), dot::<VNNI, WIDE>(acc[1], w[1], x[1])]
        }
        float(v: Ints) -> Floats { [_mm256_cvtepi32_ps(v[0]), _mm256_cvtepi32_ps(v[1])] }
        prefetch(at: *const u8) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

/// Eight bytes as integers.
///
/// # Safety
/// The processor has the instructions named at [`Avx2`], and the bytes can be read.
#[inline(always)]
unsafe fn wide(at: *const u8) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(at.cast())) }
}

/// Eight bfloat16 numbers, widened.
///
/// # Safety
/// As [`wide`].
#[inline(always)]
unsafe fn bfloat8(at: *const u8) -> __m256 {
    // SAFETY: as promised by the caller.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(at.cast())))) }
}

/// Dot products of four bytes. The multiply-add of bytes saturates at 16 bits, which sums of two
/// products reach only with weights above 128; so wide weights enter as magnitudes, at most 128,
/// and their signs move to the activations.
///
/// # Safety
/// The processor has the instructions named at [`Avx2`].
#[inline(always)]
unsafe fn dot<const VNNI: bool, const WIDE: bool>(acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe {
        if VNNI {
            return _mm256_dpbusd_avx_epi32(acc, w, x);
        }
        let pairs = if WIDE {
            let w = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
            _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
        } else {
            _mm256_maddubs_epi16(w, x)
        };
        _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}
