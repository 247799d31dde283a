//! One file of a trajectory, written in complete frames.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::{Compression, TrajectoryError};
use crate::extxyz::{FrameToWrite, write_frame};
use crate::files::{Written, hash, hexadecimal};

/// Number of buffered bytes at which the frames of a system are written.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;
/// Number of buffered frames at which they are written at the latest.
pub(super) const BUFFER_FRAMES: usize = 100;

#[derive(Debug)]
pub(super) struct BufferedFile {
    path: PathBuf,
    compression: Compression,
    pub(super) buffer: Vec<u8>,
    frames: usize,
    /// Bytes on disk. Bytes after them are the remainder of a failed write or of an interrupted run.
    length: u64,
    /// Hash of these bytes.
    hasher: Sha256,
    synced: bool,
}

impl BufferedFile {
    pub(super) fn create(path: PathBuf, compression: Compression) -> Result<Self, TrajectoryError> {
        if let Err(source) = File::create(&path) {
            return Err(TrajectoryError::Io { path, source });
        }
        Ok(BufferedFile::new(path, compression, 0, Sha256::new()))
    }

    fn new(path: PathBuf, compression: Compression, length: u64, hasher: Sha256) -> Self {
        BufferedFile { path, compression, buffer: Vec::new(), frames: 0, length, hasher, synced: false }
    }

    /// Opens an existing file that begins with what was `written`; it is not changed yet.
    pub(super) fn reopen(
        path: PathBuf,
        compression: Compression,
        written: &Written,
    ) -> Result<Self, TrajectoryError> {
        let file = BufferedFile::new(path.clone(), compression, written.bytes, Sha256::new());
        file.open()?;
        let begin = File::open(&path).map_err(|source| file.io(source))?.take(written.bytes);
        let hasher = hash(begin).map_err(|source| file.io(source))?;
        if hexadecimal(hasher.clone()) != written.sha256 {
            return Err(TrajectoryError::Damaged { path });
        }
        Ok(BufferedFile::new(path, compression, written.bytes, hasher))
    }

    /// Truncates the file to its length.
    pub(super) fn cut(&self) -> Result<(), TrajectoryError> {
        self.open()?.set_len(self.length).map_err(|source| self.io(source))
    }

    pub(super) fn append(&mut self, frame: &FrameToWrite<'_>) -> Result<(), TrajectoryError> {
        write_frame(&mut self.buffer, frame)
            .map_err(|source| TrajectoryError::Frame { path: self.path.clone(), source })?;
        self.frames += 1;
        if self.buffer.len() >= BUFFER_BYTES || self.frames >= BUFFER_FRAMES { self.flush() } else { Ok(()) }
    }

    /// Writes the buffer. It holds complete frames, so the file does after each flush. If it fails, the frames stay in
    /// the buffer for the next flush.
    pub(super) fn flush(&mut self) -> Result<(), TrajectoryError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.synced = false;
        let compressed;
        let bytes = match self.compression {
            Compression::None => &self.buffer,
            Compression::Gzip => {
                compressed = gzip(&self.buffer).map_err(|source| self.io(source))?;
                &compressed
            }
        };
        let mut file = self.open()?;
        if let Err(source) = write_at(&mut file, self.length, bytes) {
            let _ = file.set_len(self.length); // otherwise the next flush does it
            return Err(self.io(source));
        }
        self.length += bytes.len() as u64;
        self.hasher.update(bytes);
        self.buffer.clear();
        self.frames = 0;
        Ok(())
    }

    /// Waits until everything written is on disk. Returns what the file holds.
    pub(super) fn sync(&mut self) -> Result<Written, TrajectoryError> {
        if !self.synced {
            self.open()?.sync_data().map_err(|source| self.io(source))?;
            self.synced = true;
        }
        let file = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Written { file, bytes: self.length, sha256: hexadecimal(self.hasher.clone()) })
    }

    /// Opens the file and checks its length.
    fn open(&self) -> Result<File, TrajectoryError> {
        let (path, expected) = (self.path.clone(), self.length);
        let file = match File::options().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(TrajectoryError::Missing { path, expected });
            }
            file => file.map_err(|source| self.io(source))?,
        };
        let found = file.metadata().map_err(|source| self.io(source))?.len();
        if found < expected {
            return Err(TrajectoryError::Shorter { path, expected, found });
        }
        Ok(file)
    }

    fn io(&self, source: io::Error) -> TrajectoryError {
        TrajectoryError::Io { path: self.path.clone(), source }
    }
}

impl Drop for BufferedFile {
    /// Writes the last frames of a run that ended with an error or a panic.
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!("{error}");
        }
    }
}

/// Writes `bytes` at `offset` and truncates the file after them.
fn write_at(file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.set_len(offset)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// Compresses bytes to a complete gzip member without name and time. Coordinates shrink to about half; a higher
/// compression level takes several times as long for a few percent.
fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
