//! Describes findings in words. Equal findings have equal descriptions.

use md_results::{
    Check, Expectation, Model, PRODUCTION, Results, Status, Verdict, most_telling, with_unit, worst,
};

use super::diagnosis::failures;
use crate::Theme;

/// Returns the reason for a verdict (or, without one, the result of a control) in one sentence.
pub(super) fn summary(
    results: &Results,
    model: &Model,
    verdict: Option<Verdict>,
    uses: &[String],
    checks: &[Check],
    not_looked_at: &[&str],
) -> String {
    let Some(verdict) = verdict else {
        return match worst(checks.iter()) {
            Status::Pass => "passes every check of the engine (this approves no model)".to_owned(),
            Status::Fail => {
                format!("THE ENGINE FAILS, no verdict can be trusted: {}", failures(results, model, checks))
            }
            _ => format!("not every check of the engine was made: {}", gaps(checks)),
        };
    };
    let assumed = match model.assumptions.as_slice() {
        [] => String::new(),
        all => format!("; assumed: {}", all.join("; ")),
    };
    let of_verdict = match verdict {
        Verdict::Approved => {
            let which = if checks.iter().any(|c| c.status == Status::NotApplicable) {
                " that is applicable"
            } else {
                ""
            };
            let not = not_looked_at.join(", ");
            format!(
                "every check of this campaign for production{which} passes; not looked at: {not}{assumed}"
            )
        }
        Verdict::Restricted => {
            format!(
                "approved for {}; for production {}{assumed}",
                uses.join(", "),
                failures(results, model, checks)
            )
        }
        Verdict::Rejected => {
            let open = open_uses(checks);
            let lack = if open.is_empty() {
                String::new()
            } else {
                format!("; not decided for {}", open.join(", "))
            };
            failures(results, model, checks) + &lack
        }
        Verdict::Incomplete => {
            let failed = failed_uses(checks);
            let fails =
                if failed.is_empty() { String::new() } else { format!("fails for {}; ", failed.join("; ")) };
            fails + &gaps(checks)
        }
    };
    match expected_use(results, model, uses, checks) {
        Some(open) => format!("{open}; for production {of_verdict}"),
        None => of_verdict,
    }
}

/// Says why a use other than production that the campaign expects does not pass, if so.
fn expected_use(results: &Results, model: &Model, uses: &[String], checks: &[Check]) -> Option<String> {
    let Some(Expectation::Use { name }) = &model.expected else { return None };
    if name == PRODUCTION || uses.contains(name) {
        return None;
    }
    let own: Vec<Check> = checks.iter().filter(|c| c.use_name == *name).cloned().collect();
    let why = if worst(own.iter()) == Status::Fail { failures(results, model, &own) } else { gaps(&own) };
    Some(format!("not for {name}, which is expected: {why}"))
}

/// Returns what users of a model do with it and this campaign did not.
pub(super) fn not_looked_at(results: &Results, model: &Model) -> Vec<&'static str> {
    let own = || results.runs.iter().filter(|run| run.model == model.name);
    let molecules = || results.molecules.iter().filter(|m| model.molecules.contains(&m.name));
    let looked = [
        (own().any(|run| !run.is_nve() && run.ramp_to_k.is_none()), "runs with a thermostat"),
        (own().any(|run| run.ramp_to_k.is_some()), "temperature ramps"),
        (molecules().all(|m| m.reference_trajectories > 0), "reference dynamics of every molecule"),
        (
            molecules().all(|m| !m.reference_frequencies_per_cm.is_empty()),
            "reference frequencies of every molecule",
        ),
        (false, "other molecules"),
        (false, "longer runs"),
    ];
    looked.iter().filter(|(looked, _)| !looked).map(|(_, what)| *what).collect()
}

/// Returns the uses of which no check fails.
fn open_uses(checks: &[Check]) -> Vec<&str> {
    let failed = uses_of(checks, Status::Fail);
    let mut open: Vec<&str> = Vec::new();
    for check in checks.iter().filter(|c| !failed.contains(&c.use_name.as_str())) {
        if !open.contains(&check.use_name.as_str()) {
            open.push(&check.use_name);
        }
    }
    open
}

/// Returns the uses that fail, each with its most telling failure.
fn failed_uses(checks: &[Check]) -> Vec<String> {
    let of_use =
        |name: &str| most_telling(checks.iter().filter(|c| c.use_name == name && c.status == Status::Fail));
    let words = |(name, check): (&str, &Check)| {
        let title = crate::find(&check.id).map_or(check.id.as_str(), |criterion| criterion.title);
        format!("{name}: {title} on {}", check.molecule)
    };
    uses_of(checks, Status::Fail)
        .into_iter()
        .filter_map(|name| Some((name, of_use(name)?)))
        .map(words)
        .collect()
}

/// Returns the uses with a check of this status, in their order.
fn uses_of(checks: &[Check], status: Status) -> Vec<&str> {
    let mut uses: Vec<&str> = Vec::new();
    for check in checks.iter().filter(|c| c.status == status) {
        if !uses.contains(&check.use_name.as_str()) {
            uses.push(&check.use_name);
        }
    }
    uses
}

/// Number of criteria with one reason above which not all are named; none of them if it is the reason of all.
const MOST_TITLES: usize = 5;

/// Lists the reasons for missing data, each once, with the criteria that depend on them.
fn gaps(checks: &[Check]) -> String {
    if checks.is_empty() {
        return "nothing was checked".to_owned();
    }
    let mut gaps: Vec<(String, Vec<&str>)> = Vec::new();
    for criterion in crate::ALL {
        let open = checks
            .iter()
            .filter(|c| matches!(c.status, Status::Skipped | Status::Undecided) && c.id == criterion.key);
        let Some(check) = most_telling(open.clone()) else { continue };
        let mut molecules: Vec<&str> = open.map(|c| c.molecule.as_str()).collect();
        molecules.sort_unstable();
        molecules.dedup();
        let mut reason = match &check.to_decide {
            Some(to_decide) => format!("undecided on {}, {to_decide}", check.molecule),
            None if criterion.theme == Theme::Amount && check.value.is_some() => format!(
                "{} on {} (limit: {} {})",
                check.reason,
                check.molecule,
                criterion.bound.words(),
                with_unit(check.threshold, &check.unit)
            ),
            None => check.reason.clone(),
        };
        if let more @ 1.. = molecules.len() - 1 {
            reason += &format!(", and on {more} more molecule{}", if more == 1 { "" } else { "s" });
        }
        match gaps.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, titles)) => titles.push(criterion.title),
            None => gaps.push((reason, vec![criterion.title])),
        }
    }
    match gaps.as_slice() {
        [] => "no check is applicable".to_owned(),
        [(reason, titles)] if titles.len() > MOST_TITLES => reason.clone(),
        all => {
            let one = |(reason, titles): &(String, Vec<&str>)| match titles.len() {
                n if n > MOST_TITLES => {
                    let first = titles[..MOST_TITLES - 1].join(", ");
                    format!("{first} and {} more: {reason}", n + 1 - MOST_TITLES)
                }
                _ => format!("{}: {reason}", titles.join(", ")),
            };
            all.iter().map(one).collect::<Vec<_>>().join("; ")
        }
    }
}
