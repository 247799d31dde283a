//! Exchange between kinetic and potential energy.

use crate::MetricError;
use crate::energy::magnitude;
use crate::error::{require_finite, require_length, require_some};
use crate::moments::PairMoments;

/// Statistics of kinetic and potential energy and of their exchange.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KineticPotential {
    /// Mean kinetic energy, eV.
    pub kinetic_mean_ev: f64,
    /// Standard deviation of the kinetic energy, eV (`ddof = 0`).
    pub kinetic_std_ev: f64,
    /// Mean potential energy, eV.
    pub potential_mean_ev: f64,
    /// Standard deviation of the potential energy, eV (`ddof = 0`).
    pub potential_std_ev: f64,
    /// Pearson's correlation of the two: -1 if their sum is conserved. `None` if one of them does not vary.
    pub correlation: Option<f64>,
    /// `mean K / |mean V|`, which depends on the zero of V; `None` if the mean of V is zero.
    pub kinetic_to_potential_ratio: Option<f64>,
}

impl KineticPotential {
    /// Computes the statistics of kinetic and potential energies (eV) at the same times.
    ///
    /// # Errors
    /// [`MetricError::Empty`], [`MetricError::Length`] or [`MetricError::NonFinite`].
    pub fn from_energies(kinetic_ev: &[f64], potential_ev: &[f64]) -> Result<Self, MetricError> {
        require_some("kinetic energies", kinetic_ev)?;
        require_length("potential energies", kinetic_ev.len(), potential_ev.len())?;
        let mut accumulator = KineticPotentialAccumulator::default();
        kinetic_ev.iter().zip(potential_ev).try_for_each(|(&k, &v)| accumulator.push(k, v))?;
        accumulator.statistics()
    }
}

/// Accumulates [`KineticPotential`] over a stream, in constant memory.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct KineticPotentialAccumulator {
    moments: PairMoments,
}

impl KineticPotentialAccumulator {
    /// Adds kinetic and potential energy (eV) at one time.
    ///
    /// # Errors
    /// [`MetricError::NonFinite`]; the sample is then not counted.
    pub fn push(&mut self, kinetic_ev: f64, potential_ev: f64) -> Result<(), MetricError> {
        let index = self.moments.count as usize;
        require_finite("kinetic energy", index, kinetic_ev)?;
        require_finite("potential energy", index, potential_ev)?;
        self.moments.push(kinetic_ev, potential_ev);
        Ok(())
    }

    /// The statistics so far.
    ///
    /// # Errors
    /// [`MetricError::Empty`].
    pub fn statistics(&self) -> Result<KineticPotential, MetricError> {
        let m = &self.moments;
        if m.count == 0 {
            return Err(MetricError::Empty { what: "kinetic energies" });
        }
        let n = m.count as f64;
        Ok(KineticPotential {
            kinetic_mean_ev: m.mean_x(),
            kinetic_std_ev: (m.s_xx / n).sqrt(),
            potential_mean_ev: m.mean_y(),
            potential_std_ev: (m.s_yy / n).sqrt(),
            correlation: m.correlation(),
            kinetic_to_potential_ratio: magnitude("mean potential energy (eV)", m.mean_y())
                .ok()
                .map(|v| m.mean_x() / v),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinetic_potential_anticorrelates_at_constant_sum() {
        let kinetic: Vec<f64> = (0..100).map(|i| 0.5 + 0.1 * (0.3 * f64::from(i)).sin()).collect();
        let potential: Vec<f64> = kinetic.iter().map(|k| -75.0 - k).collect();
        let shared = KineticPotential::from_energies(&kinetic, &potential).unwrap();
        assert!((shared.correlation.unwrap() + 1.0).abs() < 1e-10);
        let still = KineticPotential::from_energies(&[0.1; 5], &[0.0; 5]).unwrap();
        assert_eq!((still.correlation, still.kinetic_to_potential_ratio), (None, None));
    }

    #[test]
    fn kinetic_potential_rejects_unpaired_or_non_finite() {
        assert!(matches!(KineticPotential::from_energies(&[1.0], &[]), Err(MetricError::Length { .. })));
        assert!(matches!(KineticPotential::from_energies(&[], &[]), Err(MetricError::Empty { .. })));
        let mut accumulator = KineticPotentialAccumulator::default();
        let error = accumulator.push(1.0, f64::INFINITY).unwrap_err();
        assert_eq!(
            error,
            MetricError::NonFinite { what: "potential energy", index: 0, value: f64::INFINITY }
        );
        assert!(matches!(accumulator.statistics(), Err(MetricError::Empty { .. })));
    }
}
