//! Sixteen floats at a time: the vocabulary in which the kernels of [`flash`](crate::flash), [`kv`](crate::kv) and
//! [`elementwise`](crate::elementwise) are written once, with one implementation an instruction set.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

use std::fmt;
use std::sync::OnceLock;

/// Floats of a vector.
pub(crate) const LANES: usize = 16;

/// An instruction set that the kernels can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust, on every processor.
    Scalar,
    /// AVX2 with FMA and F16C: every x86-64 processor since about 2013.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Isa {
    /// Those that this processor has, the best last.
    pub fn available() -> impl DoubleEndedIterator<Item = Self> {
        [Isa::Scalar, Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.exists())
    }

    /// The best that this processor has, or what `ROCMFORGE_CPU_ISA` asks the matrix products to use.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let most = match crate::matmul::Isa::best().name() {
                "scalar" => Isa::Scalar,
                "avx2" | "avxvnni" => Isa::Avx2,
                _ => Isa::Avx512,
            };
            Self::available().rfind(|isa| *isa <= most).unwrap_or(Isa::Scalar)
        })
    }

    #[cfg(target_arch = "x86_64")]
    fn exists(self) -> bool {
        match self {
            Isa::Scalar => true,
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && Isa::Avx2.exists()
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn exists(self) -> bool {
        self == Isa::Scalar
    }

    /// Runs a kernel with this instruction set.
    ///
    /// # Panics
    /// If the processor lacks it.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        assert!(self == Isa::best() || self.exists(), "this processor has no {self}");
        // SAFETY: the instructions exist, and what the kernel's pointers need was promised when it was made.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => with_avx512(kernel),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => with_avx2(kernel),
                _ => kernel.run::<scalar::Scalar>(),
            }
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "AVX2",
            Isa::Avx512 => "AVX-512",
        })
    }
}

/// A computation over any [`Lanes`]. Its `run` and all that it calls with the lanes must be `#[inline(always)]`, since
/// only code inlined into [`Isa::run`] is compiled for the instruction set.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;

    /// Computes.
    ///
    /// # Safety
    /// The processor has the instructions of `L`.
    unsafe fn run<L: Lanes>(self) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the instructions are enabled above, and exist as the caller promises.
    unsafe { kernel.run::<avx512::Avx512>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: as above.
    unsafe { kernel.run::<avx2::Avx2>() }
}

/// Sixteen floats.
///
/// Where a method takes a pointer, it reads or writes sixteen numbers (or the count given) at any alignment.
///
/// # Safety
/// Every method may be called only on a processor that has the instructions of the implementation, and every pointer
/// must be valid for the access that the method names.
pub(crate) trait Lanes: Copy {
    /// The register or registers.
    type V: Copy;
    /// Whether there are 32 registers of 16 floats, and not 16 registers of 8 or fewer: decides the shape of blocked
    /// kernels.
    const WIDE: bool;
    /// Rows of a blocked kernel, at most.
    const ROWS: usize;

    /// Runs a kernel as a function of its own, where inlining it would only make code.
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output;

    /// The same number in each lane.
    unsafe fn splat(x: f32) -> Self::V;
    /// 16 floats.
    unsafe fn load(at: *const f32) -> Self::V;
    /// The first `count` < 16 of 16 floats, and zeros.
    unsafe fn load_part(at: *const f32, count: usize) -> Self::V;
    /// Writes 16 floats.
    unsafe fn store(at: *mut f32, v: Self::V);
    /// Writes the first `count` < 16 floats.
    unsafe fn store_part(at: *mut f32, count: usize, v: Self::V);
    /// 16 half-precision numbers, widened.
    unsafe fn load_half(at: *const u16) -> Self::V;
    /// Rounds to half precision, to nearest even, and writes 16.
    unsafe fn store_half(at: *mut u16, v: Self::V);
    /// 16 signed bytes as floats.
    unsafe fn load_bytes(at: *const i8) -> Self::V;

    /// `a + b`.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`; rounded once where the processor can.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a < b ? a : b`, so `b` where either is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `a > b ? a : b`, so `b` where either is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The nearest integer, ties to even.
    unsafe fn round(a: Self::V) -> Self::V;
    /// `a * 2^n` for integral `n` within ±200.
    unsafe fn scale2(a: Self::V, n: Self::V) -> Self::V;
    /// `|a|`.
    unsafe fn abs(a: Self::V) -> Self::V;
    /// `|a|` with the sign of `sign`.
    unsafe fn with_sign(a: Self::V, sign: Self::V) -> Self::V;
    /// `a < b ? x : y`, so `y` where `a` or `b` is NaN.
    unsafe fn if_less(a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// Lane `i` of `x` where `from <= i < to`, of `y` elsewhere; `from <= to <= 16`.
    unsafe fn within(from: usize, to: usize, x: Self::V, y: Self::V) -> Self::V;
    /// Exchanges lanes 0 and 1, 2 and 3, …
    unsafe fn swap_pairs(a: Self::V) -> Self::V;
    /// The sum of the lanes, in one fixed order.
    unsafe fn sum(a: Self::V) -> f32;
    /// The largest lane, as [`Lanes::max`] orders them.
    unsafe fn largest(a: Self::V) -> f32;
    /// Asks for the cache line at an address, which need not be valid.
    unsafe fn prefetch(at: *const u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls every method once over awkward numbers and returns the bits of all results.
    struct Everything;
    impl Kernel for Everything {
        type Output = Vec<u32>;
        #[inline(always)]
        unsafe fn run<L: Lanes>(self) -> Vec<u32> {
            let a: [f32; 16] = [
                0.0,
                -0.0,
                1.5,
                -2.5,
                0.5,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::NAN,
                1e-40,
                -3.0,
                7.0,
                8.25,
                -9.75,
                1e30,
                65519.0,
                -65504.0,
            ];
            let b: [f32; 16] = std::array::from_fn(|i| a[(i * 5 + 3) % 16]);
            let finite: [f32; 16] = std::array::from_fn(|i| (i as f32 - 7.0) * 0.75);
            let steps: [f32; 16] = std::array::from_fn(|i| (i as f32 - 8.0) * 25.0);
            let bytes: [i8; 16] = std::array::from_fn(|i| (i as i8).wrapping_mul(37));
            let mut out = Vec::new();
            let mut halves = [0u16; 16];
            // SAFETY: every array has 16 elements.
            unsafe {
                let (va, vb, vf) = (L::load(a.as_ptr()), L::load(b.as_ptr()), L::load(finite.as_ptr()));
                let mut keep = |v: L::V| {
                    let mut row = [0f32; 16];
                    L::store(row.as_mut_ptr(), v);
                    out.extend(row.map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }));
                };
                keep(L::splat(3.5));
                keep(L::load_part(a.as_ptr(), 5));
                keep(L::add(va, vb));
                keep(L::sub(va, vb));
                keep(L::mul(va, vb));
                keep(L::div(va, vb));
                keep(L::min(va, vb));
                keep(L::max(va, vb));
                keep(L::round(va));
                keep(L::scale2(vf, L::load(steps.as_ptr())));
                keep(L::abs(va));
                keep(L::with_sign(va, vb));
                keep(L::if_less(va, vb, vf, va));
                keep(L::within(3, 11, va, vb));
                keep(L::within(0, 16, va, vb));
                keep(L::within(7, 7, va, vb));
                keep(L::swap_pairs(va));
                keep(L::load_bytes(bytes.as_ptr()));
                // Exact products, so that fused and separate rounding agree.
                keep(L::fma(vf, vf, vf));
                L::store_half(halves.as_mut_ptr(), va);
                keep(L::load_half(halves.as_ptr()));
                keep(L::splat(L::sum(vf)));
                keep(L::splat(L::largest(vf)));
                let mut row = [9f32; 16];
                L::store_part(row.as_mut_ptr(), 7, va);
                keep(L::load(row.as_ptr()));
            }
            out
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let expected = Isa::Scalar.run(Everything);
        assert!(expected.len() > 16 * 20);
        for isa in Isa::available() {
            for (i, (a, b)) in isa.run(Everything).iter().zip(&expected).enumerate() {
                assert_eq!(a, b, "{isa}: result {} lane {}", i / 16, i % 16);
            }
        }
    }
}
