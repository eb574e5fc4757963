//! Instructions that access memory: what they do, and which mistakes are found.

mod faults;
mod local;
pub mod machine;
mod opcodes;
mod races;
mod values;
mod words;

use gfx_emu::isa::Isa;
use gfx_emu::isa::decode::{Words, decode};

#[test]
fn every_opcode_of_the_encodings_for_memory_has_its_row() {
    for wave64 in [false, true] {
        for (name, words) in opcodes::OPCODES {
            let inst = decode(Isa::gfx11(wave64), Words(words), 0).unwrap_or_else(|| panic!("{name} is unknown"));
            assert_eq!(inst.row.name, *name);
            assert_eq!(inst.bytes, 8, "{name}");
        }
    }
}

#[test]
fn registers_behind_the_last_are_no_instruction() {
    // global_load_b128 v[253:256], v[0:1], off: there is no v256.
    let words = [0xdc5e_0000, 0xfd7c_0000];
    assert!(decode(Isa::gfx11(false), Words(&words), 0).is_none());
    assert!(decode(Isa::gfx11(false), Words(&[words[0], 0xfc7c_0000]), 0).is_some());
}
