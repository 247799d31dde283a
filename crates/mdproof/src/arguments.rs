//! Parsers of arguments that several commands share.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use md_driver::config::{Device, Implementation, ModelArgument};
use md_model::Precision;
use md_results::{Results, ResultsError};

/// Folder of all output folders without a name given by the user.
pub const OUTPUT: &str = "mdproof-out";

/// Parses `f32` or `f64`.
pub fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "f32" => Ok(Precision::F32),
        "f64" => Ok(Precision::F64),
        _ => Err("expected f32 or f64".to_owned()),
    }
}

/// Parses an integer of at least 1.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "expected a number of at least 1".to_owned())
}

/// Parses a time in seconds.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "expected a number of seconds, such as 30 or 0.5".to_owned())
}

/// Returns a parser for the name of a device.
pub fn device() -> impl TypedValueParser<Value = Device> {
    one_of(&Device::ALL, Device::name, Device::meaning)
}

/// Returns a parser for the name of an implementation.
pub fn implementation() -> impl TypedValueParser<Value = Implementation> {
    one_of(&Implementation::ALL, Implementation::name, Implementation::meaning)
}

fn one_of<T: Copy + Send + Sync>(
    all: &'static [T],
    name: fn(T) -> &'static str,
    meaning: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let values = all.iter().map(|&one| PossibleValue::new(name(one)).help(meaning(one)));
    PossibleValuesParser::new(values)
        .try_map(move |text| all.iter().copied().find(|&one| name(one) == text).ok_or("no such value"))
}

/// Returns the name of a file or folder without its extension.
pub fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| path.display().to_string(), |s| s.to_string_lossy().into_owned())
}

/// Checks that every model has a name of its own.
///
/// # Errors
/// Two have the same name.
pub fn check_names(models: &[ModelArgument]) -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    for model in models {
        if !names.insert(&model.name) {
            bail!("two --model are named '{}': give each a name of its own", model.name);
        }
    }
    Ok(())
}

/// Reads the `results.json` of a folder, or the file itself, and judges it again, so that every command shows the verdict
/// that follows from the records. A file that claims another is remarked on.
pub fn read_results(path: &Path) -> Result<Results, ResultsError> {
    let stored = read_stored(path)?;
    let mut judged = stored.clone();
    md_criteria::judge(&mut judged);
    judged.remarks.extend(md_report::contradictions("JUDGED AGAIN", &stored, &judged));
    Ok(judged)
}

/// Reads the `results.json` of a folder, or the file itself, with the verdicts that it claims.
pub fn read_stored(path: &Path) -> Result<Results, ResultsError> {
    let file = if path.is_dir() { path.join(md_results::FILE) } else { path.to_owned() };
    Results::read(&file)
}

/// Returns a path for a terminal, without control characters.
pub fn shown(path: &Path) -> String {
    md_results::plain(&path.display().to_string())
}
