use serde::{Deserialize, Serialize};

/// Data of a plot: columns over a common axis. The verdict does not depend on them; they illustrate its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What it is of: one of [`series_id`].
    pub id: String,
    /// Model.
    pub model: String,
    /// Molecule; a pair of elements such as `C-H` for [`series_id::DIMER`].
    pub molecule: String,
    /// Which of several: the id of a run, the name of a file of frames; absent where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// What the columns are plotted against.
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
    pub values: Vec<f64>,
}

/// The kinds of [`Series`].
pub mod series_id {
    /// Energies of a run (change of the conserved energy, and of kinetic and potential energy from their means, meV/atom)
    /// against time (ps).
    pub const ENERGY: &str = "energy";
    /// Kinetic temperature of a run (K) against time (ps).
    pub const TEMPERATURE: &str = "temperature";
    /// Predicted against reference force components (eV/Å), a sample of them.
    pub const FORCE_PARITY: &str = "force_parity";
    /// Number of force components by their error (eV/Å): `x` is the middle of each bin.
    pub const FORCE_ERROR_HISTOGRAM: &str = "force_error_histogram";
    /// Probability density (1/Å) of bond lengths (Å), model and reference.
    pub const BOND_LENGTHS: &str = "bond_lengths";
    /// Velocity power spectrum (normalised to an area of 1) against wave number (1/cm), model and reference.
    pub const SPECTRUM: &str = "spectrum";
    /// Energy of two atoms alone (eV) against their distance (Å).
    pub const DIMER: &str = "dimer";
    /// Energy (eV) of a molecule as one atom leaves it, against how far it moved (Å): shows jumps at a cutoff.
    pub const CUTOFF_SCAN: &str = "cutoff_scan";
    /// Change of energy (eV) of a molecule against the angle it is turned by (degrees).
    pub const ROTATION_SCAN: &str = "rotation_scan";
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
    fn a_column_keeps_six_digits() {
        let column = Column::new("energy", "eV", [1.0 / 3.0, -1_234.567_891, 0.0, 1e-30]);
        assert_eq!(column.values, [0.333_333, -1_234.57, 0.0, 1e-30]);
    }
}
