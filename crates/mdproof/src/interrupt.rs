//! Handles Ctrl-C and SIGTERM: the program stops, saves its measurements and prints how to resume.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

/// Exit status after a second interrupt in a phase without a safe end: the shell's number for Ctrl-C.
const IMPATIENT: i32 = 130;

/// Time for an orderly stop before the program ends.
const GRACE: Duration = Duration::from_millis(700);

/// Flag set when the user or the system requests a stop.
static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Exit status and last message of a program that may be ended at any point.
static LAST_WORDS: Mutex<Option<(u8, String)>> = Mutex::new(None);

/// Returns the flag that is set when the user or the system requests a stop.
pub fn requested() -> Arc<AtomicBool> {
    Arc::clone(&REQUESTED)
}

/// Installs the signal handler: the first Ctrl-C (or SIGTERM) sets [`requested`], a second one ends the program at
/// once.
///
/// # Errors
/// The system does not allow a signal handler.
pub fn listen() -> Result<()> {
    let handler = || {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(last_words().take().map_or(IMPATIENT, |(status, _)| i32::from(status)));
        }
        std::thread::spawn(|| {
            std::thread::sleep(GRACE);
            if let Some((status, text)) = last_words().take() {
                // There is no fallback if this message cannot be written.
                let _ = writeln!(std::io::stderr(), "{text}");
                std::process::exit(i32::from(status));
            }
        });
    };
    match ctrlc::set_handler(handler) {
        // A handler is installed already: there is one for the whole process.
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(error).context("cannot listen for Ctrl-C"),
    }
}

/// Makes a limit on the size of files (`ulimit -f`, SIGXFSZ) an error of the write, as a full disk is, not the end of the
/// process.
pub fn survive_limit_on_files() {
    #[cfg(unix)]
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()) {
        tracing::warn!("a limit on the size of files will end the program: {error}");
    }
}

/// Allows the program to be ended at any point until the guard is dropped, since all files are written atomically: some
/// time after an interrupt it prints `text` and exits with `status`.
pub fn may_end_anywhere(status: u8, text: String) -> impl Drop {
    struct Guard(Option<(u8, String)>);
    impl Drop for Guard {
        fn drop(&mut self) {
            *last_words() = self.0.take();
        }
    }
    Guard(last_words().replace((status, text)))
}

fn last_words() -> MutexGuard<'static, Option<(u8, String)>> {
    LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner)
}
