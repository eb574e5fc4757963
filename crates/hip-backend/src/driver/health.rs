//! Whether a device still works, and what could not be released.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Fault, HipError};

/// The first sticky fault of a device, and the first failed release nobody has heard of yet.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Set when there is something to report, so that the usual call reads one flag.
    troubled: AtomicBool,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    lost: Option<Fault>,
    release: Option<Fault>,
}

impl Health {
    /// # Errors
    /// [`HipError::DeviceLost`] for ever once a sticky fault was noted; [`HipError::EarlierRelease`] once.
    pub fn check(&self, ordinal: u32) -> Result<(), HipError> {
        if !self.troubled.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut trouble = self.lock();
        if let Some(first) = trouble.lost {
            return Err(HipError::DeviceLost { ordinal, first });
        }
        self.troubled.store(false, Ordering::Release);
        match trouble.release.take() {
            Some(fault) => Err(HipError::EarlierRelease { fault }),
            None => Ok(()),
        }
    }

    /// The sticky fault, if there was one.
    pub fn lost(&self) -> Option<Fault> {
        if self.troubled.load(Ordering::Acquire) { self.lock().lost } else { None }
    }

    /// Notes a sticky fault, and returns the first one.
    pub fn lose(&self, fault: Fault) -> Fault {
        let mut trouble = self.lock();
        let first = *trouble.lost.get_or_insert(fault);
        self.troubled.store(true, Ordering::Release);
        first
    }

    /// Notes that something could not be released.
    pub fn note_release(&self, fault: Fault) {
        let mut trouble = self.lock();
        trouble.release.get_or_insert(fault);
        self.troubled.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Trouble> {
        // Nothing panics while the lock is held; two options are whole at any time.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Status;

    fn fault(call: &'static str) -> Fault {
        Fault { call, status: Status::NOT_READY }
    }

    #[test]
    fn a_failed_release_is_reported_once() {
        let health = Health::default();
        assert_eq!(health.check(0), Ok(()));
        health.note_release(fault("hipFree"));
        health.note_release(fault("hipEventDestroy"));
        assert_eq!(health.check(0), Err(HipError::EarlierRelease { fault: fault("hipFree") }));
        assert_eq!(health.check(0), Ok(()));
    }

    #[test]
    fn the_first_sticky_fault_stays() {
        let health = Health::default();
        assert_eq!(health.lose(fault("a")), fault("a"));
        assert_eq!(health.lose(fault("b")), fault("a"));
        health.note_release(fault("hipFree"));
        for _ in 0..2 {
            assert_eq!(health.check(7), Err(HipError::DeviceLost { ordinal: 7, first: fault("a") }));
        }
        assert_eq!(health.lost(), Some(fault("a")));
    }
}
