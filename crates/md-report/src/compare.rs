//! Two results side by side: what changed from one release of a model to the next, and whether the second may take the
//! place of the first.
//!
//! - Verdicts and checks in a file are claims. Both results are judged anew, and what follows from their measurements is
//!   compared; a file that claims something else is not comparable.
//! - Models are matched by name, or, where each file has one candidate, whatever their names. Checks are matched by
//!   criterion, use and molecule.
//! - A measurement changed when it differs by more than the 95 % uncertainty of the difference, the root of the sum of
//!   the squares of both 95 % uncertainties: 1.96 standard errors, or the reach of the interval where that is wider,
//!   as it is for few replicas. Where an uncertainty is not known on both sides, when it differs by more than 10 % of
//!   the larger, and then the change is marked.
//! - Values that both pass by a factor of 100 or more are not told apart: most of them are rounding. Every kind of record
//!   that differs at all is listed beside, with its largest difference.
//! - A *regression* is a verdict that got worse because something fails (APPROVED, RESTRICTED, REJECTED, in this order), a
//!   check that passed and fails, for any use, or a measurement for `production` that got worse by more than a known
//!   uncertainty. Of 40 measurements that did not change, one seems to get worse by chance.
//! - Results are *not comparable* where the second lacks something of the first (a model, molecule, use, check, run or
//!   other measurement), does not decide about something the first decided about, is INCOMPLETE or cut down, where one of
//!   them is unfinished or has no candidate, and where the campaigns differ: name, seed, structures, looser thresholds.
//!   A regression is reported as one even then. What the second alone has is listed, and is no obstacle.

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

pub use conditions::Condition;
pub use measurements::{Flip, MeasurementChange};
pub use records::Difference;
use records::Found;
pub use render::{html, markdown, text};
pub use speeds::SpeedChange;

/// What changed between two results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// What it comes to.
    pub outcome: Outcome,
    /// Why: every regression, then all that makes the two not comparable. Empty where nothing got worse.
    pub reasons: Vec<String>,
    /// The first of them.
    pub before: Release,
    /// The second.
    pub after: Release,
    /// Whether something got worse; the module says what counts.
    pub regression: bool,
    /// Whether both measured the same, bit for bit, times aside ([`Results::reproducible`]).
    pub identical: bool,
    /// Every kind of record that differs, whether or not a check shows it; empty where both are the same.
    pub differences: Vec<Difference>,
    /// What else differs: thresholds, versions, machines. They are no changes of the model.
    pub conditions: Vec<Condition>,
    /// The models that are in both.
    pub models: Vec<ModelChanges>,
    /// Models of the first alone.
    pub models_only_before: Vec<String>,
    /// Models of the second alone.
    pub models_only_after: Vec<String>,
}

/// What a comparison comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The second has all of the first, and nothing got worse.
    NoRegression,
    /// Something got worse.
    Regression,
    /// Nothing is known to have got worse, but the second is no full answer to what the first answers.
    NotComparable,
}

/// Names of models of the first, with those of their counterparts in the second.
type Names<'a> = BTreeMap<&'a str, &'a str>;

/// How many of a list are shown.
const LISTED: usize = 3;

/// The first of a list, and how many more there are.
fn listed(all: &[String]) -> String {
    let first = all.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// Which results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Name of the campaign.
    pub campaign: String,
    /// When it began, RFC 3339, UTC.
    pub started: String,
}

/// Better or worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Better.
    Better,
    /// Worse.
    Worse,
}

impl Direction {
    /// The word.
    pub fn label(self) -> &'static str {
        match self {
            Direction::Better => "better",
            Direction::Worse => "worse",
        }
    }

    /// From one rank to another, the higher the better; `None` where they are equal or cannot be compared.
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

/// What changed about one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelChanges {
    /// Its name in the first.
    pub before: String,
    /// Its name in the second.
    pub after: String,
    /// Whether the weights are the same; absent for closed forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_weights: Option<bool>,
    /// A verdict that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictChange>,
    /// Checks that ended otherwise.
    pub flips: Vec<Flip>,
    /// Measurements that changed.
    pub measurements: Vec<MeasurementChange>,
    /// Speeds of every molecule, batch and number of threads that both timed.
    pub speeds: Vec<SpeedChange>,
    /// Why speeds cannot be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speeds_not_comparable: Option<String>,
    /// What was measured in the first alone.
    pub only_before: OneSided,
    /// What was measured in the second alone.
    pub only_after: OneSided,
    /// Measurements that were compared, each once whatever uses it serves.
    pub compared: usize,
    /// Those of them whose uncertainty is known on both sides.
    pub compared_with_uncertainty: usize,
}

/// A verdict that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictChange {
    /// In the first.
    pub before: Verdict,
    /// In the second.
    pub after: Verdict,
    /// Better or worse.
    pub direction: Direction,
    /// The reason of the second.
    pub reason: String,
}

/// What one of two results has and the other has not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OneSided {
    /// Molecules it was asked to run.
    pub molecules: Vec<String>,
    /// Uses it was checked for.
    pub uses: Vec<String>,
    /// Checks that were made, of the molecules and uses that both have.
    pub checks: Vec<CheckKey>,
}

/// Which check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CheckKey {
    /// Key of the criterion.
    pub id: String,
    /// The use.
    #[serde(rename = "use")]
    pub use_name: String,
    /// The molecule.
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
    /// Whether there is nothing of that kind.
    pub fn is_empty(&self) -> bool {
        self.molecules.is_empty() && self.uses.is_empty() && self.checks.is_empty()
    }
}

impl Changes {
    /// Whether nothing that was measured differs; conditions may.
    pub fn is_empty(&self) -> bool {
        self.models_only_before.is_empty()
            && self.models_only_after.is_empty()
            && self.models.iter().all(ModelChanges::is_empty)
    }
}

impl ModelChanges {
    /// Whether nothing that was measured differs.
    pub fn is_empty(&self) -> bool {
        self.verdict.is_none()
            && self.flips.is_empty()
            && self.measurements.is_empty()
            && self.speeds.iter().all(|s| s.direction.is_none())
            && self.only_before.is_empty()
            && self.only_after.is_empty()
    }

    /// Whether something got worse that counts.
    pub fn is_regression(&self) -> bool {
        self.verdict.as_ref().is_some_and(VerdictChange::is_regression)
            || self.flips.iter().any(Flip::is_regression)
            || self.measurements.iter().any(MeasurementChange::is_regression)
    }
}

impl VerdictChange {
    /// Whether it got worse because something fails: what is INCOMPLETE now is not known to be worse.
    pub fn is_regression(&self) -> bool {
        self.direction == Direction::Worse && self.after != Verdict::Incomplete
    }
}

/// What changed from `a` to `b`, each judged anew by `judge`, which fills in verdicts and checks from the measurements.
pub fn compare(a: &Results, b: &Results, judge: impl Fn(&mut Results)) -> Changes {
    let judged = |stored: &Results| {
        let mut results = stored.clone();
        judge(&mut results);
        results
    };
    let (stored, [a, b]) = ([a, b], [judged(a), judged(b)]);
    let mut contradictions = claims::contradictions("BEFORE", stored[0], &a);
    contradictions.extend(claims::contradictions("AFTER", stored[1], &b));
    compare_judged(&a, &b, contradictions)
}

/// What changed between results whose verdicts follow from their measurements. `not_comparable` is what is known so far
/// to make them not comparable.
fn compare_judged(a: &Results, b: &Results, mut not_comparable: Vec<String>) -> Changes {
    let pairs = pairs(a, b);
    let names: Names<'_> = pairs.iter().map(|(x, y)| (x.name.as_str(), y.name.as_str())).collect();
    let models: Vec<ModelChanges> = pairs.iter().map(|(x, y)| compare_models(a, x, b, y)).collect();
    let alone = |models: &[Model], is_paired: &dyn Fn(&Model) -> bool| {
        models.iter().filter(|m| !is_paired(m)).map(|m| m.name.clone()).collect()
    };
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
        models_only_before: alone(&a.models, &|m| pairs.iter().any(|(x, _)| std::ptr::eq(*x, m))),
        models_only_after: alone(&b.models, &|m| pairs.iter().any(|(_, y)| std::ptr::eq(*y, m))),
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

/// The models of `a` with theirs of `b`, in the order of `a`.
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

fn compare_models(a: &Results, before: &Model, b: &Results, after: &Model) -> ModelChanges {
    let verdict = before.verdict.zip(after.verdict).and_then(|(x, y)| {
        let direction = Direction::from_to(rank_of_verdict(x), rank_of_verdict(y))?;
        Some(VerdictChange { before: x, after: y, direction, reason: after.summary.clone() })
    });
    let found = measurements::compare(before, after);
    let speeds = speeds::compare(a, before, b, after);
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

/// What `model` has and `other` has not.
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

/// Whether the second check has no measurement any more. What is not finite has no value, and fails.
fn is_lost(before: &Check, after: &Check) -> bool {
    let ended = |check: &Check| {
        check.status != Status::NotApplicable && (check.value.is_some() || check.status == Status::Fail)
    };
    let was_skipped = before.status == Status::Skipped;
    !ended(after) && (ended(before) || !was_skipped && after.status == Status::Skipped)
}

/// What a check asks, and of what: checks that have it in common are compared.
type Question<'a> = (&'a str, &'a str, &'a str, &'a str, bool);

fn question(check: &Check) -> Question<'_> {
    (&check.id, &check.use_name, &check.molecule, &check.unit, check.at_least)
}

/// The higher the better.
fn rank_of_verdict(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Rejected => 0,
        Verdict::Incomplete => 1,
        Verdict::Restricted => 2,
        Verdict::Approved => 3,
    }
}

/// The higher the better: the reverse of which check speaks for several.
fn rank_of_status(status: Status) -> u8 {
    match status {
        Status::Fail => 0,
        // Neither is a measurement.
        Status::Skipped | Status::NotApplicable => 1,
        Status::Undecided => 2,
        Status::Pass => 3,
    }
}
