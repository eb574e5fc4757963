//! Addresses on a device.

use bytemuck::{Pod, Zeroable};

/// An address in device memory, as kernels take it in their argument structs.
///
/// It is a plain number: it does not keep its buffer alive, and nothing checks it when a kernel uses it. Copies and
/// fills look their range up among the live buffers.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Pod, Zeroable)]
pub struct DevicePtr(u64);

impl DevicePtr {
    /// No address; kernels read it as "not given".
    pub const NULL: Self = Self(0);

    pub(crate) fn new(address: u64) -> Self {
        Self(address)
    }

    /// The address `bytes` further on. Null stays null, so that the offset of something absent is absent.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "named like the method of pointers; bytes, whatever the type")]
    pub fn add(self, bytes: usize) -> Self {
        if self.is_null() { self } else { Self(self.0.wrapping_add(bytes as u64)) }
    }

    /// The number.
    pub fn addr(self) -> u64 {
        self.0
    }

    /// Whether this is [`NULL`](Self::NULL).
    pub fn is_null(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn as_mut(self) -> *mut std::ffi::c_void {
        std::ptr::without_provenance_mut(self.0 as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_add_up_and_null_stays_null() {
        assert_eq!(DevicePtr::new(0x100).add(0x20).add(2).addr(), 0x122);
        assert!(DevicePtr::NULL.add(64).is_null());
        assert_eq!(bytemuck::bytes_of(&DevicePtr::new(1)), 1u64.to_ne_bytes());
    }
}
