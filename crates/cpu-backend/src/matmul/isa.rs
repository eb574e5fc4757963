//! Which instructions the kernels use, found at run time.

use super::activations::{Line, quantize_rest, quantize_row};
use super::float::{Bfloat, Floats, Half, Single, floats};
use super::format::{Format, with_format};
use super::kernels::{Decode, Dense, Unpack, decode, dense, unpack};
use rocmforge_quant::GgmlType;
use std::sync::OnceLock;

/// An instruction set this processor has. Results do not depend on it, to the last bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Isa(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// Plain code for the architecture this was compiled for.
    pub const SCALAR: Self = Self(Kind::Scalar);

    /// All that this processor has, slowest first.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "nothing to add"))]
        let mut all = vec![Self::SCALAR];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 =
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
            if avx2 {
                all.push(Self(Kind::Avx2));
            }
            if avx2 && is_x86_feature_detected!("avxvnni") {
                all.push(Self(Kind::AvxVnni));
            }
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
            {
                all.push(Self(Kind::Avx512));
            }
        }
        all
    }

    /// The fastest, or the one named by the environment variable `ROCMFORGE_CPU_ISA` (`scalar`,
    /// `avx2`, `avxvnni`, `avx512`) if this processor has it. Decided at the first call.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let all = Self::available();
            let wanted = std::env::var("ROCMFORGE_CPU_ISA").ok();
            let named = all.iter().copied().find(|isa| wanted.as_deref() == Some(isa.name()));
            named.or(all.last().copied()).unwrap_or(Self::SCALAR)
        })
    }

    /// As in the environment variable.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
        }
    }

    /// Kernels of this instruction set that do not depend on the packed format. They may be
    /// called because an `Isa` exists only if the processor has its instructions.
    pub(super) fn kernels(self) -> &'static Kernels {
        match self.0 {
            Kind::Scalar => &scalar::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => &avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => &avxvnni::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => &avx512::KERNELS,
        }
    }
}

/// The kernels of one instruction set. All are to be called under the contracts of the generic
/// functions of the same name, on a processor that has the instructions.
pub(super) struct Kernels {
    /// Quantizes a row of activations.
    pub quantize_row: unsafe fn(&[f32], &mut [Line]),
    /// Quantizes what that left over.
    pub quantize_rest: unsafe fn(&[f32], &[Line], &mut [Line]),
    /// Tokens that the largest kernel of [`IntKernels::decode`] computes at once.
    pub decode_tokens: usize,
    /// Tokens up to which unpacking the weights does not pay (`--example matmul_speed`).
    pub unpack_after: usize,
    /// Panels that [`IntKernels::dense`] computes at once.
    pub dense_panels: usize,
    /// Tokens that its two kernels compute at once: many, few.
    pub dense_tokens: [usize; 2],
    /// Panels that [`FloatKernels`] compute at once.
    pub float_panels: usize,
    /// Tokens that the second kernel of [`FloatKernels`] computes at once; the first computes one.
    pub float_tokens: usize,
    pub single: FloatKernels,
    pub half: FloatKernels,
    pub bfloat: FloatKernels,
    /// Those of a packed format.
    pub ints: fn(GgmlType) -> Option<&'static IntKernels>,
}

/// For one token, and for several.
pub(super) type FloatKernels = [unsafe fn(&Floats); 2];

/// The kernels of one instruction set and one packed format.
pub(super) struct IntKernels {
    /// For one token, for [`FEW_TOKENS`], and for [`Kernels::decode_tokens`].
    pub decode: [unsafe fn(&Decode); 3],
    pub unpack: unsafe fn(&Unpack),
    /// See [`Kernels::dense_tokens`].
    pub dense: [unsafe fn(&Dense); 2],
}

/// Tokens of the second decode kernel.
pub(super) const FEW_TOKENS: usize = 4;
/// Tokens of a decode kernel, at most: with 32 registers, the weights of a block and the sums of eight tokens stay in
/// them.
pub(super) const DECODE_TOKENS: usize = 8;

/// Compiles every kernel for one instruction set.
macro_rules! isa {
    ($name:ident: $simd:ty, decode tokens $d:literal $u:literal, panels $p:literal, tokens $t:literal $few:literal,
     float panels $fp:literal, float tokens $ft:literal $(, $feature:meta)?) => {
        mod $name {
            use super::*;

            pub(super) static KERNELS: Kernels = Kernels {
                quantize_row: row,
                quantize_rest: rest,
                decode_tokens: $d,
                unpack_after: $u,
                dense_panels: $p,
                dense_tokens: [$t, $few],
                float_panels: $fp,
                float_tokens: $ft,
                single: [run_floats::<Single, 1>, run_floats::<Single, $ft>],
                half: [run_floats::<Half, 1>, run_floats::<Half, $ft>],
                bfloat: [run_floats::<Bfloat, 1>, run_floats::<Bfloat, $ft>],
                ints,
            };

            fn ints(ty: GgmlType) -> Option<&'static IntKernels> {
                macro_rules! found {
                    ($format:ty) => {
                        Some(const { &kernels::<$format>() })
                    };
                }
                with_format!(ty, found, None)
            }

            const fn kernels<F: Format>() -> IntKernels {
                IntKernels {
                    decode: [run_decode::<F, 1>, run_decode::<F, FEW_TOKENS>, run_decode::<F, $d>],
                    unpack: run_unpack::<F>,
                    dense: [run_dense::<F, $t>, run_dense::<F, $few>],
                }
            }

            $(#[$feature])?
            unsafe fn row(x: &[f32], lines: &mut [Line]) {
                quantize_row(x, lines);
            }

            $(#[$feature])?
            unsafe fn rest(x: &[f32], lines: &[Line], fine: &mut [Line]) {
                quantize_rest(x, lines, fine);
            }

            $(#[$feature])?
            unsafe fn run_floats<C: super::super::float::Column, const T: usize>(a: &Floats) {
                // SAFETY: the caller's promise.
                unsafe { floats::<$simd, C, $fp, T>(a) }
            }

            $(#[$feature])?
            unsafe fn run_decode<F: Format, const T: usize>(a: &Decode) {
                // SAFETY: the caller's promise.
                unsafe { decode::<$simd, F, T>(a) }
            }

            $(#[$feature])?
            unsafe fn run_unpack<F: Format>(a: &Unpack) {
                // SAFETY: the caller's promise.
                unsafe { unpack::<$simd, F>(a) }
            }

            $(#[$feature])?
            unsafe fn tile<const SUBS: usize, const MIN: bool, const WIDE: bool, const T: usize>(a: &Dense) {
                // SAFETY: the caller's promise.
                unsafe { dense::<$simd, SUBS, MIN, WIDE, $p, T>(a) }
            }

            /// Formats that unpack to the same form share a kernel.
            unsafe fn run_dense<F: Format, const T: usize>(a: &Dense) {
                // SAFETY: the caller's promise.
                unsafe {
                    match (F::SPEC.subs(), F::SPEC.min, F::SPEC.wide()) {
                        (1, false, false) => tile::<1, false, false, T>(a),
                        (1, false, true) => tile::<1, false, true, T>(a),
                        (1, true, _) => tile::<1, true, false, T>(a),
                        (_, false, _) => tile::<2, false, false, T>(a),
                        (_, true, _) => tile::<2, true, false, T>(a),
                    }
                }
            }
        }
    };
}

isa!(scalar: super::super::simd::scalar::Scalar, decode tokens 4 32, panels 1, tokens 2 1, float panels 1, float tokens 2);
#[cfg(target_arch = "x86_64")]
isa!(avx2: super::super::simd::avx2::Avx2<false>, decode tokens 4 32, panels 1, tokens 4 2, float panels 1, float tokens 3,
    target_feature(enable = "avx2,fma,f16c"));
#[cfg(target_arch = "x86_64")]
isa!(avxvnni: super::super::simd::avx2::Avx2<true>, decode tokens 4 32, panels 1, tokens 4 2, float panels 1, float tokens 3,
    target_feature(enable = "avx2,fma,f16c,avxvnni"));
#[cfg(target_arch = "x86_64")]
isa!(avx512: super::super::simd::avx512::Avx512, decode tokens 8 32, panels 2, tokens 6 4, float panels 2, float tokens 6,
    target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni"));
