//! Module images: ELF files, or bundles of them. HIP hands images over without their length.

use std::ops::Range;

use hip_sys::hipError_t;

const HEADER_BYTES: usize = 64;
/// What begins a 64-bit little-endian ELF file.
const ELF64: &[u8] = b"\x7fELF\x02\x01";
const BUNDLE: &[u8] = b"__CLANG_OFFLOAD_BUNDLE__";
const COMPRESSED: &[u8] = b"CCOB";
/// Offset of the machine in the header, and the number of AMD's GPUs there.
const MACHINE: usize = 18;
const AMDGPU: u64 = 224;

/// A bundle's entry begins with offset, size and length of its id.
const ENTRY_BYTES: usize = 24;
/// More targets than there are is no bundle.
const ENTRIES_MAX: u64 = 1 << 10;

/// What a program hands over as a module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Image<'a> {
    /// A shared object of this machine.
    Host(&'a [u8]),
    /// Code for GPUs: an ELF file or an offload bundle; of a compressed one, which does not tell its length, the start.
    Gpu(&'a [u8]),
}

/// Finds out what an image is, and where it ends.
///
/// # Safety
/// `image` points to a whole ELF file or offload bundle, or to at least eight bytes of anything else.
pub(crate) unsafe fn read<'a>(image: *const u8) -> Result<Image<'a>, hipError_t> {
    // SAFETY: any image has eight bytes.
    let start = unsafe { std::slice::from_raw_parts(image, 8) };
    if start.starts_with(COMPRESSED) {
        return Ok(Image::Gpu(start));
    }
    if BUNDLE.starts_with(start) {
        // SAFETY: as the caller says.
        return unsafe { bundle(image) }.map(Image::Gpu).ok_or(hipError_t::hipErrorInvalidImage);
    }
    if !start.starts_with(ELF64) {
        return Err(hipError_t::hipErrorInvalidImage);
    }
    // SAFETY: an ELF file has a whole header.
    let header = unsafe { std::slice::from_raw_parts(image, HEADER_BYTES) };
    let bytes = length(header).ok_or(hipError_t::hipErrorInvalidImage)?;
    // SAFETY: the file ends with its section headers, as linkers write it.
    let file = unsafe { std::slice::from_raw_parts(image, bytes) };
    Ok(if number(header, MACHINE..MACHINE + 2) == AMDGPU { Image::Gpu(file) } else { Image::Host(file) })
}

/// The bytes of a bundle: its table, and the code objects that this names.
///
/// # Safety
/// `image` points to a whole bundle.
unsafe fn bundle<'a>(image: *const u8) -> Option<&'a [u8]> {
    // SAFETY: the table lies in the bundle as far as the entries before say.
    let part = |end: usize| unsafe { std::slice::from_raw_parts(image, end) };
    let mut table = BUNDLE.len() + 8;
    let mut end = table;
    let count = number(part(table), table - 8..table);
    for _ in 0..Some(count).filter(|count| *count <= ENTRIES_MAX)? {
        let entry = &part(table.checked_add(ENTRY_BYTES)?)[table..];
        let object = number(entry, 0..8).checked_add(number(entry, 8..16))?;
        table = usize::try_from(number(entry, 16..24)).ok()?.checked_add(table + ENTRY_BYTES)?;
        end = end.max(table).max(usize::try_from(object).ok()?);
    }
    (end <= isize::MAX as usize).then(|| part(end))
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

    fn check(image: &[u8]) -> Result<(bool, usize), hipError_t> {
        // SAFETY: each image of these tests is whole, or eight bytes.
        unsafe { read(image.as_ptr()) }.map(|image| match image {
            Image::Host(bytes) => (false, bytes.len()),
            Image::Gpu(bytes) => (true, bytes.len()),
        })
    }

    #[test]
    fn images() {
        assert_eq!(check(&elf(62)), Ok((false, 200)));
        assert_eq!(check(&elf(224)), Ok((true, 200)));
        assert_eq!(check(b"CCOB\x03\0\0\0"), Ok((true, 8)));
        assert_eq!(check(b"nonsense"), Err(hipError_t::hipErrorInvalidImage));
        let mut without_sections = elf(62);
        without_sections[40] = 0;
        assert_eq!(check(&without_sections), Err(hipError_t::hipErrorInvalidImage));
    }

    #[test]
    fn a_bundle_ends_with_its_last_object() {
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let bundle = |first: u64, second: u64| {
            [BUNDLE, &words(&[2, first, 8, 4]), b"host", &words(&[second, 16, 3]), b"gpu", &[0; 200]].concat()
        };
        assert_eq!(check(&bundle(100, 120)), Ok((true, 136)));
        assert_eq!(check(&bundle(200, 100)), Ok((true, 208)));
        assert_eq!(check(&bundle(u64::MAX, 100)), Err(hipError_t::hipErrorInvalidImage));
        assert_eq!(check(&[BUNDLE, &words(&[u64::MAX]), &[0; 64]].concat()), Err(hipError_t::hipErrorInvalidImage));
    }
}
