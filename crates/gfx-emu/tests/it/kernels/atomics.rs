//! Atomic operations of many blocks.

use super::{buffer, line, object, random32, results, room, value};
use bytemuck::{Pod, Zeroable};

const OBJECT: &[u8] = object!("atomics.gfx1100");
const N: usize = 500;

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
struct Words {
    sum: u64,
    most: u64,
    swapped: u64,
    count: u32,
    largest: u32,
    smallest: u32,
    any: u32,
    all: u32,
    flipped: u32,
    wrapped: u32,
    signed_most: i32,
    total: f32,
    rest: u32,
}

#[test]
fn words_hold_what_all_items_made_of_them() {
    let x: Vec<u32> = random32(N, 1).into_iter().map(|x| x | 1 << 20 & !(1 << 3)).collect();
    let start = Words { smallest: u32::MAX, all: u32::MAX, signed_most: i32::MIN, ..Words::zeroed() };
    let found = results(OBJECT, "combine", &line(5, 112), &[buffer(&x), buffer(&[start]), value(N as u32)]);
    let wide = || x.iter().map(|x| u64::from(*x));
    let expected = Words {
        sum: wide().sum(),
        most: wide().map(|x| x * x).max().unwrap(),
        swapped: wide().map(|x| 3 * x).sum(),
        count: N as u32,
        largest: *x.iter().max().unwrap(),
        smallest: *x.iter().min().unwrap(),
        any: x.iter().fold(0, |any, x| any | x),
        all: x.iter().fold(!0, |all, x| all & x),
        flipped: x.iter().fold(0, |flipped, x| flipped ^ x),
        wrapped: N as u32 % 10,
        signed_most: x.iter().map(|x| *x as i32).max().unwrap(),
        total: x.iter().map(|x| x % 8).sum::<u32>() as f32,
        rest: 0,
    };
    assert_eq!(found.of::<Words>(1), [expected]);
}

#[test]
fn each_ticket_is_handed_out_once() {
    let found = results(OBJECT, "tickets", &line(8, 64), &[buffer(&[0u32]), room::<u32>(N), value(N as u32)]);
    assert_eq!((found.of::<u32>(0), found.of::<u32>(1)), (vec![N as u32], vec![1; N]));
}

#[test]
fn histograms_in_lds_add_up() {
    let x = random32(N, 2);
    let (mut bins, mut sums, mut most) = ([0u32; 16], [0f32; 16], [0u64; 16]);
    for x in &x {
        let bin = *x as usize % 16;
        bins[bin] += 1;
        sums[bin] += (x / 16 % 4) as f32;
        most[bin] = most[bin].max(u64::from(*x) << 20);
    }
    let args = [buffer(&x), buffer(&[0u32; 16]), buffer(&[0f32; 16]), buffer(&[0u64; 16]), value(N as u32)];
    let found = results(OBJECT, "histogram", &line(4, 160), &args);
    assert_eq!(
        (found.of::<u32>(1), found.of::<f32>(2), found.of::<u64>(3)),
        (bins.to_vec(), sums.to_vec(), most.to_vec())
    );
}

#[test]
fn the_last_block_sees_what_the_others_left() {
    let x: Vec<u32> = random32(6 * 64, 3).into_iter().map(|x| x >> 12).collect();
    let args = [buffer(&x), room::<u32>(6), buffer(&[0u32]), room::<u32>(1)];
    let found = results(OBJECT, "last_block", &line(6, 64), &args);
    assert_eq!(found.of::<u32>(3), [x.iter().sum::<u32>()]);
}
