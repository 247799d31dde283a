//! Comparison of one finding with one threshold.

use md_metrics::Estimate;
use md_results::{Check, CriteriaSet, DecidableBy, Status, Threshold, number, with_unit};

use crate::{Bound, Criterion, Finding, Uncertainty};

/// Evaluates `finding` against `threshold`.
pub(super) fn check(
    criterion: &Criterion,
    set: &CriteriaSet,
    threshold: &Threshold,
    molecule: &str,
    finding: Finding,
) -> Check {
    let holds = |value| criterion.bound.holds(value, threshold.value);
    let mut check = Check {
        at_least: criterion.bound == Bound::AtLeast,
        unit: criterion.unit.to_owned(),
        ..skipped(criterion.key, set, threshold, molecule)
    };
    match finding {
        Finding::Value { value, uncertainty, detail } => {
            check.status = status(criterion.bound, threshold, value, uncertainty);
            check.chance = uncertainty.and_then(|u| chance(check.status, threshold, value, u));
            check.value = Some(value).filter(|v| v.is_finite());
            check.standard_error = uncertainty.map(|u| u.standard_error).filter(|v| v.is_finite());
            check.interval = uncertainty.map(|u| u.interval).filter(|i| i.iter().all(|v| v.is_finite()));
            if check.status == Status::Undecided {
                check.to_decide = Some(what_would_decide(criterion.bound, threshold, value, uncertainty));
                check.decidable_by = decidable_by(criterion.bound, threshold, value, uncertainty);
            }
            check.reason = detail;
        }
        Finding::Survived { first_failure: Some((value, why)), .. } if !holds(value) => {
            check.status = Status::Fail;
            check.value = Some(value);
            check.reason = why;
        }
        Finding::Survived { shortest_survivor: Some((value, why)), n, .. } if !holds(value) => {
            check.value = Some(value);
            check.reason = format!("{n} runs, but observed for {} only", with_unit(value, criterion.unit));
            if !why.is_empty() {
                check.reason += &format!(" ({why})");
            }
        }
        Finding::Survived { first_failure, shortest_survivor, n } => {
            let times = [first_failure, shortest_survivor].into_iter().flatten().map(|(value, _)| value);
            check.status = Status::Pass;
            check.value = times.reduce(f64::min);
            check.reason = format!("{n} runs");
        }
        Finding::Amount { value, detail } => {
            if holds(value) {
                check.status = Status::Pass;
            }
            check.value = Some(value);
            check.reason = detail;
        }
        Finding::NotApplicable(reason) => {
            check.status = Status::NotApplicable;
            check.reason = reason;
        }
        Finding::Missing(reason) => check.reason = reason,
    }
    check
}

/// Returns the check of a threshold whose criterion `key` this program does not have. It is never a pass.
pub(super) fn unknown(key: &str, set: &CriteriaSet, threshold: &Threshold, molecule: &str) -> Check {
    let reason = match crate::replaced(key) {
        Some(new) => format!("there is no criterion '{key}' any more: {new} replaces it"),
        None => {
            format!("there is no criterion '{key}': a newer mdproof may have written it, or it is misspelt")
        }
    };
    Check { reason, ..skipped(key, set, threshold, molecule) }
}

/// Returns a check that was not made.
fn skipped(key: &str, set: &CriteriaSet, threshold: &Threshold, molecule: &str) -> Check {
    Check {
        id: key.to_owned(),
        use_name: set.name.clone(),
        status: Status::Skipped,
        value: None,
        standard_error: None,
        chance: None,
        interval: None,
        threshold: threshold.value,
        at_least: false,
        unit: String::new(),
        molecule: molecule.to_owned(),
        reason: String::new(),
        to_decide: None,
        decidable_by: None,
    }
}

/// Returns the probability that the true value is beyond the threshold that a check has passed or failed.
fn chance(status: Status, threshold: &Threshold, value: f64, u: Uncertainty) -> Option<f64> {
    let limit = match status {
        Status::Pass => threshold.value,
        Status::Fail => threshold.bad.unwrap_or(threshold.value),
        _ => return None,
    };
    let (standard_error, degrees_of_freedom) = (u.standard_error, u.degrees_of_freedom?);
    let chance = Estimate { value, standard_error, degrees_of_freedom }.chance_beyond(limit);
    Some(chance).filter(|chance| chance.is_finite())
}

/// Returns pass if the whole interval is on the good side of the threshold, fail if all of it is on the bad side of the
/// bad bound, and undecided otherwise. NaN fails.
fn status(bound: Bound, threshold: &Threshold, value: f64, uncertainty: Option<Uncertainty>) -> Status {
    let [low, high] = uncertainty.map_or([value; 2], |u| u.interval);
    let (best, worst) = match bound {
        Bound::AtMost => (low, high),
        Bound::AtLeast => (high, low),
    };
    if value.is_nan() || low.is_nan() || high.is_nan() {
        Status::Fail
    } else if bound.holds(worst, threshold.value) {
        Status::Pass
    } else if bound.holds(best, threshold.bad.unwrap_or(threshold.value)) {
        Status::Undecided
    } else {
        Status::Fail
    }
}

/// Returns the data that would decide the check; `None` if the value lies between the good and the bad bound.
fn decidable_by(
    bound: Bound,
    threshold: &Threshold,
    value: f64,
    uncertainty: Option<Uncertainty>,
) -> Option<DecidableBy> {
    let bad = threshold.bad.unwrap_or(threshold.value);
    let between = !bound.holds(value, threshold.value) && bound.holds(value, bad);
    uncertainty.map(|u| u.decidable_by).filter(|_| !between)
}

/// Estimates how many more observations would move the interval to one side if the value stays: the standard error
/// falls as the square root of their number, that of a slope as the power 3/2 of the duration.
fn what_would_decide(
    bound: Bound,
    threshold: &Threshold,
    value: f64,
    uncertainty: Option<Uncertainty>,
) -> String {
    let bad = threshold.bad.unwrap_or(threshold.value);
    let gap = if bound.holds(value, threshold.value) {
        (value - threshold.value).abs()
    } else if !bound.holds(value, bad) {
        (value - bad).abs()
    } else {
        let (good, bad) = (number(threshold.value), number(bad));
        return format!("the value lies between good ({good}) and bad ({bad})");
    };
    let Some(u) = uncertainty else { return String::new() };
    if u.decidable_by == DecidableBy::Computation {
        let error = number(u.standard_error);
        return format!(
            "the error of the finite differences (± {error}) covers the limit: a smaller step or forces in f64 would decide"
        );
    }
    let reach = (u.interval[1] - value).max(value - u.interval[0]);
    let factor = (reach / gap).powi(2);
    let more = (u.n as f64 * (factor - 1.0)).ceil().max(1.0);
    if !more.is_finite() || more > 1e6 {
        return format!("the value lies on the threshold: no number of {} decides", u.decidable_by.noun());
    }
    let longer = if u.decidable_by == DecidableBy::Replicas {
        format!(", or runs {} times as long,", number(factor.cbrt().max(1.0)))
    } else {
        String::new()
    };
    format!("about {more} more {}{longer} would decide, if the value stays", u.decidable_by.noun())
}
