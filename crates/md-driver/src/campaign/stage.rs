//! One model going through the campaign.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use md_core::System;
use md_dynamics::RelaxOptions;
use md_io::extxyz::LabelKeys;
use md_io::results::{ELEMENT_PAIRS, Evaluation, Failure, Results, Role, Run, Series, Stage, Status};

use super::dynamics::{Cut, RelaxedMolecules};
use super::watch::Watch;
use super::{LoadedMolecule, molecules_of};
use crate::config::{Config, Ensemble};
use crate::criteria::REPLICAS;
use crate::frames::{self, Label, VisitedRun};
use crate::gates::Gates;
use crate::models::LoadedModel;
use crate::plan::{Group, planned};
use crate::{compare, evaluate, in_full, minimum, shift, speed, statistics, verdict};
use md_report::number;

/// Frames of its own runs at which the gates of a model are measured, per molecule.
const GATE_FRAMES: usize = 3;

/// One model going through the campaign.
pub(super) struct ModelStage<'a> {
    pub(super) config: &'a Config,
    /// Index of the model.
    pub(super) index: usize,
    pub(super) molecules: &'a [LoadedMolecule],
    pub(super) labels: &'a Labels,
    pub(super) model: &'a mut LoadedModel,
    pub(super) out: &'a Path,
    pub(super) watch: &'a Watch,
}

/// Labelled frames of earlier runs, and the file they come from.
#[derive(Debug, Default)]
pub(super) struct Labels {
    pub(super) file: PathBuf,
    pub(super) labels: Vec<Label>,
}

impl ModelStage<'_> {
    /// Measures everything on the molecules of `groups`. What needs no dynamics comes first: a model that fails every
    /// use by then has short runs.
    pub(super) fn measure(&mut self, groups: &[&Group<'_>], results: &mut Results) {
        let wanted = molecules_of(groups.iter().copied());
        let mut gates = Gates::new(&self.model.record.name);
        self.gates_of_structures(&wanted, &mut gates, results);
        let relaxed = self.minima(&wanted, groups, &mut gates, results);
        results.gates.extend(gates.records().iter().cloned());
        self.forces(&wanted, results);

        let mut visited = Vec::new();
        if let Some(relaxed) = relaxed {
            let cut = self.cut(results);
            for group in groups {
                let ran = self.dynamics(group, &relaxed, cut.as_ref());
                ran.keep(results, &mut visited);
            }
            if cut.is_none() {
                self.more_replicas(groups, &relaxed, results, &mut visited);
            }
            self.survival(results);
            self.explain(groups, &relaxed, cut.is_some(), results);
        }
        self.keep(&visited, results);
        self.gates_of_frames(&visited, &mut gates, results);
        results.gates.retain(|g| g.model != self.model.record.name);
        let (records, series) = gates.into_records();
        results.gates.extend(records);
        results.series.extend(series);
        self.against_reference(&wanted, &visited, results);

        let speed = self.each("speed", Stage::Speed, &wanted, &mut results.failures, |model, molecule| {
            speed::measure(model, &molecule.record.name, &molecule.system, 1)
        });
        results.speed.extend(speed);
    }

    /// Measures something on each of the molecules `wanted`. What fails is recorded, and the rest goes on.
    pub(super) fn each<T>(
        &mut self,
        title: &str,
        stage: Stage,
        wanted: &[usize],
        failures: &mut Vec<Failure>,
        mut measure: impl FnMut(&mut LoadedModel, &LoadedMolecule) -> Result<T>,
    ) -> Vec<T> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let mut ticker = self.watch.stage(&self.model.record.name, title, wanted.len() as u64);
        let mut measured = Vec::new();
        for molecule in wanted.iter().map(|&m| &self.molecules[m]) {
            match measure(self.model, molecule) {
                Ok(value) => measured.push(value),
                Err(error) => failures.push(self.failure(stage, Some(&molecule.record.name), &error)),
            }
            ticker.tick();
        }
        measured
    }

    pub(super) fn failure(&self, stage: Stage, molecule: Option<&str>, error: &anyhow::Error) -> Failure {
        let model = self.model.record.name.clone();
        let molecule = molecule.map(str::to_owned);
        let reason = in_full(error);
        tracing::error!(model, molecule, ?stage, "{reason}");
        Failure { model, molecule, stage, reason }
    }

    fn gates_of_structures(&mut self, wanted: &[usize], gates: &mut Gates, results: &mut Results) {
        let failures = &mut results.failures;
        self.each("physics gates", Stage::Gates, wanted, failures, |model, molecule| {
            gates.of_structure(model, &molecule.record.name, &molecule.system)
        });
        if self.model.record.role == Role::Candidate {
            let systems = wanted.iter().map(|&m| &self.molecules[m].system);
            let elements = self.model.elements_to_pair(systems);
            let _ticker = self.watch.stage(&self.model.record.name, "element pairs", 0);
            if let Err(error) = gates.of_element_pairs(self.model, &elements) {
                failures.push(self.failure(Stage::Gates, Some(ELEMENT_PAIRS), &error));
            }
        }
    }

    /// Relaxes the molecules `wanted`, all in one batch, and looks at the minima.
    fn minima(
        &mut self,
        wanted: &[usize],
        groups: &[&Group<'_>],
        gates: &mut Gates,
        results: &mut Results,
    ) -> Option<RelaxedMolecules> {
        let mut ticker = self.watch.stage(&self.model.record.name, "minima", wanted.len() as u64);
        let systems: Vec<System> = wanted.iter().map(|&m| self.molecules[m].system.clone()).collect();
        let options =
            RelaxOptions { max_bond_ratio: self.config.limits.bond_ratio, ..RelaxOptions::default() };
        let relaxed = match md_dynamics::relax(&systems, self.model.potential.as_mut(), &options)
            .with_context(|| format!("relaxation with the model '{}'", self.model.record.name))
        {
            Ok(relaxed) => relaxed,
            Err(error) => {
                results.failures.push(self.failure(Stage::Relaxation, None, &error));
                // Runs that begin at the given structure can be made nevertheless.
                return groups.iter().all(|g| !g.config.relax).then(RelaxedMolecules::new);
            }
        };
        for (&m, relaxed) in wanted.iter().zip(&relaxed) {
            let molecule = &self.molecules[m];
            match minimum::look(self.model, molecule, relaxed, gates) {
                Ok(record) => results.relaxations.push(record),
                Err(error) => {
                    results.failures.push(self.failure(Stage::Minimum, Some(&molecule.record.name), &error));
                }
            }
            ticker.tick();
        }
        Some(wanted.iter().copied().zip(relaxed).collect())
    }

    /// Errors on labelled frames: those of the campaign, and those of the model's own earlier runs.
    fn forces(&mut self, wanted: &[usize], results: &mut Results) {
        if self.model.record.role == Role::Control {
            return;
        }
        let failures = &mut results.failures;
        let references = self.each("forces", Stage::Evaluation, wanted, failures, |model, molecule| {
            let on = |frames: &PathBuf| {
                let source = source(&model.record.name, molecule, frames);
                evaluate::evaluate(source, model.potential.as_mut(), &LabelKeys::default(), || ())
            };
            molecule.references.iter().map(on).collect::<Result<Vec<_>>>()
        });
        keep_evaluations(results, references.into_iter().flatten());
        let Labels { file, labels } = self.labels;
        let name = &self.model.record.name;
        let own = |m: &usize| {
            labels.iter().any(|l| l.model == *name && l.molecule == self.molecules[*m].record.name)
        };
        let labelled: Vec<usize> = wanted.iter().copied().filter(own).collect();
        let failures = &mut results.failures;
        let along = self.each("labels", Stage::Evaluation, &labelled, failures, |model, molecule| {
            let (name, molecule_name) = (&model.record.name, &molecule.record.name);
            let own: Vec<&Label> =
                labels.iter().filter(|l| l.model == *name && l.molecule == *molecule_name).collect();
            frames::evaluate(source(name, molecule, file), &own, model.potential.as_mut())
        });
        keep_evaluations(results, along);
    }

    /// How long runs may be: a model that no dynamics can save has short ones.
    fn cut(&self, results: &mut Results) -> Option<Cut> {
        let model = results.models.iter().find(|m| m.name == self.model.record.name)?;
        if !verdict::is_hopeless(results, model) {
            return None;
        }
        let duration_ps = self.config.economy.hopeless_ps;
        let reason =
            format!("the model had failed every use before its runs, which end after {duration_ps} ps");
        results.economy.push(format!("{}: {reason}", self.model.record.name));
        Some(Cut { duration_ps, reason })
    }

    /// Adds replicas to the molecules whose checks need them, one at each temperature at a time, within the budget.
    fn more_replicas(
        &mut self,
        groups: &[&Group<'_>],
        relaxed: &RelaxedMolecules,
        results: &mut Results,
        visited: &mut Vec<VisitedRun>,
    ) {
        let mut spent_ps = 0.0;
        for extra in 0..self.config.economy.extra_replicas {
            let undecided = self.undecided_for_replicas(results);
            if undecided.is_empty() {
                return;
            }
            for group in groups.iter().filter(|g| g.config.ensemble == Ensemble::Nve) {
                let mut runs = Vec::new();
                for &molecule in group
                    .config
                    .molecules
                    .iter()
                    .filter(|&&m| undecided.contains(&self.molecules[m].record.name))
                {
                    for &temperature_k in &group.config.temperatures_k {
                        let replica = group.config.replicas + extra;
                        runs.push(planned(
                            self.config,
                            group.config,
                            self.index,
                            molecule,
                            temperature_k,
                            replica,
                        ));
                    }
                }
                if runs.is_empty() {
                    continue;
                }
                let each_ps =
                    group.config.steps as f64 * group.config.timestep_fs / md_core::units::FS_PER_PS;
                let cost_ps = runs.len() as f64 * each_ps;
                if spent_ps + cost_ps > self.config.economy.budget_ps {
                    results.economy.push(format!(
                        "{}: no more replicas for {}: {} ps more would pass the budget of {} ps",
                        self.model.record.name,
                        undecided.join(", "),
                        cost_ps,
                        self.config.economy.budget_ps
                    ));
                    return;
                }
                spent_ps += cost_ps;
                results.economy.push(format!(
                    "{}: replica {} added for {}, where a check was undecided",
                    self.model.record.name,
                    group.config.replicas + extra,
                    undecided.join(", ")
                ));
                let more = Group { config: group.config, model: group.model, runs };
                self.dynamics(&more, relaxed, None).keep(results, visited);
            }
        }
    }

    /// Molecules with a check that more replicas would decide.
    fn undecided_for_replicas(&self, results: &Results) -> Vec<String> {
        let Some(model) = results.models.iter().find(|m| m.name == self.model.record.name) else {
            return Vec::new();
        };
        let mut molecules: Vec<String> = results
            .criteria
            .iter()
            .flat_map(|set| verdict::checks_of(results, model, set))
            .filter(|c| c.status == Status::Undecided)
            .filter(|c| c.to_decide.as_ref().is_some_and(|text| text.contains(REPLICAS)))
            .map(|c| c.molecule)
            .collect();
        molecules.sort();
        molecules.dedup();
        molecules
    }

    fn survival(&self, results: &mut Results) {
        let name = &self.model.record.name;
        let runs: Vec<&Run> =
            results.runs.iter().filter(|r| r.model == *name && r.ensemble == "nve").collect();
        let mut records = Vec::new();
        for molecule in self.molecules.iter().map(|m| Some(&m.record.name)).chain([None]) {
            let chosen: Vec<&Run> =
                runs.iter().copied().filter(|r| molecule.is_none_or(|m| r.molecule == *m)).collect();
            match statistics::survival(&chosen) {
                Ok(Some(survival)) => records.push(md_io::results::Survival {
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
    fn keep(&self, visited: &[VisitedRun], results: &mut Results) {
        if let Err(error) = frames::append(&self.out.join(frames::FILE), &self.model.record.name, visited) {
            results.failures.push(self.failure(Stage::Shift, None, &error));
        }
    }

    /// The gates once more where the model's own runs went: at the hottest frames of each molecule.
    fn gates_of_frames(&mut self, visited: &[VisitedRun], gates: &mut Gates, results: &mut Results) {
        let mut names: Vec<&String> = visited.iter().map(|run| &run.molecule).collect();
        names.sort();
        names.dedup();
        let mut ticker = self.watch.stage(&self.model.record.name, "gates on its frames", names.len() as u64);
        for molecule in names {
            for (label, system) in hottest(visited, molecule) {
                if let Err(error) = gates.of_frame(self.model, molecule, &label, &system) {
                    results.failures.push(self.failure(Stage::Gates, Some(molecule), &error));
                }
            }
            ticker.tick();
        }
    }

    /// How far the model went from its reference frames, and its dynamics beside the reference's.
    fn against_reference(&mut self, wanted: &[usize], visited: &[VisitedRun], results: &mut Results) {
        if self.model.record.role == Role::Control {
            return;
        }
        let with_frames: Vec<usize> =
            wanted.iter().copied().filter(|&m| !self.molecules[m].references.is_empty()).collect();
        let failures = &mut results.failures;
        let shifts =
            self.each("distribution shift", Stage::Shift, &with_frames, failures, |model, molecule| {
                shift::measure(&model.record.name, molecule, visited)
            });
        results.shifts.extend(shifts.into_iter().flatten());

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
        );
        for (comparison, series) in comparisons {
            results.comparisons.push(comparison);
            results.series.extend(series);
        }
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

/// The last frames of the hottest runs of a molecule, each with its place in words.
fn hottest(visited: &[VisitedRun], molecule: &str) -> Vec<(String, System)> {
    let mut runs: Vec<&VisitedRun> =
        visited.iter().filter(|run| run.molecule == molecule && !run.frames.is_empty()).collect();
    runs.sort_by(|a, b| b.temperature_k.total_cmp(&a.temperature_k).then_with(|| a.run.cmp(&b.run)));
    runs.iter()
        .take(GATE_FRAMES)
        .filter_map(|run| {
            let frame = run.frames.last()?;
            let label = format!("its own frame at {} K, {} ps", run.temperature_k, number(frame.time_ps));
            Some((label, frame.system.clone()))
        })
        .collect()
}
