use std::path::Path;

use md_io::files::Written;
use serde::{Deserialize, Serialize};

use crate::{FRAMES_FILE, Results};

/// A file that a campaign wrote beside `results.json`: frames, a trajectory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Name in the output folder, with `/` between the folders.
    pub file: String,
    /// Length, bytes.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: String,
}

impl OutputFile {
    /// Returns what is wrong with the file in `folder`; `None` if it is as it was written.
    pub fn fault(&self, folder: &Path) -> Option<String> {
        Written::from(self.clone()).fault(folder)
    }
}

impl Results {
    /// Returns what is wrong with the file of visited frames in the output folder, as it was written with these results; `None` if
    /// nothing is, or if an older version wrote no checksum.
    pub fn fault_of_frames(&self, folder: &Path) -> Option<String> {
        let fault = self.files.iter().find(|file| file.file == FRAMES_FILE)?.fault(folder)?;
        Some(format!("{}: {fault}", folder.join(FRAMES_FILE).display()))
    }
}

impl From<Written> for OutputFile {
    fn from(Written { file, bytes, sha256 }: Written) -> Self {
        OutputFile { file, bytes, sha256 }
    }
}

impl From<OutputFile> for Written {
    fn from(OutputFile { file, bytes, sha256 }: OutputFile) -> Self {
        Written { file, bytes, sha256 }
    }
}
