//! ERNIE 4.5 (Baidu), dense: Llama's layers.

use super::{ArchSpec, llama};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "ernie4_5", description: "ERNIE 4.5, dense", build: llama::build };
