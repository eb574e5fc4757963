//! hipRTC for emulated devices: nothing is compiled; the code objects are those of an archive that `cargo xtask kernels`
//! has built from the same sources.

use std::borrow::Cow;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::SystemTime;

use rocmforge_kernels::{Archive, Lookup, Module, base_arch, embedded, modules, object};

use crate::compile::Program;
use crate::settings::Settings;

/// Why there is no code object for a program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ObjectsError {
    #[error("`{0}` with these options is no module of the kernels' table, and an emulated device has no compiler")]
    Unknown(String),
    #[error("{}: {reason}", path.display())]
    Archive { path: Box<Path>, reason: String },
    #[error("`{module}`: {what}; `cargo xtask kernels --arch {arch}` builds it, and then {place}")]
    Missing { module: String, arch: String, what: &'static str, place: &'static str },
}

/// The code object of a program for the device that the settings describe.
pub(crate) fn answer(program: &Program, options: &[String], settings: &Settings) -> Result<Vec<u8>, ObjectsError> {
    let module = module_of(program, options).ok_or_else(|| ObjectsError::Unknown(program.name.clone()))?;
    match &settings.objects {
        Some(path) => from_file(path, module, settings),
        None => embedded_object(module, settings),
    }
}

/// The module of the table that a program is, by its file, its options, and all of its texts.
fn module_of(program: &Program, options: &[String]) -> Option<&'static Module> {
    let named: Vec<&String> = options.iter().filter(|option| !option.starts_with("--offload-arch=")).collect();
    let module = modules().iter().find(|m| m.file == program.name && m.options().iter().eq(named.iter().copied()))?;
    let is_same = |source: &&rocmforge_kernels::Source| {
        let header = program.headers.iter().find(|(name, _)| name == source.include_name());
        let text = if source.path == program.name { Some(&program.source) } else { header.map(|(_, text)| text) };
        text.is_some_and(|text| text == source.text)
    };
    module.files().iter().all(is_same).then_some(module)
}

fn from_file(path: &Path, module: &Module, settings: &Settings) -> Result<Vec<u8>, ObjectsError> {
    let error = |reason: String| ObjectsError::Archive { path: path.into(), reason };
    let bytes = fs::read(path).map_err(|reason| error(reason.to_string()))?;
    let archive = Archive::read(&bytes).map_err(|reason| error(reason.to_string()))?;
    let missing = |what| missing(module, settings, what, "ROCMFORGE_FAKE_HIP_OBJECTS names it");
    let entry = archive.entry(&module.name).ok_or_else(|| missing("the archive has no such module"))?;
    if entry.hash != module.hash() {
        return Err(missing("the archive is older than the sources"));
    }
    archive.unpack(entry).map(Cow::into_owned).map_err(|reason| error(reason.to_string()))
}

fn embedded_object(module: &Module, settings: &Settings) -> Result<Vec<u8>, ObjectsError> {
    let missing = |what| missing(module, settings, what, "the next build embeds it");
    match object(&settings.arch, &module.name) {
        Lookup::Found(object) => Ok(object.into_owned()),
        Lookup::Stale => Err(missing("the embedded kernels are older than the sources")),
        Lookup::Damaged(_) => Err(missing("the embedded kernels cannot be read")),
        _ => Err(missing("there is no code object in the library")),
    }
}

fn missing(module: &Module, settings: &Settings, what: &'static str, place: &'static str) -> ObjectsError {
    ObjectsError::Missing { module: module.name.clone(), arch: base_arch(&settings.arch).into(), what, place }
}

/// The name of the module that a code object is, where the archive has it.
pub(crate) fn name_of(bytes: &[u8], settings: &Settings) -> Option<String> {
    let read = settings.objects.as_ref().and_then(|path| fs::read(path).ok());
    let named = read.as_deref().and_then(|bytes| Archive::read(bytes).ok());
    let arch = base_arch(&settings.arch);
    let own = || embedded().iter().find(|embedded| embedded.arch == arch)?.archive.as_ref().ok();
    let archive = named.as_ref().or_else(own)?;
    let mut same_size = archive.entries.iter().filter(|entry| entry.object_bytes() == bytes.len());
    let found = same_size.find(|entry| archive.unpack(entry).is_ok_and(|object| *object == *bytes))?;
    Some(found.name.clone())
}

/// A number that tells one archive from another, so that what is kept of one is not taken for what another says.
pub(crate) fn version(settings: &Settings) -> u32 {
    let about = settings.objects.as_ref().and_then(|path| fs::metadata(path).ok());
    let mut hasher = DefaultHasher::new();
    about.map(|about| (about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH))).hash(&mut hasher);
    hasher.finish() as u32
}
