//! Computes verdicts from evidence, as a pure function of the results file.
//!
//! Every criterion of every use is applied to every molecule that the campaign runs with the model. A check that was
//! not made is SKIPPED and one whose uncertainty covers the threshold is UNDECIDED; neither is ever a pass. A check
//! without anything to measure is NOT APPLICABLE: it does not count, and a use that has no other checks does not pass:
//!
//! | production | other uses | verdict |
//! |---|---|---|
//! | all checks pass | | APPROVED |
//! | some skipped or undecided, none fails | | INCOMPLETE |
//! | some check fails | one use passes | RESTRICTED to the uses that pass |
//! | some check fails | none passes | REJECTED; a use that lacks data is named behind the failure |
//!
//! Production is judged by no less than the default thresholds, whatever the file says ([`CriteriaSet`]s of campaigns cannot
//! be looser).
//!
//! A control is a closed-form potential that tests the engine. It is checked against [`control_criteria`] and receives
//! no verdict.

mod check;
mod diagnosis;
mod envelope;
mod words;

pub use diagnosis::{common_factor, unit_of_labels};

use md_results::{
    ALL_CHECKS, Check, CriteriaSet, DEFAULT_TIME_NS, ELEMENT_PAIRS, ENGINE, Envelope, Expectation, Model,
    PRODUCTION, Results, Role, Run, Status, Threshold, ThresholdSource, Verdict, worst,
};

use crate::evidence::amount::chance_of_any;
use crate::{Criterion, EngineThreshold, Evidence, Index, Scope, Subject, is_looser};

/// Outcome of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every model met the expectation of the campaign.
    Met,
    /// Some model did not meet it.
    NotMet,
    /// Data are missing, no model was judged, or the campaign is unfinished.
    Incomplete,
}

/// Derives checks, verdict, uses, envelope, failure modes and summary of every model from the evidence in `results`.
pub fn judge(results: &mut Results) {
    let indexes = Index::of_models(results);
    let nothing = Index::default();
    let index = |model: &Model| indexes.get(model.name.as_str()).unwrap_or(&nothing);
    let judged: Vec<Model> =
        results.models.iter().map(|model| judge_model(results, index(model), model)).collect();
    results.models = judged;
}

/// Does the same for one model, the others are left as they are.
pub fn judge_one(results: &mut Results, name: &str) {
    let Some(place) = results.models.iter().position(|model| model.name == name) else { return };
    results.models[place] = judge_model(results, &Index::new(results, name), &results.models[place]);
}

/// Returns the outcome of the whole campaign. An unfinished campaign is incomplete, whatever its models show so far.
pub fn outcome(results: &Results) -> Outcome {
    if !results.campaign.is_whole() {
        return Outcome::Incomplete;
    }
    let mut candidates = 0;
    let mut incomplete = false;
    for model in &results.models {
        match (model.role, model.verdict) {
            (Role::Control, _) => match worst(model.checks.iter()) {
                Status::Pass => {}
                // Some checks always apply to a control.
                Status::NotApplicable => incomplete = true,
                Status::Fail => return Outcome::NotMet,
                Status::Skipped | Status::Undecided => incomplete = true,
            },
            (Role::Candidate, verdict) => {
                candidates += 1;
                if model.is_as_expected() {
                    continue;
                }
                let open = match &model.expected {
                    Some(Expectation::Use { name }) => {
                        worst(model.checks.iter().filter(|c| c.use_name == *name)) != Status::Fail
                    }
                    _ => verdict.is_none_or(|verdict| verdict == Verdict::Incomplete),
                };
                if open {
                    incomplete = true;
                } else {
                    return Outcome::NotMet;
                }
            }
        }
    }
    if incomplete || candidates == 0 { Outcome::Incomplete } else { Outcome::Met }
}

/// Returns the criteria of a control: the engine conserves energy, and the gates pass for a sound potential.
pub fn control_criteria(results: &Results, control: &str) -> CriteriaSet {
    let default = |value| Threshold::new(value, ThresholdSource::Default);
    let planned =
        results.runs.iter().filter(|r| r.model == control).map(Run::planned_ps).fold(f64::INFINITY, f64::min);
    let threshold = |criterion: &Criterion| match criterion.engine? {
        EngineThreshold::Default => criterion.default,
        EngineThreshold::Value(value) => Some(value),
        EngineThreshold::PlannedPs => planned.is_finite().then_some(planned),
    };
    let thresholds =
        crate::ALL.iter().filter_map(|c| Some((c.key.to_owned(), default(threshold(c)?)))).collect();
    CriteriaSet::new(ENGINE, thresholds)
}

fn judge_model(results: &Results, index: &Index<'_>, model: &Model) -> Model {
    let sets = sets_of(results, model);
    let checks: Vec<Check> = sets.iter().flat_map(|set| checks(results, index, model, set)).collect();
    let state_of = |set: &CriteriaSet| worst(checks.iter().filter(|c| c.use_name == set.name));
    let uses: Vec<String> = sets
        .iter()
        .filter(|set| model.role == Role::Candidate && state_of(set) == Status::Pass)
        .map(|set| set.name.clone())
        .collect();
    let verdict = (model.role == Role::Candidate).then(|| verdict_of(&sets, &uses, state_of));
    if !results.is_measured(&model.name) {
        return not_measured(results, model, verdict, checks);
    }
    let summary =
        words::summary(results, model, verdict, &uses, &checks, &words::not_looked_at(results, model));
    Model {
        verdict,
        chance: chance(&sets, &checks).filter(|_| verdict.is_some_and(|v| v != Verdict::Incomplete)),
        summary,
        failure_modes: diagnosis::failure_modes(results, model, &checks),
        uses,
        envelope: envelope::envelope(results, model),
        checks,
        ..model.clone()
    }
}

/// Returns a model of which measurements are outstanding: whatever was measured so far, it is INCOMPLETE.
fn not_measured(results: &Results, model: &Model, verdict: Option<Verdict>, checks: Vec<Check>) -> Model {
    let made = results.runs.iter().filter(|run| run.model == model.name).count();
    let planned = results.campaign.plan.iter().find(|planned| planned.model == model.name);
    let summary = match planned.filter(|_| made > 0) {
        Some(planned) => {
            format!("not measured: the campaign was stopped after {made} of its {} runs", planned.runs)
        }
        None => "not measured: the campaign was stopped before it".to_owned(),
    };
    Model {
        verdict: verdict.map(|_| Verdict::Incomplete),
        summary,
        failure_modes: Vec::new(),
        uses: Vec::new(),
        envelope: Envelope::default(),
        checks,
        ..model.clone()
    }
}

fn sets_of(results: &Results, model: &Model) -> Vec<CriteriaSet> {
    match model.role {
        Role::Candidate => results.criteria.iter().map(at_least_default).collect(),
        Role::Control => vec![control_criteria(results, &model.name)],
    }
}

/// Returns the thresholds of production with those that are missing or looser replaced by the defaults; other uses as they are.
fn at_least_default(set: &CriteriaSet) -> CriteriaSet {
    let mut set = set.clone();
    if set.name == PRODUCTION {
        set.time_ns = set.time_ns.max(DEFAULT_TIME_NS);
        for criterion in crate::ALL {
            let Some(default) = criterion.default else { continue };
            let stands = |t: &Threshold| {
                [Some(t.value), t.bad].into_iter().flatten().all(|value| !is_looser(criterion, value))
            };
            if !set.thresholds.get(criterion.key).is_some_and(stands) {
                set.thresholds
                    .insert(criterion.key.to_owned(), Threshold::new(default, ThresholdSource::Default));
            }
        }
    }
    set
}

/// Returns an upper bound of the probability that the states of some uses are wrong by chance: a use that passes, if one of its
/// checks does not; a use that fails, if none of its failed checks does. `None` if every use is open.
fn chance(sets: &[CriteriaSet], checks: &[Check]) -> Option<f64> {
    let of_use = |set: &CriteriaSet, status: Status| -> Vec<&Check> {
        let own = checks.iter().filter(|c| c.use_name == set.name);
        if worst(own.clone()) == status { own.filter(|c| c.status == status).collect() } else { Vec::new() }
    };
    let passed = sets.iter().flat_map(|set| of_use(set, Status::Pass));
    let surest = |failed: Vec<&'_ Check>| {
        failed.iter().map(|c| c.chance.unwrap_or(0.0)).min_by(f64::total_cmp).unwrap_or(0.0)
    };
    let failed: f64 = sets.iter().map(|set| surest(of_use(set, Status::Fail))).sum();
    let is_decided = |set: &CriteriaSet| {
        [Status::Pass, Status::Fail].iter().any(|status| !of_use(set, *status).is_empty())
    };
    let sum = chance_of_any(passed) + failed;
    sets.iter().any(is_decided).then(|| sum.min(1.0))
}

/// Whether the measurements so far fail every use of a model, so that no further measurement can rescue it.
///
/// Checks that depend on missing measurements are SKIPPED and do not count.
pub fn fails_every_use(results: &Results, model: &Model) -> bool {
    let sets = sets_of(results, model);
    model.role == Role::Candidate
        && sets.iter().all(|set| worst(checks_of(results, model, set).iter()) == Status::Fail)
}

/// Returns the checks of one use of a model. If the campaign runs no molecule with the model there are none, even if
/// element pairs were measured. A threshold of a criterion that does not exist is a check that cannot be made.
pub fn checks_of(results: &Results, model: &Model, set: &CriteriaSet) -> Vec<Check> {
    checks(results, &Index::new(results, &model.name), model, set)
}

fn checks(results: &Results, index: &Index<'_>, model: &Model, set: &CriteriaSet) -> Vec<Check> {
    let (mut checks, mut of_others) = (Vec::new(), Vec::new());
    if model.molecules.is_empty() {
        return checks;
    }
    let (element_pairs, all_checks) = ([ELEMENT_PAIRS.to_owned()], [ALL_CHECKS.to_owned()]);
    let reach = index.reach(set);
    for criterion in crate::ALL {
        let Some(threshold) = set.thresholds.get(criterion.key) else { continue };
        let molecules = match criterion.scope {
            Scope::Molecule => model.molecules.as_slice(),
            Scope::ElementPairs => &element_pairs,
            Scope::Checks => &all_checks,
        };
        for molecule in molecules {
            let subject = Subject::new(results, index, &model.name, molecule, set, reach);
            if threshold.source == ThresholdSource::Campaign || (criterion.applies)(&subject) {
                let finding = match criterion.evidence {
                    Evidence::Checks(of_checks) => {
                        of_others.push((criterion, threshold, of_checks));
                        continue;
                    }
                    _ => criterion.measure(&subject),
                };
                checks.push(check::check(criterion, set, threshold, molecule, finding));
            }
        }
    }
    for (key, threshold) in set.thresholds.iter().filter(|(key, _)| crate::find(key).is_none()) {
        checks.extend(model.molecules.iter().map(|molecule| check::unknown(key, set, threshold, molecule)));
    }
    for (criterion, threshold, of_checks) in of_others {
        let finding = of_checks(&checks);
        checks.push(check::check(criterion, set, threshold, ALL_CHECKS, finding));
    }
    checks
}

fn verdict_of(sets: &[CriteriaSet], uses: &[String], state_of: impl Fn(&CriteriaSet) -> Status) -> Verdict {
    let production = sets.iter().find(|s| s.name == PRODUCTION).map(state_of);
    match production {
        Some(Status::Pass) => Verdict::Approved,
        Some(Status::Fail) if !uses.is_empty() => Verdict::Restricted,
        Some(Status::Fail) => Verdict::Rejected,
        _ => Verdict::Incomplete,
    }
}

#[cfg(test)]
mod tests;
