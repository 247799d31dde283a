//! The zip archive of a file of `torch.save`.

use std::io::{Cursor, Read};

use zip::{CompressionMethod, ZipArchive};

use super::torch::TorchError;
use crate::error::excerpt;

/// The zip file; entries are named relative to the one folder that it contains.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    prefix: String,
    /// Bytes that entries may still have: no more than the file, unless they overlap.
    bytes_left: u64,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, TorchError> {
        // Tried one after the other, each with all entries; in the numbers of tensors one may stand by chance.
        let found = bytes.windows(END.len()).filter(|&window| window == END).count();
        if found > MOST_ENDS {
            return Err(TorchError::Ends { found });
        }
        let zip = ZipArchive::new(Cursor::new(bytes))?;
        let prefixes: Vec<&str> = zip.file_names().filter_map(|name| name.strip_suffix("data.pkl")).collect();
        let [prefix] = prefixes[..] else { return Err(TorchError::NoPickle { found: prefixes.len() }) };
        let prefix = prefix.to_owned();
        let mut archive = Archive { zip, prefix, bytes_left: bytes.len() as u64 };
        // Files from before PyTorch 2.1 do not say; they come from little-endian machines in practice.
        if archive.has("byteorder") {
            let found = String::from_utf8_lossy(&archive.entry("byteorder")?).into_owned();
            if found != "little" {
                return Err(TorchError::ByteOrder { found: excerpt(&found) });
            }
        }
        Ok(archive)
    }

    fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(&format!("{}{name}", self.prefix)).is_some()
    }

    /// The bytes of an entry.
    pub(super) fn entry(&mut self, name: &str) -> Result<Vec<u8>, TorchError> {
        let entry = format!("{}{name}", self.prefix);
        let mut file = self.zip.by_name(&entry)?;
        if file.compression() != CompressionMethod::Stored || file.encrypted() {
            return Err(TorchError::Compressed { entry: excerpt(&entry) });
        }
        if file.size() > self.bytes_left {
            return Err(TorchError::Overlapping { entry: excerpt(&entry) });
        }
        let stated = file.size();
        let mut bytes = Vec::new();
        // What is stated for the stored entry and for its content may differ.
        match file.by_ref().take(stated + 1).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 != stated => Err(TorchError::Overlapping { entry: excerpt(&entry) }),
            Ok(_) => {
                self.bytes_left -= stated;
                Ok(bytes)
            }
            Err(source) => Err(TorchError::Entry { entry: excerpt(&entry), source }),
        }
    }
}

/// What the end of a zip file begins with.
const END: &[u8] = b"PK\x05\x06";

/// Most of them in a file.
const MOST_ENDS: usize = 16;
