//! Integer and dot instructions against bytes, nibbles and wide integers.

use gfx_emu::arith::{dot, int};

use super::Random;

/// Operands for an integer instruction: random bits, often small or with all bits equal.
fn word(random: &mut Random) -> u32 {
    match random.next() % 5 {
        0 => [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x8080_8080][random.next() as usize % 6],
        1 => random.next() as u32 >> (random.next() % 32),
        _ => random.next() as u32,
    }
}

fn three_words(seed: u64) -> impl Iterator<Item = (u32, u32, u32)> {
    let mut random = Random(seed);
    (0..100_000).map(move |_| (word(&mut random), word(&mut random), word(&mut random)))
}

fn nibbles(x: u32) -> impl Iterator<Item = u8> {
    x.to_le_bytes().into_iter().flat_map(|byte| [byte & 15, byte >> 4])
}

#[test]
fn dot_products_of_bytes_and_nibbles() {
    for (a, b, c) in three_words(60) {
        for (a_signed, b_signed) in [(false, false), (false, true), (true, false), (true, true)] {
            let byte = |x: u8, signed: bool| if signed { i64::from(x as i8) } else { x.into() };
            let nibble = |x: u8, signed: bool| if signed { i64::from((x << 4) as i8 >> 4) } else { x.into() };
            let bytes = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
            let four: i64 = bytes.map(|(x, y)| byte(x, a_signed) * byte(y, b_signed)).sum();
            let eight: i64 = nibbles(a).zip(nibbles(b)).map(|(x, y)| nibble(x, a_signed) * nibble(y, b_signed)).sum();
            let (four, eight) = (four + i64::from(c as i32), eight + i64::from(c as i32));
            let limit = |x: i64| x.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
            assert_eq!(dot::dot4_i32_iu8(a, b, c as i32, a_signed, b_signed, false), four as i32);
            assert_eq!(dot::dot4_i32_iu8(a, b, c as i32, a_signed, b_signed, true), limit(four));
            assert_eq!(dot::dot8_i32_iu4(a, b, c as i32, a_signed, b_signed, false), eight as i32);
            assert_eq!(dot::dot8_i32_iu4(a, b, c as i32, a_signed, b_signed, true), limit(eight));
        }
        let four: u64 =
            a.to_le_bytes().into_iter().zip(b.to_le_bytes()).map(|(x, y)| u64::from(x) * u64::from(y)).sum();
        let eight: u64 = nibbles(a).zip(nibbles(b)).map(|(x, y)| u64::from(x) * u64::from(y)).sum();
        let (four, eight) = (four + u64::from(c), eight + u64::from(c));
        assert_eq!(dot::dot4_u32_u8(a, b, c, false), four as u32);
        assert_eq!(dot::dot4_u32_u8(a, b, c, true), four.min(u32::MAX.into()) as u32);
        assert_eq!(dot::dot8_u32_u4(a, b, c, false), eight as u32);
        assert_eq!(dot::dot8_u32_u4(a, b, c, true), eight.min(u32::MAX.into()) as u32);
    }
}

#[test]
fn permuted_bytes_come_from_both_words_their_signs_or_constants() {
    let (high, low) = (0x8877_66f5u32, 0x4433_a211u32);
    let bytes = [0x11, 0xa2, 0x33, 0x44, 0xf5, 0x66, 0x77, 0x88, 0xff, 0x00, 0x00, 0xff, 0x00];
    for selector in 0..=255u8 {
        let want = *bytes.get(usize::from(selector)).unwrap_or(&0xff);
        let got = int::perm(high, low, u32::from_le_bytes([selector, 0, selector, 12]));
        assert_eq!(got.to_le_bytes(), [want, 0x11, want, 0], "selector {selector}");
    }
}

#[test]
fn fields_of_bits() {
    for (a, b, c) in three_words(61) {
        let (offset, width) = (b % 32, c % 32);
        let field: Vec<bool> = (0..width).map(|i| (i64::from(a as i32) >> (offset + i)) & 1 == 1).collect();
        let number = field.iter().rev().fold(0i64, |n, &bit| n << 1 | i64::from(bit));
        let signed = if field.last() == Some(&true) { number - (1 << width) } else { number };
        let inside = (0..width).filter(|i| offset + i < 32 && field[*i as usize]).fold(0u32, |n, i| n | 1 << i);
        assert_eq!(int::bfe_u32(a, b, c), inside);
        assert_eq!(i64::from(int::bfe_i32(a as i32, b, c)), signed, "{a:#x} {offset} {width}");
        assert_eq!(int::bfm(c, b), (((1u64 << width) - 1) << offset) as u32);
        assert_eq!(int::bfi(a, b, c), (0..32).fold(0, |n, i| n | if a >> i & 1 == 1 { b } else { c } & 1 << i));
        let both = u64::from(a) << 32 | u64::from(b);
        assert_eq!(int::alignbit(a, b, c), (both >> (c % 32)) as u32);
        assert_eq!(int::alignbyte(a, b, c), (both >> (c % 4 * 8)) as u32);
    }
}

#[test]
fn products_and_sums_of_products() {
    let signed_24 = |x: u32| i128::from(x & 0xff_ffff) - if x >> 23 & 1 == 1 { 1 << 24 } else { 0 };
    for (a, b, c) in three_words(62) {
        let (unsigned, signed) = (u128::from(a) * u128::from(b), i128::from(a as i32) * i128::from(b as i32));
        assert_eq!(int::mul_hi_u32(a, b), (unsigned >> 32) as u32);
        assert_eq!(int::mul_hi_i32(a as i32, b as i32), (signed >> 32) as i32);
        let wide = u64::from(c) << 32 | u64::from(a ^ b);
        let sum = unsigned + u128::from(wide);
        assert_eq!(int::mad_u64_u32(a, b, wide), (sum as u64, sum >> 64 == 1));
        let sum = signed + i128::from(wide as i64);
        assert_eq!(int::mad_i64_i32(a as i32, b as i32, wide as i64), (sum as i64, sum < 0));
        let (unsigned, signed) = (u64::from(a & 0xff_ffff) * u64::from(b & 0xff_ffff), signed_24(a) * signed_24(b));
        assert_eq!(int::mul_u24(a, b), unsigned as u32);
        assert_eq!(int::mul_hi_u24(a, b), (unsigned >> 32) as u32);
        assert_eq!(int::mul_i24(a as i32, b as i32), signed as i32);
        assert_eq!(int::mul_hi_i24(a as i32, b as i32), (signed >> 32) as i32);
        let (unsigned, signed) = (unsigned + u64::from(c), signed + i128::from(c as i32));
        assert_eq!(int::mad_u24(a, b, c, false), unsigned as u32);
        assert_eq!(int::mad_u24(a, b, c, true), unsigned.min(u32::MAX.into()) as u32);
        assert_eq!(int::mad_i24(a as i32, b as i32, c as i32, false), signed as i32);
        assert_eq!(i128::from(int::mad_i24(a as i32, b as i32, c as i32, true)), signed.clamp(-1 << 31, (1 << 31) - 1));
    }
}

#[test]
fn differences_means_and_saturated_bytes() {
    for (a, b, c) in three_words(63) {
        let pairs = || a.to_le_bytes().into_iter().zip(b.to_le_bytes());
        let sum: u32 = pairs().map(|(x, y)| u32::from(x.abs_diff(y))).sum();
        let masked: u32 = pairs().filter(|&(_, y)| y != 0).map(|(x, y)| u32::from(x.abs_diff(y))).sum();
        assert_eq!(int::sad_u8(a, b, c), c.wrapping_add(sum));
        assert_eq!(int::sad_hi_u8(a, b, c), c.wrapping_add(sum * 65536));
        assert_eq!(int::msad_u8(a, b, c), c.wrapping_add(masked));
        let halves =
            u32::from((a as u16).abs_diff(b as u16)) + u32::from(((a >> 16) as u16).abs_diff((b >> 16) as u16));
        assert_eq!(int::sad_u16(a, b, c), c.wrapping_add(halves));
        assert_eq!(int::sad_u32(a, b, c), c.wrapping_add(a.max(b) - a.min(b)));
        let mean = |((x, y), up): ((u8, u8), u8)| ((u16::from(x) + u16::from(y) + u16::from(up & 1)) / 2) as u8;
        let means: Vec<u8> = pairs().zip(c.to_le_bytes()).map(mean).collect();
        assert_eq!(int::lerp_u8(a, b, c).to_le_bytes(), *means);
        let byte = |x: i16| x.clamp(0, 255) as u8;
        let packed = [byte(a as i16), byte((a >> 16) as i16), 0, 0];
        assert_eq!(int::sat_pk_u8_i16(a), u32::from_le_bytes(packed));
        let mut sorted = [a as i32, b as i32, c as i32];
        sorted.sort();
        assert_eq!(int::med3(a as i32, b as i32, c as i32), sorted[1]);
    }
}

#[test]
fn counts_of_bits() {
    for (a, b, c) in three_words(64) {
        let highest = (0..32).rev().find(|i| a >> i & 1 == 1);
        let lowest = (0..32).find(|i| a >> i & 1 == 1);
        assert_eq!(int::clz(a), highest.map_or(-1, |i| 31 - i));
        assert_eq!(int::ctz(a), lowest.unwrap_or(-1));
        let change = (0..31).rev().find(|i| (a >> i & 1) != a >> 31);
        assert_eq!(int::cls(a as i32), change.map_or(-1, |i| 31 - i));
        let set = |mask: u64| (0..64).filter(|i| mask >> i & 1 == 1).count() as u32;
        assert_eq!(int::bcnt(a, b), b.wrapping_add(set(a.into())));
        let lane = c % 64;
        let below = (1u64 << lane) - 1;
        assert_eq!(int::mbcnt_lo(a, b, lane), b.wrapping_add(set(u64::from(a) & below)));
        assert_eq!(int::mbcnt_hi(a, b, lane), b.wrapping_add(set(u64::from(a) << 32 & below)));
    }
}
