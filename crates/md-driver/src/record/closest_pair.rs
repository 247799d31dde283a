use md_core::{Fate, System, SystemFrame, neighbours};
use md_metrics::MetricError;
use md_results::Run;
use serde::{Deserialize, Serialize};

use super::{Metric, Subject};

/// Smallest distance between two atoms over the sum of their covalent radii, at most 1.
#[derive(Serialize, Deserialize)]
pub(super) struct ClosestPair {
    /// Covalent radius of each atom, Å; `None` if one of them is not known.
    radii_angstrom: Option<Vec<f64>>,
    min_ratio: f64,
}

impl ClosestPair {
    fn of(structure: &System) -> Self {
        let radii_angstrom = structure.elements().iter().map(|e| e.covalent_radius_angstrom()).collect();
        ClosestPair { radii_angstrom, min_ratio: 1.0 }
    }

    fn ratio(&self) -> Option<f64> {
        self.radii_angstrom.as_ref().map(|_| self.min_ratio)
    }
}

impl Metric for ClosestPair {
    fn new(subject: &Subject<'_>) -> Result<Self, MetricError> {
        Ok(ClosestPair::of(subject.structure))
    }

    fn observe(&mut self, frame: &SystemFrame<'_>) -> Result<(), MetricError> {
        let Some(radii) = &self.radii_angstrom else { return Ok(()) };
        let largest = radii.iter().copied().fold(0.0, f64::max);
        neighbours::for_each_pair(frame.positions(), 2.0 * largest, |pair| {
            self.min_ratio = self.min_ratio.min(pair.distance / (radii[pair.i] + radii[pair.j]));
        });
        Ok(())
    }

    fn fill(&self, run: &mut Run, _fate: &Fate) -> Result<(), MetricError> {
        run.measured.extend(self.ratio().map(|ratio| ("closest_pair_ratio".to_owned(), ratio)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use md_core::{Element, Frame, State, Vec3};
    use md_probe::analytic::LennardJones;

    use super::*;

    /// Smallest ratio over two frames of an atom at these distances (Å) from another.
    fn ratio(elements: [Element; 2], distances: [f64; 2]) -> Option<f64> {
        let mut potential = LennardJones { epsilon_ev: 0.01, sigma_angstrom: 1.0 };
        let mut metric: Option<ClosestPair> = None;
        for distance in distances {
            let system =
                System::new(elements.to_vec(), vec![Vec3::zeros(), Vec3::new(0.0, distance, 0.0)]).unwrap();
            let state = State::at_rest(std::slice::from_ref(&system), &mut potential).unwrap();
            let metric = metric.get_or_insert_with(|| ClosestPair::of(&system));
            let frame = Frame { state: &state, ids: &[0], conserved_ev: &[0.0] };
            frame.systems().for_each(|system| metric.observe(&system).unwrap());
        }
        metric?.ratio()
    }

    /// Covalent radii of Cordero et al. 2008: H 0.31 Å, O 0.66 Å.
    #[test]
    fn closest_pair_is_smallest_of_all_frames_in_sums_of_covalent_radii() {
        let oh = ratio([Element::O, Element::H], [0.96, 0.485]).unwrap();
        assert!((oh - 0.485 / 0.97).abs() < 1e-12, "{oh}");
        let again = ratio([Element::O, Element::H], [0.485, 0.96]).unwrap();
        assert!((again - oh).abs() < 1e-12, "{again}");
        assert_eq!(ratio([Element::O, Element::H], [3.0, 9.0]), Some(1.0));
        let berkelium = Element::from_atomic_number(97).unwrap();
        assert_eq!(ratio([berkelium, Element::H], [0.1, 0.2]), None, "no radius is known");
    }
}
