//! AVX-512 F, BW and VNNI: one register for each vector.

use super::Simd;
use std::arch::x86_64::*;

/// Needs `avx512f`, `avx512bw` and `avx512vnni`.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx512;

macro_rules! op {
    ($($name:ident $(<const $flag:ident: bool>)? ($($a:ident: $t:ty),*) $(-> $r:ty)? { $e:expr })*) => {$(
        #[inline(always)]
        unsafe fn $name $(<const $flag: bool>)? ($($a: $t),*) $(-> $r)? {
            // SAFETY: the caller has checked the instructions and the pointers.
            unsafe { $e }
        }
    )*};
}

impl Simd for Avx512 {
    type Floats = __m512;
    type Ints = __m512i;
    type Bytes = __m512i;

    op! {
        zero() -> __m512 { _mm512_setzero_ps() }
        load(at: *const f32) -> __m512 { _mm512_loadu_ps(at) }
        store(at: *mut f32, v: __m512) { _mm512_storeu_ps(at, v) }
        splat(at: *const f32) -> __m512 { _mm512_set1_ps(at.read_unaligned()) }
        add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        half(at: *const u8) -> __m512 { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) }
        bfloat(at: *const u8) -> __m512 {
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(at.cast()))))
        }
        unsigned(at: *const u8) -> __m512 {
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(at.cast())))
        }
        signed(at: *const u8) -> __m512 {
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at.cast())))
        }
        low_nibbles(at: *const u8) -> __m512 {
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_and_si128(_mm_loadu_si128(at.cast()), _mm_set1_epi8(15))))
        }
        high_nibbles(at: *const u8) -> __m512 {
            _mm512_cvtepi32_ps(_mm512_srli_epi32::<4>(_mm512_cvtepu8_epi32(_mm_loadu_si128(at.cast()))))
        }
        bytes(at: *const u8) -> __m512i { _mm512_loadu_si512(at.cast()) }
        put_bytes(at: *mut u8, v: __m512i) { _mm512_storeu_si512(at.cast(), v) }
        and(a: __m512i, mask: u8) -> __m512i { _mm512_and_si512(a, _mm512_set1_epi8(mask.cast_signed())) }
        and_or(a: __m512i, mask: u8, b: __m512i) -> __m512i {
            // 0xea is the truth table of (a & mask) | b.
            _mm512_ternarylogic_epi32::<0xea>(a, _mm512_set1_epi8(mask.cast_signed()), b)
        }
        right(a: __m512i, n: u32) -> __m512i { _mm512_srl_epi16(a, _mm_cvtsi32_si128(n.cast_signed())) }
        left(a: __m512i, n: u32) -> __m512i { _mm512_sll_epi16(a, _mm_cvtsi32_si128(n.cast_signed())) }
        look_up(table: &[u8; 16], i: __m512i) -> __m512i {
            _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())), i)
        }
        start<const WIDE: bool>(nsum: *const i32, shift: u32) -> __m512i {
            _mm512_sll_epi32(_mm512_set1_epi32(nsum.read_unaligned()), _mm_cvtsi32_si128(shift.cast_signed()))
        }
        quad(at: *const i8) -> __m512i { _mm512_set1_epi32(at.cast::<i32>().read_unaligned()) }
        dot<const WIDE: bool>(acc: __m512i, w: __m512i, x: __m512i) -> __m512i {
            _mm512_dpbusd_epi32(acc, w, x)
        }
        float(v: __m512i) -> __m512 { _mm512_cvtepi32_ps(v) }
        prefetch(at: *const u8) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}
