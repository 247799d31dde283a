//! Distances between geometries, Å.

use md_core::{Mat3, Vec3};
use nalgebra::{Matrix4, Quaternion, UnitQuaternion};

use crate::MetricError;
use crate::error::{require_finite_vectors, require_pairs, require_some};

/// Computes `√(mean |x - x_ref|²)` in Å without centring, rotation or weights.
///
/// # Errors
/// [`MetricError::Empty`], [`MetricError::Length`] or [`MetricError::NonFinite`].
pub fn rmsd_angstrom(positions: &[Vec3], reference: &[Vec3]) -> Result<f64, MetricError> {
    require_pairs("positions", positions, "reference positions", reference)?;
    Ok(rmsd(positions.iter().copied(), reference))
}

/// Computes the smallest RMSD (Å) over all translations and rotations of `positions`; see [`align`].
///
/// ```
/// use md_core::Vec3;
/// let reference = [Vec3::zeros(), Vec3::new(1.0, 0.0, 0.0), Vec3::new(0.0, 2.0, 0.0)];
/// let turned = reference.map(|x| Vec3::new(5.0 - x.y, 1.0 + x.x, x.z)); // by 90 degrees about z, and shifted
/// assert!(md_metrics::rmsd_aligned_angstrom(&turned, &reference).unwrap() < 1e-14);
/// ```
///
/// # Errors
/// [`MetricError::Empty`], [`MetricError::Length`] or [`MetricError::NonFinite`].
pub fn rmsd_aligned_angstrom(positions: &[Vec3], reference: &[Vec3]) -> Result<f64, MetricError> {
    let alignment = align(positions, reference)?;
    Ok(rmsd(positions.iter().map(|x| alignment.apply(x)), reference))
}

fn rmsd(positions: impl Iterator<Item = Vec3>, reference: &[Vec3]) -> f64 {
    let squared: f64 = positions.zip(reference).map(|(x, r)| (x - r).norm_squared()).sum();
    (squared / reference.len() as f64).sqrt()
}

/// A rigid motion `x → R (x - centre) + reference_centre`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment {
    /// The rotation R: orthogonal, of determinant +1.
    pub rotation: Mat3,
    /// Centroid of the positions before, Å.
    pub centre: Vec3,
    /// Centroid of the positions after, Å.
    pub reference_centre: Vec3,
}

impl Alignment {
    /// Applies this motion to a position, Å.
    pub fn apply(&self, position: &Vec3) -> Vec3 {
        self.rotation * (position - self.centre) + self.reference_centre
    }
}

/// Finds the rigid motion that brings `positions` closest to `reference` in unweighted least squares (the problem of W.
/// Kabsch, Acta Cryst. A32, 922 (1976)).
///
/// The solution uses unit quaternions (B. K. P. Horn, J. Opt. Soc. Am. A 4, 629 (1987)), which represent rotations and
/// never reflections: a molecule is not aligned with its mirror image. If several rotations are equally good (atoms on
/// a line, a single atom) the result is one of them. For atoms that deviate from a line by only a fraction w of its
/// length, the rotation about the line is accurate to about 1e-16/w², which adds to the RMSD the smaller of w and
/// 1e-16/w of the length: 1e-8 at worst.
///
/// # Errors
/// [`MetricError::Empty`], [`MetricError::Length`] or [`MetricError::NonFinite`].
pub fn align(positions: &[Vec3], reference: &[Vec3]) -> Result<Alignment, MetricError> {
    require_pairs("positions", positions, "reference positions", reference)?;
    let centre = centroid(positions);
    let reference_centre = centroid(reference);
    let s: Mat3 =
        positions.iter().zip(reference).map(|(x, r)| (x - centre) * (r - reference_centre).transpose()).sum();
    let rotation = UnitQuaternion::from_quaternion(best_quaternion(&s)).to_rotation_matrix();
    Ok(Alignment { rotation: rotation.into_inner(), centre, reference_centre })
}

fn centroid(positions: &[Vec3]) -> Vec3 {
    positions.iter().sum::<Vec3>() / positions.len() as f64
}

/// Finds the quaternion q that maximises `qᵀ N q`, with N built from `S = Σ x rᵀ` as in section 4.A of Horn's paper.
fn best_quaternion(s: &Mat3) -> Quaternion<f64> {
    let [xx, xy, xz] = [s.m11, s.m12, s.m13];
    let [yx, yy, yz] = [s.m21, s.m22, s.m23];
    let [zx, zy, zz] = [s.m31, s.m32, s.m33];
    #[rustfmt::skip]
    let n = Matrix4::new(
        xx + yy + zz, yz - zy,      zx - xz,       xy - yx,
        yz - zy,      xx - yy - zz, xy + yx,       zx + xz,
        zx - xz,      xy + yx,      -xx + yy - zz, yz + zy,
        xy - yx,      zx + xz,      yz + zy,       -xx - yy + zz,
    );
    let eigen = n.symmetric_eigen();
    let q = eigen.eigenvectors.column(eigen.eigenvalues.imax());
    Quaternion::new(q[0], q[1], q[2], q[3])
}

/// Computes the distance of each atom from its reference position, Å.
///
/// # Errors
/// [`MetricError::Empty`], [`MetricError::Length`] or [`MetricError::NonFinite`].
pub fn displacements_angstrom(positions: &[Vec3], reference: &[Vec3]) -> Result<Vec<f64>, MetricError> {
    require_pairs("positions", positions, "reference positions", reference)?;
    Ok(positions.iter().zip(reference).map(|(x, r)| (x - r).norm()).collect())
}

/// Displacements of the atoms of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Displacement {
    /// Largest, Å.
    pub max_angstrom: f64,
    /// Mean over atoms, Å.
    pub mean_angstrom: f64,
}

/// Tracks the displacements of atoms from their reference positions, in memory for one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct DisplacementTracker {
    reference: Vec<Vec3>,
    max_per_atom_angstrom: Vec<f64>,
}

impl DisplacementTracker {
    /// Creates a tracker of displacements from `reference` (Å).
    ///
    /// # Errors
    /// [`MetricError::Empty`] or [`MetricError::NonFinite`].
    pub fn new(reference: Vec<Vec3>) -> Result<Self, MetricError> {
        require_some("reference positions", &reference)?;
        require_finite_vectors("reference positions", &reference)?;
        let max_per_atom_angstrom = vec![0.0; reference.len()];
        Ok(DisplacementTracker { reference, max_per_atom_angstrom })
    }

    /// Adds one frame (positions in Å) and returns its displacements.
    ///
    /// # Errors
    /// [`MetricError::Length`] or [`MetricError::NonFinite`]; the frame is then not counted.
    pub fn observe(&mut self, positions: &[Vec3]) -> Result<Displacement, MetricError> {
        let displacements = displacements_angstrom(positions, &self.reference)?;
        let (mut max_angstrom, mut sum) = (0.0_f64, 0.0);
        for (largest, d) in self.max_per_atom_angstrom.iter_mut().zip(displacements) {
            *largest = largest.max(d);
            max_angstrom = max_angstrom.max(d);
            sum += d;
        }
        Ok(Displacement { max_angstrom, mean_angstrom: sum / positions.len() as f64 })
    }

    /// Largest displacement of each atom so far, Å.
    pub fn max_per_atom_angstrom(&self) -> &[f64] {
        &self.max_per_atom_angstrom
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Rotation3;
    use proptest::prelude::*;

    fn point() -> impl Strategy<Value = Vec3> {
        prop::array::uniform3(-3.0..3.0_f64).prop_map(Vec3::from)
    }

    fn turn() -> impl Strategy<Value = Rotation3<f64>> {
        prop::array::uniform3(-3.1..3.1_f64).prop_map(|[a, b, c]| Rotation3::from_euler_angles(a, b, c))
    }

    fn assert_proper(rotation: &Mat3) {
        assert!((rotation.determinant() - 1.0).abs() < 1e-12);
        assert!((rotation * rotation.transpose() - Mat3::identity()).amax() < 1e-12);
    }

    proptest! {
        #[test]
        fn align_undoes_rigid_motion(
            mut points in prop::collection::vec(point(), 0..30),
            turn in turn(),
            shift in point(),
        ) {
            points.extend([Vec3::x(), Vec3::y() * 2.0, Vec3::z() * 3.0]); // not all on one line for any draw
            let moved: Vec<Vec3> = points.iter().map(|x| turn * x + shift).collect();
            let alignment = align(&moved, &points).unwrap();
            assert_proper(&alignment.rotation);
            prop_assert!(rmsd_aligned_angstrom(&moved, &points).unwrap() < 1e-13);
        }

        #[test]
        fn align_handles_collinear_and_planar_atoms(
            mut atoms in prop::collection::vec((-3.0..3.0_f64, -3.0..3.0_f64), 0..10),
            width in prop::sample::select(vec![0.0, 1e-9, 1e-4, 1.0]),
            turn in turn(),
        ) {
            atoms.extend([(3.0, 0.0), (-3.0, 0.0), (0.0, 3.0)]); // at least as wide as `width` for any draw
            let points: Vec<Vec3> = atoms.iter().map(|(a, b)| Vec3::new(*a, 2.0 * a + width * b, -a)).collect();
            let moved: Vec<Vec3> = points.iter().map(|x| turn * x).collect();
            assert_proper(&align(&moved, &points).unwrap().rotation);
            // The bound stated for `align`, for a half length of 3 √6 Å and a half width of 3 Å.
            let turned_about_the_line = (10.0 * f64::EPSILON * 54.0 / width).min(6.0 * width);
            prop_assert!(rmsd_aligned_angstrom(&moved, &points).unwrap() < 1e-13 + turned_about_the_line);
        }

        #[test]
        fn align_is_locally_optimal(
            pairs in prop::collection::vec((point(), point()), 2..15),
            nudge in turn(),
            size in 1e-3..1.0_f64,
        ) {
            let (x, reference): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let best = align(&x, &reference).unwrap();
            let small = Rotation3::from_scaled_axis(nudge.scaled_axis() * size);
            let other = Alignment { rotation: small.matrix() * best.rotation, ..best };
            let of = |a: &Alignment| rmsd(x.iter().map(|p| a.apply(p)), &reference);
            prop_assert!(of(&best) <= of(&other) + 1e-13);
            prop_assert!(of(&best) <= rmsd_angstrom(&x, &reference).unwrap() + 1e-13);
        }
    }

    #[test]
    fn align_handles_one_and_two_atoms() {
        let pair = [Vec3::new(1.0, 2.0, 3.0), Vec3::new(1.0, 2.0, 4.0)];
        let turned = [Vec3::new(-7.0, 0.0, 0.0), Vec3::new(-7.0, -1.0, 0.0)];
        assert!(rmsd_aligned_angstrom(&turned, &pair).unwrap() < 1e-14);
        assert_proper(&align(&turned, &pair).unwrap().rotation);
        let one = align(&turned[..1], &pair[..1]).unwrap();
        assert_eq!((one.rotation, one.apply(&turned[0])), (Mat3::identity(), pair[0]));
    }

    #[test]
    fn align_does_not_reflect() {
        let chiral =
            [Vec3::zeros(), Vec3::new(1.0, 0.0, 0.0), Vec3::new(0.0, 2.0, 0.0), Vec3::new(0.0, 0.0, 3.0)];
        let mirrored = chiral.map(|x| Vec3::new(-x.x, x.y, x.z));
        assert_proper(&align(&mirrored, &chiral).unwrap().rotation);
        assert!(rmsd_aligned_angstrom(&mirrored, &chiral).unwrap() > 0.3);
    }

    #[test]
    fn displacement_tracker_reports_per_frame_and_per_atom() {
        let start = vec![Vec3::zeros(), Vec3::new(5.0, 0.0, 0.0)];
        let mut tracker = DisplacementTracker::new(start.clone()).unwrap();
        let first = tracker.observe(&[Vec3::new(0.0, 3.0, 4.0), start[1]]).unwrap();
        assert_eq!(first, Displacement { max_angstrom: 5.0, mean_angstrom: 2.5 });
        tracker.observe(&[start[0], Vec3::new(5.0, 1.0, 0.0)]).unwrap();
        assert_eq!(tracker.max_per_atom_angstrom(), [5.0, 1.0]);
    }

    #[test]
    fn align_and_rmsd_reject_empty_length_or_nan() {
        let one = [Vec3::zeros()];
        assert!(matches!(rmsd_angstrom(&[], &[]), Err(MetricError::Empty { .. })));
        assert!(matches!(align(&one, &[Vec3::zeros(); 2]), Err(MetricError::Length { .. })));
        let nan = [Vec3::new(0.0, 0.0, f64::NAN)];
        assert!(matches!(rmsd_aligned_angstrom(&nan, &one), Err(MetricError::NonFinite { index: 0, .. })));
        assert!(DisplacementTracker::new(vec![]).is_err() && DisplacementTracker::new(nan.to_vec()).is_err());
    }
}
