//! Ctrl-C, and a model file that shrinks while it is mapped.

use std::sync::Mutex;

use rocmforge_engine::CancelToken;

/// Exit code of a program ended by Ctrl-C, as shells count it.
const INTERRUPTED: i32 = 130;

/// What Ctrl-C stops instead of the program, while there is something.
static STOPPABLE: Mutex<Option<CancelToken>> = Mutex::new(None);

/// Installs the handlers. Failure to do so leaves the system's own, which end the program as well.
pub fn install() {
    let _ = ctrlc::set_handler(|| {
        let stoppable = STOPPABLE.lock().ok().and_then(|guard| guard.clone());
        match stoppable {
            Some(token) if !token.is_cancelled() => token.cancel(),
            _ => std::process::exit(INTERRUPTED),
        }
    });
    report_bus_errors();
}

/// Makes Ctrl-C cancel `token` instead of ending the program; a second Ctrl-C still ends it.
pub fn stop_on_interrupt(token: Option<CancelToken>) {
    if let Ok(mut stoppable) = STOPPABLE.lock() {
        *stoppable = token;
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
