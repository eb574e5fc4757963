//! An interpreter of Programs on HIP devices.

pub mod driver;
pub mod library;
pub mod ops;
