//! The kernel argument segment: what the caller passes, then what the runtime adds.

use super::{AbiError, Dispatch, PRIVATE_APERTURE, SHARED_APERTURE};
use crate::object::Kernel;

/// HIP launches every grid with three axes.
const GRID_DIMS: u64 = 3;

/// The segment from the bytes of all explicit arguments in their places, as HIP passes them in one buffer, whose end
/// may be padded.
///
/// # Errors
/// As [`Dispatch::check`], and [`AbiError::ArgumentBytes`].
pub fn kernarg_block(kernel: &Kernel, explicit: &[u8], dispatch: &Dispatch) -> Result<Vec<u8>, AbiError> {
    dispatch.check(kernel)?;
    let expected = (kernel.explicit_bytes(), room(kernel));
    if !(expected.0..=expected.1).contains(&explicit.len()) {
        return Err(AbiError::ArgumentBytes { kernel: kernel.name.clone(), found: explicit.len(), expected });
    }
    let mut block = explicit.to_vec();
    block.resize(kernel.descriptor.kernarg_size as usize, 0);
    for arg in kernel.args.iter().filter(|arg| arg.is_hidden()) {
        put(&mut block, arg.offset, arg.size, hidden(&arg.value_kind, dispatch));
    }
    Ok(block)
}

/// The bytes of all explicit arguments in their places, from the bytes of each.
///
/// # Errors
/// [`AbiError::ArgumentCount`] and [`AbiError::ArgumentSize`].
pub fn kernarg_from_args(kernel: &Kernel, args: &[&[u8]]) -> Result<Vec<u8>, AbiError> {
    let name = || kernel.name.clone();
    let expected = kernel.explicit_args().count();
    if args.len() != expected {
        return Err(AbiError::ArgumentCount { kernel: name(), found: args.len(), expected });
    }
    let mut packed = vec![0; kernel.explicit_bytes()];
    for (index, (arg, bytes)) in kernel.explicit_args().zip(args).enumerate() {
        let place =
            packed[arg.offset as usize..].get_mut(..arg.size as usize).filter(|place| place.len() == bytes.len());
        let expected = arg.size as usize;
        let place =
            place.ok_or_else(|| AbiError::ArgumentSize { kernel: name(), index, found: bytes.len(), expected })?;
        place.copy_from_slice(bytes);
    }
    Ok(packed)
}

/// Bytes before the first hidden argument.
fn room(kernel: &Kernel) -> usize {
    let hidden = kernel.args.iter().filter(|arg| arg.is_hidden()).map(|arg| arg.offset);
    let room = hidden.min().unwrap_or(kernel.descriptor.kernarg_size) as usize;
    room.max(kernel.explicit_bytes())
}

/// The value of a hidden argument. Those for which there is no counterpart here (queues, heaps, buffers for `printf`
/// and host calls) are null pointers, whose use is found as any access out of bounds; the grid has no offset and no
/// workgroup that is not whole.
fn hidden(value_kind: &str, dispatch: &Dispatch) -> u64 {
    let ([groups_x, groups_y, groups_z], [x, y, z]) = (dispatch.grid, dispatch.block);
    match value_kind {
        "hidden_block_count_x" => groups_x.into(),
        "hidden_block_count_y" => groups_y.into(),
        "hidden_block_count_z" => groups_z.into(),
        "hidden_group_size_x" => x.into(),
        "hidden_group_size_y" => y.into(),
        "hidden_group_size_z" => z.into(),
        "hidden_grid_dims" => GRID_DIMS,
        "hidden_dynamic_lds_size" => dispatch.dynamic_lds.into(),
        "hidden_private_base" => PRIVATE_APERTURE >> 32,
        "hidden_shared_base" => SHARED_APERTURE >> 32,
        _ => 0,
    }
}

/// Writes the low `size` bytes of a value, with zeroes beyond its eight. Loading has checked that arguments lie within
/// the segment.
fn put(block: &mut [u8], offset: u32, size: u32, value: u64) {
    let place = block.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..size as usize));
    let bytes = value.to_le_bytes().into_iter().chain(std::iter::repeat(0));
    place.into_iter().flatten().zip(bytes).for_each(|(place, byte)| *place = byte);
}
