//! What a report needs to know of criteria, and which check speaks for several.

use md_io::results::{Check, Model, Role, Status};

use crate::words::{number, with_unit};

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

/// The worst of some checks: a failure beats a skip beats an undecided check beats a pass. Skipped if there are none.
pub fn worst<'a>(checks: impl Iterator<Item = &'a Check>) -> Status {
    checks.map(|c| c.status).max_by_key(|s| severity(*s)).unwrap_or(Status::Skipped)
}

/// The check to show for a group of checks of one criterion: the worst, and among failures the one furthest off.
pub fn most_telling<'a>(checks: impl Iterator<Item = &'a Check>) -> Option<&'a Check> {
    checks.max_by(|a, b| {
        severity(a.status).cmp(&severity(b.status)).then_with(|| excess(a).total_cmp(&excess(b)))
    })
}

fn severity(status: Status) -> u8 {
    match status {
        Status::Pass => 0,
        Status::Undecided => 1,
        Status::Skipped => 2,
        Status::Fail => 3,
    }
}

/// The use that a model is told of first: production, or the engine's for a control.
pub fn first_use(model: &Model) -> &'static str {
    match model.role {
        Role::Candidate => PRODUCTION,
        Role::Control => ENGINE,
    }
}

/// One criterion of a model: the check that speaks for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told<'a> {
    /// Title of the criterion; its key where no definition is known.
    pub title: &'a str,
    /// The most telling of its checks.
    pub check: &'a Check,
    /// Of how many.
    pub of: usize,
}

/// What a model's checks for one use say, a line per criterion: in the order of the definitions, then those without.
pub fn told<'a>(definitions: &'a [Definition], model: &'a Model, use_name: &str) -> Vec<Told<'a>> {
    let of_use = || model.checks.iter().filter(|c| c.use_name == use_name);
    let mut keys: Vec<&str> = definitions.iter().map(|d| d.key).collect();
    for check in of_use() {
        if !keys.contains(&check.id.as_str()) {
            keys.push(&check.id);
        }
    }
    let tell = |key: &'a str| {
        let of_criterion = || of_use().filter(|c| c.id == key);
        let check = most_telling(of_criterion())?;
        Some(Told { title: title(definitions, key), check, of: of_criterion().count() })
    };
    keys.into_iter().filter_map(tell).collect()
}

/// Title of the criterion `key`; the key itself where no definition is known.
pub fn title<'a>(definitions: &'a [Definition], key: &'a str) -> &'a str {
    definitions.iter().find(|d| d.key == key).map_or(key, |d| d.title)
}

/// The value with half the width of its 95 % interval or, where there is none, its standard error; `-` without a value.
pub fn value(check: &Check) -> String {
    let Some(value) = check.value.map(number) else { return "-".to_owned() };
    match (check.interval, check.standard_error) {
        (Some([low, high]), _) => format!("{value} ± {:.1e}", 0.5 * (high - low)),
        (None, Some(error)) => format!("{value} (s.e. {error:.1e})"),
        (None, None) => value,
    }
}

/// The threshold with its sign and unit.
pub fn threshold(check: &Check) -> String {
    format!("{} {}", check.sign(), with_unit(check.threshold, &check.unit))
}

/// Where a check was made, of how many it is the worst, and why it ended so or what would decide it.
pub fn place(check: &Check, of: usize) -> String {
    if let Some(to_decide) = &check.to_decide {
        return format!("{}: {to_decide}", check.molecule);
    }
    let shown = if check.status == Status::Pass && of > 1 {
        format!("{} (worst of {of})", check.molecule)
    } else {
        check.molecule.clone()
    };
    if check.reason.is_empty() { shown } else { format!("{shown}: {}", check.reason) }
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
        Check {
            id: "stable_ps".to_owned(),
            use_name: "production".to_owned(),
            status,
            value,
            standard_error: None,
            interval: None,
            threshold: 10.0,
            at_least,
            unit: "ps".to_owned(),
            molecule: "water".to_owned(),
            reason: String::new(),
            to_decide: None,
        }
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

    #[test]
    fn a_check_says_its_value_its_threshold_and_where() {
        let mut check = check(Status::Pass, Some(12.0), true);
        assert_eq!((value(&check), threshold(&check)), ("12".to_owned(), ">= 10 ps".to_owned()));
        check.interval = Some([11.5, 12.5]);
        assert_eq!(value(&check), "12 ± 5.0e-1");
        assert_eq!(
            (place(&check, 4), place(&check, 1)),
            ("water (worst of 4)".to_owned(), "water".to_owned())
        );
        check.reason = "2 runs".to_owned();
        assert_eq!(place(&check, 4), "water (worst of 4): 2 runs");
        check.status = Status::Fail;
        assert_eq!(place(&check, 4), "water: 2 runs");
        check.to_decide = Some("about 3 more replicas would decide".to_owned());
        assert_eq!(place(&check, 4), "water: about 3 more replicas would decide");
        check.value = None;
        assert_eq!(value(&check), "-");
    }

    #[test]
    fn criteria_come_in_the_order_of_their_definitions_and_none_is_left_out() {
        let mut model = crate::fixtures::model("tiny", json!([]));
        let mut with_id = |id: &str| {
            let mut check = check(Status::Pass, Some(12.0), true);
            check.id = id.to_owned();
            model.checks.push(check);
        };
        ["unknown", "b", "a", "a"].into_iter().for_each(&mut with_id);
        let define = |key, title| Definition { key, title, definition: "", unit: "", source: "" };
        let definitions = [define("a", "first"), define("b", "second"), define("c", "never checked")];
        let titles: Vec<_> =
            told(&definitions, &model, "production").iter().map(|t| (t.title, t.of)).collect();
        assert_eq!(titles, [("first", 2), ("second", 1), ("unknown", 1)]);
        assert!(told(&definitions, &model, "screening").is_empty());
    }
}
