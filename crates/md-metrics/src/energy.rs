//! Energy conservation.
//!
//! A percentage of a total energy depends on the zero of energy, which is arbitrary: 1 eV is 0.05 % of an all-electron
//! energy of -2000 eV and 20 % of an atomisation energy of -5 eV. Percentages exist for comparison with thresholds
//! defined that way; [`DriftRate`], in meV/atom/ps, does not depend on the zero.

use crate::drift::{DriftRate, LineFit, require_sample};
use crate::error::require_all_finite;
use crate::moments::PairMoments;
use crate::{DecimatedSeries, MetricError, RunningStats};

/// Percentages of an energy closer to zero than this (eV) are undefined.
pub const ZERO_REFERENCE_EV: f64 = 1e-10;

/// Number of samples that [`EnergyAccumulator`] keeps to estimate correlation.
const SERIES_CAPACITY: usize = 2048;

/// Summary statistics of a series of energies.
///
/// ```
/// let summary = md_metrics::EnergySummary::from_energies(&[-10.0, -10.2, -9.9]).unwrap();
/// assert!((summary.drift_percent().unwrap() - 1.0).abs() < 1e-12); // up by 0.1 eV of 10 eV
/// assert!((summary.max_deviation_ev() - 0.2).abs() < 1e-12);
/// // A change from 0 eV to 1 eV has no percentage, in particular not 0 %.
/// assert!(md_metrics::EnergySummary::from_energies(&[0.0, 0.5, 1.0]).unwrap().drift_percent().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnergySummary {
    /// Number of samples.
    pub n_samples: u64,
    /// First energy, eV.
    pub first_ev: f64,
    /// Last energy, eV.
    pub last_ev: f64,
    /// Lowest energy, eV.
    pub min_ev: f64,
    /// Highest energy, eV.
    pub max_ev: f64,
    /// Mean energy, eV.
    pub mean_ev: f64,
    /// Standard deviation, eV (`ddof = 0`).
    pub std_ev: f64,
}

impl EnergySummary {
    /// Computes the summary of energies (eV).
    ///
    /// # Errors
    /// [`MetricError::Empty`] or [`MetricError::NonFinite`].
    pub fn from_energies(energies_ev: &[f64]) -> Result<Self, MetricError> {
        require_all_finite("energy", energies_ev)?;
        Self::from_stats(&RunningStats::from_values(energies_ev)?)
    }

    fn from_stats(stats: &RunningStats) -> Result<Self, MetricError> {
        let s = stats.summary()?;
        Ok(EnergySummary {
            n_samples: s.count,
            first_ev: s.first,
            last_ev: s.last,
            min_ev: s.min,
            max_ev: s.max,
            mean_ev: s.mean,
            std_ev: s.std,
        })
    }

    /// Last energy minus first energy, eV. It depends on two samples only; [`DriftRate`] uses all of them.
    pub fn drift_ev(&self) -> f64 {
        self.last_ev - self.first_ev
    }

    /// `100 (E_last - E_first) / |E_first|`, with the sign of the change.
    ///
    /// # Errors
    /// [`MetricError::ZeroReference`] if the first energy is zero.
    pub fn drift_percent(&self) -> Result<f64, MetricError> {
        Ok(100.0 * self.drift_ev() / self.first_magnitude_ev()?)
    }

    /// `max |E - E_first|`, eV.
    pub fn max_deviation_ev(&self) -> f64 {
        (self.max_ev - self.first_ev).max(self.first_ev - self.min_ev)
    }

    /// `100 max |E - E_first| / |E_first|`.
    ///
    /// # Errors
    /// [`MetricError::ZeroReference`] if the first energy is zero.
    pub fn max_deviation_percent(&self) -> Result<f64, MetricError> {
        Ok(100.0 * self.max_deviation_ev() / self.first_magnitude_ev()?)
    }

    /// `std / |mean|`.
    ///
    /// # Errors
    /// [`MetricError::ZeroReference`] if the mean is zero.
    pub fn coefficient_of_variation(&self) -> Result<f64, MetricError> {
        Ok(self.std_ev / magnitude("mean energy (eV)", self.mean_ev)?)
    }

    /// `max(0, 1 - std / |mean|)`: 1 for a constant energy.
    ///
    /// # Errors
    /// [`MetricError::ZeroReference`] if the mean is zero.
    pub fn conservation_ratio(&self) -> Result<f64, MetricError> {
        Ok((1.0 - self.coefficient_of_variation()?).max(0.0))
    }

    fn first_magnitude_ev(&self) -> Result<f64, MetricError> {
        magnitude("first energy (eV)", self.first_ev)
    }
}

pub(crate) fn magnitude(what: &'static str, reference: f64) -> Result<f64, MetricError> {
    if reference.abs() > ZERO_REFERENCE_EV {
        Ok(reference.abs())
    } else {
        Err(MetricError::ZeroReference { what, reference })
    }
}

/// Accumulates the conserved energy of one system in a run of any length, in bounded memory: its extremes, its exact
/// least-squares line and at most 2048 samples for plots and for the correlation of its residuals.
///
/// ```
/// let mut energy = md_metrics::EnergyAccumulator::default();
/// for step in 0..100_000_u32 {
///     let time_ps = 5e-4 * f64::from(step);
///     energy.push(time_ps, -2000.0 + 1e-3 * time_ps + 1e-4 * (100.0 * time_ps).sin())?;
/// }
/// let drift = energy.drift_rate(3)?;
/// assert!((drift.rate.value - 1.0 / 3.0).abs() < 1e-3); // 1 meV/ps over 3 atoms
/// assert!(energy.series().samples().len() <= 2048);
/// # Ok::<(), md_metrics::MetricError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EnergyAccumulator {
    stats: RunningStats,
    moments: PairMoments,
    series: DecimatedSeries,
}

impl Default for EnergyAccumulator {
    fn default() -> Self {
        EnergyAccumulator {
            stats: RunningStats::default(),
            moments: PairMoments::default(),
            series: DecimatedSeries::new(SERIES_CAPACITY),
        }
    }
}

impl EnergyAccumulator {
    /// Adds the energy (eV) at a time (ps) later than all previous ones. Samples must be evenly spaced for a correct
    /// error of [`EnergyAccumulator::drift_rate`].
    ///
    /// # Errors
    /// [`MetricError::NonFinite`] or [`MetricError::TimeNotIncreasing`]; the sample is then not counted.
    pub fn push(&mut self, time_ps: f64, energy_ev: f64) -> Result<(), MetricError> {
        require_sample(self.stats.count(), self.series.last().map(|s| s.0), time_ps, energy_ev)?;
        self.stats.push(energy_ev)?;
        self.moments.push(time_ps, energy_ev);
        self.series.push(time_ps, energy_ev);
        Ok(())
    }

    /// Summary of the energies so far.
    ///
    /// # Errors
    /// [`MetricError::Empty`].
    pub fn summary(&self) -> Result<EnergySummary, MetricError> {
        EnergySummary::from_stats(&self.stats)
    }

    /// The least-squares line through all samples so far: x in ps, y in eV.
    ///
    /// # Errors
    /// [`MetricError::TooFew`] below three samples.
    pub fn line(&self) -> Result<LineFit, MetricError> {
        LineFit::from_moments(&self.moments)
    }

    /// The drift so far: the slope of [`EnergyAccumulator::line`], with an error that accounts for correlation as far
    /// as the thinned series resolves it. If residuals are correlated for less than its stride, each of its samples
    /// counts as one, so that the error is too large rather than too small.
    ///
    /// # Errors
    /// [`MetricError::TooFew`] below three samples, [`MetricError::OutOfRange`] for no atoms.
    pub fn drift_rate(&self, n_atoms: usize) -> Result<DriftRate, MetricError> {
        DriftRate::from_fit(&self.line()?, self.series.samples(), n_atoms)
    }

    /// The thinned series: time (ps) and energy (eV).
    pub fn series(&self) -> &DecimatedSeries {
        &self.series
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn energy_accumulator_equals_whole_series_formulas(
            noise in prop::collection::vec(-1.0..1.0_f64, 3..300),
            offset in -3e3..3e3_f64,
            slope in -2.0..2.0_f64,
            amplitude in 1e-3..1.0_f64,
        ) {
            let n = noise.len() as f64;
            let times: Vec<f64> = (0..noise.len()).map(|i| 5e-4 * i as f64).collect();
            let energies: Vec<f64> =
                times.iter().zip(&noise).map(|(t, x)| offset + slope * t + amplitude * x).collect();
            let mut accumulator = EnergyAccumulator::default();
            for (&t, &e) in times.iter().zip(&energies) {
                accumulator.push(t, e).unwrap();
            }
            let summary = accumulator.summary().unwrap();
            let (mean_t, mean) = (times.iter().sum::<f64>() / n, energies.iter().sum::<f64>() / n);
            let std = (energies.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / n).sqrt();
            let deviation = energies.iter().map(|e| (e - energies[0]).abs()).fold(0.0, f64::max);
            let rounding = 1e-13 * offset.abs().max(1.0);
            prop_assert!((summary.mean_ev - mean).abs() < rounding);
            prop_assert!((summary.std_ev - std).abs() < rounding);
            prop_assert_eq!(summary.max_deviation_ev(), deviation);
            prop_assert_eq!(summary.drift_ev(), energies[energies.len() - 1] - energies[0]);

            let s_tt: f64 = times.iter().map(|t| (t - mean_t).powi(2)).sum();
            let s_te: f64 = times.iter().zip(&energies).map(|(t, e)| (t - mean_t) * (e - mean)).sum();
            let residual: f64 = times
                .iter()
                .zip(&energies)
                .map(|(t, e)| (e - mean - s_te / s_tt * (t - mean_t)).powi(2))
                .sum();
            let line = accumulator.line().unwrap();
            let time_spread = (s_tt / n).sqrt();
            prop_assert!((line.slope - s_te / s_tt).abs() * time_spread < rounding);
            prop_assert!((line.intercept - (mean - s_te / s_tt * mean_t)).abs() < 4.0 * rounding);
            prop_assert!((line.residual_sum_of_squares - residual).abs() < rounding * n * (std + rounding));
            prop_assert_eq!(accumulator.drift_rate(2).unwrap(), DriftRate::from_energies(&times, &energies, 2).unwrap());
        }
    }

    #[test]
    fn energy_accumulator_is_bounded_with_exact_slope() {
        let mut noise = crate::statistics::tests::Noise(21);
        let series = noise.autoregressive(0.995, 200_000); // autocorrelation time of 399 steps
        let times: Vec<f64> = (0..series.len()).map(|i| 5e-4 * i as f64).collect();
        let energies: Vec<f64> = times.iter().zip(&series).map(|(t, x)| -2e3 + 0.01 * t + 0.02 * x).collect();
        let mut accumulator = EnergyAccumulator::default();
        for (&t, &e) in times.iter().zip(&energies) {
            accumulator.push(t, e).unwrap();
        }
        assert!(accumulator.series().samples().len() <= SERIES_CAPACITY);
        let (thin, whole) =
            (accumulator.drift_rate(5).unwrap(), DriftRate::from_energies(&times, &energies, 5).unwrap());
        assert_eq!(thin.rate.value, whole.rate.value);
        let ratio = thin.rate.standard_error.unwrap() / whole.rate.standard_error.unwrap();
        assert!((0.8..1.25).contains(&ratio), "error from 1 in 128 samples against all: {ratio}");
        assert!((thin.correlation_time_ps - 0.2).abs() < 0.08, "{} ps for 0.2 ps", thin.correlation_time_ps);
    }

    #[test]
    fn energy_summary_percentages_reject_zero_reference() {
        let summary = EnergySummary::from_energies(&[0.0, 0.5, 1.0]).unwrap();
        let expected = MetricError::ZeroReference { what: "first energy (eV)", reference: 0.0 };
        assert_eq!(summary.drift_percent(), Err(expected.clone()));
        assert_eq!(summary.max_deviation_percent(), Err(expected));
        let centred = EnergySummary::from_energies(&[-1.0, 1.0]).unwrap();
        assert!(matches!(centred.conservation_ratio(), Err(MetricError::ZeroReference { .. })));
        assert_eq!(
            EnergySummary::from_energies(&[1e-9, -3e-9]).unwrap().conservation_ratio(),
            Ok(0.0),
            "clamped at 0"
        );
    }

    #[test]
    fn energy_accumulator_rejects_empty_or_non_finite() {
        assert!(matches!(EnergySummary::from_energies(&[]), Err(MetricError::Empty { .. })));
        let nan = EnergySummary::from_energies(&[1.0, f64::NEG_INFINITY]).unwrap_err();
        assert_eq!(nan, MetricError::NonFinite { what: "energy", index: 1, value: f64::NEG_INFINITY });
        let mut accumulator = EnergyAccumulator::default();
        accumulator.push(0.0, 1.0).unwrap();
        assert!(accumulator.push(0.0, 1.0).is_err() && accumulator.push(1.0, f64::NAN).is_err());
        assert_eq!(accumulator.summary().unwrap().n_samples, 1, "what was refused is not counted");
        assert!(matches!(accumulator.line(), Err(MetricError::TooFew { found: 1, .. })));
    }
}
