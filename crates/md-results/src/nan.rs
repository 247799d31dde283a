//! Numbers that were not finite. JSON has none, so they are written as `null`; here `null` is read as NaN, which meets no
//! threshold. An optional number that is absent was not measured, one that is `null` was measured and not finite.

use std::collections::BTreeMap;

use serde::de::{Deserialize, DeserializeOwned, Deserializer};

/// A number, or numbers, that may be stored as `null`.
pub(crate) trait Nullable: Sized {
    /// Form in the file.
    type Stored: DeserializeOwned;

    /// Replaces every `null` by NaN.
    fn from_stored(stored: Self::Stored) -> Self;
}

/// Reads a number, or numbers, for `#[serde(deserialize_with)]`.
pub(crate) fn read<'de, D: Deserializer<'de>, T: Nullable>(deserializer: D) -> Result<T, D::Error> {
    T::Stored::deserialize(deserializer).map(T::from_stored)
}

impl Nullable for f64 {
    type Stored = Option<f64>;

    fn from_stored(stored: Option<f64>) -> f64 {
        stored.unwrap_or(f64::NAN)
    }
}

impl Nullable for Option<f64> {
    type Stored = Option<f64>;

    fn from_stored(stored: Option<f64>) -> Option<f64> {
        Some(f64::from_stored(stored))
    }
}

impl<T: Nullable> Nullable for Vec<T> {
    type Stored = Vec<T::Stored>;

    fn from_stored(stored: Self::Stored) -> Self {
        stored.into_iter().map(T::from_stored).collect()
    }
}

impl<T: Nullable> Nullable for BTreeMap<String, T> {
    type Stored = BTreeMap<String, T::Stored>;

    fn from_stored(stored: Self::Stored) -> Self {
        stored.into_iter().map(|(key, value)| (key, T::from_stored(value))).collect()
    }
}

/// serde reads arrays of a given length only.
macro_rules! arrays {
    ($($n:literal)*) => {$(
        impl Nullable for [f64; $n] {
            type Stored = [Option<f64>; $n];

            fn from_stored(stored: Self::Stored) -> Self {
                stored.map(f64::from_stored)
            }
        }
    )*};
}

arrays! { 2 3 4 }

/// An interval is absent where it is unknown.
impl Nullable for Option<[f64; 2]> {
    type Stored = Option<[Option<f64>; 2]>;

    fn from_stored(stored: Self::Stored) -> Self {
        stored.map(<[f64; 2]>::from_stored)
    }
}
