use md_core::{Potential, Request, System, Vec3};

use super::{ProbeError, centroid, evaluate_path, largest};
use crate::random::SplitMix64;

/// Largest jumps of energy and force along a path. For a smooth potential they are rounding errors.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Jumps {
    /// Jump of the energy.
    pub energy: EnergyJump,
    /// Jump of the forces.
    pub force: ForceJump,
}

/// A jump of the energy.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EnergyJump {
    /// Size, eV.
    pub size_ev: f64,
    /// Position along the path, Å.
    pub at_angstrom: f64,
}

/// A jump of the forces: the norm of the change of all forces.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ForceJump {
    /// Size, eV/Å.
    pub size_ev_per_angstrom: f64,
    /// Position along the path, Å.
    pub at_angstrom: f64,
}

impl Jumps {
    /// Returns the larger energy jump and the larger force jump of two paths; NaN counts as largest.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        let wins = |a: f64, b: f64| b > a || b.is_nan();
        Jumps {
            energy: if wins(self.energy.size_ev, other.energy.size_ev) { other.energy } else { self.energy },
            force: if wins(self.force.size_ev_per_angstrom, other.force.size_ev_per_angstrom) {
                other.force
            } else {
                self.force
            },
        }
    }
}

/// Number of parts of a path, so that a steep wall at one end does not hide a jump at the other, and number of
/// intervals bisected in each part, for the energy and for the force.
const PARTS: usize = 4;
const CANDIDATES: usize = 2;

/// Two points closer than this (Å) are the two sides of a jump.
const GAP_ANGSTROM: f64 = 1e-7;

/// The search ends when a jump of the energy can only be smaller than this, eV.
const NO_ENERGY_JUMP_EV: f64 = 1e-9;

/// The search ends when a jump of the force can only be smaller than this, eV/Å.
const NO_FORCE_JUMP_EV_PER_ANGSTROM: f64 = 1e-6;

/// A point of the path.
#[derive(Clone)]
struct Point {
    position_angstrom: f64,
    positions: Vec<Vec3>,
    energy_ev: f64,
    forces: Vec<Vec3>,
}

impl Point {
    /// Returns the energy change between two points that the trapezoidal work of the forces does not explain, eV.
    fn unexplained_ev(&self, other: &Point) -> f64 {
        let work: f64 = (0..self.positions.len())
            .map(|i| 0.5 * (self.forces[i] + other.forces[i]).dot(&(other.positions[i] - self.positions[i])))
            .sum();
        other.energy_ev - self.energy_ev + work
    }

    fn force_change(&self, other: &Point) -> Vec<Vec3> {
        self.forces.iter().zip(&other.forces).map(|(a, b)| b - a).collect()
    }
}

/// Norm of a vector of all atoms.
fn length(vectors: &[Vec3]) -> f64 {
    vectors.iter().map(Vec3::norm_squared).sum::<f64>().sqrt()
}

/// Finds the largest jumps of energy and force along `path`, which returns the positions at a distance (Å) between
/// `from` and `to`.
///
/// The path is sampled at `samples` intervals. If the potential is smooth, the energy change that the trapezoidal work
/// of the forces does not explain varies slowly from interval to interval, and so does the change of the forces. The
/// intervals that deviate most are bisected, always towards the half with the larger deviation, until the two points
/// are 1e-7 Å apart. The change across a steep but smooth wall vanishes in this limit, a jump remains.
///
/// # Errors
/// Any error of the potential.
pub fn largest_jumps(
    potential: &mut dyn Potential,
    system: &System,
    path: impl Fn(f64) -> Vec<Vec3>,
    range_angstrom: (f64, f64),
    samples: usize,
) -> Result<Jumps, ProbeError> {
    let (from, to) = range_angstrom;
    let step = (to - from) / samples as f64;
    let ats: Vec<f64> = (0..=samples).map(|k| from + step * k as f64).collect();
    let positions: Vec<Vec<Vec3>> = ats.iter().map(|&at| path(at)).collect();
    let answers = evaluate_path(potential, system, &positions, Request::FORCES)?;
    let points: Vec<Point> = ats
        .into_iter()
        .zip(positions)
        .zip(answers)
        .map(|((at, positions), (energy_ev, forces))| Point {
            position_angstrom: at,
            positions,
            energy_ev,
            forces,
        })
        .collect();
    let pairs = || points.windows(2).map(|w| (&w[0], &w[1]));
    if points.iter().any(|p| !p.energy_ev.is_finite()) {
        let nan = f64::NAN;
        return Ok(Jumps {
            energy: EnergyJump { size_ev: nan, at_angstrom: from },
            force: ForceJump { size_ev_per_angstrom: nan, at_angstrom: from },
        });
    }
    let energy: Vec<f64> = pairs().map(|(a, b)| a.unexplained_ev(b)).collect();
    let force: Vec<f64> = pairs().map(|(a, b)| length(&a.force_change(b))).collect();
    let mut narrow = |k: usize, halves: Halves| narrow(potential, system, &path, &points[k..=k + 1], halves);
    let mut jumps = Jumps::default();
    for k in outstanding(&energy) {
        let (size_ev, at_angstrom) = narrow(k, energy_in_halves)?;
        jumps = jumps.max(Jumps { energy: EnergyJump { size_ev, at_angstrom }, ..Jumps::default() });
    }
    for k in outstanding(&force) {
        let (size_ev_per_angstrom, at_angstrom) = narrow(k, force_in_halves)?;
        let force = ForceJump { size_ev_per_angstrom, at_angstrom };
        jumps = jumps.max(Jumps { force, ..Jumps::default() });
    }
    Ok(jumps)
}

/// Returns the indices of the values that deviate most from their neighbours (the cubic through two on either side),
/// some in every part.
fn outstanding(values: &[f64]) -> Vec<usize> {
    let last = values.len() as isize - 1;
    let excess = |k: usize| {
        let v = |offset: isize| values[(k as isize + offset).clamp(0, last) as usize];
        (v(0) - (4.0 * (v(-1) + v(1)) - v(-2) - v(2)) / 6.0).abs()
    };
    let mut chosen = Vec::new();
    for part in 0..PARTS {
        let mut order: Vec<usize> =
            (part * values.len() / PARTS..(part + 1) * values.len() / PARTS).collect();
        order.sort_by(|&a, &b| excess(b).total_cmp(&excess(a)));
        chosen.extend(order.into_iter().take(CANDIDATES));
    }
    chosen
}

/// Estimates, from three points in order, the size of a jump between the outer two, the size below which it is none,
/// and whether it is in the first half.
type Halves = fn(&Point, &Point, &Point) -> (f64, f64, bool);

fn energy_in_halves(low: &Point, middle: &Point, high: &Point) -> (f64, f64, bool) {
    let (first, second) = (low.unexplained_ev(middle).abs(), middle.unexplained_ev(high).abs());
    (largest([first, second]), NO_ENERGY_JUMP_EV, first >= second)
}

/// A steady change is the same in both halves.
fn force_in_halves(low: &Point, middle: &Point, high: &Point) -> (f64, f64, bool) {
    let (first, second) = (low.force_change(middle), middle.force_change(high));
    let unsteady: Vec<Vec3> = first.iter().zip(&second).map(|(a, b)| b - a).collect();
    (length(&unsteady), NO_FORCE_JUMP_EV_PER_ANGSTROM, length(&first) >= length(&second))
}

/// Bisects the interval between two points towards the jump until the points nearly coincide or no significant jump
/// remains. Returns its size and position.
fn narrow(
    potential: &mut dyn Potential,
    system: &System,
    path: &impl Fn(f64) -> Vec<Vec3>,
    ends: &[Point],
    halves: Halves,
) -> Result<(f64, f64), ProbeError> {
    let (mut low, mut high) = (ends[0].clone(), ends[1].clone());
    loop {
        let at = 0.5 * (low.position_angstrom + high.position_angstrom);
        let positions = path(at);
        let mut answers =
            evaluate_path(potential, system, std::slice::from_ref(&positions), Request::FORCES)?;
        let Some((energy_ev, forces)) = answers.pop() else { return Ok((f64::NAN, at)) };
        let middle = Point { position_angstrom: at, positions, energy_ev, forces };
        let (size, negligible, in_first) = halves(&low, &middle, &high);
        if size < negligible || high.position_angstrom - low.position_angstrom < GAP_ANGSTROM || size.is_nan()
        {
            return Ok((size, at));
        }
        if in_first {
            high = middle;
        } else {
            low = middle;
        }
    }
}

/// Jumps along rays, and the closest approach of the moving atoms to others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RayJumps {
    /// The largest jumps of all rays; `at` is the displacement of the atom.
    pub jumps: Jumps,
    /// The closest approach of all rays; `None` for a single atom.
    pub closest: Option<Approach>,
}

/// Closest approach of two atoms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Approach {
    /// The two atoms.
    pub atoms: [usize; 2],
    /// Their distance, Å.
    pub distance_angstrom: f64,
    /// The distance in sums of their covalent radii: a bond has about 1.
    pub radii: f64,
}

/// Maximum number of random directions tried for an atom.
const DIRECTIONS: usize = 256;

/// Contact distance of atoms without a bond, in sums of their covalent radii.
const CONTACT_RADII: f64 = 2.0;

/// Radius of elements without a tabulated one (Cordero et al. 2008), Å: that of curium, the last element listed.
const UNKNOWN_RADIUS_ANGSTROM: f64 = 1.69;

/// Finds the largest jumps as single atoms leave the molecule along `n` random rays, each `reach_angstrom` long, so
/// that every pair with the atom crosses every cutoff within reach.
///
/// A ray keeps a distance from every atom: the moving atom does not come closer to another one than it is at the start,
/// or than two sums of covalent radii (C-C 3.0 Å, H-H 1.2 Å), the contact distance without a bond. At shorter distances
/// any potential is steep, and no run gets there. An atom inside a cage has no such ray, and another one is used. The
/// outermost atom always has one: straight away from the centroid.
///
/// # Errors
/// Any error of the potential.
pub fn ray_jumps(
    potential: &mut dyn Potential,
    system: &System,
    n: usize,
    reach_angstrom: f64,
    seed: u64,
) -> Result<RayJumps, ProbeError> {
    const INTERVAL_ANGSTROM: f64 = 0.1;
    let mut worst = RayJumps { jumps: Jumps::default(), closest: None };
    for Ray { atom, direction } in rays(system, n, seed) {
        let path = |at: f64| {
            let mut positions = system.positions().to_vec();
            positions[atom] += direction * at;
            positions
        };
        let samples = (reach_angstrom / INTERVAL_ANGSTROM).ceil().max(4.0) as usize;
        let jumps = largest_jumps(potential, system, path, (0.0, reach_angstrom), samples)?;
        worst.jumps = worst.jumps.max(jumps);
        let approaches = worst.closest.into_iter().chain(approaches(system, atom, direction));
        worst.closest = approaches.min_by(|a, b| a.radii.total_cmp(&b.radii));
    }
    Ok(worst)
}

/// The path of one atom out of the molecule.
struct Ray {
    atom: usize,
    direction: Vec3,
}

/// Returns `n` rays that lead out of the molecule, for the atoms in a random order.
fn rays(system: &System, n: usize, seed: u64) -> Vec<Ray> {
    let mut random = SplitMix64::new(seed);
    let order = random.permutation(system.n_atoms());
    let mut rays = Vec::with_capacity(n);
    while rays.len() < n {
        let before = rays.len();
        for &atom in order.iter().take(n - before) {
            let mut directions = (0..DIRECTIONS).map(|_| random.rotation() * Vec3::x());
            let free = directions.find(|direction| leads_out(system, atom, direction));
            rays.extend(free.map(|direction| Ray { atom, direction }));
        }
        if rays.len() == before {
            let (atom, direction) = straight_out(system);
            rays.push(Ray { atom, direction });
        }
    }
    rays
}

/// Returns whether an atom keeps its distance from all others along a direction.
fn leads_out(system: &System, atom: usize, direction: &Vec3) -> bool {
    approaches(system, atom, *direction).all(|Approach { atoms: [_, other], distance_angstrom, radii }| {
        let start = (system.positions()[other] - system.positions()[atom]).norm();
        distance_angstrom >= start || radii >= CONTACT_RADII
    })
}

/// Returns the closest approach of an atom to each of the others along a direction.
fn approaches(system: &System, atom: usize, direction: Vec3) -> impl Iterator<Item = Approach> {
    let radius =
        |atom: usize| system.elements()[atom].covalent_radius_angstrom().unwrap_or(UNKNOWN_RADIUS_ANGSTROM);
    (0..system.n_atoms()).filter(move |&other| other != atom).map(move |other| {
        let away = system.positions()[other] - system.positions()[atom];
        let ahead = away.dot(&direction).max(0.0);
        let distance_angstrom = if ahead > 0.0 { (away - direction * ahead).norm() } else { away.norm() };
        Approach {
            atoms: [atom, other],
            distance_angstrom,
            radii: distance_angstrom / (radius(atom) + radius(other)),
        }
    })
}

/// Returns the outermost atom and the direction away from the centroid (any direction if it is the centroid itself).
pub(super) fn straight_out(system: &System) -> (usize, Vec3) {
    let centre = centroid(system);
    let distance = |atom: &usize| (system.positions()[*atom] - centre).norm();
    let outermost = (0..system.n_atoms()).max_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0);
    let outwards = system.positions()[outermost] - centre;
    (outermost, outwards.try_normalize(0.0).unwrap_or_else(Vec3::x))
}

#[cfg(test)]
mod tests;
