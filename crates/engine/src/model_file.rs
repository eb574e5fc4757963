//! A model file on disk or in memory, mapped and parsed.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::{Mmap, UncheckedAdvice};
use rocmforge_gguf_loader::{Gguf, TensorInfo, split_paths};
use rocmforge_program::backend::{Tensor, WeightSource};

use crate::EngineError;

/// The bytes of one file.
enum Bytes {
    Mapped(Mmap),
    Static(&'static [u8]),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Static(bytes) => bytes,
        }
    }
}

/// An opened GGUF model: all parts of a split file, mapped read-only.
///
/// The mapping shares the file's pages. A file that another program shortens while it is mapped makes the system
/// raise SIGBUS on the next read; [`check_unchanged`](Self::check_unchanged) reports a file that changed but still
/// has its bytes.
pub struct ModelFile {
    path: PathBuf,
    gguf: Gguf<Bytes>,
    opened: Vec<(PathBuf, Stamp)>,
}

/// What tells that a file is still the one that was opened.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl ModelFile {
    /// Opens a file; for a part of a split set, all parts beside it.
    ///
    /// # Errors
    /// A path that cannot be opened or is no regular file, or bytes that are not a valid GGUF file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, EngineError> {
        let path = path.as_ref();
        let invalid = |source| EngineError::Gguf { path: path.to_path_buf(), source };
        let siblings = split_paths(path).map_err(invalid)?;
        let mut opened = Vec::new();
        let mut parts = Vec::new();
        for part in siblings.as_deref().unwrap_or(&[path.to_path_buf()]) {
            let (map, stamp) = map_file(part)?;
            opened.push((part.clone(), stamp));
            parts.push(Bytes::Mapped(map));
        }
        let gguf = match siblings {
            Some(_) => Gguf::parse_split(parts),
            None => Gguf::parse(parts.remove(0)),
        };
        Ok(Self { path: path.to_path_buf(), gguf: gguf.map_err(invalid)?, opened })
    }

    /// Parses a file that is part of the program.
    ///
    /// # Errors
    /// Bytes that are not a valid GGUF file.
    pub fn from_static(name: &str, bytes: &'static [u8]) -> Result<Self, EngineError> {
        let path = PathBuf::from(name);
        let gguf =
            Gguf::parse(Bytes::Static(bytes)).map_err(|source| EngineError::Gguf { path: path.clone(), source })?;
        Ok(Self { path, gguf, opened: Vec::new() })
    }

    /// Where it came from, or the name given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Metadata and tensors.
    pub fn gguf(&self) -> &Gguf<impl AsRef<[u8]> + use<>> {
        &self.gguf
    }

    /// Bytes of all parts.
    pub fn file_bytes(&self) -> u64 {
        self.gguf.parts().iter().map(|p| p.as_ref().len() as u64).sum()
    }

    /// Checks that no part was written to since it was opened.
    ///
    /// # Errors
    /// [`EngineError::FileChanged`] naming the part.
    pub fn check_unchanged(&self) -> Result<(), EngineError> {
        for (path, stamp) in &self.opened {
            let now = std::fs::metadata(path).map(|m| Stamp::of(&m));
            if now.ok().as_ref() != Some(stamp) {
                return Err(EngineError::FileChanged { path: path.clone() });
            }
        }
        Ok(())
    }
}

fn map_file(path: &Path) -> Result<(Mmap, Stamp), EngineError> {
    let failed = |source| EngineError::Open { path: path.to_path_buf(), source };
    // Looked at before it is opened: opening a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a directory" } else { "a pipe or device" };
        return Err(EngineError::NotRegularFile { path: path.to_path_buf(), found });
    }
    let file = File::open(path).map_err(failed)?;
    let stamp = Stamp::of(&file.metadata().map_err(failed)?);
    // SAFETY: the mapping is read-only and private to `ModelFile`, which hands out shared slices only. That the file
    // is not written to meanwhile is the documented condition; `check_unchanged` looks for it after loading.
    let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
    Ok((map, stamp))
}

impl WeightSource for ModelFile {
    fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let info = self.gguf.tensor(name)?;
        Some(Tensor { ty: info.ty, elements: info.elements() as usize, bytes: self.gguf.data(info) })
    }

    fn release(&self, name: &str) {
        if let Some(info) = self.gguf.tensor(name) {
            drop_pages(&self.gguf, info);
        }
    }
}

/// Lets the system take back the pages that only this tensor uses; a later read maps them again.
fn drop_pages(gguf: &Gguf<Bytes>, info: &TensorInfo) {
    const PAGE: u64 = 4096;
    let Some(Bytes::Mapped(map)) = gguf.parts().get(info.part) else { return };
    let start = info.offset.next_multiple_of(PAGE);
    let end = (info.offset + info.size) / PAGE * PAGE;
    if start < end {
        // SAFETY: the mapping is read-only and backed by the file, so dropping its pages loses nothing: the next
        // read loads the same bytes again. Failure means that memory stays in use, which harms nothing.
        let _ =
            unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, start as usize, (end - start) as usize) };
    }
}
