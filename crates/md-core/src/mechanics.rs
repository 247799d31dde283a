//! Mechanics of a collection of point masses. Positions in Å, velocities in Å/fs, masses in amu.

use crate::units::{AMU_ANGSTROM2_PER_FS2_IN_EV, BOLTZMANN_EV_PER_K};
use crate::{Mat3, Vec3};

/// Kinetic energy `½ Σ m v²` in eV.
pub fn kinetic_energy_ev(masses_amu: &[f64], velocities: &[Vec3]) -> f64 {
    let twice: f64 = masses_amu.iter().zip(velocities).map(|(m, v)| m * v.norm_squared()).sum();
    0.5 * twice * AMU_ANGSTROM2_PER_FS2_IN_EV
}

/// Kinetic temperature `2 K / (n k_B)` in K for `degrees_of_freedom` n; 0 when there are none.
///
/// ```
/// use md_core::mechanics::temperature_k;
/// use md_core::units::BOLTZMANN_EV_PER_K;
/// // Equipartition: three degrees of freedom at 300 K hold 3/2 k_B T.
/// assert!((temperature_k(1.5 * BOLTZMANN_EV_PER_K * 300.0, 3) - 300.0).abs() < 1e-10);
/// ```
pub fn temperature_k(kinetic_energy_ev: f64, degrees_of_freedom: usize) -> f64 {
    if degrees_of_freedom == 0 {
        return 0.0;
    }
    2.0 * kinetic_energy_ev / (degrees_of_freedom as f64 * BOLTZMANN_EV_PER_K)
}

/// Total momentum `Σ m v` in amu Å/fs.
pub fn momentum(masses_amu: &[f64], velocities: &[Vec3]) -> Vec3 {
    masses_amu.iter().zip(velocities).map(|(m, v)| v * *m).sum()
}

/// Centre of mass in Å.
pub fn centre_of_mass(masses_amu: &[f64], positions: &[Vec3]) -> Vec3 {
    momentum(masses_amu, positions) / masses_amu.iter().sum::<f64>()
}

/// Angular momentum `Σ m (x - x_com) × v` about the centre of mass, amu Å²/fs.
pub fn angular_momentum(masses_amu: &[f64], positions: &[Vec3], velocities: &[Vec3]) -> Vec3 {
    let centre = centre_of_mass(masses_amu, positions);
    masses_amu.iter().zip(positions).zip(velocities).map(|((m, x), v)| (x - centre).cross(v) * *m).sum()
}

/// Inertia tensor about the centre of mass, amu Å².
pub fn inertia(masses_amu: &[f64], positions: &[Vec3]) -> Mat3 {
    let centre = centre_of_mass(masses_amu, positions);
    masses_amu
        .iter()
        .zip(positions)
        .map(|(m, x)| {
            let r = x - centre;
            (Mat3::identity() * r.norm_squared() - r * r.transpose()) * *m
        })
        .sum()
}

/// A moment of inertia below this fraction of the largest counts as zero: rounding of the positions produces as much.
const NO_MOMENT: f64 = 1e-12;

/// Number of independent rigid rotations: 3 in general, 2 when all atoms lie on one line, 0 for one atom.
///
/// Atoms count as being on one line if the smallest principal moment of inertia is below 1e-6 of the largest: for CO₂
/// that is an angle above 179.78 degrees, which its bending passes within a femtosecond.
pub fn rotational_degrees_of_freedom(masses_amu: &[f64], positions: &[Vec3]) -> usize {
    if positions.len() < 2 {
        return 0; // rounding would otherwise leave a distance from its own centre
    }
    let moments = inertia(masses_amu, positions).symmetric_eigenvalues();
    let (smallest, largest) = (moments.min(), moments.max());
    if largest <= 0.0 {
        0
    } else if smallest < 1e-6 * largest {
        2
    } else {
        3
    }
}

/// Number of vibrational degrees of freedom of a molecule without translation and rotation: 3N - 6, or 3N - 5 for atoms
/// on one line, or 0 for one atom.
///
/// The count is that of the given geometry, and a moving molecule keeps it:
///
/// | initial geometry | n | for CO₂ | held at zero during the motion |
/// |---|---|---|---|
/// | linear, or closer to it than 179.78 degrees | 3N - 5 | 4 | rotation about the two axes with the larger moments |
/// | bent, by a degree or more | 3N - 6 | 3 | rotation about all three axes |
///
/// In the first case both bending modes are free and may combine to a motion around the line. In the second the
/// molecule bends in one plane and passes through the line. Both sample the ensemble with their constraints correctly.
pub fn internal_degrees_of_freedom(masses_amu: &[f64], positions: &[Vec3]) -> usize {
    let held = 3 + rotational_degrees_of_freedom(masses_amu, positions);
    (3 * positions.len()).saturating_sub(held)
}

/// Returns the axes of rotation of a collection of point masses as unit vectors, with their moments of inertia in amu
/// Å²: the `rotations` principal axes with the largest moments, without those whose moment is below 1e-12 of the
/// largest.
///
/// `rotations` is 3 for a bent molecule and 2 for a linear one, which may bend later. The moment of a bent molecule
/// about its own line vanishes as it passes through a line: there is no rotation about that axis then, and a division
/// by the moment would give only rounding errors. A moment is the sum `Σ m |a × (x - x_com)|²` for the axis a, and
/// never negative.
pub fn rotation_axes(masses_amu: &[f64], positions: &[Vec3], rotations: usize) -> Vec<(Vec3, f64)> {
    let centre = centre_of_mass(masses_amu, positions);
    let principal = inertia(masses_amu, positions).symmetric_eigen().eigenvectors;
    let moment = |axis: &Vec3| -> f64 {
        masses_amu.iter().zip(positions).map(|(m, x)| m * axis.cross(&(x - centre)).norm_squared()).sum()
    };
    let mut axes: Vec<(Vec3, f64)> = principal
        .column_iter()
        .map(|column| {
            let axis = column.into_owned();
            let moment = moment(&axis);
            (axis, moment)
        })
        .collect();
    axes.sort_by(|a, b| b.1.total_cmp(&a.1));
    let largest = axes[0].1;
    axes.truncate(rotations);
    axes.retain(|(_, moment)| *moment > NO_MOMENT * largest);
    axes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotational_dof_of_one_atom_is_zero_anywhere() {
        // Rounding of 1.9 * 39.95 / 39.95 leaves a distance from 1.9.
        for x in [0.0, 1.9, -1.9, 1e3] {
            assert_eq!(rotational_degrees_of_freedom(&[39.95], &[Vec3::new(x, 0.3, 0.0)]), 0);
        }
    }

    #[test]
    fn inertia_and_spin_of_rigid_rotor_match_textbook() {
        let masses = [2.0, 3.0];
        let positions = [Vec3::new(0.0, 0.0, 1.0), Vec3::new(0.0, 0.0, -0.5)];
        let reduced = 2.0 * 3.0 / 5.0;
        let tensor = inertia(&masses, &positions);
        assert!((tensor[(0, 0)] - reduced * 1.5 * 1.5).abs() < 1e-12);
        assert!(tensor[(2, 2)].abs() < 1e-12);
        let omega = 0.1;
        let velocities: Vec<Vec3> = positions.iter().map(|x| Vec3::new(0.0, omega, 0.0).cross(x)).collect();
        let spin = angular_momentum(&masses, &positions, &velocities);
        assert!((spin.y - tensor[(1, 1)] * omega).abs() < 1e-12);
        let energy = kinetic_energy_ev(&masses, &velocities) / AMU_ANGSTROM2_PER_FS2_IN_EV;
        let about_centre = 0.5 * tensor[(1, 1)] * omega * omega;
        let of_centre = 0.5 * momentum(&masses, &velocities).norm_squared() / 5.0;
        assert!((energy - about_centre - of_centre).abs() < 1e-12);
    }

    #[test]
    fn rotational_and_internal_dof_depend_on_shape() {
        let line = [Vec3::zeros(), Vec3::new(1.0, 1.0, 0.0), Vec3::new(2.0, 2.0, 0.0)];
        let bent = [Vec3::zeros(), Vec3::new(1.0, 0.0, 0.0), Vec3::new(1.5, 0.5, 0.0)];
        assert_eq!(rotational_degrees_of_freedom(&[1.0; 3], &line), 2);
        assert_eq!(rotational_degrees_of_freedom(&[1.0; 3], &bent), 3);
        assert_eq!(rotational_degrees_of_freedom(&[1.0], &line[..1]), 0);
        assert_eq!(temperature_k(1.0, 0), 0.0);
        assert_eq!(internal_degrees_of_freedom(&[1.0; 3], &line), 4);
        assert_eq!(internal_degrees_of_freedom(&[1.0; 3], &bent), 3);
        assert_eq!(internal_degrees_of_freedom(&[1.0; 2], &line[..2]), 1);
        assert_eq!(internal_degrees_of_freedom(&[1.0], &line[..1]), 0);
    }

    #[test]
    fn rotation_axes_match_inertia_and_skip_linear_axis() {
        let bent = [Vec3::new(3.0, 1.0, 0.2), Vec3::new(4.0, 1.0, 0.0), Vec3::new(4.5, 1.6, -0.3)];
        let masses = [1.0, 12.0, 16.0];
        let axes = rotation_axes(&masses, &bent, 3);
        let mut moments = inertia(&masses, &bent).symmetric_eigenvalues().as_slice().to_vec();
        moments.sort_by(|a, b| b.total_cmp(a));
        for ((axis, moment), expected) in axes.iter().zip(&moments) {
            assert!((moment / expected - 1.0).abs() < 1e-12, "{axes:?} {moments:?}");
            assert!((inertia(&masses, &bent) * axis - axis * *expected).norm() < 1e-12);
        }
        assert_eq!(rotation_axes(&masses, &bent, 2), axes[..2]);
        // No coordinate is exact along this direction; rounding leaves a moment of 1e-32, of either sign in the tensor.
        let along = Vec3::new(0.3, -0.7, 0.9);
        let line = [along * 0.0, along, along * 1.9];
        assert_eq!(rotation_axes(&masses, &line, 3).len(), 2);
        assert_eq!(rotation_axes(&[1.0], &line[..1], 3), []);
    }
}
