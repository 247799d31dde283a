//! Stores the state of a campaign on disk: stage results, the runs in progress, and the identity of the campaign.
//!
//! A stage result depends only on the inputs of the campaign (apart from measured times). Each is stored as soon as it
//! is complete. A resumed campaign reads the stored results and measures the others with the same code, and so does a
//! campaign joined from shards.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use md_io::files;
use md_io::journal::{Journal, JournalError, Recovered};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::identity::{self, Identity};
use super::options::Session;
use crate::error::Halt;
use crate::provenance;

/// Name of the folder of the state in the output folder.
pub const FOLDER: &str = "resume";
const PARTS: &str = "parts.journal";
const RUNS: &str = "runs.state";
const LOCK: &str = "lock";

/// State of a campaign, either in its output folder, which is locked by this process, or in memory. In memory nothing
/// is stored, since no result is requested twice.
pub struct Store {
    session: Session,
    folder: Option<Locked>,
    parts: RefCell<Parts>,
}

/// A folder locked by this process.
struct Locked {
    path: PathBuf,
    lock: File,
}

#[derive(Default)]
struct Parts {
    /// Journal of the stage results, if they are stored.
    journal: Option<Journal>,
    /// Results that were read and not requested yet; each is requested once.
    known: BTreeMap<String, Vec<u8>>,
}

impl Store {
    /// Creates the state of a new campaign in the output folder `out`.
    ///
    /// # Errors
    /// Another process works in the folder, or it cannot be written.
    pub fn create(out: &Path, identity: &Identity, session: &Session) -> Result<Self> {
        let (folder, lock) = lock(out)?;
        identity.write(&folder)?;
        let path = folder.join(PARTS);
        // Remains of a campaign that was stopped before its identity was written and cannot be resumed.
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        let mut journal = Journal::create(&path)?;
        journal.append(&[(identity::COPY, &identity.bytes()?)])?;
        let parts = RefCell::new(Parts { journal: Some(journal), known: BTreeMap::new() });
        Ok(Store { session: session.clone(), folder: Some(Locked { path: folder, lock }), parts })
    }

    /// Creates the state of a campaign in memory.
    pub fn in_memory(session: &Session) -> Self {
        Store { session: session.clone(), folder: None, parts: RefCell::default() }
    }

    /// Opens the state of a campaign in the output folder `out` to resume it.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub fn resume(out: &Path, identity: &Identity, session: &Session) -> Result<Self> {
        let (folder, lock) = lock(out)?;
        remove_unfinished(out);
        remove_unfinished(&folder);
        let path = folder.join(PARTS);
        set_aside_what_is_no_journal(&path)?;
        let (mut journal, mut known) = if path.exists() {
            let (journal, Recovered { records, damaged, .. }) = Journal::open(&path)?;
            for damage in &damaged {
                tracing::warn!(
                    "{}: {} bytes from byte {} on are damaged (their checksum is wrong): what they held is measured again",
                    path.display(),
                    damage.bytes,
                    damage.offset
                );
            }
            (journal, records)
        } else {
            (Journal::create(&path)?, BTreeMap::new()) // stopped before the first part
        };
        // Each of the two may have been lost.
        identity.write(&folder)?;
        if known.remove(identity::COPY).is_none() {
            journal.append(&[(identity::COPY, &identity.bytes()?)])?;
        }
        let parts = RefCell::new(Parts { journal: Some(journal), known });
        Ok(Store { session: session.clone(), folder: Some(Locked { path: folder, lock }), parts })
    }

    /// Returns the number of stage results that were read.
    pub fn n_results(&self) -> usize {
        self.parts.borrow().known.len()
    }

    /// Returns the stage result stored under `name`, or computes it with `measure` and stores it. A panic in `measure`
    /// is returned as an error. Failures are not stored: a resumed campaign tries again.
    ///
    /// # Errors
    /// [`Halt`], also if the campaign was asked to stop meanwhile; the inner error is that of `measure`.
    pub fn get_or_compute<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        measure: impl FnOnce() -> Result<T>,
    ) -> Result<Result<T>, Halt> {
        if let Some(known) = self.get(name) {
            return Ok(Ok(known));
        }
        self.keep_going()?;
        let measured = isolated(measure);
        self.keep_going()?;
        if let Ok(value) = &measured {
            self.put(&[(name, value)])?;
        }
        Ok(measured)
    }

    /// Whether a stage result called `name` was read.
    pub fn has(&self, name: &str) -> bool {
        self.parts.borrow().known.contains_key(name)
    }

    /// Returns the stage result called `name`, if it was read.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let bytes = self.parts.borrow_mut().known.remove(name)?;
        match rmp_serde::from_slice(&bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::warn!("the stage result '{name}' cannot be read and is measured again: {error}");
                None
            }
        }
    }

    /// Stores stage results in one operation.
    ///
    /// # Errors
    /// [`Halt::Storage`].
    pub fn put<T: Serialize>(&self, parts: &[(&str, &T)]) -> Result<(), Halt> {
        if self.folder.is_none() {
            return Ok(());
        }
        let bytes: Vec<Vec<u8>> = parts.iter().map(|(_, value)| encode(value)).collect::<Result<_, _>>()?;
        let records: Vec<(&str, &[u8])> =
            parts.iter().zip(&bytes).map(|((name, _), bytes)| (*name, bytes.as_slice())).collect();
        self.append(&records)
    }

    /// Imports the stage results of another store.
    ///
    /// # Errors
    /// [`Halt::Storage`].
    pub fn import(&self, parts: BTreeMap<String, Vec<u8>>) -> Result<(), Halt> {
        let records: Vec<(&str, &[u8])> =
            parts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        self.append(&records)?;
        self.parts.borrow_mut().known.extend(parts);
        Ok(())
    }

    fn append(&self, records: &[(&str, &[u8])]) -> Result<(), Halt> {
        match &mut self.parts.borrow_mut().journal {
            Some(journal) => journal.append(records).map_err(|error| Halt::Storage(error.into())),
            None => Ok(()),
        }
    }

    /// Returns the runs in progress if they are those called `name`.
    pub fn runs<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.folder.as_ref()?.path.join(RUNS);
        let bytes = match files::read_checked(&path) {
            Ok(bytes) => bytes?,
            Err(error) => {
                tracing::warn!("{error}: the runs in progress start over");
                return None;
            }
        };
        // The name comes first, so that other runs, which are finished or were divided since, need not be read.
        let mut rest = bytes.as_slice();
        let of = String::deserialize(&mut rmp_serde::Deserializer::new(&mut rest));
        if of.is_ok_and(|of| of != name) {
            return None;
        }
        rmp_serde::from_slice(rest)
            .map_err(|error| tracing::warn!("{}: {error}: the runs in progress start over", path.display()))
            .ok()
    }

    /// Replaces the checkpoint of the runs in progress.
    ///
    /// # Errors
    /// [`Halt::Storage`].
    pub fn put_runs<T: Serialize>(&self, name: &str, runs: &T) -> Result<(), Halt> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.path.join(RUNS);
        let bytes = [encode(&name)?, encode(runs)?].concat();
        files::write_checked(&path, &bytes)
            .with_context(|| format!("cannot write {}", path.display()))
            .map_err(Halt::Storage)
    }

    /// Whether the next checkpoint is due, `last` being the time of the last checkpoint or the start.
    pub fn is_due(&self, last: Instant) -> bool {
        self.folder.is_some() && last.elapsed() >= self.session.save_every
    }

    /// # Errors
    /// [`Halt::Interrupted`] when the campaign was asked to stop.
    pub fn keep_going(&self) -> Result<(), Halt> {
        if self.session.is_asked_to_stop() { Err(Halt::Interrupted) } else { Ok(()) }
    }

    /// Returns the flag that stops the campaign.
    pub fn stop(&self) -> &Arc<AtomicBool> {
        &self.session.stop
    }

    /// Ends the campaign and releases its folder.
    pub fn finish(self) {
        let Some(Locked { path, lock }) = self.folder else { return };
        // Otherwise the next process would report the id of a process that no longer exists.
        let _ = lock.set_len(0);
        let _ = std::fs::remove_file(path.join(RUNS));
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, Halt> {
    rmp_serde::to_vec_named(value).map_err(|error| Halt::Storage(error.into()))
}

/// Reads the stage results in the store of the output folder `out`.
///
/// # Errors
/// The store cannot be read.
pub fn results_of(out: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let path = out.join(FOLDER).join(PARTS);
    let (_, recovered) = Journal::open(&path)?;
    if let Some(damage) = recovered.damaged.first() {
        bail!(
            "{}: {} bytes from byte {} on are damaged (their checksum is wrong): resume there with --resume, which measures \
             them again",
            path.display(),
            damage.bytes,
            damage.offset
        );
    }
    let mut records = recovered.records;
    records.remove(identity::COPY);
    Ok(records)
}

/// Returns the copy of the identity beside the stage results in the state `folder`, if it is sound.
pub fn copy_of_identity(folder: &Path) -> Option<Vec<u8>> {
    Journal::read(&folder.join(PARTS)).ok()?.records.remove(identity::COPY)
}

/// Renames a file of which not even the first line is that of a journal: all that it held is measured again.
fn set_aside_what_is_no_journal(path: &Path) -> Result<()> {
    if let Err(error @ JournalError::NotAJournal { .. }) = Journal::read(path) {
        let aside = path.with_extension("damaged");
        std::fs::rename(path, &aside).with_context(|| format!("cannot rename {}", path.display()))?;
        tracing::warn!("{error}: it is now {}, and what it held is measured again", aside.display());
    }
    Ok(())
}

/// A caught panic.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panicked(String);

/// Runs `work` and converts a panic in it to an error.
pub fn isolated<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Err(Panicked(message.unwrap_or_else(|| "it says no more".to_owned())).into())
    })
}

/// Locks the output folder for this process.
fn lock(out: &Path) -> Result<(PathBuf, File)> {
    let folder = out.join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join(LOCK);
    let cannot = || format!("cannot write {}", path.display());
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .with_context(cannot)?;
    let mut holder = String::new();
    match lock_soon(&file) {
        Ok(()) => {
            // The operating system releases the lock of a process that ended.
            if file.read_to_string(&mut holder).is_ok_and(|n| n > 0) {
                tracing::info!("{holder} was stopped before the end of its campaign");
            }
        }
        Err(TryLockError::WouldBlock) => {
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.is_empty() { "another process" } else { &holder };
            bail!(
                "{holder} is at work in {}: wait for it, or choose another --out (mdproof status {} shows how far it is)",
                out.display(),
                out.display()
            );
        }
        Err(TryLockError::Error(error)) => {
            tracing::warn!(
                "{}: this file system has no locks ({error}): see to it that no other process works there",
                out.display()
            );
        }
    }
    let host = sysinfo::System::host_name().unwrap_or_else(|_| "an unnamed host".to_owned());
    let holder = format!("process {} on {host}, since {}", std::process::id(), provenance::now());
    file.set_len(0).with_context(cannot)?;
    std::io::Seek::rewind(&mut file).with_context(cannot)?;
    file.write_all(holder.as_bytes()).with_context(cannot)?;
    Ok((folder, file))
}

/// Locks a file; retries while other processes only test the lock ([`is_locked`]), which takes a moment.
fn lock_soon(file: &File) -> Result<(), TryLockError> {
    const TRIES: usize = 5;
    for _ in 0..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            done => return done,
        }
    }
    file.try_lock()
}

/// Whether a process works in the output folder `out` and holds its lock. On a file system without locks the answer is
/// no.
pub fn is_locked(out: &Path) -> bool {
    let Ok(file) = File::open(out.join(FOLDER).join(LOCK)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Removes the temporary files of interrupted atomic writes.
fn remove_unfinished(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(files::UNFINISHED) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
