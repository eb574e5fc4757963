//! Pairs (token, choice) sorted by expert, for the grouped products.

use bytemuck::{Pod, Zeroable};

use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};

use super::GemmForm;

/// The most experts that pairs are sorted by.
pub const MAX_EXPERTS: usize = 1024;

const THREADS: u32 = 1024;
/// Words of the table in front of the tiles, and of each tile.
const WORDS: usize = 4;

/// How many pairs there are, and how they are cut into tiles. All products of one choice of experts share a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLayout {
    pairs: usize,
    experts: usize,
    tile_rows: usize,
}

impl GroupLayout {
    /// For `pairs` rows (tokens times chosen experts) that meet `experts` experts; `None` if these are none or more
    /// than [`MAX_EXPERTS`]. `form` is that of the products, and [`GemmForm::F32`] if one of them has it.
    pub fn new(pairs: usize, experts: usize, form: GemmForm) -> Option<Self> {
        // Tiles are about as high as an expert's share of the pairs: higher ones stand empty, lower ones decode each
        // matrix more often.
        let most = if form == GemmForm::F32 { 64 } else { 128 };
        let share = pairs.checked_div(experts).filter(|_| experts <= MAX_EXPERTS)?;
        let tile_rows = match share {
            0..12 => 16,
            12..40 => 32,
            40..160 => 64,
            _ => most,
        };
        Some(Self { pairs, experts, tile_rows })
    }

    /// Rows of the products.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// Experts there are.
    pub fn experts(&self) -> usize {
        self.experts
    }

    /// Rows of a tile at most.
    pub fn tile_rows(&self) -> usize {
        self.tile_rows
    }

    /// The most tiles that any choice of experts makes: whole ones, and one that is not full for each expert.
    pub fn max_tiles(&self) -> usize {
        self.pairs / self.tile_rows + self.pairs.min(self.experts)
    }

    /// Bytes that the sorted pairs and the table of tiles take; 16-byte aligned memory.
    pub fn bytes(&self) -> usize {
        (WORDS + WORDS * self.max_tiles() + self.pairs) * size_of::<u32>()
    }

    /// The pairs behind the table that begins at `memory`.
    pub(super) fn order(&self, memory: DevicePtr) -> DevicePtr {
        memory.add((WORDS + WORDS * self.max_tiles()) * size_of::<u32>())
    }
}

/// The kernel's arguments, field for field.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GroupArgs {
    ids: DevicePtr,
    tiles: DevicePtr,
    order: DevicePtr,
    pairs: u32,
    experts: u32,
    tile_rows: u32,
    pad: u32,
}

/// The kernel that sorts pairs by expert.
#[derive(Debug, Clone)]
pub struct GroupPairs {
    kernel: Function,
}

impl GroupPairs {
    /// Loads the kernel.
    ///
    /// # Errors
    /// Those of [`Kernels::function`].
    pub fn load(kernels: &Kernels) -> Result<Self, KernelError> {
        Ok(Self { kernel: kernels.function("gemm/group", "group_pairs")? })
    }

    /// Enqueues the sorting: `ids`, f32 `[pairs]`, say the expert of each pair, and `memory` of [`GroupLayout::bytes`]
    /// receives what [`Gemm::run_experts`](super::Gemm::run_experts) reads. An id that is no expert counts as the
    /// nearest one.
    ///
    /// # Errors
    /// Those of [`Stream::launch`].
    pub fn run(
        &self,
        stream: &Stream,
        layout: &GroupLayout,
        ids: DevicePtr,
        memory: DevicePtr,
    ) -> Result<(), HipError> {
        let args = GroupArgs {
            ids,
            tiles: memory,
            order: layout.order(memory),
            pairs: layout.pairs as u32,
            experts: layout.experts as u32,
            tile_rows: layout.tile_rows as u32,
            pad: 0,
        };
        // SAFETY: the arguments are the kernel's struct; it reads `pairs` ids and writes the table and the order, which
        // the caller says lie in live buffers of these sizes. Ids are clamped to experts, of which the layout has at
        // most as many as the kernel has lanes, and no choice makes more than `max_tiles` tiles.
        unsafe { stream.launch(&self.kernel, Dims::line(1, THREADS), &args) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_have_room_for_the_worst_choice() {
        for (pairs, experts) in [(1, 1), (9, 128), (72, 8), (4096, 128), (16384, 128), (100_000, 8), (0, 4)] {
            for form in [GemmForm::Half, GemmForm::F32] {
                let layout = GroupLayout::new(pairs, experts, form).expect("few experts");
                // The worst choice gives as many experts as possible one pair more than whole tiles.
                let odd = pairs.min(experts);
                let worst = odd + pairs.saturating_sub(odd) / layout.tile_rows();
                assert!(layout.max_tiles() >= worst, "{layout:?}");
                assert!(layout.bytes() >= 4 * (4 + 4 * worst + pairs));
            }
        }
        assert_eq!(GroupLayout::new(8, MAX_EXPERTS + 1, GemmForm::Half), None);
        assert_eq!(GroupLayout::new(8, 0, GemmForm::Half), None);
    }
}
