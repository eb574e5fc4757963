//! Compiled modules on the disk, so that a device's first start is the only slow one.
//!
//! A file is written under a name of its own and then renamed, so that programs that start at the same time never see
//! half of one; it carries a checksum, so that a damaged one is compiled again. The folder is bounded: what was used
//! longest ago goes first.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rocmforge_kernels::Digest;

/// The format and its version.
const MAGIC: &[u8; 8] = b"RFKC0001";
/// Magic, key, digest of the object.
const HEADER_BYTES: usize = 8 + 32 + 32;
const EXTENSION: &str = "rfk";
/// A temporary file of this age belongs to a program that died.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Tells the temporary files of this process apart.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder of compiled modules.
#[derive(Debug, Clone)]
pub struct DiskCache {
    folder: PathBuf,
    bytes_max: u64,
}

impl DiskCache {
    /// A cache in `folder`, which is made when the first object is stored.
    pub fn new(folder: PathBuf, bytes_max: u64) -> Self {
        Self { folder, bytes_max }
    }

    /// The folder for this user: `kernels` in `$ROCMFORGE_CACHE`, or in `rocmforge` of the system's folder for caches.
    /// `None` on a system that names no such folder.
    pub fn default_folder() -> Option<PathBuf> {
        folder_from(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `<folder>/norm-norm-<half of the key>.rfk`
    fn path(&self, module: &str, key: &Digest) -> PathBuf {
        let key = &key.to_string()[..32];
        self.folder.join(format!("{}-{key}.{EXTENSION}", module.replace('/', "-")))
    }

    /// Whether there is a file under a key; only [`load`](Self::load) knows whether it is undamaged.
    pub fn has(&self, module: &str, key: &Digest) -> bool {
        self.path(module, key).is_file()
    }

    /// The object under a key, if there is an undamaged one.
    pub fn load(&self, module: &str, key: &Digest) -> Option<Vec<u8>> {
        let path = self.path(module, key);
        let mut bytes = fs::read(&path).ok()?;
        if !is_intact(&bytes, key) {
            tracing::warn!(path = %path.display(), "a cached kernel is damaged and will be compiled again");
            self.forget(module, key);
            return None;
        }
        // The time of last use decides what is removed first; a folder that cannot be written does without.
        let _ = File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(bytes.split_off(HEADER_BYTES))
    }

    /// Keeps an object under a key.
    ///
    /// # Errors
    /// If the folder cannot be made or written.
    pub fn store(&self, module: &str, key: &Digest, object: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let unique = format!("{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let temporary = self.folder.join(unique);
        let written = write_file(&temporary, key, object).and_then(|()| fs::rename(&temporary, self.path(module, key)));
        if written.is_err() {
            // The error that is reported is the one that came first.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes the object under a key.
    pub fn forget(&self, module: &str, key: &Digest) {
        // It may be gone already, or belong to another user; then it is overwritten or read again.
        let _ = fs::remove_file(self.path(module, key));
    }

    /// Removes what was used longest ago, until the folder is within its bound, and what dead programs left behind.
    pub fn trim(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in entries.flatten() {
            let Ok(about) = entry.metadata() else { continue };
            let (path, used) = (entry.path(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH));
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(EXTENSION) => files.push((used, about.len(), path)),
                Some("tmp") if used.elapsed().is_ok_and(|age| age > ABANDONED_AFTER) => drop(fs::remove_file(path)),
                _ => {}
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if total <= self.bytes_max {
                break;
            }
            if fs::remove_file(path).is_ok() {
                total -= bytes;
            }
        }
    }
}

fn folder_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let ours = variable("ROCMFORGE_CACHE");
    let system = || {
        let home = || variable("HOME").map(|home| home.join(".cache"));
        let folder = variable("XDG_CACHE_HOME").or_else(home).or_else(|| variable("LOCALAPPDATA"))?;
        Some(folder.join("rocmforge"))
    };
    Some(ours.or_else(system)?.join("kernels"))
}

fn write_file(path: &Path, key: &Digest, object: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&key.0)?;
    file.write_all(&Digest::of(object).0)?;
    file.write_all(object)?;
    // A rename may reach the disk before the bytes do; the checksum catches what that leaves after a power cut.
    file.flush()
}

fn is_intact(bytes: &[u8], key: &Digest) -> bool {
    let Some((header, object)) = bytes.split_at_checked(HEADER_BYTES) else { return false };
    let (magic, rest) = header.split_at(MAGIC.len());
    let (stored_key, digest) = rest.split_at(key.0.len());
    magic == MAGIC && stored_key == key.0 && digest == Digest::of(object).0 && !object.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(bytes_max: u64) -> (tempfile::TempDir, DiskCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = DiskCache::new(folder.path().join("kernels"), bytes_max);
        (folder, cache)
    }

    fn key(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let (_folder, cache) = cache(1 << 20);
        assert_eq!(cache.load("norm/norm", &key("a")), None);
        cache.store("norm/norm", &key("a"), b"object").unwrap();
        assert_eq!(cache.load("norm/norm", &key("a")).as_deref(), Some(&b"object"[..]));
        assert_eq!(cache.load("norm/norm", &key("b")), None);
        cache.forget("norm/norm", &key("a"));
        assert_eq!(cache.load("norm/norm", &key("a")), None);
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed_and_the_file_removed() {
        let (_folder, cache) = cache(1 << 20);
        let path = cache.path("m/m", &key("a"));
        cache.store("m/m", &key("a"), b"object").unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            for damaged in [&bad[..], &whole[..at]] {
                fs::write(&path, damaged).unwrap();
                assert_eq!(cache.load("m/m", &key("a")), None, "byte {at}");
                assert!(!path.exists());
            }
        }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let (_folder, cache) = cache(2 * (HEADER_BYTES as u64 + 100));
        let ago = |minutes: u64| SystemTime::now() - Duration::from_secs(60 * minutes);
        for (name, minutes) in [("old", 30), ("used", 20), ("new", 10)] {
            cache.store(name, &key(name), &[7; 100]).unwrap();
            let file = File::options().append(true).open(cache.path(name, &key(name))).unwrap();
            file.set_modified(ago(minutes)).unwrap();
        }
        cache.trim();
        let left = ["old", "used", "new"].map(|name| cache.path(name, &key(name)).exists());
        assert_eq!(left, [false, true, true]);
        // Loading is a use.
        cache.load("used", &key("used")).unwrap();
        cache.store("newest", &key("newest"), &[7; 100]).unwrap();
        cache.trim();
        let left = ["used", "new", "newest"].map(|name| cache.path(name, &key(name)).exists());
        assert_eq!(left, [true, false, true]);
    }

    #[test]
    fn temporary_files_of_the_dead_are_removed() {
        let (_folder, cache) = cache(1 << 20);
        cache.store("m/m", &key("a"), b"object").unwrap();
        let (dead, alive) = (cache.folder().join("1-0.tmp"), cache.folder().join("2-0.tmp"));
        fs::write(&alive, "").unwrap();
        File::create(&dead).unwrap().set_modified(SystemTime::now() - 2 * ABANDONED_AFTER).unwrap();
        cache.trim();
        assert!(!dead.exists() && alive.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let cache = DiskCache::new(file.join("kernels"), 1 << 20);
        assert!(cache.store("m/m", &key("a"), b"object").is_err());
        assert_eq!(cache.load("m/m", &key("a")), None);
        cache.trim();
    }

    #[test]
    fn many_writers_of_one_object_do_not_disturb_each_other() {
        let (_folder, cache) = cache(1 << 20);
        let object = vec![42; 100_000];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        cache.store("m/m", &key("a"), &object).unwrap();
                        assert_eq!(cache.load("m/m", &key("a")).as_ref(), Some(&object));
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(cache.folder()).unwrap().count(), 1);
    }

    #[test]
    fn the_folder_is_the_users_choice_then_the_systems() {
        let with = |set: &'static [(&'static str, &'static str)]| {
            folder_from(move |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
        };
        assert_eq!(with(&[("ROCMFORGE_CACHE", "/c"), ("HOME", "/h")]), Some("/c/kernels".into()));
        assert_eq!(with(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]), Some("/x/rocmforge/kernels".into()));
        assert_eq!(with(&[("HOME", "/h")]), Some("/h/.cache/rocmforge/kernels".into()));
        assert_eq!(with(&[]), None);
    }
}
