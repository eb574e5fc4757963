//! Ranges of memory, and which of them an address is in.

use std::sync::Arc;

use super::shadow::Shadow;

/// A range of memory that kernels may use.
#[derive(Debug)]
pub struct Allocation {
    /// First address, the same for kernels and for the host.
    pub address: u64,
    /// Bytes.
    pub bytes: u64,
    /// What messages call it.
    pub name: String,
    pub(super) shadow: Shadow,
    pub(super) _owned: Option<Room>,
}

/// Memory that is this crate's own.
#[derive(Debug)]
pub(super) struct Room(#[allow(dead_code, reason = "kept for its lifetime")] pub(super) Vec<u128>);

impl Allocation {
    /// The address behind the last byte.
    pub fn end(&self) -> u64 {
        self.address + self.bytes
    }

    /// Whether all bytes from `from` to before `to`, which are its own, were ever written.
    #[inline]
    pub(crate) fn is_written(&self, from: u64, to: u64) -> bool {
        self.shadow.is_written(from - self.address, to - self.address)
    }

    /// The first address from `from` to before `to` that was never written.
    pub(crate) fn first_unwritten(&self, from: u64, to: u64) -> Option<u64> {
        self.shadow.first_unwritten(from - self.address, to - self.address).map(|at| at + self.address)
    }

    #[inline]
    pub(crate) fn mark(&self, from: u64, to: u64) {
        self.shadow.mark(from - self.address, to - self.address);
    }

    pub(crate) fn unmark(&self, from: u64, to: u64) {
        self.shadow.unmark(from - self.address, to - self.address);
    }

    fn holds(&self, from: u64, to: u64) -> bool {
        from >= self.address && to <= self.end()
    }
}

impl std::fmt::Display for Allocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` ({} bytes at {:#x})", self.name, self.bytes, self.address)
    }
}

/// A range that was an allocation once.
#[derive(Debug, Clone)]
pub(super) struct Freed {
    pub address: u64,
    pub bytes: u64,
    pub name: Arc<str>,
}

/// The allocations at one time, sorted by address: what a launch sees.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub(super) allocations: Vec<Arc<Allocation>>,
    pub(super) freed: Vec<Freed>,
}

/// Further away than this, an allocation has nothing to do with an address.
const NEAR: u64 = 1 << 20;
/// Addresses below are null pointers with an offset.
const NULL_PAGE: u64 = 1 << 16;

impl View {
    /// Adds memory that all of which was written.
    ///
    /// # Safety
    /// The range is valid for reads and writes as long as launches use the view, and nothing else uses it meanwhile.
    pub(crate) unsafe fn add(&mut self, address: u64, bytes: u64, name: &str) {
        let shadow = Shadow::new(bytes, true);
        let at = self.allocations.partition_point(|other| other.address < address);
        let allocation = Allocation { address, bytes, name: name.to_owned(), shadow, _owned: None };
        self.allocations.insert(at, Arc::new(allocation));
    }

    /// The allocation that holds all of a range.
    pub fn find(&self, address: u64, bytes: u64) -> Option<&Allocation> {
        let to = address.checked_add(bytes)?;
        self.index(address, to).map(|at| &*self.allocations[at])
    }

    fn index(&self, from: u64, to: u64) -> Option<usize> {
        let at = self.allocations.partition_point(|allocation| allocation.address <= from).checked_sub(1)?;
        self.allocations[at].holds(from, to).then_some(at)
    }

    /// Where a range that no allocation holds is, in words.
    pub fn place(&self, address: u64, bytes: u64) -> String {
        if address < NULL_PAGE {
            return "a null pointer".to_owned();
        }
        if let Some(freed) =
            self.freed.iter().rev().find(|old| address >= old.address && address - old.address < old.bytes)
        {
            return format!("{} bytes into `{}`, which was freed", address - freed.address, freed.name);
        }
        let behind = self.allocations.partition_point(|allocation| allocation.address <= address);
        let before = behind.checked_sub(1).map(|at| &self.allocations[at]);
        let next = self.allocations.get(behind);
        let past = before.map(|a| (address.saturating_sub(a.end()), a));
        let ahead = next.map(|a| (a.address - address, a));
        match (past, ahead) {
            (Some((_, a)), _) if address < a.end() => {
                format!("{} of them behind the end of {a}", address.saturating_add(bytes) - a.end())
            }
            (Some((distance, a)), other) if distance < NEAR && other.is_none_or(|(ahead, _)| distance <= ahead) => {
                format!("{distance} bytes behind the end of {a}")
            }
            (_, Some((distance, a))) if distance < NEAR => format!("{distance} bytes before the beginning of {a}"),
            (Some((_, a)), _) | (None, Some((_, a))) => format!("in no allocation; nearest is {a}"),
            (None, None) => "in no allocation; there are none".to_owned(),
        }
    }
}

/// The allocations that instructions used last, since most use the same one time and again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Recent {
    at: [u32; Self::SLOTS],
}

impl Recent {
    const SLOTS: usize = 16;

    /// The allocation that holds all from `from` to before `to`, for the instruction at an address.
    #[inline(always)]
    pub fn find<'v>(&mut self, view: &'v View, instruction: u64, from: u64, to: u64) -> Option<&'v Allocation> {
        let slot = &mut self.at[(instruction / 8) as usize % Self::SLOTS];
        if let Some(allocation) = view.allocations.get(*slot as usize).filter(|allocation| allocation.holds(from, to)) {
            return Some(allocation);
        }
        let at = view.index(from, to)?;
        *slot = at as u32;
        Some(&view.allocations[at])
    }
}
