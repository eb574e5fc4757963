//! Which GPU a code object is for.

use super::error::ObjectError;

/// Processors that share an instruction set and a calling convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Generation {
    /// Vega and CDNA1: wave64, work-item ids in three registers.
    Gfx9,
    /// CDNA2: wave64, accumulation registers in one file with the others, packed work-item ids.
    Gfx90a,
    /// CDNA3: as CDNA2, and scratch memory without set-up by the kernel.
    Gfx940,
    /// RDNA1 and RDNA2.
    Gfx10,
    /// RDNA3 and RDNA3.5.
    Gfx11,
    /// RDNA4.
    Gfx12,
}

impl Generation {
    /// That of a processor such as `gfx1100`; `None` for one that is not known.
    pub fn of_processor(name: &str) -> Option<Self> {
        PROCESSORS.iter().find(|(_, known, _)| *known == name).map(|(.., generation)| *generation)
    }

    /// Whether v0 holds the three work-item ids of a lane in ten bits each.
    pub fn packs_work_item_ids(self) -> bool {
        !matches!(self, Self::Gfx9 | Self::Gfx10)
    }

    /// Bits of MODE that are set whatever a kernel's descriptor says: RDNA4 always clamps NaNs to zero and treats
    /// signalling NaNs as IEEE 754 does.
    pub fn fixed_mode_bits(self) -> u32 {
        if self == Self::Gfx12 { 0x300 } else { 0 }
    }

    /// Whether a wave's scratch memory is set up before the kernel begins ("architected flat scratch").
    pub fn has_architected_scratch(self) -> bool {
        matches!(self, Self::Gfx940 | Self::Gfx11 | Self::Gfx12)
    }
}

/// `EF_AMDGPU_MACH` of `e_flags`, the processor's name, its generation.
const PROCESSORS: &[(u32, &str, Generation)] = &[
    (0x2c, "gfx900", Generation::Gfx9),
    (0x2d, "gfx902", Generation::Gfx9),
    (0x2e, "gfx904", Generation::Gfx9),
    (0x2f, "gfx906", Generation::Gfx9),
    (0x30, "gfx908", Generation::Gfx9),
    (0x31, "gfx909", Generation::Gfx9),
    (0x32, "gfx90c", Generation::Gfx9),
    (0x51, "gfx9-generic", Generation::Gfx9),
    (0x3f, "gfx90a", Generation::Gfx90a),
    (0x4c, "gfx942", Generation::Gfx940),
    (0x4f, "gfx950", Generation::Gfx940),
    (0x5f, "gfx9-4-generic", Generation::Gfx940),
    (0x33, "gfx1010", Generation::Gfx10),
    (0x34, "gfx1011", Generation::Gfx10),
    (0x35, "gfx1012", Generation::Gfx10),
    (0x42, "gfx1013", Generation::Gfx10),
    (0x52, "gfx10-1-generic", Generation::Gfx10),
    (0x36, "gfx1030", Generation::Gfx10),
    (0x37, "gfx1031", Generation::Gfx10),
    (0x38, "gfx1032", Generation::Gfx10),
    (0x39, "gfx1033", Generation::Gfx10),
    (0x3e, "gfx1034", Generation::Gfx10),
    (0x3d, "gfx1035", Generation::Gfx10),
    (0x45, "gfx1036", Generation::Gfx10),
    (0x53, "gfx10-3-generic", Generation::Gfx10),
    (0x41, "gfx1100", Generation::Gfx11),
    (0x46, "gfx1101", Generation::Gfx11),
    (0x47, "gfx1102", Generation::Gfx11),
    (0x44, "gfx1103", Generation::Gfx11),
    (0x43, "gfx1150", Generation::Gfx11),
    (0x4a, "gfx1151", Generation::Gfx11),
    (0x55, "gfx1152", Generation::Gfx11),
    (0x58, "gfx1153", Generation::Gfx11),
    (0x54, "gfx11-generic", Generation::Gfx11),
    (0x48, "gfx1200", Generation::Gfx12),
    (0x4e, "gfx1201", Generation::Gfx12),
    (0x59, "gfx12-generic", Generation::Gfx12),
];

/// A processor with its features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    id: String,
    generation: Generation,
}

impl Target {
    /// The target that metadata and the ELF header agree on.
    pub(super) fn new(triple: &str, e_flags: u32) -> Result<Self, ObjectError> {
        const EF_AMDGPU_MACH: u32 = 0xff;
        let machine = e_flags & EF_AMDGPU_MACH;
        let unknown = || ObjectError::UnknownTarget { metadata: triple.to_owned(), machine };
        let id = of_triple(triple).ok_or_else(unknown)?;
        let processor = PROCESSORS.iter().find(|(number, name, _)| *number == machine && *name == processor(id));
        let &(_, _, generation) = processor.ok_or_else(unknown)?;
        Ok(Self { id: id.to_owned(), generation })
    }

    /// Processor and features, as in `gfx942:sramecc+:xnack-`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The processor alone, as in `gfx942`.
    pub fn processor(&self) -> &str {
        processor(&self.id)
    }

    /// The family the processor belongs to.
    pub fn generation(&self) -> Generation {
        self.generation
    }
}

/// `gfx1100` of `hipv4-amdgcn-amd-amdhsa--gfx1100`; `None` for what is no AMD GPU.
pub fn of_triple(triple: &str) -> Option<&str> {
    let (_, environment) = triple.split_once("amdgcn-amd-amdhsa-")?;
    environment.split_once('-').map(|(_, id)| id)
}

/// Whether code for `id` serves `wanted`: the processor is the same, and so is each feature that both name.
pub fn matches(id: &str, wanted: &str) -> bool {
    let opposite = |feature: &str| match feature.strip_suffix('+') {
        Some(name) => format!("{name}-"),
        None => format!("{}+", feature.trim_end_matches('-')),
    };
    let clash = |feature: &str| wanted.split(':').skip(1).any(|other| *other == opposite(feature));
    processor(id) == processor(wanted) && !id.split(':').skip(1).any(clash)
}

fn processor(id: &str) -> &str {
    id.split(':').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_listed_once() {
        for (at, (machine, name, _)) in PROCESSORS.iter().enumerate() {
            let rest = &PROCESSORS[at + 1..];
            assert!(rest.iter().all(|(other, other_name, _)| other != machine && other_name != name), "{name}");
        }
    }

    #[test]
    fn the_target_stands_behind_the_triple() {
        assert_eq!(of_triple("hipv4-amdgcn-amd-amdhsa--gfx1100"), Some("gfx1100"));
        assert_eq!(of_triple("amdgcn-amd-amdhsa-unknown-gfx9-4-generic:xnack-"), Some("gfx9-4-generic:xnack-"));
        assert_eq!(of_triple("host-x86_64-unknown-linux-gnu-"), None);
    }

    #[test]
    fn features_clash_only_where_both_sides_name_them() {
        assert!(matches("gfx942:sramecc+:xnack-", "gfx942"));
        assert!(matches("gfx942", "gfx942:xnack+"));
        assert!(matches("gfx942:xnack+", "gfx942:xnack+"));
        assert!(!matches("gfx942:xnack-", "gfx942:xnack+"));
        assert!(!matches("gfx1100", "gfx1101"));
    }

    #[test]
    fn header_and_metadata_must_agree() {
        let target = Target::new("amdgcn-amd-amdhsa--gfx942:xnack-", 0x54c).unwrap();
        assert_eq!((target.id(), target.processor()), ("gfx942:xnack-", "gfx942"));
        assert_eq!(target.generation(), Generation::Gfx940);
        assert!(Target::new("amdgcn-amd-amdhsa--gfx1100", 0x36).is_err());
        assert!(Target::new("amdgcn-amd-amdhsa--gfx1", 0x36).is_err());
    }
}
