use super::flat::{atomics, loads_and_stores};
use super::unsupported;
use crate::isa::macros::wave;
use crate::isa::memory::atomic::*;
use crate::isa::memory::buffer::Buffer;
use crate::isa::memory::format::*;
use crate::isa::memory::{loads, stores};
use crate::isa::{Class, Kind, Row};

/// MUBUF. Caches are not modelled, so that there is nothing to invalidate.
pub(super) static MUBUF: &[Row] = loads_and_stores!(
    Buffer,
    "buffer",
    Class::Load,
    Class::Store,
    Row::new(Class::Control, 43, "buffer_gl0_inv", wave!(Kind::None, [], |_, _| {})),
    Row::new(Class::Control, 44, "buffer_gl1_inv", wave!(Kind::None, [], |_, _| {})),
    unsupported(Class::Load, 0, "buffer_load_format_x"),
    unsupported(Class::Load, 1, "buffer_load_format_xy"),
    unsupported(Class::Load, 2, "buffer_load_format_xyz"),
    unsupported(Class::Load, 3, "buffer_load_format_xyzw"),
    unsupported(Class::Store, 4, "buffer_store_format_x"),
    unsupported(Class::Store, 5, "buffer_store_format_xy"),
    unsupported(Class::Store, 6, "buffer_store_format_xyz"),
    unsupported(Class::Store, 7, "buffer_store_format_xyzw"),
    unsupported(Class::Load, 8, "buffer_load_d16_format_x"),
    unsupported(Class::Load, 9, "buffer_load_d16_format_xy"),
    unsupported(Class::Load, 10, "buffer_load_d16_format_xyz"),
    unsupported(Class::Load, 11, "buffer_load_d16_format_xyzw"),
    unsupported(Class::Store, 12, "buffer_store_d16_format_x"),
    unsupported(Class::Store, 13, "buffer_store_d16_format_xy"),
    unsupported(Class::Store, 14, "buffer_store_d16_format_xyz"),
    unsupported(Class::Store, 15, "buffer_store_d16_format_xyzw"),
    unsupported(Class::Load, 38, "buffer_load_d16_hi_format_x"),
    unsupported(Class::Store, 39, "buffer_store_d16_hi_format_x")
);
/// MUBUF, atomic.
pub(super) static MUBUF_ATOMICS: &[Row] = atomics!(Buffer, "buffer");
