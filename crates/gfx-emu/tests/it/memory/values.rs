//! What loads, stores and atomic operations on global and private memory do.

use super::machine::Machine;

const WAIT: &str = "s_waitcnt vmcnt(0) lgkmcnt(0)";

/// Bytes with all signs.
fn pattern() -> Vec<u8> {
    (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn loads_extend_and_keep_halves_as_their_names_say() {
    let bytes = pattern();
    let old = 0x1234_5678u32;
    let cases: [(&str, fn(u8, u8, u32) -> u32); 10] = [
        ("u8", |b, _, _| b.into()),
        ("i8", |b, _, _| b as i8 as u32),
        ("u16", |b, c, _| u16::from_le_bytes([b, c]).into()),
        ("i16", |b, c, _| i16::from_le_bytes([b, c]) as u32),
        ("d16_u8", |b, _, old| old & 0xffff_0000 | u32::from(b)),
        ("d16_i8", |b, _, old| old & 0xffff_0000 | u32::from(b as i8 as u16)),
        ("d16_b16", |b, c, old| old & 0xffff_0000 | u32::from(u16::from_le_bytes([b, c]))),
        ("d16_hi_u8", |b, _, old| old & 0xffff | u32::from(b) << 16),
        ("d16_hi_i8", |b, _, old| old & 0xffff | u32::from(b as i8 as u16) << 16),
        ("d16_hi_b16", |b, c, old| old & 0xffff | u32::from(u16::from_le_bytes([b, c])) << 16),
    ];
    for (name, expected) in cases {
        let mut machine = Machine::new();
        let base = machine.memory.allocate_from(&bytes, "bytes");
        machine.s64(2, base).v(0, |lane| 37 * lane as u32).v(1, move |_| old);
        let done = machine.run(&[&format!("global_load_{name} v1, v0, s[2:3] offset:5"), WAIT]).unwrap();
        for lane in 0..32 {
            let at = 37 * lane + 5;
            assert_eq!(done.v(1)[lane], expected(bytes[at], bytes[at + 1], old), "{name}, lane {lane}");
        }
    }
}

#[test]
fn wide_loads_fill_consecutive_registers_at_any_alignment() {
    let bytes = pattern();
    for (text, words) in [
        ("global_load_b32 v4, v[0:1], off offset:-3", 1),
        ("global_load_b64 v[4:5], v[0:1], off offset:-3", 2),
        ("global_load_b96 v[4:6], v[0:1], off offset:-3", 3),
        ("global_load_b128 v[4:7], v[0:1], off offset:-3", 4),
        ("flat_load_b128 v[4:7], v[0:1]", 4),
    ] {
        let mut machine = Machine::new();
        let base = machine.memory.allocate_from(&bytes, "bytes");
        machine.v64(0, move |lane| base + 64 * lane as u64 + 8);
        let done = machine.run(&[text, WAIT]).unwrap();
        let offset = if text.starts_with("flat") { 8 } else { 5 };
        for lane in 0..32 {
            for n in 0..words {
                assert_eq!(done.v(4 + n as u16)[lane], word(&bytes, 64 * lane + offset + 4 * n), "{text}, lane {lane}");
            }
        }
    }
}

#[test]
fn inactive_lanes_neither_load_nor_store() {
    let mut machine = Machine::new();
    let base = machine.memory.allocate_from(&[7u32; 32], "sevens");
    machine.exec = 0x0000_ff01;
    machine.s64(2, base).v(1, |lane| 100 + lane as u32).v(2, |lane| lane as u32);
    // Inactive lanes have addresses that would be faults.
    machine.v(0, |lane| if 0xff01 >> lane & 1 == 1 { 4 * lane as u32 } else { u32::MAX });
    let done = machine.run(&["global_load_b32 v1, v0, s[2:3]", "global_store_b32 v0, v2, s[2:3]", WAIT]).unwrap();
    let stored: Vec<u32> = machine.memory.read(base, 32).unwrap();
    for lane in 0..32 {
        let active = 0xff01 >> lane & 1 == 1;
        assert_eq!(done.v(1)[lane], if active { 7 } else { 100 + lane as u32 });
        assert_eq!(stored[lane], if active { lane as u32 } else { 7 });
    }
}

#[test]
fn stores_write_their_bytes_alone() {
    let value = |lane: usize| 0x8765_4321u32.wrapping_mul(lane as u32 + 1);
    for (text, first, count) in [
        ("global_store_b8 v0, v1, s[2:3]", 0, 1),
        ("global_store_b16 v0, v1, s[2:3]", 0, 2),
        ("global_store_d16_hi_b8 v0, v1, s[2:3]", 2, 1),
        ("global_store_d16_hi_b16 v0, v1, s[2:3]", 2, 2),
        ("global_store_b32 v0, v1, s[2:3]", 0, 4),
        ("global_store_b64 v0, v[1:2], s[2:3]", 0, 8),
        ("global_store_b96 v0, v[1:3], s[2:3]", 0, 12),
        ("global_store_b128 v0, v[1:4], s[2:3]", 0, 16),
    ] {
        let mut machine = Machine::new();
        let base = machine.memory.allocate_from(&[0xaau8; 1024], "bytes");
        machine.s64(2, base).v(0, |lane| 31 * lane as u32 + 1);
        for n in 0..4 {
            machine.v(1 + n, move |lane| value(lane) ^ u32::from(n));
        }
        machine.run(&[text]).unwrap();
        let mut expected = vec![0xaau8; 1024];
        for lane in 0..32 {
            let data: Vec<u8> = (0..4).flat_map(|n| (value(lane) ^ n).to_le_bytes()).collect();
            expected[31 * lane + 1..31 * lane + 1 + count].copy_from_slice(&data[first..first + count]);
        }
        assert_eq!(machine.memory.read::<u8>(base, 1024).unwrap(), expected, "{text}");
    }
}

#[test]
fn atomic_operations_of_32_bits_follow_their_formulas() {
    let cases: [(&str, fn(u32, u32) -> u32); 13] = [
        ("swap_b32", |_, d| d),
        ("add_u32", |o, d| o.wrapping_add(d)),
        ("sub_u32", |o, d| o.wrapping_sub(d)),
        ("min_i32", |o, d| if (d as i32) < o as i32 { d } else { o }),
        ("min_u32", |o, d| if d < o { d } else { o }),
        ("max_i32", |o, d| if d as i32 > o as i32 { d } else { o }),
        ("max_u32", |o, d| if d > o { d } else { o }),
        ("and_b32", |o, d| o & d),
        ("or_b32", |o, d| o | d),
        ("xor_b32", |o, d| o ^ d),
        ("inc_u32", |o, d| if o >= d { 0 } else { o + 1 }),
        ("dec_u32", |o, d| if o == 0 || o > d { d } else { o - 1 }),
        ("add_f32", |o, d| (f32::from_bits(o) + f32::from_bits(d)).to_bits()),
    ];
    let olds: Vec<u32> = (0..32).map(|i| [0, 1, 5, u32::MAX, 0x8000_0000, 0x4000_0000][i % 6]).collect();
    let data = |lane: usize| [3, 0, 0x3f80_0000, 0xbf80_0000, 5][lane % 5];
    for (name, expected) in cases {
        for glc in [" glc", ""] {
            let mut machine = Machine::new();
            let base = machine.memory.allocate_from(&olds, "words");
            machine.s64(2, base).v(0, |lane| 4 * lane as u32).v(1, data).v(2, |_| 99);
            let text = if glc.is_empty() {
                format!("global_atomic_{name} v0, v1, s[2:3]")
            } else {
                format!("global_atomic_{name} v2, v0, v1, s[2:3] glc")
            };
            let done = machine.run(&[&text, WAIT]).unwrap();
            let new: Vec<u32> = machine.memory.read(base, 32).unwrap();
            for lane in 0..32 {
                assert_eq!(new[lane], expected(olds[lane], data(lane)), "{name}, lane {lane}");
                assert_eq!(done.v(2)[lane], if glc.is_empty() { 99 } else { olds[lane] }, "{name}, lane {lane}");
            }
        }
    }
}

#[test]
fn compare_and_swap_takes_the_new_value_first() {
    let mut machine = Machine::new();
    let base = machine.memory.allocate_from(&(0..32u64).map(|i| i << 33 | 5).collect::<Vec<_>>(), "words");
    machine.s64(2, base).v(0, |lane| 8 * lane as u32).v64(4, |lane| 1000 + lane as u64);
    machine.v64(6, |lane| if lane % 2 == 0 { (lane as u64) << 33 | 5 } else { 5 });
    let done = machine.run(&["global_atomic_cmpswap_b64 v[2:3], v0, v[4:7], s[2:3] glc", WAIT]).unwrap();
    let new: Vec<u64> = machine.memory.read(base, 32).unwrap();
    for lane in 0..32 {
        let old = (lane as u64) << 33 | 5;
        assert_eq!(u64::from(done.v(2)[lane]) | u64::from(done.v(3)[lane]) << 32, old);
        assert_eq!(new[lane], if lane % 2 == 0 { 1000 + lane as u64 } else { old });
    }
}

#[test]
fn lanes_that_add_to_one_word_all_count() {
    let mut machine = Machine::new();
    machine.wave64 = true;
    let base = machine.memory.allocate_from(&[10u32], "sum");
    machine.v64(0, move |_| base).v(2, |lane| lane as u32);
    machine.run(&["flat_atomic_add_u32 v[0:1], v2"]).unwrap();
    assert_eq!(machine.memory.read::<u32>(base, 1).unwrap(), [10 + 63 * 32]);
}

#[test]
fn scalar_loads_add_both_offsets_and_fill_consecutive_registers() {
    let words: Vec<u32> = (0..64).map(|i| i * 7 + 1).collect();
    let mut machine = Machine::new();
    let base = machine.memory.allocate_from(&words, "words");
    machine.s64(2, base + 32).s(5, 16).s64(40, base).s(42, 256).s(43, 0);
    let done = machine
        .run(&[
            "s_load_b32 s4, s[2:3], -0x4",
            "s_load_b64 s[6:7], s[2:3], s5 offset:0x8",
            "s_load_b512 s[16:31], s[2:3], null",
            "s_buffer_load_b128 s[8:11], s[40:43], 0xf0",
            WAIT,
        ])
        .unwrap();
    let wave = &done.waves[0];
    assert_eq!(wave.s(4), words[7]);
    assert_eq!([wave.s(6), wave.s(7)], words[14..16]);
    assert_eq!((16..32).map(|s| wave.s(s)).collect::<Vec<_>>(), words[8..24]);
    assert_eq!((8..12).map(|s| wave.s(s)).collect::<Vec<_>>(), words[60..64]);
}

#[test]
fn private_memory_is_each_lanes_own_also_by_flat_addresses() {
    let mut machine = Machine::new();
    machine.wave64 = true;
    machine.s(4, 8).v(0, |lane| lane as u32 * 3).v(1, |_| 4).v64(2, |_| gfx_emu::abi::PRIVATE_APERTURE + 12);
    let done = machine
        .run(&[
            "scratch_store_b32 v1, v0, s4",
            "scratch_load_b32 v4, off, off offset:12",
            "flat_load_b32 v5, v[2:3]",
            WAIT,
        ])
        .unwrap();
    for half in 0..2 {
        let expected: [u32; 32] = std::array::from_fn(|lane| 3 * (lane + 32 * half) as u32);
        assert_eq!(*done.waves[0].v(half, 4), expected);
        assert_eq!(*done.waves[0].v(half, 5), expected);
    }
}

#[test]
fn buffers_add_base_index_and_offsets() {
    let words: Vec<u32> = (0..1024).collect();
    let mut machine = Machine::new();
    let base = machine.memory.allocate_from(&words, "words");
    let descriptor = base | 16 << 48;
    machine.s64(4, descriptor).s(6, 200).s(7, 0).s(8, 4);
    machine.v(0, |lane| lane as u32).v(1, |lane| if lane % 2 == 0 { 0 } else { 4 });
    let done = machine.run(&["buffer_load_b32 v2, v[0:1], s[4:7], s8 idxen offen offset:64", WAIT]).unwrap();
    for lane in 0..32 {
        assert_eq!(done.v(2)[lane] as usize, 4 * lane + lane % 2 + 1 + 16);
    }
}

#[test]
fn bytes_lines_and_instructions_are_counted() {
    let mut machine = Machine::new();
    machine.counts_lines = true;
    let base = machine.memory.allocate_from(&[0u8; 8192], "bytes");
    machine.s64(2, base).v(0, |lane| 16 * lane as u32).v(1, |lane| 128 * lane as u32).v(2, |_| 0);
    let program =
        ["global_load_b128 v[4:7], v0, s[2:3]", "global_store_b32 v1, v2, s[2:3]", "s_load_b64 s[6:7], s[2:3], null"];
    let counts = machine.run(&program).unwrap().counts;
    assert_eq!((counts.loaded_bytes, counts.loaded_lines), (512, 4));
    assert_eq!((counts.stored_bytes, counts.stored_lines), (128, 32));
    assert_eq!(counts.scalar_bytes, 8);
}
