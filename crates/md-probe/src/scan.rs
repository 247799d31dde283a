use md_core::{Mat3, Potential, Request, System, Vec3};
use nalgebra::{Rotation3, Unit};

use super::jumps::straight_out;
use super::{ProbeError, centroid, evaluate_path};

/// Scans the energy of a molecule rotated about an axis through its centroid, at `n` + 1 angles up to a full turn.
/// Returns angle (degrees) and energy relative to the start (eV). The axis, (1, 2, 3), is neither a coordinate axis nor
/// a common symmetry axis.
///
/// # Errors
/// Any error of the potential.
pub fn rotation_scan(
    potential: &mut dyn Potential,
    system: &System,
    n: usize,
) -> Result<Vec<[f64; 2]>, ProbeError> {
    let axis = Unit::new_normalize(Vec3::new(1.0, 2.0, 3.0));
    let centre = centroid(system);
    let angles: Vec<f64> = (0..=n).map(|k| 360.0 * k as f64 / n as f64).collect();
    let turned = |angle: &f64| {
        let turn: Mat3 = Rotation3::from_axis_angle(&axis, angle.to_radians()).into_inner();
        system.positions().iter().map(|x| centre + turn * (x - centre)).collect::<Vec<Vec3>>()
    };
    let paths: Vec<Vec<Vec3>> = angles.iter().map(turned).collect();
    let answers = evaluate_path(potential, system, &paths, Request::ENERGY)?;
    let start_ev = answers[0].0;
    Ok(angles.into_iter().zip(answers).map(|(angle, (e, _))| [angle, e - start_ev]).collect())
}

/// Scans the energy of a molecule as its outermost atom moves straight away from the centroid, at `n` + 1 points up to
/// `reach_angstrom`. Returns displacement (Å) and energy relative to the end (eV). The distance to all other atoms
/// grows from the first step on.
///
/// # Errors
/// Any error of the potential.
pub fn leaving_scan(
    potential: &mut dyn Potential,
    system: &System,
    reach_angstrom: f64,
    n: usize,
) -> Result<Vec<[f64; 2]>, ProbeError> {
    let (outermost, direction) = straight_out(system);
    let ways: Vec<f64> = (0..=n).map(|k| reach_angstrom * k as f64 / n as f64).collect();
    let moved = |way: &f64| {
        let mut positions = system.positions().to_vec();
        positions[outermost] += direction * *way;
        positions
    };
    let paths: Vec<Vec<Vec3>> = ways.iter().map(moved).collect();
    let answers = evaluate_path(potential, system, &paths, Request::ENERGY)?;
    let end_ev = answers[n].0;
    Ok(ways.into_iter().zip(answers).map(|(way, (e, _))| [way, e - end_ev]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytic::LennardJones;
    use md_core::Element;
    use md_testkit::defects::{Defect, Defective};

    const SOUND: LennardJones = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };

    fn argon() -> System {
        let positions = vec![Vec3::zeros(), Vec3::new(3.8, 0.1, 0.0), Vec3::new(1.0, 3.6, 0.4)];
        System::new(vec![Element::AR; 3], positions).unwrap()
    }

    #[test]
    fn rotation_scan_is_flat_unless_axes_are_mixed() {
        let flat = rotation_scan(&mut SOUND.clone(), &argon(), 36).unwrap();
        assert_eq!((flat.len(), flat[36][0]), (37, 360.0));
        assert!(flat.iter().all(|[_, e]| e.abs() < 1e-12), "{flat:?}");
        let matrix = Mat3::new(1.0, 0.02, 0.0, 0.0, 1.0, 0.03, 0.01, 0.0, 1.0);
        let bent =
            rotation_scan(&mut Defective::new(SOUND, Defect::Mixing { matrix }), &argon(), 36).unwrap();
        assert!(bent.iter().any(|[_, e]| e.abs() > 1e-5), "{bent:?}");
        assert!(bent[36][1].abs() < 1e-12);
    }

    #[test]
    fn leaving_scan_steps_at_cutoff() {
        let defect = Defect::Truncated { jump_ev: 0.5, cutoff_angstrom: 6.0 };
        let scan = leaving_scan(&mut Defective::new(SOUND, defect), &argon(), 8.0, 160).unwrap();
        let steps = |scan: &[[f64; 2]]| scan.windows(2).filter(|w| (w[1][1] - w[0][1]).abs() > 0.3).count();
        // Two pairs with the atom cross, one after the other.
        assert_eq!(steps(&scan), 2);
        assert_eq!(steps(&leaving_scan(&mut SOUND.clone(), &argon(), 8.0, 160).unwrap()), 0);
        assert_eq!(scan[160], [8.0, 0.0]);
    }
}
