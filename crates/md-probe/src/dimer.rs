use md_core::{Element, Potential, Request, System, Vec3};

use super::{Jumps, ProbeError, evaluate_path, largest_jumps};

/// Distance between the points of a dimer curve, Å.
const SPACING_ANGSTROM: f64 = 0.02;

/// Atoms closer than this many sums of covalent radii must repel each other; further apart they may be bonded. The bond
/// of H₂ has 1.2, that of N₂ 0.77.
const WALL_RADII: f64 = 0.75;

/// Energy above the minimum that two atoms in a molecule do not reach, eV: exp(-2 eV / k_B T) is 1e-20 at 500 K.
const OUT_OF_REACH_EV: f64 = 2.0;

/// A decrease smaller than this does not end a repulsive barrier, eV.
const END_OF_WALL_EV: f64 = 0.5;

/// An axial force below this counts as zero, eV/Å.
const NO_FORCE_EV_PER_ANGSTROM: f64 = 1e-2;

/// The energy of two isolated atoms as a function of their distance, with measures of its irregularities.
#[derive(Debug, Clone, PartialEq)]
pub struct DimerScan {
    /// Distance (Å), energy (eV) and axial force (eV/Å, positive for repulsion) of each point.
    pub points: Vec<[f64; 3]>,
    /// Height of the repulsive barrier: the rise of the energy above the minimum with decreasing distance, up to the
    /// shortest distance or to a decrease of more than 0.5 eV. The minimum is the lowest point beyond 0.75 sums of
    /// covalent radii.
    pub wall_ev: f64,
    /// Largest decrease of the energy with decreasing distance from the minimum, within the range that less than 2 eV
    /// reach: depth of a spurious minimum, 0 for a repulsive barrier.
    pub hole_ev: f64,
    /// Largest decrease with decreasing distance at any energy, eV: a spurious minimum behind the barrier.
    pub deep_hole_ev: f64,
    /// Number of sign changes of the axial force with increasing distance, besides that from repulsion to attraction.
    pub flips: usize,
    /// Total variation of the energy divided by that of a curve with one minimum: `Σ |ΔE| / (E_first + E_last - 2
    /// E_min)`, at least 1. Similar to the tortuosity of Y. Chiang et al., MLIP Arena (2025), which is relative to the
    /// equilibrium.
    pub tortuosity: f64,
}

/// Scans two atoms over distances from `from` to `to` (Å).
///
/// For elements without a tabulated covalent radius (Cordero et al. 2008) the minimum is the lowest of all points.
///
/// # Errors
/// Any error of the potential.
pub fn dimer_scan(
    potential: &mut dyn Potential,
    a: Element,
    b: Element,
    from_angstrom: f64,
    to_angstrom: f64,
) -> Result<DimerScan, ProbeError> {
    let n = ((to_angstrom - from_angstrom) / SPACING_ANGSTROM).ceil().max(2.0) as usize;
    let distances: Vec<f64> =
        (0..=n).map(|k| from_angstrom + (to_angstrom - from_angstrom) * k as f64 / n as f64).collect();
    let positions: Vec<Vec<Vec3>> = distances.iter().map(|&r| along_x(r)).collect();
    let answers = evaluate_path(potential, &dimer(a, b, from_angstrom)?, &positions, Request::FORCES)?;
    let points: Vec<[f64; 3]> = distances
        .iter()
        .zip(&answers)
        .map(|(&r, (e, forces))| [r, *e, 0.5 * (forces[1].x - forces[0].x)])
        .collect();
    let energies: Vec<f64> = points.iter().map(|p| p[1]).collect();
    // A curve that contains a NaN gives NaN for every measure.
    let lowest = energies.iter().fold(f64::INFINITY, |low, &e| if e < low || e.is_nan() { e } else { low });
    let (first, last) = (energies[0], energies[energies.len() - 1]);
    let contact = a.covalent_radius_angstrom().zip(b.covalent_radius_angstrom()).map_or(0.0, |(a, b)| a + b);
    let well = points
        .iter()
        .enumerate()
        .filter(|(_, p)| p[0] >= WALL_RADII * contact)
        .min_by(|a, b| a.1[1].total_cmp(&b.1[1]))
        .map_or(energies.len() - 1, |(k, _)| k);
    let Wall { wall_ev, hole_ev, deep_hole_ev } = if lowest.is_nan() {
        Wall { wall_ev: f64::NAN, hole_ev: f64::NAN, deep_hole_ev: f64::NAN }
    } else {
        climb(&energies[..=well])
    };
    let mut signs: Vec<bool> =
        points.iter().map(|p| p[2]).filter(|f| f.abs() > NO_FORCE_EV_PER_ANGSTROM).map(|f| f > 0.0).collect();
    signs.dedup();
    let expected = usize::from(signs.first() == Some(&true));
    let variation: f64 = energies.windows(2).map(|w| (w[1] - w[0]).abs()).sum();
    Ok(DimerScan {
        wall_ev,
        hole_ev,
        deep_hole_ev,
        flips: signs.len().saturating_sub(1 + expected),
        tortuosity: variation / (first + last - 2.0 * lowest),
        points,
    })
}

/// Analyses the energies (eV) from the last point to the first.
fn climb(energies: &[f64]) -> Wall {
    let well = energies[energies.len() - 1];
    let mut wall = Wall { wall_ev: 0.0, hole_ev: 0.0, deep_hole_ev: 0.0 };
    let (mut highest, mut ended) = (0.0_f64, false);
    for above in energies.iter().rev().map(|e| e - well) {
        let fall = (highest - above).max(0.0);
        wall.deep_hole_ev = wall.deep_hole_ev.max(fall);
        if highest < OUT_OF_REACH_EV {
            wall.hole_ev = wall.hole_ev.max(fall);
        }
        ended |= fall > END_OF_WALL_EV;
        highest = highest.max(above);
        if !ended {
            wall.wall_ev = highest;
        }
    }
    wall
}

/// Heights along a repulsive barrier, eV.
struct Wall {
    wall_ev: f64,
    hole_ev: f64,
    deep_hole_ev: f64,
}

/// Finds the largest jumps of energy and force of two atoms beyond 0.75 sums of covalent radii; `at` is their distance.
///
/// # Errors
/// Any error of the potential.
pub fn dimer_jumps(
    potential: &mut dyn Potential,
    a: Element,
    b: Element,
    to_angstrom: f64,
) -> Result<Jumps, ProbeError> {
    let radii = a.covalent_radius_angstrom().zip(b.covalent_radius_angstrom());
    let from_angstrom = radii.map_or(1.0, |(a, b)| WALL_RADII * (a + b));
    let samples = ((to_angstrom - from_angstrom) / SPACING_ANGSTROM).ceil().max(4.0) as usize;
    let system = dimer(a, b, from_angstrom)?;
    largest_jumps(potential, &system, along_x, (from_angstrom, to_angstrom), samples)
}

fn along_x(distance: f64) -> Vec<Vec3> {
    vec![Vec3::zeros(), Vec3::new(distance, 0.0, 0.0)]
}

fn dimer(a: Element, b: Element, distance: f64) -> Result<System, ProbeError> {
    Ok(System::new(vec![a, b], along_x(distance))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytic::{Morse, Pairs};
    use md_testkit::defects::{Defect, Defective};

    fn morse() -> Morse {
        Morse { depth_ev: 4.5, steepness_per_angstrom: 1.9, r0_angstrom: 0.74, pairs: Pairs::All }
    }

    fn scan(potential: &mut dyn Potential) -> DimerScan {
        dimer_scan(potential, Element::H, Element::H, 0.2, 6.0).unwrap()
    }

    #[test]
    fn dimer_scan_of_morse_has_no_holes() {
        let scan = scan(&mut morse());
        // 4.5 (1 - exp(1.9 0.54))² against 0 at the minimum.
        assert!(
            (scan.wall_ev - 4.5 * (1.0 - (1.9_f64 * 0.54).exp()).powi(2)).abs() < 0.01,
            "{}",
            scan.wall_ev
        );
        assert_eq!((scan.hole_ev, scan.deep_hole_ev, scan.flips), (0.0, 0.0, 0));
        assert!((scan.tortuosity - 1.0).abs() < 1e-3, "{}", scan.tortuosity);
        let jumps = dimer_jumps(&mut morse(), Element::H, Element::H, 6.0).unwrap();
        assert!(jumps.energy.size_ev < 1e-8 && jumps.force.size_ev_per_angstrom < 1e-4, "{jumps:?}");
    }

    #[test]
    fn dimer_scan_classifies_holes_by_reach() {
        let with_hole = |depth_ev, centre_angstrom| {
            let defect = Defect::Hole { depth_ev, centre_angstrom, width_angstrom: 0.03 };
            scan(&mut Defective::new(morse(), defect))
        };
        // Morse is 2.2 eV above its minimum at 0.46 Å, where the barrier begins, and 7.7 eV at 0.3 Å.
        let behind = with_hole(30.0, 0.3);
        assert!(
            behind.hole_ev == 0.0 && behind.deep_hole_ev > 20.0,
            "{} {}",
            behind.hole_ev,
            behind.deep_hole_ev
        );
        assert!(behind.wall_ev > 3.0 && behind.wall_ev < 7.7, "{}", behind.wall_ev);
        // A softer potential is 0.6 eV above its minimum at 0.42 Å.
        let soft = Morse { steepness_per_angstrom: 1.0, ..morse() };
        let hole = Defect::Hole { depth_ev: 5.0, centre_angstrom: 0.42, width_angstrom: 0.02 };
        let within_reach = scan(&mut Defective::new(soft, hole));
        assert!((within_reach.hole_ev - 5.0).abs() < 0.5, "{}", within_reach.hole_ev);
        assert!(within_reach.wall_ev < 1.0, "{}", within_reach.wall_ev);
        let outside = with_hole(10.0, 3.0);
        assert_eq!(outside.flips, 2);
        assert!(outside.tortuosity > 1.2, "{}", outside.tortuosity);
    }

    #[test]
    fn dimer_scan_of_nan_potential_has_nan_wall() {
        let scan = scan(&mut Defective::new(morse(), Defect::Units { factor: f64::NAN }));
        assert!(scan.wall_ev.is_nan() && scan.tortuosity.is_nan());
    }
}
