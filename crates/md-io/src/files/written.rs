use std::fs;
use std::io;
use std::path::Path;

use super::sha256_file;

/// What was written to a file, to tell later whether it is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Name of the file, in the folder that it belongs to.
    pub file: String,
    /// Length, bytes.
    pub bytes: u64,
    /// SHA-256 of these bytes.
    pub sha256: String,
}

impl Written {
    /// Describes the file `file` of `folder` as it is.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn of(folder: &Path, file: &str) -> io::Result<Self> {
        let path = folder.join(file);
        let bytes = fs::metadata(&path)?.len();
        Ok(Written { file: file.to_owned(), bytes, sha256: sha256_file(&path)? })
    }

    /// Returns what is wrong with the file in `folder`; `None` if it is as it was written.
    pub fn fault(&self, folder: &Path) -> Option<String> {
        match Written::of(folder, &self.file) {
            Ok(found) if found.bytes != self.bytes => {
                Some(format!("it has {} bytes, {} were written", found.bytes, self.bytes))
            }
            Ok(found) if found.sha256 != self.sha256 => {
                Some("its content does not match its checksum".to_owned())
            }
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some("it is missing".to_owned()),
            Err(error) => Some(format!("it cannot be read: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_tells_what_is_wrong_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.extxyz");
        fs::write(&path, "abc").unwrap();
        let written = Written::of(folder.path(), "a.extxyz").unwrap();
        // FIPS 180-4, "abc".
        assert_eq!((written.bytes, &written.sha256[..8]), (3, "ba7816bf"));
        let fault = || written.fault(folder.path()).unwrap_or_default();
        assert_eq!(fault(), "");
        fs::write(&path, "abd").unwrap();
        assert_eq!(fault(), "its content does not match its checksum");
        fs::write(&path, "ab").unwrap();
        assert_eq!(fault(), "it has 2 bytes, 3 were written");
        fs::remove_file(&path).unwrap();
        assert_eq!(fault(), "it is missing");
    }
}
