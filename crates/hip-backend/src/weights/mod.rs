//! How weights lie on the device.

mod planes;

pub use planes::{Field, MAX_FIELDS, PlaneLayout, PlaneMap, Planes};
