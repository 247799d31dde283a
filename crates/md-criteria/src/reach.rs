//! What a molecule can reach: the one formula for all barriers.

use md_core::units::BOLTZMANN_EV_PER_K;
use md_results::{CriteriaSet, DecidableBy, GateId, Run, RunFate, number};

use crate::statistics::is_at_its_temperature;
use crate::{Finding, Uncertainty};

/// Attempts at a barrier per second: the frequency of a molecular vibration (333 1/cm). The prefactor of transition-state
/// theory, k_B T / h, is 1.0e13 at 500 K.
const ATTEMPTS_PER_S: f64 = 1e13;

const S_PER_NS: f64 = 1e-9;

/// Standard deviations on either side of an interval of 95 %.
const NORMAL_95: f64 = 1.96;

/// Returns the barrier (eV) that is crossed about once in a time (ns) at a temperature (K): `k_B T ln(10¹³/s · t)`.
///
/// A rate `A exp(-E / k_B T)` with A = 10¹³/s is once per t for this E. It is 0.69 eV at 500 K in 1000 ns. No barrier is
/// needed to hold a molecule for less than one attempt.
///
/// ```
/// let ev = md_criteria::reach_ev(500.0, 1000.0);
/// // 8.617333e-5 eV/K · 500 K · ln(1e7)
/// assert!((ev - 0.694475).abs() < 1e-6);
/// ```
pub fn reach_ev(temperature_k: f64, time_ns: f64) -> f64 {
    BOLTZMANN_EV_PER_K * temperature_k * (ATTEMPTS_PER_S * S_PER_NS * time_ns).ln().max(0.0)
}

/// The barriers that the runs of a use cross.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// Hottest measured mean temperature, K.
    pub temperature_k: f64,
    /// Its standard error as a part of it: the largest of the runs of its name, or their scatter, whichever is larger.
    pub relative_error: f64,
    /// Time for which the use is approved, ns.
    pub time_ns: f64,
}

impl Reach {
    /// Returns the reach of a use from the runs of a model at constant energy: of those that are at the temperature of their
    /// name, and no hotter than the use, the hottest measured mean counts. A run that diverged was at no more than its name
    /// until then.
    ///
    /// # Errors
    /// The reason, if no run counts, or if the mean of one that finished is unknown, since it may be the hottest.
    pub fn of<'a>(runs: impl Iterator<Item = &'a Run>, set: &CriteriaSet) -> Result<Reach, &'static str> {
        let most_k = set.max_temperature_k.unwrap_or(f64::INFINITY);
        let (mut counted, mut unknown) = (Vec::new(), "no NVE runs");
        for run in runs.filter(|run| run.is_nve() && run.temperature_k <= most_k) {
            let mean_k = run.temperature.as_ref().map(|found| found.mean_k).filter(|k| k.is_finite());
            let kelvin = match (run.fate, mean_k) {
                (RunFate::Finished, None) => return Err("a run has no mean temperature"),
                (RunFate::Finished, Some(mean_k)) if is_at_its_temperature(run) => mean_k,
                (RunFate::Diverged, Some(mean_k)) => mean_k.min(run.temperature_k),
                _ => {
                    unknown =
                        "no NVE run is at its temperature, so that the barriers that it crosses are unknown";
                    continue;
                }
            };
            counted.push((kelvin, run));
        }
        let (temperature_k, hottest) =
            *counted.iter().max_by(|(a, _), (b, _)| a.total_cmp(b)).ok_or(unknown)?;
        // Another seed gives another hottest run: it is known no better than the runs of one name agree.
        let of_name = || counted.iter().filter(|(_, run)| run.temperature_k == hottest.temperature_k);
        let finished = of_name().filter(|(_, run)| run.fate == RunFate::Finished);
        let errors = finished.filter_map(|(_, run)| run.temperature.as_ref()?.mean_standard_error_k);
        let own = errors.filter(|error| error.is_finite()).fold(0.0, f64::max);
        let n = of_name().count() as f64;
        let mean_k = of_name().map(|(kelvin, _)| kelvin).sum::<f64>() / n;
        let squares: f64 = of_name().map(|(kelvin, _)| (kelvin - mean_k).powi(2)).sum();
        let error_k = own.max((squares / (n - 1.0).max(1.0)).sqrt());
        Ok(Reach { temperature_k, relative_error: error_k / temperature_k, time_ns: set.time_ns })
    }

    /// The barrier, eV.
    pub fn ev(&self) -> f64 {
        reach_ev(self.temperature_k, self.time_ns)
    }
}

/// Returns a barrier that was found (eV, with the error of its measurement) in units of the reach.
///
/// A barrier at the ceiling of the search is not known to be higher: where the reach is higher, it is missing.
pub(crate) fn over_reach(
    reach: Result<Reach, &'static str>,
    id: GateId,
    ev: f64,
    error_ev: Option<f64>,
    place: &str,
) -> Finding {
    let reach = match reach {
        Ok(reach) => reach,
        Err(reason) => return Finding::Missing(reason.to_owned()),
    };
    let reach_ev = reach.ev();
    let at = format!(
        "{} eV is in reach at {:.0} K in {} ns",
        number(reach_ev),
        reach.temperature_k,
        number(reach.time_ns)
    );
    if id.ceiling_ev().is_some_and(|ceiling| ev >= ceiling && reach_ev > ceiling) {
        return Finding::Missing(format!("{place}, but {at}"));
    }
    if reach_ev <= 0.0 {
        return Finding::NotApplicable(at);
    }
    let value = ev / reach_ev;
    // The error of the barrier is a bound; that of the temperature is not, and its interval of 95 % counts.
    let of_search = error_ev.unwrap_or(0.0) / reach_ev;
    let of_temperature = NORMAL_95 * reach.relative_error * value;
    let error = of_search.hypot(of_temperature);
    Finding::Value {
        value,
        uncertainty: (error > 0.0).then_some(Uncertainty {
            degrees_of_freedom: None,
            standard_error: of_search.hypot(of_temperature / NORMAL_95),
            interval: [(value - error).max(0.0), value + error],
            n: 1,
            decidable_by: if of_search > of_temperature {
                DecidableBy::Computation
            } else {
                DecidableBy::Duration
            },
        }),
        detail: match (ev.is_nan(), place) {
            (true, _) => "the model's answer was not finite".to_owned(),
            (false, "") => at,
            (false, place) => format!("{place}; {at}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates of 10¹³/s exp(-E / k_B T) by hand: 0.6 eV is no protection at 500 K, 4.8 eV is at any temperature.
    #[test]
    fn reach_is_barrier_crossed_once() {
        for (kelvins, time_ns) in [(500.0, 1000.0), (300.0, 1.0), (1000.0, 10.0)] {
            let rate_per_s = 1e13 * (-reach_ev(kelvins, time_ns) / (8.617333262e-5 * kelvins)).exp();
            assert!((rate_per_s * time_ns * 1e-9 - 1.0).abs() < 1e-6);
        }
        assert!(reach_ev(500.0, 1000.0) > 0.634 && reach_ev(300.0, 1000.0) < 0.634);
        assert_eq!(reach_ev(500.0, 1e-6), 0.0, "a tenth of a period");
    }
}
