//! Copies that wait, for tests and for what is done once.

use std::ops::Range;

use bytemuck::Pod;
use hip_sys::hipMemcpyKind;

use super::buffer::check_range;
use super::{Buffer, Device, HipError};

const COPY: &str = "hipMemcpy";

/// Reads elements `range` of a buffer that is an array of `T`, after all work of the device.
///
/// # Errors
/// [`HipError::LengthMismatch`]: the buffer's length is no multiple of the size of `T`. [`HipError::OutOfRange`],
/// [`HipError::Call`], [`HipError::DeviceLost`].
pub fn read<T: Pod>(buffer: &Buffer, range: Range<usize>) -> Result<Vec<T>, HipError> {
    elements::<T>(buffer, &range)?;
    let mut values = vec![T::zeroed(); range.len()];
    read_into(buffer, range, &mut values)?;
    Ok(values)
}

/// [`read`] of f32.
///
/// # Errors
/// As [`read`].
pub fn read_f32(buffer: &Buffer, range: Range<usize>) -> Result<Vec<f32>, HipError> {
    read(buffer, range)
}

/// Reads elements `range` of a buffer that is an array of `T` into a slice of the same length, after all work of the
/// device.
///
/// # Errors
/// As [`read`], and [`HipError::LengthMismatch`] where the slice is shorter or longer than the range.
pub fn read_into<T: Pod>(buffer: &Buffer, range: Range<usize>, out: &mut [T]) -> Result<(), HipError> {
    let bytes = elements::<T>(buffer, &range)?;
    expect_length("elements to read", range.len(), out.len())?;
    let device = buffer.device();
    device.synchronize()?;
    let api = device.enter()?;
    let src = buffer.ptr().add(bytes.start).as_mut();
    let kind = hipMemcpyKind::hipMemcpyDeviceToHost;
    // SAFETY: the source range was checked against the buffer; the slice has as many bytes and may hold any.
    let status = unsafe { api.hipMemcpy(out.as_mut_ptr().cast(), src, bytes.len(), kind) };
    device.check_sized(COPY, bytes.len(), status)
}

/// Writes elements from index `first` on of a buffer that is an array of `T`, after all work of the device.
///
/// # Errors
/// As [`read`].
pub fn write<T: Pod>(buffer: &Buffer, first: usize, values: &[T]) -> Result<(), HipError> {
    let bytes = elements::<T>(buffer, &(first..first.saturating_add(values.len())))?;
    let device = buffer.device();
    device.synchronize()?;
    let api = device.enter()?;
    let dst = buffer.ptr().add(bytes.start).as_mut();
    let kind = hipMemcpyKind::hipMemcpyHostToDevice;
    // SAFETY: the destination range was checked against the buffer, and the slice has as many bytes.
    let status = unsafe { api.hipMemcpy(dst, values.as_ptr().cast(), bytes.len(), kind) };
    device.check_sized(COPY, bytes.len(), status)?;
    wait_for_arrival(device)
}

/// The call returns when the host's memory may be reused; the bytes may still be on their way, and streams do not wait
/// for the null stream.
fn wait_for_arrival(device: &Device) -> Result<(), HipError> {
    let api = device.enter()?;
    // SAFETY: the null stream is always there.
    let status = unsafe { api.hipStreamSynchronize(std::ptr::null_mut()) };
    device.check("hipStreamSynchronize", status)
}

/// The bytes of a range of elements.
fn elements<T: Pod>(buffer: &Buffer, range: &Range<usize>) -> Result<Range<usize>, HipError> {
    let size = size_of::<T>().max(1);
    let count = buffer.len() / size;
    expect_length(buffer.what(), count * size, buffer.len())?;
    check_range(buffer.what(), range, count).map_err(|_| HipError::OutOfRange {
        what: buffer.what(),
        start: (range.start as u64).saturating_mul(size as u64),
        end: (range.end as u64).saturating_mul(size as u64),
        len: buffer.len() as u64,
    })?;
    Ok(range.start * size..range.end * size)
}

fn expect_length(what: &'static str, expected: usize, found: usize) -> Result<(), HipError> {
    if expected == found {
        return Ok(());
    }
    Err(HipError::LengthMismatch { what, expected: expected as u64, found: found as u64 })
}
