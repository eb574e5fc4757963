//! An interpreter of Programs on HIP devices.

pub mod driver;
