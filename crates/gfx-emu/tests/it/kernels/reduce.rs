//! Reductions, scans and votes.

use super::{buffer, line, object, random32, results, room, value};

const OBJECT: &[u8] = object!("reduce.gfx1100");
const WAVE64: &[u8] = object!("wave64.gfx1100-wave64");

/// Folds in two as the kernel does, so that floats are rounded alike.
fn fold<T: Copy>(mut values: Vec<T>, both: impl Fn(T, T) -> T) -> T {
    while values.len() > 1 {
        let half = values.len().div_ceil(2);
        for at in half..values.len() {
            values[at - half] = both(values[at - half], values[at]);
        }
        values.truncate(half);
    }
    values[0]
}

/// Items of each block, `least` behind the end.
fn blocks<T: Copy>(x: &[T], items: u32, least: T) -> Vec<Vec<T>> {
    let whole = |part: &[T]| part.iter().copied().chain(std::iter::repeat(least)).take(items as usize).collect();
    x.chunks(items as usize).map(whole).collect()
}

#[test]
fn blocks_of_any_size_fold_through_lds() {
    for (items, count) in [(1, 3), (31, 62), (32, 64), (33, 70), (100, 250), (256, 1000), (1024, 1500)] {
        let dispatch = line(u32::div_ceil(count, items), items);
        let n = dispatch.grid[0] as usize;
        let x = random32(count as usize, 1);
        let found = results(OBJECT, "fold_u32", &dispatch, &[buffer(&x), room::<u32>(n), room::<u32>(n), value(count)]);
        let sums = blocks(&x, items, 0).into_iter().map(|part| fold(part, u32::wrapping_add));
        let maxima = blocks(&x, items, 0).into_iter().map(|part| fold(part, u32::max));
        assert_eq!(found.of::<u32>(1), sums.collect::<Vec<_>>(), "{items} items");
        assert_eq!(found.of::<u32>(2), maxima.collect::<Vec<_>>(), "{items} items");

        let x: Vec<f32> = x.iter().map(|bits| *bits as i32 as f32 / 65_536.0).collect();
        let found = results(OBJECT, "fold_f32", &dispatch, &[buffer(&x), room::<f32>(n), room::<f32>(n), value(count)]);
        let sums = blocks(&x, items, 0.0).into_iter().map(|part| fold(part, |a, b| a + b));
        let maxima = blocks(&x, items, f32::NEG_INFINITY).into_iter().map(|part| fold(part, f32::max));
        assert_eq!(found.of::<f32>(1), sums.collect::<Vec<_>>(), "{items} items");
        assert_eq!(found.of::<f32>(2), maxima.collect::<Vec<_>>(), "{items} items");
    }
}

#[test]
fn every_exchange_of_lanes_sums_a_wave() {
    const WAYS: [&str; 6] = ["ds_bpermute", "ds_swizzle", "row_xmask", "row_ror", "mirrors", "dpp8 and permlane16"];
    let (x, dispatch) = (random32(3 * 96, 2), line(3, 96));
    let found = results(OBJECT, "wave_sums", &dispatch, &[buffer(&x), room::<u32>(6 * x.len())]).of::<u32>(1);
    for (found, way) in found.chunks(x.len()).zip(WAYS) {
        for (found, x) in found.chunks(32).zip(x.chunks(32)) {
            let sum = x.iter().fold(0, |sum: u32, x| sum.wrapping_add(*x));
            assert_eq!(found, [sum; 32], "{way}");
        }
    }
}

#[test]
fn scans_and_broadcasts_work_where_a_waves_last_lanes_are_missing() {
    for items in [32, 40, 50, 63, 64, 95] {
        let x = random32(2 * items as usize, 3);
        let args = [buffer(&x), room::<u32>(x.len()), room::<u32>(3 * x.len())];
        let found = results(OBJECT, "wave_scan", &line(2, items), &args);
        let (sums, broadcasts) = (found.of::<u32>(1), found.of::<u32>(2));
        for i in 0..x.len() {
            let item = i % items as usize;
            let wave = i - item % 32;
            let sum = x[wave..=i].iter().fold(0, |sum: u32, x| sum.wrapping_add(*x));
            assert_eq!(sums[i], sum, "item {item} of {items}");
            // Lanes that do not exist give zero.
            let row = wave + item % 32 / 16 * 16 + 3;
            let third = if row % items as usize >= item - item % 32 && row / items as usize == i / items as usize {
                x.get(row).copied().unwrap_or(0)
            } else {
                0
            };
            let above = if item.is_multiple_of(32) { x[i] } else { x[i - 1] };
            assert_eq!(broadcasts[3 * i..3 * i + 3], [x[wave], third, above], "item {item} of {items}");
        }
    }
}

#[test]
fn votes_count_and_place_what_lanes_say() {
    const N: usize = 170;
    let x: Vec<u32> = random32(N, 4).into_iter().enumerate().map(|(i, x)| if i < 32 { x | 1 } else { x }).collect();
    let x: Vec<u32> = x.into_iter().enumerate().map(|(i, x)| if (64..96).contains(&i) { x & !1 } else { x }).collect();
    let waves = N.div_ceil(32);
    let args = [buffer(&x), room::<u32>(32 * waves), room::<u32>(waves), room::<u32>(waves), value(N as u32)];
    let found = results(OBJECT, "compact", &line(3, 64), &args);
    let (kept, votes, counts) = (found.of::<u32>(1), found.of::<u32>(2), found.of::<u32>(3));
    for (wave, part) in x.chunks(32).enumerate() {
        let odd: Vec<u32> = (0..part.len()).filter(|i| part[*i] & 1 == 1).map(|i| (32 * wave + i) as u32).collect();
        assert_eq!(kept[32 * wave..][..odd.len()], odd);
        assert_eq!(counts[wave] as usize, odd.len());
        assert_eq!(votes[wave], if odd.len() == part.len() { 2 } else { u32::from(!odd.is_empty()) });
    }
    assert_eq!(votes[..3], [2, 1, 0]);
}

#[test]
fn waves_of_64_sum_count_and_branch() {
    let x = random32(64, 5);
    let sum = x.iter().fold(0, |sum: u32, x| sum.wrapping_add(*x));
    assert_eq!(results(WAVE64, "sum", &line(1, 64), &[buffer(&x), room::<u32>(64)]).of::<u32>(1), [sum; 64]);

    for n in [64, 50, 20] {
        let odd: Vec<u32> = (0..n as u32).filter(|i| x[*i as usize] & 1 == 1).collect();
        let args = [buffer(&x), room::<u32>(64), room::<u32>(1), value(n)];
        let found = results(WAVE64, "compact", &line(1, 64), &args);
        assert_eq!((&found.of::<u32>(1)[..odd.len()], found.of::<u32>(2)[0]), (odd.as_slice(), odd.len() as u32));
    }

    let x: Vec<u32> = x.iter().map(|x| x % 1000 + 1).collect();
    let steps = |mut value: u32| {
        let mut steps = 0u32;
        while value > 1 {
            value = if value % 2 == 1 { 3 * value + 1 } else { value / 2 };
            steps += 1;
        }
        steps
    };
    let expected: Vec<u32> = x.iter().map(|x| steps(*x)).collect();
    assert_eq!(results(WAVE64, "collatz", &line(1, 64), &[buffer(&x), room::<u32>(64)]).of::<u32>(1), expected);
}
