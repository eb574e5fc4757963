//! Blocks of a cache on the move: over others, to memory of the host, and back.
//!
//! A block lies in two planes a layer. On the way to the host a kernel packs its planes behind one another, so that one
//! copy takes the block over the bus; on the way back another unpacks them. All of it is enqueued on the stream of the
//! steps, and so happens in its place between them.

use rocmforge_program::backend::{BlockMove, CacheSpec};

use super::cache::{Cache, Upload};
use crate::driver::{Buffer, Device, PinnedBuffer, Stream};
use crate::error::Failure;
use crate::library::Kernels;
use crate::ops::{BlockPlace, CopyBlocks, CopyBlocksCall, KvLayout, from_and_to, independent_runs};

/// Moves of one launch.
const MAX_MOVES: usize = 4096;

/// Bytes that packed blocks have on the device; one block, if that is larger.
const STAGING_BYTES: usize = 32 << 20;

/// What moves take.
pub(super) struct Moves {
    copier: Copier,
    host: Option<Host>,
}

/// Copies on the device.
struct Copier {
    copy: CopyBlocks,
    pairs: Upload,
    /// The cache's planes, for the kernel.
    planes: Buffer,
}

/// The second tier: blocks in memory of the host.
struct Host {
    /// Packed blocks `[host_slots]`.
    slots: PinnedBuffer,
    /// Packed blocks on their way.
    staging: Buffer,
    /// How many have room there.
    capacity: usize,
}

impl Moves {
    /// Bytes on the device at most, unless a block is larger than the staging.
    pub fn fixed_bytes(spec: CacheSpec) -> usize {
        let staging = if spec.host_slots > 0 { STAGING_BYTES } else { 0 };
        staging + MAX_MOVES * 2 * size_of::<u32>()
    }

    pub fn new(device: &Device, stream: &Stream, kernels: &Kernels, layout: &KvLayout) -> Result<Self, Failure> {
        let planes = device.alloc(size_of_val(layout.planes()), "a table of the KV cache")?;
        let mut table = device.alloc_pinned(planes.len())?;
        table.as_mut_slice()?.copy_from_slice(bytemuck::cast_slice(layout.planes()));
        stream.copy_in(planes.ptr(), &table, 0..table.len())?;
        stream.synchronize()?;
        let pairs = Upload::new(device, stream, MAX_MOVES * 2)?;
        let copier = Copier { copy: CopyBlocks::load(kernels)?, pairs, planes };
        Ok(Self { copier, host: Host::new(device, layout)? })
    }
}

impl Host {
    fn new(device: &Device, layout: &KvLayout) -> Result<Option<Self>, Failure> {
        let (slots, block) = (layout.spec().host_slots, layout.packed_bytes());
        if slots == 0 || block == 0 {
            return Ok(None);
        }
        let capacity = (STAGING_BYTES / block).clamp(1, slots.min(MAX_MOVES));
        // More bytes than there are numbers for is more memory than there is.
        let slots = device.alloc_pinned(slots.saturating_mul(block).min(isize::MAX as usize))?;
        Ok(Some(Self { slots, staging: device.alloc(capacity * block, "staging of cache blocks")?, capacity }))
    }
}

impl Cache {
    /// Enqueues moves of blocks, in order.
    pub fn move_blocks(&mut self, stream: &Stream, moves: &[BlockMove]) -> Result<(), Failure> {
        BlockMove::check(moves, self.spec)?;
        let Moves { copier, host } = &mut self.moves;
        let mut mover = Mover { stream, layout: &self.layout, cache: BlockPlace::Cache(self.store.ptr()), copier };
        for run in independent_runs(moves) {
            match (run[0], &mut *host) {
                (BlockMove::Copy { .. }, _) => run.chunks(MAX_MOVES).try_for_each(|run| mover.copy(run))?,
                (BlockMove::Save { .. }, Some(host)) => {
                    run.chunks(host.capacity).try_for_each(|run| mover.save(run, host))?;
                }
                (BlockMove::Load { .. }, Some(host)) => {
                    run.chunks(host.capacity).try_for_each(|run| mover.load(run, host))?;
                }
                // Without attention there is nothing to keep.
                (_, None) => {}
            }
        }
        Ok(())
    }
}

/// Moves blocks of one cache, in runs of one kind that do not depend on one another.
struct Mover<'a> {
    stream: &'a Stream,
    layout: &'a KvLayout,
    cache: BlockPlace,
    copier: &'a mut Copier,
}

impl Mover<'_> {
    fn copy(&mut self, run: &[BlockMove]) -> Result<(), Failure> {
        self.launch([self.cache, self.cache], run.iter().map(|&moved| from_and_to(moved)))
    }

    fn save(&mut self, run: &[BlockMove], host: &mut Host) -> Result<(), Failure> {
        let (staging, bytes) = (host.staging.ptr(), self.layout.packed_bytes());
        let blocks = run.iter().enumerate().map(|(at, &moved)| (from_and_to(moved).0, at as u32));
        self.launch([self.cache, BlockPlace::Packed(staging)], blocks)?;
        for (at, &moved) in run.iter().enumerate() {
            let slot = from_and_to(moved).1 as usize * bytes;
            self.stream.copy_out(&mut host.slots, slot..slot + bytes, staging.add(at * bytes))?;
        }
        Ok(())
    }

    fn load(&mut self, run: &[BlockMove], host: &Host) -> Result<(), Failure> {
        let (staging, bytes) = (host.staging.ptr(), self.layout.packed_bytes());
        for (at, &moved) in run.iter().enumerate() {
            let slot = from_and_to(moved).0 as usize * bytes;
            self.stream.copy_in(staging.add(at * bytes), &host.slots, slot..slot + bytes)?;
        }
        let blocks = run.iter().enumerate().map(|(at, &moved)| (at as u32, from_and_to(moved).1));
        self.launch([BlockPlace::Packed(staging), self.cache], blocks)
    }

    /// Enqueues the kernel for these pairs of from and to.
    fn launch(
        &mut self,
        [from, to]: [BlockPlace; 2],
        blocks: impl ExactSizeIterator<Item = (u32, u32)>,
    ) -> Result<(), Failure> {
        let Copier { copy, pairs, planes } = &mut *self.copier;
        let pair_count = blocks.len();
        pairs.send(self.stream, |words| {
            words.chunks_exact_mut(2).zip(blocks).for_each(|(pair, (from, to))| pair.copy_from_slice(&[from, to]));
            pair_count * 2
        })?;
        let (planes, pairs) = (planes.ptr(), pairs.ptr());
        let call = CopyBlocksCall { layout: self.layout, planes, from, to, pairs, pair_count };
        Ok(copy.run(self.stream, &call)?)
    }
}
