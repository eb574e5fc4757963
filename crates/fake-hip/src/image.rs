//! Module images: shared objects in the ELF format. HIP hands images over without their length.

use std::ops::Range;

use hip_sys::hipError_t;

const HEADER_BYTES: usize = 64;
/// What begins a 64-bit little-endian ELF file.
const ELF64: &[u8] = b"\x7fELF\x02\x01";
const BUNDLE: &[u8] = b"__CLANG_OFFLOAD_BUNDLE__";
/// Offset of the machine in the header, and the number of AMD's GPUs there.
const MACHINE: usize = 18;
const AMDGPU: u64 = 224;

/// The object that an image is.
///
/// # Safety
/// `image` points to a whole ELF file, or to at least eight bytes of anything else.
pub(crate) unsafe fn object<'a>(image: *const u8) -> Result<&'a [u8], hipError_t> {
    // SAFETY: any image has eight bytes.
    let start = unsafe { std::slice::from_raw_parts(image, 8) };
    if BUNDLE.starts_with(start) {
        return Err(hipError_t::hipErrorNoBinaryForGpu);
    }
    if !start.starts_with(ELF64) {
        return Err(hipError_t::hipErrorInvalidImage);
    }
    // SAFETY: an ELF file has a whole header.
    let header = unsafe { std::slice::from_raw_parts(image, HEADER_BYTES) };
    if number(header, MACHINE..MACHINE + 2) == AMDGPU {
        return Err(hipError_t::hipErrorNoBinaryForGpu);
    }
    let bytes = length(header).ok_or(hipError_t::hipErrorInvalidImage)?;
    // SAFETY: the file ends with its section headers, as linkers write it.
    Ok(unsafe { std::slice::from_raw_parts(image, bytes) })
}

/// Where the section headers end.
fn length(header: &[u8]) -> Option<usize> {
    let (start, size, count) = (number(header, 40..48), number(header, 58..60), number(header, 60..62));
    let end = start.checked_add(size * count).filter(|_| start >= HEADER_BYTES as u64)?;
    usize::try_from(end).ok().filter(|end| *end <= isize::MAX as usize)
}

/// A little-endian number.
fn number(header: &[u8], at: Range<usize>) -> u64 {
    header[at].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u8) -> Vec<u8> {
        let mut file = vec![0; 200];
        file[..6].copy_from_slice(ELF64);
        file[MACHINE] = machine;
        (file[40], file[58], file[60]) = (72, 64, 2);
        file
    }

    #[test]
    fn images() {
        let check = |image: &[u8]| {
            // SAFETY: each is a whole ELF file, or eight bytes.
            unsafe { object(image.as_ptr()) }.map(<[u8]>::len)
        };
        assert_eq!(check(&elf(62)), Ok(200));
        assert_eq!(check(&elf(224)), Err(hipError_t::hipErrorNoBinaryForGpu));
        assert_eq!(check(b"__CLANG_"), Err(hipError_t::hipErrorNoBinaryForGpu));
        assert_eq!(check(b"nonsense"), Err(hipError_t::hipErrorInvalidImage));
        let mut without_sections = elf(62);
        without_sections[40] = 0;
        assert_eq!(check(&without_sections), Err(hipError_t::hipErrorInvalidImage));
    }
}
