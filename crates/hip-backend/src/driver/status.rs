//! HIP's status numbers.

use std::fmt;

use hip_sys::hipError_t;

/// What a HIP call answered when it did not succeed. Prints as `hipErrorIllegalAddress (700)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(hipError_t);

impl Status {
    pub(crate) const OUT_OF_MEMORY: Self = Self(hipError_t::hipErrorOutOfMemory);
    pub(crate) const TIMED_OUT: Self = Self(hipError_t::hipErrorLaunchTimeOut);
    #[cfg(test)]
    pub(crate) const NOT_READY: Self = Self(hipError_t::hipErrorNotReady);

    /// `None` for success.
    pub(crate) fn of_failure(status: hipError_t) -> Option<Self> {
        (status != hipError_t::hipSuccess).then_some(Self(status))
    }

    /// HIP's number.
    pub fn code(self) -> u32 {
        self.0.0
    }

    /// HIP's name, where its headers have one for the number.
    pub fn name(self) -> Option<&'static str> {
        self.0.name()
    }

    /// Whether no later call on the device can succeed in this process: the device faulted, vanished, or the runtime
    /// shut down. 714..=718 have no name in HIP; CUDA reports instruction and address faults of a kernel there.
    pub fn is_sticky(self) -> bool {
        matches!(self.code(), 4 | 100 | 101 | 214 | 700 | 702 | 709 | 710 | 714..=719)
    }

    /// Whether a code object does not suit the device or is damaged.
    pub(crate) fn is_bad_image(self) -> bool {
        matches!(self.code(), 98 | 200 | 209 | 218 | 301 | 302 | 303)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name().unwrap_or("unknown status"), self.code())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_prints_name_and_number() {
        assert_eq!(Status(hipError_t(700)).to_string(), "hipErrorIllegalAddress (700)");
        assert_eq!(Status(hipError_t(2)).to_string(), "hipErrorOutOfMemory (2)");
        assert_eq!(Status(hipError_t(12_345)).to_string(), "unknown status (12345)");
        assert_eq!(Status::of_failure(hipError_t(0)), None);
    }

    #[test]
    fn faults_stick_and_refusals_do_not() {
        for code in [4, 100, 101, 214, 700, 702, 709, 710, 719] {
            assert!(Status(hipError_t(code)).is_sticky(), "{code}");
        }
        for code in [1, 2, 9, 98, 200, 209, 400, 500, 600, 701, 720, 801, 900, 999] {
            assert!(!Status(hipError_t(code)).is_sticky(), "{code}");
        }
    }
}
