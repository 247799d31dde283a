//! Tests of the velocity distribution at a temperature.

use md_core::units::{AMU_ANGSTROM2_PER_FS2_IN_EV, BOLTZMANN_EV_PER_K};
use md_core::{Vec3, mechanics};
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

use crate::error::require_length;
use crate::statistics::{autocorrelation_time, mean_of_series};
use crate::{DecimatedSeries, Estimate, MetricError, mean_of_replicas};

/// Number of samples kept of a series.
const CAPACITY: usize = 4096;

/// Maximum number of block sums kept for each atom; neighbours are merged beyond it.
const MOST_BLOCKS: usize = 256;

/// Atoms whose expected kinetic energy is below this fraction of k_B T / 2 (a lone atom) are not tested.
const NO_SHARE: f64 = 1e-6;

/// Accumulates the kinetic energy of a system with a thermostat: its mean, its distribution, and its equipartition.
///
/// Requires the velocities of a run at constant temperature. At constant energy a small molecule has neither this
/// distribution nor, if its vibrations hardly mix, equipartition, which is not an error of the model.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ThermalAccumulator {
    masses_amu: Vec<f64>,
    degrees_of_freedom: usize,
    temperature_k: f64,
    /// `2 K / k_B T` over time.
    kinetic: DecimatedSeries,
    /// For each block, the sum of `2 K_i / k_B T - share_i` for each atom, and its number of frames.
    blocks: Vec<(Vec<f64>, usize)>,
    frames_per_block: usize,
    mean_shares: Vec<f64>,
    frames: usize,
}

/// The results of a [`ThermalAccumulator`].
#[derive(Debug, Clone, PartialEq)]
pub struct ThermalStatistics {
    /// Mean kinetic temperature divided by the target, minus 1, with its error.
    pub temperature_error: Estimate,
    /// Probability that a kinetic energy distribution deviates as much from χ² with n degrees of freedom by chance.
    pub kinetic_energy_p: f64,
    /// Probability that the largest deviation of an atom's kinetic energy from its expected value is this large by
    /// chance (Bonferroni).
    pub equipartition_p: f64,
    /// The largest relative deviation of an atom's kinetic energy from its expected value.
    pub equipartition_worst: f64,
    /// Index of that atom.
    pub worst_atom: usize,
}

impl ThermalAccumulator {
    /// Creates an accumulator for an isolated molecule of these masses (amu) without rigid motion, with
    /// `degrees_of_freedom`, and a thermostat at `temperature_k` K.
    ///
    /// # Errors
    /// [`MetricError::OutOfRange`] if the temperature is not positive or there are no degrees of freedom.
    pub fn new(
        masses_amu: &[f64],
        degrees_of_freedom: usize,
        temperature_k: f64,
    ) -> Result<Self, MetricError> {
        for (what, value) in
            [("the temperature (K)", temperature_k), ("the degrees of freedom", degrees_of_freedom as f64)]
        {
            if !(value > 0.0 && value.is_finite()) {
                return Err(MetricError::OutOfRange { what, value, expected: "a positive number" });
            }
        }
        Ok(ThermalAccumulator {
            masses_amu: masses_amu.to_vec(),
            degrees_of_freedom,
            temperature_k,
            kinetic: DecimatedSeries::new(CAPACITY),
            blocks: Vec::new(),
            frames_per_block: 1,
            mean_shares: vec![0.0; masses_amu.len()],
            frames: 0,
        })
    }

    /// Adds a frame: time (ps), positions (Å), velocities (Å/fs). Memory is bounded.
    ///
    /// # Errors
    /// [`MetricError::Length`].
    pub fn push(&mut self, time_ps: f64, positions: &[Vec3], velocities: &[Vec3]) -> Result<(), MetricError> {
        require_length("velocities", self.masses_amu.len(), velocities.len())?;
        require_length("positions", self.masses_amu.len(), positions.len())?;
        let scale = AMU_ANGSTROM2_PER_FS2_IN_EV / (BOLTZMANN_EV_PER_K * self.temperature_k);
        let shares = kinetic_shares(&self.masses_amu, positions, self.degrees_of_freedom);
        if self.blocks.last().is_none_or(|(_, n)| *n == self.frames_per_block) {
            if self.blocks.len() == MOST_BLOCKS {
                self.merge_blocks();
            }
            self.blocks.push((vec![0.0; self.masses_amu.len()], 0));
        }
        let mut sum = 0.0;
        if let Some((excess, n)) = self.blocks.last_mut() {
            *n += 1;
            for (i, (v, m)) in velocities.iter().zip(&self.masses_amu).enumerate() {
                let twice_kinetic = m * v.norm_squared() * scale;
                sum += twice_kinetic;
                excess[i] += twice_kinetic - shares[i];
            }
        }
        for (mean, share) in self.mean_shares.iter_mut().zip(shares) {
            *mean += share;
        }
        self.frames += 1;
        self.kinetic.push(time_ps, sum);
        Ok(())
    }

    fn merge_blocks(&mut self) {
        self.blocks = self
            .blocks
            .chunks(2)
            .map(|pair| {
                let mut sum = pair[0].clone();
                for (more, n) in &pair[1..] {
                    sum.0.iter_mut().zip(more).for_each(|(a, b)| *a += b);
                    sum.1 += n;
                }
                sum
            })
            .collect();
        self.frames_per_block *= 2;
    }

    /// Computes the results so far.
    ///
    /// # Errors
    /// [`MetricError::TooFew`] below 64 frames.
    pub fn statistics(&self) -> Result<ThermalStatistics, MetricError> {
        if self.frames < 64 {
            return Err(MetricError::TooFew { what: "frames", needed: 64, found: self.frames });
        }
        let n = self.degrees_of_freedom as f64;
        let kinetic: Vec<f64> = self.kinetic.samples().iter().map(|(_, x)| *x).collect();
        let mean = mean_of_series(&kinetic)?;
        let (worst_atom, equipartition_worst, equipartition_p) = self.equipartition()?;
        Ok(ThermalStatistics {
            temperature_error: Estimate {
                value: mean.value / n - 1.0,
                standard_error: mean.standard_error / n,
                ..mean
            },
            kinetic_energy_p: chi_squared_p(&kinetic, n)?,
            equipartition_p,
            equipartition_worst,
            worst_atom,
        })
    }

    /// Returns the atom with the largest deviation from its expected energy, that deviation, and its probability.
    fn equipartition(&self) -> Result<(usize, f64, f64), MetricError> {
        // Blocks of the same length, long enough to be independent.
        let whole: Vec<&Vec<f64>> =
            self.blocks.iter().filter(|(_, n)| *n == self.frames_per_block).map(|(sum, _)| sum).collect();
        let (mut worst, mut p_smallest, mut tested) = ((0, 0.0), 1.0, 0);
        for atom in 0..self.masses_amu.len() {
            let share = self.mean_shares[atom] / self.frames as f64;
            if share < NO_SHARE {
                continue;
            }
            tested += 1;
            let series: Vec<f64> = whole.iter().map(|sum| sum[atom] / self.frames_per_block as f64).collect();
            let blocks = crate::statistics::independent_blocks(&series)?;
            let estimate = mean_of_replicas(&crate::statistics::block_means(&series, blocks))?;
            let t = (estimate.value / estimate.standard_error).abs();
            let p = StudentsT::new(0.0, 1.0, estimate.degrees_of_freedom).map_or(1.0, |d| 2.0 * d.sf(t));
            if p < p_smallest {
                p_smallest = p;
                worst = (atom, estimate.value / share);
            }
        }
        Ok((worst.0, worst.1, (p_smallest * f64::from(tested)).min(1.0)))
    }
}

/// Computes the expected kinetic energy of each atom in units of k_B T / 2 if rigid motion is held at zero: `3 - Σ q²`
/// over its components in an orthonormal basis of the mass-weighted rigid motions. The sum is the number of degrees of
/// freedom.
///
/// If fewer than 3 N - 5 degrees are missing (a periodic system), only the momentum is held at zero.
pub fn kinetic_shares(masses_amu: &[f64], positions: &[Vec3], degrees_of_freedom: usize) -> Vec<f64> {
    let held = 3 * masses_amu.len() - degrees_of_freedom.min(3 * masses_amu.len());
    let total: f64 = masses_amu.iter().sum();
    let translation = masses_amu.iter().map(|m| if held >= 3 { 3.0 - 3.0 * m / total } else { 3.0 });
    if held < 5 {
        return translation.collect();
    }
    let centre = mechanics::centre_of_mass(masses_amu, positions);
    // The rotations are orthogonal about the principal axes. A linear molecule may rotate about its own line as it
    // bends.
    let axes = mechanics::rotation_axes(masses_amu, positions, held - 3);
    let turning = |m: &f64, x: &Vec3| -> f64 {
        axes.iter().map(|(axis, moment)| m * axis.cross(&(x - centre)).norm_squared() / moment).sum()
    };
    translation.zip(masses_amu.iter().zip(positions)).map(|(left, (m, x))| left - turning(m, x)).collect()
}

/// Kolmogorov-Smirnov test of a correlated series against χ² with n degrees of freedom, with the number of independent
/// samples as the sample size.
fn chi_squared_p(values: &[f64], degrees_of_freedom: f64) -> Result<f64, MetricError> {
    let Ok(exact) = ChiSquared::new(degrees_of_freedom) else { return Ok(1.0) };
    let independent = values.len() as f64 / autocorrelation_time(values)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let distance = sorted
        .iter()
        .enumerate()
        .map(|(k, &x)| {
            let f = exact.cdf(x);
            (f - k as f64 / n).abs().max((f - (k + 1) as f64 / n).abs())
        })
        .fold(0.0, f64::max);
    Ok(kolmogorov_p(distance, independent))
}

/// Computes the probability of a Kolmogorov-Smirnov distance this large with n samples (M. A. Stephens, J. R. Stat.
/// Soc. B 32, 115 (1970)).
fn kolmogorov_p(distance: f64, n: f64) -> f64 {
    let lambda = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * distance;
    if lambda < 0.2 {
        return 1.0; // the series below converges slowly, to 1
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 1.0 } else { -1.0 };
        sign * (-2.0 * f64::from(k * k) * lambda * lambda).exp()
    };
    (2.0 * (1..=100).map(term).sum::<f64>()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::Noise;

    const MASSES: [f64; 3] = [15.999, 1.008, 1.008];

    fn water() -> [Vec3; 3] {
        [Vec3::zeros(), Vec3::new(0.76, 0.59, 0.0), Vec3::new(-0.76, 0.59, 0.0)]
    }

    /// Velocities without rigid motion at the temperature `kelvins` of each atom, with autocorrelation `phi` between
    /// frames.
    fn accumulate(seed: u64, kelvins: [f64; 3], phi: f64, frames: usize) -> ThermalStatistics {
        let mut noise = Noise(seed);
        let mut thermal = ThermalAccumulator::new(&MASSES, 3, 300.0).unwrap();
        let mut state = [Vec3::zeros(); 3];
        for k in 0..frames + 200 {
            for x in &mut state {
                *x = *x * phi + Vec3::from_fn(|_, _| noise.normal()) * (1.0 - phi * phi).sqrt();
            }
            let mut weighted: Vec<Vec3> = state
                .iter()
                .zip(kelvins)
                .map(|(x, t)| x * (BOLTZMANN_EV_PER_K * t / AMU_ANGSTROM2_PER_FS2_IN_EV).sqrt())
                .collect();
            project(&mut weighted);
            let velocities: Vec<Vec3> = weighted.iter().zip(MASSES).map(|(x, m)| x / m.sqrt()).collect();
            if k >= 200 {
                thermal.push(1e-3 * k as f64, &water(), &velocities).unwrap();
            }
        }
        thermal.statistics().unwrap()
    }

    /// Removes rigid motion from mass-weighted velocities.
    fn project(weighted: &mut [Vec3]) {
        let centre = mechanics::centre_of_mass(&MASSES, &water());
        let mut basis: Vec<Vec<Vec3>> = Vec::new();
        for k in 0..6 {
            let axis = Vec3::ith(k % 3, 1.0);
            let mut motion: Vec<Vec3> = water()
                .iter()
                .zip(MASSES)
                .map(|(x, m)| (if k < 3 { axis } else { axis.cross(&(x - centre)) }) * m.sqrt())
                .collect();
            for q in &basis {
                let overlap: f64 = q.iter().zip(&motion).map(|(a, b)| a.dot(b)).sum();
                motion.iter_mut().zip(q).for_each(|(m, q)| *m -= q * overlap);
            }
            let norm = motion.iter().map(Vec3::norm_squared).sum::<f64>().sqrt();
            basis.push(motion.iter().map(|m| m / norm).collect());
        }
        for q in &basis {
            let overlap: f64 = q.iter().zip(weighted.iter()).map(|(a, b)| a.dot(b)).sum();
            weighted.iter_mut().zip(q).for_each(|(w, q)| *w -= q * overlap);
        }
    }

    #[test]
    fn kinetic_shares_sum_to_degrees_of_freedom() {
        let shares = kinetic_shares(&MASSES, &water(), 3);
        assert!((shares.iter().sum::<f64>() - 3.0).abs() < 1e-12, "{shares:?}");
        assert!(shares[0] < 0.5 && shares[1] > 1.2, "hydrogen moves most: {shares:?}");
        let line = [Vec3::zeros(), Vec3::new(1.2, 0.0, 0.0), Vec3::new(-1.2, 0.0, 0.0)];
        let linear = kinetic_shares(&[12.0, 16.0, 16.0], &line, 4);
        assert!((linear.iter().sum::<f64>() - 4.0).abs() < 1e-12, "{linear:?}");
        // Also as it bends: motion around the line is one of its two bending modes.
        let bent = [Vec3::new(0.0, 0.1, 0.02), line[1], line[2]];
        let shares = kinetic_shares(&[12.011, 15.999, 15.999], &bent, 4);
        assert!((shares.iter().sum::<f64>() - 4.0).abs() < 1e-12, "{shares:?}");
        for (share, expected) in shares.iter().zip([2.1812, 0.9094, 0.9094]) {
            assert!((share - expected).abs() < 0.02, "{shares:?}");
        }
        // A bent molecule that is momentarily linear.
        let passing = kinetic_shares(&[12.0, 16.0, 16.0], &line, 3);
        assert!(passing.iter().all(|share| (0.0..=3.0).contains(share)), "{passing:?}");
        let periodic = kinetic_shares(&MASSES, &water(), 6);
        assert!((periodic.iter().sum::<f64>() - 6.0).abs() < 1e-12, "{periodic:?}");
    }

    #[test]
    fn thermal_tests_have_nominal_rejection_rate() {
        let (mut by_energy, mut by_atom, mut covered) = (0, 0, 0);
        let trials = 200;
        for seed in 0..trials {
            let s = accumulate(seed, [300.0; 3], 0.9, 1500);
            by_energy += usize::from(s.kinetic_energy_p < 0.05);
            by_atom += usize::from(s.equipartition_p < 0.05);
            let [low, high] = s.temperature_error.interval(0.95);
            covered += usize::from(low <= 0.0 && 0.0 <= high);
        }
        let share = |n: usize| n as f64 / trials as f64;
        assert!(share(by_energy) < 0.10, "{by_energy} of {trials} rejected by energy");
        assert!(share(by_atom) < 0.10, "{by_atom} of {trials} rejected by equipartition");
        assert!((0.91..=0.99).contains(&share(covered)), "{covered} of {trials} intervals hold 0");
    }

    #[test]
    fn thermal_tests_detect_wrong_temperature_and_hot_atom() {
        let hot = accumulate(1, [330.0; 3], 0.5, 4000);
        assert!((hot.temperature_error.value - 0.1).abs() < 0.03, "{hot:?}");
        assert!(hot.kinetic_energy_p < 1e-3, "{hot:?}");
        let uneven = accumulate(2, [300.0, 240.0, 360.0], 0.5, 20_000);
        assert!(uneven.equipartition_p < 1e-4, "{uneven:?}");
        assert!(uneven.worst_atom != 0 && uneven.equipartition_worst.abs() > 0.05, "{uneven:?}");
    }

    #[test]
    fn kolmogorov_p_matches_tables() {
        // scipy.special.kolmogorov(1.3581) = 0.05, (1.6276) = 0.01; n so large that the correction vanishes.
        assert!((kolmogorov_p(1.3581e-6, 1e12) - 0.05).abs() < 1e-4);
        assert!((kolmogorov_p(1.6276e-6, 1e12) - 0.01).abs() < 1e-4);
        assert_eq!(kolmogorov_p(0.0, 100.0), 1.0);
    }
}
