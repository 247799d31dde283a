//! Summarises the checks of a criterion and describes criteria for readers.

use crate::{Check, Model, Role, Status};

/// Name of the use that decides whether a model is APPROVED.
pub const PRODUCTION: &str = "production";

/// Name of the set of thresholds that a control must meet.
pub const ENGINE: &str = "engine";

/// Human-readable description of a criterion.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// `id` of its checks.
    pub key: &'static str,
    /// Short title.
    pub title: &'static str,
    /// Definition of the measured quantity: a sentence with the formula.
    pub definition: &'static str,
    /// Unit of value and threshold.
    pub unit: &'static str,
    /// Justification of the default threshold.
    pub source: &'static str,
}

/// Returns the use that is reported first for a model: `production`, or `engine` for a control.
pub fn first_use(model: &Model) -> &'static str {
    match model.role {
        Role::Candidate => PRODUCTION,
        Role::Control => ENGINE,
    }
}

/// Returns the worst status of some checks, in the order fail, skipped, undecided, pass, not applicable. Without any
/// checks it is skipped.
pub fn worst<'a>(checks: impl Iterator<Item = &'a Check>) -> Status {
    checks.map(|c| c.status).max().unwrap_or(Status::Skipped)
}

/// Returns the check that represents a group of checks: the one with the worst status and, among failures, the one
/// furthest beyond its threshold.
pub fn most_telling<'a>(checks: impl Iterator<Item = &'a Check>) -> Option<&'a Check> {
    checks.max_by(|a, b| a.status.cmp(&b.status).then_with(|| excess(a).total_cmp(&excess(b))))
}

/// Returns the title of the criterion `key`, or the key itself if no definition is known.
pub fn title<'a>(definitions: &'a [Definition], key: &'a str) -> &'a str {
    definitions.iter().find(|d| d.key == key).map_or(key, |d| d.title)
}

/// Returns the ratio by which a value exceeds its threshold in the bad direction (1 at the threshold).
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
    fn most_telling_is_the_furthest_failure() {
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
