//! Which check speaks for several, and what a criterion is for people.

use crate::{Check, Model, Role, Status};

/// The use that decides about APPROVED.
pub const PRODUCTION: &str = "production";

/// What a control is held to.
pub const ENGINE: &str = "engine";

/// What a criterion is, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// `id` of its checks.
    pub key: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What is measured, and how: a sentence with the formula.
    pub definition: &'static str,
    /// Unit of value and threshold.
    pub unit: &'static str,
    /// Why the default threshold is what it is.
    pub source: &'static str,
}

/// The use that a model is told of first: production, or the engine's for a control.
pub fn first_use(model: &Model) -> &'static str {
    match model.role {
        Role::Candidate => PRODUCTION,
        Role::Control => ENGINE,
    }
}

/// The worst of some checks: a failure beats a skip beats an undecided check beats a pass beats what is not applicable.
/// Skipped if there are none.
pub fn worst<'a>(checks: impl Iterator<Item = &'a Check>) -> Status {
    checks.map(|c| c.status).max().unwrap_or(Status::Skipped)
}

/// The check to show for a group of checks of one criterion: the worst, and among failures the one furthest off.
pub fn most_telling<'a>(checks: impl Iterator<Item = &'a Check>) -> Option<&'a Check> {
    checks.max_by(|a, b| a.status.cmp(&b.status).then_with(|| excess(a).total_cmp(&excess(b))))
}

/// Title of the criterion `key`; the key itself where no definition is known.
pub fn title<'a>(definitions: &'a [Definition], key: &'a str) -> &'a str {
    definitions.iter().find(|d| d.key == key).map_or(key, |d| d.title)
}

/// How far a value lies on the bad side, as a ratio (1 is at the threshold).
fn excess(check: &Check) -> f64 {
    let Some(value) = check.value else { return f64::INFINITY };
    let ratio = value / check.threshold;
    if check.at_least { 1.0 / ratio } else { ratio }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(status: Status, value: Option<f64>, at_least: bool) -> Check {
        serde_json::from_value(
            json!({ "id": "stable_ps", "use": PRODUCTION, "status": status, "value": value,
            "threshold": 10.0, "at_least": at_least, "unit": "ps", "molecule": "water", "reason": "" }),
        )
        .unwrap()
    }

    #[test]
    fn a_failure_speaks_for_all_and_of_failures_the_furthest_off() {
        let checks = |at_least| {
            let statuses = [Status::Pass, Status::Skipped, Status::Fail, Status::Fail];
            let values = [Some(10.0), None, Some(2.0), Some(1.0)];
            [0, 1, 2, 3].map(|n| check(statuses[n], values[n], at_least))
        };
        let told = |at_least| most_telling(checks(at_least).iter()).and_then(|c| c.value);
        assert_eq!((told(true), told(false)), (Some(1.0), Some(2.0)));
        assert_eq!(worst(checks(true)[..2].iter()), Status::Skipped);
        assert_eq!(worst([].iter()), Status::Skipped);
    }
}
