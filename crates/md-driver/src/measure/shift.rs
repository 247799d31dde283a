//! How far a model's runs went from the frames it is compared with.

use anyhow::Result;
use md_io::extxyz::{self, LabelKeys};
use md_metrics::{descriptor, distribution_shift};
use md_results::Shift;

use super::{About, Cost, Needs, Output, Stage, Subject, View};
use crate::frames::VisitedRun;
use crate::models::LoadedModel;
use crate::molecule::LoadedMolecule;

/// Reference frames looked at, evenly spread over all: the distances among them cost the square of their number.
const MOST_REFERENCE_FRAMES: usize = 600;

/// The distance of the frames that the runs of a molecule visited from its reference frames.
pub(super) struct DistributionShift;

impl Stage for DistributionShift {
    fn about(&self) -> About {
        About {
            id: md_results::Stage::Shift,
            title: "distribution shift",
            needs: Needs::Runs,
            of_control: false,
        }
    }

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
        out.shifts.extend(shift(&model.record.name, molecule, cx.visited)?);
        Ok(())
    }

    fn cost(&self, _: &View<'_>, _: &Subject<'_>) -> Result<Option<Cost>> {
        Ok(Some(Cost::default()))
    }
}

/// `None` where no frame was visited.
fn shift(model: &str, molecule: &LoadedMolecule, visited: &[VisitedRun]) -> Result<Option<Shift>> {
    let own = visited.iter().filter(|run| run.molecule == molecule.record.name).flat_map(|run| &run.frames);
    let visited: Vec<Vec<f64>> =
        own.map(|f| descriptor(f.system.elements(), f.system.positions())).collect::<Result<_, _>>()?;
    if visited.is_empty() {
        return Ok(None);
    }
    let mut frames = Vec::new();
    for reference in &molecule.references {
        for frame in extxyz::open(reference, LabelKeys::default())? {
            let system = frame?.system;
            frames.push(descriptor(system.elements(), system.positions())?);
        }
    }
    let stride = frames.len().div_ceil(MOST_REFERENCE_FRAMES).max(1);
    let reference: Vec<Vec<f64>> = frames.into_iter().step_by(stride).collect();
    let shift = distribution_shift(&visited, &reference)?;
    Ok(Some(Shift {
        model: model.to_owned(),
        molecule: molecule.record.name.clone(),
        n_visited: visited.len(),
        n_reference: reference.len(),
        median_ratio: shift.median_ratio,
        max_ratio: shift.max_ratio,
        fraction_beyond: shift.fraction_beyond,
    }))
}
