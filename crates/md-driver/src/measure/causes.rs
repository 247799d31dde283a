//! Why a model does not conserve energy.

use anyhow::Result;
use md_attribution::{Attribution, Case, diagnose};
use md_core::units::FS_PER_PS;
use md_criteria::Theme;
use md_dynamics::VelocityVerlet;
use md_probe::analytic::Control;
use md_results::{Cause, CauseKind, EnergyPart, Experiment, PRODUCTION, Role, Run, RunFate, Status};

use super::{About, Cost, Needs, Output, Stage, Subject, View};
use crate::models::LoadedModel;
use crate::plan::planned;

/// Time of a run that is repeated under experiments, at most, ps.
const REPEATED_PS: f64 = 0.5;

/// Molecules whose runs are repeated under experiments, at most.
const MOST_MOLECULES: usize = 3;

/// The worst run of every molecule that fails a check of conservation or stability, repeated under experiments.
pub(super) struct Causes;

impl Stage for Causes {
    fn about(&self) -> About {
        About { id: md_results::Stage::Attribution, title: "causes", needs: Needs::Runs, of_control: true }
    }

    fn subjects<'a>(&self, cx: &View<'a>, model: &LoadedModel) -> Vec<Subject<'a>> {
        let name = &model.record.name;
        let worst = |(molecule, _): &(String, String)| worst(cx, name, molecule);
        failing(cx, name)
            .iter()
            .take(MOST_MOLECULES)
            .filter_map(worst)
            .filter_map(|run| find(cx, run))
            .collect()
    }

    fn measure(
        &self,
        cx: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()> {
        let (group, planned, molecule) = subject.as_run()?;
        let Some(run) = cx.results.runs.iter().find(|run| run.id == planned.id) else { return Ok(()) };
        let Some((state, limits)) =
            cx.begin(group, std::slice::from_ref(planned), model.potential.as_mut())?
        else {
            return Ok(());
        };
        let timestep_fs = group.config.timestep_fs;
        let steps = ((REPEATED_PS * FS_PER_PS / timestep_fs).ceil() as u64).min(run.steps_done.max(1));
        let mut control = Control::new(std::slice::from_ref(&molecule.system))?;
        let tolerance = cx
            .results
            .criteria
            .iter()
            .find(|s| s.name == PRODUCTION)
            .and_then(|s| s.thresholds.get("energy_drift_meV_per_atom_per_ps"))
            .map_or(1.0, |t| t.value);
        let found = diagnose(Case {
            start: &state,
            timestep_fs,
            steps: steps + 2,
            limits,
            tolerance_mev_per_atom_per_ps: tolerance,
            make_integrator: &|dt| Ok(Box::new(VelocityVerlet::new(dt)?)),
            potential: model.potential.as_mut(),
            oracle: model.oracle.as_mut(),
            control: Some(&mut control),
        })?;
        let failing = failing(cx, &model.record.name);
        let trigger =
            failing.iter().find(|(failing, _)| *failing == run.molecule).map(|(_, check)| check.as_str());
        out.attributions.push(record(run, trigger.unwrap_or_default(), &found));
        Ok(())
    }

    /// Not known before the runs.
    fn cost(&self, _: &View<'_>, _: &Subject<'_>) -> Result<Option<Cost>> {
        Ok(Some(Cost::default()))
    }
}

/// Molecules that fail a check of conservation or stability for production (a control: for the engine), and
/// which.
fn failing(cx: &View<'_>, name: &str) -> Vec<(String, String)> {
    let results = cx.results;
    let Some(model) = results.models.iter().find(|m| m.name == name) else { return Vec::new() };
    let sets = match model.role {
        Role::Candidate => results.criteria.iter().filter(|s| s.name == PRODUCTION).cloned().collect(),
        Role::Control => vec![md_criteria::control_criteria(results, name)],
    };
    let mut failing: Vec<(String, String)> = Vec::new();
    for check in sets.iter().flat_map(|set| md_criteria::checks_of(results, model, set)) {
        let Some(criterion) = md_criteria::find(&check.id) else { continue };
        let counts = matches!(criterion.theme, Theme::Conservation | Theme::Stability);
        if check.status == Status::Fail && counts && !failing.iter().any(|(m, _)| *m == check.molecule) {
            failing.push((check.molecule, criterion.title.to_owned()));
        }
    }
    failing
}

/// The worst run of a molecule that began, with velocity Verlet: what is attributed to the model rests on an identity of that
/// scheme, and another integrator is not the model's.
fn worst<'r>(cx: &View<'r>, name: &str, molecule: &str) -> Option<&'r Run> {
    let runs = cx.results.runs.iter().filter(|r| {
        r.model == *name && r.molecule == molecule && r.is_nve() && r.integrator.is_none() && r.steps_done > 0
    });
    runs.max_by(|a, b| badness(a).total_cmp(&badness(b)))
}

/// The plan of a run that was made.
fn find<'a>(cx: &View<'a>, run: &Run) -> Option<Subject<'a>> {
    let index = cx.molecules.iter().position(|m| m.record.name == run.molecule)?;
    cx.groups.iter().find_map(|group| {
        // Planned again, since a replica may have been added.
        let planned = planned(cx.config, group.config, cx.model, index, run.temperature_k, run.replica);
        (planned.id == run.id).then(|| Subject::Run { group, planned, molecule: &cx.molecules[index] })
    })
}

/// The kind of a cause, as results have it.
fn kind(kind: md_attribution::CauseKind) -> CauseKind {
    use md_attribution::CauseKind as Kind;

    match kind {
        Kind::TimeStep => CauseKind::TimeStep,
        Kind::Precision => CauseKind::Precision,
        Kind::Discontinuity => CauseKind::Discontinuity,
        Kind::NotAGradient => CauseKind::NotAGradient,
        Kind::Noise => CauseKind::Noise,
        Kind::BrokenBond => CauseKind::BrokenBond,
        Kind::Engine => CauseKind::Engine,
    }
}

/// Ranks runs: one that diverged early is worst, then the one with the largest excursion of the energy.
fn badness(run: &Run) -> f64 {
    let excursion = run.energy.as_ref().map_or(0.0, |e| e.max_deviation_mev_per_atom);
    match run.fate {
        RunFate::Diverged => 1e12 / (1.0 + run.steps_done as f64),
        _ => excursion,
    }
}

fn record(run: &Run, trigger: &str, found: &Attribution) -> md_results::Attribution {
    md_results::Attribution {
        model: run.model.clone(),
        molecule: run.molecule.clone(),
        temperature_k: run.temperature_k,
        timestep_fs: run.timestep_fs,
        duration_ps: found.balance.duration_ps,
        trigger: trigger.to_owned(),
        causes: found
            .causes
            .iter()
            .map(|cause| Cause {
                kind: kind(cause.kind),
                share: cause.share,
                evidence: cause.evidence.clone(),
                remedy: cause.kind.remedy().to_owned(),
            })
            .collect(),
        parts: found
            .balance
            .parts
            .iter()
            .map(|part| EnergyPart {
                name: part.kind.id().to_owned(),
                net_ev: finite(part.net_ev),
                slope_mev_per_atom_per_ps: finite(part.slope_mev_per_atom_per_ps),
                rms_mev_per_atom: finite(part.rms_mev_per_atom),
            })
            .collect(),
        experiments: found
            .experiments
            .iter()
            .map(|experiment| Experiment {
                name: experiment.name.clone(),
                timestep_fs: experiment.timestep_fs,
                drift_mev_per_atom_per_ps: experiment.drift.and_then(|d| finite(d.value)),
                drift_standard_error: experiment.drift.and_then(|d| finite(d.standard_error)),
                rms_fluctuation_mev_per_atom: experiment.rms_fluctuation_mev_per_atom,
                diverged: experiment.diverged.clone(),
            })
            .collect(),
        jumps: found.balance.jumps,
        jump_events: found.balance.jump_events.iter().map(|j| [j.time_ps, j.size_ev]).collect(),
    }
}

/// JSON has no number for what is none.
fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|v| v.is_finite())
}
