//! Exchange of lanes before an operation (RDNA3 ISA guide, 7.8 "Data Parallel Primitives").

use super::inst::Dpp;
use crate::wave::{LANES, Wave};

/// The first operand after the exchange.
#[cold]
#[inline(never)]
pub fn exchange(wave: &Wave, dpp: &Dpp, half: usize, values: &[u32; LANES]) -> [u32; LANES] {
    let exec = wave.exec(half);
    std::array::from_fn(|lane| {
        let from = dpp.from[lane];
        if reads(dpp, exec, from) { values[usize::from(from)] } else { 0 }
    })
}

/// The same for one bit a lane.
pub fn exchange_mask(wave: &Wave, dpp: &Dpp, half: usize, mask: u32) -> u32 {
    let bits = std::array::from_fn(|lane| mask >> lane & 1);
    // A lane that reads nothing reads a defined zero.
    exchange(wave, dpp, half, &bits).iter().enumerate().fold(0, |mask, (lane, bit)| mask | bit << lane)
}

/// Lanes that get a result: active, within the masks of rows and banks, and with something to read or a zero for it.
pub fn written(wave: &Wave, dpp: &Dpp, half: usize) -> u32 {
    let exec = wave.exec(half);
    let readable = (0..LANES).fold(0, |mask, lane| mask | u32::from(reads(dpp, exec, dpp.from[lane])) << lane);
    exec & dpp.lanes[half] & if dpp.bound_zero { u32::MAX } else { readable }
}

fn reads(dpp: &Dpp, exec: u32, from: u8) -> bool {
    from != Dpp::NONE && (dpp.fetch_inactive || exec >> from & 1 == 1)
}

/// The exchange of DPP16: nine bits of control, masks of rows and banks.
///
/// `None`: a control that this target does not have.
pub fn dpp16(control: u32, row_mask: u32, bank_mask: u32, bound_zero: bool, fetch_inactive: bool) -> Option<Dpp> {
    let mut from = [Dpp::NONE; LANES];
    for (lane, from) in from.iter_mut().enumerate() {
        let (row, within) = (lane & 16, lane & 15);
        let amount = (control & 15) as usize;
        let source = match control {
            // Within each four lanes, two bits a lane.
            0x000..=0x0ff => Some((lane & !3) | (control as usize >> (2 * (lane & 3)) & 3)),
            // Lane i gets what lane i + n has.
            0x101..=0x10f => Some(within + amount).filter(|l| *l < 16).map(|l| row | l),
            0x111..=0x11f => within.checked_sub(amount).map(|l| row | l),
            0x121..=0x12f => Some(row | ((within + 16 - amount) & 15)),
            0x140 => Some(row | (15 - within)),
            0x141 => Some(row | (within & 8) | (7 - (within & 7))),
            0x150..=0x15f => Some(row | amount),
            0x160..=0x16f => Some(row | (within ^ amount)),
            _ => return None,
        };
        *from = source.map_or(Dpp::NONE, |source| source as u8);
    }
    let is_in = |lane: &usize| row_mask >> (lane / 16) & 1 == 1 && bank_mask >> (lane / 4 % 4) & 1 == 1;
    let lanes = [0, LANES]
        .map(|first| (first..first + LANES).filter(is_in).fold(0, |mask, lane| mask | 1u32 << (lane - first)));
    Some(Dpp { from, lanes, bound_zero, fetch_inactive })
}

/// The exchange of DPP8: three bits a lane, within each eight lanes.
pub fn dpp8(selects: u32, fetch_inactive: bool) -> Dpp {
    let from = std::array::from_fn(|lane| ((lane & !7) | (selects as usize >> (3 * (lane & 7)) & 7)) as u8);
    Dpp { from, lanes: [u32::MAX; 2], bound_zero: true, fetch_inactive }
}
