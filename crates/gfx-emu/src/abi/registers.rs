//! What the registers of a wave hold when it begins.

use super::Dispatch;
use crate::object::{Generation, Kernel};
use crate::wave::LANES;

/// Bits of each work-item id in a packed register.
const ID_BITS: u32 = 10;

/// What user SGPRs may hold; a launch fills in what its kernel asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pointers {
    /// Address of the kernel argument segment.
    pub kernarg: u64,
    /// Address of the dispatch packet.
    pub dispatch_packet: u64,
    /// Address of the queue.
    pub queue: u64,
    /// Number of the dispatch.
    pub dispatch_id: u64,
    /// Buffer resource for scratch memory, on targets without architected flat scratch.
    pub private_segment_buffer: [u32; 4],
    /// Base of scratch memory, on targets without architected flat scratch.
    pub flat_scratch: u64,
    /// Private memory of a lane, bytes.
    pub private_segment_size: u32,
    /// Where the wave's scratch memory begins, bytes from the base; on targets without architected flat scratch.
    pub scratch_wave_offset: u32,
}

/// The registers of a wave when it begins; those beyond hold nothing defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initial {
    /// s0 and on.
    pub sgprs: Vec<u32>,
    /// `ttmp7` to `ttmp9`, in which gfx12 has the workgroup's ids; zero on other targets.
    pub ttmp7_9: [u32; 3],
    /// v0 and on, as halves of 32 lanes. Work-items beyond the workgroup's last have an id too, but no bit in `exec`.
    pub vgprs: Vec<[[u32; LANES]; 2]>,
    /// A bit for each work-item there is: the last wave of a workgroup may have fewer than the others.
    pub exec: u64,
}

/// The registers of a wave of a workgroup. `wave` counts from 0 within the workgroup.
pub fn initial_registers(
    kernel: &Kernel,
    generation: Generation,
    dispatch: &Dispatch,
    workgroup: [u32; 3],
    wave: u32,
    pointers: &Pointers,
) -> Initial {
    let mut sgprs = user_sgprs(kernel, pointers);
    let mut ttmp7_9 = [0; 3];
    if generation == Generation::Gfx12 {
        let [x, y, z] = workgroup;
        ttmp7_9 = [y & 0xffff | z << 16, (wave & 0x1f) << 25, x];
    } else {
        sgprs.extend(system_sgprs(kernel, generation, dispatch, workgroup, wave, pointers));
    }
    let first = u64::from(wave) * u64::from(kernel.wave_size);
    let left = dispatch.work_items().saturating_sub(first).min(kernel.wave_size.into());
    // A shift by 64 is for no work-items, which is no wave of the workgroup.
    let exec = u64::MAX.checked_shr(64 - left as u32).unwrap_or(0);
    Initial { sgprs, ttmp7_9, vgprs: work_item_ids(kernel, generation, dispatch, first), exec }
}

/// In the order of `ENABLE_SGPR_…`. Arguments that the descriptor wants preloaded stay away: code for that begins with
/// 256 bytes that load them itself, for processors that do not.
fn user_sgprs(kernel: &Kernel, pointers: &Pointers) -> Vec<u32> {
    let enabled = &kernel.descriptor.user_sgprs;
    let pair = |value: u64| [value as u32, (value >> 32) as u32];
    let mut sgprs = Vec::with_capacity(kernel.descriptor.user_sgpr_count as usize + 5);
    if enabled.private_segment_buffer {
        sgprs.extend(pointers.private_segment_buffer);
    }
    let pairs = [
        (enabled.dispatch_ptr, pointers.dispatch_packet),
        (enabled.queue_ptr, pointers.queue),
        (enabled.kernarg_segment_ptr, pointers.kernarg),
        (enabled.dispatch_id, pointers.dispatch_id),
        (enabled.flat_scratch_init, pointers.flat_scratch),
    ];
    sgprs.extend(pairs.into_iter().filter(|(enabled, _)| *enabled).flat_map(|(_, value)| pair(value)));
    if enabled.private_segment_size {
        sgprs.push(pointers.private_segment_size);
    }
    // gfx11 wants at least 16 registers in all, which compilers reach by padding.
    sgprs.resize(kernel.descriptor.user_sgpr_count.into(), 0);
    sgprs
}

/// The registers behind those of the user: workgroup ids, workgroup info, the wave's place in scratch memory.
fn system_sgprs(
    kernel: &Kernel,
    generation: Generation,
    dispatch: &Dispatch,
    workgroup: [u32; 3],
    wave: u32,
    pointers: &Pointers,
) -> impl Iterator<Item = u32> {
    let descriptor = &kernel.descriptor;
    let info = u32::from(wave == 0) << 31 | dispatch.waves(kernel) as u32 & 0x3f;
    let scratch = descriptor.scratch_enable && !generation.has_architected_scratch();
    let [x, y, z] = descriptor.workgroup_id;
    let registers = [
        (x, workgroup[0]),
        (y, workgroup[1]),
        (z, workgroup[2]),
        (descriptor.workgroup_info, info),
        (scratch, pointers.scratch_wave_offset),
    ];
    registers.into_iter().filter(|(enabled, _)| *enabled).map(|(_, value)| value)
}

/// The ids of a wave's work-items, whose first has the linear index `first`: packed in v0 or one in each register.
/// Axes that the kernel does not ask for are zero in a packed register, on which compilers rely.
fn work_item_ids(kernel: &Kernel, generation: Generation, dispatch: &Dispatch, first: u64) -> Vec<[[u32; LANES]; 2]> {
    let axes = usize::from(kernel.descriptor.work_item_id.min(2)) + 1;
    let packed = generation.packs_work_item_ids();
    let mut vgprs = vec![[[0; LANES]; 2]; if packed { 1 } else { axes }];
    let [x, y, _] = dispatch.block.map(|items| u64::from(items.max(1)));
    let mut id = [first % x, first / x % y, first / (x * y)].map(|id| id as u32);
    for lane in 0..kernel.wave_size as usize {
        for (axis, &id) in id.iter().enumerate().take(axes) {
            let (register, shift) = if packed { (0, ID_BITS * axis as u32) } else { (axis, 0) };
            vgprs[register][lane / LANES][lane % LANES] |= id << shift;
        }
        step(&mut id, &dispatch.block);
    }
    vgprs
}

/// The next work-item: x is fastest.
fn step(id: &mut [u32; 3], block: &[u32; 3]) {
    for (id, &count) in id.iter_mut().zip(block) {
        *id += 1;
        if *id < count {
            return;
        }
        *id = 0;
    }
}
