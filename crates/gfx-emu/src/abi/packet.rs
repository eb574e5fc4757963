//! The packet of the Architected Queuing Language that starts a kernel.

use super::Dispatch;
use crate::object::Kernel;

/// The kernel dispatch packet, for kernels that ask for its address. `kernarg` is the address of the argument segment.
pub fn dispatch_packet(kernel: &Kernel, dispatch: &Dispatch, kernarg: u64) -> [u8; 64] {
    const KERNEL_DISPATCH: u16 = 2;
    const SYSTEM_SCOPE: u16 = 2;
    let header = KERNEL_DISPATCH | SYSTEM_SCOPE << 9 | SYSTEM_SCOPE << 11;
    let dimensions = 3_u16;
    let mut packet = [0; 64];
    let mut put = |at: usize, bytes: &[u8]| packet[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &header.to_le_bytes());
    put(2, &dimensions.to_le_bytes());
    for (axis, (groups, items)) in dispatch.grid.into_iter().zip(dispatch.block).enumerate() {
        put(4 + 2 * axis, &(items as u16).to_le_bytes());
        // The grid of a packet is in work-items, that of HIP in workgroups.
        put(12 + 4 * axis, &groups.wrapping_mul(items).to_le_bytes());
    }
    put(24, &kernel.descriptor.private_segment_fixed_size.to_le_bytes());
    put(28, &(dispatch.lds_bytes(kernel) as u32).to_le_bytes());
    put(32, &kernel.descriptor_address.to_le_bytes());
    put(40, &kernarg.to_le_bytes());
    packet
}
