//! HIP's objects, owned.
//!
//! Everything above this module is safe code: each object here keeps alive what it needs, is released once, on its own
//! device, and every call's status becomes a [`HipError`]. What stays the caller's promise is what a kernel does with
//! the addresses it is given, which is why [`Stream::launch`] is `unsafe`.
//!
//! After a fault that HIP does not recover from ([`Status::is_sticky`]), the [`Device`] is lost: later calls return
//! [`HipError::DeviceLost`] at once, and releases no longer call the driver. A release that fails is reported by the
//! next call on the device.

mod buffer;
mod device;
mod error;
mod event;
mod graph;
mod handle;
mod health;
mod image;
mod launch;
mod ledger;
mod module;
mod pinned;
mod properties;
mod ptr;
mod readback;
mod status;
mod stream;

pub use buffer::{Buffer, View};
pub(crate) use device::poison_by_default;
pub use device::{Device, MemoryInfo, POISON_VARIABLE};
pub use error::{Fault, HipError};
pub use event::{Event, elapsed_ms};
pub use graph::{Graph, GraphExec, Hold};
pub use launch::Dims;
pub use ledger::MemoryUse;
pub use module::{Attributes, Function, Module};
pub use pinned::PinnedBuffer;
pub use properties::{Properties, enumerate};
pub use ptr::DevicePtr;
pub use readback::{read, read_f32, read_into, write};
pub use status::Status;
pub use stream::Stream;
