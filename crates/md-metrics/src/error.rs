use md_core::Vec3;

/// Why a record cannot be analysed. Entries are counted from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// The record is empty.
    #[error("there are no {what}: at least one is needed")]
    Empty {
        /// Name of the missing entries.
        what: &'static str,
    },
    /// The record has fewer entries than the measurement needs.
    #[error("{found} {what} are too few: at least {needed} are needed")]
    TooFew {
        /// Name of the entries.
        what: &'static str,
        /// Number of entries needed.
        needed: usize,
        /// Number of entries given.
        found: usize,
    },
    /// Arrays that belong together have different lengths.
    #[error("{found} {what} where {expected} were expected: give one per entry of the other array")]
    Length {
        /// Contents of the array.
        what: &'static str,
        /// Length of the other array.
        expected: usize,
        /// Length of this one.
        found: usize,
    },
    /// An entry is NaN or infinite. A run that diverged must be cut before the first such entry.
    #[error("the {what} number {index} is {value}, which is not finite: cut the record before it")]
    NonFinite {
        /// Name of the entry.
        what: &'static str,
        /// Its index.
        index: usize,
        /// Its value (of a vector: the first component that is not finite).
        value: f64,
    },
    /// A time is not later than the previous one.
    #[error("time number {index} is {time_ps} ps, not later than the one before ({previous_ps} ps)")]
    TimeNotIncreasing {
        /// Index of the time.
        index: usize,
        /// The time, ps.
        time_ps: f64,
        /// The previous time, ps.
        previous_ps: f64,
    },
    /// The reference of a ratio is zero.
    #[error(
        "the {what} is {reference}, too near zero to be the 100 % of a percentage: use the absolute number, \
         or energies counted from another zero"
    )]
    ZeroReference {
        /// Name of the reference, with its unit.
        what: &'static str,
        /// Its value.
        reference: f64,
    },
    /// An option is out of range.
    #[error("{what} is {value} (expected {expected})")]
    OutOfRange {
        /// Name of the option.
        what: &'static str,
        /// Value given.
        value: f64,
        /// Values allowed.
        expected: &'static str,
    },
    /// A bond refers to an atom that does not exist.
    #[error("the bond {i}-{j} names an atom that is not there: there are {n_atoms} atoms")]
    NoSuchAtom {
        /// One atom of the bond.
        i: usize,
        /// The other atom.
        j: usize,
        /// Number of atoms.
        n_atoms: usize,
    },
}

pub(crate) fn require_some<T>(what: &'static str, values: &[T]) -> Result<(), MetricError> {
    if values.is_empty() { Err(MetricError::Empty { what }) } else { Ok(()) }
}

pub(crate) fn require_length(what: &'static str, expected: usize, found: usize) -> Result<(), MetricError> {
    if expected == found { Ok(()) } else { Err(MetricError::Length { what, expected, found }) }
}

pub(crate) fn require_finite(what: &'static str, index: usize, value: f64) -> Result<(), MetricError> {
    if value.is_finite() { Ok(()) } else { Err(MetricError::NonFinite { what, index, value }) }
}

pub(crate) fn require_all_finite(what: &'static str, values: &[f64]) -> Result<(), MetricError> {
    values.iter().enumerate().try_for_each(|(index, &value)| require_finite(what, index, value))
}

pub(crate) fn require_finite_vectors(what: &'static str, vectors: &[Vec3]) -> Result<(), MetricError> {
    vectors
        .iter()
        .enumerate()
        .try_for_each(|(index, v)| v.iter().try_for_each(|&value| require_finite(what, index, value)))
}

/// Checks that two arrays of vectors are not empty, of equal length and finite.
pub(crate) fn require_pairs(
    a_is: &'static str,
    a: &[Vec3],
    b_is: &'static str,
    b: &[Vec3],
) -> Result<(), MetricError> {
    require_some(a_is, a)?;
    require_length(b_is, a.len(), b.len())?;
    require_finite_vectors(a_is, a)?;
    require_finite_vectors(b_is, b)
}
