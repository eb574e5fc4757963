//! Random numbers that need no state: the block cipher-like generator Philox4x32-10.
//!
//! J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011, section 3.3. A number is a pure function of (seed, position, stream), so a
//! device reproduces a draw without sharing state, and a sequence resumes at any position.

/// The two multipliers of the 4x32 variant (table 2 of the paper).
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// What is added to the key after each round: the golden ratio and sqrt(3) - 1, as fractions of 2^32.
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// The four random words of one counter value under one key.
#[must_use]
pub fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let [a, b] =
            [u64::from(counter[0]) * u64::from(MULTIPLIERS[0]), u64::from(counter[2]) * u64::from(MULTIPLIERS[1])];
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    counter
}

/// What a random number is for; the third word of the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// The draw of the token.
    Token = 0,
    /// The coin that decides whether XTC acts in this step.
    XtcCoin = 1,
}

/// The uniform number in [0, 1) of a step, a multiple of 2^-53.
///
/// Key: the low and the high half of `seed`. Counter: the low and the high half of
/// `position`, `stream`, 0. Of the four words w0..w3 that come out, the number is
/// `((w1 << 32 | w0) >> 11) * 2^-53`; w2 and w3 are not used.
#[must_use]
pub fn uniform(seed: u64, position: u64, stream: Stream) -> f64 {
    let counter = [position as u32, (position >> 32) as u32, stream as u32, 0];
    let words = philox4x32_10(counter, [seed as u32, (seed >> 32) as u32]);
    let bits = (u64::from(words[1]) << 32 | u64::from(words[0])) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors `philox4x32 10` of the file `kat_vectors` in Random123.
    #[test]
    fn known_answers() {
        let check = |counter, key, expected| assert_eq!(philox4x32_10(counter, key), expected);
        check([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        check([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        check(
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        );
    }

    #[test]
    fn uniform_uses_every_part_of_its_address() {
        // The zero vector again: (0xe169c58d << 32 | 0x6627e8d5) >> 11, over 2^53.
        let expected = (0xe169_c58d_6627_e8d5_u64 >> 11) as f64 * 2f64.powi(-53);
        assert_eq!(uniform(0, 0, Stream::Token), expected);
        let others = [
            uniform(1, 0, Stream::Token),
            uniform(1 << 32, 0, Stream::Token),
            uniform(0, 1, Stream::Token),
            uniform(0, 1 << 32, Stream::Token),
            uniform(0, 0, Stream::XtcCoin),
        ];
        for (i, a) in others.iter().enumerate() {
            assert_ne!(*a, expected);
            assert!(others[i + 1..].iter().all(|b| b != a));
        }
    }
}
