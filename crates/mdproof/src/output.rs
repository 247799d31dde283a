//! Standard output: a write that fails says where, and a reader that leaves early is no error.

use std::fmt;
use std::io::{self, Write};

/// Standard output of a command. After its reader has closed the pipe (as `| head` does), everything written to it is
/// dropped and the command continues to its own exit status.
pub struct StandardOutput<'a> {
    inner: &'a mut dyn Write,
    is_closed: bool,
}

impl<'a> StandardOutput<'a> {
    /// Writes to `inner`.
    pub fn new(inner: &'a mut dyn Write) -> Self {
        StandardOutput { inner, is_closed: false }
    }

    /// Returns what `write` returns, or `dropped` if nobody reads the output.
    fn unless_closed<T>(
        &mut self,
        dropped: T,
        write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.is_closed {
            return Ok(dropped);
        }
        match write(&mut *self.inner) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(dropped)
            }
            // Callers repeat what was interrupted.
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(io::Error::new(error.kind(), CannotWrite(error)))
            }
            done => done,
        }
    }
}

impl Write for StandardOutput<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_closed(bytes.len(), |inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), |inner| inner.flush())
    }
}

/// Names standard output in front of the error of the system.
#[derive(Debug)]
struct CannotWrite(io::Error);

impl fmt::Display for CannotWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write to standard output")
    }
}

impl std::error::Error for CannotWrite {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails every write with this error.
    struct Failing(io::ErrorKind, usize);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn standard_output_drops_text_after_broken_pipe() {
        let mut pipe = Failing(io::ErrorKind::BrokenPipe, 0);
        let mut out = StandardOutput::new(&mut pipe);
        writeln!(out, "one").unwrap();
        writeln!(out, "two").unwrap();
        out.flush().unwrap();
        assert_eq!(pipe.1, 1, "one write tells that the pipe is closed");
    }

    #[test]
    fn standard_output_names_itself_in_errors() {
        let mut full = Failing(io::ErrorKind::StorageFull, 0);
        let error = StandardOutput::new(&mut full).write(b"text").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let json = serde_json::to_writer(&mut StandardOutput::new(&mut full), &1).unwrap_err();
        for error in [anyhow::Error::from(error), json.into()] {
            let text = md_driver::in_full(error.as_ref());
            assert_eq!(text, "cannot write to standard output: no storage space");
            assert_eq!(crate::exit::status_of(&error), crate::exit::INTERRUPTED);
        }
    }
}
