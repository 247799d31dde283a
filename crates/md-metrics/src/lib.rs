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
//! | are forces right? | [`ForceErrorAccumulator`], [`force_errors`] |
//! | are energies right? | [`energy_errors`] |
//! | did the molecule hold together? | [`BondTracker`], [`DisplacementTracker`], [`rmsd_aligned_angstrom`] |
//! | did the temperature stay? | [`TemperatureStatistics`] |
//! | are velocities those of the temperature? | [`ThermalAccumulator`] |
//! | how long do runs last? | [`survival()`] |
//! | do lengths and vibrations match the reference's? | [`PairDistances`], [`SpectrumBuilder`], [`wasserstein`] |
//! | did the model go where it was never measured? | [`distribution_shift`] |
//! | where does the truth lie? | [`Estimate`], [`mean_of_replicas`], [`statistics::mean_of_series`] |
//! | did anything odd happen on the way? | [`find_anomalies`] |
//!
//! Not in this crate, by design: dynamics, files, clocks, thresholds of approval.

pub mod statistics;

mod anomaly;
mod bonds;
mod distribution;
mod drift;
mod energy;
mod energy_error;
mod error;
mod estimate;
mod force;
mod geometry;
mod kinetic_potential;
mod moments;
mod series;
mod shift;
mod spectrum;
mod survival;
mod temperature;
mod thermal;

pub use anomaly::{Anomaly, AnomalyKind, AnomalyOptions, find_anomalies};
pub use bonds::{BondRecord, BondTracker, BrokenBond, bond_lengths_angstrom};
pub use distribution::{PairDistances, histogram, wasserstein, wasserstein_weighted};
pub use drift::{DriftRate, LineFit};
pub use energy::{EnergyAccumulator, EnergySummary, ZERO_REFERENCE_EV};
pub use energy_error::{Composition, EnergyErrors, FrameEnergies, composition, energy_errors};
pub use error::MetricError;
pub use estimate::{Estimate, mean_of_replicas};
pub use force::{
    AngleErrors, ForceErrorAccumulator, ForceErrors, MagnitudeErrors, NO_DIRECTION_EV_PER_ANGSTROM,
    force_errors,
};
pub use geometry::{
    Alignment, Displacement, DisplacementTracker, align, displacements_angstrom, rmsd_aligned_angstrom,
    rmsd_angstrom,
};
pub use kinetic_potential::{KineticPotential, KineticPotentialAccumulator};
pub use series::DecimatedSeries;
pub use shift::{DistributionShift, descriptor, distribution_shift};
pub use spectrum::{Spectrum, SpectrumBuilder};
pub use statistics::{RunningStats, Summary};
pub use survival::{Lifetime, Survival, SurvivalPoint, survival};
pub use temperature::TemperatureStatistics;
pub use thermal::{ThermalAccumulator, ThermalStatistics, kinetic_shares};
