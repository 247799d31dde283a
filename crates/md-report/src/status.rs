//! Progress of a campaign, its findings so far, and obstacles to a verdict.

use std::time::Duration;

use md_results::progress::{CampaignProgress, ModelProgress, StageProgress};
use md_results::{Definition, Model, PRODUCTION, Results, Verdict, first_use, title, with_unit};
use serde::{Deserialize, Serialize};

use crate::checks::{criterion_lines, place, threshold, value};

mod obstacles;
mod render;
#[cfg(test)]
mod tests;

pub use obstacles::{Blocker, BlockerKind};
pub use render::{standup, text};

/// Criteria that are compared between models: drift, force error, time of a step.
const METRICS: [&str; 3] =
    ["energy_drift_meV_per_atom_per_ps", "force_rmse_ev_per_angstrom", "inference_ms_per_step"];

/// Status of a campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignStatus {
    /// Name of the campaign; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// State of the campaign.
    pub state: State,
    /// Start of the campaign, RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// Time from the start until now or the end, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_s: Option<f64>,
    /// Time since the files were last written, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_s: Option<f64>,
    /// Number of runs made, and of those planned, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<[usize; 2]>,
    /// Reason why the campaign was stopped; absent if it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Command that continues a stopped campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// Status of the models, in the order of the plan.
    pub models: Vec<ModelStatus>,
    /// Obstacles to a verdict, or findings against one.
    pub blockers: Vec<Blocker>,
    /// Recommended actions.
    pub next: Vec<String>,
}

/// State of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There is no campaign.
    Absent,
    /// The process is alive.
    Running,
    /// The campaign is finished.
    Finished,
    /// The process is not alive, and the campaign is unfinished.
    Stopped,
}

impl State {
    /// Returns the state as a word.
    pub fn label(self) -> &'static str {
        match self {
            State::Absent => "not begun",
            State::Running => "running",
            State::Finished => "finished",
            State::Stopped => "stopped",
        }
    }
}

/// Status of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// Name of the model.
    pub name: String,
    /// State of the model; [`State::Absent`] before it starts.
    pub state: State,
    /// Verdict, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Reason for the verdict, or the result of a control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Stages that have started.
    pub stages: Vec<StageStatus>,
    /// Criteria of its first use.
    pub criteria: Vec<CriterionStatus>,
    /// Drift, force error and time of a step, if measured.
    pub metrics: Vec<Metric>,
}

/// Status of one stage of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageStatus {
    /// Progress of the stage.
    #[serde(flatten)]
    pub stage: StageProgress,
    /// Finished fraction, 0 to 1; absent where the total is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// Estimated remaining time, s; absent where it is unknown or the stage is not running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_s: Option<f64>,
}

/// Status of one criterion of a model: pending until it is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CriterionStatus {
    /// Key of the criterion.
    pub key: String,
    /// Short title.
    pub title: String,
    /// Threshold; absent until the results contain it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Worst value with its uncertainty; absent while pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Outcome; absent while pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<md_results::Status>,
    /// Where the value was measured, or why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// One value of a model: the worst over its molecules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Key of the criterion.
    pub key: String,
    /// Short title.
    pub title: String,
    /// Value in `unit`.
    pub value: f64,
    /// Formatted value with its uncertainty.
    pub words: String,
    /// Unit.
    pub unit: String,
    /// Molecule with the worst value.
    pub molecule: String,
}

/// Returns the status of the campaign that wrote `progress` and `results`, at the time `now` (RFC 3339); `alive` states
/// whether its process is alive. Results of another campaign (by name, or because they ended before this one started)
/// are ignored and reported.
pub fn status(
    progress: Option<&CampaignProgress>,
    results: Option<&Results>,
    definitions: &[Definition],
    now: &str,
    alive: bool,
) -> CampaignStatus {
    let belongs = |r: &&Results| {
        let older = |p: &CampaignProgress| is_before(last_seen(r), &p.started);
        progress.is_none_or(|p| p.campaign == r.campaign.name && !older(p))
    };
    let foreign = results.filter(|r| !belongs(r));
    let results = results.filter(belongs);
    let state = match (progress, results) {
        (None, None) => State::Absent,
        (None, Some(r)) if r.campaign.is_finished() => State::Finished,
        (None, Some(_)) => State::Stopped,
        (Some(p), _) if p.finished => State::Finished,
        (Some(_), _) if alive => State::Running,
        (Some(_), _) => State::Stopped,
    };
    let campaign = progress.map(|p| &p.campaign).or(results.map(|r| &r.campaign.name)).cloned();
    let started = progress.map(|p| &p.started).or(results.map(|r| &r.campaign.started)).cloned();
    let written = progress.map(|p| p.updated.as_str()).or(results.map(last_seen));
    let end = if state == State::Running { Some(now) } else { written };
    let models: Vec<ModelStatus> = names(progress, results)
        .into_iter()
        .map(|name| {
            let planned = progress.and_then(|p| p.models.iter().find(|m| m.name == name));
            let measured = results.and_then(|r| r.measured_models().find(|m| m.name == name));
            one_model(&name, planned, measured, results, definitions, state)
        })
        .collect();
    let silent_s = written.and_then(|written| seconds_between(written, now));
    let blockers = obstacles::blockers(progress, results, foreign, definitions, state, silent_s);
    let resume = progress
        .and_then(|p| p.resume.clone())
        .or_else(|| results.and_then(|r| r.campaign.resume.clone()))
        .filter(|_| state == State::Stopped);
    let next = obstacles::next(results, &models, definitions, state, resume.as_deref());
    CampaignStatus {
        campaign,
        state,
        elapsed_s: started.as_deref().zip(end).and_then(|(start, end)| seconds_between(start, end)),
        started,
        silent_s,
        runs: progress.and_then(|p| p.runs).or_else(|| results.and_then(Results::progress)),
        stopped: progress.and_then(|p| p.stopped.clone()).filter(|_| state == State::Stopped),
        resume,
        models,
        blockers,
        next,
    }
}

/// Returns the latest known time of results: the end of the campaign, or its start if it has no end.
fn last_seen(results: &Results) -> &str {
    let campaign = &results.campaign;
    if campaign.is_finished() { &campaign.finished } else { &campaign.started }
}

/// Returns the models of the plan, followed by those that only the results contain.
fn names(progress: Option<&CampaignProgress>, results: Option<&Results>) -> Vec<String> {
    let mut names: Vec<String> = progress.iter().flat_map(|p| &p.models).map(|m| m.name.clone()).collect();
    for model in results.iter().flat_map(|r| &r.models) {
        if !names.contains(&model.name) {
            names.push(model.name.clone());
        }
    }
    names
}

/// Returns the time between two dates; `None` if either is not RFC 3339 or the second is earlier.
fn seconds_between(earlier: &str, later: &str) -> Option<f64> {
    let [earlier, later] = [earlier, later].map(humantime::parse_rfc3339_weak);
    later.ok()?.duration_since(earlier.ok()?).ok().as_ref().map(Duration::as_secs_f64)
}

/// Whether `a` is before `b`; false if either is not RFC 3339.
fn is_before(a: &str, b: &str) -> bool {
    let [a, b] = [a, b].map(humantime::parse_rfc3339_weak);
    matches!((a, b), (Ok(a), Ok(b)) if a < b)
}

fn one_model(
    name: &str,
    planned: Option<&ModelProgress>,
    measured: Option<&Model>,
    results: Option<&Results>,
    definitions: &[Definition],
    campaign: State,
) -> ModelStatus {
    let state = match (planned, measured) {
        (Some(p), None) if !p.done && p.stages.is_empty() => State::Absent,
        (Some(p), None) if !p.done => campaign,
        _ => State::Finished,
    };
    let stage = |stage: &StageProgress| StageStatus {
        stage: stage.clone(),
        fraction: (stage.total > 0).then(|| stage.done.min(stage.total) as f64 / stage.total as f64),
        remaining_s: stage.remaining_s().filter(|_| state == State::Running),
    };
    let criteria = match measured {
        Some(model) => measured_criteria(model, definitions),
        None => pending_criteria(results, definitions),
    };
    ModelStatus {
        name: name.to_owned(),
        state,
        verdict: measured.and_then(|m| m.verdict),
        summary: measured.map(|m| m.summary.clone()),
        stages: planned.iter().flat_map(|p| &p.stages).map(stage).collect(),
        criteria,
        metrics: measured.map_or(Vec::new(), |model| metrics(model, definitions)),
    }
}

fn measured_criteria(model: &Model, definitions: &[Definition]) -> Vec<CriterionStatus> {
    let lines = criterion_lines(definitions, model, first_use(model));
    let criterion = |line: &crate::CriterionLine<'_>| CriterionStatus {
        key: line.check.id.clone(),
        title: line.title.to_owned(),
        target: Some(threshold(line.check)),
        value: Some(value(line.check)),
        status: Some(line.check.status),
        place: Some(place(line.check, line.n_molecules)),
    };
    lines.iter().map(criterion).collect()
}

/// Returns the pending criteria of production: all that are defined if the results contain no thresholds.
fn pending_criteria(results: Option<&Results>, definitions: &[Definition]) -> Vec<CriterionStatus> {
    let asked = results.and_then(|r| r.criteria.iter().find(|s| s.name == PRODUCTION));
    let target = |definition: &Definition| {
        let mut checks = results?.models.iter().flat_map(|m| &m.checks);
        let of_another = checks.find(|c| c.id == definition.key && c.use_name == PRODUCTION).map(threshold);
        // Only checks contain the side of the threshold.
        of_another.or_else(|| Some(with_unit(asked?.thresholds.get(definition.key)?.value, definition.unit)))
    };
    let is_asked = |d: &&Definition| asked.is_none_or(|set| set.thresholds.contains_key(d.key));
    definitions
        .iter()
        .filter(is_asked)
        .map(|definition| CriterionStatus {
            key: definition.key.to_owned(),
            title: definition.title.to_owned(),
            target: target(definition),
            value: None,
            status: None,
            place: None,
        })
        .collect()
}

fn metrics(model: &Model, definitions: &[Definition]) -> Vec<Metric> {
    let lines = criterion_lines(definitions, model, first_use(model));
    let metric = |key: &&str| {
        let check = lines.iter().find(|line| line.check.id == *key)?.check;
        Some(Metric {
            key: check.id.clone(),
            title: title(definitions, &check.id).to_owned(),
            value: check.value?,
            words: value(check),
            unit: check.unit.clone(),
            molecule: check.molecule.clone(),
        })
    };
    METRICS.iter().filter_map(metric).collect()
}
