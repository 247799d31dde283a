//! The physics gates as stages: at structures, on pairs of elements, and where the runs of a model went.

use anyhow::Result;
use md_results::{ELEMENT_PAIRS, number};

use super::{About, Needs, Output, Stage, Subject, View};
use crate::frames::VisitedRun;
use crate::models::LoadedModel;

/// Frames of its own runs at which the gates of a model are measured, per molecule.
const FRAMES_PER_MOLECULE: usize = 3;

/// The gates of every molecule, at its structure and at a displaced copy.
pub(super) struct StructureGates;

impl Stage for StructureGates {
    fn about(&self) -> About {
        About {
            id: md_results::Stage::Gates,
            title: "physics gates",
            needs: Needs::Structures,
            of_control: true,
        }
    }

    fn subjects<'a>(&self, cx: &View<'a>, _: &LoadedModel) -> Vec<Subject<'a>> {
        cx.molecules_where(|_| true)
    }

    fn measure(
        &self,
        _: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()> {
        let molecule = subject.as_molecule()?;
        out.gates.of_structure(model, &molecule.record.name, &molecule.system)
    }
}

/// The gates of pairs of elements, which need no molecule.
pub(super) struct ElementPairs;

impl Stage for ElementPairs {
    fn about(&self) -> About {
        // A control is built from whole molecules and refuses pairs.
        About {
            id: md_results::Stage::Gates,
            title: ELEMENT_PAIRS,
            needs: Needs::Structures,
            of_control: false,
        }
    }

    fn subjects<'a>(&self, cx: &View<'a>, model: &LoadedModel) -> Vec<Subject<'a>> {
        let systems = cx.molecules_run().into_iter().map(|m| &cx.molecules[m].system);
        vec![Subject::ElementPairs(model.elements_to_pair(systems))]
    }

    fn measure(
        &self,
        _: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()> {
        out.gates.of_element_pairs(model, subject.as_element_pairs()?)
    }
}

/// The gates once more where the model's own runs went: at the last frames of the hottest runs of every molecule.
pub(super) struct FrameGates;

impl Stage for FrameGates {
    fn about(&self) -> About {
        About {
            id: md_results::Stage::Gates,
            title: "gates on its frames",
            needs: Needs::Runs,
            of_control: true,
        }
    }

    fn subjects<'a>(&self, cx: &View<'a>, _: &LoadedModel) -> Vec<Subject<'a>> {
        let mut molecules: Vec<usize> = cx.molecules_run();
        molecules.sort_by_key(|&m| &cx.molecules[m].record.name);
        let frames = molecules.into_iter().map(|m| &cx.molecules[m]).flat_map(|molecule| {
            let runs = hottest(cx.visited, &molecule.record.name);
            runs.into_iter().map(move |run| Subject::Frame { run, molecule })
        });
        frames.collect()
    }

    fn measure(
        &self,
        _: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()> {
        let (run, molecule) = subject.as_frame()?;
        let Some(frame) = run.frames.last() else { return Ok(()) };
        let label = format!("its own frame at {} K, {} ps", run.temperature_k, number(frame.time_ps));
        out.gates.of_frame(model, &molecule.record.name, &label, &frame.system)
    }
}

/// The hottest runs of a molecule that visited a frame.
fn hottest<'v>(visited: &'v [VisitedRun], molecule: &str) -> Vec<&'v VisitedRun> {
    let mut runs: Vec<&VisitedRun> =
        visited.iter().filter(|run| run.molecule == molecule && !run.frames.is_empty()).collect();
    runs.sort_by(|a, b| b.temperature_k.total_cmp(&a.temperature_k).then_with(|| a.run.cmp(&b.run)));
    runs.truncate(FRAMES_PER_MOLECULE);
    runs
}
