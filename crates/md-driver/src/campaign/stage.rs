//! One model going through the campaign.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use md_core::System;
use md_dynamics::{RelaxOptions, Relaxed};
use md_io::extxyz::LabelKeys;
use md_results::{ELEMENT_PAIRS, Evaluation, Failure, Results, Role, Run, Series, Stage, number};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::dynamics::RelaxedMolecules;
use super::store::{Halt, Store, isolated};
use super::watch::Watch;
use super::{LoadedMolecule, molecules_of};
use crate::config::Config;
use crate::frames::{self, Label, VisitedRun};
use crate::gates::Gates;
use crate::models::LoadedModel;
use crate::plan::{Group, PlannedRun};
use crate::{compare, evaluate, in_full, minimum, shift, speed};

/// Frames of its own runs at which the gates of a model are measured, per molecule.
pub(super) const GATE_FRAMES: usize = 3;

/// One model going through the campaign.
pub(super) struct ModelStage<'a> {
    pub(super) config: &'a Config,
    /// Index of the model.
    pub(super) index: usize,
    /// The molecules it was loaded for.
    pub(super) loaded_for: &'a [usize],
    pub(super) molecules: &'a [LoadedMolecule],
    pub(super) labels: &'a Labels,
    pub(super) model: &'a mut LoadedModel,
    pub(super) store: &'a Store,
    pub(super) out: &'a Path,
    pub(super) watch: &'a Watch<'a>,
}

/// Labelled frames of earlier runs, and the file they come from.
#[derive(Debug, Default)]
pub(super) struct Labels {
    pub(super) file: PathBuf,
    pub(super) labels: Vec<Label>,
}

impl Labels {
    /// Those of the runs of a model on a molecule.
    pub(super) fn of<'a>(&'a self, model: &'a str, molecule: &'a str) -> impl Iterator<Item = &'a Label> {
        self.labels.iter().filter(move |l| l.model == model && l.molecule == molecule)
    }
}

impl ModelStage<'_> {
    /// Measures everything on the molecules of `groups`. What needs no dynamics comes first: a model that fails every
    /// use by then has short runs.
    ///
    /// `share` are the runs of this share of the campaign, where it is one. It measures what can be known of it alone;
    /// what needs all runs of the model is left to whoever joins the shares.
    ///
    /// # Errors
    /// [`Halt`]; `results` has what was measured until then.
    pub(super) fn measure(
        &mut self,
        groups: &[Group<'_>],
        share: Option<&[Group<'_>]>,
        results: &mut Results,
    ) -> Result<(), Halt> {
        self.fall_back_again();
        let wanted = molecules_of(groups.iter());
        let mut gates = Gates::new(&self.model.record.name);
        self.gates_of_structures(&wanted, &mut gates, results)?;
        let relaxed = self.minima(&wanted, &mut gates, results)?;
        results.gates.extend(gates.records().iter().cloned());
        self.forces(&wanted, results)?;

        let mut visited = Vec::new();
        let cut = self.cut(results);
        for group in share.unwrap_or(groups) {
            let ran = self.dynamics(group, &relaxed, cut.as_ref())?;
            ran.keep(results, &mut visited);
        }
        if share.is_none() {
            if cut.is_none() {
                self.more_replicas(groups, &relaxed, results, &mut visited)?;
            }
            self.survival(results);
            self.causes(groups, &relaxed, results)?;
        }
        // What is asked once per molecule belongs to the share with its first run.
        let mine = |run: &PlannedRun| {
            let of_molecule = |group: &&Group<'_>| group.runs.iter().any(|r| r.molecule == run.molecule);
            let first = groups
                .iter()
                .find(of_molecule)
                .and_then(|g| g.runs.iter().find(|r| r.molecule == run.molecule));
            share.is_none_or(|share| {
                share.iter().flat_map(|g| &g.runs).any(|own| first.is_some_and(|first| own.id == first.id))
            })
        };
        if cut.is_none() {
            self.ladders(groups, &relaxed, mine, results)?;
        }
        self.keep(&visited)?;
        if share.is_none() {
            self.gates_of_frames(&visited, &mut gates, results)?;
        }
        results.gates.retain(|g| g.model != self.model.record.name);
        let (records, series) = gates.into_records();
        results.gates.extend(records);
        results.series.extend(series);
        if share.is_none() {
            self.shifts(&wanted, &visited, results)?;
        }
        let runs = || groups.iter().flat_map(|g| &g.runs);
        let wanted: Vec<usize> =
            wanted.into_iter().filter(|&m| runs().find(|run| run.molecule == m).is_some_and(mine)).collect();
        self.against_reference(&wanted, results)?;

        let speed = self.each("speed", Stage::Speed, &wanted, &mut results.failures, |model, molecule| {
            speed::measure(model, &molecule.record.name, &molecule.system, 1)
        })?;
        results.speed.extend(speed);
        Ok(())
    }

    /// Measures something on each of the molecules `wanted`, a part of the campaign each. What fails is recorded, and
    /// the rest goes on.
    pub(super) fn each<T: Serialize + DeserializeOwned>(
        &mut self,
        title: &str,
        stage: Stage,
        wanted: &[usize],
        failures: &mut Vec<Failure>,
        mut measure: impl FnMut(&mut LoadedModel, &LoadedMolecule) -> Result<T>,
    ) -> Result<Vec<T>, Halt> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut ticker = self.watch.stage(&self.model.record.name, title, wanted.len() as u64);
        let mut measured = Vec::new();
        for molecule in wanted.iter().map(|&m| &self.molecules[m]) {
            let name = self.part(title, &molecule.record.name);
            match self.attempt(&name, |stage| measure(stage.model, molecule))? {
                Ok(value) => measured.push(value),
                Err(error) => failures.push(self.failure(stage, Some(&molecule.record.name), &error)),
            }
            ticker.tick();
        }
        Ok(measured)
    }

    /// Name of a part of the campaign that is about this model.
    pub(super) fn part(&self, what: &str, of: &str) -> String {
        format!("{}/{what}/{of}", self.model.record.name)
    }

    /// Something with gates as a part of the campaign. Gates that were measured before a failure stay.
    fn with_gates<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        gates: &mut Gates,
        mut measure: impl FnMut(&mut Gates, &mut LoadedModel) -> Result<T>,
    ) -> Result<Result<T>, Halt> {
        let none_yet = Gates::new(&self.model.record.name);
        let mut apart = none_yet.clone();
        let measured = self.attempt(name, |stage| {
            apart = none_yet.clone();
            let value = measure(&mut apart, stage.model)?;
            Ok((value, apart.clone()))
        })?;
        Ok(match measured {
            Ok((value, measured)) => {
                gates.absorb(measured);
                Ok(value)
            }
            Err(error) => {
                gates.absorb(apart);
                Err(error)
            }
        })
    }

    /// Gates as a part of the campaign.
    fn measure_gates(
        &mut self,
        (title, of, molecule): (&str, &str, &str),
        gates: &mut Gates,
        results: &mut Results,
        measure: impl FnMut(&mut Gates, &mut LoadedModel) -> Result<()>,
    ) -> Result<(), Halt> {
        let name = self.part(title, of);
        if let Err(error) = self.with_gates(&name, gates, measure)? {
            results.failures.push(self.failure(Stage::Gates, Some(molecule), &error));
        }
        Ok(())
    }

    pub(super) fn failure(&self, stage: Stage, molecule: Option<&str>, error: &anyhow::Error) -> Failure {
        let model = self.model.record.name.clone();
        let molecule = molecule.map(str::to_owned);
        let reason = in_full(error);
        tracing::error!(model, molecule, ?stage, "{reason}");
        Failure { model, molecule, stage, reason }
    }

    fn gates_of_structures(
        &mut self,
        wanted: &[usize],
        gates: &mut Gates,
        results: &mut Results,
    ) -> Result<(), Halt> {
        let (watch, title) = (self.watch, "physics gates");
        let mut ticker = watch.stage(&self.model.record.name, title, wanted.len() as u64);
        for molecule in wanted.iter().map(|&m| &self.molecules[m]) {
            let name = molecule.record.name.as_str();
            self.measure_gates((title, name, name), gates, results, |gates, model| {
                gates.of_structure(model, name, &molecule.system)
            })?;
            ticker.tick();
        }
        drop(ticker);
        if self.model.record.role == Role::Candidate {
            let systems = wanted.iter().map(|&m| &self.molecules[m].system);
            let elements = self.model.elements_to_pair(systems);
            let of = elements.iter().map(|e| e.symbol()).collect::<Vec<_>>().join("-");
            let _ticker = watch.stage(&self.model.record.name, ELEMENT_PAIRS, 0);
            let part = (ELEMENT_PAIRS, of.as_str(), ELEMENT_PAIRS);
            self.measure_gates(part, gates, results, |gates, model| {
                gates.of_element_pairs(model, &elements)
            })?;
        }
        Ok(())
    }

    /// Relaxes the molecules `wanted`, all in one batch, and looks at the minima. A molecule that cannot be relaxed is
    /// not among them.
    fn minima(
        &mut self,
        wanted: &[usize],
        gates: &mut Gates,
        results: &mut Results,
    ) -> Result<RelaxedMolecules, Halt> {
        let mut ticker = self.watch.stage(&self.model.record.name, "minima", wanted.len() as u64);
        let relaxed = self.relax(wanted, results)?;
        for (&m, relaxed) in &relaxed {
            let molecule = &self.molecules[m];
            let name = molecule.record.name.as_str();
            let part = self.part("minimum", name);
            let looked =
                self.with_gates(&part, gates, |gates, model| minimum::look(model, molecule, relaxed, gates))?;
            match looked {
                Ok(record) => results.relaxations.push(record),
                Err(error) => {
                    results.failures.push(self.failure(Stage::Minimum, Some(name), &error));
                }
            }
            ticker.tick();
        }
        Ok(relaxed)
    }

    fn relax(&mut self, wanted: &[usize], results: &mut Results) -> Result<RelaxedMolecules, Halt> {
        let part = |stage: &Self, m: usize| stage.part("relaxation", &stage.molecules[m].record.name);
        let mut relaxed = RelaxedMolecules::new();
        for &m in wanted {
            relaxed.extend(self.store.get::<Relaxed>(&part(self, m)).map(|known| (m, known)));
        }
        let mut open: Vec<Vec<usize>> =
            vec![wanted.iter().copied().filter(|m| !relaxed.contains_key(m)).collect()];
        let options =
            RelaxOptions { max_bond_ratio: self.config.limits.bond_ratio, ..RelaxOptions::default() };
        while let Some(batch) = open.pop().filter(|batch| !batch.is_empty()) {
            self.store.keep_going()?;
            let systems: Vec<System> = batch.iter().map(|&m| self.molecules[m].system.clone()).collect();
            let found = isolated(|| {
                md_dynamics::relax(&systems, self.model.potential.as_mut(), &options)
                    .with_context(|| format!("relaxation with the model '{}'", self.model.record.name))
            });
            match found {
                Ok(found) => {
                    let names: Vec<String> = batch.iter().map(|&m| part(self, m)).collect();
                    let parts: Vec<(&str, &Relaxed)> = names.iter().map(String::as_str).zip(&found).collect();
                    self.store.put(&parts)?;
                    relaxed.extend(batch.into_iter().zip(found));
                }
                Err(error) if batch.len() == 1 => {
                    if !self.answers() && self.fall_back(&in_full(&error))? {
                        open.push(batch);
                        continue;
                    }
                    let name = &self.molecules[batch[0]].record.name;
                    results.failures.push(self.failure(Stage::Relaxation, Some(name), &error));
                }
                // One of them is to blame: the others are relaxed without it.
                Err(_) => open.extend(batch.into_iter().rev().map(|m| vec![m])),
            }
        }
        Ok(relaxed)
    }

    /// Errors on labelled frames: those of the campaign, and those of the model's own earlier runs.
    fn forces(&mut self, wanted: &[usize], results: &mut Results) -> Result<(), Halt> {
        if self.model.record.role == Role::Control {
            return Ok(());
        }
        let failures = &mut results.failures;
        let references = self.each("forces", Stage::Evaluation, wanted, failures, |model, molecule| {
            let on = |frames: &PathBuf| {
                let source = source(&model.record.name, molecule, frames);
                let found =
                    evaluate::evaluate(source, model.potential.as_mut(), &LabelKeys::default(), || ())?;
                frames::refuse_own(&found.0)?;
                Ok(found)
            };
            molecule.references.iter().map(on).collect::<Result<Vec<_>>>()
        })?;
        keep_evaluations(results, references.into_iter().flatten());
        let labels = self.labels;
        let name = self.model.record.name.clone();
        let own = |m: &usize| labels.of(&name, &self.molecules[*m].record.name).next().is_some();
        let labelled: Vec<usize> = wanted.iter().copied().filter(own).collect();
        let failures = &mut results.failures;
        let along = self.each("labels", Stage::Evaluation, &labelled, failures, |model, molecule| {
            let (name, molecule_name) = (&model.record.name, &molecule.record.name);
            let own: Vec<&Label> = labels.of(name, molecule_name).collect();
            frames::evaluate(source(name, molecule, &labels.file), &own, model.potential.as_mut())
        })?;
        keep_evaluations(results, along);
        Ok(())
    }

    fn survival(&self, results: &mut Results) {
        let name = &self.model.record.name;
        let runs: Vec<&Run> =
            results.runs.iter().filter(|r| r.model == *name && r.ensemble == "nve").collect();
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

    /// Writes the frames that were visited.
    fn keep(&self, visited: &[VisitedRun]) -> Result<(), Halt> {
        frames::append(&self.out.join(md_results::FRAMES_FILE), &self.model.record.name, visited)
            .map_err(Halt::Storage)
    }

    /// The gates once more where the model's own runs went: at the hottest frames of each molecule.
    fn gates_of_frames(
        &mut self,
        visited: &[VisitedRun],
        gates: &mut Gates,
        results: &mut Results,
    ) -> Result<(), Halt> {
        let mut names: Vec<&String> = visited.iter().map(|run| &run.molecule).collect();
        names.sort();
        names.dedup();
        let (watch, title) = (self.watch, "gates on its frames");
        let mut ticker = watch.stage(&self.model.record.name, title, names.len() as u64);
        for molecule in names {
            for (run, label, system) in hottest(visited, molecule) {
                self.measure_gates((title, run, molecule), gates, results, |gates, model| {
                    gates.of_frame(model, molecule, &label, &system)
                })?;
            }
            ticker.tick();
        }
        Ok(())
    }

    /// How far the model went from its reference frames.
    fn shifts(
        &mut self,
        wanted: &[usize],
        visited: &[VisitedRun],
        results: &mut Results,
    ) -> Result<(), Halt> {
        if self.model.record.role == Role::Control {
            return Ok(());
        }
        let with_frames: Vec<usize> =
            wanted.iter().copied().filter(|&m| !self.molecules[m].references.is_empty()).collect();
        let failures = &mut results.failures;
        let shifts =
            self.each("distribution shift", Stage::Shift, &with_frames, failures, |model, molecule| {
                shift::measure(&model.record.name, molecule, visited)
            })?;
        results.shifts.extend(shifts.into_iter().flatten());
        Ok(())
    }

    /// The dynamics of the model beside the reference's.
    fn against_reference(&mut self, wanted: &[usize], results: &mut Results) -> Result<(), Halt> {
        if self.model.record.role == Role::Control {
            return Ok(());
        }
        let with_trajectory: Vec<usize> =
            wanted.iter().copied().filter(|&m| !self.molecules[m].trajectories.is_empty()).collect();
        let limits = self.config.limits;
        let failures = &mut results.failures;
        let comparisons = self.each(
            "reference dynamics",
            Stage::Comparison,
            &with_trajectory,
            failures,
            |model, molecule| compare::measure(model, molecule, &limits),
        )?;
        for (comparison, series) in comparisons {
            results.comparisons.push(comparison);
            results.series.extend(series);
        }
        Ok(())
    }
}

fn keep_evaluations(results: &mut Results, found: impl IntoIterator<Item = (Evaluation, Vec<Series>)>) {
    for (evaluation, series) in found {
        results.evaluations.push(evaluation);
        results.series.extend(series);
    }
}

fn source<'a>(model: &'a str, molecule: &'a LoadedMolecule, frames: &'a Path) -> evaluate::Source<'a> {
    evaluate::Source { model, molecule: Some(&molecule.record.name), frames }
}

/// The last frames of the hottest runs of a molecule, each with its run and its place in words.
fn hottest<'v>(visited: &'v [VisitedRun], molecule: &str) -> Vec<(&'v str, String, System)> {
    let mut runs: Vec<&VisitedRun> =
        visited.iter().filter(|run| run.molecule == molecule && !run.frames.is_empty()).collect();
    runs.sort_by(|a, b| b.temperature_k.total_cmp(&a.temperature_k).then_with(|| a.run.cmp(&b.run)));
    runs.iter()
        .take(GATE_FRAMES)
        .filter_map(|run| {
            let frame = run.frames.last()?;
            let label = format!("its own frame at {} K, {} ps", run.temperature_k, number(frame.time_ps));
            Some((run.run.as_str(), label, frame.system.clone()))
        })
        .collect()
}
