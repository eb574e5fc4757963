//! Where the code object of a module comes from: embedded, cached on the disk, or compiled now.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use hip_sys::{Api, Rtc};
use rocmforge_kernels::{Digest, Hasher, Lookup, Module, base_arch, embedded, embedded_archs, object};

use super::cache::DiskCache;
use super::{KernelError, rtc};

/// Raised when objects that were compiled before must not be used any more.
const KEY_VERSION: u32 = 1;

/// Where a code object came from, in the order in which it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Built ahead of time and part of the program.
    Embedded,
    /// Compiled by an earlier run and kept on the disk.
    Cached,
    /// Compiled now.
    Compiled,
}

/// Compiles modules at run time. There is one beside hipRTC in the tests.
pub(super) trait Compile: Send + Sync {
    /// Whether there is a compiler at all; if not, why.
    fn available(&self) -> Result<(), String>;
    /// The code object of a module.
    fn compile(&self, module: &Module, arch: &str, defines: &[(String, String)]) -> Result<Vec<u8>, KernelError>;
}

/// hipRTC, opened when it is first needed: most starts never do.
pub(super) struct HipRtc {
    api: Arc<Api>,
    opened: OnceLock<Result<Arc<Rtc>, String>>,
}

impl HipRtc {
    pub(super) fn new(api: Arc<Api>) -> Self {
        Self { api, opened: OnceLock::new() }
    }

    fn rtc(&self) -> Result<&Rtc, String> {
        let opened = self.opened.get_or_init(|| Rtc::open(&self.api).map_err(|error| error.to_string()));
        opened.as_deref().map_err(Clone::clone)
    }
}

impl Compile for HipRtc {
    fn available(&self) -> Result<(), String> {
        self.rtc().map(|_| ())
    }

    fn compile(&self, module: &Module, arch: &str, defines: &[(String, String)]) -> Result<Vec<u8>, KernelError> {
        let rtc = self.rtc().map_err(|reason| no_object(arch, module, reason))?;
        rtc::compile(rtc, module, arch, defines)
    }
}

/// Whether [`object`] has the module, without unpacking it.
fn is_embedded(arch: &str, module: &Module) -> bool {
    let archive = embedded().iter().find(|embedded| embedded.arch == base_arch(arch)).map(|found| &found.archive);
    let entry = archive.and_then(|archive| archive.as_ref().ok()?.entry(&module.name));
    entry.is_some_and(|entry| entry.hash == module.hash())
}

fn no_object(arch: &str, module: &Module, reason: String) -> KernelError {
    KernelError::NoObject { arch: arch.to_owned(), module: module.name.clone(), embedded: embedded_archs(), reason }
}

/// Code objects for one target.
pub(super) struct Images {
    pub arch: String,
    /// Versions of what the objects are made by and for.
    pub versions: String,
    /// Whether objects are made by the system's own libraries, and for GPUs. Others may read more of the sources.
    pub system: bool,
    pub defines: Vec<(String, String)>,
    pub embedded: bool,
    pub cache: Option<DiskCache>,
    pub compiler: Box<dyn Compile>,
}

impl Images {
    /// The object of a module, from `first` or a later origin.
    pub(super) fn get(&self, module: &Module, first: Origin) -> Result<(Cow<'static, [u8]>, Origin), KernelError> {
        if first <= Origin::Embedded
            && let Some(object) = self.embedded_object(module)
        {
            return Ok((object, Origin::Embedded));
        }
        let key = self.key(module);
        if first <= Origin::Cached
            && let Some(object) = self.cache.as_ref().and_then(|cache| cache.load(&module.name, &key))
        {
            return Ok((object.into(), Origin::Cached));
        }
        self.compiler.available().map_err(|reason| no_object(&self.arch, module, reason))?;
        let object = self.compiler.compile(module, &self.arch, &self.defines)?;
        self.keep(module, &key, &object);
        Ok((object.into(), Origin::Compiled))
    }

    /// Where [`get`](Self::get) would find the object of a module.
    pub(super) fn find(&self, module: &Module) -> Origin {
        let is_cached = || self.cache.as_ref().is_some_and(|cache| cache.has(&module.name, &self.key(module)));
        if self.may_embed() && is_embedded(&self.arch, module) {
            Origin::Embedded
        } else if is_cached() {
            Origin::Cached
        } else {
            Origin::Compiled
        }
    }

    fn may_embed(&self) -> bool {
        self.embedded && self.defines.is_empty()
    }

    /// An object that was built with exactly the sources and options of this run.
    fn embedded_object(&self, module: &Module) -> Option<Cow<'static, [u8]>> {
        if !self.may_embed() {
            return None;
        }
        match object(&self.arch, &module.name) {
            Lookup::Found(object) => Some(object),
            Lookup::Stale => {
                let (module, arch) = (module.name.as_str(), self.arch.as_str());
                tracing::warn!(module, arch, "the embedded kernels are older than the sources: compiling them instead");
                None
            }
            Lookup::Damaged(error) => {
                tracing::warn!(arch = self.arch, %error, "the embedded kernels cannot be read: compiling them instead");
                None
            }
            _ => None,
        }
    }

    fn key(&self, module: &Module) -> Digest {
        let start = Hasher::new().field(KEY_VERSION.to_le_bytes()).field(module.hash().0);
        let start = start.field(base_arch(&self.arch)).field(&self.versions);
        let start = self.defines.iter().fold(start, |hasher, (name, value)| hasher.field(name).field(value));
        let others = if self.system { Vec::new() } else { module.files_for_any() };
        others.iter().fold(start, |hasher, source| hasher.field(source.path).field(source.text)).finish()
    }

    fn keep(&self, module: &Module, key: &Digest, object: &[u8]) {
        let Some(cache) = &self.cache else { return };
        match cache.store(&module.name, key, object) {
            Ok(()) => cache.trim(),
            Err(error) => {
                let folder = cache.folder().display();
                tracing::warn!(%folder, %error, "compiled kernels cannot be kept: the next start compiles them again");
            }
        }
    }

    /// Removes a kept object that the device has refused.
    pub(super) fn forget(&self, module: &Module) {
        if let Some(cache) = &self.cache {
            cache.forget(&module.name, &self.key(module));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use rocmforge_kernels::modules;

    use super::*;

    /// Counts, and compiles a module to its name.
    #[derive(Clone, Default)]
    struct Fake {
        calls: Arc<AtomicU32>,
        absent: bool,
    }

    impl Compile for Fake {
        fn available(&self) -> Result<(), String> {
            if self.absent { Err("nothing is installed".into()) } else { Ok(()) }
        }

        fn compile(&self, module: &Module, _: &str, _: &[(String, String)]) -> Result<Vec<u8>, KernelError> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            Ok(module.name.clone().into_bytes())
        }
    }

    fn images(fake: &Fake, folder: Option<&tempfile::TempDir>) -> Images {
        Images {
            arch: "gfx9999:xnack-".into(),
            versions: "1".into(),
            system: true,
            defines: Vec::new(),
            embedded: true,
            cache: folder.map(|folder| DiskCache::new(folder.path().to_path_buf(), 1 << 20)),
            compiler: Box::new(fake.clone()),
        }
    }

    fn origin(images: &Images, first: Origin) -> Origin {
        let module = &modules()[0];
        let (object, origin) = images.get(module, first).unwrap();
        assert_eq!(object, module.name.as_bytes());
        origin
    }

    #[test]
    fn the_second_run_finds_what_the_first_compiled() {
        let (fake, folder) = (Fake::default(), tempfile::tempdir().unwrap());
        assert_eq!(images(&fake, Some(&folder)).find(&modules()[0]), Origin::Compiled);
        assert_eq!(origin(&images(&fake, Some(&folder)), Origin::Embedded), Origin::Compiled);
        assert_eq!(images(&fake, Some(&folder)).find(&modules()[0]), Origin::Cached);
        assert_eq!(origin(&images(&fake, Some(&folder)), Origin::Embedded), Origin::Cached);
        assert_eq!(fake.calls.load(Ordering::Relaxed), 1);
        // The device refused it: compiled anew, although it is there.
        assert_eq!(origin(&images(&fake, Some(&folder)), Origin::Compiled), Origin::Compiled);
        images(&fake, Some(&folder)).forget(&modules()[0]);
        assert_eq!(origin(&images(&fake, Some(&folder)), Origin::Embedded), Origin::Compiled);
    }

    #[test]
    fn another_driver_target_or_define_is_another_object() {
        let (fake, folder) = (Fake::default(), tempfile::tempdir().unwrap());
        origin(&images(&fake, Some(&folder)), Origin::Embedded);
        let changed = |change: fn(&mut Images)| {
            let mut images = images(&fake, Some(&folder));
            change(&mut images);
            origin(&images, Origin::Embedded)
        };
        assert_eq!(changed(|images| images.versions = "2".into()), Origin::Compiled);
        assert_eq!(changed(|images| images.arch = "gfx9998".into()), Origin::Compiled);
        assert_eq!(changed(|images| images.system = false), Origin::Compiled);
        assert_eq!(changed(|images| images.defines = vec![("X".into(), "1".into())]), Origin::Compiled);
        // The features of a target make no difference.
        assert_eq!(changed(|images| images.arch = "gfx9999".into()), Origin::Cached);
    }

    #[test]
    fn without_a_folder_each_run_compiles() {
        let fake = Fake::default();
        assert_eq!(origin(&images(&fake, None), Origin::Embedded), Origin::Compiled);
        assert_eq!(origin(&images(&fake, None), Origin::Embedded), Origin::Compiled);
    }

    #[test]
    fn without_a_compiler_the_error_says_so() {
        let fake = Fake { absent: true, ..Fake::default() };
        let error = images(&fake, None).get(&modules()[0], Origin::Embedded).unwrap_err().to_string();
        assert!(error.contains("nothing is installed") && error.contains("gfx9999"), "{error}");
    }

    #[test]
    fn a_cached_object_needs_no_compiler() {
        let folder = tempfile::tempdir().unwrap();
        origin(&images(&Fake::default(), Some(&folder)), Origin::Embedded);
        let absent = Fake { absent: true, ..Fake::default() };
        assert_eq!(origin(&images(&absent, Some(&folder)), Origin::Embedded), Origin::Cached);
    }
}
