//! Up to which time step a model conserves energy.

use anyhow::Result;
use md_attribution::{LadderOptions, timestep_ladder};
use md_results::{TimestepLadder, TimestepRung};

use super::{About, Cost, Needs, Output, Stage, Subject, View};
use crate::config::Ensemble;
use crate::models::LoadedModel;
use crate::plan::{self, Group, PlannedRun};

/// Duration of the rungs of a ladder of time steps, fs.
const RUNG_FS: f64 = 250.0;

/// Number of replicas of each rung.
const STARTS: u32 = 4;

/// The ladder of time steps of every molecule and integrator, from the starts of replicas of its hottest run.
pub(super) struct Timesteps;

impl Stage for Timesteps {
    fn about(&self) -> About {
        About {
            id: md_results::Stage::Timesteps,
            title: "time steps",
            needs: Needs::Nothing,
            of_control: true,
        }
    }

    fn subjects<'a>(&self, cx: &View<'a>, _: &LoadedModel) -> Vec<Subject<'a>> {
        if cx.stopped_early {
            return Vec::new();
        }
        let nve = cx.groups.iter().filter(|g| g.config.ensemble == Ensemble::Nve);
        let subject = |(group, run): (&'a Group<'a>, &PlannedRun)| Subject::Run {
            group,
            planned: run.clone(),
            molecule: &cx.molecules[run.molecule],
        };
        hottest(nve.flat_map(|group| group.runs.iter().map(move |run| (group, run))))
            .into_iter()
            .map(subject)
            .collect()
    }

    fn measure(
        &self,
        cx: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()> {
        let (group, planned, _) = subject.as_run()?;
        let PlannedRun { model: index, molecule, temperature_k, .. } = *planned;
        let replicas: Vec<PlannedRun> = (0..STARTS)
            .map(|r| plan::planned(cx.config, group.config, index, molecule, temperature_k, r))
            .collect();
        let Some((start, limits)) = cx.begin(group, &replicas, model.potential.as_mut())? else {
            return Ok(());
        };
        let options = LadderOptions { duration_fs: RUNG_FS, limits, ..LadderOptions::default() };
        let make = |dt| group.config.integrator.build(dt);
        let ladder = timestep_ladder(&start, &make, model.potential.as_mut(), &options)?;
        out.timesteps.push(TimestepLadder {
            model: model.record.name.clone(),
            molecule: subject.place().to_owned(),
            temperature_k: planned.temperature_k,
            duration_ps: ladder.duration_ps,
            integrator: group.config.integrator.name_unless_default(),
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
        });
        Ok(())
    }

    /// A ladder that is climbed to its top.
    fn cost(&self, _: &View<'_>, subject: &Subject<'_>) -> Result<Option<Cost>> {
        let timesteps_fs = LadderOptions::default().timesteps_fs;
        let steps: f64 = timesteps_fs.iter().skip(1).map(|dt| (RUNG_FS / dt).ceil()).sum();
        Ok(Some(Cost::calls(f64::from(STARTS) * steps, subject)))
    }
}

/// The first run of every molecule and integrator at the highest temperature.
fn hottest<'a>(
    runs: impl Iterator<Item = (&'a Group<'a>, &'a PlannedRun)>,
) -> Vec<(&'a Group<'a>, &'a PlannedRun)> {
    let mut hottest: Vec<(&Group<'_>, &PlannedRun)> = Vec::new();
    for (group, run) in runs {
        let same = |(of, known): &(&Group<'_>, &PlannedRun)| {
            known.molecule == run.molecule && of.config.integrator.name() == group.config.integrator.name()
        };
        match hottest.iter_mut().find(|known| same(known)) {
            Some(known) if known.1.temperature_k < run.temperature_k => *known = (group, run),
            Some(_) => {}
            None => hottest.push((group, run)),
        }
    }
    hottest
}
