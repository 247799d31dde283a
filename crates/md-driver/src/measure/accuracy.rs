//! Errors on labelled frames as stages: those that the campaign gives, and those of the model's own earlier runs.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use md_io::extxyz::{self, LabelKeys};
use md_results::{Evaluation, Series};

use super::evaluate::{self, Labelled, Source};
use super::{About, Cost, Needs, Output, Stage, Subject, View};
use crate::frames::{self, Label};
use crate::models::LoadedModel;
use crate::molecule::LoadedMolecule;
use crate::trained::TrainedOn;

/// Labelled frames of the campaign.
pub(super) struct References;

impl Stage for References {
    fn about(&self) -> About {
        About {
            id: md_results::Stage::Evaluation,
            title: "forces",
            needs: Needs::Structures,
            of_control: false,
        }
    }

    fn subjects<'a>(&self, cx: &View<'a>, _: &LoadedModel) -> Vec<Subject<'a>> {
        cx.molecules_where(|molecule| !molecule.references.is_empty())
    }

    fn measure(
        &self,
        _: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()> {
        let molecule = subject.as_molecule()?;
        let mut earlier = Labelled::default();
        let errors = |frames: &PathBuf| {
            let source = source(&model.record.name, molecule, frames);
            let found = evaluate::evaluate(source, model.potential.as_mut(), &mut earlier)?;
            frames::refuse_own(&found.0)?;
            Ok(found)
        };
        // Frames that it was trained on are no evidence; the others are measured.
        let name = &model.record.name;
        let known: Vec<&TrainedOn> =
            molecule.trained_on.iter().filter(|known| known.model == *name).collect();
        let unseen = molecule.references.iter().filter(|file| known.iter().all(|known| known.file != **file));
        let found = unseen.map(errors).collect::<Result<Vec<_>>>()?;
        enter(out, found);
        refuse(known)
    }

    fn cost(&self, _: &View<'_>, subject: &Subject<'_>) -> Result<Option<Cost>> {
        let mut frames = 0;
        for file in subject.molecule().into_iter().flat_map(|m| &m.references) {
            frames += extxyz::open(file, LabelKeys::default())?.count();
        }
        Ok(Some(Cost::calls(frames as f64, subject)))
    }
}

/// Frames of the model's own earlier runs that a reference program has labelled.
pub(super) struct OwnFrames;

impl Stage for OwnFrames {
    fn about(&self) -> About {
        About {
            id: md_results::Stage::Evaluation,
            title: "labels",
            needs: Needs::Structures,
            of_control: false,
        }
    }

    fn subjects<'a>(&self, cx: &View<'a>, model: &LoadedModel) -> Vec<Subject<'a>> {
        let name = &model.record.name;
        cx.molecules_where(|molecule| cx.labels.of_molecule(name, &molecule.record.name).next().is_some())
    }

    fn measure(
        &self,
        cx: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()> {
        let molecule = subject.as_molecule()?;
        let name = &model.record.name;
        let is_labels = |known: &&TrainedOn| known.model == *name && known.file == cx.labels.file;
        refuse(molecule.trained_on.iter().filter(is_labels))?;
        let own: Vec<&Label> = cx.labels.of_molecule(name, &molecule.record.name).collect();
        let source = source(name, molecule, &cx.labels.file);
        let earlier = Labelled::of_files(molecule.references.iter().map(PathBuf::as_path))?;
        enter(out, [frames::evaluate(source, &own, model.potential.as_mut(), earlier)?]);
        Ok(())
    }

    fn cost(&self, cx: &View<'_>, subject: &Subject<'_>) -> Result<Option<Cost>> {
        let model = &cx.config.models[cx.model].name;
        let frames = cx.labels.of_molecule(model, subject.place()).count();
        Ok(Some(Cost::calls(frames as f64, subject)))
    }
}

/// # Errors
/// There are files that the model was trained on.
fn refuse<'a>(known: impl IntoIterator<Item = &'a TrainedOn>) -> Result<()> {
    let reasons: Vec<&str> = known.into_iter().map(|known| known.reason.as_str()).collect();
    if reasons.is_empty() { Ok(()) } else { bail!(reasons.join("; ")) }
}

fn enter(out: &mut Output, found: impl IntoIterator<Item = (Evaluation, Vec<Series>)>) {
    for (evaluation, series) in found {
        out.evaluations.push(evaluation);
        out.series.extend(series);
    }
}

fn source<'a>(model: &'a str, molecule: &'a LoadedMolecule, frames: &'a Path) -> Source<'a> {
    Source { model, molecule: Some(&molecule.record.name), frames }
}
