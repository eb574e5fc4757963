//! Into which tiles a product is cut: data per architecture, and a choice by estimated time.

use crate::driver::Properties;

/// One kernel of `kernels/gemm/`; sizes mirror the shapes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    pub kernel: &'static str,
    /// Rows of x.
    pub m: usize,
    /// Rows of the matrix.
    pub n: usize,
    /// Groups of 32 columns of a step.
    pub chunks: usize,
    pub threads: Threads,
    /// Workgroups that a compute unit runs at a time.
    resident: usize,
}

/// Threads of a workgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    Waves(u32),
    Count(u32),
}

impl Tile {
    pub fn threads(&self, wave_size: u32) -> u32 {
        match self.threads {
            Threads::Waves(waves) => waves * wave_size,
            Threads::Count(threads) => threads,
        }
    }
}

/// How one family of devices is used.
#[derive(Debug, Clone, Copy)]
struct Tuning {
    /// Start of the names of its architectures; the first row that matches counts.
    arch: &'static str,
    half: &'static [Tile],
    exact: &'static [Tile],
    /// What decoding a row of a matrix costs, counted in rows of x that could be multiplied with it meanwhile.
    decode: usize,
    /// Rows of x that workgroups of neighbouring times share matrices for.
    together: usize,
    /// Compute units of a die with an L2 cache of its own; 0 if there is one.
    die: usize,
}

const fn half(kernel: &'static str, [m, n]: [usize; 2], chunks: usize, waves: u32, resident: usize) -> Tile {
    Tile { kernel, m, n, chunks, threads: Threads::Waves(waves), resident }
}

const fn exact(kernel: &'static str, [m, n]: [usize; 2], resident: usize) -> Tile {
    Tile { kernel, m, n, chunks: 1, threads: Threads::Count(256), resident }
}

const EXACT: &[Tile] = &[exact("exact_16x64", [16, 64], 4), exact("exact_64x64", [64, 64], 3)];

/// Residency follows from registers and LDS as the compilers report them.
const TUNING: &[Tuning] = &[
    Tuning {
        arch: "sm_",
        half: &[
            half("gemm_16x64", [16, 64], 4, 4, 5),
            half("gemm_32x64", [32, 64], 2, 4, 7),
            half("gemm_64x128", [64, 128], 1, 4, 4),
            half("gemm_128x128", [128, 128], 1, 4, 2),
        ],
        exact: EXACT,
        decode: 40,
        together: 2048,
        die: 0,
    },
    // MI300X has 38 compute units a die; other CDNA devices have one die each.
    Tuning { arch: "gfx942", half: CDNA, exact: EXACT, decode: 40, together: 1024, die: 38 },
    Tuning { arch: "gfx9", half: CDNA, exact: EXACT, decode: 30, together: 1024, die: 0 },
    // Without a matrix unit decoding weighs less.
    Tuning { arch: "gfx10", half: RDNA, exact: EXACT, decode: 6, together: 1024, die: 0 },
    Tuning { arch: "", half: RDNA, exact: EXACT, decode: 20, together: 1024, die: 0 },
];

const CDNA: &[Tile] = &[
    half("gemm_16x64", [16, 64], 4, 4, 2),
    half("gemm_32x64", [32, 64], 2, 4, 4),
    half("gemm_64x128", [64, 128], 1, 4, 4),
    half("gemm_128x128", [128, 128], 1, 4, 3),
];

const RDNA: &[Tile] = &[
    half("gemm_16x64", [16, 64], 4, 4, 2),
    half("gemm_32x64", [32, 64], 2, 4, 4),
    half("gemm_64x128", [64, 128], 1, 4, 3),
    half("gemm_128x128", [128, 128], 2, 8, 1),
];

/// Sums that one launch may leave to be added up: what splitting writes and reads again.
const MOST_SPLITS: usize = 16;

/// Columns of a split at least, so that its loop is longer than its ends.
const LEAST_SPLIT_CHUNKS: usize = 8;

/// A product cut into tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Index of the tile.
    pub tile: usize,
    pub row_tiles: usize,
    /// Column tiles of all parts.
    pub columns: usize,
    pub splits: usize,
    /// Groups of 32 columns of a split.
    pub split_chunks: usize,
}

/// The tiles of one device, for one kind of arithmetic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    pub list: &'static [Tile],
    decode: usize,
    together: usize,
    units: usize,
    pub dies: usize,
    pub wave_size: u32,
}

impl Tiles {
    /// One tile of them alone.
    pub fn only(&self, index: usize) -> Self {
        Self { list: &self.list[index..=index], ..*self }
    }

    pub fn of(properties: &Properties, is_exact: bool) -> Self {
        let row = TUNING.iter().find(|row| properties.arch.starts_with(row.arch)).unwrap_or(&TUNING[TUNING.len() - 1]);
        let units = (properties.compute_units as usize).max(1);
        Self {
            list: if is_exact { row.exact } else { row.half },
            decode: if is_exact { 4 } else { row.decode },
            together: row.together,
            units,
            dies: if row.die == 0 { 1 } else { units.div_ceil(row.die) },
            wave_size: properties.wave_size,
        }
    }

    /// Row tiles whose workgroups run at the same time.
    pub fn together(&self, tile: usize) -> usize {
        (self.together / self.list[tile].m).max(1)
    }

    /// The tile that is expected to be done first.
    pub fn cut(&self, tokens: usize, k: usize, rows: impl Iterator<Item = usize> + Clone) -> Cut {
        let blocks =
            |tile: &Tile| (tokens.div_ceil(tile.m), rows.clone().map(|rows| rows.div_ceil(tile.n)).sum::<usize>());
        let best = (0..self.list.len()).min_by_key(|&i| {
            let (row_tiles, columns) = blocks(&self.list[i]);
            self.cost(&self.list[i], row_tiles * columns)
        });
        let tile = best.unwrap_or(0);
        let (row_tiles, columns) = blocks(&self.list[tile]);
        let (splits, split_chunks) = self.splits(&self.list[tile], row_tiles * columns, k.div_ceil(32));
        Cut { tile, row_tiles, columns, splits, split_chunks }
    }

    /// Time that `blocks` workgroups take, in arbitrary units: rounds of the device times the work of a workgroup. A
    /// unit that runs a single one does nothing while that one waits, which costs half again.
    fn cost(&self, tile: &Tile, blocks: usize) -> usize {
        let rounds = blocks.div_ceil(self.units);
        let waiting = if blocks < 2 * self.units { 3 } else { 2 };
        rounds * tile.n * (tile.m + self.decode) * waiting
    }

    /// Into how many parts k is cut, and how long each is: as many as fit on the device at the same time.
    fn splits(&self, tile: &Tile, blocks: usize, chunks: usize) -> (usize, usize) {
        let room = self.units * tile.resident / blocks.max(1);
        let splits = room.min(chunks / LEAST_SPLIT_CHUNKS).clamp(1, MOST_SPLITS);
        let each = chunks.div_ceil(splits).next_multiple_of(tile.chunks).max(1);
        (chunks.div_ceil(each).max(1), each)
    }

    /// The tile for groups of at most `rows` rows.
    pub fn for_group(&self, rows: usize) -> usize {
        self.list.iter().position(|tile| tile.m >= rows).unwrap_or(self.list.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiles(arch: &str, units: usize) -> Tiles {
        let row = TUNING.iter().find(|row| arch.starts_with(row.arch)).expect("the last row matches all");
        Tiles { list: row.half, decode: row.decode, together: row.together, units, dies: 1, wave_size: 32 }
    }

    fn kernel(arch: &str, units: usize, tokens: usize, k: usize, rows: &[usize]) -> (&'static str, usize) {
        let tiles = tiles(arch, units);
        let cut = tiles.cut(tokens, k, rows.iter().copied());
        (tiles.list[cut.tile].kernel, cut.splits)
    }

    #[test]
    fn large_products_get_large_tiles_and_small_ones_are_split() {
        assert_eq!(kernel("sm_90", 132, 2048, 4096, &[14336, 14336]), ("gemm_128x128", 1));
        assert_eq!(kernel("gfx1100", 96, 2048, 4096, &[4096]).0, "gemm_128x128");
        let (name, splits) = kernel("sm_90", 132, 9, 4096, &[4096]);
        assert_eq!(name, "gemm_16x64");
        assert!(splits > 4, "{splits}");
    }

    #[test]
    fn cuts_cover_everything() {
        for arch in ["sm_90", "gfx942", "gfx90a", "gfx1030", "gfx1100"] {
            let tiles = tiles(arch, 60);
            for (tokens, k, rows) in [(1, 32, 1), (9, 96, 15), (100, 4096, 128), (8192, 14336, 4096), (16, 33, 70000)] {
                let cut = tiles.cut(tokens, k, [rows].into_iter());
                let tile = tiles.list[cut.tile];
                assert!(cut.row_tiles * tile.m >= tokens && cut.columns * tile.n >= rows);
                assert!(cut.splits * cut.split_chunks * 32 >= k, "{cut:?}");
                assert!((cut.splits - 1) * cut.split_chunks * 32 < k, "an empty split: {cut:?}");
                assert!(cut.splits == 1 || cut.split_chunks.is_multiple_of(tile.chunks));
            }
        }
    }

    #[test]
    fn groups_fit_their_tile() {
        for row in TUNING {
            for list in [row.half, row.exact] {
                assert!(list.is_sorted_by_key(|tile| tile.m));
            }
        }
    }
}
