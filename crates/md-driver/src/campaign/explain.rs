//! Why a model does not conserve energy, and up to which time step it does.

use anyhow::Result;
use md_attribution::{Attribution, Case, LadderOptions, PartKind, diagnose, timestep_ladder};
use md_core::Limits;
use md_core::State;
use md_core::units::FS_PER_PS;
use md_criteria::Theme;
use md_dynamics::VelocityVerlet;
use md_probe::analytic::Control;
use md_results::{
    Cause, EnergyPart, Experiment, PRODUCTION, Results, Role, Run, RunFate, Stage, Status, TimestepRung,
};

use super::dynamics::{RelaxedMolecules, prepare, start};
use super::stage::ModelStage;
use super::store::Halt;
use super::watch::StageTicker;
use crate::config::Ensemble;
use crate::plan::{Group, PlannedRun, planned};

/// Time of a run that is taken apart, at most, ps.
const LOOK_PS: f64 = 0.5;

/// Molecules whose runs are taken apart, at most.
const MOST_MOLECULES: usize = 3;

/// Duration of the rungs of a ladder of time steps, fs.
const RUNG_FS: f64 = 250.0;

/// Steps of a ladder of time steps that is climbed to its top.
pub(super) fn ladder_steps() -> f64 {
    LadderOptions::default().timesteps_fs.iter().map(|dt| (RUNG_FS / dt).ceil()).sum()
}

impl ModelStage<'_> {
    /// Takes the worst run of every molecule that fails a check of conservation or stability apart.
    pub(super) fn causes(
        &mut self,
        groups: &[Group<'_>],
        relaxed: &RelaxedMolecules,
        results: &mut Results,
    ) -> Result<(), Halt> {
        let failing = self.failing(results);
        let causes = failing.len().min(MOST_MOLECULES) as u64;
        let watch = self.watch;
        let mut ticker = (causes > 0).then(|| watch.stage(&self.model.record.name, "causes", causes));
        for (molecule, trigger) in failing.iter().take(MOST_MOLECULES) {
            let Some(worst) = self.worst(molecule, results).cloned() else { continue };
            let part = self.part("causes", &worst.id);
            match self.attempt(&part, |stage| stage.attribute(groups, relaxed, &worst, trigger, results))? {
                Ok(found) => results.attributions.extend(found),
                Err(error) => {
                    results.failures.push(self.failure(Stage::Attribution, Some(molecule), &error));
                }
            }
            ticker.iter_mut().for_each(StageTicker::tick);
        }
        Ok(())
    }

    /// Climbs the ladder of time steps from the start of the hottest run of every molecule, if it is `mine` to do.
    pub(super) fn ladders(
        &mut self,
        groups: &[Group<'_>],
        relaxed: &RelaxedMolecules,
        mine: impl Fn(&PlannedRun) -> bool,
        results: &mut Results,
    ) -> Result<(), Halt> {
        let nve: Vec<&Group<'_>> = groups.iter().filter(|g| g.config.ensemble == Ensemble::Nve).collect();
        let mut ticker = self.watch.stage(&self.model.record.name, "time steps", nve.len() as u64);
        for group in nve {
            for run in hottest_of_each_molecule(&group.runs).into_iter().filter(|run| mine(run)) {
                let part = self.part("time steps", &run.id);
                match self.attempt(&part, |stage| stage.ladder(group, run, relaxed))? {
                    Ok(found) => results.timesteps.extend(found),
                    Err(error) => {
                        let molecule = &self.molecules[run.molecule].record.name;
                        results.failures.push(self.failure(Stage::Timesteps, Some(molecule), &error));
                    }
                }
            }
            ticker.tick();
        }
        Ok(())
    }

    /// Molecules that fail a check of conservation or stability for production (a control: for the engine), and
    /// which.
    fn failing(&self, results: &Results) -> Vec<(String, String)> {
        let name = &self.model.record.name;
        let Some(model) = results.models.iter().find(|m| m.name == *name) else { return Vec::new() };
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

    /// The worst run of a molecule that began.
    fn worst<'r>(&self, molecule: &str, results: &'r Results) -> Option<&'r Run> {
        let name = &self.model.record.name;
        let runs = results.runs.iter().filter(|r| {
            r.model == *name && r.molecule == molecule && r.ensemble == "nve" && r.steps_done > 0
        });
        runs.max_by(|a, b| badness(a).total_cmp(&badness(b)))
    }

    /// Repeats a run under experiments. `None` where it cannot begin.
    fn attribute(
        &mut self,
        groups: &[Group<'_>],
        relaxed: &RelaxedMolecules,
        worst: &Run,
        trigger: &str,
        results: &Results,
    ) -> Result<Option<md_results::Attribution>> {
        let Some((group, run)) = self.find(groups, worst) else { return Ok(None) };
        let Some((state, limits)) = self.begin(group, &run, relaxed)? else { return Ok(None) };
        let timestep_fs = group.config.timestep_fs;
        let steps = ((LOOK_PS * FS_PER_PS / timestep_fs).ceil() as u64).min(worst.steps_done.max(1));
        let mut control = Control::new(std::slice::from_ref(&self.molecules[run.molecule].system))?;
        let tolerance = results
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
            potential: self.model.potential.as_mut(),
            oracle: self.model.oracle.as_mut(),
            control: Some(&mut control),
        })?;
        Ok(Some(record(worst, trigger, &found)))
    }

    /// The group and plan of a run that was made.
    fn find<'g, 'c>(&self, groups: &'g [Group<'c>], run: &Run) -> Option<(&'g Group<'c>, PlannedRun)> {
        groups.iter().find_map(|group| {
            let molecule = self.molecules.iter().position(|m| m.record.name == run.molecule)?;
            // Made anew, since a replica may have been added to the plan.
            let again =
                planned(self.config, group.config, self.index, molecule, run.temperature_k, run.replica);
            (again.id == run.id).then_some((group, again))
        })
    }

    /// The state that a run began with; `None` where it did not begin.
    fn begin(
        &mut self,
        group: &Group<'_>,
        run: &PlannedRun,
        relaxed: &RelaxedMolecules,
    ) -> Result<Option<(State, Limits)>> {
        let Ok(start) = start(self.config, self.molecules, group.config, run, relaxed) else {
            return Ok(None);
        };
        let state = prepare(group.config, run, &start, self.model.potential.as_mut())?;
        Ok(state.map(|state| (state, start.limits)))
    }

    fn ladder(
        &mut self,
        group: &Group<'_>,
        run: &PlannedRun,
        relaxed: &RelaxedMolecules,
    ) -> Result<Option<md_results::TimestepLadder>> {
        let Some((state, limits)) = self.begin(group, run, relaxed)? else { return Ok(None) };
        let options = LadderOptions { duration_fs: RUNG_FS, limits, ..LadderOptions::default() };
        let make = |dt| -> Result<Box<dyn md_core::Integrator>, md_core::StepError> {
            Ok(Box::new(VelocityVerlet::new(dt)?))
        };
        let ladder = timestep_ladder(&state, &make, self.model.potential.as_mut(), &options)?;
        Ok(Some(md_results::TimestepLadder {
            model: self.model.record.name.clone(),
            molecule: self.molecules[run.molecule].record.name.clone(),
            temperature_k: run.temperature_k,
            duration_ps: ladder.duration_ps,
            largest_safe_fs: ladder.largest_safe_fs,
            rungs: ladder
                .rungs
                .into_iter()
                .map(|rung| TimestepRung {
                    timestep_fs: rung.timestep_fs,
                    drift_mev_per_atom_per_ps: rung.drift.map(|d| d.value).filter(|d| d.is_finite()),
                    fluctuation_ratio: rung.fluctuation_ratio,
                    diverged: rung.diverged,
                    safe: rung.safe,
                })
                .collect(),
        }))
    }
}

/// How bad a run is: one that diverged early is worst, then the largest excursion of the energy.
fn badness(run: &Run) -> f64 {
    let excursion = run.energy.as_ref().map_or(0.0, |e| e.max_deviation_mev_per_atom);
    match run.fate {
        RunFate::Diverged => 1e12 / (1.0 + run.steps_done as f64),
        _ => excursion,
    }
}

/// The first run of every molecule at its highest temperature.
fn hottest_of_each_molecule(runs: &[PlannedRun]) -> Vec<&PlannedRun> {
    let mut hottest: Vec<&PlannedRun> = Vec::new();
    for run in runs {
        match hottest.iter_mut().find(|h| h.molecule == run.molecule) {
            Some(known) if known.temperature_k < run.temperature_k => *known = run,
            Some(_) => {}
            None => hottest.push(run),
        }
    }
    hottest
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
                kind: cause.kind.id().to_owned(),
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
                name: PartKind::id(part.kind).to_owned(),
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
