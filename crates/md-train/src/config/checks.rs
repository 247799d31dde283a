//! Checks during deserialisation, so that the parser can report the line of a value.

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

/// From 0 to 1, excluding 1: a decay.
pub(super) fn decay<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    checked(d, "a number from 0 to below 1", |x: &f64| (0.0..1.0).contains(x))
}

/// Between 0 and 1, both excluded: a fraction.
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

/// Number of times that a frame occurs in an epoch.
pub(super) fn repeats<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    at_most(at_least_one(d)?, 1000)
}

/// Number of systems in a batch.
pub(super) fn batch_size<'de, D: Deserializer<'de>>(d: D) -> Result<usize, D::Error> {
    at_most(at_least_one(d)?, 10_000)
}

/// Number of steps of a run.
pub(super) fn steps<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    at_most(at_least_one(d)?, 1_000_000_000_000)
}

fn at_most<T: PartialOrd + Display + Copy, E: Error>(value: T, most: T) -> Result<T, E> {
    if value <= most { Ok(value) } else { Err(E::custom(format!("found {value}, expected at most {most}"))) }
}

pub(super) fn optional_positive<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    positive(d).map(Some)
}

pub(super) fn optional_at_least_one<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    at_least_one(d).map(Some)
}

pub(super) fn name<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let expected = "a name of at most 64 letters, digits, '_', '-' and '.' that begins with a letter or digit: it becomes \
                    part of a file name";
    checked(d, expected, |name: &String| {
        name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    })
}

pub(super) fn files<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<PathBuf>, D::Error> {
    let files = Vec::deserialize(d)?;
    if files.is_empty() { Err(Error::custom("found no file, expected at least one")) } else { Ok(files) }
}
