//! What a target has to give, and how many waves of a kernel fit.

use super::object::Kernel;

/// Resources of one SIMD, and the LDS that several share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    /// Vector registers of a lane, for all waves together.
    vgprs: u64,
    /// Registers are given out in steps of this.
    vgpr_step: u64,
    /// Scalar registers for all waves; 0 where each wave has its own full set.
    sgprs: u64,
    waves: u64,
    /// LDS of a compute unit, bytes.
    lds: u64,
    /// SIMDs of a compute unit.
    simds: u64,
}

/// The first row that a target's name begins with. From the tables of LLVM's AMDGPU back end and of AMD's ISA documents,
/// for waves of 64 lanes on gfx9 and 32 elsewhere.
static LIMITS: &[(&str, Limits)] = &[
    ("gfx90a", Limits { vgprs: 512, vgpr_step: 8, sgprs: 800, waves: 8, lds: 64 << 10, simds: 4 }),
    ("gfx94", Limits { vgprs: 512, vgpr_step: 8, sgprs: 800, waves: 8, lds: 64 << 10, simds: 4 }),
    ("gfx95", Limits { vgprs: 512, vgpr_step: 8, sgprs: 800, waves: 8, lds: 160 << 10, simds: 4 }),
    ("gfx9", Limits { vgprs: 256, vgpr_step: 4, sgprs: 800, waves: 10, lds: 64 << 10, simds: 4 }),
    ("gfx101", Limits { vgprs: 1024, vgpr_step: 8, sgprs: 0, waves: 20, lds: 64 << 10, simds: 2 }),
    ("gfx103", Limits { vgprs: 1024, vgpr_step: 16, sgprs: 0, waves: 16, lds: 64 << 10, simds: 2 }),
    ("gfx1100", Limits { vgprs: 1536, vgpr_step: 24, sgprs: 0, waves: 16, lds: 64 << 10, simds: 2 }),
    ("gfx1101", Limits { vgprs: 1536, vgpr_step: 24, sgprs: 0, waves: 16, lds: 64 << 10, simds: 2 }),
    ("gfx1151", Limits { vgprs: 1536, vgpr_step: 24, sgprs: 0, waves: 16, lds: 64 << 10, simds: 2 }),
    ("gfx11", Limits { vgprs: 1024, vgpr_step: 16, sgprs: 0, waves: 16, lds: 64 << 10, simds: 2 }),
    ("gfx12", Limits { vgprs: 1536, vgpr_step: 24, sgprs: 0, waves: 16, lds: 64 << 10, simds: 2 }),
];

/// Waves of a kernel that a SIMD holds at once, by its registers and static LDS, with workgroups of the largest size that
/// the kernel allows. `None` for a target without a row.
pub fn occupancy(arch: &str, kernel: &Kernel) -> Option<u64> {
    let limits = &LIMITS.iter().find(|(prefix, _)| arch.starts_with(prefix))?.1;
    let by_vgprs = limits.vgprs / kernel.vgprs.next_multiple_of(limits.vgpr_step).max(limits.vgpr_step);
    let by_sgprs = match limits.sgprs {
        0 => limits.waves,
        all => all / kernel.sgprs.next_multiple_of(16).max(16),
    };
    Some(limits.waves.min(by_vgprs).min(by_sgprs).min(by_lds(limits, kernel)))
}

fn by_lds(limits: &Limits, kernel: &Kernel) -> u64 {
    if kernel.lds == 0 {
        return limits.waves;
    }
    // In WGP mode a workgroup's waves and LDS spread over two compute units.
    let units = if kernel.wgp { 2 } else { 1 };
    let workgroups = units * limits.lds / kernel.lds;
    let waves = workgroups * kernel.threads.div_ceil(kernel.wave.max(1));
    waves.div_ceil(units * limits.simds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(vgprs: u64, lds: u64) -> Kernel {
        Kernel { vgprs, lds, sgprs: 32, threads: 256, wave: 32, ..Kernel::default() }
    }

    #[test]
    fn registers_bound_the_waves() {
        assert_eq!(occupancy("gfx1100", &kernel(96, 0)), Some(16));
        assert_eq!(occupancy("gfx1100", &kernel(97, 0)), Some(12));
        assert_eq!(occupancy("gfx1102", &kernel(96, 0)), Some(10));
        assert_eq!(occupancy("gfx942", &kernel(128, 0)), Some(4));
        assert_eq!(occupancy("gfx942", &Kernel { sgprs: 106, ..kernel(8, 0) }), Some(7));
    }

    #[test]
    fn lds_bounds_the_waves() {
        // Two workgroups of eight waves on two SIMDs.
        assert_eq!(occupancy("gfx1030", &kernel(8, 32 << 10)), Some(8));
        assert_eq!(occupancy("gfx1030", &Kernel { wgp: true, ..kernel(8, 64 << 10) }), Some(4));
    }

    #[test]
    fn an_unknown_target_has_no_limits() {
        assert_eq!(occupancy("sm_90", &kernel(8, 0)), None);
    }

    #[test]
    fn every_target_has_limits() {
        for arch in rocmforge_kernels::TARGETS {
            assert!(occupancy(arch, &kernel(8, 0)).is_some(), "{arch}");
        }
    }
}
