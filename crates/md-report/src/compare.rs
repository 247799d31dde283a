//! Compares the results of two releases of a model and decides whether the second may replace the first.
//!
//! - Verdicts and checks in a file are claims. Both results are judged again, and the verdicts and checks that follow
//!   from the measurements are compared; a file with other claims is not comparable.
//! - Models are matched by name or, if each file has one candidate, regardless of name. Checks are matched by
//!   criterion, use and molecule.
//! - A measurement changed if it differs by more than the 95 % uncertainty of the difference, the root of the sum of
//!   the squares of both 95 % uncertainties: 1.96 standard errors, or the reach of the interval where that is wider,
//!   as it is for few replicas. If an uncertainty is unknown, it changed if it differs by more than 10 % of the larger
//!   value, and the change is marked.
//! - Values that both pass by a factor of 100 or more are considered equal, since most of their differences are
//!   rounding. Every kind of record that differs at all is listed separately with its largest difference.
//! - A *regression* is a verdict that got worse because something fails (APPROVED, RESTRICTED, REJECTED, in this order), a
//!   check of any use that passed and now fails, or a measurement for `production` that got worse by more than a known
//!   uncertainty. Of 40 unchanged measurements, one appears to get worse by chance.
//! - Results are *not comparable* if the second lacks something that the first has (a model, molecule, use, check, run
//!   or other measurement), leaves undecided what the first decided, is INCOMPLETE or covers only part of its campaign;
//!   if either is unfinished or has no candidate; and if the campaigns differ in name, seed or structures, or the
//!   second has looser thresholds. A regression is reported even then. Anything present only in the second is listed
//!   and is no obstacle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use md_results::{Check, Model, Results, Role, Status, Verdict};
use serde::{Deserialize, Serialize};

mod claims;
mod conditions;
mod measurements;
mod obstacles;
mod records;
mod render;
mod speeds;
#[cfg(test)]
mod tests;

pub use claims::contradictions;
pub use conditions::Condition;
pub use measurements::{Flip, MeasurementChange};
pub use records::Difference;
use records::Found;
pub use render::{html, markdown, text};
pub use speeds::SpeedChange;

/// Changes between two results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Outcome of the comparison.
    pub outcome: Outcome,
    /// Reasons: every regression, then every obstacle to the comparison. Empty if there is no regression and no
    /// obstacle.
    pub reasons: Vec<String>,
    /// The first results.
    pub before: Release,
    /// The second results.
    pub after: Release,
    /// Whether there is a regression, as defined in the module documentation.
    pub regression: bool,
    /// Whether both have bit-identical measurements, except times ([`Results::reproducible`]).
    pub identical: bool,
    /// Every kind of record that differs, whether or not a check depends on it; empty if all are equal.
    pub differences: Vec<Difference>,
    /// Other differences: thresholds, versions, machines. They are no changes of the model.
    pub conditions: Vec<Condition>,
    /// Changes of the models that both results have.
    pub models: Vec<ModelChanges>,
    /// Models present only in the first.
    pub models_only_before: Vec<String>,
    /// Models present only in the second.
    pub models_only_after: Vec<String>,
}

/// Outcome of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The second has everything that the first has, without a regression.
    NoRegression,
    /// There is a regression.
    Regression,
    /// No regression is known, but the second does not answer everything that the first answers.
    NotComparable,
}

/// Maps the models of the first results to their counterparts in the second.
type Names<'a> = BTreeMap<&'a str, &'a str>;

/// Number of entries shown of a list.
const LISTED: usize = 3;

/// Formats the first entries of a list and the number of the others.
fn listed(all: &[String]) -> String {
    let first = all.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// Identity of results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Name of the campaign.
    pub campaign: String,
    /// Start of the campaign, RFC 3339, UTC.
    pub started: String,
}

/// Direction of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Better.
    Better,
    /// Worse.
    Worse,
}

impl Direction {
    /// Returns the direction as a word.
    pub fn label(self) -> &'static str {
        match self {
            Direction::Better => "better",
            Direction::Worse => "worse",
        }
    }

    /// Returns the direction of a change of rank, where higher is better; `None` if the ranks are equal or
    /// incomparable.
    fn from_to<T: PartialOrd + Copy>(before: T, after: T) -> Option<Self> {
        if after > before {
            Some(Direction::Better)
        } else if after < before {
            Some(Direction::Worse)
        } else {
            None
        }
    }
}

/// Changes of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelChanges {
    /// Its name in the first results.
    pub before: String,
    /// Its name in the second results.
    pub after: String,
    /// Whether the weights are identical; absent for closed forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_weights: Option<bool>,
    /// Change of the verdict, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictChange>,
    /// Checks whose status changed.
    pub flips: Vec<Flip>,
    /// Measurements that changed.
    pub measurements: Vec<MeasurementChange>,
    /// Speeds for every molecule, batch size and number of threads that both measured.
    pub speeds: Vec<SpeedChange>,
    /// Reason why speeds cannot be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speeds_not_comparable: Option<String>,
    /// Molecules, uses and checks of the first results only.
    pub only_before: OneSided,
    /// Molecules, uses and checks of the second results only.
    pub only_after: OneSided,
    /// Number of measurements compared, each counted once even if several uses depend on it.
    pub compared: usize,
    /// Number of these measurements with a known uncertainty in both results.
    pub compared_with_uncertainty: usize,
}

/// A change of verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictChange {
    /// Verdict in the first results.
    pub before: Verdict,
    /// Verdict in the second results.
    pub after: Verdict,
    /// Direction of the change.
    pub direction: Direction,
    /// Reason of the second verdict.
    pub reason: String,
}

/// Molecules, uses and checks that only one of two results has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OneSided {
    /// Molecules run with the model.
    pub molecules: Vec<String>,
    /// Uses that the model was checked for.
    pub uses: Vec<String>,
    /// Checks with a measurement, for the molecules and uses that both have.
    pub checks: Vec<CheckKey>,
}

/// Identity of a check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CheckKey {
    /// Key of the criterion.
    pub id: String,
    /// Name of the use.
    #[serde(rename = "use")]
    pub use_name: String,
    /// Name of the molecule.
    pub molecule: String,
}

impl CheckKey {
    fn from_check(check: &Check) -> Self {
        CheckKey { id: check.id.clone(), use_name: check.use_name.clone(), molecule: check.molecule.clone() }
    }
}

impl fmt::Display for CheckKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} ({})", self.id, self.molecule, self.use_name)
    }
}

impl OneSided {
    /// Whether there are no such molecules, uses and checks.
    pub fn is_empty(&self) -> bool {
        self.molecules.is_empty() && self.uses.is_empty() && self.checks.is_empty()
    }
}

impl Changes {
    /// Whether all measurements are equal; conditions may differ.
    pub fn is_empty(&self) -> bool {
        self.models_only_before.is_empty()
            && self.models_only_after.is_empty()
            && self.models.iter().all(ModelChanges::is_empty)
    }
}

impl ModelChanges {
    /// Whether all measurements of the model are equal.
    pub fn is_empty(&self) -> bool {
        self.verdict.is_none()
            && self.flips.is_empty()
            && self.measurements.is_empty()
            && self.speeds.iter().all(|s| s.direction.is_none())
            && self.only_before.is_empty()
            && self.only_after.is_empty()
    }

    /// Whether any of the changes is a regression.
    pub fn is_regression(&self) -> bool {
        self.verdict.as_ref().is_some_and(VerdictChange::is_regression)
            || self.flips.iter().any(Flip::is_regression)
            || self.measurements.iter().any(MeasurementChange::is_regression)
    }
}

impl VerdictChange {
    /// Whether the verdict got worse because something fails: INCOMPLETE is not known to be worse.
    pub fn is_regression(&self) -> bool {
        self.direction == Direction::Worse && self.after != Verdict::Incomplete
    }
}

/// Compares `a` and `b`, each judged again by `judge`, which derives verdicts and checks from the measurements.
pub fn compare(a: &Results, b: &Results, judge: impl Fn(&mut Results)) -> Changes {
    let judged = |stored: &Results| {
        let mut results = stored.clone();
        judge(&mut results);
        results
    };
    let (stored, [a, b]) = ([a, b], [judged(a), judged(b)]);
    let mut obstacles = contradictions("BEFORE", stored[0], &a);
    obstacles.extend(contradictions("AFTER", stored[1], &b));
    compare_judged(&a, &b, obstacles)
}

/// Compares results that are judged already. `not_comparable` holds the obstacles to the comparison found so far.
fn compare_judged(a: &Results, b: &Results, mut not_comparable: Vec<String>) -> Changes {
    let pairs = pairs(a, b);
    let names: Names<'_> = pairs.iter().map(|(x, y)| (x.name.as_str(), y.name.as_str())).collect();
    let speeds = [a, b].map(speeds::by_model);
    let models: Vec<ModelChanges> = pairs.iter().map(|(x, y)| compare_models(a, x, b, y, &speeds)).collect();
    let alone = |models: &[Model], paired: &BTreeSet<&str>| {
        models.iter().filter(|m| !paired.contains(m.name.as_str())).map(|m| m.name.clone()).collect()
    };
    let paired = [names.keys().copied().collect(), names.values().copied().collect()];
    let release = |results: &Results| Release {
        campaign: results.campaign.name.clone(),
        started: results.campaign.started.clone(),
    };
    let [x, y] = [a.reproducible(), b.reproducible()];
    let identical = x == y;
    let Found { differences, missing } =
        if identical { Found::default() } else { records::compare(&x, &y, &names) };
    let regression = models.iter().any(ModelChanges::is_regression);
    let mut changes = Changes {
        outcome: Outcome::NoRegression,
        reasons: render::all_regressions(&models),
        before: release(a),
        after: release(b),
        regression,
        identical,
        differences,
        conditions: conditions::differing(a, b),
        models,
        models_only_before: alone(&a.models, &paired[0]),
        models_only_after: alone(&b.models, &paired[1]),
    };
    not_comparable.extend(obstacles::obstacles(a, b, &names, &changes));
    not_comparable.extend(missing);
    changes.outcome = match (regression, not_comparable.is_empty()) {
        (true, _) => Outcome::Regression,
        (false, false) => Outcome::NotComparable,
        (false, true) => Outcome::NoRegression,
    };
    changes.reasons.extend(not_comparable);
    changes
}

/// Pairs the models of `a` with their counterparts in `b`, in the order of `a`.
fn pairs<'a>(a: &'a Results, b: &'a Results) -> Vec<(&'a Model, &'a Model)> {
    let only = |results: &'a Results| {
        let mut candidates = results.models.iter().filter(|m| m.role == Role::Candidate);
        candidates.next().filter(|_| candidates.next().is_none())
    };
    let only_candidates = only(a).zip(only(b));
    let partner = |model: &'a Model| match only_candidates {
        Some((x, y)) if std::ptr::eq(x, model) => Some((model, y)),
        _ => {
            b.models.iter().find(|m| m.name == model.name && m.role == model.role).map(|found| (model, found))
        }
    };
    a.models.iter().filter_map(partner).collect()
}

fn compare_models(
    a: &Results,
    before: &Model,
    b: &Results,
    after: &Model,
    speeds: &[speeds::ByModel<'_>; 2],
) -> ModelChanges {
    let verdict = before.verdict.zip(after.verdict).and_then(|(x, y)| {
        let direction = Direction::from_to(rank_of_verdict(x), rank_of_verdict(y))?;
        Some(VerdictChange { before: x, after: y, direction, reason: after.summary.clone() })
    });
    let found = measurements::compare(before, after);
    let speeds = speeds::compare(a, before, b, after, speeds);
    let (speeds, speeds_not_comparable) = match speeds {
        Ok(speeds) => (speeds, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    ModelChanges {
        before: before.name.clone(),
        after: after.name.clone(),
        same_weights: before
            .checkpoint_sha256
            .as_ref()
            .zip(after.checkpoint_sha256.as_ref())
            .map(|(x, y)| x == y),
        verdict,
        flips: found.flips,
        measurements: found.changes,
        speeds,
        speeds_not_comparable,
        only_before: one_sided(before, after),
        only_after: one_sided(after, before),
        compared: found.compared,
        compared_with_uncertainty: found.with_uncertainty,
    }
}

/// Returns the molecules, uses and checks that `model` has and `other` lacks.
fn one_sided(model: &Model, other: &Model) -> OneSided {
    let mut alone = OneSided::default();
    let theirs: BTreeSet<&String> = other.molecules.iter().collect();
    alone.molecules.extend(model.molecules.iter().filter(|m| !theirs.contains(m)).cloned());
    let uses: BTreeSet<&str> = other.checks.iter().map(|c| c.use_name.as_str()).collect();
    let checks: BTreeMap<Question<'_>, &Check> = other.checks.iter().map(|c| (question(c), c)).collect();
    let molecules: BTreeSet<String> = alone.molecules.iter().cloned().collect();
    for check in model.checks.iter().filter(|c| !molecules.contains(&c.molecule)) {
        let counterpart = checks.get(&question(check));
        if !uses.contains(check.use_name.as_str()) {
            if !alone.uses.contains(&check.use_name) {
                alone.uses.push(check.use_name.clone());
            }
        } else if counterpart.is_none_or(|c| is_lost(check, c)) {
            alone.checks.push(CheckKey::from_check(check));
        }
    }
    alone
}

/// Whether the second check lost its measurement. A non-finite measurement has no value, and fails.
fn is_lost(before: &Check, after: &Check) -> bool {
    let ended = |check: &Check| {
        check.status != Status::NotApplicable && (check.value.is_some() || check.status == Status::Fail)
    };
    let was_skipped = before.status == Status::Skipped;
    !ended(after) && (ended(before) || !was_skipped && after.status == Status::Skipped)
}

/// Criterion, use, molecule, unit and direction of a check: checks that agree in these are compared.
type Question<'a> = (&'a str, &'a str, &'a str, &'a str, bool);

fn question(check: &Check) -> Question<'_> {
    (&check.id, &check.use_name, &check.molecule, &check.unit, check.at_least)
}

/// Ranks a verdict: higher is better.
fn rank_of_verdict(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Rejected => 0,
        Verdict::Incomplete => 1,
        Verdict::Restricted => 2,
        Verdict::Approved => 3,
    }
}

/// Ranks a status: higher is better, the reverse of the order that selects a representative check.
fn rank_of_status(status: Status) -> u8 {
    match status {
        Status::Fail => 0,
        // Neither has a measurement.
        Status::Skipped | Status::NotApplicable => 1,
        Status::Undecided => 2,
        Status::Pass => 3,
    }
}
