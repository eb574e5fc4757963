//! What a code object says about its kernels.

use anyhow::{Result, ensure};
use gfx_emu::object::CodeObject;
use serde::{Deserialize, Serialize};

/// One kernel of a code object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    pub name: String,
    /// Vector registers of a lane; on CDNA this counts accumulation registers too.
    pub vgprs: u64,
    /// Accumulation registers of a lane.
    pub agprs: u64,
    pub sgprs: u64,
    /// Static LDS of a workgroup, bytes.
    pub lds: u64,
    /// Private memory of a lane, bytes.
    pub scratch: u64,
    pub vgpr_spills: u64,
    pub sgpr_spills: u64,
    /// Most lanes of a workgroup.
    pub threads: u64,
    pub wave: u64,
    /// Whether workgroups may spread over the two compute units of a WGP.
    pub wgp: bool,
    /// Instructions, and how many of them are matrix and byte dot products.
    pub instructions: u64,
    pub matrix: u64,
    pub dot: u64,
}

impl Kernel {
    /// Whether registers did not suffice.
    pub fn spills(&self) -> bool {
        self.vgpr_spills > 0 || self.sgpr_spills > 0
    }
}

impl From<&gfx_emu::object::Kernel> for Kernel {
    fn from(kernel: &gfx_emu::object::Kernel) -> Self {
        Self {
            name: kernel.name.clone(),
            vgprs: kernel.vgprs.into(),
            agprs: kernel.agprs.into(),
            sgprs: kernel.sgprs.into(),
            lds: kernel.descriptor.group_segment_fixed_size.into(),
            scratch: kernel.descriptor.private_segment_fixed_size.into(),
            vgpr_spills: kernel.vgpr_spills.into(),
            sgpr_spills: kernel.sgpr_spills.into(),
            threads: kernel.max_workgroup_size.into(),
            wave: kernel.wave_size.into(),
            wgp: kernel.descriptor.wgp_mode,
            ..Self::default()
        }
    }
}

/// The kernels of a code object, sorted by name; without counts of instructions.
pub fn kernels(object: &[u8]) -> Result<Vec<Kernel>> {
    let object = CodeObject::load(object)?;
    ensure!(!object.kernels().is_empty(), "the code object has no kernels");
    let mut kernels: Vec<_> = object.kernels().iter().map(Kernel::from).collect();
    kernels.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(kernels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVERAL: &[u8] = include_bytes!("../../../crates/gfx-emu/tests/kernels/several.gfx1100.co");

    #[test]
    fn kernels_are_read_and_sorted() {
        let found = kernels(SEVERAL).unwrap();
        let names: Vec<_> = found.iter().map(|kernel| kernel.name.as_str()).collect();
        assert_eq!(names, ["indices", "reverse", "scale"]);
        let expected = Kernel {
            name: "reverse".into(),
            vgprs: 12,
            sgprs: 8,
            lds: 128,
            threads: 128,
            wave: 32,
            wgp: true,
            ..Kernel::default()
        };
        assert_eq!(found[1], expected);
    }

    #[test]
    fn registers_that_did_not_suffice_are_spills() {
        assert!(!Kernel::default().spills());
        assert!(Kernel { sgpr_spills: 2, ..Kernel::default() }.spills());
    }
}
