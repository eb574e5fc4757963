//! The time of launches, by what of a card they need most.

use std::fmt;

use clap::Args;

use super::card::Card;
use super::launches::Figures;
use super::recording::Row;

/// What is not known of a card and has to be assumed.
#[derive(Debug, Clone, Copy, PartialEq, Args)]
pub struct Assumptions {
    /// Share of the memory's bandwidth that long reads get
    #[arg(long, value_name = "SHARE", default_value_t = Self::USUAL.memory_share)]
    pub memory_share: f64,
    /// Share of cycles in which a SIMD with enough waves gives out an instruction of its vector unit
    #[arg(long, value_name = "SHARE", default_value_t = Self::USUAL.issue_share)]
    pub issue_share: f64,
    /// Share of the matrix rate that kernels get whose instructions are not known (CDNA)
    #[arg(long, value_name = "SHARE", default_value_t = Self::USUAL.matrix_share)]
    pub matrix_share: f64,
    /// Cycles until the result of a vector instruction can be used by the next
    #[arg(long, value_name = "CYCLES", default_value_t = Self::USUAL.vector_latency)]
    pub vector_latency: f64,
    /// Instructions of a wave that do not wait for one another
    #[arg(long, value_name = "N", default_value_t = Self::USUAL.independent)]
    pub independent: f64,
    /// Time until memory answers, nanoseconds
    #[arg(long, value_name = "NS", default_value_t = Self::USUAL.memory_ns)]
    pub memory_ns: f64,
    /// Loads that a wave has under way
    #[arg(long, value_name = "N", default_value_t = Self::USUAL.loads_under_way)]
    pub loads_under_way: f64,
    /// Time between the end of a kernel and the work of the next, microseconds
    #[arg(long, value_name = "US", default_value_t = Self::USUAL.launch_us)]
    pub launch_us: f64,
}

impl Assumptions {
    /// What is assumed unless the caller knows better.
    pub const USUAL: Self = Self {
        memory_share: 0.85,
        issue_share: 0.8,
        matrix_share: 0.4,
        vector_latency: 5.0,
        independent: 2.0,
        memory_ns: 600.0,
        loads_under_way: 4.0,
        launch_us: 3.0,
    };
}

/// What takes most of a kernel's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bound {
    /// Bandwidth of memory.
    Memory,
    /// Too few loads under way for the memory's bandwidth.
    Latency,
    /// Bandwidth of the vector caches.
    Cache,
    Lds,
    /// Instructions of the vector unit.
    Instructions,
    /// Instructions of the scalar unit.
    Scalar,
    Matrix,
    /// What passes between kernels.
    Launch,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Latency => "latency",
            Self::Cache => "cache",
            Self::Lds => "LDS",
            Self::Instructions => "instructions",
            Self::Scalar => "scalar",
            Self::Matrix => "matrix",
            Self::Launch => "launch",
        })
    }
}

/// Seconds that a launch would take if nothing but one thing took time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Time {
    pub memory: f64,
    pub latency: f64,
    pub cache: f64,
    pub lds: f64,
    pub vector: f64,
    pub scalar: f64,
    /// The matrix instructions among those of the vector unit.
    pub matrix: f64,
    pub launch: f64,
}

impl Time {
    /// Seconds in all: the longest of what goes on at once, and what passes before.
    pub fn seconds(&self) -> f64 {
        self.work() + self.launch
    }

    /// Adds the time of so many launches.
    pub fn add(&mut self, other: &Self, launches: f64) {
        self.memory += launches * other.memory;
        self.latency += launches * other.latency;
        self.cache += launches * other.cache;
        self.lds += launches * other.lds;
        self.vector += launches * other.vector;
        self.scalar += launches * other.scalar;
        self.matrix += launches * other.matrix;
        self.launch += launches * other.launch;
    }

    fn work(&self) -> f64 {
        let at_once = [self.memory, self.latency, self.cache, self.lds, self.vector, self.scalar];
        at_once.into_iter().fold(0.0, f64::max)
    }

    /// What would have to get faster.
    pub fn bound(&self) -> Bound {
        let vector = if self.matrix > self.vector / 2.0 { Bound::Matrix } else { Bound::Instructions };
        let all = [
            (self.memory, Bound::Memory),
            (self.latency, Bound::Latency),
            (self.cache, Bound::Cache),
            (self.lds, Bound::Lds),
            (self.vector, vector),
            (self.scalar, Bound::Scalar),
            (self.launch, Bound::Launch),
        ];
        all.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(Bound::Launch, |(_, bound)| bound)
    }
}

/// Bytes of an LDS access in one cycle for all lanes of a wave of 32.
const LDS_ACCESS: f64 = 128.0;
/// Operations of a matrix instruction of a wave: 16 times 16 times 16 multiplications and additions.
const MATRIX_OPERATIONS: f64 = 8192.0;
/// Operations of a dot product of four bytes for 32 lanes.
const DOT_OPERATIONS: f64 = 256.0;
/// Cycles of an instruction at a quarter of the rate (RDNA 3 ISA guide, "transcendental unit": 8 lanes a cycle).
const TRANSCENDENTAL_CYCLES: f64 = 4.0;

/// The time of one launch of a row that has to read so many bytes from memory.
pub fn launch_time(card: &Card, assumed: &Assumptions, row: &Row, memory_bytes: f64) -> Time {
    let one = PerLaunch::of(row);
    let memory = memory_bytes / (card.memory_gbs * 1e9 * assumed.memory_share);
    let launch = assumed.launch_us * 1e-6;
    if !card.is_rdna3 {
        let operations = one.matrix * MATRIX_OPERATIONS + one.dot * DOT_OPERATIONS;
        let matrix = operations / (card.matrix_rate() * assumed.matrix_share);
        return Time { memory, vector: matrix, matrix, launch, ..Time::default() };
    }
    let cycles = 1.0 / card.hertz();
    let most_waves = one.waves_of_busiest(card, row.wgp);
    let busiest = most_waves / one.waves;
    let occupancy = row.occupancy.max(1) as f64;
    // Waves take turns: with too few of them a result is waited for.
    let filled = (most_waves.min(occupancy) * assumed.independent / assumed.vector_latency).min(1.0);
    let matrix_cycles = one.matrix * MATRIX_OPERATIONS * f64::from(card.simds) / f64::from(card.matrix_flops);
    let vector_cycles = one.vector + one.dot + one.transcendental * TRANSCENDENTAL_CYCLES;
    let matrix = matrix_cycles * busiest * cycles;
    let vector = matrix + vector_cycles * busiest * cycles / (assumed.issue_share * filled);
    // A compute unit's vector cache and LDS serve all of its SIMDs.
    let of_unit = busiest * f64::from(card.simds) * cycles;
    let cache_cycles = (one.bytes / f64::from(card.cache_bytes)).max(one.lines);
    let lds_cycles = one.lds_cycles * LDS_ACCESS / f64::from(card.lds_bytes);
    let resident = one.waves.min(card.all_simds() * occupancy);
    let under_way = resident * assumed.loads_under_way * one.bytes_a_load;
    Time {
        memory,
        latency: if under_way > 0.0 { memory_bytes / under_way * assumed.memory_ns * 1e-9 } else { 0.0 },
        cache: cache_cycles * of_unit,
        lds: lds_cycles * of_unit,
        vector,
        scalar: one.scalar * busiest * cycles,
        matrix,
        launch,
    }
}

/// Figures of one launch as they are counted with.
struct PerLaunch {
    workgroups: f64,
    waves: f64,
    vector: f64,
    transcendental: f64,
    dot: f64,
    matrix: f64,
    scalar: f64,
    bytes: f64,
    lines: f64,
    lds_cycles: f64,
    bytes_a_load: f64,
}

impl PerLaunch {
    fn of(row: &Row) -> Self {
        let launches = row.sum.launches.max(1) as f64;
        let Figures { loaded_bytes, load, .. } = row.sum.figures;
        let f = &row.sum.figures;
        // Differences of two runs may be a little below nothing where counts depend on data.
        let each = |figure: i64| figure.max(0) as f64 / launches;
        Self {
            workgroups: each(f.workgroups).max(1.0),
            waves: each(f.waves).max(1.0),
            vector: each(f.vector),
            transcendental: each(f.transcendental),
            dot: each(f.dot),
            matrix: each(f.matrix),
            scalar: each(f.scalar + f.scalar_memory),
            bytes: each(f.loaded_bytes + f.stored_bytes),
            lines: each(f.loaded_lines + f.stored_lines),
            lds_cycles: each(f.lds_accesses + f.lds_conflicts),
            bytes_a_load: loaded_bytes.max(0) as f64 / load.max(1) as f64,
        }
    }

    /// Waves that the SIMD runs which has most of them. Workgroups are given out whole.
    fn waves_of_busiest(&self, card: &Card, wgp: bool) -> f64 {
        let together = if wgp { 2.0 } else { 1.0 };
        let (places, simds) = (f64::from(card.units) / together, f64::from(card.simds) * together);
        let waves_a_group = self.waves / self.workgroups;
        if waves_a_group >= simds {
            (self.workgroups / places).ceil() * (waves_a_group / simds).ceil()
        } else {
            (self.waves / card.all_simds()).ceil()
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::card::CARDS;
    use super::super::launches::{Key, Sum};
    use super::*;

    /// One launch of so many workgroups of four waves.
    pub fn row(workgroups: i64, figures: Figures) -> Row {
        let figures = Figures { workgroups, waves: 4 * workgroups, ..figures };
        let key = Key {
            module: "matvec/q4_k".into(),
            kernel: "matvec_1".into(),
            grid: [workgroups as u32, 1, 1],
            block: [128, 1, 1],
            dynamic_lds: 0,
        };
        Row { key, sum: Sum { launches: 1, figures }, occupancy: 16, wgp: true }
    }

    fn xtx() -> Card {
        *Card::named("rx7900xtx").unwrap()
    }

    const EXACT: Assumptions =
        Assumptions { memory_share: 1.0, issue_share: 1.0, launch_us: 0.0, ..Assumptions::USUAL };

    fn close(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-9, "{found} and not {expected}");
    }

    #[test]
    fn memory_takes_its_bytes_over_its_bandwidth() {
        let time = launch_time(
            &xtx(),
            &EXACT,
            &row(960, Figures { load: 1000, loaded_bytes: 1 << 20, ..Figures::default() }),
            960e6,
        );
        close(time.memory, 1e-3);
        assert_eq!(time.bound(), Bound::Memory);
        close(
            Assumptions::USUAL.memory_share
                * launch_time(&xtx(), &Assumptions::USUAL, &row(1, Figures::default()), 960e6).memory,
            1e-3,
        );
    }

    #[test]
    fn instructions_take_a_cycle_of_their_simd() {
        // 960 workgroups of 4 waves are 20 a SIMD; each has 1,000 instructions.
        let figures = Figures { vector: 3840 * 1000, ..Figures::default() };
        close(launch_time(&xtx(), &EXACT, &row(960, figures), 0.0).vector, 20_000.0 / 2.3e9);
        // 961 leave one work-group processor with another round.
        let figures = Figures { vector: 3844 * 1000, ..Figures::default() };
        close(launch_time(&xtx(), &EXACT, &row(961, figures), 0.0).vector, 21_000.0 / 2.3e9);
    }

    #[test]
    fn slow_instructions_take_more() {
        let of = |figures: Figures| launch_time(&xtx(), &EXACT, &row(960, figures), 0.0);
        let plain = of(Figures { vector: 3_840_000, ..Figures::default() });
        close(of(Figures { transcendental: 3_840_000, ..Figures::default() }).vector, 4.0 * plain.vector);
        let matrix = of(Figures { matrix: 3_840_000, ..Figures::default() });
        close(matrix.vector, 32.0 * plain.vector);
        assert_eq!((plain.bound(), matrix.bound()), (Bound::Instructions, Bound::Matrix));
    }

    #[test]
    fn caches_and_lds_serve_both_simds_of_a_unit() {
        // 40 waves a compute unit; each accesses LDS 1,000 times, and asks for 6,400 bytes.
        let figures = Figures { lds_accesses: 3_840_000, loaded_bytes: 3840 * 6400, load: 1, ..Figures::default() };
        let time = launch_time(&xtx(), &EXACT, &row(960, figures), 0.0);
        close(time.lds, 40_000.0 / 2.3e9);
        close(time.cache, 4000.0 / 2.3e9);
        assert_eq!(time.bound(), Bound::Lds);
    }

    #[test]
    fn few_waves_wait_for_memory_and_for_themselves() {
        let figures = Figures { vector: 4000, load: 40, loaded_bytes: 40 * 512, ..Figures::default() };
        let time = launch_time(&xtx(), &EXACT, &row(1, figures), 1e6);
        assert_eq!(time.bound(), Bound::Latency);
        // Four waves have four loads of 512 bytes under way each.
        close(time.latency, 1e6 / 8192.0 * 600e-9);
        assert!(time.vector > 1000.0 / 2.3e9);
    }

    #[test]
    fn nothing_else_than_launching_is_bound_by_launches() {
        let time = launch_time(&xtx(), &Assumptions::USUAL, &row(1, Figures::default()), 0.0);
        assert_eq!((time.bound(), time.seconds()), (Bound::Launch, 3e-6));
    }

    #[test]
    fn cdna_is_judged_by_bytes_and_operations_alone() {
        let card = Card::named("mi300x").unwrap();
        let figures = Figures { vector: 1 << 40, matrix: 1_000_000, ..Figures::default() };
        let time = launch_time(card, &Assumptions { matrix_share: 1.0, ..EXACT }, &row(960, figures), 0.0);
        close(time.seconds(), 8.192e9 / card.matrix_rate());
    }

    #[test]
    fn a_better_card_is_never_slower() {
        let cases = [
            (Figures { vector: 1 << 24, load: 1 << 16, loaded_bytes: 1 << 25, ..Figures::default() }, 1e6),
            (Figures { matrix: 1 << 20, lds_accesses: 1 << 22, lds_conflicts: 1 << 20, ..Figures::default() }, 1e5),
            (Figures { load: 1 << 10, loaded_bytes: 1 << 19, ..Figures::default() }, 1e9),
        ];
        for card in CARDS {
            let better = [
                Card { memory_gbs: card.memory_gbs * 1.5, ..*card },
                Card { clock_ghz: card.clock_ghz * 1.5, ..*card },
                Card { units: card.units * 2, ..*card },
                Card { cache_bytes: card.cache_bytes * 2, lds_bytes: card.lds_bytes * 2, ..*card },
                Card { matrix_flops: card.matrix_flops * 2, ..*card },
            ];
            for (figures, bytes) in cases {
                for workgroups in [1, 7, 95, 96, 97, 1000, 100_000] {
                    let seconds = |card: &Card| {
                        launch_time(card, &Assumptions::USUAL, &row(workgroups, figures), bytes).seconds()
                    };
                    for better in &better {
                        assert!(seconds(better) <= seconds(card) * (1.0 + 1e-9), "{better:?} {workgroups} {figures:?}");
                    }
                }
            }
        }
    }
}
