//! An append-only file of named records that survive a kill, a power cut, a full disk and damaged bytes.
//!
//! The file is a line with the version of the format, and then one frame for each record:
//!
//! | Bytes | What |
//! |---|---|
//! | 8 | marker |
//! | 4 | length of the name, bytes |
//! | 8 | length of the payload, bytes |
//! | 8 | seal: the beginning of the SHA-256 over the offset of the frame in the file and the lengths |
//! | 32 | SHA-256 over the offset, the lengths, the name and the payload |
//! | | the name, UTF-8 |
//! | | the payload |
//!
//! Numbers are little-endian. The seal tells a frame that was cut off from one whose lengths are damaged. The
//! offset is in both so that a payload that looks like a frame, as that of a journal within a journal, is
//! never taken for one. Another version of the format needs another marker.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::files::sync_folder_of;

#[cfg(test)]
mod tests;

const TITLE: &[u8] = b"mdproof journal ";
const HEADER: &[u8] = b"mdproof journal 1\n";
const MARKER: &[u8] = b"\x89mdrec1\n";
/// Marker, lengths and seal.
const SEALED_BYTES: usize = MARKER.len() + 4 + 8 + 8;
/// All that stands in front of a name.
const HEAD_BYTES: usize = SEALED_BYTES + 32;

/// Why a journal cannot be created, opened or appended to.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A new journal where there is a file.
    #[error("cannot create the journal {}: the file exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file that cannot be created, opened, read or repaired.
    #[error("cannot open the journal {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of another kind. It is left as it is.
    #[error("{} is no journal", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// A journal of another version of the format. It is left as it is.
    #[error("the journal {} has version {found} of the format (expected version 1)", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// A journal that another process, or this one, has open.
    #[error("the journal {} is in use: wait for the process that writes it, or end it", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Records that could not be appended. Those before them are kept.
    #[error("cannot append to the journal {}: {source}", path.display())]
    Append {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An open journal: the file, its path and its present length.
///
/// It holds a lock on the file as long as it lives, where the file system has locks, so that no two processes
/// write the same journal. Two journals cannot be open on one file in one process either.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    end: End<File>,
}

/// What [`Journal::open`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Payload of each whole record, by name. Of several records with one name it is the last whole one.
    pub records: BTreeMap<String, Vec<u8>>,
    /// What is not as it was written. It stays in the file.
    pub damaged: Vec<Damage>,
    /// How much was cut off at the end, bytes: an append that was interrupted. 0 after an orderly end.
    pub cut_bytes: u64,
}

/// A stretch of the file that is not as it was written: a record or several beside each other, or the first
/// line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins, bytes from the beginning of the file.
    pub offset: u64,
    /// How long it is, bytes.
    pub bytes: u64,
}

impl Journal {
    /// A new, empty journal.
    ///
    /// # Errors
    /// [`JournalError::Exists`] where there is a file, whatever it holds, and [`JournalError::Open`].
    pub fn create(path: &Path) -> Result<Journal, JournalError> {
        let open = |source| JournalError::Open { path: path.to_owned(), source };
        let mut file = match File::options().read(true).write(true).create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(JournalError::Exists { path: path.to_owned() });
            }
            file => file.map_err(open)?,
        };
        lock(&file, path)?;
        let written = file.write_and_sync(0, HEADER).and_then(|()| sync_folder_of(path));
        if let Err(error) = written {
            let _ = fs::remove_file(path); // what stays is opened as an interrupted creation
            return Err(open(error));
        }
        Ok(Journal { path: path.to_owned(), end: End::new(file, HEADER.len() as u64) })
    }

    /// Opens a journal and reads all records that are whole, also those behind damaged ones.
    ///
    /// What an interrupted append left at the end is cut off; nothing else is changed. A file that holds less
    /// than the first line, or nothing, is a creation that was interrupted. Memory is at most twice the size
    /// of the file.
    ///
    /// # Errors
    /// See [`JournalError`]. The file is then unchanged, unless it was the repair that failed.
    pub fn open(path: &Path) -> Result<(Journal, Recovered), JournalError> {
        let open = |source| JournalError::Open { path: path.to_owned(), source };
        let mut file = File::options().read(true).write(true).open(path).map_err(open)?;
        lock(&file, path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(open)?;

        if bytes.len() <= HEADER.len() && is_cut(&bytes, HEADER) {
            file.cut(0).and_then(|()| file.write_and_sync(0, HEADER)).map_err(open)?;
            let recovered = Recovered { cut_bytes: bytes.len() as u64, ..Recovered::default() };
            return Ok((
                Journal { path: path.to_owned(), end: End::new(file, HEADER.len() as u64) },
                recovered,
            ));
        }
        let (recovered, length) = recover(&bytes);
        if !bytes.starts_with(HEADER) && recovered.records.is_empty() {
            let path = path.to_owned();
            return Err(match version(&bytes) {
                Some(found) => JournalError::Version { path, found },
                None => JournalError::NotAJournal { path },
            });
        }
        if recovered.cut_bytes > 0 {
            file.cut(length).map_err(open)?;
        }
        Ok((Journal { path: path.to_owned(), end: End::new(file, length) }, recovered))
    }

    /// Appends these records, pairs of name and payload, in one write, and waits until they are on the disk.
    ///
    /// A kill amid it may leave the first of them without the others. After an error none of them counts: the
    /// file is cut back to its length before, at the latest by the next call. That works as soon as the disk
    /// does.
    ///
    /// # Errors
    /// [`JournalError::Append`].
    pub fn append(&mut self, records: &[(&str, &[u8])]) -> Result<(), JournalError> {
        self.end.append(records).map_err(|source| JournalError::Append { path: self.path.clone(), source })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Present length of the file, bytes.
    pub fn length(&self) -> u64 {
        self.end.length
    }
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: path.to_owned() }),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()), // not all file systems have locks
    }
}

/// What a journal needs of its file.
trait Disk {
    /// Writes these bytes from this offset on, and waits until they are on the disk.
    fn write_and_sync(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file off behind so many bytes.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Disk for File {
    fn write_and_sync(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(offset))?;
        self.write_all(bytes)?;
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// The end of the file, where it grows.
#[derive(Debug)]
struct End<D> {
    disk: D,
    length: u64,
    /// Something may be behind `length`: a write failed, and so did the cut after it.
    ragged: bool,
}

impl<D: Disk> End<D> {
    fn new(disk: D, length: u64) -> Self {
        End { disk, length, ragged: false }
    }

    fn append(&mut self, records: &[(&str, &[u8])]) -> io::Result<()> {
        let bytes = frames(self.length, records)?;
        if self.ragged {
            self.disk.cut(self.length)?;
            self.ragged = false;
        }
        if let Err(error) = self.disk.write_and_sync(self.length, &bytes) {
            self.ragged = self.disk.cut(self.length).is_err();
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// The frames of these records, the first of which begins at `offset` in the file.
fn frames(offset: u64, records: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let size = records.iter().map(|(name, payload)| HEAD_BYTES + name.len() + payload.len()).sum();
    let mut bytes = Vec::with_capacity(size);
    for (name, payload) in records {
        let name_bytes = u32::try_from(name.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the name of a record is too long"))?;
        let head =
            Head { offset: offset + bytes.len() as u64, name_bytes, payload_bytes: payload.len() as u64 };
        bytes.extend_from_slice(MARKER);
        bytes.extend_from_slice(&name_bytes.to_le_bytes());
        bytes.extend_from_slice(&head.payload_bytes.to_le_bytes());
        bytes.extend_from_slice(&head.seal());
        bytes.extend_from_slice(&head.checksum(name.as_bytes(), payload));
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(payload);
    }
    Ok(bytes)
}

/// Where a frame is and how long its parts are.
#[derive(Debug, Clone, Copy)]
struct Head {
    offset: u64,
    name_bytes: u32,
    payload_bytes: u64,
}

impl Head {
    /// The head at `offset`, if one is there and its seal is right. The frame may continue beyond the end of the
    /// file.
    fn read(file: &[u8], offset: usize) -> Option<Head> {
        let rest = file.get(offset..)?.strip_prefix(MARKER)?;
        let (name_bytes, rest) = rest.split_first_chunk()?;
        let (payload_bytes, rest) = rest.split_first_chunk()?;
        let head = Head {
            offset: offset as u64,
            name_bytes: u32::from_le_bytes(*name_bytes),
            payload_bytes: u64::from_le_bytes(*payload_bytes),
        };
        rest.starts_with(&head.seal()).then_some(head)
    }

    /// The whole frame within a file of this length; `None` if it continues beyond it.
    fn range(&self, file_bytes: usize) -> Option<Range<usize>> {
        let length = (HEAD_BYTES as u64 + u64::from(self.name_bytes)).checked_add(self.payload_bytes)?;
        let end = usize::try_from(self.offset.checked_add(length)?).ok()?;
        (end <= file_bytes).then_some(self.offset as usize..end)
    }

    fn hasher(&self) -> Sha256 {
        Sha256::new()
            .chain_update(self.offset.to_le_bytes())
            .chain_update(self.name_bytes.to_le_bytes())
            .chain_update(self.payload_bytes.to_le_bytes())
    }

    fn seal(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = self.hasher().finalize().into();
        [a, b, c, d, e, f, g, h]
    }

    fn checksum(&self, name: &[u8], payload: &[u8]) -> [u8; 32] {
        self.hasher().chain_update(name).chain_update(payload).finalize().into()
    }
}

/// A record as it stands in the file.
struct Record<'a> {
    name: &'a str,
    payload: &'a [u8],
    end: usize,
}

impl<'a> Record<'a> {
    /// The record at `offset`, if it is whole.
    fn read(file: &'a [u8], offset: usize) -> Option<Self> {
        let head = Head::read(file, offset)?;
        let frame = head.range(file.len())?;
        let (checksum, content) = file[frame.clone()][SEALED_BYTES..].split_first_chunk::<32>()?;
        let (name, payload) = content.split_at_checked(head.name_bytes as usize)?;
        if head.checksum(name, payload) != *checksum {
            return None;
        }
        Some(Record { name: str::from_utf8(name).ok()?, payload, end: frame.end })
    }
}

/// What is in a file, and how long it is without what an interrupted append left.
fn recover(file: &[u8]) -> (Recovered, u64) {
    let mut recovered = Recovered::default();
    let mut note = |damaged: Range<usize>| {
        if !damaged.is_empty() {
            let damage = Damage { offset: damaged.start as u64, bytes: damaged.len() as u64 };
            recovered.damaged.push(damage);
        }
    };
    if !file.starts_with(HEADER) {
        note(0..HEADER.len().min(file.len()));
    }
    let mut end = HEADER.len(); // of the last whole record
    let mut searched = end;
    while let Some(offset) = next_marker(file, searched) {
        if let Some(record) = Record::read(file, offset) {
            note(end..offset);
            recovered.records.insert(record.name.to_owned(), record.payload.to_vec());
            end = record.end;
            searched = end;
        } else {
            searched = offset + 1; // within the damaged record, too: it may be its length that is wrong
        }
    }
    let cut = cut_from(file, end);
    note(end..cut);
    recovered.cut_bytes = file.len().saturating_sub(cut) as u64;
    (recovered, cut as u64)
}

fn next_marker(file: &[u8], from: usize) -> Option<usize> {
    file.get(from..)?
        .windows(MARKER.len())
        .position(|window| window == MARKER)
        .map(|distance| from + distance)
}

/// Where the half record begins that an interrupted append left, at or behind `offset`, from where on nothing
/// is whole; the end of the file if there is none.
fn cut_from(file: &[u8], mut offset: usize) -> usize {
    while let Some(rest) = file.get(offset..).filter(|rest| !rest.is_empty()) {
        match Head::read(file, offset) {
            Some(head) => match head.range(file.len()) {
                Some(damaged) => offset = damaged.end,
                None => return offset,
            },
            None if is_cut(rest, MARKER) || is_cut_head(rest) => return offset,
            None => {
                let next = (offset + 1..file.len()).find(|&next| Head::read(file, next).is_some());
                offset = next.unwrap_or(file.len());
            }
        }
    }
    offset
}

/// Whether `bytes` are the beginning of `whole` and no more. File systems may make a file longer before they
/// write to it: zeros at the end, after a power cut, are not written.
fn is_cut(bytes: &[u8], whole: &[u8]) -> bool {
    let written = without_zeros(bytes);
    written.len() < whole.len() && whole.starts_with(written)
}

/// Whether `bytes` are a marker and too little of what follows it to see whether it is right.
fn is_cut_head(bytes: &[u8]) -> bool {
    let written = without_zeros(bytes);
    written.len() < SEALED_BYTES && written.starts_with(MARKER)
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &bytes[..length]
}

/// The version that a first line names.
fn version(file: &[u8]) -> Option<u32> {
    let line = file.strip_prefix(TITLE)?.split(|&byte| byte == b'\n').next()?;
    str::from_utf8(line).ok()?.parse().ok()
}
