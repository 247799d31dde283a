use std::fmt;

use serde::{Deserialize, Serialize};

/// Data of a plot: columns over a common axis. The verdict does not depend on them; they illustrate its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Kind of the series.
    pub id: SeriesId,
    /// Model.
    pub model: String,
    /// Molecule; a pair of elements such as `C-H` for [`SeriesId::Dimer`].
    pub molecule: String,
    /// Source among several: the id of a run or the name of a file of frames; absent if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "of")]
    pub subject: Option<String>,
    /// Values of the horizontal axis.
    pub x: Column,
    /// Plotted columns, each as long as `x`.
    pub y: Vec<Column>,
}

/// A column of a [`Series`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Name of the quantity.
    pub name: String,
    /// Unit; empty for a dimensionless quantity.
    pub unit: String,
    /// Finite values, rounded to six significant digits.
    #[serde(deserialize_with = "crate::nan::read")]
    pub values: Vec<f64>,
}

/// Kinds of series: identifier, name in `results.json`, documentation.
macro_rules! series {
    ($($id:ident, $name:literal, $doc:literal;)*) => {
        /// Kind of a [`Series`].
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum SeriesId {
            $(#[doc = $doc] $id,)*
            /// Any other kind, by its name in `results.json`. Reports draw it as lines, with the names and units of its
            /// columns.
            Other(String),
        }

        impl SeriesId {
            /// Returns the name in `results.json`.
            pub fn name(&self) -> &str {
                match self {
                    $(SeriesId::$id => $name,)*
                    SeriesId::Other(name) => name,
                }
            }
        }

        impl From<String> for SeriesId {
            fn from(name: String) -> Self {
                match name.as_str() {
                    $($name => SeriesId::$id,)*
                    _ => SeriesId::Other(name),
                }
            }
        }
    };
}

series! {
    Energy, "energy", "Energies of a run (change of the conserved energy, and of kinetic and potential energy from their \
        means, meV/atom) against time (ps).";
    Temperature, "temperature", "Kinetic temperature of a run (K) against time (ps).";
    ForceParity, "force_parity", "Predicted against reference force components (eV/Å), for a sample of them.";
    ForceErrorHistogram, "force_error_histogram", "Histogram of the errors of force components (eV/Å): `x` is the centre of \
        each bin.";
    BondLengths, "bond_lengths", "Probability density (1/Å) of bond lengths (Å), model and reference.";
    Spectrum, "spectrum", "Velocity power spectrum (normalised to an area of 1) against wavenumber (1/cm), model and \
        reference.";
    Dimer, "dimer", "Energy of an isolated pair of atoms (eV) against their distance (Å).";
    CutoffScan, "cutoff_scan", "Energy (eV) of a molecule against the displacement (Å) of one atom that leaves it: shows \
        jumps at a cutoff.";
    RotationScan, "rotation_scan", "Change of energy (eV) of a molecule against its angle of rotation (degrees).";
}

impl From<SeriesId> for String {
    fn from(id: SeriesId) -> Self {
        id.name().to_owned()
    }
}

impl fmt::Display for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Column {
    /// Creates a column of `values`, rounded to six significant digits.
    pub fn new(name: &str, unit: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let values = values.into_iter().map(six_digits).collect();
        Column { name: name.to_owned(), unit: unit.to_owned(), values }
    }
}

/// Rounds to six significant digits, enough for a plot and small in a file.
fn six_digits(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_rounds_to_six_significant_digits() {
        let column = Column::new("energy", "eV", [1.0 / 3.0, -1_234.567_891, 0.0, 1e-30]);
        assert_eq!(column.values, [0.333_333, -1_234.57, 0.0, 1e-30]);
    }
}
