//! Whole files: atomic writes and checksums. File system errors do not name the file; the caller does.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

mod checked;
mod written;

pub use checked::{CheckedError, read_checked, write_checked};
pub use written::Written;

/// Prefix of the files that an interrupted [`write_atomically`] leaves behind.
pub const UNFINISHED: &str = ".unfinished-";

/// Writes a file atomically: at every moment, also after a crash, `path` holds either its old content or all of
/// `bytes`. It writes and syncs a temporary file in the same folder and renames it over `path`.
///
/// # Errors
/// Errors of the file system. `path` is then unchanged, unless the final sync of the folder failed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // `create_new` instead of a private temporary file, so that the result has the permissions of any new file.
    let mut temporary = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .make_in(folder_of(path), |path| File::options().write(true).create_new(true).open(path))?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    sync_folder_of(path)
}

/// Ensures that a file or folder that was created or renamed exists after a power failure.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder_of(path))?.sync_all()?; // other systems cannot open folders
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Reads a regular file as text. Devices and pipes, which may have no end, are refused.
///
/// # Errors
/// Errors of the file system, and [`io::ErrorKind::InvalidData`] for text that is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no regular file"));
    }
    io::read_to_string(file)
}

/// Computes the SHA-256 of these bytes, as 64 lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(Sha256::new_with_prefix(bytes))
}

/// Computes the SHA-256 of a file's content, as 64 lower-case hexadecimal digits, in constant memory.
///
/// # Errors
/// Errors of the file system.
pub fn sha256_file(path: &Path) -> io::Result<String> {
    Ok(hexadecimal(hash(File::open(path)?)?))
}

/// Hashes what can be read.
pub(crate) fn hash(mut file: impl Read) -> io::Result<Sha256> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hasher.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hasher)
}

pub(crate) fn hexadecimal(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn sha256_matches_fips_180_4() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        // NIST, examples for SHA-256: the empty message, "abc", a million times "a".
        for (content, expected) in [
            (Vec::new(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"abc".to_vec(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (vec![b'a'; 1_000_000], "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ] {
            assert_eq!(sha256(&content), expected);
            fs::write(&path, content).unwrap();
            assert_eq!(sha256_file(&path).unwrap(), expected);
        }
    }

    #[cfg(unix)]
    #[test]
    fn read_text_refuses_what_has_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "text").unwrap();
        assert_eq!(read_text(&path).unwrap(), "text");
        for endless in [Path::new("/dev/zero"), folder.path()] {
            assert_eq!(read_text(endless).unwrap_err().to_string(), "this is no regular file");
        }
    }

    #[test]
    fn write_atomically_replaces_file_without_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        for content in ["a longer first version", "second"] {
            write_atomically(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn write_atomically_failure_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let occupied = folder.path().join("occupied");
        fs::create_dir(&occupied).unwrap();
        fs::write(occupied.join("inside"), "x").unwrap();
        write_atomically(&occupied, b"y").unwrap_err(); // a folder is there: the rename fails
        write_atomically(&folder.path().join("absent/file"), b"y").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(occupied.join("inside")).unwrap(), "x");
    }

    #[cfg(unix)]
    #[test]
    fn write_atomically_keeps_default_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write_atomically(&ours, b"x").unwrap();
        fs::write(&plain, b"x").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
