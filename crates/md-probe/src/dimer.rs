use md_core::{Element, Potential, Request, System, Vec3};

use super::barrier::{Barrier, climb, refined};
use super::{Jumps, ProbeError, evaluate_path, largest_jumps};

/// Distance between the points of a dimer curve, Å.
const SPACING_ANGSTROM: f64 = 0.02;

/// Atoms closer than this many sums of covalent radii must repel each other; further apart they may be bonded. The bond
/// of H₂ has 1.2, that of N₂ 0.77.
const WALL_RADII: f64 = 0.75;

/// An axial force below this counts as zero, eV/Å.
const NO_FORCE_EV_PER_ANGSTROM: f64 = 1e-2;

/// The energy of two isolated atoms as a function of their distance, with measures of its irregularities.
#[derive(Debug, Clone, PartialEq)]
pub struct DimerScan {
    /// Distance (Å), energy (eV) and axial force (eV/Å, positive for repulsion) of each point.
    pub points: Vec<[f64; 3]>,
    /// The barrier on the way from the well to the shortest distance. The well is the lowest point beyond 0.75 sums of
    /// covalent radii.
    pub wall: Barrier,
    /// Largest decrease of the energy with decreasing distance at any energy, eV: however high the wall in front of it.
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
    let system = dimer(a, b, from_angstrom)?;
    let answers = evaluate_path(potential, &system, &positions, Request::FORCES)?;
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
    let mut ask = |distances: &[f64]| -> Result<Vec<f64>, ProbeError> {
        let positions: Vec<Vec<Vec3>> = distances.iter().map(|&r| along_x(r)).collect();
        let answers = evaluate_path(potential, &system, &positions, Request::ENERGY)?;
        Ok(answers.into_iter().map(|(energy, _)| energy).collect())
    };
    // From the well inwards.
    let mut way: Vec<[f64; 2]> = points[..=well].iter().rev().map(|p| [p[0], p[1]]).collect();
    if !lowest.is_nan() {
        let range = [distances[well.saturating_sub(1)], distances[(well + 1).min(distances.len() - 1)]];
        let (bottom, _) = refined(way[0], range, -1.0, &mut ask)?;
        let inwards = way.iter().position(|p| p[0] < bottom[0]).unwrap_or(way.len());
        way.splice(..inwards, [bottom]);
    }
    let wall = climb(&way, &mut ask)?;
    let mut signs: Vec<bool> =
        points.iter().map(|p| p[2]).filter(|f| f.abs() > NO_FORCE_EV_PER_ANGSTROM).map(|f| f > 0.0).collect();
    signs.dedup();
    let expected = usize::from(signs.first() == Some(&true));
    let variation: f64 = energies.windows(2).map(|w| (w[1] - w[0]).abs()).sum();
    Ok(DimerScan {
        wall,
        deep_hole_ev: if lowest.is_nan() { f64::NAN } else { largest_fall(&energies[..=well]) },
        flips: signs.len().saturating_sub(1 + expected),
        tortuosity: variation / (first + last - 2.0 * lowest),
        points,
    })
}

/// Returns the largest fall below the highest energy so far (eV), from the last point to the first.
fn largest_fall(energies: &[f64]) -> f64 {
    let (mut highest, mut fall) = (f64::NEG_INFINITY, 0.0_f64);
    for &energy in energies.iter().rev() {
        highest = highest.max(energy);
        fall = fall.max(highest - energy);
    }
    fall
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
        let expected = 4.5 * (1.0 - (1.9_f64 * 0.54).exp()).powi(2);
        assert!((scan.wall.height_ev - expected).abs() < 1e-4, "{:?}", scan.wall);
        assert_eq!((scan.wall.fall, scan.deep_hole_ev, scan.flips), (None, 0.0, 0));
        assert!((scan.tortuosity - 1.0).abs() < 1e-3, "{}", scan.tortuosity);
        let jumps = dimer_jumps(&mut morse(), Element::H, Element::H, 6.0).unwrap();
        assert!(jumps.energy.size_ev < 1e-8 && jumps.force.size_ev_per_angstrom < 1e-4, "{jumps:?}");
    }

    /// The curve of Morse with a hole, and the same between points of another grid.
    #[test]
    fn dimer_scan_finds_barrier_in_front_of_hole_between_points() {
        let with_hole = |from_angstrom, potential: Morse, depth_ev, centre_angstrom, width_angstrom| {
            let defect = Defect::Hole { depth_ev, centre_angstrom, width_angstrom };
            let mut potential = Defective::new(potential, defect);
            dimer_scan(&mut potential, Element::H, Element::H, from_angstrom, 6.0).unwrap()
        };
        // Morse is 2.2 eV above its minimum at 0.46 Å, where the barrier begins, and 7.7 eV at 0.3 Å.
        let behind = with_hole(0.2, morse(), 30.0, 0.3, 0.03);
        assert!(behind.wall.height_ev > 3.0 && behind.wall.height_ev < 7.7, "{:?}", behind.wall);
        assert!(behind.deep_hole_ev > 20.0, "{}", behind.deep_hole_ev);
        // A softer potential is 0.6 eV above its minimum at 0.42 Å.
        let soft = Morse { steepness_per_angstrom: 1.0, ..morse() };
        let walls = [0.2, 0.213].map(|from| with_hole(from, soft.clone(), 5.0, 0.42, 0.02).wall);
        let [one, other] = walls;
        let fall = one.fall.unwrap();
        assert!((fall.depth_ev - 4.8).abs() < 0.1 && (fall.bottom_angstrom - 0.42).abs() < 0.01, "{one:?}");
        assert!(one.height_ev > 0.3 && one.height_ev < 0.6, "{one:?}");
        assert!((one.height_ev - other.height_ev).abs() < 1e-3 && one.error_ev < 1e-3, "{walls:?}");
        let outside = with_hole(0.2, morse(), 10.0, 3.0, 0.03);
        assert_eq!(outside.flips, 2);
        assert!(outside.tortuosity > 1.2, "{}", outside.tortuosity);
    }

    #[test]
    fn dimer_scan_of_nan_potential_has_nan_wall() {
        let scan = scan(&mut Defective::new(morse(), Defect::Units { factor: f64::NAN }));
        assert!(scan.wall.height_ev.is_nan() && scan.tortuosity.is_nan());
    }
}
