//! Pure functions from records to measurements: energies, forces, geometries and temperatures of a run go in,
//! numbers with their uncertainty come out.
//!
//! Energies in eV, forces in eV/Å, lengths in Å, temperatures in K. Times are in **ps** here, because drift is
//! quoted per ps; the unit is in every name. What has no value (the percentage of a zero energy, the angle of a
//! zero force) is an error or a `None`, never a 0.
//!
//! A run of a nanosecond has millions of steps. What a run is measured by therefore comes as an accumulator of
//! bounded memory ([`EnergyAccumulator`], [`KineticPotentialAccumulator`], [`RunningStats`], [`DecimatedSeries`],
//! [`BondTracker`], [`DisplacementTracker`]), and the function of a whole slice is a loop over it.
//!
//! | question | answer |
//! |---|---|
//! | is the energy conserved? | [`EnergyAccumulator`], [`EnergySummary`] |
//! | how fast does it drift, and is that more than noise? | [`DriftRate`] |
//! | are forces right? | [`ForceErrorAccumulator`], [`force_errors`], [`force_errors_per_atom`] |
//! | are energies right? | [`energy_errors`] |
//! | did the molecule hold together? | [`BondTracker`], [`DisplacementTracker`], [`rmsd_aligned_angstrom`] |
//! | did the temperature stay? | [`TemperatureStatistics`] |
//! | did anything odd happen on the way? | [`find_anomalies`] |
//!
//! Not in this crate, by design: dynamics, files, clocks, thresholds of approval.

pub mod statistics;

mod anomaly;
mod bonds;
mod drift;
mod energy;
mod energy_error;
mod error;
mod force;
mod geometry;
mod kinetic_potential;
mod moments;
mod series;
mod temperature;

pub use anomaly::{Anomaly, AnomalyKind, AnomalyOptions, find_anomalies};
pub use bonds::{BondRecord, BondTracker, BrokenBond, bond_lengths_angstrom};
pub use drift::{DriftRate, LineFit};
pub use energy::{
    EnergyAccumulator, EnergySummary, ZERO_REFERENCE_EV, mean_absolute_deviation_ev,
    windowed_conservation_ratio,
};
pub use energy_error::{Composition, EnergyErrors, FrameEnergies, composition, energy_errors};
pub use error::MetricError;
pub use force::{
    AngleErrors, AtomForceError, ForceErrorAccumulator, ForceErrors, MagnitudeErrors,
    NO_DIRECTION_EV_PER_ANGSTROM, force_errors, force_errors_per_atom,
};
pub use geometry::{
    Alignment, Displacement, DisplacementTracker, align, displacements_angstrom, rmsd_aligned_angstrom,
    rmsd_angstrom,
};
pub use kinetic_potential::{KineticPotential, KineticPotentialAccumulator};
pub use series::DecimatedSeries;
pub use statistics::{RunningStats, Summary};
pub use temperature::TemperatureStatistics;
