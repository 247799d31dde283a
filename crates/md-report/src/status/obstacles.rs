use std::collections::BTreeMap;

use md_results::progress::CampaignProgress;
use md_results::{Definition, Results, Role, Run, RunFate, Stage, Verdict, first_use, title, worst};
use serde::{Deserialize, Serialize};

use super::{ModelStatus, State};
use crate::words::{duration, failure, skipped};

/// An obstacle to a verdict, or a finding against one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// Kind of obstacle.
    pub kind: BlockerKind,
    /// Description with the reason.
    pub words: String,
}

/// Kind of an obstacle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockerKind {
    /// The campaign was stopped before its end.
    Stopped,
    /// The results in the folder belong to another campaign.
    OtherCampaign,
    /// Nothing vouches for the results file, or it contradicts itself.
    File,
    /// A control fails, so that no verdict can be trusted, or was not checked.
    Engine,
    /// The checkpoint of a model cannot be read.
    Checkpoint,
    /// A stage failed.
    Stage,
    /// Runs diverged or could not be performed.
    Runs,
    /// Checks were skipped, for example without a reference.
    Skipped,
}

/// Returns all obstacles, the most severe first.
pub(super) fn blockers(
    progress: Option<&CampaignProgress>,
    results: Option<&Results>,
    foreign: Option<&Results>,
    definitions: &[Definition],
    state: State,
    silent_s: Option<f64>,
) -> Vec<Blocker> {
    let mut found = Vec::new();
    let mut add = |kind, words| found.push(Blocker { kind, words });
    if let (State::Stopped, Some(progress)) = (state, progress) {
        let ago = silent_s.map_or(String::new(), |s| format!(", {} ago", duration(s)));
        let (pid, updated) = (progress.pid, &progress.updated);
        add(
            BlockerKind::Stopped,
            match &progress.stopped {
                Some(reason) => {
                    format!("the campaign was stopped before its end, {updated}{ago}: {reason}")
                }
                None => format!(
                    "the campaign was stopped before its end: process {pid} is gone, last seen {updated}{ago}"
                ),
            },
        );
    }
    if let Some(foreign) = foreign {
        let other = &foreign.campaign;
        let words = format!("the results are of another campaign: {} of {}", other.name, other.started);
        add(BlockerKind::OtherCampaign, words);
    }
    let Some(results) = results else { return found };
    results.remarks.iter().for_each(|remark| add(BlockerKind::File, remark.clone()));
    for control in results.measured_models().filter(|m| m.role == Role::Control) {
        if worst(control.checks.iter()) != md_results::Status::Pass {
            add(BlockerKind::Engine, format!("control potential '{}': {}", control.name, control.summary));
        }
    }
    for kind in [BlockerKind::Checkpoint, BlockerKind::Stage] {
        let of_kind = |stage| (stage == Stage::Load) == (kind == BlockerKind::Checkpoint);
        results.failures.iter().filter(|f| of_kind(f.stage)).for_each(|f| add(kind, failure(f)));
    }
    failed_runs(&results.runs).into_iter().for_each(|words| add(BlockerKind::Runs, words));
    for model in results.measured_models() {
        let checks = model.checks.iter().filter(|c| c.use_name == first_use(model));
        for line in skipped(checks, |key| title(definitions, key)) {
            add(BlockerKind::Skipped, format!("{}: {line}", model.name));
        }
    }
    found
}

/// Returns a line for every model, molecule and kind of failure, with the reason of the first.
fn failed_runs(runs: &[Run]) -> Vec<String> {
    let mut groups: Vec<(&Run, usize)> = Vec::new();
    let mut places = BTreeMap::new();
    let mut all: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for run in runs {
        let pair = (run.model.as_str(), run.molecule.as_str());
        *all.entry(pair).or_default() += 1;
        if matches!(run.fate, RunFate::Diverged | RunFate::Failed) {
            let place = *places.entry((pair, run.fate == RunFate::Diverged)).or_insert(groups.len());
            match groups.get_mut(place) {
                Some((_, count)) => *count += 1,
                None => groups.push((run, 1)),
            }
        }
    }
    let words = |(run, count): (&Run, usize)| {
        let all = all.get(&(run.model.as_str(), run.molecule.as_str())).copied().unwrap_or_default();
        let what = if run.fate == RunFate::Diverged { "diverged" } else { "could not be made" };
        let reason = run.fate_reason.as_deref().unwrap_or("no reason is known");
        format!(
            "{} on {}: {count} of {all} runs {what}, such as at {} K: {reason}",
            run.model, run.molecule, run.temperature_k
        )
    };
    groups.into_iter().map(words).collect()
}

/// Returns the recommended actions: to finish, to decide, to fix.
pub(super) fn next(
    results: Option<&Results>,
    models: &[ModelStatus],
    definitions: &[Definition],
    state: State,
    resume: Option<&str>,
) -> Vec<String> {
    let open: Vec<&str> =
        models.iter().filter(|m| m.state != State::Finished).map(|m| m.name.as_str()).collect();
    let mut lines = Vec::new();
    match state {
        State::Absent => lines.push("run a campaign".to_owned()),
        State::Running if !open.is_empty() => lines.push(format!("wait for {}", open.join(", "))),
        State::Stopped => {
            let command = resume.unwrap_or("the same command and --resume");
            lines
                .push(format!("continue the campaign with: {command} ({} not measured)", list_or_all(&open)));
        }
        State::Running | State::Finished => {}
    }
    for model in results.iter().flat_map(|r| r.measured_models()).filter(|m| m.role == Role::Candidate) {
        for mode in model.failure_modes.iter().filter(|_| model.verdict != Some(Verdict::Approved)) {
            lines.push(format!("{}: {}: {}", model.name, mode.id, mode.remedy));
        }
        for check in model.checks.iter().filter(|c| c.use_name == first_use(model)) {
            if let Some(to_decide) = &check.to_decide {
                let title = title(definitions, &check.id);
                lines.push(format!("{}: {title} on {}: {to_decide}", model.name, check.molecule));
            }
        }
    }
    lines
}

fn list_or_all(open: &[&str]) -> String {
    match open {
        [] => "its end was".to_owned(),
        [one] => format!("{one} is"),
        many => format!("{} are", many.join(", ")),
    }
}
