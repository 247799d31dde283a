use std::collections::BTreeMap;

use md_results::{Check, Model, PRODUCTION, Status};
use serde::{Deserialize, Serialize};

use super::{CheckKey, Direction, Question, is_lost, question, rank_of_status};

/// Half-width of the two-sided 95 % interval of a normal distribution, in standard errors.
const NORMAL_95: f64 = 1.96;

/// Largest relative difference that counts as equal if no uncertainty is known.
const WITHIN: f64 = 0.1;

/// Values that pass by this factor count as equal.
const FAR_BETTER: f64 = 100.0;

/// A check whose status changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flip {
    /// Identity of the check.
    #[serde(flatten)]
    pub key: CheckKey,
    /// Check in the first results.
    pub before: Check,
    /// Check in the second results.
    pub after: Check,
    /// Direction of the change.
    pub direction: Direction,
}

impl Flip {
    /// Whether the check passed and now fails.
    pub fn is_regression(&self) -> bool {
        self.before.status == Status::Pass && self.after.status == Status::Fail
    }

    /// Whether the check passed and is now not decided.
    pub(super) fn is_open(&self) -> bool {
        self.before.status == Status::Pass
            && matches!(self.after.status, Status::Undecided | Status::Skipped)
            && !is_lost(&self.before, &self.after)
    }
}

/// A measurement that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasurementChange {
    /// Key of the criterion.
    pub id: String,
    /// Uses whose checks depend on the measurement.
    pub uses: Vec<String>,
    /// Check of the first such use, in the first results.
    pub before: Check,
    /// Check of the first such use, in the second results.
    pub after: Check,
    /// Direction of the change.
    pub direction: Direction,
    /// Difference divided by the larger of the two values.
    pub relative: f64,
    /// Whether both uncertainties are known; the change then exceeds them.
    pub uncertainty_known: bool,
}

impl MeasurementChange {
    /// Whether the measurement got worse for production, by more than its uncertainty.
    pub fn is_regression(&self) -> bool {
        self.direction == Direction::Worse
            && self.uncertainty_known
            && self.uses.iter().any(|u| u == PRODUCTION)
    }
}

/// Result of comparing the checks of two models.
#[derive(Default)]
pub(super) struct Found {
    pub(super) flips: Vec<Flip>,
    pub(super) changes: Vec<MeasurementChange>,
    pub(super) compared: usize,
    pub(super) with_uncertainty: usize,
}

/// Compares the checks that two models have in common.
pub(super) fn compare(before: &Model, after: &Model) -> Found {
    let mut found = Found::default();
    // Reversed, so that the first of several equal keys is used.
    let theirs: BTreeMap<Question<'_>, &Check> =
        after.checks.iter().rev().map(|c| (question(c), c)).collect();
    let mut measurements: BTreeMap<(&str, &str), Vec<Measurement<'_>>> = BTreeMap::new();
    for x in &before.checks {
        let Some(&y) = theirs.get(&question(x)) else { continue };
        // A check that is not applicable is neither better nor worse than a measured one: `one_sided` names it.
        let both_apply = ![x.status, y.status].contains(&Status::NotApplicable);
        let direction = Direction::from_to(rank_of_status(x.status), rank_of_status(y.status));
        if let Some(direction) = direction.filter(|_| both_apply) {
            found.flips.push(Flip {
                key: CheckKey::from_check(x),
                before: x.clone(),
                after: y.clone(),
                direction,
            });
        }
        if x.value.is_none() || y.value.is_none() {
            continue;
        }
        // At most one for each use.
        let known = measurements.entry((&x.id, &x.molecule)).or_default();
        let place = known
            .iter()
            .position(|m| same_measurement(m.before, x) && same_measurement(m.after, y))
            .unwrap_or_else(|| {
                found.compared += 1;
                found.with_uncertainty += usize::from(uncertainties(x, y).is_some());
                known.push(Measurement { before: x, after: y, change: None });
                known.len() - 1
            });
        let Some(change) = change(x, y) else { continue };
        match known[place].change {
            Some(told) => found.changes[told].uses.extend(change.uses),
            None => {
                known[place].change = Some(found.changes.len());
                found.changes.push(change);
            }
        }
    }
    found
}

/// A measurement that checks of several uses may depend on.
struct Measurement<'a> {
    before: &'a Check,
    after: &'a Check,
    /// Index of its change.
    change: Option<usize>,
}

/// Whether two checks, possibly of different uses, depend on the same measurement.
fn same_measurement(a: &Check, b: &Check) -> bool {
    (&a.id, &a.molecule, a.value, a.standard_error, a.interval)
        == (&b.id, &b.molecule, b.value, b.standard_error, b.interval)
}

/// Returns the change between the values of two checks, if any.
fn change(x: &Check, y: &Check) -> Option<MeasurementChange> {
    let (before, after) = (x.value?, y.value?);
    if far_better(x) && far_better(y) {
        return None;
    }
    let difference = (after - before).abs();
    let larger = before.abs().max(after.abs());
    let uncertainties = uncertainties(x, y);
    let least = match uncertainties {
        Some([p, q]) => p.hypot(q),
        None => WITHIN * larger,
    };
    if difference <= least {
        return None;
    }
    let sign = if x.at_least { 1.0 } else { -1.0 };
    Some(MeasurementChange {
        id: x.id.clone(),
        uses: vec![x.use_name.clone()],
        direction: Direction::from_to(sign * before, sign * after)?,
        relative: difference / larger,
        uncertainty_known: uncertainties.is_some(),
        before: x.clone(),
        after: y.clone(),
    })
}

/// Returns the 95 % uncertainties of both values if both are known.
fn uncertainties(x: &Check, y: &Check) -> Option<[f64; 2]> {
    Some([uncertainty(x)?, uncertainty(y)?])
}

fn uncertainty(check: &Check) -> Option<f64> {
    let normal = check.standard_error.map(|e| NORMAL_95 * e);
    let value = check.value?;
    let reach = check.interval.map(|[low, high]| (high - value).max(value - low));
    normal.into_iter().chain(reach).reduce(f64::max)
}

/// Whether a value passes by the factor `FAR_BETTER`.
fn far_better(check: &Check) -> bool {
    let far = |value: f64| {
        if check.at_least {
            value >= FAR_BETTER * check.threshold
        } else {
            FAR_BETTER * value <= check.threshold
        }
    };
    check.status == Status::Pass && check.value.is_some_and(far)
}
