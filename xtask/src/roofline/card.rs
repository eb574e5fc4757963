//! GPUs, as their makers describe them.

use anyhow::{Context, Result};

/// What a GPU can do at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Card {
    /// What the command line calls it.
    pub name: &'static str,
    /// What it is called.
    pub title: &'static str,
    /// Target of its code.
    pub arch: &'static str,
    /// Compute units.
    pub units: u32,
    /// SIMDs of a compute unit.
    pub simds: u32,
    /// Clock of the compute units under a long load, GHz.
    pub clock_ghz: f64,
    /// Which clock that is.
    pub clock: &'static str,
    /// Of its memory, GB/s.
    pub memory_gbs: f64,
    /// Memory, GB.
    pub memory_gb: f64,
    /// Multiplications and additions of matrix instructions on halves, of one compute unit in one cycle.
    pub matrix_flops: u32,
    /// What one compute unit's vector cache gives in one cycle, bytes.
    pub cache_bytes: u32,
    /// What one compute unit's LDS gives in one cycle, bytes.
    pub lds_bytes: u32,
    /// Whether instructions that were counted on RDNA 3 are those that it executes.
    pub is_rdna3: bool,
}

/// RDNA 3: two SIMDs of 32 lanes a compute unit. Matrix products of halves: 512 operations a cycle and compute unit (the
/// data sheet's 122.8 Tflop/s of the RX 7900 XTX at 2.5 GHz). LDS: a dword from each of 64 banks a cycle for the two compute
/// units of a work-group processor (RDNA 3 ISA guide, "LDS"). Vector cache: 64 bytes a cycle, which is assumed, since
/// AMD states it for earlier generations only.
const RDNA3: Card = Card {
    name: "",
    title: "",
    arch: "gfx1100",
    units: 0,
    simds: 2,
    clock_ghz: 0.0,
    clock: "",
    memory_gbs: 0.0,
    memory_gb: 0.0,
    matrix_flops: 512,
    cache_bytes: 64,
    lds_bytes: 128,
    is_rdna3: true,
};

/// One row a card; units, clocks and memory from AMD's product pages and data sheets.
pub static CARDS: &[Card] = &[
    Card {
        name: "rx7900xtx",
        title: "Radeon RX 7900 XTX",
        units: 96,
        clock_ghz: 2.3,
        clock: "game clock; boost is 2.5 GHz",
        memory_gbs: 960.0,
        memory_gb: 24.0,
        ..RDNA3
    },
    Card {
        name: "rx7900xt",
        title: "Radeon RX 7900 XT",
        units: 84,
        clock_ghz: 2.0,
        clock: "game clock; boost is 2.4 GHz",
        memory_gbs: 800.0,
        memory_gb: 20.0,
        ..RDNA3
    },
    Card {
        name: "w7900",
        title: "Radeon PRO W7900",
        units: 96,
        // The data sheet's 61.3 Tflop/s of single precision are the boost clock; no game clock is stated.
        clock_ghz: 1.855,
        clock: "base clock; boost is 2.5 GHz",
        memory_gbs: 864.0,
        memory_gb: 48.0,
        ..RDNA3
    },
    Card {
        name: "strix-halo",
        title: "Radeon 8060S of Ryzen AI Max+ 395 (Strix Halo)",
        arch: "gfx1151",
        units: 40,
        clock_ghz: 2.9,
        clock: "highest clock; limits of power may lower it",
        // LPDDR5X-8000 on 256 bits, shared with the processor.
        memory_gbs: 256.0,
        memory_gb: 96.0,
        ..RDNA3
    },
    // CDNA 3 white paper and the data sheet of the MI300X: 1307.4 Tflop/s of halves on 304 compute units at 2.1 GHz are 2048
    // operations a cycle and unit; vector cache lines of 128 bytes, one a cycle; LDS 128 bytes a cycle.
    Card {
        name: "mi300x",
        title: "Instinct MI300X",
        arch: "gfx942",
        units: 304,
        simds: 4,
        clock_ghz: 2.1,
        clock: "highest clock",
        memory_gbs: 5300.0,
        memory_gb: 192.0,
        matrix_flops: 2048,
        cache_bytes: 128,
        lds_bytes: 128,
        is_rdna3: false,
    },
];

impl Card {
    /// The card of a name.
    ///
    /// # Errors
    /// Which names there are.
    pub fn named(name: &str) -> Result<&'static Self> {
        let names = || CARDS.iter().map(|card| card.name).collect::<Vec<_>>().join(", ");
        CARDS.iter().find(|card| card.name == name).with_context(|| format!("cards are {}", names()))
    }

    /// SIMDs of all compute units.
    pub fn all_simds(&self) -> f64 {
        f64::from(self.units * self.simds)
    }

    /// Cycles a second.
    pub fn hertz(&self) -> f64 {
        self.clock_ghz * 1e9
    }

    /// Operations a second of all matrix units, on halves.
    pub fn matrix_rate(&self) -> f64 {
        f64::from(self.units) * f64::from(self.matrix_flops) * self.hertz()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_card_has_a_name_and_figures_in_range() {
        for (at, card) in CARDS.iter().enumerate() {
            assert!(CARDS[..at].iter().all(|other| other.name != card.name), "{}", card.name);
            assert_eq!(Card::named(card.name).unwrap(), card);
            assert!((16..=512).contains(&card.units) && (1.0..4.0).contains(&card.clock_ghz), "{}", card.name);
            assert!((100.0..10_000.0).contains(&card.memory_gbs) && card.memory_gb >= 8.0, "{}", card.name);
            assert!(rocmforge_kernels::TARGETS.contains(&card.arch), "{}", card.name);
        }
        assert!(Card::named("rx580").unwrap_err().to_string().contains("rx7900xtx, rx7900xt"));
    }

    #[test]
    fn matrix_rates_are_those_of_the_data_sheets() {
        let tera = |name: &str, ghz: f64| {
            let card = Card { clock_ghz: ghz, ..*Card::named(name).unwrap() };
            (card.matrix_rate() / 1e11).round() / 10.0
        };
        assert_eq!(tera("rx7900xtx", 2.5), 122.9);
        assert_eq!(tera("mi300x", 2.1), 1307.4);
    }
}
