//! Atoms whose environments and distances neither the training data nor the reference frames have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use md_core::System;
use md_io::extxyz::{self, LabelKeys};
use md_metrics::Gap;
use md_results::{Coverage, UncoveredAtom};
use rayon::prelude::*;

use super::{About, Cost, Needs, Output, Stage, Subject, View};
use crate::config::ModelSource;
use crate::frames::VisitedRun;
use crate::models::LoadedModel;
use crate::molecule::LoadedMolecule;
use crate::trained;

/// What known frames do not cover, of a molecule as it is given and in the frames that its runs visited.
pub(super) struct CoverageOfChemistry;

impl Stage for CoverageOfChemistry {
    fn about(&self) -> About {
        About { id: md_results::Stage::Coverage, title: "coverage", needs: Needs::Runs, of_control: false }
    }

    /// Molecules with reference frames: others have no forces to judge, and are INCOMPLETE.
    fn subjects<'a>(&self, cx: &View<'a>, _: &LoadedModel) -> Vec<Subject<'a>> {
        cx.molecules_where(|molecule| !molecule.references.is_empty())
    }

    fn measure(
        &self,
        cx: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()> {
        let molecule = subject.as_molecule()?;
        let reference = of_files(&molecule.references)?;
        if model.training.get().is_none() {
            let training = match &cx.config.models[cx.model].source {
                ModelSource::Checkpoint(path) => training(path)?,
                _ => None,
            };
            model.training.get_or_init(|| training);
        }
        let training = model.training.get().and_then(Option::as_ref);
        let mut known = reference.clone();
        training.into_iter().for_each(|training| known.merge(training));
        let own = || cx.visited.iter().filter(|run| run.molecule == molecule.record.name);
        out.coverages.push(Coverage {
            model: model.record.name.clone(),
            molecule: molecule.record.name.clone(),
            n_training: training.map(md_metrics::Coverage::n_frames),
            n_reference: reference.n_frames(),
            n_visited: own().map(|run| run.frames.len()).sum(),
            uncovered: uncovered(&known, molecule, own()),
            untrained: training.map_or_else(Vec::new, |training| uncovered(training, molecule, own())),
        });
        Ok(())
    }

    fn cost(&self, _: &View<'_>, _: &Subject<'_>) -> Result<Option<Cost>> {
        Ok(Some(Cost::default()))
    }
}

/// Returns what the frames of files cover.
fn of_files(files: &[PathBuf]) -> Result<md_metrics::Coverage> {
    let of_file = |file: &PathBuf| -> Result<md_metrics::Coverage> {
        let mut coverage = md_metrics::Coverage::default();
        for frame in extxyz::open(file, LabelKeys::default())? {
            coverage.push(&frame?.system);
        }
        Ok(coverage)
    };
    let each: Vec<_> = files.par_iter().map(of_file).collect::<Result<_>>()?;
    let mut all = md_metrics::Coverage::default();
    each.iter().for_each(|coverage| all.merge(coverage));
    Ok(all)
}

/// Returns what the training data of a checkpoint cover; `None` unless all of them are known and still there.
fn training(checkpoint: &Path) -> Result<Option<md_metrics::Coverage>> {
    trained::training_files(checkpoint)?.map(|files| of_files(&files)).transpose()
}

/// Returns each atom with something that is not covered: of its first gap, in the structure or in a visited frame.
fn uncovered<'a>(
    known: &md_metrics::Coverage,
    molecule: &LoadedMolecule,
    visited: impl Iterator<Item = &'a VisitedRun>,
) -> Vec<UncoveredAtom> {
    let mut found: BTreeMap<usize, UncoveredAtom> = BTreeMap::new();
    let mut enter = |gaps: Vec<Gap>, frames: usize| {
        let mut counted = None;
        for gap in gaps {
            let atom = found.entry(gap.atom).or_insert_with(|| UncoveredAtom {
                atom: gap.atom,
                what: gap.to_string(),
                frames: 0,
            });
            if counted != Some(gap.atom) {
                atom.frames += frames;
                counted = Some(gap.atom);
            }
        }
    };
    enter(known.gaps(&molecule.system), 0);
    let frames = visited.flat_map(|run| &run.frames).map(|frame| &frame.system);
    frames.for_each(|frame: &System| enter(known.missing_distances(frame), 1));
    found.into_values().collect()
}
