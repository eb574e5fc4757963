//! Functions, stacks, hidden arguments, dynamic LDS and diverged lanes, of a compiler that optimises and of one that does
//! not.

use super::{Arg, Dispatch, buffer, line, object, random32, results, room};

const OBJECTS: [(&str, &[u8]); 2] = [("-O3", object!("calls.gfx1100")), ("-O0", object!("calls.gfx1100-O0"))];

/// Both objects' results of a kernel over `x` are those of a formula of the item's number and value.
fn check(kernel: &str, dispatch: &Dispatch, x: &[u32], formula: impl Fn(u32, u32) -> u32) {
    let expected: Vec<u32> = x.iter().enumerate().map(|(i, x)| formula(i as u32, *x)).collect();
    for (level, object) in OBJECTS {
        let found = results(object, kernel, dispatch, &[buffer(x), room::<u32>(x.len())]).of::<u32>(1);
        assert_eq!(found, expected, "{kernel} {level}");
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[test]
fn a_function_with_a_loop() {
    check("call", &line(2, 48), &random32(96, 1), |i, x| gcd(x, 360 + i));
}

#[test]
fn recursion_as_deep_as_each_lane_wants() {
    let fibonacci = [0, 1, 1, 2, 3, 5, 8, 13, 21];
    check("recurse", &line(2, 40), &random32(80, 2), |_, x| fibonacci[x as usize % 9]);
}

#[test]
fn calls_through_a_table_where_lanes_want_different_functions() {
    check("call_table", &line(2, 40), &random32(80, 3), |_, x| match x % 3 {
        0 => x.wrapping_mul(2),
        1 => x.wrapping_mul(x),
        _ => x.wrapping_add(1),
    });
}

#[test]
fn arrays_of_a_lanes_own() {
    check("sort_digits", &line(2, 40), &random32(80, 4), |_, x| {
        let mut digits: Vec<u32> = (0..10).map(|place| x / 10u32.pow(place) % 10).collect();
        digits.sort_unstable();
        digits.into_iter().fold(0, |sorted: u32, digit| sorted * 7 + digit)
    });
}

/// The kernel's interpreter, in other words: `None` where the program goes on.
fn step(program: &mut u32, a: &mut u32, b: &mut u32) {
    let op = *program & 7;
    *program >>= 3;
    match op {
        0 => *a = a.wrapping_add(*b),
        1 => *b ^= *a,
        2 => *a = a.wrapping_mul(5),
        3 => {
            while *a > 1000 {
                *a /= 3;
            }
        }
        4 => std::mem::swap(a, b),
        5 if (*a).is_multiple_of(2) => *b = b.wrapping_add(7),
        5 => {}
        6 => (1..=*a % 5).rev().for_each(|n| *b = b.wrapping_mul(3).wrapping_add(n)),
        _ => *program ^= *b & 0x38,
    }
}

#[test]
fn lanes_that_go_their_own_ways_come_together_again() {
    check("interpret", &line(3, 50), &random32(150, 5), |i, x| {
        let (mut program, mut a, mut b) = (x, i + 1, 1);
        for _ in 0..100 {
            // An odd number skips the rest of the step, and with it the end at 42.
            let skips = program & 7 == 5 && a % 2 == 1;
            if program == 0 {
                break;
            }
            step(&mut program, &mut a, &mut b);
            if b == 42 && !skips {
                break;
            }
        }
        a ^ b << 7
    });
}

#[test]
fn lds_whose_size_the_launch_says() {
    for items in [7, 32, 100, 256] {
        let dispatch = Dispatch { dynamic_lds: 8 * items, ..line(3, items) };
        let x = random32(3 * items as usize, 6);
        check("dynamic_lds", &dispatch, &x, |i, _| {
            let (block, item) = (i / items * items, i % items);
            x[(block + items - 1 - item) as usize].wrapping_add(x[(block + (item + 1) % items) as usize])
        });
    }
}

#[test]
fn records_without_alignment() {
    const BYTES: usize = 15;
    let bytes: Vec<u8> = random32(40 * BYTES, 7).into_iter().map(|x| x as u8).collect();
    let expected: Vec<u8> = bytes.chunks(BYTES).flat_map(changed).collect();
    for (level, object) in OBJECTS {
        let args = [Arg::Buffer(bytes.clone()), Arg::Empty(bytes.len())];
        let found = results(object, "unaligned", &line(1, 40), &args).of::<u8>(1);
        assert_eq!(found, expected, "{level}");
    }
}

/// A record of 1, 4, 8 and 2 bytes as the kernel changes it.
fn changed(record: &[u8]) -> Vec<u8> {
    let tag = record[0].wrapping_add(1);
    let word = u32::from_le_bytes(record[1..5].try_into().unwrap()).wrapping_mul(3);
    let half = u16::from_le_bytes(record[13..15].try_into().unwrap());
    let wide = u64::from_le_bytes(record[5..13].try_into().unwrap()).wrapping_add(half.into());
    [&[tag][..], &word.to_le_bytes(), &wide.to_le_bytes(), &(!half).to_le_bytes()].concat()
}

#[test]
fn hidden_arguments_say_where_an_item_is() {
    let (grid, block) = ([3u32, 2, 4], [5u32, 3, 2]);
    let [width, height, depth] = [0, 1, 2].map(|axis| grid[axis] * block[axis]);
    let packed = |[x, y, z]: [u32; 3]| x | y << 8 | z << 16;
    let items = (0..width * height * depth).flat_map(|i| {
        let at = [i % width, i / width % height, i / (width * height)];
        [at, [width, height, depth], grid, block].map(packed)
    });
    let expected: Vec<u32> = items.collect();
    for (level, object) in OBJECTS {
        let dispatch = Dispatch { grid, block, dynamic_lds: 0 };
        assert_eq!(
            results(object, "place", &dispatch, &[room::<u32>(expected.len())]).of::<u32>(0),
            expected,
            "{level}"
        );
    }
}
