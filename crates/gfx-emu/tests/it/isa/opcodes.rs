//! All opcodes of a target, as LLVM's disassembler names them, are decoded, to instructions of the same names.

use gfx_emu::isa::Isa;
use gfx_emu::isa::decode::{Words, decode};

/// Lines of an encoding, a name and words.
pub(super) const OPCODES: &str = include_str!("../../data/gfx1100-opcodes.txt");

/// Instructions that only graphics has a use for, which are unknown here.
pub(super) const GRAPHICS: [&str; 5] = ["v_cubeid_f32", "v_cubesc_f32", "v_cubetc_f32", "v_cubema_f32", "v_mullit_f32"];

/// Encodings of memory instructions.
const MEMORY: [&str; 6] = ["SMEM", "DS", "FLAT", "GLOBAL", "SCRATCH", "MUBUF"];

fn decoded_name(words: &[u32]) -> Option<(String, usize)> {
    let inst = decode(Isa::gfx11(false), Words(words), 0)?;
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

#[test]
fn every_opcode_that_computes_has_the_name_and_length_that_llvm_gives_it() {
    let mut wrong = Vec::new();
    for line in OPCODES.lines() {
        let mut fields = line.split(' ');
        let encoding = fields.next().unwrap();
        if MEMORY.contains(&encoding) {
            continue;
        }
        let mut names: Vec<_> = fields.next().unwrap().split('+').collect();
        names.sort_unstable();
        let name = names.join("+");
        let words: Vec<u32> = fields.map(|word| u32::from_str_radix(word, 16).unwrap()).collect();
        // What follows an instruction must not matter, but for a literal it has to be there.
        let longer: Vec<u32> = words.iter().copied().chain([0xbf80_0000]).collect();
        let found = decoded_name(&longer);
        if found != Some((name.clone(), words.len())) && !(found.is_none() && GRAPHICS.contains(&name.as_str())) {
            wrong.push(format!("{encoding} {name} {words:08x?}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), OPCODES.lines().count(), wrong.join("\n"));
}
