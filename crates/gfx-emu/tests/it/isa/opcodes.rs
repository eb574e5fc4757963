//! All opcodes of a target, as LLVM's disassembler names them, are decoded, to instructions of the same names.

use gfx_emu::isa::Isa;
use gfx_emu::isa::decode::{Words, decode};

/// Lines of an encoding, a name and words.
pub(super) const OPCODES: &str = include_str!("../../data/gfx1100-opcodes.txt");

/// The same of RDNA2.
const OPCODES_GFX10: &str = include_str!("../../data/gfx1030-opcodes.txt");
/// The same of RDNA4.
const OPCODES_GFX12: &str = include_str!("../../data/gfx1201-opcodes.txt");

/// Instructions that only graphics has a use for, which are unknown here.
pub(super) const GRAPHICS: [&str; 5] = ["v_cubeid_f32", "v_cubesc_f32", "v_cubetc_f32", "v_cubema_f32", "v_mullit_f32"];

/// Encodings of memory instructions.
const MEMORY: [&str; 6] = ["SMEM", "DS", "FLAT", "GLOBAL", "SCRATCH", "MUBUF"];

fn decoded_name(isa: &Isa, words: &[u32]) -> Option<(String, usize)> {
    let inst = decode(isa, Words(words), 0)?;
    let name = match &inst.dual {
        None => inst.row.name.to_owned(),
        Some(parts) => {
            let mut names = parts.each_ref().map(|part| part.row.name.replacen("v_", "v_dual_", 1));
            names.sort();
            names.join("+")
        }
    };
    Some((name, usize::from(inst.bytes / 4)))
}

/// Lines of another name or length than they decode to; instructions that are absent may be unknown.
fn wrong<'a>(isa: &Isa, lines: impl Iterator<Item = &'a str>, absent: impl Fn(&str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in lines {
        let mut fields = line.split(' ');
        let encoding = fields.next().unwrap();
        let mut names: Vec<_> = fields.next().unwrap().split('+').collect();
        names.sort_unstable();
        let name = names.join("+");
        let words: Vec<u32> = fields.map(|word| u32::from_str_radix(word, 16).unwrap()).collect();
        // What follows an instruction must not matter, but for a literal it has to be there.
        let longer: Vec<u32> = words.iter().copied().chain([0xbf80_0000]).collect();
        let found = decoded_name(isa, &longer);
        if found != Some((name.clone(), words.len())) && !(found.is_none() && absent(&name)) {
            wrong.push(format!("{encoding} {name} {words:08x?}: {found:?}"));
        }
    }
    wrong
}

#[test]
fn every_opcode_that_computes_has_the_name_and_length_that_llvm_gives_it() {
    let computes = |line: &&str| !MEMORY.contains(&line.split(' ').next().unwrap());
    let wrong = wrong(Isa::gfx11(false), OPCODES.lines().filter(computes), |name| GRAPHICS.contains(&name));
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What RDNA4 has and is not there: graphics, sparse matrices, loads in blocks or transposed, conversions to floats of a
/// byte, exchanges that name a lane in each lane, the state of barriers.
fn is_absent_in_gfx12(name: &str) -> bool {
    const PREFIXES: [&str; 11] = [
        "v_swmmac_",
        "tbuffer_",
        "ds_bvh_stack_",
        "v_cvt_pk_fp8",
        "v_cvt_pk_bf8",
        "v_cvt_sr_",
        "global_load_tr_",
        "v_permlane16_var",
        "v_permlanex16_var",
        "ds_bpermute_fi",
        "s_get_barrier_state",
    ];
    GRAPHICS.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || name.ends_with("_block")
}

#[test]
fn every_opcode_of_rdna4_has_the_name_and_length_that_llvm_gives_it() {
    let wrong = wrong(Isa::gfx12(false), OPCODES_GFX12.lines(), is_absent_in_gfx12);
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What RDNA2 has and is not there: graphics, comparing exchanges in LDS, atomic operations on doubles, dot products of
/// halves that are integers, positions of zeros.
fn is_absent_in_gfx10(name: &str) -> bool {
    const PREFIXES: [&str; 4] = ["ds_cmpst_", "v_interp_", "v_dot2_", "s_ff0_"];
    const DOUBLES: [&str; 3] = ["_atomic_fcmpswap_x2", "_atomic_fmin_x2", "_atomic_fmax_x2"];
    GRAPHICS.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || DOUBLES.iter().any(|suffix| name.ends_with(suffix))
}

#[test]
fn every_opcode_of_rdna2_has_the_name_and_length_that_llvm_gives_it() {
    let wrong = wrong(Isa::gfx10(false), OPCODES_GFX10.lines(), is_absent_in_gfx10);
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
