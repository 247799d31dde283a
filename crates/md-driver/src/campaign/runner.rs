//! Runs the stages and the dynamics of one model.

use std::path::Path;

use anyhow::{Context, Result};
use md_core::System;
use md_dynamics::RelaxOptions;
use md_results::{Failure, Results, Run, Stage as StageId};

use super::store::{Store, isolated};
use super::watch::Watch;
use super::whole::Saver;
use crate::config::Config;
use crate::error::Halt;
use crate::frames::{self, Labels, VisitedRun};
use crate::in_full;
use crate::measure::{Needs, Output, STAGES, Stage, View};
use crate::models::LoadedModel;
use crate::molecule::LoadedMolecule;
use crate::plan::{Group, molecules_of};
use crate::start::{Minima, RelaxedMolecules};

/// Runs one model through the campaign.
pub(super) struct Runner<'a> {
    pub(super) config: &'a Config,
    /// Index of the model.
    pub(super) index: usize,
    /// Molecules that the model was loaded for.
    pub(super) loaded_for: &'a [usize],
    pub(super) molecules: &'a [LoadedMolecule],
    pub(super) labels: &'a Labels,
    pub(super) model: &'a mut LoadedModel,
    pub(super) store: &'a Store,
    /// Output folder, if any.
    pub(super) out: Option<&'a Path>,
    pub(super) watch: &'a Watch<'a>,
    pub(super) saver: &'a Saver<'a>,
}

/// Selection of the model's runs for this process.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// All runs of the model.
    pub(super) groups: &'a [Group<'a>],
    /// Runs of the shard, if there is one.
    pub(super) shard: Option<&'a [Group<'a>]>,
}

impl Part<'_> {
    /// Whether this process measures a stage on a molecule. A stage that is measured once per molecule and affects no
    /// run belongs to the shard with the first run of the molecule.
    fn owns(&self, needs: Needs, molecule: Option<usize>) -> bool {
        let Some(shard) = self.shard else { return true };
        match needs {
            Needs::Structures | Needs::Minima => true,
            Needs::Runs => false,
            Needs::Nothing => {
                let first =
                    self.groups.iter().flat_map(|g| &g.runs).find(|run| Some(run.molecule) == molecule);
                first.is_some_and(|first| shard.iter().flat_map(|g| &g.runs).any(|own| own.id == first.id))
            }
        }
    }
}

/// Intermediate results of the stages of a model.
#[derive(Default)]
struct SoFar {
    relaxed: RelaxedMolecules,
    visited: Vec<VisitedRun>,
    stopped_early: bool,
}

impl Runner<'_> {
    /// Measures all stages on the molecules of the model. Stages without dynamics come first: a model that fails every
    /// use by then has short runs.
    ///
    /// # Errors
    /// [`Halt`]; the measurements made before it are in the store.
    pub(super) fn measure(&mut self, part: Part<'_>, results: &mut Results) -> Result<(), Halt> {
        self.model.stop_at(self.store.stop());
        self.fall_back_again();
        let mut so_far = SoFar::default();
        self.stages(Needs::Structures, part, &so_far, results)?;
        so_far.relaxed = self.relax(&molecules_of(part.groups.iter()), results)?;
        self.stages(Needs::Minima, part, &so_far, results)?;

        let cut = self.cut(results);
        so_far.stopped_early = cut.is_some();
        for group in part.shard.unwrap_or(part.groups) {
            self.dynamics(group, &so_far.relaxed, cut.as_ref())?.enter(results, &mut so_far.visited);
            self.watch.runs_made(results);
            self.saver.save_if_due(results)?;
        }
        if part.shard.is_none() {
            if cut.is_none() {
                self.more_replicas(part.groups, &so_far.relaxed, results, &mut so_far.visited)?;
            }
            self.survival(results);
        }
        if let Some(out) = self.out {
            let file = out.join(md_results::FRAMES_FILE);
            frames::append(&file, &self.model.record.name, &so_far.visited).map_err(Halt::Storage)?;
        }
        // In the order of the list: those that need the runs, and those that were put off.
        for stage in STAGES.iter().filter(|s| matches!(s.about().needs, Needs::Runs | Needs::Nothing)) {
            self.stage(*stage, part, &so_far, results)?;
        }
        Ok(())
    }

    fn stages(
        &mut self,
        needs: Needs,
        part: Part<'_>,
        so_far: &SoFar,
        results: &mut Results,
    ) -> Result<(), Halt> {
        for stage in STAGES.iter().filter(|stage| stage.about().needs == needs) {
            self.stage(*stage, part, so_far, results)?;
        }
        Ok(())
    }

    /// Measures a stage on all its subjects that belong to this process. Failures are recorded, and the other subjects
    /// are measured.
    fn stage(
        &mut self,
        stage: &dyn Stage,
        part: Part<'_>,
        so_far: &SoFar,
        results: &mut Results,
    ) -> Result<(), Halt> {
        let about = stage.about();
        if !about.applies_to(self.model.record.role) {
            return Ok(());
        }
        let cx = View {
            config: self.config,
            molecules: self.molecules,
            labels: self.labels,
            model: self.index,
            groups: part.groups,
            relaxed: &so_far.relaxed,
            visited: &so_far.visited,
            stopped_early: so_far.stopped_early,
            results,
        };
        let mut subjects = stage.subjects(&cx, self.model);
        subjects.retain(|subject| part.owns(about.needs, cx.index_of(subject)));
        if subjects.is_empty() {
            return Ok(());
        }
        let mut ticker = self.watch.stage(&self.model.record.name, about.title, subjects.len() as u64);
        let nothing = Output::new(&self.model.record.name);
        let mut found = Vec::new();
        for subject in &subjects {
            let name = self.part(about.title, &subject.key());
            let mut output = nothing.clone();
            let measured = self.attempt(&name, |runner| {
                output = nothing.clone();
                stage.measure(&cx, subject, runner.model, &mut output)?;
                Ok(output.clone())
            })?;
            found.push(match measured {
                Ok(output) => (output, None),
                Err(error) => (output, Some(self.failure(about.id, Some(subject.place()), &error))),
            });
            ticker.tick();
        }
        ticker.finish();
        for (output, failure) in found {
            output.enter(results);
            results.failures.extend(failure);
        }
        Ok(())
    }

    /// Returns the name of a stage result of this model in the store.
    pub(super) fn part(&self, what: &str, subject: &str) -> String {
        format!("{}/{what}/{subject}", self.model.record.name)
    }

    pub(super) fn failure(&self, stage: StageId, molecule: Option<&str>, error: &anyhow::Error) -> Failure {
        let model = self.model.record.name.clone();
        let molecule = molecule.map(str::to_owned);
        let reason = in_full(error.as_ref());
        tracing::error!(model, molecule, ?stage, "{reason}");
        Failure { model, molecule, stage, reason }
    }

    /// Relaxes the molecules `wanted` in one batch. Molecules whose relaxation fails are not in the result.
    fn relax(&mut self, wanted: &[usize], results: &mut Results) -> Result<RelaxedMolecules, Halt> {
        let part = |runner: &Self, m: usize| runner.part("relaxation", &runner.molecules[m].record.name);
        let mut relaxed = RelaxedMolecules::new();
        for &m in wanted {
            relaxed.extend(self.store.get::<Minima>(&part(self, m)).map(|known| (m, known)));
        }
        let mut open: Vec<Vec<usize>> =
            vec![wanted.iter().copied().filter(|m| !relaxed.contains_key(m)).collect()];
        let options =
            RelaxOptions { max_bond_ratio: self.config.limits.bond_ratio, ..RelaxOptions::default() };
        let ticker = self.watch.stage(&self.model.record.name, "relaxation", 0);
        while let Some(batch) = open.pop().filter(|batch| !batch.is_empty()) {
            self.store.keep_going()?;
            let systems: Vec<System> = batch.iter().map(|&m| self.molecules[m].system.clone()).collect();
            let seeds: Vec<u64> = batch
                .iter()
                .map(|&m| format!("{}/descent", self.molecules[m].record.name))
                .map(|stream| md_dynamics::stream_seed(self.config.seed, &stream))
                .collect();
            let found = isolated(|| {
                let potential = self.model.potential.as_mut();
                let context = || format!("relaxation with the model '{}'", self.model.record.name);
                let nearest = md_dynamics::relax(&systems, potential, &options).with_context(context)?;
                let lowest =
                    md_dynamics::descend(&nearest, &seeds, potential, &options).with_context(context)?;
                let both = nearest.into_iter().zip(lowest);
                Ok(both.map(|(nearest, lowest)| Minima { nearest, lowest }).collect::<Vec<_>>())
            });
            self.store.keep_going()?;
            match found {
                Ok(found) => {
                    let names: Vec<String> = batch.iter().map(|&m| part(self, m)).collect();
                    let parts: Vec<(&str, &Minima)> = names.iter().map(String::as_str).zip(&found).collect();
                    self.store.put(&parts)?;
                    relaxed.extend(batch.into_iter().zip(found));
                }
                Err(error) if batch.len() == 1 => {
                    if !self.answers() && self.fall_back(&in_full(error.as_ref()))? {
                        open.push(batch);
                        continue;
                    }
                    let name = &self.molecules[batch[0]].record.name;
                    results.failures.push(self.failure(StageId::Relaxation, Some(name), &error));
                }
                // One of them fails: the others are relaxed separately.
                Err(_) => open.extend(batch.into_iter().rev().map(|m| vec![m])),
            }
        }
        ticker.finish();
        Ok(relaxed)
    }

    fn survival(&self, results: &mut Results) {
        let name = &self.model.record.name;
        let runs: Vec<&Run> = results.runs.iter().filter(|r| r.model == *name && r.is_nve()).collect();
        let mut records = Vec::new();
        for molecule in self.molecules.iter().map(|m| Some(&m.record.name)).chain([None]) {
            let chosen: Vec<&Run> =
                runs.iter().copied().filter(|r| molecule.is_none_or(|m| r.molecule == *m)).collect();
            match md_criteria::statistics::survival(&chosen) {
                Ok(Some(survival)) => records.push(md_results::Survival {
                    model: name.clone(),
                    molecule: molecule.cloned(),
                    ..survival
                }),
                Ok(None) => {}
                Err(error) => tracing::warn!("no survival statistics for {name}: {error}"),
            }
        }
        results.survival.extend(records);
    }
}
