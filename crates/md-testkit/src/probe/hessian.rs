use md_core::units::{EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2, SPEED_OF_LIGHT_CM_PER_FS};
use md_core::{Potential, Request, System, Vec3, mechanics};
use nalgebra::{DMatrix, DVector};

use super::{ProbeError, evaluate_path, largest};

/// Second derivatives of the energy.
#[derive(Debug, Clone, PartialEq)]
pub struct Hessian {
    /// `∂²E/∂x_i ∂x_j` in eV/Å², 3N x 3N, symmetrised.
    pub matrix: DMatrix<f64>,
    /// Largest `|H_ij - H_ji|` before that, eV/Å²: zero for forces that are a smooth gradient.
    pub asymmetry_ev_per_angstrom2: f64,
}

/// The Hessian by central differences of forces with a step of `h_angstrom` (1e-3 Å suits f64: the error is of
/// order h²).
///
/// # Errors
/// What the potential returns.
pub fn hessian(
    potential: &mut dyn Potential,
    system: &System,
    h_angstrom: f64,
) -> Result<Hessian, ProbeError> {
    let n = 3 * system.n_atoms();
    let mut displaced = Vec::with_capacity(2 * n);
    for coordinate in 0..n {
        for h in [h_angstrom, -h_angstrom] {
            let mut positions = system.positions().to_vec();
            positions[coordinate / 3][coordinate % 3] += h;
            displaced.push(positions);
        }
    }
    let forces = evaluate_path(potential, system, &displaced, Request::FORCES)?;
    let raw = DMatrix::from_fn(n, n, |i, j| {
        let (forward, backward) = (&forces[2 * i].1[j / 3], &forces[2 * i + 1].1[j / 3]);
        (backward[j % 3] - forward[j % 3]) / (2.0 * h_angstrom)
    });
    let transposed = raw.transpose();
    let asymmetry_ev_per_angstrom2 = largest((&raw - &transposed).iter().map(|x| x.abs()));
    Ok(Hessian { matrix: (raw + transposed) * 0.5, asymmetry_ev_per_angstrom2 })
}

impl Hessian {
    /// Harmonic frequencies of a molecule in 1/cm, ascending, imaginary ones as negative numbers: 3N - 6 of them, or
    /// 3N - 5 for atoms on one line.
    ///
    /// `ν̃ = √λ / 2πc` for the eigenvalues λ of `M^-½ H M^-½`, after the translations and rotations at these
    /// positions have been projected out, so that a force left over from an imperfect relaxation does not mix
    /// them in. All are NaN when the Hessian has a NaN.
    ///
    /// Source: E. B. Wilson, J. C. Decius, P. C. Cross, *Molecular Vibrations* (1955).
    pub fn frequencies_per_cm(&self, system: &System) -> Vec<f64> {
        let n = self.matrix.nrows();
        let rigid = rigid_motions(system);
        if self.matrix.iter().any(|x| !x.is_finite()) {
            return vec![f64::NAN; n - rigid.len()];
        }
        let root: Vec<f64> = system.masses_amu().iter().flat_map(|m| [m.sqrt(); 3]).collect();
        let mut weighted = DMatrix::from_fn(n, n, |i, j| self.matrix[(i, j)] / (root[i] * root[j]));
        let project = rigid.iter().fold(DMatrix::identity(n, n), |p, q| p - q * q.transpose());
        weighted = &project * weighted * &project;
        // Rigid motions are lifted above all vibrations, to be dropped from the end.
        let above = 10.0 * weighted.norm() + 1.0;
        for q in &rigid {
            weighted += q * q.transpose() * above;
        }
        let mut eigenvalues: Vec<f64> = weighted.symmetric_eigenvalues().iter().copied().collect();
        eigenvalues.sort_by(f64::total_cmp);
        eigenvalues.truncate(n - rigid.len());
        eigenvalues.into_iter().map(wavenumber_per_cm).collect()
    }
}

/// The wavenumber of an eigenvalue in eV/Å²/amu.
fn wavenumber_per_cm(eigenvalue: f64) -> f64 {
    let omega_per_fs = (eigenvalue.abs() * EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2).sqrt();
    eigenvalue.signum() * omega_per_fs / (std::f64::consts::TAU * SPEED_OF_LIGHT_CM_PER_FS)
}

/// An orthonormal basis of translations and rotations in mass-weighted coordinates.
fn rigid_motions(system: &System) -> Vec<DVector<f64>> {
    let (masses, positions) = (system.masses_amu(), system.positions());
    let centre = mechanics::centre_of_mass(masses, positions);
    let wanted = 3 + mechanics::rotational_degrees_of_freedom(masses, positions);
    // Principal axes, so that the rotation about the line of a linear molecule is the one of length zero.
    let axes = mechanics::inertia(masses, positions).symmetric_eigen().eigenvectors;
    let motion = |k: usize| -> DVector<f64> {
        let atoms = positions.iter().zip(masses).flat_map(|(x, m)| {
            let v: Vec3 = if k < 3 { Vec3::ith(k, 1.0) } else { axes.column(k - 3).cross(&(x - centre)) };
            (v * m.sqrt()).iter().copied().collect::<Vec<f64>>()
        });
        DVector::from_iterator(3 * masses.len(), atoms)
    };
    let mut motions: Vec<DVector<f64>> = (0..6).map(motion).collect();
    // Of a line or a point, the rotations that move least are none.
    motions[3..].sort_by(|a, b| b.norm().total_cmp(&a.norm()));
    motions.truncate(wanted);
    let mut basis: Vec<DVector<f64>> = Vec::new();
    for mut motion in motions {
        for q in &basis {
            motion -= q * q.dot(&motion);
        }
        basis.push(motion.normalize());
    }
    basis
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytic::{Control, HarmonicBond, HarmonicBonds};
    use crate::defects::{Defect, Defective};
    use md_core::Element;

    fn diatomic() -> System {
        System::new(vec![Element::C, Element::O], vec![Vec3::zeros(), Vec3::new(0.8, 0.8, 0.2)]).unwrap()
    }

    #[test]
    fn a_diatomic_has_the_textbook_frequency() {
        let system = diatomic();
        let length = system.positions()[1].norm();
        let bond = HarmonicBond { atoms: [0, 1], stiffness_ev_per_angstrom2: 118.0, r0_angstrom: length };
        let mut potential = HarmonicBonds(vec![bond]);
        let hessian = hessian(&mut potential, &system, 1e-3).unwrap();
        let frequencies = hessian.frequencies_per_cm(&system);
        let m = system.masses_amu();
        // The wavenumber of 1 eV/Å²/amu; ASE 3.29 has 521.4709004 (CODATA 2014).
        let expected = 521.470898373 * (118.0 * (1.0 / m[0] + 1.0 / m[1])).sqrt();
        assert_eq!(frequencies.len(), 1);
        assert!((frequencies[0] / expected - 1.0).abs() < 1e-6, "{frequencies:?}, {expected}");
        // The error of the differences, of order h².
        assert!(hessian.asymmetry_ev_per_angstrom2 < 1e-3);
    }

    #[test]
    fn vibrations_are_3n_less_rigid_motions_and_a_saddle_has_an_imaginary_one() {
        let (x, y) = (0.96 * 0.6, 0.96 * 0.8);
        let positions = vec![Vec3::zeros(), Vec3::new(x, y, 0.0), Vec3::new(-x, y, 0.0)];
        let water = System::new(vec![Element::O, Element::H, Element::H], positions).unwrap();
        let mut control = Control::new(std::slice::from_ref(&water)).unwrap();
        let at_rest = hessian(&mut control, &water, 1e-3).unwrap().frequencies_per_cm(&water);
        assert!(at_rest.len() == 3 && at_rest[0] > 500.0, "{at_rest:?}");
        let mut turned = water.clone();
        for (seed, angle) in [(0, 0.3_f64), (1, 1.1)] {
            let turn = nalgebra::Rotation3::new(Vec3::new(angle, -angle, 0.5 + f64::from(seed)));
            let moved = water.positions().iter().map(|p| turn * p + Vec3::repeat(3.0)).collect();
            turned = turned.with_positions(moved).unwrap();
            let frequencies = hessian(&mut control, &turned, 1e-3).unwrap().frequencies_per_cm(&turned);
            for (a, b) in frequencies.iter().zip(&at_rest) {
                assert!((a - b).abs() < 1e-2, "{frequencies:?} {at_rest:?}");
            }
        }
        // Two atoms on top of a Gaussian hill (a hole of negative depth) are pushed apart: an imaginary stretch.
        let length = diatomic().positions()[1].norm();
        let hill = Defect::Hole { depth_ev: -1.0, centre_angstrom: length, width_angstrom: 0.5 };
        let mut hilly = Defective::new(HarmonicBonds(Vec::new()), hill);
        let frequencies = hessian(&mut hilly, &diatomic(), 1e-3).unwrap().frequencies_per_cm(&diatomic());
        let m = diatomic().masses_amu().to_vec();
        let expected = -521.470898373 * (8.0 * (1.0 / m[0] + 1.0 / m[1])).sqrt(); // curvature -2 / 0.5²
        assert!((frequencies[0] / expected - 1.0).abs() < 1e-4, "{frequencies:?}, {expected}");
    }

    #[test]
    fn a_swirl_makes_the_hessian_asymmetric() {
        let swirl = Defect::Swirl { strength_ev_per_angstrom2: 0.1 };
        let mut potential = Defective::new(HarmonicBonds(Vec::new()), swirl);
        let hessian = hessian(&mut potential, &diatomic(), 1e-3).unwrap();
        // ∂F_x/∂y - ∂F_y/∂x = 2 strength (1 - 1/N), as the centroid moves along.
        assert!((hessian.asymmetry_ev_per_angstrom2 - 0.1).abs() < 1e-6, "{hessian:?}");
    }
}
