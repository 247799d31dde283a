//! Files with an embedded checksum.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{sha256, write_atomically};

/// Prefix of the first line, which has a fixed length: the length and the checksum follow, then the content.
const PREFIX: &str = "mdproof checked 1 ";
const SHA_DIGITS: usize = 64;
const LENGTH_DIGITS: usize = 20;
const LINE_BYTES: usize = PREFIX.len() + SHA_DIGITS + 1 + LENGTH_DIGITS + 1;

/// Why a file with a checksum cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckedError {
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The file exists but cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The end of the file is missing.
    #[error("{} is truncated: it has {found} bytes, not {expected}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Length when written, bytes.
        expected: u64,
        /// Actual length, bytes.
        found: u64,
    },
    /// The content of the file was changed.
    #[error("{} is damaged: its content does not match its checksum", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Writes a file with [`write_atomically`] for [`read_checked`], with a line of length and SHA-256 before `bytes`.
///
/// # Errors
/// [`CheckedError::Write`].
pub fn write_checked(path: &Path, bytes: &[u8]) -> Result<(), CheckedError> {
    let mut file = format!("{PREFIX}{} {:0LENGTH_DIGITS$}\n", sha256(bytes), bytes.len()).into_bytes();
    file.extend_from_slice(bytes);
    write_atomically(path, &file).map_err(|source| CheckedError::Write { path: path.to_owned(), source })
}

/// Reads a file of [`write_checked`]; `None` if it does not exist.
///
/// # Errors
/// [`CheckedError::Truncated`] or [`CheckedError::Damaged`] if the content differs from the bytes written, and
/// [`CheckedError::Read`].
pub fn read_checked(path: &Path) -> Result<Option<Vec<u8>>, CheckedError> {
    let read = |source| CheckedError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(read)?,
    };
    let mut line = Vec::with_capacity(LINE_BYTES);
    (&file).take(LINE_BYTES as u64).read_to_end(&mut line).map_err(read)?;
    let mut bytes = Vec::new();
    (&file).read_to_end(&mut bytes).map_err(read)?;

    let damaged = || CheckedError::Damaged { path: path.to_owned() };
    let truncated = |content: u64| CheckedError::Truncated {
        path: path.to_owned(),
        expected: (LINE_BYTES as u64).saturating_add(content),
        found: (line.len() + bytes.len()) as u64,
    };
    if line.len() < LINE_BYTES {
        return Err(truncated(0)); // the first line at least was written
    }
    let (expected_sha256, length) = parse(&line).ok_or_else(damaged)?;
    if (bytes.len() as u64) < length {
        return Err(truncated(length));
    }
    if bytes.len() as u64 != length || sha256(&bytes) != expected_sha256 {
        return Err(damaged());
    }
    Ok(Some(bytes))
}

/// Parses the checksum and the length of the content (bytes).
fn parse(line: &[u8]) -> Option<(&str, u64)> {
    let line = str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sha256, length) = line.strip_prefix(PREFIX)?.split_once(' ')?;
    Some((sha256, length.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    #[test]
    fn read_checked_returns_written_content_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(read_checked(&path).unwrap(), None);
        for content in [b"".as_slice(), b"x", b"second, longer\n"] {
            write_checked(&path, content).unwrap();
            assert_eq!(read_checked(&path).unwrap().as_deref(), Some(content));
            assert_eq!(fs::metadata(&path).unwrap().len(), (LINE_BYTES + content.len()) as u64);
        }
        assert!(matches!(read_checked(folder.path()), Err(CheckedError::Read { .. })));
        let error = write_checked(&folder.path().join("absent/state"), b"x").unwrap_err();
        assert!(error.to_string().contains("absent/state"), "{error}");
    }

    #[test]
    fn read_checked_detects_every_cut_and_bit_flip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write_checked(&path, b"the state of a run").unwrap();
        let good = fs::read(&path).unwrap();
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            match read_checked(&path) {
                Err(CheckedError::Truncated { expected, found, .. }) => {
                    assert_eq!(found, length as u64);
                    assert!(expected == good.len() as u64 || length < LINE_BYTES);
                }
                other => panic!("{length}: {other:?}"),
            }
        }
        for bit in 0..8 * good.len() {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            read_checked(&path).unwrap_err();
        }
        fs::write(&path, [good.as_slice(), b"more"].concat()).unwrap();
        let message = read_checked(&path).unwrap_err().to_string();
        assert!(message.contains("state is damaged"), "{message}");
    }

    proptest! {
        #[test]
        fn read_checked_rejects_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("state");
            for bytes in [bytes.clone(), [PREFIX.as_bytes(), &bytes].concat()] {
                fs::write(&path, bytes).unwrap();
                read_checked(&path).unwrap_err();
            }
        }
    }
}
