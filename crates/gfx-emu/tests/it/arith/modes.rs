//! The MODE register's bits.

use gfx_emu::arith::{Denorm, Mode, Round};

#[test]
fn every_value_of_the_register_survives_decoding_and_encoding() {
    let mut random = super::Random(40);
    for bits in (0..1024).chain((0..1000).map(|_| random.next() as u32)) {
        assert_eq!(Mode::from_bits(bits).to_bits(), bits);
    }
}

#[test]
fn fields_lie_where_the_guide_says() {
    let mode = Mode::from_bits(0b01_10_11_10 | 1 << 23);
    assert_eq!((mode.round_32, mode.round_16_64), (Round::Down, Round::Zero));
    assert_eq!(mode.denorm_32, Denorm { flush_in: true, flush_out: false });
    assert_eq!(mode.denorm_16_64, Denorm { flush_in: false, flush_out: true });
    assert!(mode.fp16_ovfl && !mode.ieee && !mode.dx10_clamp);
    assert_eq!(Round::from_bits(1), Round::Up);
}

#[test]
fn only_bits_without_effect_on_arithmetic_keep_a_mode_fast() {
    assert_eq!(Mode::HIP.to_bits(), 0x3f0);
    assert!(Mode::from_bits(0x3f0 | 1 << 12).is_fast());
    for bit in (0..10).chain([23]) {
        assert!(!Mode::from_bits(0x3f0 ^ 1 << bit).is_fast(), "bit {bit}");
    }
}
