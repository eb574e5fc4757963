//! Memory of the device: allocations, their bounds, and which of their bytes were ever written; LDS; private memory.

pub(crate) mod access;
mod allocation;
mod lds;
mod races;
mod scratch;
mod shadow;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytemuck::{AnyBitPattern, NoUninit, Pod};

pub(crate) use allocation::Recent;
pub use allocation::{Allocation, View};
pub use lds::Lds;
pub(crate) use races::{Conflict, Pages, Use};
pub use scratch::Scratch;

use allocation::{Freed, Room};
use shadow::Shadow;

/// The device's memory. Addresses are those of the host. Threads may share it.
#[derive(Debug, Default)]
pub struct Memory {
    view: RwLock<View>,
}

/// A range that is not in memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes at {address:#x}: {place}")]
pub struct MemoryError {
    /// Bytes asked for.
    pub bytes: u64,
    /// First address.
    pub address: u64,
    /// Where this is relative to the nearest allocation.
    pub place: String,
}

/// Freed allocations that messages still know.
const FREED_MAX: usize = 256;

impl Memory {
    /// Without any allocation.
    pub fn new() -> Self {
        Self::default()
    }

    /// New memory of its own, aligned to 256 bytes and never written.
    pub fn allocate(&self, bytes: usize, name: &str) -> u64 {
        const ALIGNMENT: usize = 256;
        let mut room = vec![0u128; (bytes + ALIGNMENT).div_ceil(16)];
        let address = (room.as_mut_ptr() as u64).next_multiple_of(ALIGNMENT as u64);
        self.insert(address, bytes as u64, name, false, Some(Room(room)));
        address
    }

    /// New memory of its own that holds these values.
    pub fn allocate_from<T: NoUninit>(&self, values: &[T], name: &str) -> u64 {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let address = self.allocate(bytes.len(), name);
        // SAFETY: the allocation is new and has as many bytes.
        unsafe { access::copy_in(address, bytes) };
        self.mark_written(address, bytes.len() as u64);
        address
    }

    /// Makes memory known that belongs to someone else. `written` says whether what it holds means something.
    ///
    /// # Safety
    /// The range is valid for reads and writes until it is unmapped and launches that began before have ended, and it is
    /// not accessed meanwhile while a launch may use it, except through this crate or by atomic operations.
    pub unsafe fn map(&self, address: u64, bytes: u64, name: &str, written: bool) {
        self.insert(address, bytes, name, written, None);
    }

    /// Forgets an allocation by its first address; memory of its own is freed once no launch uses it. Says whether there
    /// was one.
    pub fn unmap(&self, address: u64) -> bool {
        let mut view = self.change();
        let Some(at) = view.allocations.iter().position(|allocation| allocation.address == address) else {
            return false;
        };
        let gone = view.allocations.remove(at);
        if view.freed.len() == FREED_MAX {
            view.freed.remove(0);
        }
        view.freed.push(Freed { address, bytes: gone.bytes, name: gone.name.as_str().into() });
        true
    }

    /// The same as [`Memory::unmap`], named for memory that was allocated.
    pub fn free(&self, address: u64) -> bool {
        self.unmap(address)
    }

    /// Says that a range holds values now.
    pub fn mark_written(&self, address: u64, bytes: u64) {
        if let Some(allocation) = self.look().find(address, bytes) {
            allocation.mark(address, address + bytes);
        }
    }

    /// Says that what a range holds means nothing.
    pub fn mark_unwritten(&self, address: u64, bytes: u64) {
        if let Some(allocation) = self.look().find(address, bytes) {
            allocation.unmark(address, address + bytes);
        }
    }

    /// The first address of a range that was never written.
    pub fn first_unwritten(&self, address: u64, bytes: u64) -> Option<u64> {
        match self.look().find(address, bytes) {
            Some(allocation) => allocation.first_unwritten(address, address + bytes),
            None => Some(address),
        }
    }

    /// Whether all of a range is in one allocation and was written.
    pub fn is_written(&self, address: u64, bytes: u64) -> bool {
        self.first_unwritten(address, bytes).is_none()
    }

    /// Values from memory, whether they were written or not.
    pub fn read<T: AnyBitPattern + Pod>(&self, address: u64, count: usize) -> Result<Vec<T>, MemoryError> {
        let mut values = vec![T::zeroed(); count];
        let to: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        let view = self.look();
        find(&view, address, to.len())?;
        // SAFETY: an allocation holds the range, and stays while `view` is borrowed.
        unsafe { access::copy_out(address, to) };
        Ok(values)
    }

    /// Values into memory.
    pub fn write<T: NoUninit>(&self, address: u64, values: &[T]) -> Result<(), MemoryError> {
        let from: &[u8] = bytemuck::cast_slice(values);
        let view = self.look();
        let allocation = find(&view, address, from.len())?;
        // SAFETY: an allocation holds the range, and stays while `view` is borrowed.
        unsafe { access::copy_in(address, from) };
        allocation.mark(address, address + from.len() as u64);
        Ok(())
    }

    /// What a launch sees: later changes of the allocations do not reach it, what is written does.
    pub fn view(&self) -> View {
        self.look().clone()
    }

    fn look(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, address: u64, bytes: u64, name: &str, written: bool, owned: Option<Room>) {
        let shadow = Shadow::new(bytes, written);
        let allocation = Allocation { address, bytes, name: name.to_owned(), shadow, _owned: owned };
        let mut view = self.change();
        // What was freed there is there again.
        view.freed.retain(|old| old.address >= address + bytes || old.address + old.bytes <= address);
        let at = view.allocations.partition_point(|other| other.address < address);
        view.allocations.insert(at, Arc::new(allocation));
    }
}

fn find(view: &View, address: u64, bytes: usize) -> Result<&Allocation, MemoryError> {
    let bytes = bytes as u64;
    view.find(address, bytes).ok_or_else(|| MemoryError { bytes, address, place: view.place(address, bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_count_as_written() {
        let memory = Memory::new();
        let address = memory.allocate(10, "odd");
        assert_eq!(memory.first_unwritten(address, 10), Some(address));
        memory.write(address + 1, &[7u8, 8, 9]).expect("inside");
        assert_eq!(memory.read::<u8>(address, 5).expect("inside"), [0, 7, 8, 9, 0]);
        assert!(memory.is_written(address + 1, 3));
        assert!(!memory.is_written(address + 1, 4));
        memory.mark_unwritten(address + 2, 1);
        assert_eq!(memory.first_unwritten(address + 1, 3), Some(address + 2));
    }

    #[test]
    fn places_are_named_by_the_nearest_allocation() {
        let memory = Memory::new();
        let mut room = vec![0u64; 64];
        let address = room.as_mut_ptr() as u64;
        // SAFETY: `room` outlives `memory`'s use of it.
        unsafe { memory.map(address + 128, 100, "weights", true) };
        let of = |at: u64, bytes: u64| memory.view().place(at, bytes);
        assert_eq!(
            of(address + 244, 4),
            format!("16 bytes behind the end of `weights` (100 bytes at {:#x})", address + 128)
        );
        assert!(of(address + 226, 4).starts_with("2 of them behind the end of `weights`"));
        assert!(of(address + 120, 4).starts_with("8 bytes before the beginning of `weights`"));
        assert!(of(address + (1 << 30), 4).starts_with("in no allocation; nearest is `weights`"));
        assert_eq!(of(12, 4), "a null pointer");
        assert!(memory.unmap(address + 128));
        assert_eq!(of(address + 132, 4), "4 bytes into `weights`, which was freed");
        assert!(!memory.unmap(address + 128));
    }
}
