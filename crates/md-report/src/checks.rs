//! Formats checks, one line per criterion.

use md_results::{Check, Definition, Model, Status, most_telling, number, title, with_unit};

/// One criterion of a model, represented by one of its checks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CriterionLine<'a> {
    /// Title of the criterion, or its key if no definition is known.
    pub title: &'a str,
    /// Check that represents the criterion.
    pub check: &'a Check,
    /// Number of checks of the criterion.
    pub n_molecules: usize,
}

/// Returns one line per criterion for the checks of a model and a use: in the order of the definitions, then the
/// criteria without a definition.
pub fn criterion_lines<'a>(
    definitions: &'a [Definition],
    model: &'a Model,
    use_name: &str,
) -> Vec<CriterionLine<'a>> {
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
        Some(CriterionLine { title: title(definitions, key), check, n_molecules: of_criterion().count() })
    };
    keys.into_iter().filter_map(tell).collect()
}

/// Formats the value with the distance to the farther end of its 95 % interval or, without one, its standard error; `-` without a value.
pub fn value(check: &Check) -> String {
    let Some(value) = check.value else { return "-".to_owned() };
    let shown = number(value);
    match (check.interval, check.standard_error) {
        // A magnitude ends at zero: the longer side tells how far it may be off.
        (Some([low, high]), _) => format!("{shown} ± {:.1e}", (high - value).max(value - low)),
        (None, Some(error)) => format!("{shown} (s.e. {error:.1e})"),
        (None, None) => shown,
    }
}

/// Formats the threshold with its relation and unit.
pub fn threshold(check: &Check) -> String {
    format!("{} {}", check.sign(), with_unit(check.threshold, &check.unit))
}

/// Describes where a check was made, of how many it is the worst, and its reason or what would decide it.
pub fn place(check: &Check, n_molecules: usize) -> String {
    if let Some(to_decide) = &check.to_decide {
        return format!("{}: {to_decide}", check.molecule);
    }
    let shown = if check.status == Status::Pass && n_molecules > 1 {
        format!("{} (worst of {n_molecules})", check.molecule)
    } else {
        check.molecule.clone()
    };
    if check.reason.is_empty() { shown } else { format!("{shown}: {}", check.reason) }
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
            chance: None,
            interval: None,
            threshold: 10.0,
            at_least,
            unit: "ps".to_owned(),
            molecule: "water".to_owned(),
            reason: String::new(),
            to_decide: None,
            decidable_by: None,
        }
    }

    #[test]
    fn check_formats_value_threshold_and_place() {
        let mut check = check(Status::Pass, Some(12.0), true);
        assert_eq!((value(&check), threshold(&check)), ("12".to_owned(), ">= 10 ps".to_owned()));
        check.interval = Some([11.5, 12.5]);
        assert_eq!(value(&check), "12 ± 5.0e-1");
        check.interval = Some([0.0, 13.0]);
        assert_eq!(value(&check), "12 ± 1.2e1");
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
    fn criterion_lines_follow_definitions_then_unknown_ids() {
        let mut model = crate::fixtures::model("tiny", json!([]));
        let mut with_id = |id: &str| {
            let mut check = check(Status::Pass, Some(12.0), true);
            check.id = id.to_owned();
            model.checks.push(check);
        };
        ["unknown", "b", "a", "a"].into_iter().for_each(&mut with_id);
        let define = |key, title| Definition { key, title, definition: "", unit: "", source: "" };
        let definitions = [define("a", "first"), define("b", "second"), define("c", "never checked")];
        let titles: Vec<_> = criterion_lines(&definitions, &model, "production")
            .iter()
            .map(|t| (t.title, t.n_molecules))
            .collect();
        assert_eq!(titles, [("first", 2), ("second", 1), ("unknown", 1)]);
        assert!(criterion_lines(&definitions, &model, "screening").is_empty());
    }
}
