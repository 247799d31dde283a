use md_core::units::FS_PER_PS;
use md_core::{Divergence, Fate, SystemFrame, Vec3, bonds};
use md_metrics::{BondTracker, MetricError, rmsd_aligned_angstrom};
use md_results::{Run, RunStability};
use serde::{Deserialize, Serialize};

use super::{Metric, Subject};

/// Number of steps between two alignments, which are the most expensive part of a record.
const RMSD_STRIDE: u64 = 10;

/// Integrity of the bonds, and displacement from the start.
#[derive(Serialize, Deserialize)]
pub(super) struct Stability {
    start: Vec<Vec3>,
    timestep_fs: f64,
    bonds: BondTracker,
    max_rmsd_angstrom: f64,
}

impl Metric for Stability {
    fn new(subject: &Subject<'_>) -> Result<Self, MetricError> {
        let bonds = bonds::find(subject.structure, bonds::DEFAULT_SCALE);
        Ok(Stability {
            start: subject.start.to_vec(),
            timestep_fs: subject.grid.timestep_fs,
            bonds: BondTracker::new(bonds, subject.broken_ratio)?,
            max_rmsd_angstrom: 0.0,
        })
    }

    fn observe(&mut self, frame: &SystemFrame<'_>) -> Result<(), MetricError> {
        self.bonds.observe(frame.time_fs() / FS_PER_PS, frame.positions())?;
        if frame.step().is_multiple_of(RMSD_STRIDE) {
            let rmsd = rmsd_aligned_angstrom(frame.positions(), &self.start)?;
            self.max_rmsd_angstrom = self.max_rmsd_angstrom.max(rmsd);
        }
        Ok(())
    }

    /// A bond whose stretch ended the run counts as broken at that time, although no observer saw that step.
    fn fill(&self, run: &mut Run, fate: &Fate) -> Result<(), MetricError> {
        let seen = self.bonds.first_broken().map(|b| (b.time_ps, b.bond.i, b.bond.j));
        let (last, last_ratio) = match *fate {
            Fate::Diverged { step, reason: Divergence::BondStretched { i, j, distance_angstrom, .. } } => {
                let reference = self.bonds.records().iter().find(|r| (r.bond.i, r.bond.j) == (i, j));
                let time_ps = step as f64 * self.timestep_fs / FS_PER_PS;
                (Some((time_ps, i, j)), reference.map(|r| distance_angstrom / r.bond.length_angstrom))
            }
            _ => (None, None),
        };
        let first = seen.or(last);
        // One atom has no bonds. For several atoms without bonds, their cohesion is unknown.
        let no_bond = (self.start.len() == 1).then_some(0.0);
        run.stability = Some(RunStability {
            first_broken_bond_ps: first.map(|(time_ps, _, _)| time_ps),
            first_broken_bond: first.map(|(_, i, j)| format!("{i}-{j}")),
            max_bond_ratio: [self.bonds.max_ratio(), last_ratio, no_bond]
                .into_iter()
                .flatten()
                .reduce(f64::max),
            max_rmsd_angstrom: self.max_rmsd_angstrom,
        });
        Ok(())
    }
}
