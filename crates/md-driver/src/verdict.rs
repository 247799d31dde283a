//! From evidence to verdict: a pure function of the results file.
//!
//! Every criterion of every use is applied to every molecule that the campaign asks the model to run. A check that could
//! not be made is SKIPPED, which is never a pass:
//!
//! | production | other uses | verdict |
//! |---|---|---|
//! | all checks pass | | APPROVED |
//! | some skipped, none fails | | INCOMPLETE |
//! | some check fails | one use passes | RESTRICTED to the uses that pass |
//! | some check fails | none passes, one has no failure | INCOMPLETE |
//! | some check fails | every one fails | REJECTED |
//!
//! A control is a closed form that tests the engine. It is checked against [`control_criteria`] and gets no verdict.

use std::collections::BTreeMap;

use md_io::results::{
    Check, CriteriaSet, Envelope, Model, Results, Role, Run, RunFate, Status, Threshold, ThresholdSource,
    Verdict,
};

use crate::config::PRODUCTION;
use crate::criteria::{self, Criterion, Evidence, Finding};

/// Name of the use that a control is checked for.
pub const ENGINE: &str = "engine";

/// Drift allowed to the engine on its control, meV/atom/ps. Velocity Verlet at 0.5 fs has none: what is measured is the
/// error of the slope, 0.2 in runs of 0.1 ps and less in longer ones.
const ENGINE_DRIFT_MEV_PER_ATOM_PER_PS: f64 = 1.0;

/// Exit status of a campaign; the numbers are the program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every model met what the campaign expects of it.
    Met = 0,
    /// Some model did not.
    NotMet = 1,
    /// Data are missing, or no model was judged.
    Incomplete = 3,
}

/// Fills in checks, verdict, uses, envelope and summary of every model from the evidence in `results`.
pub fn judge(results: &mut Results) {
    let judged: Vec<Model> = results.models.iter().map(|model| judge_model(results, model)).collect();
    results.models = judged;
}

/// What the campaign as a whole came to.
pub fn outcome(results: &Results) -> Outcome {
    let mut candidates = 0;
    let mut incomplete = false;
    for model in &results.models {
        match (model.role, model.verdict) {
            (Role::Control, _) => match worst(model.checks.iter()) {
                Status::Pass => {}
                Status::Fail => return Outcome::NotMet,
                Status::Skipped | Status::Undecided => incomplete = true,
            },
            (Role::Candidate, verdict) => {
                candidates += 1;
                if verdict == model.expected {
                    continue;
                }
                if verdict.is_none() || verdict == Some(Verdict::Incomplete) {
                    incomplete = true;
                } else {
                    return Outcome::NotMet;
                }
            }
        }
    }
    if incomplete || candidates == 0 { Outcome::Incomplete } else { Outcome::Met }
}

/// What a control must show: that the engine conserves energy and that the gates do not fire on a sound potential.
/// Permutation is no gate for it: it knows its molecules by the order of their atoms.
pub fn control_criteria(results: &Results, control: &str) -> CriteriaSet {
    let default = |value| Threshold { value, source: ThresholdSource::Default };
    let planned =
        results.runs.iter().filter(|r| r.model == control).map(Run::planned_ps).fold(f64::INFINITY, f64::min);
    let applies = |criterion: &&Criterion| match criterion.evidence {
        Evidence::Gate(id) => !id.starts_with("permutation"),
        Evidence::Function(_) => criterion.key == "max_bond_ratio",
    };
    let mut thresholds: BTreeMap<String, Threshold> = criteria::ALL
        .iter()
        .filter(applies)
        .filter_map(|criterion| Some((criterion.key.to_owned(), default(criterion.default?))))
        .collect();
    thresholds
        .insert("energy_drift_meV_per_atom_per_ps".to_owned(), default(ENGINE_DRIFT_MEV_PER_ATOM_PER_PS));
    if planned.is_finite() {
        thresholds.insert("stable_ps".to_owned(), default(planned));
    }
    CriteriaSet { name: ENGINE.to_owned(), thresholds }
}

/// The worst of some checks: a failure beats a skip beats an undecided check beats a pass. Skipped if there are none.
pub fn worst<'a>(checks: impl Iterator<Item = &'a Check>) -> Status {
    checks.map(|c| c.status).max_by_key(|s| severity(*s)).unwrap_or(Status::Skipped)
}

fn severity(status: Status) -> u8 {
    match status {
        Status::Pass => 0,
        Status::Undecided => 1,
        Status::Skipped => 2,
        Status::Fail => 3,
    }
}

/// The check to show for a group of checks of one criterion: the worst, and among failures the one furthest off.
pub fn most_telling<'a>(checks: impl Iterator<Item = &'a Check>) -> Option<&'a Check> {
    checks.max_by(|a, b| {
        severity(a.status).cmp(&severity(b.status)).then_with(|| excess(a).total_cmp(&excess(b)))
    })
}

/// How far a value lies on the bad side, as a ratio (1 is at the threshold).
fn excess(check: &Check) -> f64 {
    let Some(value) = check.value else { return f64::INFINITY };
    let ratio = value / check.threshold;
    match criteria::find(&check.id).map(|c| c.bound) {
        Some(criteria::Bound::AtLeast) => 1.0 / ratio,
        _ => ratio,
    }
}

fn judge_model(results: &Results, model: &Model) -> Model {
    let sets = match model.role {
        Role::Candidate => results.criteria.clone(),
        Role::Control => vec![control_criteria(results, &model.name)],
    };
    let checks: Vec<Check> = sets.iter().flat_map(|set| checks_of(results, model, set)).collect();
    let state_of = |set: &CriteriaSet| worst(checks.iter().filter(|c| c.use_name == set.name));
    let uses: Vec<String> = sets
        .iter()
        .filter(|set| model.role == Role::Candidate && state_of(set) == Status::Pass)
        .map(|set| set.name.clone())
        .collect();
    let verdict = (model.role == Role::Candidate).then(|| verdict_of(&sets, &uses, state_of));
    Model {
        verdict,
        summary: summary(verdict, &uses, &checks),
        uses,
        envelope: envelope(results, model),
        checks,
        ..model.clone()
    }
}

fn checks_of(results: &Results, model: &Model, set: &CriteriaSet) -> Vec<Check> {
    let mut checks = Vec::new();
    for criterion in criteria::ALL {
        let Some(threshold) = set.thresholds.get(criterion.key) else { continue };
        for molecule in &model.molecules {
            let finding = criterion.measure(results, &model.name, molecule);
            checks.push(check(criterion, set, threshold.value, molecule, finding));
        }
    }
    checks
}

fn check(
    criterion: &Criterion,
    set: &CriteriaSet,
    threshold: f64,
    molecule: &str,
    finding: Finding,
) -> Check {
    let holds = |value| criterion.bound.holds(value, threshold);
    let (status, value, standard_error, reason) = match finding {
        Finding::Value { value, standard_error, detail } => {
            let status = if holds(value) { Status::Pass } else { Status::Fail };
            (status, Some(value), standard_error, detail)
        }
        Finding::Survived { first_failure: Some((value, why)), .. } if !holds(value) => {
            (Status::Fail, Some(value), None, why)
        }
        Finding::Survived { shortest_survivor: Some(value), n, .. } if !holds(value) => {
            let reason = format!("{n} runs, but observed for {} only", with_unit(value, criterion.unit));
            (Status::Skipped, Some(value), None, reason)
        }
        Finding::Survived { first_failure, shortest_survivor, n } => {
            let failed = first_failure.map(|(value, _)| value);
            let value = failed.into_iter().chain(shortest_survivor).reduce(f64::min);
            (Status::Pass, value, None, format!("{n} runs"))
        }
        Finding::Missing(reason) => (Status::Skipped, None, None, reason),
    };
    Check {
        id: criterion.key.to_owned(),
        use_name: set.name.clone(),
        status,
        value: value.filter(|v| v.is_finite()),
        standard_error: standard_error.filter(|v| v.is_finite()),
        threshold,
        unit: criterion.unit.to_owned(),
        molecule: molecule.to_owned(),
        reason,
    }
}

fn verdict_of(sets: &[CriteriaSet], uses: &[String], state_of: impl Fn(&CriteriaSet) -> Status) -> Verdict {
    let production = sets.iter().find(|s| s.name == PRODUCTION).map(&state_of);
    let others_open = sets.iter().any(|s| s.name != PRODUCTION && state_of(s) != Status::Fail);
    match production {
        Some(Status::Pass) => Verdict::Approved,
        Some(Status::Fail) if !uses.is_empty() => Verdict::Restricted,
        Some(Status::Fail) if !others_open => Verdict::Rejected,
        _ => Verdict::Incomplete,
    }
}

fn summary(verdict: Option<Verdict>, uses: &[String], checks: &[Check]) -> String {
    let Some(verdict) = verdict else {
        return match worst(checks.iter()) {
            Status::Pass => "passes every check of the engine (this approves no model)".to_owned(),
            Status::Fail => {
                format!("THE ENGINE FAILS, no verdict can be trusted: {}", failures(checks))
            }
            _ => format!("not every check of the engine was made: {}", gaps(checks)),
        };
    };
    match verdict {
        Verdict::Approved => "every check for production passes".to_owned(),
        Verdict::Restricted => {
            format!("holds for {}; for production {}", uses.join(", "), failures(checks))
        }
        Verdict::Rejected => failures(checks),
        Verdict::Incomplete => gaps(checks),
    }
}

/// The failures of production (or of the engine), the most telling molecule of each criterion.
fn failures(checks: &[Check]) -> String {
    let first_use = checks.first().map_or(PRODUCTION, |c| c.use_name.as_str());
    let failed = || checks.iter().filter(|c| c.status == Status::Fail && c.use_name == first_use);
    let sentence = |criterion: &Criterion| {
        let check = most_telling(failed().filter(|c| c.id == criterion.key))?;
        Some(match check.value {
            Some(value) => format!(
                "{} is {} on {} ({} {} asked)",
                criterion.title,
                with_unit(value, &check.unit),
                check.molecule,
                criterion.bound.sign(),
                number(check.threshold)
            ),
            None => format!("{} on {}: {}", criterion.title, check.molecule, check.reason),
        })
    };
    criteria::ALL.iter().filter_map(sentence).collect::<Vec<_>>().join("; ")
}

/// What is missing, every reason once, with the criteria that wait for it.
fn gaps(checks: &[Check]) -> String {
    if checks.is_empty() {
        return "nothing was checked".to_owned();
    }
    let mut gaps: Vec<(&str, Vec<&str>)> = Vec::new();
    for criterion in criteria::ALL {
        let skipped = checks.iter().filter(|c| c.status == Status::Skipped && c.id == criterion.key);
        let Some(check) = most_telling(skipped) else { continue };
        match gaps.iter_mut().find(|(reason, _)| *reason == check.reason) {
            Some((_, titles)) => titles.push(criterion.title),
            None => gaps.push((&check.reason, vec![criterion.title])),
        }
    }
    match gaps.as_slice() {
        [(reason, titles)] if titles.len() > 1 => (*reason).to_owned(),
        all => {
            let one = |(reason, titles): &(&str, Vec<&str>)| format!("{}: {reason}", titles.join(", "));
            all.iter().map(one).collect::<Vec<_>>().join("; ")
        }
    }
}

/// A number and its unit, if it has one.
pub fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value)).trim_end().to_owned()
}

/// A number with four significant digits, as people write it.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e5).contains(&magnitude) {
        let digits = usize::try_from(3 - magnitude.log10().floor() as i32).unwrap_or(0);
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.1e}").replace(".0e", "e")
    }
}

fn envelope(results: &Results, model: &Model) -> Envelope {
    let runs: Vec<&Run> = results.runs.iter().filter(|r| r.model == model.name).collect();
    let all_finished = |same: &dyn Fn(&Run) -> bool| {
        let mut chosen = runs.iter().filter(|r| same(r)).peekable();
        chosen.peek().is_some() && chosen.all(|r| r.fate == RunFate::Finished)
    };
    let mut temperatures: Vec<f64> = runs.iter().map(|r| r.temperature_k).collect();
    temperatures.sort_by(f64::total_cmp);
    temperatures.dedup();
    let finished = || runs.iter().filter(|r| r.fate == RunFate::Finished);
    Envelope {
        molecules: model
            .molecules
            .iter()
            .filter(|name| all_finished(&|r| r.molecule == **name))
            .cloned()
            .collect(),
        temperatures_k: temperatures
            .into_iter()
            .filter(|t| all_finished(&|r| r.temperature_k == *t))
            .collect(),
        timestep_fs: finished().map(|r| r.timestep_fs).max_by(f64::total_cmp),
        duration_ps: finished().map(|r| r.done_ps()).max_by(f64::total_cmp),
    }
}

#[cfg(test)]
mod tests;
