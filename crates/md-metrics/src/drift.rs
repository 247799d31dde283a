//! Least-squares lines and energy drift.

use md_core::Measurement;
use md_core::units::MEV_PER_EV;

use crate::Estimate;
use crate::MetricError;
use crate::error::{require_all_finite, require_finite, require_length};
use crate::moments::PairMoments;
use crate::statistics::{autocorrelation_time, block_means, independent_blocks};

/// The least-squares line `y = slope x + intercept` through n points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineFit {
    /// Number of points n, at least 3.
    pub n: u64,
    /// Slope, unit of y per unit of x.
    pub slope: f64,
    /// Value of the line at x = 0.
    pub intercept: f64,
    /// `1 - SS_res / SS_tot`; 1 if y does not vary by more than rounding.
    pub r_squared: f64,
    /// `SS_res = Σ (y - line)²`, accurate to about 1e-16 of `SS_tot`.
    pub residual_sum_of_squares: f64,
    /// `S_xx = Σ (x - x̄)²`.
    pub x_sum_of_squares: f64,
}

impl LineFit {
    /// Fits the line through `(x, y)`.
    ///
    /// ```
    /// let line = md_metrics::LineFit::from_points(&[0.0, 1.0, 2.0, 3.0], &[1.0, 3.0, 5.0, 7.0]).unwrap();
    /// assert_eq!((line.slope, line.intercept, line.r_squared), (2.0, 1.0, 1.0));
    /// ```
    ///
    /// # Errors
    /// [`MetricError::Length`], [`MetricError::NonFinite`], [`MetricError::TooFew`] below three points, or
    /// [`MetricError::ZeroReference`] if all x are equal.
    pub fn from_points(x: &[f64], y: &[f64]) -> Result<Self, MetricError> {
        require_length("values of y", x.len(), y.len())?;
        require_all_finite("x", x)?;
        require_all_finite("y", y)?;
        let mut moments = PairMoments::default();
        x.iter().zip(y).for_each(|(&x, &y)| moments.push(x, y));
        Self::from_moments(&moments)
    }

    pub(crate) fn from_moments(m: &PairMoments) -> Result<Self, MetricError> {
        if m.count < 3 {
            return Err(MetricError::TooFew { what: "points of a line", needed: 3, found: m.count as usize });
        }
        if !m.x_varies() {
            return Err(MetricError::ZeroReference { what: "spread of x", reference: m.s_xx });
        }
        let slope = m.s_xy / m.s_xx;
        let residual_sum_of_squares = (m.s_yy - slope * m.s_xy).max(0.0);
        Ok(LineFit {
            n: m.count,
            slope,
            intercept: m.mean_y() - slope * m.mean_x(),
            r_squared: if m.y_varies() { 1.0 - residual_sum_of_squares / m.s_yy } else { 1.0 },
            residual_sum_of_squares,
            x_sum_of_squares: m.s_xx,
        })
    }

    /// Standard error of the slope for n independent points: `√(SS_res / (n - 2) / S_xx)`. It is far too small if the
    /// residuals are correlated: see [`DriftRate`].
    pub fn slope_standard_error_if_independent(&self) -> f64 {
        (self.residual_sum_of_squares / (self.n - 2) as f64 / self.x_sum_of_squares).sqrt()
    }

    /// `√(SS_res / n)`.
    pub fn residual_std(&self) -> f64 {
        (self.residual_sum_of_squares / self.n as f64).sqrt()
    }
}

/// Fewest samples from which the correlation of residuals is estimated.
const FEWEST_SAMPLES: usize = 10;

/// Drift rate of a conserved energy: the slope of its least-squares line over time.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftRate {
    /// Slope in meV/atom/ps. Its standard error accounts for the correlation of the residuals: it is that of a line
    /// through the means of independent blocks ([`independent_blocks`]). Samples must be evenly spaced in time. The
    /// error is `None` below ten samples. `n_effective` is `n / τ`, with τ from [`autocorrelation_time`].
    pub rate: Measurement,
    /// Degrees of freedom of that standard error: number of blocks minus two.
    pub degrees_of_freedom: f64,
    /// Standard error for independent residuals, meV/atom/ps. For comparison only.
    pub standard_error_if_independent_mev_per_atom_per_ps: f64,
    /// Integrated autocorrelation time of the residuals, ps; at least the time between the samples used to estimate it.
    pub correlation_time_ps: f64,
    /// Energy of the line at time 0, eV (of the whole system).
    pub intercept_ev: f64,
    /// Fraction of the variance explained by the line; 1 if the energy does not vary by more than rounding.
    pub r_squared: f64,
    /// Root mean square of the residuals, meV/atom.
    pub residual_rms_mev_per_atom: f64,
}

impl DriftRate {
    /// Computes the drift of energies (eV, whole system) at times (ps, ascending, evenly spaced).
    ///
    /// # Errors
    /// [`MetricError::Length`], [`MetricError::NonFinite`], [`MetricError::TimeNotIncreasing`],
    /// [`MetricError::TooFew`] below three samples, [`MetricError::OutOfRange`] for no atoms.
    pub fn from_energies(times_ps: &[f64], energies_ev: &[f64], n_atoms: usize) -> Result<Self, MetricError> {
        require_length("energies", times_ps.len(), energies_ev.len())?;
        let mut moments = PairMoments::default();
        let mut previous = None;
        for (&t, &e) in times_ps.iter().zip(energies_ev) {
            require_sample(moments.count, previous, t, e)?;
            previous = Some(t);
            moments.push(t, e);
        }
        let samples: Vec<_> = times_ps.iter().copied().zip(energies_ev.iter().copied()).collect();
        Self::from_fit(&LineFit::from_moments(&moments)?, &samples, n_atoms)
    }

    /// Computes the drift from the line through a whole series and evenly spaced `samples` of it, from which the
    /// correlation time of the residuals is estimated.
    pub(crate) fn from_fit(
        fit: &LineFit,
        samples: &[(f64, f64)],
        n_atoms: usize,
    ) -> Result<Self, MetricError> {
        if n_atoms == 0 {
            return Err(MetricError::OutOfRange {
                what: "the number of atoms",
                value: 0.0,
                expected: "at least 1",
            });
        }
        // Relative to the first sample: `fit.intercept` alone would lose the digits that residuals need.
        let (t0, e0) = samples.first().copied().unwrap_or_default();
        let residuals: Vec<f64> = samples.iter().map(|(t, e)| (e - e0) - fit.slope * (t - t0)).collect();
        let tau = autocorrelation_time(&residuals)?;
        let n_effective = samples.len() as f64 / tau;
        let spacing_ps = samples.last().map_or(0.0, |last| (last.0 - t0) / (samples.len() - 1) as f64);
        let per_atom = MEV_PER_EV / n_atoms as f64;
        let blocks = if samples.len() < FEWEST_SAMPLES { 0 } else { independent_blocks(&residuals)? };
        let standard_error = (blocks > 2).then(|| slope_error_of_blocks(samples, &residuals, blocks));
        Ok(DriftRate {
            rate: Measurement {
                value: fit.slope * per_atom,
                standard_error: standard_error.map(|e| e * per_atom),
                n_effective,
                unit: "meV/atom/ps",
            },
            degrees_of_freedom: blocks.saturating_sub(2) as f64,
            standard_error_if_independent_mev_per_atom_per_ps: fit.slope_standard_error_if_independent()
                * per_atom,
            correlation_time_ps: tau * spacing_ps,
            intercept_ev: fit.intercept,
            r_squared: fit.r_squared,
            residual_rms_mev_per_atom: fit.residual_std() * per_atom,
        })
    }

    /// The slope with its uncertainty, meV/atom/ps; `None` if the uncertainty is unknown.
    pub fn estimate(&self) -> Option<Estimate> {
        self.rate.standard_error.map(|standard_error| Estimate {
            value: self.rate.value,
            standard_error,
            degrees_of_freedom: self.degrees_of_freedom,
        })
    }
}

/// Computes the standard error of the slope of the line through the means of `blocks` blocks.
fn slope_error_of_blocks(samples: &[(f64, f64)], residuals: &[f64], blocks: usize) -> f64 {
    let times: Vec<f64> = samples.iter().map(|(t, _)| *t).collect();
    let mut moments = PairMoments::default();
    for (t, r) in block_means(&times, blocks).into_iter().zip(block_means(residuals, blocks)) {
        moments.push(t, r);
    }
    LineFit::from_moments(&moments).map_or(f64::INFINITY, |line| line.slope_standard_error_if_independent())
}

/// Checks the energy sample number `index`: finite, and later than the previous one.
pub(crate) fn require_sample(
    index: u64,
    previous_ps: Option<f64>,
    time_ps: f64,
    energy_ev: f64,
) -> Result<(), MetricError> {
    let index = index as usize;
    require_finite("time", index, time_ps)?;
    require_finite("energy", index, energy_ev)?;
    match previous_ps {
        Some(previous_ps) if time_ps <= previous_ps => {
            Err(MetricError::TimeNotIncreasing { index, time_ps, previous_ps })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn line_fit_solves_normal_equations(
            y in prop::collection::vec(-1.0..1.0_f64, 3..60),
            slope in -5.0..5.0_f64,
            offset in -1e3..1e3_f64,
        ) {
            let x: Vec<f64> = (0..y.len()).map(|i| 0.1 * i as f64).collect();
            let y: Vec<f64> = x.iter().zip(&y).map(|(x, y)| offset + slope * x + y).collect();
            let fit = LineFit::from_points(&x, &y).unwrap();
            let residuals: Vec<f64> = x.iter().zip(&y).map(|(x, y)| y - fit.slope * x - fit.intercept).collect();
            prop_assert!(residuals.iter().sum::<f64>().abs() < 1e-9);
            prop_assert!(residuals.iter().zip(&x).map(|(r, x)| r * x).sum::<f64>().abs() < 1e-9);
            let squares: f64 = residuals.iter().map(|r| r * r).sum();
            prop_assert!((fit.residual_sum_of_squares - squares).abs() < 1e-9);
        }
    }

    #[test]
    fn drift_rate_of_constant_is_zero_and_of_line_exact() {
        let times: Vec<f64> = (0..50).map(|i| 0.01 * f64::from(i)).collect();
        let constant = DriftRate::from_energies(&times, &[-1234.567; 50], 3).unwrap();
        assert_eq!(
            (constant.rate.value, constant.rate.standard_error, constant.r_squared),
            (0.0, Some(0.0), 1.0)
        );
        let line: Vec<f64> = times.iter().map(|t| 0.25 + 0.5 * t).collect();
        let drift = DriftRate::from_energies(&times, &line, 2).unwrap();
        assert!((drift.rate.value - 250.0).abs() < 1e-11, "0.5 eV/ps over 2 atoms");
        assert!(drift.rate.standard_error.unwrap() < 1e-5);
        assert!((drift.intercept_ev - 0.25).abs() < 1e-14);
    }

    #[test]
    fn drift_rate_rejects_unfittable_series() {
        let short = DriftRate::from_energies(&[0.0, 1.0], &[1.0, 2.0], 1).unwrap_err();
        assert_eq!(short, MetricError::TooFew { what: "points of a line", needed: 3, found: 2 });
        let back = DriftRate::from_energies(&[0.0, 1.0, 1.0], &[0.0; 3], 1).unwrap_err();
        assert_eq!(back, MetricError::TimeNotIncreasing { index: 2, time_ps: 1.0, previous_ps: 1.0 });
        let nan = DriftRate::from_energies(&[0.0, 1.0, 2.0], &[0.0, f64::INFINITY, 0.0], 1).unwrap_err();
        assert_eq!(nan, MetricError::NonFinite { what: "energy", index: 1, value: f64::INFINITY });
        let length = DriftRate::from_energies(&[0.0, 1.0, 2.0], &[0.0; 2], 1).unwrap_err();
        assert_eq!(length, MetricError::Length { what: "energies", expected: 3, found: 2 });
        assert!(matches!(
            DriftRate::from_energies(&[0.0, 1.0, 2.0], &[0.0; 3], 0),
            Err(MetricError::OutOfRange { .. })
        ));
        assert!(matches!(LineFit::from_points(&[1.0; 4], &[0.0; 4]), Err(MetricError::ZeroReference { .. })));
    }

    #[test]
    fn drift_rate_of_few_samples_has_no_standard_error() {
        let drift_of = |n: usize| {
            let times: Vec<f64> = (0..n).map(|i| i as f64).collect();
            let slow: Vec<f64> = times.iter().map(|t| (t * std::f64::consts::TAU / n as f64).cos()).collect();
            DriftRate::from_energies(&times, &slow, 1).unwrap()
        };
        assert_eq!(drift_of(9).rate.standard_error, None);
        let drift = drift_of(40);
        let naive = drift.standard_error_if_independent_mev_per_atom_per_ps;
        assert!(drift.rate.standard_error.unwrap() > 3.0 * naive, "{drift:?}");
        assert!(drift.rate.n_effective < 8.0 && drift.correlation_time_ps > 5.0, "{drift:?}");
    }
}
