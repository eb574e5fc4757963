//! Figures of memory accesses, from which a kernel's time is estimated.

use super::{Access, Lanes};
use crate::count::Counts;

/// Bytes of a line of the caches.
const LINE: u64 = 128;
/// Banks of LDS, each of which gives one word of 4 bytes a cycle.
const BANKS: u64 = 32;

/// Bytes that lanes ask for, and the lines that they touch; of waves of 64 lanes each half for itself, as they are issued.
pub(super) fn global(counts: &mut Counts, at: &Lanes, bytes: usize, access: Access) {
    let all = u64::from(at.mask.count_ones()) * bytes as u64;
    let mut lines: Vec<u64> = at.each().flat_map(|(_, at)| at / LINE..(at + bytes as u64).div_ceil(LINE)).collect();
    lines.sort_unstable();
    lines.dedup();
    let (bytes, touched) = match access {
        Access::Load => (&mut counts.loaded_bytes, &mut counts.loaded_lines),
        Access::Store | Access::Atomic => (&mut counts.stored_bytes, &mut counts.stored_lines),
    };
    *bytes += all;
    *touched += lines.len() as u64;
}

/// An access of LDS: as many lanes as together want 128 bytes are served at once (32 of up to 4 bytes, 16 of 8, 8 of
/// more), and each further word that they want of one bank takes a further cycle. Lanes that want the same word share it.
pub(super) fn local(counts: &mut Counts, at: &Lanes, bytes: usize) {
    let together = match bytes {
        0..=4 => 32,
        5..=8 => 16,
        _ => 8,
    };
    for first in (0..32).step_by(together) {
        let lanes = Lanes { mask: at.mask & (u32::MAX >> (32 - together)) << first, ..*at };
        counts.lds_accesses += u64::from(lanes.mask != 0);
        let mut words: Vec<u64> = lanes.each().flat_map(|(_, at)| at / 4..(at + bytes as u64).div_ceil(4)).collect();
        words.sort_unstable();
        words.dedup();
        let mut banks = [0u64; BANKS as usize];
        words.iter().for_each(|word| banks[(word % BANKS) as usize] += 1);
        counts.lds_conflicts += banks.into_iter().max().unwrap_or(0).saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(address: impl Fn(u64) -> u64) -> Lanes {
        Lanes { half: 0, mask: u32::MAX, address: std::array::from_fn(|lane| address(lane as u64)) }
    }

    fn conflicts(bytes: usize, address: impl Fn(u64) -> u64) -> u64 {
        let mut counts = Counts::default();
        local(&mut counts, &lanes(address), bytes);
        counts.lds_conflicts
    }

    #[test]
    fn conflicts_are_further_words_of_a_bank() {
        assert_eq!(conflicts(4, |lane| 4 * lane), 0);
        assert_eq!(conflicts(4, |_| 64), 0, "all the same word");
        assert_eq!(conflicts(4, |lane| 8 * lane), 1);
        assert_eq!(conflicts(4, |lane| 128 * lane), 31);
        assert_eq!(conflicts(8, |lane| 8 * lane), 0, "two cycles by width alone");
        assert_eq!(conflicts(16, |lane| 16 * lane), 0);
        assert_eq!(conflicts(16, |lane| 32 * lane), 4, "one more for each of four parts");
    }

    #[test]
    fn wide_accesses_are_several() {
        let mut counts = Counts::default();
        [4, 8, 16].iter().for_each(|&bytes| local(&mut counts, &lanes(|lane| bytes * lane), bytes as usize));
        assert_eq!(counts.lds_accesses, 1 + 2 + 4);
        local(&mut counts, &Lanes { mask: 0xff, ..lanes(|lane| 16 * lane) }, 16);
        assert_eq!(counts.lds_accesses, 7 + 1, "eight lanes are served at once");
    }

    #[test]
    fn lines_are_counted_once_an_instruction() {
        let mut counts = Counts::default();
        global(&mut counts, &lanes(|lane| 4 * lane), 4, Access::Load);
        assert_eq!((counts.loaded_bytes, counts.loaded_lines), (128, 1));
        global(&mut counts, &lanes(|lane| 64 + 4 * lane), 4, Access::Store);
        assert_eq!((counts.stored_bytes, counts.stored_lines), (128, 2));
    }
}
