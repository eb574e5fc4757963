//! Numbers as RDNA3's vector ALU computes them, one value at a time.
//!
//! [`Arith`] is written against the MODE register. [`Fast`] fixes it to the mode HIP kernels start in, so that callers
//! which loop over the lanes of a wave are vectorised; [`Exact`] takes any mode. Integer instructions, which no mode
//! touches, are functions in [`int`] and [`dot`].
//!
//! Facts are from AMD's "RDNA3 Instruction Set Architecture" reference guide, where a name such as V_MED3_F32 finds
//! them.

mod compare;
mod divide;
pub mod dot;
mod exact;
mod f16;
mod fast;
mod float;
pub mod float8;
pub mod int;
mod mode;
mod roots;
mod unrounded;

pub use compare::{Predicate, class_of};
pub use divide::Division;
pub use exact::Exact;
pub use f16::{Bf16, F16};
pub use fast::Fast;
pub use float::Float;
pub use mode::{Denorm, Mode, Round};
pub use roots::{Roots, Transcendental};

/// Arithmetic in one mode. `F` is f32, f64 or [`F16`].
pub trait Arith: Copy {
    /// The mode.
    fn mode(self) -> Mode;

    /// `a + b`.
    fn add<F: Float>(self, a: F, b: F) -> F;
    /// `a × b`.
    fn mul<F: Float>(self, a: F, b: F) -> F;
    /// `a × b + c`, rounded once.
    fn fma<F: Float>(self, a: F, b: F, c: F) -> F;
    /// `(a × b + c) × 2^exponent`, rounded once.
    fn fma_scale<F: Float>(self, a: F, b: F, c: F, exponent: i32) -> F;
    /// V_LDEXP: `a × 2^exponent`.
    fn ldexp<F: Float>(self, a: F, exponent: i32) -> F;
    /// The same number in another format (V_CVT_F16_F32 and the like).
    fn convert<A: Float, B: Float>(self, a: A) -> B;
    /// V_CVT_F32_I32, V_CVT_F64_I32, V_CVT_F16_I16 (with the sign extended).
    fn i32_to<F: Float>(self, a: i32) -> F;
    /// V_CVT_F32_U32, V_CVT_F64_U32, V_CVT_F16_U16.
    fn u32_to<F: Float>(self, a: u32) -> F;
    /// V_FMA_MIXLO_F16: an f32 multiply-add, rounded once, to an f16.
    fn fma_mix_f16(self, a: f32, b: f32, c: f32) -> F16;
    /// `a` as an operand: a denormal may count as zero.
    fn operand<F: Float>(self, a: F) -> F;
    /// `a` as a result: a denormal may become zero.
    fn result<F: Float>(self, a: F) -> F;

    /// `a - b`.
    #[inline(always)]
    fn sub<F: Float>(self, a: F, b: F) -> F {
        self.add(a, -b)
    }

    /// V_MUL_DX9_ZERO: a zero times anything is +0.
    #[inline(always)]
    fn mul_legacy<F: Float>(self, a: F, b: F) -> F {
        if self.operand(a).is_zero() | self.operand(b).is_zero() { F::ZERO } else { self.mul(a, b) }
    }

    /// V_FMA_DX9_ZERO: `a × b + c`, and `c` if `a` or `b` is zero.
    #[inline(always)]
    fn fma_legacy<F: Float>(self, a: F, b: F, c: F) -> F {
        if self.operand(a).is_zero() | self.operand(b).is_zero() { self.operand(c) } else { self.fma(a, b, c) }
    }

    /// V_MIN: the lesser, -0 before +0; of a quiet NaN and a number the number; in IEEE mode a signalling NaN, quieted.
    #[inline(always)]
    fn min<F: Float>(self, a: F, b: F) -> F {
        self.result(compare::min(self.operand(a), self.operand(b), self.mode().ieee))
    }

    /// V_MAX: the greater, with NaNs as [`min`](Self::min) has them.
    #[inline(always)]
    fn max<F: Float>(self, a: F, b: F) -> F {
        self.result(compare::max(self.operand(a), self.operand(b), self.mode().ieee))
    }

    /// V_MINIMUM of RDNA4: the lesser, -0 before +0; of a NaN and a number the NaN, quieted.
    #[inline(always)]
    fn minimum<F: Float>(self, a: F, b: F) -> F {
        let (a, b) = (self.operand(a), self.operand(b));
        self.result(compare::nan_first(a, b, compare::min(a, b, true)))
    }

    /// V_MAXIMUM of RDNA4: the greater, with NaNs as [`minimum`](Self::minimum) has them.
    #[inline(always)]
    fn maximum<F: Float>(self, a: F, b: F) -> F {
        let (a, b) = (self.operand(a), self.operand(b));
        self.result(compare::nan_first(a, b, compare::max(a, b, true)))
    }

    /// V_MIN3: the least of three.
    #[inline(always)]
    fn min3<F: Float>(self, a: F, b: F, c: F) -> F {
        self.min(self.min(a, b), c)
    }

    /// V_MAX3: the greatest of three.
    #[inline(always)]
    fn max3<F: Float>(self, a: F, b: F, c: F) -> F {
        self.max(self.max(a, b), c)
    }

    /// V_MED3: the middle of three; the least if one is a NaN.
    #[inline(always)]
    fn med3<F: Float>(self, a: F, b: F, c: F) -> F {
        let (a, b, c) = (self.operand(a), self.operand(b), self.operand(c));
        let greatest = self.max3(a, b, c);
        let middle = if greatest == b { self.max(a, c) } else { self.max(a, b) };
        let middle = if greatest == a { self.max(b, c) } else { middle };
        if a.is_nan() | b.is_nan() | c.is_nan() { self.min3(a, b, c) } else { middle }
    }

    /// V_MINMAX: the greater of `c` and the lesser of `a` and `b`.
    #[inline(always)]
    fn minmax<F: Float>(self, a: F, b: F, c: F) -> F {
        self.max(self.min(a, b), c)
    }

    /// V_MAXMIN: the lesser of `c` and the greater of `a` and `b`.
    #[inline(always)]
    fn maxmin<F: Float>(self, a: F, b: F, c: F) -> F {
        self.min(self.max(a, b), c)
    }

    /// V_RNDNE: to an integer, halves to even.
    #[inline(always)]
    fn rndne<F: Float>(self, a: F) -> F {
        self.operand(a).round_even().quiet()
    }

    /// V_TRUNC: to an integer, towards zero.
    #[inline(always)]
    fn trunc<F: Float>(self, a: F) -> F {
        self.operand(a).trunc().quiet()
    }

    /// V_FLOOR: to an integer, towards -∞.
    #[inline(always)]
    fn floor<F: Float>(self, a: F) -> F {
        self.operand(a).floor().quiet()
    }

    /// V_CEIL: to an integer, towards +∞.
    #[inline(always)]
    fn ceil<F: Float>(self, a: F) -> F {
        self.operand(a).ceil().quiet()
    }

    /// V_FRACT: `a - ⌊a⌋`, always below one.
    #[inline(always)]
    fn fract<F: Float>(self, a: F) -> F {
        let fraction = self.sub(a, self.floor(a));
        if fraction >= F::ONE { F::BELOW_ONE } else { fraction }
    }

    /// V_FREXP_MANT: `a` scaled to a magnitude in [½, 1); zero, infinities and NaNs are themselves.
    #[inline(always)]
    fn frexp_mant<F: Float>(self, a: F) -> F {
        let a = self.operand(a);
        let scaled = normalised(a);
        let special = a.is_zero() | a.is_infinite() | a.is_nan();
        if special { a.quiet() } else { scaled.with_biased_exponent(F::BIAS - 1) }
    }

    /// V_FREXP_EXP: the exponent that [`frexp_mant`](Self::frexp_mant) takes out; of zero, infinities and NaNs zero.
    #[inline(always)]
    fn frexp_exp<F: Float>(self, a: F) -> i32 {
        let a = self.operand(a);
        let lift = if a.is_denormal() { F::FRACTION_BITS as i32 + 1 } else { 0 };
        let exponent = normalised(a).biased_exponent() - lift - (F::BIAS - 1);
        let special = a.is_zero() | a.is_infinite() | a.is_nan();
        if special { 0 } else { exponent }
    }

    /// V_CMP on numbers.
    #[inline(always)]
    fn compare<F: Float>(self, predicate: Predicate, a: F, b: F) -> bool {
        predicate.holds(self.operand(a), self.operand(b))
    }

    /// V_CMP_CLASS: whether `a` is in one of the classes that `mask` names, see [`class_of`].
    #[inline(always)]
    fn class<F: Float>(self, a: F, mask: u32) -> bool {
        class_of(a) & mask != 0
    }

    /// V_DIV_SCALE: `value`, which is the denominator or the numerator, scaled so that no step of the division leaves
    /// the normal numbers; and the flag for VCC, whether [`div_fmas`](Self::div_fmas) must scale back.
    #[inline(always)]
    fn div_scale<F: Division>(self, value: F, denominator: F, numerator: F) -> (F, bool) {
        divide::scale(self.operand(value), self.operand(denominator), self.operand(numerator))
    }

    /// V_DIV_FMAS: `a × b + c`, scaled back if `vcc`; `c` is the quotient as it is so far.
    #[inline(always)]
    fn div_fmas<F: Division>(self, a: F, b: F, c: F, vcc: bool) -> F {
        if !vcc {
            return self.fma(a, b, c);
        }
        // A quotient above one was made less by scaling the denominator up, one below one the other way.
        self.fma_scale(a, b, c, if c.biased_exponent() > F::BIAS { F::SCALE } else { -F::SCALE })
    }

    /// V_DIV_FIXUP: the quotient, with the special cases of its operands put right.
    #[inline(always)]
    fn div_fixup<F: Float>(self, quotient: F, denominator: F, numerator: F) -> F {
        divide::fixup(self, self.operand(quotient), self.operand(denominator), self.operand(numerator))
    }

    /// V_RCP and V_RCP_IFLAG, which differ in the exception they raise only: `1 / a`.
    #[inline(always)]
    fn rcp<F: Float>(self, a: F) -> F {
        self.result(self.operand(a).rcp())
    }

    /// V_SQRT: `√a`.
    #[inline(always)]
    fn sqrt<F: Float>(self, a: F) -> F {
        self.result(Roots::sqrt(self.operand(a)))
    }

    /// V_RSQ: `1 / √a`.
    #[inline(always)]
    fn rsq<F: Float>(self, a: F) -> F {
        self.result(self.operand(a).rsq())
    }

    /// V_EXP: `2^a`.
    #[inline(always)]
    fn exp<F: Transcendental>(self, a: F) -> F {
        self.result(Transcendental::exp2(self.operand(a)))
    }

    /// V_LOG: the logarithm to base 2.
    #[inline(always)]
    fn log<F: Transcendental>(self, a: F) -> F {
        self.result(Transcendental::log2(self.operand(a)))
    }

    /// V_SIN: the sine of `a` revolutions.
    #[inline(always)]
    fn sin<F: Transcendental>(self, a: F) -> F {
        self.result(self.operand(a).sin_turns())
    }

    /// V_COS: the cosine of `a` revolutions.
    #[inline(always)]
    fn cos<F: Transcendental>(self, a: F) -> F {
        self.result(self.operand(a).cos_turns())
    }

    /// V_CVT_I32: towards zero, what is out of range to the nearest end, a NaN to zero.
    #[inline(always)]
    fn to_i32<F: Float>(self, a: F) -> i32 {
        a.to_i32()
    }

    /// V_CVT_U32: towards zero, what is out of range to the nearest end, a NaN to zero.
    #[inline(always)]
    fn to_u32<F: Float>(self, a: F) -> u32 {
        a.to_u32()
    }

    /// V_CVT_FLOOR_I32_F32: `⌊a⌋`, saturated like [`to_i32`](Self::to_i32).
    #[inline(always)]
    fn floor_to_i32(self, a: f32) -> i32 {
        self.floor(a) as i32
    }

    /// V_CVT_NEAREST_I32_F32: `⌊a + ½⌋`, saturated like [`to_i32`](Self::to_i32).
    #[inline(always)]
    fn nearest_to_i32(self, a: f32) -> i32 {
        (f64::from(self.operand(a)) + 0.5).floor() as i32
    }

    /// V_CVT_I16_F16: towards zero, saturated, a NaN to zero.
    #[inline(always)]
    fn to_i16(self, a: F16) -> i16 {
        a.to_f32() as i16
    }

    /// V_CVT_U16_F16: towards zero, saturated, a NaN to zero.
    #[inline(always)]
    fn to_u16(self, a: F16) -> u16 {
        a.to_f32() as u16
    }

    /// V_CVT_PK_NORM_I16: [-1, 1] to ±32767, to the nearest; what is outside to the nearest end, a NaN to zero.
    #[inline(always)]
    fn to_snorm16<F: Float>(self, a: F) -> i16 {
        let a = self.operand(a).to_f64();
        (a.clamp(-1.0, 1.0) * 32767.0).round_ties_even() as i16
    }

    /// V_CVT_PK_NORM_U16: [0, 1] to 65535, to the nearest; what is outside to the nearest end, a NaN to zero.
    #[inline(always)]
    fn to_unorm16<F: Float>(self, a: F) -> u16 {
        let a = self.operand(a).to_f64();
        (a.clamp(0.0, 1.0) * 65535.0).round_ties_even() as u16
    }

    /// V_CVT_PK_U8_F32: `word` with byte `index` (its two low bits) replaced by `a`, rounded as the mode says and
    /// saturated, a NaN to zero.
    #[inline(always)]
    fn pk_u8(self, a: f32, index: u32, word: u32) -> u32 {
        let a = match self.mode().round_32 {
            Round::NearestEven => self.rndne(a),
            Round::Up => self.ceil(a),
            Round::Down => self.floor(a),
            Round::Zero => a,
        };
        let shift = 8 * (index & 3);
        word & !(0xff << shift) | u32::from(a as u8) << shift
    }

    /// V_CVT_PK_RTZ_F16_F32, one half of it: towards zero in every mode.
    #[inline(always)]
    fn to_f16_rtz(self, a: f32) -> F16 {
        self.result(f16::towards_zero(self.operand(a)))
    }

    /// V_CVT_F32_UBYTE0 to 3: byte `index` of a word.
    #[inline(always)]
    fn ubyte(self, word: u32, index: u32) -> f32 {
        (word >> (8 * index) & 0xff) as f32
    }

    /// V_CVT_OFF_F32_I4: the low four bits, signed, in sixteenths.
    #[inline(always)]
    fn off_i4(self, word: u32) -> f32 {
        ((word << 28) as i32 >> 28) as f32 / 16.0
    }

    /// The CLAMP bit: into [0, 1]. With DX10_CLAMP a NaN becomes 0, else it stays.
    #[inline(always)]
    fn clamp<F: Float>(self, a: F) -> F {
        let clamped = if a > F::ZERO { a } else { F::ZERO };
        let clamped = if a > F::ONE { F::ONE } else { clamped };
        if a.is_nan() & !self.mode().dx10_clamp { a } else { clamped }
    }

    /// The OMOD field: 1 doubles, 2 quadruples, 3 halves. It is ignored if denormal results are kept or the IEEE bit is
    /// set, and where it acts, -0 becomes +0 (RDNA3 ISA guide, "Output Modifiers").
    #[inline(always)]
    fn omod<F: Float>(self, a: F, omod: u32) -> F {
        let mode = self.mode();
        if omod == 0 || mode.ieee || !F::denormals(mode).flush_out {
            return a;
        }
        let scaled = self.ldexp(a, [0, 1, 2, -1][(omod & 3) as usize]);
        if scaled.is_zero() { F::ZERO } else { scaled }
    }
}

/// A denormal scaled up by its fraction's bits and one, so that its exponent field holds; all else unchanged.
#[inline(always)]
fn normalised<F: Float>(a: F) -> F {
    if a.is_denormal() { a.scale(F::FRACTION_BITS as i32 + 1) } else { a }
}
