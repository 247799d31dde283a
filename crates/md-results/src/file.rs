//! Reads and writes the files: a results file is checked before anything is made of it.

use std::path::{Path, PathBuf};

use md_io::files::{read_text, write_atomically};
use serde::Serialize;
use serde_json::Value;

use crate::{Results, SCHEMA_VERSION, digest, plain, sound};

/// Number of faults of a file that are named.
const NAMED: usize = 3;

/// Remark on a file without digests.
const NOT_VERIFIED: &str = "NOT VERIFIED: the file has no digests, as an older mdproof wrote it: whether it was damaged cannot be told";

/// Error of reading or writing a results file.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// An operation of the file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file does not follow this schema.
    #[error("{}: not a results file of schema {SCHEMA_VERSION}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Error with line and column.
        source: serde_json::Error,
    },
    /// The file has another schema version.
    #[error("{}: schema {found} (this program reads {SCHEMA_VERSION}): use the version of mdproof that wrote it", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Schema version of the file.
        found: u64,
    },
    /// The file was changed after it was written, or holds what no campaign writes.
    #[error("{}: damaged: {}: take the file from a copy, or measure again with mdproof validate", path.display(), listed(faults))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Each record that is not as it was written, and why.
        faults: Vec<String>,
    },
}

/// Joins the first faults of a list and the number of the others.
fn listed(faults: &[String]) -> String {
    let first = faults.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    match faults.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// What a file has that the records have not.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    results: &'a Results,
    digests: Value,
}

impl Results {
    /// Reads a results file.
    ///
    /// # Errors
    /// [`ResultsError`] names the file.
    pub fn read(path: &Path) -> Result<Self, ResultsError> {
        let text = read_text(path).map_err(|source| ResultsError::Io { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses the results in `text`; `path` is used in error messages. Records that do not match their digests, or that no
    /// campaign writes, are an error; a file without digests is remarked on ([`Results::remarks`]). Texts lose their
    /// control characters.
    ///
    /// # Errors
    /// [`ResultsError`] names the file.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ResultsError> {
        let json = |source| ResultsError::Json { path: path.to_owned(), source };
        let mut value: Value = serde_json::from_str(text).map_err(json)?;
        if let Some(found) = value.get("schema_version").and_then(Value::as_u64)
            && found != u64::from(SCHEMA_VERSION)
        {
            return Err(ResultsError::Schema { path: path.to_owned(), found });
        }
        let damaged = |faults| ResultsError::Damaged { path: path.to_owned(), faults };
        let changed = digest::faults(&value);
        let is_verified = changed.is_some();
        if let Some(faults) = changed.filter(|faults| !faults.is_empty()) {
            return Err(damaged(faults));
        }
        plain::clean(&mut value);
        let mut results: Results = serde_json::from_value(value).map_err(json)?;
        let faults = sound::faults(&results);
        if !faults.is_empty() {
            return Err(damaged(faults));
        }
        if !is_verified {
            results.remarks.push(NOT_VERIFIED.to_owned());
        }
        Ok(results)
    }

    /// Writes the file atomically, with a digest of every record.
    ///
    /// # Errors
    /// [`ResultsError`] names the file.
    pub fn write(&self, path: &Path) -> Result<(), ResultsError> {
        let json = |source| ResultsError::Json { path: path.to_owned(), source };
        let digests = digest::of(&serde_json::to_value(self).map_err(json)?);
        write_json(path, &Written { results: self, digests })
    }
}

/// Reads any JSON file that [`write_json`] wrote.
///
/// # Errors
/// [`ResultsError`] names the file.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ResultsError> {
    let text = read_text(path).map_err(|source| ResultsError::Io { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|source| ResultsError::Json { path: path.to_owned(), source })
}

/// Writes any part of the results (such as the array `speed`) as a JSON file atomically.
///
/// # Errors
/// [`ResultsError`] names the file.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ResultsError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|source| ResultsError::Json { path: path.to_owned(), source })?;
    text.push('\n');
    write_atomically(path, text.as_bytes())
        .map_err(|source| ResultsError::Io { path: path.to_owned(), source })
}
