//! Memory of the device: allocations, their bounds, and which of their bytes were ever written.

mod lds;

use std::sync::{Arc, PoisonError, RwLock};

pub use lds::Lds;

/// A range of memory that kernels may use.
#[derive(Debug)]
pub struct Allocation {
    /// First address, the same for kernels and for the host.
    pub address: u64,
    /// Bytes.
    pub bytes: u64,
    /// What messages call it.
    pub name: String,
    _owned: Option<Box<[u128]>>,
}

/// The device's memory. Addresses are those of the host.
#[derive(Debug, Default)]
pub struct Memory {
    allocations: RwLock<Vec<Arc<Allocation>>>,
}

/// The allocations at one time, sorted by address: what a launch sees.
#[derive(Debug, Clone)]
pub struct View {
    allocations: Vec<Arc<Allocation>>,
}

impl Memory {
    /// Without any allocation.
    pub fn new() -> Self {
        Self::default()
    }

    /// New memory of its own.
    pub fn allocate(&self, bytes: usize, name: &str) -> u64 {
        let mut room = vec![0u128; bytes.div_ceil(16).max(1)].into_boxed_slice();
        let address = room.as_mut_ptr() as u64;
        self.insert(Allocation { address, bytes: bytes as u64, name: name.to_owned(), _owned: Some(room) });
        address
    }

    /// Makes memory known that belongs to someone else, who keeps it until [`Memory::unmap`].
    pub fn map(&self, address: u64, bytes: u64, name: &str) {
        self.insert(Allocation { address, bytes, name: name.to_owned(), _owned: None });
    }

    /// Forgets an allocation by its first address.
    pub fn unmap(&self, address: u64) {
        let mut all = self.allocations.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|allocation| allocation.address != address);
    }

    /// What a launch sees.
    pub fn view(&self) -> View {
        View { allocations: self.allocations.read().unwrap_or_else(PoisonError::into_inner).clone() }
    }

    fn insert(&self, allocation: Allocation) {
        let mut all = self.allocations.write().unwrap_or_else(PoisonError::into_inner);
        let at = all.partition_point(|other| other.address < allocation.address);
        all.insert(at, Arc::new(allocation));
    }
}

impl View {
    /// Adds memory that all of which was written and that lives as long as the view.
    pub fn add(&mut self, address: u64, bytes: u64, name: &str) {
        let at = self.allocations.partition_point(|other| other.address < address);
        let allocation = Allocation { address, bytes, name: name.to_owned(), _owned: None };
        self.allocations.insert(at, Arc::new(allocation));
    }

    /// The allocation that holds all of a range.
    pub fn find(&self, address: u64, bytes: u64) -> Option<&Allocation> {
        let at = self.allocations.partition_point(|allocation| allocation.address <= address);
        let found = self.allocations.get(at.checked_sub(1)?)?;
        let offset = address - found.address;
        (offset.checked_add(bytes)? <= found.bytes).then_some(found)
    }
}
