//! Two results side by side: what changed from one release of a model to the next.
//!
//! - Models are matched by name, or, where each file has one candidate, whatever their names. Checks are matched by
//!   criterion, use and molecule.
//! - A measurement changed when it differs by more than the 95 % uncertainty of the difference, the root of the sum of
//!   the squares of both 95 % uncertainties: 1.96 standard errors, or the reach of the interval where that is wider,
//!   as it is for few replicas. Where an uncertainty is not known on both sides, when it differs by more than 10 % of
//!   the larger, and then the change is marked.
//! - Values that both pass by a factor of 100 or more are not told apart: most of them are rounding.
//! - A *regression* is a verdict that got worse (APPROVED, RESTRICTED, INCOMPLETE, REJECTED, in this order), a check
//!   that passed and does not pass any more, for any use, or a measurement for `production` that got worse by more
//!   than a known uncertainty. What one of the two did not look at is listed, and is no regression: it was not asked
//!   for. Of 40 measurements that did not change, one seems to get worse by chance.

use md_io::results::{Check, Model, Results, Role, Status, Verdict};
use serde::{Deserialize, Serialize};

mod conditions;
mod measurements;
mod render;
mod speeds;
#[cfg(test)]
mod tests;

pub use conditions::Condition;
pub use measurements::{Flip, MeasurementChange};
pub use render::{html, markdown, text};
pub use speeds::SpeedChange;

/// What changed between two results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// The first of them.
    pub before: Release,
    /// The second.
    pub after: Release,
    /// Whether something got worse; the module says what counts.
    pub regression: bool,
    /// Whether both measured the same, bit for bit, times aside ([`Results::reproducible`]).
    pub identical: bool,
    /// What else differs: thresholds, versions, machines. They are no changes of the model.
    pub conditions: Vec<Condition>,
    /// The models that are in both.
    pub models: Vec<ModelChanges>,
    /// Models of the first alone.
    pub models_only_before: Vec<String>,
    /// Models of the second alone.
    pub models_only_after: Vec<String>,
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
    /// Checks with a value, of the molecules and uses that both have.
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
    fn of(check: &Check) -> Self {
        CheckKey { id: check.id.clone(), use_name: check.use_name.clone(), molecule: check.molecule.clone() }
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
    /// Whether it got worse.
    pub fn is_regression(&self) -> bool {
        self.direction == Direction::Worse
    }
}

/// What changed from `a` to `b`.
pub fn compare(a: &Results, b: &Results) -> Changes {
    let pairs = pairs(a, b);
    let models: Vec<ModelChanges> = pairs.iter().map(|(x, y)| compare_models(a, x, b, y)).collect();
    let alone = |models: &[Model], is_paired: &dyn Fn(&Model) -> bool| {
        models.iter().filter(|m| !is_paired(m)).map(|m| m.name.clone()).collect()
    };
    let release = |results: &Results| Release {
        campaign: results.campaign.name.clone(),
        started: results.campaign.started.clone(),
    };
    Changes {
        before: release(a),
        after: release(b),
        regression: models.iter().any(ModelChanges::is_regression),
        identical: a.reproducible() == b.reproducible(),
        conditions: conditions::differing(a, b),
        models,
        models_only_before: alone(&a.models, &|m| pairs.iter().any(|(x, _)| std::ptr::eq(*x, m))),
        models_only_after: alone(&b.models, &|m| pairs.iter().any(|(_, y)| std::ptr::eq(*y, m))),
    }
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
    alone.molecules.extend(model.molecules.iter().filter(|m| !other.molecules.contains(m)).cloned());
    let has_use = |name: &str| other.checks.iter().any(|c| c.use_name == name);
    for check in model.checks.iter().filter(|c| c.value.is_some()) {
        let counterpart = other.checks.iter().find(|c| same_check(check, c));
        if alone.uses.contains(&check.use_name) || alone.molecules.contains(&check.molecule) {
            continue;
        }
        if !has_use(&check.use_name) {
            alone.uses.push(check.use_name.clone());
        } else if counterpart.is_none_or(|c| c.value.is_none()) {
            alone.checks.push(CheckKey::of(check));
        }
    }
    alone
}

/// Whether two checks ask the same of the same.
fn same_check(a: &Check, b: &Check) -> bool {
    a.id == b.id
        && a.use_name == b.use_name
        && a.molecule == b.molecule
        && a.unit == b.unit
        && a.at_least == b.at_least
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
        Status::Skipped => 1,
        Status::Undecided => 2,
        Status::Pass => 3,
    }
}
