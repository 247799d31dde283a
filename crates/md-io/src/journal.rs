//! An append-only file of named records that survives kills, power failures, full disks and damaged bytes.
//!
//! The file is a line with the format version, followed by one frame for each record:
//!
//! | Bytes | Content |
//! |---|---|
//! | 8 | marker |
//! | 4 | length of the name, bytes |
//! | 8 | length of the payload, bytes |
//! | 8 | seal: first bytes of the SHA-256 over the offset of the frame in the file and the lengths |
//! | 32 | SHA-256 over the offset, the lengths, the name and the payload |
//! | | the name, UTF-8 |
//! | | the payload |
//!
//! Numbers are little-endian. The seal distinguishes a truncated frame from one with damaged lengths. Both hashes
//! include the offset, so that a payload that looks like a frame, such as that of a journal within a journal, is never
//! taken for one. Another version of the format needs another marker.

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
/// Everything before the name.
const HEAD_BYTES: usize = SEALED_BYTES + 32;

/// Why a journal cannot be created, opened or appended to.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file of a new journal exists already.
    #[error("cannot create the journal {}: the file exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be created, opened, read or repaired.
    #[error("cannot open the journal {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The file is of another kind. It is not changed.
    #[error("{} is no journal", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// The journal has another version of the format. It is not changed.
    #[error("the journal {} has version {found} of the format (expected version 1)", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Version of the file.
        found: u32,
    },
    /// The journal is open in another process or in this one.
    #[error("the journal {} is in use: wait for the process that writes it, or end it", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The records could not be appended. Earlier records are kept.
    #[error("cannot append to the journal {}: {source}", path.display())]
    Append {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

/// An open journal: the file, its path and its current length.
///
/// It holds a lock on the file, if the file system supports locks, so that no two processes write the same journal. Two
/// journals cannot be open on one file in one process either.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    end: End<File>,
}

/// The result of [`Journal::open`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Payload of each complete record, by name. The last complete one of several records with the same name.
    pub records: BTreeMap<String, Vec<u8>>,
    /// Damaged parts of the file. They are not changed.
    pub damaged: Vec<Damage>,
    /// Number of bytes removed from the end: an interrupted append. 0 if there was none.
    pub cut_bytes: u64,
}

/// A contiguous damaged part of the file: one or several records, or the first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Offset in the file, bytes.
    pub offset: u64,
    /// Length, bytes.
    pub bytes: u64,
}

impl Journal {
    /// Creates an empty journal.
    ///
    /// # Errors
    /// [`JournalError::Exists`] if a file exists, whatever its content, and [`JournalError::Open`].
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
            let _ = fs::remove_file(path); // a remaining file is opened as an interrupted creation
            return Err(open(error));
        }
        Ok(Journal { path: path.to_owned(), end: End::new(file, HEADER.len() as u64) })
    }

    /// Opens a journal and reads all complete records, also those after damaged ones.
    ///
    /// The remainder of an interrupted append is removed from the end; nothing else is changed. An empty file, or one
    /// shorter than the first line, is an interrupted creation. Memory is at most twice the size of the file.
    ///
    /// # Errors
    /// See [`JournalError`]. The file is then unchanged, unless the repair failed.
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
        check_header(&bytes, &recovered, path)?;
        if recovered.cut_bytes > 0 {
            file.cut(length).map_err(open)?;
        }
        Ok((Journal { path: path.to_owned(), end: End::new(file, length) }, recovered))
    }

    /// Reads all complete records of a journal, which may be open elsewhere. Nothing is changed.
    ///
    /// # Errors
    /// [`JournalError::Open`], [`JournalError::NotAJournal`] and [`JournalError::Version`].
    pub fn read(path: &Path) -> Result<Recovered, JournalError> {
        let bytes = fs::read(path).map_err(|source| JournalError::Open { path: path.to_owned(), source })?;
        if bytes.len() <= HEADER.len() && is_cut(&bytes, HEADER) {
            return Ok(Recovered::default());
        }
        let (recovered, _) = recover(&bytes);
        check_header(&bytes, &recovered, path)?;
        Ok(recovered)
    }

    /// Appends records, pairs of name and payload, in one write, and waits until they are on disk.
    ///
    /// If the process is killed during the write, the first records may exist without the others. After an error none
    /// of them exists: the file is truncated to its previous length, at the latest by the next call, as soon as the
    /// disk permits.
    ///
    /// # Errors
    /// [`JournalError::Append`].
    pub fn append(&mut self, records: &[(&str, &[u8])]) -> Result<(), JournalError> {
        self.end.append(records).map_err(|source| JournalError::Append { path: self.path.clone(), source })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Current length of the file, bytes.
    pub fn length(&self) -> u64 {
        self.end.length
    }
}

/// A file without the first line of a journal and without a record is of another kind.
fn check_header(bytes: &[u8], recovered: &Recovered, path: &Path) -> Result<(), JournalError> {
    if bytes.starts_with(HEADER) || !recovered.records.is_empty() {
        return Ok(());
    }
    let path = path.to_owned();
    Err(match version(bytes) {
        Some(found) => JournalError::Version { path, found },
        None => JournalError::NotAJournal { path },
    })
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: path.to_owned() }),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()), // not all file systems have locks
    }
}

/// The file operations of a journal.
trait Disk {
    /// Writes these bytes at this offset and waits until they are on disk.
    fn write_and_sync(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Truncates the file to this length.
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

/// The growing end of the file.
#[derive(Debug)]
struct End<D> {
    disk: D,
    length: u64,
    /// There may be bytes after `length`: a write failed, and so did the truncation after it.
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

/// Encodes records as frames, the first of which begins at `offset` in the file.
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

/// Position of a frame and the lengths of its parts.
#[derive(Debug, Clone, Copy)]
struct Head {
    offset: u64,
    name_bytes: u32,
    payload_bytes: u64,
}

impl Head {
    /// Reads the head at `offset` if there is one with a valid seal. The frame may extend beyond the end of the file.
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

    /// Returns the range of the frame in a file of this length; `None` if it extends beyond it.
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

/// A record in the file.
struct Record<'a> {
    name: &'a str,
    payload: &'a [u8],
    end: usize,
}

impl<'a> Record<'a> {
    /// Reads the record at `offset` if it is complete.
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

/// Returns the contents of a file, and its length without the remainder of an interrupted append.
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
    let mut end = HEADER.len(); // end of the last complete record
    let mut searched = end;
    while let Some(offset) = next_marker(file, searched) {
        if let Some(record) = Record::read(file, offset) {
            note(end..offset);
            recovered.records.insert(record.name.to_owned(), record.payload.to_vec());
            end = record.end;
            searched = end;
        } else {
            searched = offset + 1; // also within the damaged record, since its length may be wrong
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

/// Finds the start of the incomplete record of an interrupted append, at or after `offset`, after which there is no
/// complete record; the end of the file if there is none.
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

/// Returns whether `bytes` are a truncated beginning of `whole`. File systems may extend a file before they write to
/// it, so zeros at the end count as not written after a power failure.
fn is_cut(bytes: &[u8], whole: &[u8]) -> bool {
    let written = without_zeros(bytes);
    written.len() < whole.len() && whole.starts_with(written)
}

/// Returns whether `bytes` are a marker with too few bytes after it to check the seal.
fn is_cut_head(bytes: &[u8]) -> bool {
    let written = without_zeros(bytes);
    written.len() < SEALED_BYTES && written.starts_with(MARKER)
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &bytes[..length]
}

/// Returns the version in a first line.
fn version(file: &[u8]) -> Option<u32> {
    let line = file.strip_prefix(TITLE)?.split(|&byte| byte == b'\n').next()?;
    str::from_utf8(line).ok()?.parse().ok()
}
