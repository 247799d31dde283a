//! Errors of predicted forces against reference forces, eV/Å.

use std::collections::BTreeMap;

use md_core::{Element, Vec3};

use crate::MetricError;
use crate::error::{require_length, require_pairs};
use crate::moments::PairMoments;
use crate::statistics::percentile_of_sorted;

/// The direction of a force no longer than this (eV/Å) is undefined.
pub const NO_DIRECTION_EV_PER_ANGSTROM: f64 = 1e-6;

/// Errors of a set of predicted forces P against reference forces R.
///
/// R² is `1 - Σ (P - R)² / Σ (R - R̄)²`; it and Pearson's r are `None` if the reference does not vary.
#[derive(Debug, Clone, PartialEq)]
pub struct ForceErrors {
    /// Number of atoms in all frames.
    pub n_atoms: usize,
    /// Root mean square of all components of P - R, eV/Å.
    pub rmse_ev_per_angstrom: f64,
    /// Standard error of the RMSE, eV/Å, from the scatter between frames (one for each call of
    /// [`ForceErrorAccumulator::push`]), assuming that they are independent; `None` for a single frame.
    pub rmse_standard_error_ev_per_angstrom: Option<f64>,
    /// Mean absolute value of all components of P - R, eV/Å.
    pub mae_ev_per_angstrom: f64,
    /// RMSE of the x, y and z components, eV/Å.
    pub rmse_xyz_ev_per_angstrom: [f64; 3],
    /// MAE of the x, y and z components, eV/Å.
    pub mae_xyz_ev_per_angstrom: [f64; 3],
    /// Largest length of `P - R` for one atom, eV/Å.
    pub max_error_ev_per_angstrom: f64,
    /// R² over all components, about their common mean.
    pub r_squared: Option<f64>,
    /// R² of the x, y and z components, each about its own mean.
    pub r_squared_xyz: [Option<f64>; 3],
    /// Pearson's correlation coefficient over all components.
    pub pearson_r: Option<f64>,
    /// Errors of the magnitude of the forces.
    pub magnitude: MagnitudeErrors,
    /// Errors of the direction of the forces; `None` if it is undefined for all atoms.
    pub angle: Option<AngleErrors>,
    /// Number of atoms excluded from `angle` because P or R is no longer than [`NO_DIRECTION_EV_PER_ANGSTROM`].
    pub n_without_direction: usize,
    /// Number of those atoms for which R has a direction and P has none. A potential that predicts zero everywhere has
    /// all atoms here and no angle, rather than an angle of 0.
    pub n_missed_direction: usize,
}

/// Errors `|P| - |R|` of the magnitude of forces.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MagnitudeErrors {
    /// Root mean square, eV/Å.
    pub rmse_ev_per_angstrom: f64,
    /// Mean absolute error, eV/Å.
    pub mae_ev_per_angstrom: f64,
    /// `100 mean(||P| - |R|| / |R|)` over atoms where R has a direction; `None` if there are none. It is dominated by
    /// small forces.
    pub relative_percent: Option<f64>,
}

/// Angles between P and R, over atoms for which both have a direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AngleErrors {
    /// Number of atoms.
    pub n_atoms: usize,
    /// Median, degrees.
    pub median_deg: f64,
    /// 75th percentile, degrees.
    pub p75_deg: f64,
    /// 90th percentile, degrees.
    pub p90_deg: f64,
    /// 95th percentile, degrees.
    pub p95_deg: f64,
    /// Largest, degrees.
    pub max_deg: f64,
    /// Mean cosine: 1 for parallel forces.
    pub cosine_mean: f64,
}

/// Computes the errors of one set of forces, all in eV/Å. Frames may be concatenated; for an error of the RMSE and
/// errors by element, which need separate frames, see [`ForceErrorAccumulator`].
///
/// ```
/// use md_core::Vec3;
/// let reference = [Vec3::new(1.0, 0.0, 0.0), Vec3::new(0.0, 2.0, 0.0)];
/// let predicted = [Vec3::new(0.0, 1.0, 0.0), Vec3::zeros()];
/// let errors = md_metrics::force_errors(&predicted, &reference).unwrap();
/// assert!((errors.rmse_ev_per_angstrom - 1.0).abs() < 1e-15);
/// assert_eq!(errors.angle.unwrap().median_deg, 90.0); // of the first atom only:
/// assert_eq!(errors.n_missed_direction, 1);
/// ```
///
/// # Errors
/// [`MetricError::Empty`], [`MetricError::Length`] or [`MetricError::NonFinite`].
pub fn force_errors(predicted: &[Vec3], reference: &[Vec3]) -> Result<ForceErrors, MetricError> {
    require_pairs("predicted forces", predicted, "reference forces", reference)?;
    let mut sums = Sums::default();
    sums.begin_frame();
    predicted.iter().zip(reference).for_each(|(p, r)| sums.push(p, r));
    sums.errors()
}

/// Accumulates the errors of forces over many frames, for all atoms and by element.
///
/// Memory grows by two angles per atom, for the percentiles, and by two numbers per frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ForceErrorAccumulator {
    all: Sums,
    by_element: BTreeMap<Element, Sums>,
}

impl ForceErrorAccumulator {
    /// Adds one frame: the elements of its atoms, and the forces on them in eV/Å.
    ///
    /// # Errors
    /// [`MetricError::Empty`], [`MetricError::Length`] or [`MetricError::NonFinite`]; the frame is then not counted.
    pub fn push(
        &mut self,
        elements: &[Element],
        predicted: &[Vec3],
        reference: &[Vec3],
    ) -> Result<(), MetricError> {
        require_pairs("predicted forces", predicted, "reference forces", reference)?;
        require_length("elements", predicted.len(), elements.len())?;
        self.all.begin_frame();
        self.by_element.values_mut().for_each(Sums::begin_frame);
        for ((element, p), r) in elements.iter().zip(predicted).zip(reference) {
            self.all.push(p, r);
            self.by_element.entry(*element).or_default().push(p, r);
        }
        Ok(())
    }

    /// Errors of all atoms so far.
    ///
    /// # Errors
    /// [`MetricError::Empty`].
    pub fn errors(&self) -> Result<ForceErrors, MetricError> {
        self.all.errors()
    }

    /// Errors of the atoms of each element so far; their standard errors use the frames that contain such atoms.
    ///
    /// # Errors
    /// [`MetricError::Empty`].
    pub fn by_element(&self) -> Result<BTreeMap<Element, ForceErrors>, MetricError> {
        self.by_element.iter().map(|(element, sums)| Ok((*element, sums.errors()?))).collect()
    }
}

fn has_direction(force: &Vec3) -> bool {
    force.norm() > NO_DIRECTION_EV_PER_ANGSTROM
}

/// Uses the arctangent: the arccosine of a number near 1 loses half of its digits.
fn angle_deg(a: &Vec3, b: &Vec3) -> f64 {
    a.cross(b).norm().atan2(a.dot(b)).to_degrees()
}

/// Sums of absolute and squared errors.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct ErrorSums {
    absolute: f64,
    squared: f64,
}

impl ErrorSums {
    fn push(&mut self, error: f64) {
        self.absolute += error.abs();
        self.squared += error * error;
    }

    fn mae(&self, n: f64) -> f64 {
        self.absolute / n
    }

    fn rmse(&self, n: f64) -> f64 {
        (self.squared / n).sqrt()
    }
}

/// Squared errors of one frame and the number of its atoms.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct FrameSum {
    squared: f64,
    n_atoms: f64,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Sums {
    frames: Vec<FrameSum>,
    errors_xyz: [ErrorSums; 3],
    moments_xyz: [PairMoments; 3],
    moments: PairMoments,
    max_error: f64,
    magnitude: ErrorSums,
    relative: f64,
    n_relative: usize,
    n_atoms: usize,
    angles_deg: Vec<f64>,
    cosines: f64,
}

impl Sums {
    /// Assigns the atoms pushed from here on to a new frame. An empty frame is reused.
    fn begin_frame(&mut self) {
        if self.frames.last().is_none_or(|f| f.n_atoms > 0.0) {
            self.frames.push(FrameSum::default());
        }
    }

    fn push(&mut self, p: &Vec3, r: &Vec3) {
        let error = p - r;
        if self.frames.is_empty() {
            self.begin_frame();
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.squared += error.norm_squared();
            frame.n_atoms += 1.0;
        }
        self.n_atoms += 1;
        for k in 0..3 {
            self.errors_xyz[k].push(error[k]);
            self.moments_xyz[k].push(p[k], r[k]);
            self.moments.push(p[k], r[k]);
        }
        self.max_error = self.max_error.max(error.norm());
        let magnitude_error = p.norm() - r.norm();
        self.magnitude.push(magnitude_error);
        if has_direction(r) {
            self.relative += magnitude_error.abs() / r.norm();
            self.n_relative += 1;
            if has_direction(p) {
                self.angles_deg.push(angle_deg(p, r));
                self.cosines += (p.dot(r) / (p.norm() * r.norm())).clamp(-1.0, 1.0);
            }
        }
    }

    fn errors(&self) -> Result<ForceErrors, MetricError> {
        if self.n_atoms == 0 {
            return Err(MetricError::Empty { what: "forces" });
        }
        let n = self.n_atoms as f64;
        let all = self.errors_xyz.iter().fold(ErrorSums::default(), |sum, e| ErrorSums {
            absolute: sum.absolute + e.absolute,
            squared: sum.squared + e.squared,
        });
        let rmse = all.rmse(3.0 * n);
        Ok(ForceErrors {
            n_atoms: self.n_atoms,
            rmse_ev_per_angstrom: rmse,
            rmse_standard_error_ev_per_angstrom: self.rmse_standard_error(rmse),
            mae_ev_per_angstrom: all.mae(3.0 * n),
            rmse_xyz_ev_per_angstrom: self.errors_xyz.map(|e| e.rmse(n)),
            mae_xyz_ev_per_angstrom: self.errors_xyz.map(|e| e.mae(n)),
            max_error_ev_per_angstrom: self.max_error,
            r_squared: r_squared(&all, &self.moments),
            r_squared_xyz: [0, 1, 2].map(|k| r_squared(&self.errors_xyz[k], &self.moments_xyz[k])),
            pearson_r: self.moments.correlation(),
            magnitude: MagnitudeErrors {
                rmse_ev_per_angstrom: self.magnitude.rmse(n),
                mae_ev_per_angstrom: self.magnitude.mae(n),
                relative_percent: (self.n_relative > 0)
                    .then(|| 100.0 * self.relative / self.n_relative as f64),
            },
            angle: self.angle(),
            n_without_direction: self.n_atoms - self.angles_deg.len(),
            n_missed_direction: self.n_relative - self.angles_deg.len(),
        })
    }

    fn angle(&self) -> Option<AngleErrors> {
        let mut sorted = self.angles_deg.clone();
        sorted.sort_by(f64::total_cmp);
        let max_deg = *sorted.last()?;
        Some(AngleErrors {
            n_atoms: sorted.len(),
            median_deg: percentile_of_sorted(&sorted, 50.0),
            p75_deg: percentile_of_sorted(&sorted, 75.0),
            p90_deg: percentile_of_sorted(&sorted, 90.0),
            p95_deg: percentile_of_sorted(&sorted, 95.0),
            max_deg,
            cosine_mean: self.cosines / sorted.len() as f64,
        })
    }

    /// The mean squared error is a ratio of sums over frames; its standard error is that of such a ratio from the
    /// scatter of frames about it (W. G. Cochran, Sampling Techniques, 3rd ed., section 2.11), halved and divided by
    /// the RMSE.
    fn rmse_standard_error(&self, rmse: f64) -> Option<f64> {
        let frames = self.frames.iter().filter(|f| f.n_atoms > 0.0);
        let n_frames = frames.clone().count() as f64;
        if n_frames < 2.0 {
            return None;
        }
        if rmse == 0.0 {
            return Some(0.0);
        }
        let mean_square = rmse * rmse;
        let scatter: f64 = frames.map(|f| (f.squared / 3.0 - mean_square * f.n_atoms).powi(2)).sum::<f64>()
            / (n_frames - 1.0);
        let atoms_per_frame = self.n_atoms as f64 / n_frames;
        let error_of_mean_square = (scatter / n_frames).sqrt() / atoms_per_frame;
        Some(error_of_mean_square / (2.0 * rmse))
    }
}

fn r_squared(errors: &ErrorSums, moments: &PairMoments) -> Option<f64> {
    moments.y_varies().then(|| 1.0 - errors.squared / moments.s_yy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::Noise;
    use proptest::prelude::*;

    fn force() -> impl Strategy<Value = Vec3> {
        prop::array::uniform3(-5.0..5.0_f64).prop_map(Vec3::from)
    }

    fn pairs() -> impl Strategy<Value = Vec<(Vec3, Vec3)>> {
        prop::collection::vec((force(), force()), 1..40)
    }

    proptest! {
        #[test]
        fn force_error_accumulator_equals_whole_and_sums_elements(pairs in pairs(), cut in 0_usize..40) {
            let (p, r): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let elements: Vec<Element> =
                (0..p.len()).map(|i| if i % 3 == 0 { Element::O } else { Element::H }).collect();
            let mut accumulator = ForceErrorAccumulator::default();
            let cut = cut.min(p.len());
            for frame in [0..cut, cut..p.len()].into_iter().filter(|f| !f.is_empty()) {
                accumulator.push(&elements[frame.clone()], &p[frame.clone()], &r[frame]).unwrap();
            }
            let whole = force_errors(&p, &r).unwrap();
            let streamed = ForceErrors {
                rmse_standard_error_ev_per_angstrom: None,
                ..accumulator.errors().unwrap()
            };
            prop_assert_eq!(&streamed, &whole);
            let squared: f64 = accumulator
                .by_element()
                .unwrap()
                .values()
                .map(|e| e.n_atoms as f64 * e.rmse_ev_per_angstrom.powi(2))
                .sum();
            let expected = p.len() as f64 * whole.rmse_ev_per_angstrom.powi(2);
            prop_assert!((squared - expected).abs() < 1e-11 * expected);
            let mae = p.iter().zip(&r).map(|(p, r)| (p - r).abs().mean()).sum::<f64>() / p.len() as f64;
            prop_assert!((mae - whole.mae_ev_per_angstrom).abs() < 1e-12);
        }

        #[test]
        fn force_errors_follow_scaling_and_rotation(pairs in pairs(), angle in 0.0..6.0_f64) {
            let (p, r): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let before = force_errors(&p, &r).unwrap();
            let doubled: Vec<Vec3> = p.iter().map(|f| f * 2.0).collect();
            let scaled = force_errors(&doubled, &r).unwrap();
            prop_assert!((scaled.angle.unwrap().p90_deg - before.angle.unwrap().p90_deg).abs() < 1e-10);
            let turn = nalgebra::Rotation3::from_euler_angles(angle, 0.3, -angle);
            let turned = |x: &[Vec3]| -> Vec<Vec3> { x.iter().map(|f| turn * f).collect() };
            let after = force_errors(&turned(&p), &turned(&r)).unwrap();
            prop_assert!((after.rmse_ev_per_angstrom - before.rmse_ev_per_angstrom).abs() < 1e-12);
            prop_assert!((after.magnitude.mae_ev_per_angstrom - before.magnitude.mae_ev_per_angstrom).abs() < 1e-12);
            prop_assert!((after.angle.unwrap().max_deg - before.angle.unwrap().max_deg).abs() < 1e-6);
        }
    }

    #[test]
    fn force_errors_of_perfect_forces_are_zero() {
        let forces = [Vec3::new(1.0, -2.0, 0.5), Vec3::new(0.3, 0.0, 4.0)];
        let errors = force_errors(&forces, &forces).unwrap();
        assert_eq!((errors.rmse_ev_per_angstrom, errors.r_squared), (0.0, Some(1.0)));
        assert_eq!(errors.angle.unwrap().max_deg, 0.0);
        assert_eq!(errors.n_without_direction, 0);
    }

    #[test]
    fn force_errors_count_zero_forces_without_angle() {
        let reference = [Vec3::new(1.0, 0.0, 0.0), Vec3::new(0.0, 1.0, 0.0), Vec3::zeros()];
        let errors = force_errors(&[Vec3::zeros(); 3], &reference).unwrap();
        assert_eq!((errors.angle, errors.n_without_direction, errors.n_missed_direction), (None, 3, 2));
        assert_eq!(errors.magnitude.relative_percent, Some(100.0));
        assert_eq!(errors.pearson_r, None);
        let flat = force_errors(&reference, &[Vec3::zeros(); 3]).unwrap();
        assert_eq!(
            (flat.r_squared, flat.magnitude.relative_percent, flat.n_missed_direction),
            (None, None, 0)
        );
    }

    #[test]
    fn force_errors_resolve_small_angles() {
        let reference = [Vec3::new(1.0, 0.0, 0.0)];
        let angle = 1e-9_f64;
        let predicted = [Vec3::new(angle.cos(), angle.sin(), 0.0)];
        let found = force_errors(&predicted, &reference).unwrap().angle.unwrap().median_deg;
        assert!((found / angle.to_degrees() - 1.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn rmse_standard_error_covers_truth_in_95_percent() {
        // Components with error 0.1 in frames of 5 or 9 atoms: the RMSE of infinitely many is 0.1.
        let mut noise = Noise(31);
        let n_trials = 300;
        let covered = (0..n_trials)
            .filter(|_| {
                let mut accumulator = ForceErrorAccumulator::default();
                for frame in 0..60 {
                    let n = if frame % 2 == 0 { 5 } else { 9 };
                    let reference = vec![Vec3::new(1.0, 2.0, 3.0); n];
                    let predicted: Vec<Vec3> =
                        reference.iter().map(|r| r + Vec3::from_fn(|_, _| 0.1 * noise.normal())).collect();
                    accumulator.push(&vec![Element::H; n], &predicted, &reference).unwrap();
                }
                let errors = accumulator.errors().unwrap();
                let standard_error = errors.rmse_standard_error_ev_per_angstrom.unwrap();
                (errors.rmse_ev_per_angstrom - 0.1).abs() < 1.96 * standard_error
            })
            .count() as f64
            / f64::from(n_trials);
        assert!((0.90..0.99).contains(&covered), "95 % interval covers {covered}");
    }

    #[test]
    fn force_errors_rejects_empty_length_or_non_finite() {
        let one = [Vec3::zeros()];
        assert!(matches!(force_errors(&[], &[]), Err(MetricError::Empty { .. })));
        assert!(matches!(force_errors(&one, &[]), Err(MetricError::Length { expected: 1, found: 0, .. })));
        let bad = [Vec3::zeros(), Vec3::new(0.0, f64::INFINITY, 0.0)];
        let error = force_errors(&[Vec3::zeros(); 2], &bad).unwrap_err();
        assert_eq!(
            error,
            MetricError::NonFinite { what: "reference forces", index: 1, value: f64::INFINITY }
        );
        let mut accumulator = ForceErrorAccumulator::default();
        assert!(accumulator.push(&[], &one, &one).is_err());
        assert!(
            matches!(accumulator.errors(), Err(MetricError::Empty { .. })),
            "the bad frame is not counted"
        );
        assert!(accumulator.by_element().unwrap().is_empty());
    }
}
