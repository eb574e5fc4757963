use super::flat::loads_and_stores;
use crate::isa::memory::format::*;
use crate::isa::memory::private::Private;
use crate::isa::memory::{loads, stores};
use crate::isa::{Class, Row};

/// SCRATCH.
pub(super) static SCRATCH: &[Row] = loads_and_stores!(Private, "scratch", Class::Scratch, Class::Scratch);
