//! What a code object says about its kernels: the metadata note of the AMDGPU ABI, which is MessagePack inside ELF.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// `NT_AMDGPU_METADATA`.
const METADATA_NOTE: u32 = 32;
/// Maps within lists within maps; deeper is no metadata.
const DEPTH_MAX: u32 = 16;

/// One kernel of a code object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    pub name: String,
    /// Vector registers of a lane; on CDNA this counts accumulation registers too.
    pub vgprs: u64,
    /// Accumulation registers of a lane.
    pub agprs: u64,
    pub sgprs: u64,
    /// Static LDS of a workgroup, bytes.
    pub lds: u64,
    /// Private memory of a lane, bytes.
    pub scratch: u64,
    pub vgpr_spills: u64,
    pub sgpr_spills: u64,
    /// Most lanes of a workgroup.
    pub threads: u64,
    pub wave: u64,
    /// Whether workgroups may spread over the two compute units of a WGP.
    pub wgp: bool,
    /// Instructions, and how many of them are matrix and byte dot products.
    pub instructions: u64,
    pub matrix: u64,
    pub dot: u64,
}

impl Kernel {
    /// Whether registers did not suffice.
    pub fn spills(&self) -> bool {
        self.vgpr_spills > 0 || self.sgpr_spills > 0
    }

    fn from_metadata(kernel: &Value) -> Result<Self> {
        let number = |key: &str| kernel.get(key).and_then(Value::number).unwrap_or(0);
        Ok(Self {
            name: kernel.get(".name").and_then(Value::text).context("a kernel without a name")?.to_owned(),
            vgprs: number(".vgpr_count"),
            agprs: number(".agpr_count"),
            sgprs: number(".sgpr_count"),
            lds: number(".group_segment_fixed_size"),
            scratch: number(".private_segment_fixed_size"),
            vgpr_spills: number(".vgpr_spill_count"),
            sgpr_spills: number(".sgpr_spill_count"),
            threads: number(".max_flat_workgroup_size"),
            wave: number(".wavefront_size"),
            wgp: number(".workgroup_processor_mode") != 0,
            ..Self::default()
        })
    }
}

/// The kernels of a code object, sorted by name; without counts of instructions.
pub fn kernels(object: &[u8]) -> Result<Vec<Kernel>> {
    let note = metadata(object)?;
    let value = Value::read(&mut Bytes(note), 0)?;
    let Some(Value::List(list)) = value.get("amdhsa.kernels") else { bail!("the metadata lists no kernels") };
    let mut kernels = list.iter().map(Kernel::from_metadata).collect::<Result<Vec<_>>>()?;
    kernels.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(kernels)
}

/// Finds the note among the segments of a 64-bit little-endian ELF file.
fn metadata(elf: &[u8]) -> Result<&[u8]> {
    const PT_NOTE: u32 = 4;
    ensure!(elf.starts_with(b"\x7fELF\x02\x01"), "not a 64-bit ELF file");
    let table = usize::try_from(u64_at(elf, 32)?)?;
    let entry_bytes = usize::from(u16_at(elf, 54)?);
    for entry in 0..usize::from(u16_at(elf, 56)?) {
        let at = table + entry * entry_bytes;
        if u32_at(elf, at)? == PT_NOTE {
            let (start, bytes) = (usize::try_from(u64_at(elf, at + 8)?)?, usize::try_from(u64_at(elf, at + 32)?)?);
            let segment = elf.get(start..).and_then(|rest| rest.get(..bytes)).context("notes outside of the file")?;
            if let Some(found) = find_note(Bytes(segment))? {
                return Ok(found);
            }
        }
    }
    bail!("no metadata note")
}

fn find_note(mut notes: Bytes<'_>) -> Result<Option<&[u8]>> {
    while notes.0.len() >= 12 {
        let (name, description, kind) = (notes.u32_le()?, notes.u32_le()?, notes.u32_le()?);
        let name = notes.padded(name as usize)?;
        let description = notes.padded(description as usize)?;
        if kind == METADATA_NOTE && name.starts_with(b"AMDGPU") {
            return Ok(Some(description));
        }
    }
    Ok(None)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().context("the ELF file is cut short")
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

/// The parts of MessagePack that metadata is made of.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    Other,
}

impl Value {
    fn get(&self, key: &str) -> Option<&Value> {
        if let Value::Map(map) = self { map.get(key) } else { None }
    }

    fn number(&self) -> Option<u64> {
        if let Value::Number(number) = self { Some(*number) } else { None }
    }

    fn text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    fn read(bytes: &mut Bytes<'_>, depth: u32) -> Result<Value> {
        ensure!(depth < DEPTH_MAX, "metadata is nested too deep");
        let tag = bytes.take(1)?[0];
        Ok(match tag {
            0x00..=0x7f => Value::Number(u64::from(tag)),
            0x80..=0x8f => Self::map(bytes, usize::from(tag & 15), depth)?,
            0x90..=0x9f => Self::list(bytes, usize::from(tag & 15), depth)?,
            0xa0..=0xbf => Self::string(bytes, usize::from(tag & 31))?,
            0xc2 | 0xc3 => Value::Number(u64::from(tag & 1)),
            0xcc..=0xcf => Value::Number(bytes.big_endian(1 << (tag - 0xcc))?),
            0xd0..=0xd3 => {
                bytes.take(1 << (tag - 0xd0))?;
                Value::Other
            }
            0xd9..=0xdb => {
                let length = bytes.big_endian(1 << (tag - 0xd9))?;
                Self::string(bytes, usize::try_from(length)?)?
            }
            0xdc | 0xdd => {
                let length = bytes.big_endian(2 << (tag - 0xdc))?;
                Self::list(bytes, usize::try_from(length)?, depth)?
            }
            0xde | 0xdf => {
                let length = bytes.big_endian(2 << (tag - 0xde))?;
                Self::map(bytes, usize::try_from(length)?, depth)?
            }
            0xc0 | 0xe0..=0xff => Value::Other,
            _ => bail!("metadata holds the unexpected tag {tag:#x}"),
        })
    }

    fn string(bytes: &mut Bytes<'_>, length: usize) -> Result<Value> {
        Ok(Value::Text(String::from_utf8_lossy(bytes.take(length)?).into_owned()))
    }

    fn list(bytes: &mut Bytes<'_>, length: usize, depth: u32) -> Result<Value> {
        (0..length).map(|_| Value::read(bytes, depth + 1)).collect::<Result<_>>().map(Value::List)
    }

    fn map(bytes: &mut Bytes<'_>, length: usize, depth: u32) -> Result<Value> {
        let mut map = BTreeMap::new();
        for _ in 0..length {
            let key = Value::read(bytes, depth + 1)?;
            let value = Value::read(bytes, depth + 1)?;
            if let Value::Text(key) = key {
                map.insert(key, value);
            }
        }
        Ok(Value::Map(map))
    }
}

/// Takes fields off the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("the metadata is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    /// A field and its padding to four bytes, which the last one may lack.
    fn padded(&mut self, count: usize) -> Result<&'a [u8]> {
        let taken = self.take(count)?;
        let padding = (count.next_multiple_of(4) - count).min(self.0.len());
        self.take(padding)?;
        Ok(taken)
    }

    fn u32_le(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        u32_at(bytes, 0)
    }

    fn big_endian(&mut self, count: usize) -> Result<u64> {
        Ok(self.take(count)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend([0xd9, text.len() as u8]);
        out.extend(text.as_bytes());
    }

    /// `{"amdhsa.kernels": [{".name": name, ".vgpr_count": 300, ".sgpr_spill_count": 2}]}`
    fn note(name: &str) -> Vec<u8> {
        let mut out = vec![0x81];
        text(&mut out, "amdhsa.kernels");
        out.extend([0x91, 0x83]);
        text(&mut out, ".name");
        text(&mut out, name);
        text(&mut out, ".vgpr_count");
        out.extend([0xcd, 1, 44]);
        text(&mut out, ".sgpr_spill_count");
        out.push(2);
        out
    }

    fn elf(note: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 64 + 56];
        out[..6].copy_from_slice(b"\x7fELF\x02\x01");
        out[32] = 64;
        out[54] = 56;
        out[56] = 1;
        out[64] = 4;
        out[64 + 8] = 120;
        out[64 + 32] = (12 + 8 + note.len()) as u8;
        for number in [7, note.len() as u32, METADATA_NOTE] {
            out.extend(number.to_le_bytes());
        }
        out.extend(b"AMDGPU\0\0");
        out.extend(note);
        out
    }

    #[test]
    fn a_kernel_is_read() {
        let found = kernels(&elf(&note("norm_f32"))).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].vgprs, found[0].sgpr_spills), ("norm_f32", 300, 2));
        assert!(found[0].spills() && !Kernel::default().spills());
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let whole = elf(&note("k"));
        for length in 0..whole.len() {
            assert!(kernels(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn endless_nesting_is_an_error() {
        assert!(Value::read(&mut Bytes(&[0x91; 100]), 0).is_err());
    }
}
