//! The MODE register: how the vector ALU rounds and what it does with denormals.

/// Where a result between two representable numbers goes (the two-bit fields of MODE.FP_ROUND).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Round {
    /// To the nearest, halfway cases to the even one.
    NearestEven,
    /// Towards +∞.
    Up,
    /// Towards -∞.
    Down,
    /// Towards zero.
    Zero,
}

impl Round {
    /// The rounding that the two low bits of `bits` name.
    #[inline(always)]
    pub const fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::NearestEven,
            1 => Self::Up,
            2 => Self::Down,
            _ => Self::Zero,
        }
    }

    /// The two-bit field that names this rounding.
    #[inline(always)]
    pub const fn to_bits(self) -> u32 {
        self as u32
    }
}

/// What happens to denormals (the two-bit fields of MODE.FP_DENORM).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Denorm {
    /// A denormal operand counts as a zero of its sign.
    pub flush_in: bool,
    /// A denormal result becomes a zero of its sign.
    pub flush_out: bool,
}

impl Denorm {
    /// Denormals are numbers like others.
    pub const KEEP: Self = Self { flush_in: false, flush_out: false };
    /// Denormals are zeros.
    pub const FLUSH: Self = Self { flush_in: true, flush_out: true };

    /// The behaviour that the two low bits of `bits` name: bit 0 lets operands, bit 1 lets results be denormal.
    #[inline(always)]
    pub const fn from_bits(bits: u32) -> Self {
        Self { flush_in: bits & 1 == 0, flush_out: bits & 2 == 0 }
    }

    /// The two-bit field that names this behaviour.
    #[inline(always)]
    pub const fn to_bits(self) -> u32 {
        (!self.flush_in) as u32 | ((!self.flush_out) as u32) << 1
    }
}

/// The MODE hardware register, decoded (RDNA3 ISA guide, "Mode register").
///
/// | bits | field |
/// |---|---|
/// | 1:0, 3:2 | FP_ROUND for f32; for f16 and f64 |
/// | 5:4, 7:6 | FP_DENORM for f32; for f16 and f64 |
/// | 8 | DX10_CLAMP |
/// | 9 | IEEE |
/// | 23 | FP16_OVFL |
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mode {
    /// Rounding of f32 results.
    pub round_32: Round,
    /// Rounding of f16 and f64 results.
    pub round_16_64: Round,
    /// Denormals of f32.
    pub denorm_32: Denorm,
    /// Denormals of f16 and f64.
    pub denorm_16_64: Denorm,
    /// Clamping makes a NaN zero instead of keeping it.
    pub dx10_clamp: bool,
    /// Minimum and maximum return a signalling NaN operand, quieted; output modifiers are ignored.
    pub ieee: bool,
    /// An f16 result that overflows becomes the largest finite number.
    pub fp16_ovfl: bool,
    /// The other bits as they were written, of no effect on arithmetic.
    pub other: u32,
}

/// The bits of MODE that [`Mode`]'s named fields hold.
const DECODED: u32 = 0x0080_03ff;

impl Mode {
    /// The mode HIP kernels start in: nearest even, denormals kept, DX10_CLAMP and IEEE on.
    pub const HIP: Self = Self::from_bits(0x3f0);

    /// Decodes the register.
    #[inline(always)]
    pub const fn from_bits(bits: u32) -> Self {
        Self {
            round_32: Round::from_bits(bits),
            round_16_64: Round::from_bits(bits >> 2),
            denorm_32: Denorm::from_bits(bits >> 4),
            denorm_16_64: Denorm::from_bits(bits >> 6),
            dx10_clamp: bits >> 8 & 1 == 1,
            ieee: bits >> 9 & 1 == 1,
            fp16_ovfl: bits >> 23 & 1 == 1,
            other: bits & !DECODED,
        }
    }

    /// Encodes the register: the inverse of [`Mode::from_bits`].
    pub const fn to_bits(self) -> u32 {
        self.round_32.to_bits()
            | self.round_16_64.to_bits() << 2
            | self.denorm_32.to_bits() << 4
            | self.denorm_16_64.to_bits() << 6
            | (self.dx10_clamp as u32) << 8
            | (self.ieee as u32) << 9
            | (self.fp16_ovfl as u32) << 23
            | self.other & !DECODED
    }

    /// Whether arithmetic in this mode is what [`Fast`](super::Fast) computes.
    pub fn is_fast(self) -> bool {
        Self { other: 0, ..self } == Self::HIP
    }
}

impl Default for Mode {
    fn default() -> Self {
        Self::HIP
    }
}
