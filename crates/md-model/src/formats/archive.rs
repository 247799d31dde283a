//! The zip archive of `torch.save`.

use std::io::{Cursor, Read};

use zip::{CompressionMethod, ZipArchive};

use super::torch::TorchError;
use crate::error::excerpt;

/// The zip file; entries are named relative to its single folder.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    prefix: String,
    /// Number of bytes that further entries may have: together no more than the file, unless they overlap.
    bytes_left: u64,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, TorchError> {
        // Every end is tried, each with all entries; the numbers of tensors may contain one by chance.
        let found = bytes.windows(END.len()).filter(|&window| window == END).count();
        if found > MOST_ENDS {
            return Err(TorchError::Ends { found });
        }
        let zip = ZipArchive::new(Cursor::new(bytes))?;
        let prefixes: Vec<&str> = zip.file_names().filter_map(|name| name.strip_suffix("data.pkl")).collect();
        let [prefix] = prefixes[..] else { return Err(TorchError::NoPickle { found: prefixes.len() }) };
        let prefix = prefix.to_owned();
        let mut archive = Archive { zip, prefix, bytes_left: bytes.len() as u64 };
        if archive.has("constants.pkl") {
            return Err(TorchError::Script);
        }
        // Files from before PyTorch 2.1 do not state it; in practice they are from little-endian machines.
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

    /// Reads the bytes of an entry.
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
        // The stated size of the stored entry may differ from that of its content.
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

/// Beginning of the end record of a zip file.
const END: &[u8] = b"PK\x05\x06";

/// Maximum number of end records in a file.
const MOST_ENDS: usize = 16;
