//! Ctrl-C, and a model file that shrinks while it is mapped.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rocmforge_engine::CancelToken;

/// Exit code of a program ended by Ctrl-C, as shells count it.
const INTERRUPTED: i32 = 130;

/// What Ctrl-C cancels while [`STOPPABLE`] is set.
static TOKEN: OnceLock<CancelToken> = OnceLock::new();
static STOPPABLE: AtomicBool = AtomicBool::new(false);

/// Installs the handlers.
pub fn install() {
    TOKEN.get_or_init(CancelToken::new);
    end_on_interrupt();
    report_bus_errors();
}

/// While it lives, Ctrl-C cancels its token instead of ending the program; a second Ctrl-C still ends it.
pub struct StopOnInterrupt;

impl StopOnInterrupt {
    /// Makes Ctrl-C cancel the token that is returned with it.
    pub fn new() -> (Self, CancelToken) {
        let token = TOKEN.get_or_init(CancelToken::new).clone();
        token.reset();
        STOPPABLE.store(true, Ordering::SeqCst);
        // Line editors install handlers of their own.
        end_on_interrupt();
        (Self, token)
    }
}

impl Drop for StopOnInterrupt {
    fn drop(&mut self) {
        STOPPABLE.store(false, Ordering::SeqCst);
    }
}

fn end_on_interrupt() {
    extern "C" fn interrupted(_signal: libc::c_int) {
        match TOKEN.get() {
            Some(token) if STOPPABLE.load(Ordering::SeqCst) && !token.is_cancelled() => token.cancel(),
            // SAFETY: `_exit` is one of the calls that POSIX allows in a signal handler.
            _ => unsafe { libc::_exit(INTERRUPTED) },
        }
    }
    // SAFETY: the handler has the signature that `signal` wants, and does no more than read and write atomics, which
    // exist before it is installed, and `_exit`.
    unsafe {
        libc::signal(libc::SIGINT, interrupted as extern "C" fn(libc::c_int) as libc::sighandler_t);
    }
}

/// A mapped file that another program shortens raises SIGBUS when it is read. Say so instead of dumping core.
fn report_bus_errors() {
    extern "C" fn report(_signal: libc::c_int) {
        const MESSAGE: &[u8] =
            b"error: the model file became shorter while it was in use: load it again once the copy is complete\n";
        // SAFETY: `write` and `_exit` are the calls that POSIX allows in a signal handler, and the buffer is static.
        unsafe {
            libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
            libc::_exit(2);
        }
    }
    // SAFETY: the handler has the signature that `signal` wants and calls nothing but async-signal-safe functions.
    unsafe {
        libc::signal(libc::SIGBUS, report as extern "C" fn(libc::c_int) as libc::sighandler_t);
    }
}
