//! HIP's handles, non-null by type.

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;

use super::HipError;

/// A non-null handle of the runtime.
pub(crate) struct Handle<T>(NonNull<T>);

impl<T> Handle<T> {
    /// # Errors
    /// [`HipError::NullHandle`]: `call` reported success and left the handle null.
    pub fn new(raw: *mut T, call: &'static str) -> Result<Self, HipError> {
        NonNull::new(raw).map(Self).ok_or(HipError::NullHandle { call })
    }

    pub fn raw(self) -> *mut T {
        self.0.as_ptr()
    }

    pub fn address(self) -> u64 {
        self.0.as_ptr().cast::<c_void>() as u64
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:p}", self.0)
    }
}

// SAFETY: HIP's reference of `hipSetDevice`: "This function may be called from any host thread. Multiple host threads
// may use the same device." Handles name objects of the process; none is bound to the thread that made it, and each
// call of this crate makes the handle's device current on its own thread first.
unsafe impl<T> Send for Handle<T> {}
// SAFETY: as above; the runtime locks its objects itself. What it asks of callers beyond that (an object is destroyed
// once, and not while in use) holds because one owner destroys it in `drop`.
unsafe impl<T> Sync for Handle<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_no_handle() {
        let null = Handle::<u8>::new(std::ptr::null_mut(), "hipStreamCreateWithFlags");
        assert_eq!(null.err(), Some(HipError::NullHandle { call: "hipStreamCreateWithFlags" }));
    }
}
