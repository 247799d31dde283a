//! Values checked while they are read, so that the parser can name their line.

use std::fmt::Display;
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, Error};

fn checked<'de, D: Deserializer<'de>, T: Deserialize<'de> + Display>(
    deserializer: D,
    expected: &str,
    good: impl FnOnce(&T) -> bool,
) -> Result<T, D::Error> {
    let value = T::deserialize(deserializer)?;
    if good(&value) { Ok(value) } else { Err(Error::custom(format!("found {value}, expected {expected}"))) }
}

pub(super) fn positive<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    checked(d, "a positive number", |x: &f64| x.is_finite() && *x > 0.0)
}

pub(super) fn not_negative<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    checked(d, "zero or a positive number", |x: &f64| x.is_finite() && *x >= 0.0)
}

/// From 0 up to but not including 1: a decay.
pub(super) fn decay<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    checked(d, "a number from 0 to below 1", |x: &f64| (0.0..1.0).contains(x))
}

/// Between 0 and 1, both excluded.
pub(super) fn share<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    checked(d, "a number between 0 and 1", |x: &f64| *x > 0.0 && *x < 1.0)
}

pub(super) fn at_least_one<'de, D, T>(d: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Display + Default + PartialEq,
{
    checked(d, "at least 1", |x: &T| *x != T::default())
}

pub(super) fn optional_positive<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    positive(d).map(Some)
}

pub(super) fn optional_at_least_one<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    at_least_one(d).map(Some)
}

pub(super) fn name<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    checked(d, "a name", |name: &String| !name.trim().is_empty())
}

pub(super) fn files<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<PathBuf>, D::Error> {
    let files = Vec::deserialize(d)?;
    if files.is_empty() { Err(Error::custom("found no file, expected at least one")) } else { Ok(files) }
}
