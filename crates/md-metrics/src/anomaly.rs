//! Anomalies of a time series.

use crate::MetricError;
use crate::statistics::percentile;

/// Thresholds for anomalies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnomalyOptions {
    /// A step is anomalous only if it exceeds this many robust standard deviations of all steps (1.4826 times the
    /// median absolute deviation from their median).
    pub robust_sigmas: f64,
    /// A step is anomalous only if it also exceeds this absolute threshold, in the unit of the series.
    pub floor: f64,
}

impl AnomalyOptions {
    /// Returns a threshold of eight robust standard deviations, with `floor` in the unit of the series.
    pub fn with_floor(floor: f64) -> Self {
        AnomalyOptions { robust_sigmas: 8.0, floor }
    }
}

/// Kind of an [`Anomaly`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnomalyKind {
    /// A sample is NaN or infinite.
    NonFinite,
    /// The series changes to another level and stays there.
    Jump,
    /// A single sample deviates and the next one is back.
    Spike,
}

/// An anomaly of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anomaly {
    /// Index of the sample, from 0: the non-finite one, the first after a jump, or the spike itself.
    pub index: usize,
    /// Kind of anomaly.
    pub kind: AnomalyKind,
    /// The step from the previous sample, in the unit of the series; the value itself if it is not finite.
    pub size: f64,
}

/// Ratio of standard deviation to median absolute deviation of a normal distribution.
const SIGMA_PER_MAD: f64 = 1.4826;

/// Finds non-finite samples, jumps and spikes of an evenly sampled series, in order.
///
/// A step is the difference of two neighbouring finite samples. A step is anomalous if it differs from the median step
/// by more than both thresholds of `options`. Two opposite anomalous steps that return to within the threshold of the
/// initial level are a spike, any other is a jump. Steady drift, oscillation and noise are not anomalous. A series of
/// fewer than three finite samples has no typical step, so none of its steps is anomalous.
///
/// ```
/// use md_metrics::{AnomalyKind, AnomalyOptions, find_anomalies};
/// let mut series: Vec<f64> = (0..100).map(|i| (0.3 * f64::from(i)).sin()).collect();
/// series[40] += 50.0;
/// let found = find_anomalies(&series, &AnomalyOptions::with_floor(0.1)).unwrap();
/// assert_eq!(found.len(), 1);
/// assert_eq!((found[0].index, found[0].kind), (40, AnomalyKind::Spike));
/// ```
///
/// # Errors
/// [`MetricError::OutOfRange`] for an option that is negative or not finite.
pub fn find_anomalies(series: &[f64], options: &AnomalyOptions) -> Result<Vec<Anomaly>, MetricError> {
    for (what, value) in
        [("the number of robust sigmas", options.robust_sigmas), ("the floor of a jump", options.floor)]
    {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(MetricError::OutOfRange { what, value, expected: "a number, 0 or above" });
        }
    }
    let (finite, non_finite): (Vec<_>, Vec<_>) =
        series.iter().copied().enumerate().partition(|(_, x)| x.is_finite());
    let mut found: Vec<Anomaly> = non_finite
        .into_iter()
        .map(|(index, size)| Anomaly { index, kind: AnomalyKind::NonFinite, size })
        .collect();
    if finite.len() >= 3 {
        find_steps(&finite, options, &mut found)?;
        found.sort_by_key(|a| a.index);
    }
    Ok(found)
}

/// Finds jumps and spikes of samples `(index, value)`.
fn find_steps(
    samples: &[(usize, f64)],
    options: &AnomalyOptions,
    found: &mut Vec<Anomaly>,
) -> Result<(), MetricError> {
    let steps: Vec<f64> = samples.windows(2).map(|w| w[1].1 - w[0].1).collect();
    let median = percentile(&steps, 50.0)?;
    let deviations: Vec<f64> = steps.iter().map(|d| (d - median).abs()).collect();
    let limit = options.floor.max(options.robust_sigmas * SIGMA_PER_MAD * percentile(&deviations, 50.0)?);
    let mut k = 0;
    while k < steps.len() {
        if deviations[k] > limit {
            let returns = k + 1 < steps.len()
                && deviations[k + 1] > limit
                && (samples[k + 2].1 - samples[k].1 - 2.0 * median).abs() <= limit;
            let kind = if returns { AnomalyKind::Spike } else { AnomalyKind::Jump };
            found.push(Anomaly { index: samples[k + 1].0, kind, size: steps[k] });
            k += usize::from(returns);
        }
        k += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::Noise;

    /// A smooth oscillation of amplitude 1 with at least 10 samples per period and noise of `sigma`.
    fn smooth(noise: &mut Noise, n: usize, sigma: f64) -> Vec<f64> {
        let period = 10.0 + 20.0 * noise.normal().abs();
        let phase = noise.normal();
        let oscillation = |i: usize| (i as f64 * std::f64::consts::TAU / period + phase).sin();
        (0..n).map(|i| -100.0 + oscillation(i) + sigma * noise.normal()).collect()
    }

    fn found(series: &[f64]) -> Vec<(usize, AnomalyKind)> {
        let options = AnomalyOptions::with_floor(0.01);
        find_anomalies(series, &options).unwrap().iter().map(|a| (a.index, a.kind)).collect()
    }

    #[test]
    fn find_anomalies_is_silent_on_smooth_noisy_series() {
        let mut noise = Noise(41);
        let alarms: usize = (0..300)
            .map(|k| {
                let sigma = [0.0, 0.01, 0.1, 1.0][k % 4];
                found(&smooth(&mut noise, 1000, sigma)).len()
            })
            .sum();
        assert_eq!(alarms, 0, "in 300,000 samples");
        assert_eq!(found(&[5.0; 100]), []);
        let mut ramp: Vec<f64> = (0..100).map(|i| 3.0 * f64::from(i)).collect();
        assert_eq!(found(&ramp), [], "a steady drift is no jump");
        ramp[40] += 50.0;
        assert_eq!(found(&ramp), [(40, AnomalyKind::Spike)], "and a spike on it returns to the drift");
    }

    #[test]
    fn find_anomalies_locates_planted_jump_spike_and_nan() {
        let mut noise = Noise(42);
        for sigma in [0.0, 0.01, 0.1] {
            for at in [1, 2, 500, 997, 998] {
                let clean = smooth(&mut noise, 1000, sigma);
                let mut jump = clean.clone();
                jump[at..].iter_mut().for_each(|x| *x -= 10.0);
                assert_eq!(found(&jump), [(at, AnomalyKind::Jump)], "sigma {sigma}");
                let mut spike = clean.clone();
                spike[at] += 10.0;
                assert_eq!(found(&spike), [(at, AnomalyKind::Spike)], "sigma {sigma}");
                let mut nan = clean.clone();
                nan[at] = f64::NAN;
                assert_eq!(found(&nan), [(at, AnomalyKind::NonFinite)], "sigma {sigma}");
            }
        }
    }

    #[test]
    fn find_anomalies_reports_sizes_in_order_of_time() {
        let mut series = vec![0.0; 60];
        series[10] = 7.0;
        series[20] = f64::INFINITY;
        series[30..].iter_mut().for_each(|x| *x = -2.0);
        let anomalies = find_anomalies(&series, &AnomalyOptions::with_floor(1.0)).unwrap();
        let expected = [
            Anomaly { index: 10, kind: AnomalyKind::Spike, size: 7.0 },
            Anomaly { index: 20, kind: AnomalyKind::NonFinite, size: f64::INFINITY },
            Anomaly { index: 30, kind: AnomalyKind::Jump, size: -2.0 },
        ];
        assert_eq!(anomalies, expected);
        let above = find_anomalies(&series, &AnomalyOptions::with_floor(3.0)).unwrap();
        assert_eq!(above, expected[..2], "2 is below a floor of 3");
    }

    #[test]
    fn find_anomalies_handles_short_series_and_bad_options() {
        assert_eq!(found(&[]), []);
        assert_eq!(found(&[f64::NAN, 1.0, 100.0]), [(0, AnomalyKind::NonFinite)]);
        for (robust_sigmas, floor) in [(-1.0, 0.0), (8.0, f64::NAN), (f64::INFINITY, 0.0)] {
            let options = AnomalyOptions { robust_sigmas, floor };
            assert!(matches!(find_anomalies(&[0.0], &options), Err(MetricError::OutOfRange { .. })));
        }
    }
}
