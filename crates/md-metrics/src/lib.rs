//! Pure functions that compute measurements with uncertainties from the energies, forces, geometries and temperatures
//! of a run.
//!
//! Energies in eV, forces in eV/Å, lengths in Å, temperatures in K. Times are in **ps** here, because drift is quoted
//! per ps; the unit is in every name. An undefined quantity (the percentage of a zero energy, the angle of a zero
//! force) is an error or `None`, never 0.
//!
//! A run of a nanosecond has millions of steps. Measurements of a run are therefore accumulators of bounded memory
//! ([`EnergyAccumulator`], [`KineticPotentialAccumulator`], [`RunningStats`], [`DecimatedSeries`], [`BondTracker`],
//! [`DisplacementTracker`]), and the function of a whole slice is a loop over it.
//!
//! | question | item |
//! |---|---|
//! | is the energy conserved? | [`EnergyAccumulator`], [`EnergySummary`] |
//! | how large is the drift, and is it significant? | [`DriftRate`] |
//! | how accurate are forces? | [`ForceErrorAccumulator`], [`force_errors`] |
//! | how accurate are energies? | [`energy_errors`] |
//! | did the molecule stay intact? | [`BondTracker`], [`DisplacementTracker`], [`rmsd_aligned_angstrom`] |
//! | was the temperature constant? | [`TemperatureStatistics`] |
//! | do the velocities match the temperature? | [`ThermalAccumulator`] |
//! | how long do runs last before they fail? | [`survival()`] |
//! | do bond lengths and vibrations match the reference? | [`PairDistances`], [`SpectrumBuilder`], [`wasserstein`] |
//! | did the model leave the region of its reference data? | [`distribution_shift`] |
//! | does it meet atoms that no known frame has? | [`Coverage`] |
//! | how uncertain is a mean? | [`Estimate`], [`mean_of_replicas`], [`pooled_replicas`], [`statistics::mean_of_series`] |
//! | were there anomalies during the run? | [`find_anomalies`] |
//!
//! By design this crate contains no dynamics, files, clocks or approval thresholds.

pub mod statistics;

mod anomaly;
mod bonds;
mod coverage;
mod distribution;
mod drift;
mod energy;
mod energy_error;
mod error;
mod estimate;
mod force;
mod geometry;
mod kinetic_potential;
mod label_units;
mod moments;
mod series;
mod shift;
mod spectrum;
mod survival;
mod temperature;
mod thermal;

pub use anomaly::{Anomaly, AnomalyKind, AnomalyOptions, find_anomalies};
pub use bonds::{BondRecord, BondTracker, BrokenBond, bond_lengths_angstrom};
pub use coverage::{Coverage, Environment, Gap, GapKind};
pub use distribution::{PairDistances, histogram, wasserstein, wasserstein_weighted};
pub use drift::{DriftRate, LineFit};
pub use energy::{EnergyAccumulator, EnergySummary, ZERO_REFERENCE_EV};
pub use energy_error::{Composition, EnergyErrors, FrameEnergies, composition, energy_errors};
pub use error::MetricError;
pub use estimate::{Estimate, mean_of_replicas, pooled_replicas};
pub use force::{
    AngleErrors, ForceErrorAccumulator, ForceErrors, MagnitudeErrors, NO_DIRECTION_EV_PER_ANGSTROM,
    force_errors,
};
pub use geometry::{
    Alignment, Displacement, DisplacementTracker, align, displacements_angstrom, rmsd_aligned_angstrom,
    rmsd_angstrom,
};
pub use kinetic_potential::{KineticPotential, KineticPotentialAccumulator};
pub use label_units::{BondForces, FORCE_UNITS, bond_forces, pair_forces};
pub use series::DecimatedSeries;
pub use shift::{DistributionShift, descriptor, distribution_shift};
pub use spectrum::{Spectrum, SpectrumBuilder};
pub use statistics::{RunningStats, Summary};
pub use survival::{Lifetime, Survival, SurvivalPoint, survival};
pub use temperature::TemperatureStatistics;
pub use thermal::{ThermalAccumulator, ThermalStatistics, kinetic_shares};
