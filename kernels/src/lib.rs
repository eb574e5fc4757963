#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod archive;
mod digest;
mod objects;
mod source;
mod table;

pub use archive::{Archive, ArchiveError, Entry};
pub use digest::{Digest, Hasher};
pub use objects::{Embedded, Lookup, base_arch, embedded, embedded_archs, object};
pub use source::{Source, source_hash, sources};
pub use table::{Module, TILED_HEADS, module, modules, type_slug, weight_types};

/// Targets that `cargo xtask kernels` builds for when it is not told any.
pub const TARGETS: &[&str] =
    &["gfx90a", "gfx942", "gfx1030", "gfx1100", "gfx1101", "gfx1102", "gfx1151", "gfx1200", "gfx1201"];

/// Options that every compiler of these sources gets, ahead of the target and the module's defines.
///
/// Contraction lets `a * b + c` become one fused operation, but only where the code at hand allows it: plain
/// `-ffp-contract=fast` would also fuse inside of the device library and of clang's own expansions. In those of `exp`
/// it counts a rounding error twice, which costs up to five bits. Nothing else of "fast math" is on: infinities and NaN
/// keep their meaning, and sums keep their order.
pub const COMPILE_OPTIONS: &[&str] = &["-O3", "-std=c++17", "-ffp-contract=fast-honor-pragmas"];
