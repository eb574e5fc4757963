//! Launches of kernels.

use std::ffi::c_void;
use std::ptr::{from_ref, null_mut};

use bytemuck::Pod;

use super::{Function, HipError, Properties, Stream};

/// Sizes of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dims {
    /// Workgroups in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a workgroup, all in x.
    pub threads: u32,
    /// Bytes of dynamic LDS of a workgroup.
    pub lds: u32,
}

impl Dims {
    /// `blocks` workgroups of `threads` threads without dynamic LDS.
    pub fn line(blocks: u32, threads: u32) -> Self {
        Self { grid: [blocks, 1, 1], threads, lds: 0 }
    }

    fn check(&self, function: &Function, device: &Properties) -> Result<(), HipError> {
        let attributes = function.attributes();
        // AMD's dispatch packets count threads of a dimension, not workgroups, in 32 bits.
        let most_in_x = device.max_grid[0].min(u32::MAX / self.threads.max(1));
        let threads = device.max_threads_per_block.min(attributes.max_threads_per_block.max(1));
        let lds = device.lds_bytes.saturating_sub(attributes.static_lds_bytes);
        let limits = [
            ("the number of threads", self.threads, 1, threads),
            ("the grid in x", self.grid[0], 1, most_in_x),
            ("the grid in y", self.grid[1], 1, device.max_grid[1]),
            ("the grid in z", self.grid[2], 1, device.max_grid[2]),
            ("the dynamic LDS in bytes", self.lds, 0, lds),
        ];
        match limits.into_iter().find(|(_, found, least, most)| found < least || found > most) {
            None => Ok(()),
            Some((what, found, least, most)) => Err(HipError::BadLaunch {
                kernel: function.name().into(),
                what,
                found: found.into(),
                least: least.into(),
                most: most.into(),
            }),
        }
    }
}

impl Stream {
    /// Enqueues a kernel that takes one struct by value.
    ///
    /// # Errors
    /// [`HipError::BadLaunch`], [`HipError::WrongDevice`], [`HipError::Call`], [`HipError::DeviceLost`]. What the
    /// kernel itself does wrong is reported by a later call.
    ///
    /// # Safety
    /// `A` is the kernel's argument struct, field for field. The kernel with these arguments and dimensions reads and
    /// writes only inside buffers that live until it is done, or, when the stream records a graph, for as long as the
    /// graph can be launched; no other work uses what it writes at the same time.
    pub unsafe fn launch<A: Pod>(&self, function: &Function, dims: Dims, args: &A) -> Result<(), HipError> {
        let device = self.device();
        let api = device.enter()?;
        device.expect_same(function.device(), "hipModuleLaunchKernel")?;
        dims.check(function, device.properties())?;
        if self.recorder().is_on() {
            self.recorder().hold(function.module().clone());
        }
        let mut params = [from_ref(args).cast_mut().cast::<c_void>()];
        let [x, y, z] = dims.grid;
        let (function, stream) = (function.raw(), self.raw());
        let (params, extra) = (params.as_mut_ptr(), null_mut());
        // SAFETY: the function belongs to a loaded module of this device, the runtime copies the arguments before it
        // returns, and the caller answers for what the kernel does with them.
        let status = unsafe {
            api.hipModuleLaunchKernel(function, x, y, z, dims.threads, 1, 1, dims.lds, stream, params, extra)
        };
        device.check("hipModuleLaunchKernel", status)
    }
}
