//! What instructions of LDS do.

use super::machine::Machine;

const WAIT: &str = "s_waitcnt vmcnt(0) lgkmcnt(0)";

#[test]
fn what_is_stored_comes_back_in_all_widths() {
    let mut machine = Machine::new();
    machine.v(0, |lane| 20 * lane as u32 + 1);
    for n in 0..4 {
        machine.v(1 + n, move |lane| 0x9182_7364u32.wrapping_mul(lane as u32 + 1) ^ u32::from(n) << 7);
    }
    let done = machine
        .run(&[
            "ds_store_b128 v0, v[1:4] offset:3",
            "ds_load_b128 v[8:11], v0 offset:3",
            "ds_load_b96 v[12:14], v0 offset:7",
            "ds_load_b64 v[16:17], v0 offset:5",
            "ds_load_u8 v18, v0 offset:6",
            "ds_load_i8 v19, v0 offset:6",
            "ds_load_u16 v20, v0 offset:5",
            "ds_load_i16 v21, v0 offset:5",
            WAIT,
        ])
        .unwrap();
    for lane in 0..32 {
        let bytes: Vec<u8> = (1..5).flat_map(|n| done.v(n)[lane].to_le_bytes()).collect();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((8..12).map(|n| done.v(n)[lane]).collect::<Vec<_>>(), [word(0), word(4), word(8), word(12)]);
        assert_eq!((12..15).map(|n| done.v(n)[lane]).collect::<Vec<_>>(), [word(4), word(8), word(12)]);
        assert_eq!([done.v(16)[lane], done.v(17)[lane]], [word(2), word(6)]);
        assert_eq!(done.v(18)[lane], u32::from(bytes[3]));
        assert_eq!(done.v(19)[lane], bytes[3] as i8 as u32);
        assert_eq!(done.v(20)[lane], word(2) & 0xffff);
        assert_eq!(done.v(21)[lane], word(2) as i16 as u32);
    }
}

#[test]
fn two_addresses_count_elements_or_64_of_them() {
    let mut machine = Machine::new();
    machine.lds = 4096;
    machine.v(0, |lane| 8 * lane as u32).v(1, |lane| lane as u32).v(2, |lane| 100 + lane as u32);
    machine.v(3, |lane| 200 + lane as u32).v(4, |lane| 300 + lane as u32);
    let done = machine
        .run(&[
            "ds_store_2addr_b32 v0, v1, v2 offset1:1",
            "ds_store_2addr_stride64_b32 v0, v3, v4 offset0:1 offset1:2",
            "ds_load_2addr_b32 v[6:7], v0 offset0:1",
            "ds_load_2addr_stride64_b32 v[8:9], v0 offset0:2 offset1:1",
            "ds_load_2addr_b64 v[10:13], v0 offset1:32",
            WAIT,
        ])
        .unwrap();
    for lane in 0..32 {
        let l = lane as u32;
        assert_eq!([done.v(6)[lane], done.v(7)[lane]], [100 + l, l]);
        assert_eq!([done.v(8)[lane], done.v(9)[lane]], [300 + l, 200 + l]);
        assert_eq!([done.v(10)[lane], done.v(11)[lane], done.v(12)[lane]], [l, 100 + l, 200 + l]);
    }
}

#[test]
fn halves_are_kept_and_taken() {
    let mut machine = Machine::new();
    machine
        .v(0, |lane| 4 * lane as u32)
        .v(1, |lane| 0xabcd_0000 | lane as u32)
        .v(2, |_| 0x1111_2222)
        .v(3, |_| 0x1111_2222);
    let program = [
        "ds_store_b16_d16_hi v0, v1",
        "ds_store_b16 v0, v1 offset:2",
        "ds_load_u16_d16 v2, v0",
        "ds_load_u16_d16_hi v3, v0 offset:2",
        WAIT,
    ];
    let done = machine.run(&program).unwrap();
    for lane in 0..32 {
        assert_eq!(done.v(2)[lane], 0x1111_abcd);
        assert_eq!(done.v(3)[lane], 0x2222 | (lane as u32) << 16);
    }
}

#[test]
fn atomic_operations_change_words_in_the_order_of_lanes() {
    let mut machine = Machine::new();
    machine.v(0, |_| 16).v(1, |_| 5).v(2, |lane| lane as u32).v(3, |_| 5);
    let done = machine
        .run(&[
            "ds_store_b32 v0, v1",
            "ds_add_rtn_u32 v4, v0, v2",
            "ds_load_b32 v5, v0",
            "ds_store_b32 v0, v1",
            "ds_cmpstore_rtn_b32 v6, v0, v2, v3",
            "ds_load_b32 v7, v0",
            WAIT,
        ])
        .unwrap();
    let mut sum = 5;
    for lane in 0..32 {
        assert_eq!(done.v(4)[lane], sum);
        sum += lane as u32;
        assert_eq!(done.v(5)[lane], 5 + 31 * 16);
        // Lane 0 finds 5 and writes 0; after it only lane 5 could write 5 back.
        assert_eq!(done.v(6)[lane], if lane == 0 { 5 } else { 0 });
        assert_eq!(done.v(7)[lane], 0);
    }
}

#[test]
fn permutations_wrap_in_each_half_and_read_zero_from_inactive_lanes() {
    let mut machine = Machine::new();
    machine.wave64 = true;
    machine.exec = !(1 << 7);
    machine.v(0, |lane| 4 * (lane as u32 + 3)).v(1, |lane| 1000 + lane as u32).v(2, |_| 1).v(3, |_| 1);
    let done = machine.run(&["ds_bpermute_b32 v2, v0, v1", "ds_permute_b32 v3, v0, v1", WAIT]).unwrap();
    for lane in (0..64).filter(|lane| *lane != 7) {
        let half = lane / 32;
        let from = (lane + 3) % 32 + 32 * half;
        let to = (lane + 29) % 32 + 32 * half;
        assert_eq!(done.waves[0].v(half, 2)[lane % 32], if from == 7 { 0 } else { 1000 + from as u32 });
        assert_eq!(done.waves[0].v(half, 3)[lane % 32], if to == 7 { 0 } else { 1000 + to as u32 });
    }
    assert_eq!(done.v(2)[7], 1);
}

#[test]
fn swizzles_follow_their_patterns() {
    let cases: [(&str, fn(usize) -> usize); 5] = [
        ("ds_swizzle_b32 v1, v0 offset:swizzle(SWAP,16)", |lane| lane ^ 16),
        ("ds_swizzle_b32 v1, v0 offset:swizzle(BROADCAST,8,3)", |lane| lane & !7 | 3),
        ("ds_swizzle_b32 v1, v0 offset:swizzle(REVERSE,4)", |lane| lane ^ 3),
        ("ds_swizzle_b32 v1, v0 offset:swizzle(QUAD_PERM,3,0,1,1)", |lane| lane & !3 | [3, 0, 1, 1][lane & 3]),
        ("ds_swizzle_b32 v1, v0 offset:50208", |lane| (lane + 31) % 32),
    ];
    for (text, from) in cases {
        let mut machine = Machine::new();
        machine.v(0, |lane| lane as u32);
        let done = machine.run(&[text, WAIT]).unwrap();
        assert_eq!(done.v(1), std::array::from_fn(|lane| from(lane) as u32), "{text}");
    }
}

#[test]
fn append_counts_active_lanes() {
    let mut machine = Machine::new();
    machine.exec = 0x70f;
    machine.s(125, 8).v(0, |_| 12).v(1, |_| 40);
    let done = machine
        .run(&["ds_store_b32 v0, v1", "ds_append v2 offset:4", "ds_consume v3 offset:4", "ds_load_b32 v4, v0", WAIT])
        .unwrap();
    assert_eq!([done.v(2)[0], done.v(3)[10], done.v(4)[1]], [40, 47, 40]);
}

#[test]
fn conflicts_of_banks_are_counted() {
    let mut machine = Machine::new();
    machine.counts_lines = true;
    machine.lds = 8192;
    machine.v(0, |lane| 4 * lane as u32).v(1, |lane| 128 * lane as u32);
    let counts = machine.run(&["ds_store_b32 v0, v1", "ds_store_b32 v1, v0"]).unwrap().counts;
    assert_eq!((counts.lds_accesses, counts.lds_conflicts), (2, 31));
}
