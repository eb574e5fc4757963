//! The table of modules: what is compiled, with which defines, and which kernels come out.
//!
//! A family of kernels has its rows in one file of `table/`. Adding a kernel to a module, or a module to a family, is one
//! line there; a new family is a file and a line in [`FAMILIES`].

mod attention;
mod elementwise;
mod embed;
mod gemm;
mod kv;
mod matvec;
mod norm;
mod route;
mod sample;
mod weights;

use std::sync::LazyLock;

use rocmforge_quant::GgmlType;

pub use attention::TILED_HEADS;

use crate::COMPILE_OPTIONS;
use crate::digest::{Digest, Hasher};
use crate::source::{Closure, Reader, Source, closure, sources, text_digest};

/// The rows of each family.
static FAMILIES: &[fn() -> Vec<Module>] = &[
    weights::rows,
    embed::rows,
    matvec::rows,
    gemm::rows,
    attention::rows,
    kv::rows,
    norm::rows,
    elementwise::rows,
    route::rows,
    sample::rows,
];

static MODULES: LazyLock<Vec<Module>> = LazyLock::new(|| FAMILIES.iter().flat_map(|rows| rows()).collect());

/// Types of cached keys and values: the suffix of a module's name, and the type of `rf/kv.h` that `RF_KV` names.
const KV_TYPES: &[(&str, &str)] =
    &[("f32", "KvF32"), ("f16", "KvF16"), ("bf16", "KvBF16"), ("q8_0", "KvQ8"), ("f8", "KvF8")];

/// One compilation of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Module {
    /// `family/variant`: `norm/norm`, `matvec/q4_0`. Unique in the table.
    pub name: String,
    /// Path of the source in the folder `kernels`.
    pub file: &'static str,
    /// Macros that the compiler is given, as name and value.
    pub defines: Vec<(String, String)>,
    /// Entry points, unique within the module.
    pub kernels: Vec<String>,
    /// Whether decoding or attention spends its time here. A register spill in such a module fails the report.
    pub hot: bool,
}

impl Module {
    /// A module without defines and kernels, not hot.
    pub(crate) fn new(name: impl Into<String>, file: &'static str) -> Self {
        Self { name: name.into(), file, defines: Vec::new(), kernels: Vec::new(), hot: false }
    }

    /// The module of a family for one type of weights: `matvec/q4_0`. The source sees the type as
    /// `RF_TYPE` (`Q4_0`), as `RF_TYPE_Q4_0`, and as `RF_TYPE_HEADER` (`"rf/quant/q4_0.h"`).
    pub(crate) fn of_type(family: &str, file: &'static str, ty: GgmlType) -> Self {
        let slug = type_slug(ty);
        Self::new(format!("{family}/{slug}"), file)
            .define("RF_TYPE", ty.name())
            .define(format!("RF_TYPE_{}", ty.name()), 1)
            .define("RF_TYPE_HEADER", format!("\"rf/quant/{slug}.h\""))
    }

    /// Adds a macro.
    pub(crate) fn define(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.defines.push((name.into(), value.to_string()));
        self
    }

    /// Adds entry points.
    pub(crate) fn kernels<I: IntoIterator<Item: Into<String>>>(mut self, names: I) -> Self {
        self.kernels.extend(names.into_iter().map(Into::into));
        self
    }

    /// Says that decoding or attention spends its time here.
    pub(crate) fn hot(mut self) -> Self {
        self.hot = true;
        self
    }

    /// The part of the name before the slash.
    pub fn family(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    fn closure(&self, reader: Reader) -> Closure<'static> {
        closure(sources(), self.file, &self.defines, reader)
    }

    /// The text to compile; `None` if the table names a file that is not there.
    pub fn source(&self) -> Option<&'static Source> {
        sources().iter().find(|s| s.path == self.file)
    }

    /// All files the module is made of on a GPU: its source, then the headers it includes directly or through others.
    pub fn files(&self) -> Vec<&'static Source> {
        self.closure(Reader::Gpu).files
    }

    /// The same, and the headers that only a compiler for the host reads.
    pub fn files_for_any(&self) -> Vec<&'static Source> {
        self.closure(Reader::Any).files
    }

    /// Options for a compiler, one argument each: [`COMPILE_OPTIONS`] and the defines.
    pub fn options(&self) -> Vec<String> {
        let defines = self.defines.iter().map(|(name, value)| format!("-D{name}={value}"));
        COMPILE_OPTIONS.iter().map(|option| (*option).to_owned()).chain(defines).collect()
    }

    /// Digest of everything the code of a GPU depends on but the compiler and its target: files, names, and options.
    pub fn hash(&self) -> Digest {
        let named = self.options().iter().fold(Hasher::new().field(self.file), |hasher, option| hasher.field(option));
        let files = self.files();
        files.iter().fold(named, |hasher, s| hasher.field(s.path).field(text_digest(s).0)).finish()
    }
}

/// All modules, family by family.
pub fn modules() -> &'static [Module] {
    &MODULES
}

/// The module of that name.
pub fn module(name: &str) -> Option<&'static Module> {
    MODULES.iter().find(|module| module.name == name)
}

/// The types that weights of a model can have: all but the integers and f64, which files carry as plain data.
pub fn weight_types() -> impl Iterator<Item = GgmlType> {
    use GgmlType::{F64, I8, I16, I32, I64};
    GgmlType::ALL.iter().copied().filter(|ty| !matches!(ty, I8 | I16 | I32 | I64 | F64))
}

/// A type's name in lower case, as names of modules and headers have it: `q4_0`, `iq2_xxs`, `bf16`.
pub fn type_slug(ty: GgmlType) -> String {
    ty.name().to_ascii_lowercase()
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
