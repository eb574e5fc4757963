//! An interpreter of Programs on HIP devices.
