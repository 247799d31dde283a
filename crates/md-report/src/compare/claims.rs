use std::collections::BTreeMap;

use md_results::{Check, Model, Results, Role};

use super::{CheckKey, listed};

/// Largest relative difference of values that count as equal: rounding differs between machines.
const ROUNDING: f64 = 1e-9;

/// Returns the verdicts and checks of a file that do not follow from its measurements, as `judged` has them. Checks that an
/// older version did not make are no claims. Each begins with `which`.
pub fn contradictions(which: &str, stored: &Results, judged: &Results) -> Vec<String> {
    stored.models.iter().zip(&judged.models).flat_map(|(x, y)| of_model(which, x, y)).collect()
}

fn of_model(which: &str, stored: &Model, judged: &Model) -> Vec<String> {
    let why = "changed by hand, or written by another version";
    let name = &stored.name;
    let mut found = Vec::new();
    if let Some(claimed) =
        stored.verdict.filter(|_| stored.role == Role::Candidate && stored.verdict != judged.verdict)
    {
        let follows = judged.verdict.map_or("nothing", |v| v.label());
        found.push(format!(
            "{which}: its stored verdict of {name} is {}, its measurements say {follows}: {why}",
            claimed.label()
        ));
    }
    let follows: BTreeMap<_, &Check> = judged.checks.iter().map(|c| (CheckKey::from_check(c), c)).collect();
    let differing: Vec<String> = stored
        .checks
        .iter()
        .filter_map(|claimed| {
            let key = CheckKey::from_check(claimed);
            let words = match follows.get(&key) {
                Some(check) if is_same(claimed, check) => return None,
                Some(check) => format!("{}, not {}", ended(check), ended(claimed)),
                None => "no such check is made".to_owned(),
            };
            Some(format!("{key}: {words}"))
        })
        .collect();
    if !differing.is_empty() {
        found.push(format!(
            "{which}: {} of {} stored checks of {name} are not what its measurements say ({why}): {}",
            differing.len(),
            stored.checks.len(),
            listed(&differing)
        ));
    }
    found
}

fn is_same(a: &Check, b: &Check) -> bool {
    let close = |x: f64, y: f64| x == y || (x - y).abs() <= ROUNDING * x.abs().max(y.abs());
    let values = match (a.value, b.value) {
        (Some(x), Some(y)) => close(x, y),
        (x, y) => x == y,
    };
    values && a.status == b.status && a.at_least == b.at_least && close(a.threshold, b.threshold)
}

fn ended(check: &Check) -> String {
    let value = crate::checks::value(check);
    format!("{} ({value}, limit: {})", check.status.label(), crate::checks::threshold(check))
}
