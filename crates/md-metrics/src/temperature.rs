use crate::{MetricError, RunningStats};

/// Statistics of the temperature (K) of a run relative to a target.
///
/// ```
/// use md_metrics::{RunningStats, TemperatureStatistics};
/// let stats = RunningStats::from_values(&[290.0, 310.0, 303.0])?;
/// let t = TemperatureStatistics::new(&stats, 300.0)?;
/// assert!((t.mean_k - 301.0).abs() < 1e-12 && (t.deviation_from_target_percent - 1.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), md_metrics::MetricError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemperatureStatistics {
    /// Mean, K.
    pub mean_k: f64,
    /// Standard deviation, K (`ddof = 0`).
    pub std_k: f64,
    /// Lowest, K.
    pub min_k: f64,
    /// Highest, K.
    pub max_k: f64,
    /// Last minus first, K. It depends on two samples only.
    pub drift_k: f64,
    /// `100 (T_last - T_first) / T_target`.
    pub drift_percent: f64,
    /// `100 (mean - T_target) / T_target`.
    pub deviation_from_target_percent: f64,
}

impl TemperatureStatistics {
    /// Computes the statistics from those of the temperatures (K) of a run and the target (K).
    ///
    /// # Errors
    /// [`MetricError::Empty`] without temperatures, [`MetricError::OutOfRange`] if the target is not positive.
    pub fn new(temperatures_k: &RunningStats, target_k: f64) -> Result<Self, MetricError> {
        if !(target_k > 0.0 && target_k.is_finite()) {
            return Err(MetricError::OutOfRange {
                what: "the target temperature",
                value: target_k,
                expected: "a positive number of kelvins",
            });
        }
        let s = temperatures_k.summary()?;
        let drift_k = s.last - s.first;
        Ok(TemperatureStatistics {
            mean_k: s.mean,
            std_k: s.std,
            min_k: s.min,
            max_k: s.max,
            drift_k,
            drift_percent: 100.0 * drift_k / target_k,
            deviation_from_target_percent: 100.0 * (s.mean - target_k) / target_k,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperature_statistics_reject_bad_target_or_no_samples() {
        let stats = RunningStats::from_values(&[300.0]).unwrap();
        for target in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                TemperatureStatistics::new(&stats, target),
                Err(MetricError::OutOfRange { .. })
            ));
        }
        let none = TemperatureStatistics::new(&RunningStats::default(), 300.0);
        assert!(matches!(none, Err(MetricError::Empty { .. })));
    }
}
