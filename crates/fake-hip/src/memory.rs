//! The memory of the devices: host memory between guard zones, and a register of where it lies.

use std::collections::BTreeMap;

use gfx_emu::memory::Memory as Emulated;

use crate::block::Block;

const GUARD_BYTE: u8 = 0xa5;
/// New memory holds NaN (of every float type), and -1 as an integer.
const FRESH_BYTE: u8 = 0xff;
/// Beyond this the rest of a new allocation is left as the system gives it, so that large ones cost nothing.
const FRESH_BYTES_MAX: usize = 64 << 20;
/// As far from an allocation an address is told as lying beside it.
const NEAR: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Memory of the device with this ordinal.
    Device(usize),
    /// Host memory that HIP gave.
    Pinned,
    /// Host memory that the program brought.
    Registered,
}

#[derive(Debug)]
struct Allocation {
    bytes: usize,
    kind: Kind,
    /// What it lies in, guards included; `None` for memory that the program owns.
    block: Option<Block>,
}

/// Where a range of addresses lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Inside(Kind),
    /// In no allocation.
    Outside,
    /// Partly in an allocation, or in more than one.
    Across,
}

/// A guard zone that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    pub address: usize,
    pub bytes: usize,
    /// Of the first byte that changed, from the allocation's start.
    pub offset: isize,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address, bytes, offset } = self;
        write!(f, "byte {offset} of the allocation of {bytes} bytes at {address:#x} was written")
    }
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// By the address that the program knows.
    allocations: BTreeMap<usize, Allocation>,
    /// The same for the emulator, with which bytes were ever written; `None` while kernels run on this processor.
    emulated: Option<Emulated>,
    /// Allocations so far, for their names.
    made: usize,
}

impl Memory {
    /// A new allocation's address, `None` without memory. `bytes` is not 0. With `pages`, every access beside it faults
    /// that is further away than what its alignment needs.
    pub(crate) fn allocate(&mut self, bytes: usize, kind: Kind, pages: bool) -> Option<usize> {
        let block = if pages { Block::with_pages(bytes) } else { Block::with_guards(bytes) }?;
        let allocation = Allocation { bytes, kind, block: Some(block) };
        let address = allocation.block.as_ref()?.address();
        for (start, guard) in guards(address, &allocation) {
            fill(start, guard, GUARD_BYTE);
        }
        fill(address, bytes.min(FRESH_BYTES_MAX), FRESH_BYTE);
        self.insert(address, allocation, true);
        Some(address)
    }

    /// Keeps an allocation, and makes it known to the emulator.
    fn insert(&mut self, address: usize, allocation: Allocation, fresh: bool) {
        self.made += 1;
        if let Some(emulated) = &self.emulated {
            map(emulated, address, &allocation, self.made, !fresh);
        }
        self.allocations.insert(address, allocation);
    }

    /// Whether kernels are emulated from now on. What memory holds at this time counts as written.
    pub(crate) fn emulate(&mut self, on: bool) {
        if on == self.emulated.is_some() {
            return;
        }
        self.emulated = on.then(|| {
            let emulated = Emulated::new();
            for (number, (address, allocation)) in self.allocations.iter().enumerate() {
                map(&emulated, *address, allocation, number + 1, true);
            }
            emulated
        });
    }

    /// The memory that emulated kernels see, if they are emulated.
    pub(crate) fn emulated(&self) -> Option<&Emulated> {
        self.emulated.as_ref()
    }

    /// Notes that the host has written a range of the device.
    pub(crate) fn wrote(&self, address: usize, bytes: usize) {
        if let Some(emulated) = &self.emulated {
            emulated.mark_written(address as u64, bytes as u64);
        }
    }

    /// Notes a copy: what was never written stays so in its new place. Where the source is the program's own memory,
    /// everything was.
    pub(crate) fn copied(&self, to: usize, from: usize, bytes: usize) {
        let Some(emulated) = &self.emulated else { return };
        if !matches!(self.place(to, bytes), Place::Inside(_)) {
            return;
        }
        let (to, from, bytes) = (to as u64, from as u64, bytes as u64);
        if !matches!(self.place(from as usize, bytes as usize), Place::Inside(_)) {
            return emulated.mark_written(to, bytes);
        }
        emulated.mark_unwritten(to, bytes);
        let mut at = 0;
        while at < bytes {
            let end = emulated.first_unwritten(from + at, bytes - at).map_or(bytes, |end| end - from);
            emulated.mark_written(to + at, end - at);
            at = (end..bytes).find(|&at| emulated.is_written(from + at, 1)).unwrap_or(bytes);
        }
    }

    /// Where in a range of the device the first byte is that nobody has ever written, if kernels are emulated.
    pub(crate) fn unwritten(&self, address: usize, bytes: usize) -> Option<String> {
        if !matches!(self.place(address, bytes), Place::Inside(_)) {
            return None;
        }
        let first = self.emulated.as_ref()?.first_unwritten(address as u64, bytes as u64)?;
        self.neighbour(first as usize)
    }

    /// Notes host memory of the program; false: some of it is known already.
    pub(crate) fn register(&mut self, address: usize, bytes: usize) -> bool {
        let free = self.place(address, bytes) == Place::Outside;
        if free {
            self.insert(address, Allocation { bytes, kind: Kind::Registered, block: None }, false);
        }
        free
    }

    /// Frees the allocation that begins at `address`, if it is of the kind; tells whether its guards were written.
    /// `None`: there is no such allocation.
    pub(crate) fn free(&mut self, address: usize, is_kind: impl Fn(Kind) -> bool) -> Option<Option<Damage>> {
        if !is_kind(self.allocations.get(&address)?.kind) {
            return None;
        }
        let allocation = self.allocations.remove(&address)?;
        if let Some(emulated) = &self.emulated {
            emulated.unmap(address as u64);
        }
        let damage = damage_of(address, &allocation);
        Some(damage)
    }

    /// Frees all memory of a device.
    pub(crate) fn free_device(&mut self, device: usize) {
        self.free_those(|kind| kind == Kind::Device(device));
    }

    fn free_those(&mut self, is_kind: impl Fn(Kind) -> bool) {
        for address in self.allocations.keys().copied().collect::<Vec<_>>() {
            // Others stay, and damage was told by the launch that did it.
            let _ = self.free(address, &is_kind);
        }
    }

    /// Where `[address, address + bytes)` lies.
    pub(crate) fn place(&self, address: usize, bytes: usize) -> Place {
        let Some(end) = address.checked_add(bytes) else { return Place::Across };
        match self.allocations.range(..end.max(address + 1)).next_back() {
            Some((&start, a)) if start <= address && end <= start + a.bytes && address < start + a.bytes => {
                Place::Inside(a.kind)
            }
            Some((&start, a)) if start + a.bytes > address => Place::Across,
            _ => Place::Outside,
        }
    }

    /// Where an address lies that is in no allocation: beside which one.
    pub(crate) fn neighbour(&self, address: usize) -> Option<String> {
        let before =
            self.allocations.range(..=address).next_back().map(|(start, a)| (address - start, *start, a.bytes));
        let after = self.allocations.range(address..).next().map(|(start, a)| (start - address, *start, a.bytes));
        let text = |offset: String, start: usize, bytes: usize| {
            format!("byte {offset} of the allocation of {bytes} bytes at {start:#x}")
        };
        match (before, after) {
            (Some((offset, start, bytes)), _) if offset < bytes + NEAR => Some(text(offset.to_string(), start, bytes)),
            (_, Some((offset, start, bytes))) if offset < NEAR => Some(text(format!("-{offset}"), start, bytes)),
            _ => None,
        }
    }

    /// Bytes in use of a kind.
    pub(crate) fn used(&self, kind: Kind) -> usize {
        self.allocations.values().filter(|a| a.kind == kind).map(|a| a.bytes).sum()
    }

    /// How many allocations there are of some kinds.
    pub(crate) fn count(&self, is_kind: impl Fn(Kind) -> bool) -> usize {
        self.allocations.values().filter(|a| is_kind(a.kind)).count()
    }

    /// Allocations that HIP gave and that are not freed.
    pub(crate) fn live(&self) -> usize {
        self.count(|kind| kind != Kind::Registered)
    }

    /// Bytes of those allocations.
    pub(crate) fn live_bytes(&self) -> usize {
        self.allocations.values().filter(|a| a.block.is_some()).map(|a| a.bytes).sum()
    }

    /// Guard zones that were written since the last call, which repairs them.
    pub(crate) fn damage(&mut self) -> Vec<Damage> {
        let damaged = self.allocations.iter().filter_map(|(&address, a)| damage_of(address, a));
        let damaged: Vec<Damage> = damaged.collect();
        for damage in &damaged {
            repair(damage.address, &self.allocations[&damage.address]);
        }
        damaged
    }
}

/// Makes an allocation known to the emulator.
fn map(emulated: &Emulated, address: usize, allocation: &Allocation, number: usize, written: bool) {
    let name = match allocation.kind {
        Kind::Device(device) => format!("allocation {number}, of device {device}"),
        Kind::Pinned => format!("allocation {number}, pinned"),
        Kind::Registered => format!("allocation {number}, registered"),
    };
    // The host writes memory of its own without telling.
    let written = written || !matches!(allocation.kind, Kind::Device(_));
    // SAFETY: the range belongs to the allocation, or is what the program has registered, until it is unmapped; launches
    // begin and end while the state is locked. That the host leaves it alone meanwhile is HIP's rule.
    unsafe { emulated.map(address as u64, allocation.bytes as u64, &name, written) };
}

/// The guards of an allocation as `(start, bytes)`.
fn guards(address: usize, allocation: &Allocation) -> [(usize, usize); 2] {
    match &allocation.block {
        None => [(address, 0); 2],
        Some(block) => {
            let writable = block.writable();
            let end = address + allocation.bytes;
            [(writable.start, address - writable.start), (end, writable.end - end)]
        }
    }
}

fn damage_of(address: usize, allocation: &Allocation) -> Option<Damage> {
    guards(address, allocation).into_iter().find_map(|(start, bytes)| {
        // SAFETY: a guard lies in the writable part of the allocation's block, which is not freed.
        let guard = unsafe { std::slice::from_raw_parts(start as *const u8, bytes) };
        let changed = guard.iter().position(|byte| *byte != GUARD_BYTE)?;
        let offset = (start + changed) as isize - address as isize;
        Some(Damage { address, bytes: allocation.bytes, offset })
    })
}

fn repair(address: usize, allocation: &Allocation) {
    for (start, bytes) in guards(address, allocation) {
        fill(start, bytes, GUARD_BYTE);
    }
}

/// Fills part of an allocation's block, or nothing.
fn fill(start: usize, bytes: usize, value: u8) {
    // SAFETY: callers name ranges in the writable part of a block that is not freed.
    unsafe { std::ptr::write_bytes(start as *mut u8, value, bytes) };
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.free_those(|_| true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let mut memory = Memory::default();
        let kind = Kind::Device(0);
        let a = memory.allocate(1000, kind, false).unwrap();
        assert_eq!(a % crate::block::ALIGN, 0);
        assert_eq!(memory.place(a, 1000), Place::Inside(kind));
        assert_eq!(memory.place(a + 999, 1), Place::Inside(kind));
        assert_eq!(memory.place(a + 999, 2), Place::Across);
        assert_eq!(memory.place(a - 1, 2), Place::Across);
        assert_eq!(memory.place(a - 10, 2000), Place::Across);
        assert_eq!(memory.place(a + 1000, 8), Place::Outside);
        assert_eq!(memory.place(a, usize::MAX), Place::Across);
        assert_eq!((memory.used(kind), memory.used(Kind::Device(1)), memory.live()), (1000, 0, 1));
    }

    #[test]
    fn freeing() {
        let mut memory = Memory::default();
        let a = memory.allocate(64, Kind::Pinned, false).unwrap();
        assert_eq!(memory.free(a, |kind| matches!(kind, Kind::Device(_))), None);
        assert_eq!(memory.free(a + 1, |_| true), None);
        assert_eq!(memory.free(a, |_| true), Some(None));
        assert_eq!(memory.free(a, |_| true), None);
        assert_eq!(memory.place(a, 1), Place::Outside);
    }

    #[test]
    fn writes_beside_an_allocation() {
        for pages in [false, true] {
            let mut memory = Memory::default();
            let a = memory.allocate(100, Kind::Device(0), pages).unwrap();
            assert_eq!(memory.damage(), []);
            // SAFETY: the byte lies in the guard behind the allocation.
            unsafe { ((a + 103) as *mut u8).write(1) };
            assert_eq!(memory.damage(), [Damage { address: a, bytes: 100, offset: 103 }]);
            assert_eq!(memory.damage(), []);
            // SAFETY: the byte lies in the guard before the allocation.
            unsafe { ((a - 4) as *mut u8).write(1) };
            assert_eq!(memory.damage()[0].offset, -4);
        }
    }

    #[test]
    fn neighbours() {
        let mut memory = Memory::default();
        let a = memory.allocate(100, Kind::Device(0), false).unwrap();
        assert_eq!(memory.neighbour(a + 300), Some(format!("byte 300 of the allocation of 100 bytes at {a:#x}")));
        assert_eq!(memory.neighbour(a - 8), Some(format!("byte -8 of the allocation of 100 bytes at {a:#x}")));
        assert_eq!(memory.neighbour(64), None);
    }
}
