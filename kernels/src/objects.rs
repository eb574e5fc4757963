//! The code objects that were embedded when this crate was built.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::archive::{Archive, ArchiveError};
use crate::source::object_files;
use crate::table::module;

/// The archive of one target.
#[derive(Debug)]
#[non_exhaustive]
pub struct Embedded {
    /// The target: `gfx1100`.
    pub arch: &'static str,
    /// Its archive, or why that cannot be used.
    pub archive: Result<Archive<'static>, ArchiveError>,
}

/// What there is for a module and a target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookup {
    /// The code object.
    Found(Cow<'static, [u8]>),
    /// The archive has an object that was built from other sources or options than those of this program.
    Stale,
    /// There is no object, or no archive for the target.
    Absent,
    /// The archive cannot be read.
    Damaged(ArchiveError),
}

impl Lookup {
    /// The code object, if there is one that fits.
    pub fn found(self) -> Option<Cow<'static, [u8]>> {
        match self {
            Self::Found(object) => Some(object),
            _ => None,
        }
    }
}

static EMBEDDED: LazyLock<Vec<Embedded>> = LazyLock::new(|| {
    let read = |&(arch, bytes): &(&'static str, &'static [u8])| Embedded { arch, archive: Archive::read(bytes) };
    object_files().iter().map(read).collect()
});

/// All archives.
pub fn embedded() -> &'static [Embedded] {
    &EMBEDDED
}

/// The targets there are archives for, sorted.
pub fn embedded_archs() -> Vec<&'static str> {
    EMBEDDED.iter().map(|e| e.arch).collect()
}

/// A target without its feature suffixes: `gfx90a:sramecc+:xnack-` is built for as `gfx90a`. Objects are compiled
/// without naming features, and such an object runs with each of them on or off.
pub fn base_arch(arch: &str) -> &str {
    arch.split(':').next().unwrap_or_default()
}

/// The embedded code object of a module for a target, with or without feature suffixes.
pub fn object(arch: &str, name: &str) -> Lookup {
    let arch = base_arch(arch);
    match EMBEDDED.iter().find(|e| e.arch == arch).map(|e| &e.archive) {
        None => Lookup::Absent,
        Some(Err(error)) => Lookup::Damaged(error.clone()),
        Some(Ok(archive)) => look_up(archive, name),
    }
}

fn look_up(archive: &Archive<'static>, name: &str) -> Lookup {
    let (Some(entry), Some(module)) = (archive.entry(name), module(name)) else { return Lookup::Absent };
    if entry.hash != module.hash() {
        return Lookup::Stale;
    }
    archive.unpack(entry).map_or_else(Lookup::Damaged, Lookup::Found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::modules;

    #[test]
    fn suffixes_are_no_part_of_the_base() {
        assert_eq!(base_arch("gfx90a:sramecc+:xnack-"), "gfx90a");
        assert_eq!(base_arch("gfx1100"), "gfx1100");
    }

    #[test]
    fn what_nobody_built_is_absent() {
        assert_eq!(object("gfx9999", "norm/norm"), Lookup::Absent);
        assert_eq!(object("", ""), Lookup::Absent);
    }

    #[test]
    fn an_object_of_other_sources_is_stale() {
        let Some(module) = modules().first() else { return };
        let other = vec![(module.name.clone(), Digest::of(b"other"), vec![1])];
        let same = vec![(module.name.clone(), module.hash(), vec![1])];
        // Leaked, because the archives of this crate live as long as the program.
        let read = |objects| Archive::read(Vec::leak(Archive::write("", objects))).unwrap();
        assert_eq!(look_up(&read(other), &module.name), Lookup::Stale);
        assert_eq!(look_up(&read(same), &module.name).found().unwrap().as_ref(), [1]);
    }

    #[test]
    fn embedded_archives_are_readable() {
        for embedded in embedded() {
            assert!(embedded.archive.is_ok(), "{}: {:?}", embedded.arch, embedded.archive);
        }
    }
}
