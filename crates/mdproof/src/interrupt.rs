//! Ctrl-C and SIGTERM: stop, keep what was measured, say how to continue.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

/// Exit status of a program that was interrupted twice while it could not end anywhere: the shell's number for Ctrl-C.
const IMPATIENT: i32 = 130;

/// Whoever can stop within this does it in order; then the program ends, wherever it is.
const GRACE: Duration = Duration::from_millis(700);

/// Set when the user or the system asks the program to stop.
static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Exit status and last words of a program that may be ended anywhere.
static LAST_WORDS: Mutex<Option<(u8, String)>> = Mutex::new(None);

/// Becomes true when the user or the system asks the program to stop.
pub fn requested() -> Arc<AtomicBool> {
    Arc::clone(&REQUESTED)
}

/// From now on a first Ctrl-C (or SIGTERM) makes [`requested`] true; a second ends the program at once.
///
/// # Errors
/// A system that lets nobody listen.
pub fn listen() -> Result<()> {
    let handler = || {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(last_words().take().map_or(IMPATIENT, |(status, _)| i32::from(status)));
        }
        std::thread::spawn(|| {
            std::thread::sleep(GRACE);
            if let Some((status, text)) = last_words().take() {
                // Nothing is left to do when even this cannot be written.
                let _ = writeln!(std::io::stderr(), "{text}");
                std::process::exit(i32::from(status));
            }
        });
    };
    match ctrlc::set_handler(handler) {
        // Listening already: the handler is one for the whole process.
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(error).context("cannot listen for Ctrl-C"),
    }
}

/// Until the guard is dropped the program may be ended anywhere, since all that it keeps is written whole or not at all:
/// a while after an interrupt it says `text` and exits with `status`.
pub fn may_end_anywhere(status: u8, text: String) -> impl Drop {
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            *last_words() = None;
        }
    }
    *last_words() = Some((status, text));
    Guard
}

fn last_words() -> MutexGuard<'static, Option<(u8, String)>> {
    LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner)
}
