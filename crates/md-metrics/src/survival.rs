//! Survival statistics of runs.

use std::fmt;

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

use crate::MetricError;
use crate::error::{require_finite, require_some};

/// Duration of one run and whether it ended with a failure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lifetime {
    /// Time until the failure or, if there was none, until the end of the run, ps.
    pub time_ps: f64,
    /// Whether the run failed.
    pub failed: bool,
}

/// Survival statistics of several runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Survival {
    /// Number of runs.
    pub runs: usize,
    /// Number of runs that failed.
    pub failures: usize,
    /// Total time of all runs until failure or end, ps.
    pub observed_ps: f64,
    /// Times of the earliest and latest failure, ps.
    pub failure_span_ps: Option<[f64; 2]>,
    /// Failures divided by observed time, 1/ns: the maximum likelihood estimate of a constant rate.
    pub rate_per_ns: f64,
    /// One-sided upper bound of the rate at `confidence`, 1/ns.
    pub rate_upper_per_ns: f64,
    /// Confidence level of that bound and of the bounds of the curve.
    pub confidence: f64,
    /// Kaplan-Meier estimate after each failure.
    pub curve: Vec<SurvivalPoint>,
    /// Duration of the longest run, ps.
    pub longest_ps: f64,
}

/// A step of a Kaplan-Meier curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SurvivalPoint {
    /// Time, ps.
    pub time_ps: f64,
    /// Fraction of runs that survive this time.
    pub surviving: f64,
    /// Two-sided confidence bounds of that fraction.
    pub bounds: [f64; 2],
}

/// Computes survival statistics of independent runs.
///
/// For a constant failure rate and runs of fixed length, the bound of the rate is exact up to the discreteness of
/// counts, on the safe side: `χ²(confidence; 2 k + 2) / 2 T` for k failures in the time T (F. Garwood, Biometrika 28,
/// 437 (1936)); without failures it is `-ln(1 - confidence) / T`, the 'rule of three'. The curve is the product-limit
/// estimate of E. L. Kaplan and P. Meier, J. Am. Stat. Assoc. 53, 457 (1958), with Greenwood's variance on the scale
/// log(-log S).
///
/// ```
/// use md_metrics::{Lifetime, survival};
/// let runs = [Lifetime { time_ps: 10.0, failed: false }; 12];
/// let survival = survival(&runs, 0.95)?;
/// assert!((survival.rate_upper_per_ns - 24.96).abs() < 0.01); // 2.996 / 0.12 ns
/// assert_eq!(
///     survival.to_string(),
///     "no failure in 12 runs of up to 10 ps: failure rate below 25 per ns at 95 %"
/// );
/// # Ok::<(), md_metrics::MetricError>(())
/// ```
///
/// # Errors
/// [`MetricError::Empty`], [`MetricError::NonFinite`], or [`MetricError::OutOfRange`] for a confidence outside 0 to 1,
/// a negative time or no observed time.
pub fn survival(runs: &[Lifetime], confidence: f64) -> Result<Survival, MetricError> {
    require_some("runs", runs)?;
    for (index, run) in runs.iter().enumerate() {
        require_finite("time", index, run.time_ps)?;
    }
    let observed_ps: f64 = runs.iter().map(|r| r.time_ps).sum();
    for (what, value, expected, good) in [
        ("the confidence", confidence, "between 0 and 1", confidence > 0.0 && confidence < 1.0),
        ("the observed time (ps)", observed_ps, "a positive number", observed_ps > 0.0),
    ] {
        if !good {
            return Err(MetricError::OutOfRange { what, value, expected });
        }
    }
    let observed_ns = observed_ps / 1000.0;
    let failures = runs.iter().filter(|r| r.failed).count();
    let upper = ChiSquared::new(2.0 * failures as f64 + 2.0)
        .map_or(f64::INFINITY, |chi| 0.5 * chi.inverse_cdf(confidence) / observed_ns);
    let failed = || runs.iter().filter(|r| r.failed).map(|r| r.time_ps);
    let first = failed().min_by(f64::total_cmp);
    let last = failed().max_by(f64::total_cmp);
    Ok(Survival {
        runs: runs.len(),
        failures,
        observed_ps,
        failure_span_ps: first.zip(last).map(|(a, b)| [a, b]),
        rate_per_ns: failures as f64 / observed_ns,
        rate_upper_per_ns: upper,
        confidence,
        curve: kaplan_meier(runs, confidence),
        longest_ps: runs.iter().map(|r| r.time_ps).fold(0.0, f64::max),
    })
}

fn kaplan_meier(runs: &[Lifetime], confidence: f64) -> Vec<SurvivalPoint> {
    let z = Normal::standard().inverse_cdf(0.5 + 0.5 * confidence);
    let mut times: Vec<f64> = runs.iter().filter(|r| r.failed).map(|r| r.time_ps).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    let (mut surviving, mut greenwood) = (1.0, 0.0);
    times
        .into_iter()
        .map(|time_ps| {
            let at_risk = runs.iter().filter(|r| r.time_ps >= time_ps).count() as f64;
            let failed = runs.iter().filter(|r| r.failed && r.time_ps == time_ps).count() as f64;
            surviving *= 1.0 - failed / at_risk;
            greenwood += failed / (at_risk * (at_risk - failed));
            let bounds = if surviving > 0.0 {
                let spread = z * f64::sqrt(greenwood) / f64::ln(surviving).abs();
                [surviving.powf(spread.exp()), surviving.powf((-spread).exp())]
            } else {
                // All runs failed: at a survival above 1 - bound^(1/n), n failures of n are less likely than the
                // confidence allows.
                [0.0, 1.0 - (0.5 - 0.5 * confidence).powf(1.0 / runs.len() as f64)]
            };
            SurvivalPoint { time_ps, surviving, bounds }
        })
        .collect()
}

impl fmt::Display for Survival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = if self.runs == 1 { "1 run".to_owned() } else { format!("{} runs", self.runs) };
        let (bound, percent) = (significant(self.rate_upper_per_ns), 100.0 * self.confidence);
        match self.failure_span_ps {
            None => write!(
                f,
                "no failure in {runs} of up to {} ps: failure rate below {bound} per ns at {percent} %",
                significant(self.longest_ps)
            ),
            Some([first, last]) => write!(
                f,
                "{} of {runs} failed after {} to {} ps: failure rate {} per ns, below {bound} at {percent} %",
                self.failures,
                significant(first),
                significant(last),
                significant(self.rate_per_ns)
            ),
        }
    }
}

/// Formats a number with two or three significant digits.
fn significant(value: f64) -> String {
    let digits = (1 - value.abs().max(1e-12).log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::Noise;

    fn exponential(noise: &mut Noise, rate_per_ps: f64, longest_ps: f64) -> Lifetime {
        let time_ps = -(1.0 - noise.uniform()).ln() / rate_per_ps;
        Lifetime { time_ps: time_ps.min(longest_ps), failed: time_ps < longest_ps }
    }

    #[test]
    fn survival_rate_bounds_match_chi_squared_tables() {
        let run = |time_ps, failed| Lifetime { time_ps, failed };
        let none = survival(&[run(1000.0, false)], 0.95).unwrap();
        assert!((none.rate_upper_per_ns - 2.9957).abs() < 1e-3, "{none:?}");
        // scipy.stats.chi2.ppf(0.95, 8) / 2
        let three = [run(100.0, true), run(200.0, true), run(300.0, true), run(400.0, false)];
        let three = survival(&three, 0.95).unwrap();
        assert!((three.rate_upper_per_ns - 7.7537).abs() < 1e-3, "{three:?}");
        assert_eq!(three.rate_per_ns, 3.0);
        let curve: Vec<f64> = three.curve.iter().map(|p| p.surviving).collect();
        assert_eq!(curve, [0.75, 0.5, 0.25]);
        assert_eq!(
            three.to_string(),
            "3 of 4 runs failed after 100 to 300 ps: failure rate 3 per ns, below 7.8 at 95 %"
        );
        for p in &three.curve {
            assert!(0.0 <= p.bounds[0] && p.bounds[0] < p.surviving && p.surviving < p.bounds[1], "{p:?}");
        }
    }

    #[test]
    fn survival_curve_matches_kaplan_meier_textbook() {
        // The 6-MP arm of E. J. Freireich et al., Blood 21, 699 (1963): S(6) = 0.8571, S(13) = 0.6902, S(23) = 0.4482;
        // 95 % on the log(-log) scale at 6: 0.620 to 0.952 (R, survfit, conf.type = "log-log").
        let failed = [6.0, 6.0, 6.0, 7.0, 10.0, 13.0, 16.0, 22.0, 23.0];
        let left = [6.0, 9.0, 10.0, 11.0, 17.0, 19.0, 20.0, 25.0, 32.0, 32.0, 34.0, 35.0];
        let runs: Vec<Lifetime> = failed
            .iter()
            .map(|&time_ps| Lifetime { time_ps, failed: true })
            .chain(left.iter().map(|&time_ps| Lifetime { time_ps, failed: false }))
            .collect();
        let curve = survival(&runs, 0.95).unwrap().curve;
        let at = |t: f64| curve.iter().find(|p| p.time_ps == t).unwrap();
        for (t, expected) in [(6.0, 0.8571), (13.0, 0.6902), (23.0, 0.4482)] {
            assert!((at(t).surviving - expected).abs() < 1e-4, "{t}: {:?}", at(t));
        }
        assert!((at(6.0).bounds[0] - 0.620).abs() < 1e-3 && (at(6.0).bounds[1] - 0.952).abs() < 1e-3);
    }

    #[test]
    fn survival_rate_bound_covers_truth_in_95_percent() {
        let mut noise = Noise(7);
        for (rate_per_ps, runs) in [(0.02, 12), (0.1, 6), (0.5, 4), (1.0, 12)] {
            let trials = 4000;
            let held = (0..trials)
                .filter(|_| {
                    let lifetimes: Vec<Lifetime> =
                        (0..runs).map(|_| exponential(&mut noise, rate_per_ps, 10.0)).collect();
                    survival(&lifetimes, 0.95).unwrap().rate_upper_per_ns >= 1000.0 * rate_per_ps
                })
                .count() as f64
                / f64::from(trials);
            // Exact for a test that ends at a failure; conservative for one that ends at a fixed time.
            assert!((0.945..=1.0).contains(&held), "{rate_per_ps} {runs}: {held}");
        }
    }

    #[test]
    fn survival_curve_bounds_cover_truth_in_95_percent() {
        let mut noise = Noise(8);
        let (rate_per_ps, trials) = (0.15_f64, 3000);
        let held = (0..trials)
            .filter(|_| {
                let lifetimes: Vec<Lifetime> =
                    (0..60).map(|_| exponential(&mut noise, rate_per_ps, 10.0)).collect();
                let curve = survival(&lifetimes, 0.95).unwrap().curve;
                // The step of the curve at 4 ps.
                let step = curve.iter().rev().find(|p| p.time_ps <= 4.0).unwrap();
                let truth = (-rate_per_ps * 4.0).exp();
                step.bounds[0] <= truth && truth <= step.bounds[1]
            })
            .count() as f64
            / f64::from(trials);
        assert!((0.93..=0.97).contains(&held), "{held}");
    }

    #[test]
    fn survival_rejects_no_runs_zero_time_and_bad_level() {
        assert!(matches!(survival(&[], 0.95), Err(MetricError::Empty { .. })));
        let nothing = [Lifetime { time_ps: 0.0, failed: true }];
        assert!(matches!(survival(&nothing, 0.95), Err(MetricError::OutOfRange { .. })));
        let fine = [Lifetime { time_ps: 1.0, failed: true }];
        assert!(matches!(survival(&fine, 1.0), Err(MetricError::OutOfRange { .. })));
        let all_failed = survival(&fine, 0.95).unwrap();
        assert_eq!((all_failed.curve[0].surviving, all_failed.curve[0].bounds[0]), (0.0, 0.0));
    }
}
