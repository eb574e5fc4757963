//! The 64-byte kernel descriptor that the command processor reads before it starts waves.
//! Layout: LLVM's "User Guide for AMDGPU Backend", "Kernel Descriptor" and the tables of `compute_pgm_rsrc1` to `3`.

use super::target::Generation;

/// How a kernel wants its waves to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Static LDS of a workgroup, bytes.
    pub group_segment_fixed_size: u32,
    /// Private memory of a lane, bytes; more if the stack is dynamic.
    pub private_segment_fixed_size: u32,
    /// Bytes of the kernel argument segment.
    pub kernarg_size: u32,
    /// The first instruction, in bytes from the descriptor's own address.
    pub entry_offset: i64,
    /// `GRANULATED_WORKITEM_VGPR_COUNT`: blocks of vector registers less one; the block depends on the target.
    pub granulated_vgprs: u8,
    /// `GRANULATED_WAVEFRONT_SGPR_COUNT`, of gfx9 only.
    pub granulated_sgprs: u8,
    /// `FLOAT_ROUND_MODE_32`: 0 to nearest even, 1 towards +∞, 2 towards −∞, 3 towards 0.
    pub float_round_mode_32: u8,
    /// `FLOAT_ROUND_MODE_16_64`, encoded alike.
    pub float_round_mode_16_64: u8,
    /// `FLOAT_DENORM_MODE_32`: bit 0 keeps denormal inputs, bit 1 keeps denormal results.
    pub float_denorm_mode_32: u8,
    /// `FLOAT_DENORM_MODE_16_64`, encoded alike.
    pub float_denorm_mode_16_64: u8,
    /// `ENABLE_DX10_CLAMP`: clamping turns NaN into 0. Before gfx12, where it always does.
    pub dx10_clamp: bool,
    /// `ENABLE_IEEE_MODE`: minimum and maximum quiet signalling NaNs. Before gfx12, which has no such mode.
    pub ieee_mode: bool,
    /// `FP16_OVFL`: halves that overflow become the largest finite number.
    pub fp16_overflow: bool,
    /// `WGP_MODE`: a workgroup may spread over both compute units of a WGP. From gfx10 on.
    pub wgp_mode: bool,
    /// `MEM_ORDERED`: loads return in the order of issue. From gfx10 on.
    pub mem_ordered: bool,
    /// `FWD_PROGRESS`: older waves do not starve younger ones. From gfx10 on.
    pub forward_progress: bool,
    /// `ENABLE_PRIVATE_SEGMENT`: waves get scratch memory.
    pub scratch_enable: bool,
    /// `USER_SGPR_COUNT`: registers before those of the workgroup, including padding.
    pub user_sgpr_count: u8,
    /// `ENABLE_SGPR_WORKGROUP_ID_X`, `_Y` and `_Z`.
    pub workgroup_id: [bool; 3],
    /// `ENABLE_SGPR_WORKGROUP_INFO`.
    pub workgroup_info: bool,
    /// `ENABLE_VGPR_WORKITEM_ID`: 0 for x alone, 1 for x and y, 2 for x, y and z.
    pub work_item_id: u8,
    /// First accumulation register in the common file, from `ACCUM_OFFSET`; 0 on targets without.
    pub accum_offset: u16,
    /// `SHARED_VGPR_COUNT` of gfx10 and gfx11: registers that the halves of a wave64 share, in blocks of 8.
    pub shared_vgprs: u8,
    /// Which registers the user SGPRs hold.
    pub user_sgprs: UserSgprs,
    /// `ENABLE_WAVEFRONT_SIZE32`: waves have 32 lanes and not 64.
    pub wavefront_size32: bool,
    /// `USES_DYNAMIC_STACK`: the compiler could not tell how much private memory a lane needs.
    pub uses_dynamic_stack: bool,
    /// Dwords of the kernel argument segment that are loaded into user SGPRs before the kernel begins.
    pub kernarg_preload_length: u8,
    /// Where those begin, in dwords.
    pub kernarg_preload_offset: u16,
}

/// `ENABLE_SGPR_…`: what the user SGPRs hold, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UserSgprs {
    /// A buffer resource for scratch memory, 4 registers.
    pub private_segment_buffer: bool,
    /// Address of the dispatch packet, 2 registers.
    pub dispatch_ptr: bool,
    /// Address of the queue, 2 registers.
    pub queue_ptr: bool,
    /// Address of the kernel argument segment, 2 registers.
    pub kernarg_segment_ptr: bool,
    /// Number of the dispatch, 2 registers.
    pub dispatch_id: bool,
    /// Base of scratch memory, 2 registers.
    pub flat_scratch_init: bool,
    /// Private memory of a lane in bytes, 1 register.
    pub private_segment_size: bool,
}

impl Descriptor {
    /// Size in memory.
    pub const BYTES: u64 = 64;

    /// Decodes a descriptor; fields of other generations than `generation` are zero or false.
    pub(super) fn new(bytes: &[u8; Self::BYTES as usize], generation: Generation) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (rsrc1, rsrc2, rsrc3) = (Bits(word(48)), Bits(word(52)), Bits(word(44)));
        let (properties, preload) = (Bits(word(56)), Bits(word(56) >> 16));
        let before_gfx12 = generation != Generation::Gfx12;
        let cdna = matches!(generation, Generation::Gfx90a | Generation::Gfx940);
        let rdna = matches!(generation, Generation::Gfx10 | Generation::Gfx11 | Generation::Gfx12);
        Self {
            group_segment_fixed_size: word(0),
            private_segment_fixed_size: word(4),
            kernarg_size: word(8),
            entry_offset: i64::from(word(20) as i32) << 32 | i64::from(word(16)),
            granulated_vgprs: rsrc1.field(0, 6),
            granulated_sgprs: if rdna { 0 } else { rsrc1.field(6, 4) },
            float_round_mode_32: rsrc1.field(12, 2),
            float_round_mode_16_64: rsrc1.field(14, 2),
            float_denorm_mode_32: rsrc1.field(16, 2),
            float_denorm_mode_16_64: rsrc1.field(18, 2),
            dx10_clamp: before_gfx12 && rsrc1.bit(21),
            ieee_mode: before_gfx12 && rsrc1.bit(23),
            fp16_overflow: rsrc1.bit(26),
            wgp_mode: rdna && rsrc1.bit(29),
            mem_ordered: rdna && rsrc1.bit(30),
            forward_progress: rdna && rsrc1.bit(31),
            scratch_enable: rsrc2.bit(0),
            user_sgpr_count: rsrc2.field(1, 5),
            workgroup_id: [rsrc2.bit(7), rsrc2.bit(8), rsrc2.bit(9)],
            workgroup_info: rsrc2.bit(10),
            work_item_id: rsrc2.field(11, 2),
            accum_offset: if cdna { (u16::from(rsrc3.field(0, 6)) + 1) * 4 } else { 0 },
            shared_vgprs: if rdna && before_gfx12 { rsrc3.field(0, 4) } else { 0 },
            user_sgprs: UserSgprs::new(properties),
            wavefront_size32: properties.bit(10),
            uses_dynamic_stack: properties.bit(11),
            kernarg_preload_length: preload.field(0, 7),
            kernarg_preload_offset: (preload.0 >> 7 & 0x1ff) as u16,
        }
    }

    /// What the MODE register holds when a wave begins: rounding in bits 0 to 3, denormals in 4 to 7, then DX10 clamp,
    /// IEEE, and overflow of halves in bit 23 ("RDNA3 ISA guide", 3.3.1).
    pub fn mode_register(&self) -> u32 {
        u32::from(self.float_round_mode_32)
            | u32::from(self.float_round_mode_16_64) << 2
            | u32::from(self.float_denorm_mode_32) << 4
            | u32::from(self.float_denorm_mode_16_64) << 6
            | u32::from(self.dx10_clamp) << 8
            | u32::from(self.ieee_mode) << 9
            | u32::from(self.fp16_overflow) << 23
    }
}

impl UserSgprs {
    fn new(properties: Bits) -> Self {
        Self {
            private_segment_buffer: properties.bit(0),
            dispatch_ptr: properties.bit(1),
            queue_ptr: properties.bit(2),
            kernarg_segment_ptr: properties.bit(3),
            dispatch_id: properties.bit(4),
            flat_scratch_init: properties.bit(5),
            private_segment_size: properties.bit(6),
        }
    }

    /// How many registers they take.
    pub fn count(self) -> u8 {
        let pairs =
            [self.dispatch_ptr, self.queue_ptr, self.kernarg_segment_ptr, self.dispatch_id, self.flat_scratch_init];
        let pairs: u8 = pairs.into_iter().map(u8::from).sum();
        4 * u8::from(self.private_segment_buffer) + 2 * pairs + u8::from(self.private_segment_size)
    }
}

/// A word of bit fields.
#[derive(Clone, Copy)]
struct Bits(u32);

impl Bits {
    fn bit(self, at: u32) -> bool {
        self.0 >> at & 1 == 1
    }

    /// At most 8 bits.
    fn field(self, low: u32, count: u32) -> u8 {
        (self.0 >> low & ((1 << count) - 1)) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_the_abi_says() {
        let mut bytes = [0; 64];
        bytes[..12].copy_from_slice(&[1, 2, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
        bytes[16..24].copy_from_slice(&(-256_i64).to_le_bytes());
        bytes[44..48].copy_from_slice(&0x5_u32.to_le_bytes());
        let rsrc1 = 9 | 1 << 12 | 2 << 14 | 3 << 16 | 1 << 18 | 1 << 21 | 1 << 26 | 1 << 29 | 1_u32 << 31;
        bytes[48..52].copy_from_slice(&rsrc1.to_le_bytes());
        let rsrc2 = 1 | 15 << 1 | 1 << 7 | 1 << 9 | 2_u32 << 11;
        bytes[52..56].copy_from_slice(&rsrc2.to_le_bytes());
        bytes[56..60].copy_from_slice(&(0b1100_0000_1000_u32 | (3 | 5 << 7) << 16).to_le_bytes());
        let found = Descriptor::new(&bytes, Generation::Gfx11);
        let user_sgprs = UserSgprs { kernarg_segment_ptr: true, ..UserSgprs::default() };
        let expected = Descriptor {
            group_segment_fixed_size: 0x201,
            private_segment_fixed_size: 3,
            kernarg_size: 4,
            entry_offset: -256,
            granulated_vgprs: 9,
            granulated_sgprs: 0,
            float_round_mode_32: 1,
            float_round_mode_16_64: 2,
            float_denorm_mode_32: 3,
            float_denorm_mode_16_64: 1,
            dx10_clamp: true,
            ieee_mode: false,
            fp16_overflow: true,
            wgp_mode: true,
            mem_ordered: false,
            forward_progress: true,
            scratch_enable: true,
            user_sgpr_count: 15,
            workgroup_id: [true, false, true],
            workgroup_info: false,
            work_item_id: 2,
            accum_offset: 0,
            shared_vgprs: 5,
            user_sgprs,
            wavefront_size32: true,
            uses_dynamic_stack: true,
            kernarg_preload_length: 3,
            kernarg_preload_offset: 5,
        };
        assert_eq!(found, expected);
        assert_eq!(found.mode_register(), 0b1000_0000_0000_0001_0111_1001 | 1 << 23);
        assert_eq!(Descriptor::new(&bytes, Generation::Gfx940).accum_offset, 24);
        assert!(!Descriptor::new(&bytes, Generation::Gfx12).dx10_clamp);
    }

    #[test]
    fn user_registers_are_counted() {
        assert_eq!(UserSgprs::new(Bits(0x7f)).count(), 15);
        assert_eq!(UserSgprs::new(Bits(1 << 3)).count(), 2);
        assert_eq!(UserSgprs::new(Bits(0b100_0001)).count(), 5);
    }
}
