use md_core::units::{AMU_ANGSTROM2_PER_FS_IN_HBAR, FS_PER_PS};
use md_core::{Fate, SystemFrame, Vec3, mechanics};
use md_metrics::MetricError;
use md_results::{Run, RunMomentum};
use serde::{Deserialize, Serialize};

use super::{Metric, Subject};

/// Conservation of linear and angular momentum.
#[derive(Serialize, Deserialize)]
pub(super) struct Momentum {
    first_angular_momentum: Option<Vec3>,
    max_angular_momentum_change: f64,
    max_drift_angstrom_per_fs: f64,
}

impl Metric for Momentum {
    fn new(_subject: &Subject<'_>) -> Result<Self, MetricError> {
        Ok(Momentum {
            first_angular_momentum: None,
            max_angular_momentum_change: 0.0,
            max_drift_angstrom_per_fs: 0.0,
        })
    }

    fn observe(&mut self, frame: &SystemFrame<'_>) -> Result<(), MetricError> {
        let spin = frame.angular_momentum();
        let change = (spin - *self.first_angular_momentum.get_or_insert(spin)).norm();
        self.max_angular_momentum_change = self.max_angular_momentum_change.max(change);
        let masses = frame.masses_amu();
        let drift = mechanics::momentum(masses, frame.velocities()).norm() / masses.iter().sum::<f64>();
        self.max_drift_angstrom_per_fs = self.max_drift_angstrom_per_fs.max(drift);
        Ok(())
    }

    fn fill(&self, run: &mut Run, _fate: &Fate) -> Result<(), MetricError> {
        run.momentum = Some(RunMomentum {
            max_change_hbar: self.max_angular_momentum_change * AMU_ANGSTROM2_PER_FS_IN_HBAR,
            max_drift_angstrom_per_ps: self.max_drift_angstrom_per_fs * FS_PER_PS,
        });
        Ok(())
    }
}
