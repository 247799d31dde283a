use md_core::units::{EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2, SPEED_OF_LIGHT_CM_PER_FS};
use md_core::{Potential, Request, System, Vec3, mechanics};
use nalgebra::{DMatrix, DVector};

use super::{ProbeError, evaluate_path, largest};

/// Second derivatives of the energy.
#[derive(Debug, Clone, PartialEq)]
pub struct Hessian {
    /// `∂²E/∂x_i ∂x_j` in eV/Å², 3N x 3N, symmetrised.
    pub matrix: DMatrix<f64>,
    /// Largest `|H_ij - H_ji|` before symmetrisation, eV/Å²: zero for forces that are a smooth gradient.
    pub asymmetry_ev_per_angstrom2: f64,
    /// Error of the asymmetry, eV/Å²: a smaller asymmetry is not detected.
    pub asymmetry_error_ev_per_angstrom2: f64,
    /// The matrix from the smaller step alone, symmetrised: its difference is more than the error of the other.
    half: DMatrix<f64>,
}

/// A vibration.
#[derive(Debug, Clone, PartialEq)]
pub struct NormalMode {
    /// Wavenumber, 1/cm; negative if it is imaginary, NaN if the Hessian contains a NaN.
    pub wavenumber_per_cm: f64,
    /// Error of the wavenumber by that of the finite differences, 1/cm.
    pub error_per_cm: f64,
    /// Displacements of the atoms; 1 for the atom that moves most.
    pub displacement: Vec<Vec3>,
}

/// Computes the Hessian by central differences of forces with the steps h and h/2 (Å) and Richardson extrapolation.
///
/// With `D(h)_ij = (F_j(x - h e_i) - F_j(x + h e_i)) / 2h` the Hessian is `(4 D(h/2) - D(h)) / 3`, whose error is of
/// order h⁴. The error of the asymmetry is estimated as twice the largest change of an antisymmetric part, `(D -
/// Dᵀ)(h/2) - (D - Dᵀ)(h)`. For smooth forces that is 1.5 times the error of `D(h)`, far more than the error after
/// extrapolation; if rounding dominates, noise σ of the forces gives an estimate of 4.5 σ/h and an asymmetry of 2.7
/// σ/h.
///
/// An h of 2e-5 Å suits f64: noise of 1e-12 eV/Å gives 1e-7 eV/Å². For linear CO₂, forces that depend on `sqrt(|v|² +
/// ε)` may have a third derivative of 1e5 eV/Å⁴, and a single step of 1e-3 Å would then be wrong by 0.1 eV/Å².
///
/// # Errors
/// Any error of the potential.
pub fn hessian(
    potential: &mut dyn Potential,
    system: &System,
    h_angstrom: f64,
) -> Result<Hessian, ProbeError> {
    let n = 3 * system.n_atoms();
    let offsets = [h_angstrom, -h_angstrom, 0.5 * h_angstrom, -0.5 * h_angstrom];
    let (mut whole, mut half) = (DMatrix::zeros(n, n), DMatrix::zeros(n, n));
    let coordinates: Vec<usize> = (0..n).collect();
    for some in coordinates.chunks(COORDINATES_AT_ONCE) {
        let displaced = some.iter().flat_map(|&i| {
            offsets.map(|offset| {
                let mut positions = system.positions().to_vec();
                positions[i / 3][i % 3] += offset;
                positions
            })
        });
        let answers = evaluate_path(potential, system, &displaced.collect::<Vec<_>>(), Request::FORCES)?;
        for (&i, four) in some.iter().zip(answers.chunks_exact(offsets.len())) {
            for j in 0..n {
                let force = |k: usize| four[k].1[j / 3][j % 3];
                whole[(i, j)] = (force(1) - force(0)) / (2.0 * h_angstrom);
                half[(i, j)] = (force(3) - force(2)) / h_angstrom;
            }
        }
    }
    let change = &half - whole;
    let raw = &half + &change / 3.0;
    Ok(Hessian {
        half: (&half + half.transpose()) * 0.5,
        asymmetry_ev_per_angstrom2: asymmetry(&raw),
        asymmetry_error_ev_per_angstrom2: 2.0 * asymmetry(&change),
        matrix: (&raw + raw.transpose()) * 0.5,
    })
}

/// Number of coordinates displaced in one call; it bounds the memory to as many copies of the molecule.
const COORDINATES_AT_ONCE: usize = 16;

/// Returns the largest `|M_ij - M_ji|`.
fn asymmetry(matrix: &DMatrix<f64>) -> f64 {
    largest((matrix - matrix.transpose()).iter().map(|x| x.abs()))
}

impl Hessian {
    /// Computes the harmonic frequencies of a molecule in 1/cm, ascending, with imaginary ones as negative numbers: those of
    /// its [normal modes](Hessian::normal_modes).
    pub fn frequencies_per_cm(&self, system: &System) -> Vec<f64> {
        self.normal_modes(system).iter().map(|mode| mode.wavenumber_per_cm).collect()
    }

    /// Computes the normal modes of a molecule in the order of their wavenumbers: 3N - 6 of them, or 3N - 5 for atoms on one
    /// line.
    ///
    /// `ν̃ = √λ / 2πc` for the eigenvalues λ of `M^-½ H M^-½`, after projection of the translations and rotations at
    /// these positions, so that residual forces of an imperfect relaxation do not mix them in. The error of λ is its change with
    /// the step of the differences, to first order.
    ///
    /// Source: E. B. Wilson, J. C. Decius, P. C. Cross, *Molecular Vibrations* (1955).
    pub fn normal_modes(&self, system: &System) -> Vec<NormalMode> {
        let n = self.matrix.nrows();
        let rigid = rigid_motions(system);
        if self.matrix.iter().any(|x| !x.is_finite()) {
            let displacement = vec![Vec3::zeros(); system.n_atoms()];
            let unknown = NormalMode { wavenumber_per_cm: f64::NAN, error_per_cm: f64::NAN, displacement };
            return vec![unknown; n - rigid.len()];
        }
        let root: Vec<f64> = system.masses_amu().iter().flat_map(|m| [m.sqrt(); 3]).collect();
        let project = rigid.iter().fold(DMatrix::identity(n, n), |p, q| p - q * q.transpose());
        let weigh = |matrix: &DMatrix<f64>| {
            &project * DMatrix::from_fn(n, n, |i, j| matrix[(i, j)] / (root[i] * root[j])) * &project
        };
        let (mut weighted, half) = (weigh(&self.matrix), weigh(&self.half));
        // Rigid motions are shifted above all vibrations and removed from the end.
        let above = 10.0 * weighted.norm() + 1.0;
        for q in &rigid {
            weighted += q * q.transpose() * above;
        }
        let eigen = weighted.symmetric_eigen();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[a].total_cmp(&eigen.eigenvalues[b]));
        order.truncate(n - rigid.len());
        let mode = |k: usize| {
            let vector = eigen.eigenvectors.column(k).into_owned();
            let wavenumber_per_cm = wavenumber_per_cm(eigen.eigenvalues[k]);
            let coarse = self::wavenumber_per_cm(vector.dot(&(&half * &vector)));
            let moved = |a: usize| Vec3::from_fn(|x, _| vector[3 * a + x] / root[3 * a]);
            let displacement: Vec<Vec3> = (0..system.n_atoms()).map(moved).collect();
            let most = largest(displacement.iter().map(Vec3::norm));
            NormalMode {
                wavenumber_per_cm,
                error_per_cm: (coarse - wavenumber_per_cm).abs(),
                displacement: displacement.into_iter().map(|d| d / most).collect(),
            }
        };
        order.into_iter().map(mode).collect()
    }
}

/// Converts an eigenvalue (eV/Å²/amu) to a wavenumber.
fn wavenumber_per_cm(eigenvalue: f64) -> f64 {
    let omega_per_fs = (eigenvalue.abs() * EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2).sqrt();
    eigenvalue.signum() * omega_per_fs / (std::f64::consts::TAU * SPEED_OF_LIGHT_CM_PER_FS)
}

/// Returns an orthonormal basis of translations and rotations in mass-weighted coordinates.
fn rigid_motions(system: &System) -> Vec<DVector<f64>> {
    let (masses, positions) = (system.masses_amu(), system.positions());
    let centre = mechanics::centre_of_mass(masses, positions);
    let rotations = mechanics::rotational_degrees_of_freedom(masses, positions);
    let motion = |velocity: &dyn Fn(&Vec3) -> Vec3| -> DVector<f64> {
        let atoms = positions
            .iter()
            .zip(masses)
            .flat_map(|(x, m)| (velocity(x) * m.sqrt()).iter().copied().collect::<Vec<f64>>());
        DVector::from_iterator(3 * masses.len(), atoms)
    };
    let translations = (0..3).map(|k| motion(&|_| Vec3::ith(k, 1.0)));
    let axes = mechanics::rotation_axes(masses, positions, rotations);
    let turns = axes.iter().map(|(axis, _)| motion(&|x| axis.cross(&(x - centre))));
    let motions: Vec<DVector<f64>> = translations.chain(turns).collect();
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
    use md_core::Element;
    use md_testkit::defects::{Defect, Defective};

    fn diatomic() -> System {
        System::new(vec![Element::C, Element::O], vec![Vec3::zeros(), Vec3::new(0.8, 0.8, 0.2)]).unwrap()
    }

    #[test]
    fn hessian_of_diatomic_has_textbook_frequency() {
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
        assert!(hessian.asymmetry_ev_per_angstrom2 < 1e-7, "{hessian:?}");
    }

    /// With a single step of 1e-3 Å the asymmetry of the first was 0.11 eV/Å².
    #[test]
    fn hessian_asymmetry_error_covers_steepness_and_rounding() {
        let length = diatomic().positions()[1].norm();
        let steep = Defect::Hole { depth_ev: 1e-2, centre_angstrom: length, width_angstrom: 0.01 };
        let rounded = Defect::Rounded { bits: 24 };
        for (defect, h_angstrom, at_most) in
            [(steep, 1e-3, 0.3), (steep, 1e-4, 2e-3), (rounded, 1e-4, 1.0), (rounded, 1e-2, 1e-2)]
        {
            let bond = HarmonicBond { atoms: [0, 1], stiffness_ev_per_angstrom2: 118.0, r0_angstrom: 1.2 };
            let mut potential = Defective::new(HarmonicBonds(vec![bond]), defect);
            let Hessian {
                asymmetry_ev_per_angstrom2: found, asymmetry_error_ev_per_angstrom2: error, ..
            } = hessian(&mut potential, &diatomic(), h_angstrom).unwrap();
            assert!(found <= error && error < at_most, "{defect:?}, {h_angstrom}: {found} ± {error}");
        }
    }

    #[test]
    fn frequencies_exclude_rigid_motion_and_show_saddle() {
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
        // Two atoms on top of a Gaussian hill (negative depth) are pushed apart: an imaginary stretch.
        let length = diatomic().positions()[1].norm();
        let hill = Defect::Hole { depth_ev: -1.0, centre_angstrom: length, width_angstrom: 0.5 };
        let mut hilly = Defective::new(HarmonicBonds(Vec::new()), hill);
        let frequencies = hessian(&mut hilly, &diatomic(), 1e-3).unwrap().frequencies_per_cm(&diatomic());
        let m = diatomic().masses_amu().to_vec();
        let expected = -521.470898373 * (8.0 * (1.0 / m[0] + 1.0 / m[1])).sqrt(); // curvature -2 / 0.5²
        assert!((frequencies[0] / expected - 1.0).abs() < 1e-4, "{frequencies:?}, {expected}");
    }

    #[test]
    fn hessian_of_swirl_is_asymmetric() {
        let swirl = Defect::Swirl { strength_ev_per_angstrom2: 0.1 };
        let mut potential = Defective::new(HarmonicBonds(Vec::new()), swirl);
        let hessian = hessian(&mut potential, &diatomic(), 1e-3).unwrap();
        // ∂F_x/∂y - ∂F_y/∂x = 2 strength (1 - 1/N), as the centroid moves along.
        assert!((hessian.asymmetry_ev_per_angstrom2 - 0.1).abs() < 1e-6, "{hessian:?}");
        assert!(hessian.asymmetry_error_ev_per_angstrom2 < 1e-6, "{hessian:?}");
    }
}
