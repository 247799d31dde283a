//! Decides when to run less or more than planned.

use md_results::{DecidableBy, Results};

use super::ran::Cut;
use super::runner::Runner;
use crate::config::Ensemble;
use crate::error::Halt;
use crate::frames::VisitedRun;
use crate::plan::{Group, planned};
use crate::start::RelaxedMolecules;

impl Runner<'_> {
    /// Returns the limit on the duration of runs, if no dynamics can change the verdict on the model.
    pub(super) fn cut(&self, results: &mut Results) -> Option<Cut> {
        let model = results.models.iter().find(|m| m.name == self.model.record.name)?;
        if !md_criteria::fails_every_use(results, model) {
            return None;
        }
        let duration_ps = self.config.adaptive.early_stop_ps;
        let reason = format!(
            "the model had failed every use before its runs, which end after {duration_ps} ps at most"
        );
        results.economy.push(format!("{}: {reason}", self.model.record.name));
        Some(Cut { duration_ps, reason })
    }

    /// Adds replicas to the molecules whose checks need them, one at each temperature per round, within the budget.
    pub(super) fn more_replicas(
        &mut self,
        groups: &[Group<'_>],
        relaxed: &RelaxedMolecules,
        results: &mut Results,
        visited: &mut Vec<VisitedRun>,
    ) -> Result<(), Halt> {
        let mut spent_ps = 0.0;
        for extra in 0..self.config.adaptive.max_extra_replicas {
            let undecided = self.undecided_for_replicas(results);
            if undecided.is_empty() {
                return Ok(());
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
                if spent_ps + cost_ps > self.config.adaptive.budget_ps {
                    results.economy.push(format!(
                        "{}: no more replicas for {}: {} ps more would pass the budget of {} ps",
                        self.model.record.name,
                        undecided.join(", "),
                        cost_ps,
                        self.config.adaptive.budget_ps
                    ));
                    return Ok(());
                }
                spent_ps += cost_ps;
                results.economy.push(format!(
                    "{}: replica {} added for {}, where a check was undecided",
                    self.model.record.name,
                    group.config.replicas + extra,
                    undecided.join(", ")
                ));
                let more = Group { config: group.config, model: group.model, runs };
                self.dynamics(&more, relaxed, None)?.enter(results, visited);
            }
        }
        Ok(())
    }

    /// Returns the molecules with a check that more replicas would decide.
    fn undecided_for_replicas(&self, results: &Results) -> Vec<String> {
        let Some(model) = results.models.iter().find(|m| m.name == self.model.record.name) else {
            return Vec::new();
        };
        let mut molecules: Vec<String> = results
            .criteria
            .iter()
            .flat_map(|set| md_criteria::checks_of(results, model, set))
            .filter(|c| c.decidable_by == Some(DecidableBy::Replicas))
            .map(|c| c.molecule)
            .collect();
        molecules.sort();
        molecules.dedup();
        molecules
    }
}
