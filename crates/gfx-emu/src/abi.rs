//! The calling convention: kernel argument segment, dispatch packet, and the registers a wave begins with.
//!
//! Facts are from LLVM's "User Guide for AMDGPU Backend" ("Code Object V5 Metadata", "Initial Kernel Execution State")
//! and from the "HSA Platform System Architecture Specification", 2.9 (packets).

mod kernarg;
mod packet;
mod registers;

pub use kernarg::{kernarg_block, kernarg_from_args};
pub use packet::dispatch_packet;
pub use registers::{Initial, Pointers, initial_registers};

use crate::object::Kernel;

/// Flat addresses from here on are LDS: the high 32 bits say so, the low 32 bits are the offset in bytes.
pub const SHARED_APERTURE: u64 = 0x0100_0000_0000_0000;
/// Flat addresses from here on are the lane's own scratch memory, divided alike.
pub const PRIVATE_APERTURE: u64 = 0x0200_0000_0000_0000;

/// The extent of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    /// Workgroups along x, y and z.
    pub grid: [u32; 3],
    /// Work-items of a workgroup along x, y and z.
    pub block: [u32; 3],
    /// LDS beyond what the kernel declares, bytes.
    pub dynamic_lds: u32,
}

/// A launch that the kernel does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AbiError {
    /// A launch without work-items, or with more along an axis than 32 bits count.
    #[error("a launch of {grid:?} workgroups of {block:?} work-items")]
    Extent {
        /// Workgroups.
        grid: [u32; 3],
        /// Work-items of each.
        block: [u32; 3],
    },
    /// The workgroup is larger than the kernel was compiled for.
    #[error("kernel `{kernel}`: workgroups of {work_items} work-items, but it was compiled for at most {max}")]
    WorkgroupTooLarge {
        /// Its name.
        kernel: String,
        /// Work-items of a workgroup.
        work_items: u64,
        /// Most that are allowed.
        max: u32,
    },
    /// The explicit arguments have another size than the kernel's.
    #[error("kernel `{kernel}`: {found} bytes of arguments, expected {} to {}", expected.0, expected.1)]
    ArgumentBytes {
        /// Its name.
        kernel: String,
        /// Bytes passed.
        found: usize,
        /// Fewest and most bytes.
        expected: (usize, usize),
    },
    /// Another number of arguments than the kernel's.
    #[error("kernel `{kernel}`: {found} arguments, expected {expected}")]
    ArgumentCount {
        /// Its name.
        kernel: String,
        /// Arguments passed.
        found: usize,
        /// Arguments it has.
        expected: usize,
    },
    /// An argument of another size than the kernel's.
    #[error("kernel `{kernel}`: argument {index} has {found} bytes, expected {expected}")]
    ArgumentSize {
        /// Its name.
        kernel: String,
        /// Which one, from 0.
        index: usize,
        /// Bytes passed.
        found: usize,
        /// Bytes it has.
        expected: usize,
    },
}

impl Dispatch {
    /// Work-items of a workgroup.
    pub fn work_items(&self) -> u64 {
        // Two axes of 32 bits fit 64; what is too large with the third is far above any limit.
        let [x, y, z] = self.block.map(u64::from);
        (x * y).saturating_mul(z)
    }

    /// Waves of a workgroup.
    pub fn waves(&self, kernel: &Kernel) -> u64 {
        self.work_items().div_ceil(u64::from(kernel.wave_size))
    }

    /// LDS of a workgroup, bytes: what the kernel declares and the dynamic part behind it.
    pub fn lds_bytes(&self, kernel: &Kernel) -> u64 {
        u64::from(kernel.descriptor.group_segment_fixed_size) + u64::from(self.dynamic_lds)
    }

    /// Checks the extent against what the packet can say and what the kernel was compiled for.
    ///
    /// # Errors
    /// [`AbiError::Extent`] and [`AbiError::WorkgroupTooLarge`].
    pub fn check(&self, kernel: &Kernel) -> Result<(), AbiError> {
        let mut axes = self.grid.into_iter().zip(self.block);
        if !axes.all(|(groups, items)| groups.checked_mul(items).is_some_and(|all| all > 0)) {
            return Err(AbiError::Extent { grid: self.grid, block: self.block });
        }
        if self.work_items() > u64::from(kernel.max_workgroup_size) {
            let (kernel, max) = (kernel.name.clone(), kernel.max_workgroup_size);
            return Err(AbiError::WorkgroupTooLarge { kernel, work_items: self.work_items(), max });
        }
        Ok(())
    }
}
