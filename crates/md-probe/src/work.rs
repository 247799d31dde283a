use md_core::{Potential, Request, System, Vec3};

use super::{ProbeError, evaluate_path, largest};
use crate::random::SplitMix64;

/// Work of the forces around closed loops, which is zero for a gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoopWork {
    /// Largest `|∮ F·dx|`, eV.
    pub work_ev: f64,
    /// Largest quadrature error of a loop, eV: less work is not detected.
    pub resolution_ev: f64,
}

/// Nodes of the two quadratures of a segment: their difference is the error of the second, and an upper bound of
/// that of the first. With 8 and 5 nodes the difference was 1e-7 eV by chance where the first was wrong by 2e-6 eV.
const NODES: [usize; 2] = [12, 8];

/// A segment is halved if its quadratures differ by more than this, eV, and at most this many times.
const RESOLUTION_EV: f64 = 1e-7;
const HALVINGS: usize = 4;

/// Tests path independence: the work around `n` random triangles in the space of all coordinates, whose corners are the
/// system and two copies with every coordinate displaced by up to `size_angstrom`.
///
/// It uses Gauss-Legendre quadrature along the edges, which are halved repeatedly where forces change too abruptly.
/// Only forces are needed, so it also applies to a potential whose energy is unrelated to them. A force that is a
/// multiple of the gradient does no such work; [`force_gradient`](super::force_gradient) detects it.
///
/// # Errors
/// Any error of the potential.
pub fn loop_work(
    potential: &mut dyn Potential,
    system: &System,
    size_angstrom: f64,
    n: usize,
    seed: u64,
) -> Result<LoopWork, ProbeError> {
    let mut random = SplitMix64::new(seed);
    let rules = NODES.map(gauss_legendre);
    let mut corner =
        || system.positions().iter().map(|x| x + random.in_cube(size_angstrom)).collect::<Vec<Vec3>>();
    let loops: Vec<[Vec<Vec3>; 3]> =
        (0..n).map(|_| [system.positions().to_vec(), corner(), corner()]).collect();
    let mut open: Vec<Segment<'_>> = Vec::new();
    for (id, corners) in loops.iter().enumerate() {
        let edges = [(0, 1), (1, 2), (2, 0)].map(|(from, to)| [corners[from].as_slice(), &corners[to]]);
        open.extend(edges.map(|edge| Segment { id, edge, from: 0.0, to: 1.0 }));
    }
    let mut whole = vec![LoopWork { work_ev: 0.0, resolution_ev: 0.0 }; n];
    for halvings in 0..=HALVINGS {
        let path: Vec<Vec<Vec3>> = open.iter().flat_map(|segment| segment.nodes(&rules)).collect();
        let forces = evaluate_path(potential, system, &path, Request::FORCES)?;
        let per_segment = NODES.iter().sum();
        let mut halves = Vec::new();
        for (segment, forces) in open.iter().zip(forces.chunks(per_segment)) {
            let work = segment.work(&rules, forces);
            // Halving does not remove a NaN.
            if halvings < HALVINGS && work.resolution_ev >= RESOLUTION_EV {
                halves.extend(segment.halves());
            } else {
                whole[segment.id].work_ev += work.work_ev;
                whole[segment.id].resolution_ev += work.resolution_ev;
            }
        }
        open = halves;
    }
    Ok(LoopWork {
        work_ev: largest(whole.iter().map(|w| w.work_ev.abs())),
        resolution_ev: largest(whole.iter().map(|w| w.resolution_ev)),
    })
}

/// Part of an edge of a loop, between two fractions of it.
struct Segment<'a> {
    /// The loop.
    id: usize,
    edge: [&'a [Vec3]; 2],
    from: f64,
    to: f64,
}

impl Segment<'_> {
    /// Positions at the nodes of all rules.
    fn nodes(&self, rules: &[Vec<(f64, f64)>; 2]) -> Vec<Vec<Vec3>> {
        let [start, end] = self.edge;
        let at = |t: f64| {
            start
                .iter()
                .zip(end)
                .map(|(a, b)| a + (b - a) * (self.from + (self.to - self.from) * t))
                .collect()
        };
        rules.iter().flatten().map(|(t, _)| at(*t)).collect()
    }

    /// The work of the forces at those nodes.
    fn work(&self, rules: &[Vec<(f64, f64)>; 2], forces: &[(f64, Vec<Vec3>)]) -> LoopWork {
        let [start, end] = self.edge;
        let power = |forces: &[Vec3]| -> f64 {
            let moves = start.iter().zip(end).map(|(a, b)| b - a);
            forces.iter().zip(moves).map(|(f, step)| f.dot(&step)).sum()
        };
        let mut forces = forces.iter();
        let [work, coarse] = rules.each_ref().map(|rule| {
            let terms = rule.iter().zip(forces.by_ref()).map(|((_, weight), (_, f))| weight * power(f));
            (self.to - self.from) * terms.sum::<f64>()
        });
        LoopWork { work_ev: work, resolution_ev: (work - coarse).abs() }
    }

    fn halves(&self) -> [Self; 2] {
        let middle = 0.5 * (self.from + self.to);
        [Segment { to: middle, ..*self }, Segment { from: middle, ..*self }]
    }
}

/// Returns nodes and weights of Gauss-Legendre quadrature on [0, 1]: roots of the Legendre polynomial by Newton's
/// method.
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    (0..n)
        .map(|k| {
            let mut x = (std::f64::consts::PI * (k as f64 + 0.75) / (n as f64 + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..20 {
                let (mut p, mut before) = (1.0, 0.0);
                for j in 1..=n {
                    let j = j as f64;
                    (p, before) = (((2.0 * j - 1.0) * x * p - (j - 1.0) * before) / j, p);
                }
                slope = n as f64 * (x * p - before) / (x * x - 1.0);
                x -= p / slope;
            }
            (0.5 * (1.0 + x), 1.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytic::LennardJones;
    use md_core::Element;
    use md_testkit::defects::{Defect, Defective};

    fn argon() -> System {
        let positions = vec![Vec3::zeros(), Vec3::new(3.8, 0.1, 0.0), Vec3::new(1.0, 3.6, 0.4)];
        System::new(vec![Element::AR; 3], positions).unwrap()
    }

    const SOUND: LennardJones = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };

    #[test]
    fn gauss_legendre_integrates_polynomials_exactly() {
        for n in NODES {
            for power in 0..2 * n as i32 {
                let sum: f64 = gauss_legendre(n).iter().map(|(x, w)| w * x.powi(power)).sum();
                assert!((sum - 1.0 / f64::from(power + 1)).abs() < 1e-14, "{n} nodes, x^{power}: {sum}");
            }
        }
    }

    #[test]
    fn loop_work_is_zero_for_gradient_and_not_for_swirl() {
        let work = loop_work(&mut SOUND.clone(), &argon(), 0.1, 4, 1).unwrap();
        assert!(work.work_ev < 1e-12 && work.resolution_ev < 1e-10, "{work:?}");
        let scaled = Defect::ScaledForce { factor: 1.1 };
        let work = loop_work(&mut Defective::new(SOUND, scaled), &argon(), 0.1, 4, 1).unwrap();
        assert!(work.work_ev < 1e-12, "a multiple of a gradient is one: {work:?}");

        // Forces that change within 0.003 Å, far less than the length of an edge.
        let steep = Defect::Hole { depth_ev: 0.01, centre_angstrom: 3.8, width_angstrom: 0.003 };
        let work = loop_work(&mut Defective::new(SOUND, steep), &argon(), 0.1, 4, 1).unwrap();
        assert!(work.work_ev < 1e-7 && work.resolution_ev < 1e-5, "{work:?}");

        // The work of s z × x around a loop is 2 s times the area it encloses in the plane, summed over the atoms.
        let strength_ev_per_angstrom2 = 0.3;
        let swirl = Defect::Swirl { strength_ev_per_angstrom2 };
        let found = loop_work(&mut Defective::new(SOUND, swirl), &argon(), 0.1, 1, 5).unwrap();
        let mut random = SplitMix64::new(5);
        let a: Vec<Vec3> = (0..3).map(|_| random.in_cube(0.1)).collect();
        let b: Vec<Vec3> = (0..3).map(|_| random.in_cube(0.1)).collect();
        // Relative to the centroid, which moves along.
        let (ca, cb) = (a.iter().sum::<Vec3>() / 3.0, b.iter().sum::<Vec3>() / 3.0);
        let area: f64 = a.iter().zip(&b).map(|(a, b)| 0.5 * (a - ca).cross(&(b - cb)).z).sum();
        let expected = (2.0 * strength_ev_per_angstrom2 * area).abs();
        assert!(expected > 1e-4 && (found.work_ev - expected).abs() < 1e-10, "{found:?}, {expected}");
    }
}
