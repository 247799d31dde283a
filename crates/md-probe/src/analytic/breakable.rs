use md_core::{Batch, Configuration, Element, Evaluation, Potential, PotentialError, Request, System, Vec3};

use super::control::{Control, ControlError, Molecule, Volume, sequence};
use super::pair::{all_pairs, pair};
use super::{HarmonicAngle, HarmonicBond, check_each, evaluate_each};

/// Depth of every bond, eV; C-H has 4.5.
const DEPTH_EV: f64 = 4.5;

/// A bond that is longer than its length at rest holds angles and torsions less; from this many times that length on not at all.
const LOOSE: f64 = 1.5;

/// Energy of two atoms at half the distance from which on they repel each other, eV.
const WALL_EV: f64 = 1.0;

/// Distance from which on two atoms repel each other, in sums of covalent radii where they are not bonded, and in lengths at rest
/// where they are.
const WALL_OF_RADII: f64 = 1.2;
const WALL_OF_BOND: f64 = 0.8;

/// Molecules whose bonds break and whose atoms repel each other: the [`Control`] without its springs that hold forever.
///
/// `E = Σ_bonds D (1 - e^(-a (r - r₀)))² + Σ_angles s s V + Σ_torsions s s s V + Σ_pairs ε (r_w / r - 1)⁴` with D = 4.5 eV, `a =
/// √(k_b / 2 D)` for the stiffness k_b of the control's bonds, and the last sum over all pairs closer than `r_w`, with ε = 1 eV. An
/// angle of the control is `V = ½ k_a ((cos θ - cos θ₀) / sin θ₀)²`, or `k_a (1 + cos θ)` if it is straight; torsions are those of the
/// control. Each is multiplied by an `s` for every bond it rests on, `1 - 10 x³ + 15 x⁴ - 6 x⁵` with `x` from 0 at r₀ to 1 at 1.5
/// r₀, so that energies are of many bodies and twice continuously differentiable everywhere but where atoms meet.
///
/// Two atoms that are no molecule it was created with have a bond of the sum of their covalent radii. Elsewhere it knows
/// molecules by the order of their atoms, as the control does.
///
/// Like the control it is correct and without chemical meaning: a validator that rejects it is wrong, also where atoms come close
/// or leave.
///
/// ```
/// use md_core::*;
/// use md_probe::analytic::Breakable;
///
/// let hydrogen = |r| System::new(vec![Element::H; 2], vec![Vec3::zeros(), Vec3::new(r, 0.0, 0.0)]);
/// let mut breakable = Breakable::new(&[hydrogen(0.74)?])?;
/// let state = State::at_rest(&[hydrogen(0.74)?, hydrogen(10.0)?], &mut breakable)?;
/// assert_eq!(state.potential_energy_ev(0), 0.0);
/// assert!((state.potential_energy_ev(1) - 4.5).abs() < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Breakable(Control);

impl Breakable {
    /// Creates the potential for these molecules in these geometries.
    ///
    /// # Errors
    /// See [`Control::new`].
    pub fn new(structures: &[System]) -> Result<Self, ControlError> {
        Ok(Breakable(Control::new(structures)?))
    }

    /// Length at rest of two atoms that are no molecule, or one in the other order.
    fn length_of_two(&self, elements: &[Element]) -> Option<f64> {
        let [a, b] = *elements else { return None };
        match self.0.molecule(&[b, a]).and_then(|molecule| molecule.bonds.first()) {
            Some(bond) => Some(bond.r0_angstrom),
            None => Some(a.covalent_radius_angstrom()? + b.covalent_radius_angstrom()?),
        }
    }
}

impl Potential for Breakable {
    fn name(&self) -> &str {
        "breakable molecules"
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        check_each(self.name(), batch, request, |elements| {
            let known = self.0.molecule(elements).is_some() || self.length_of_two(elements).is_some();
            let unknown =
                || format!("it was built without a structure of the elements {}", sequence(elements));
            known.then_some(()).ok_or_else(unknown)
        })
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.check(c.batch, request)?;
        evaluate_each(c, request, out, |elements, positions, forces| match self.0.molecule(elements) {
            Some(molecule) => of_molecule(molecule, elements, positions, forces),
            None => {
                let r0_angstrom = self.length_of_two(elements).unwrap_or_default();
                pair(positions, forces, 0, 1, |r| {
                    let (bond, wall) = (morse(r, r0_angstrom), wall(r, WALL_OF_BOND * r0_angstrom));
                    (bond.0 + wall.0, bond.1 + wall.1)
                })
            }
        })
    }
}

fn of_molecule(molecule: &Molecule, elements: &[Element], positions: &[Vec3], forces: &mut [Vec3]) -> f64 {
    let mut energy = 0.0;
    let bond = |i: usize, j: usize| molecule.bonds.iter().find(|b| b.atoms == [i.min(j), i.max(j)]);
    for (i, j) in all_pairs(positions.len()) {
        energy += match bond(i, j) {
            Some(HarmonicBond { r0_angstrom, .. }) => pair(positions, forces, i, j, |r| {
                let (bond, wall) = (morse(r, *r0_angstrom), wall(r, WALL_OF_BOND * r0_angstrom));
                (bond.0 + wall.0, bond.1 + wall.1)
            }),
            None => {
                let radius = |atom: usize| elements[atom].covalent_radius_angstrom().unwrap_or_default();
                let from = WALL_OF_RADII * (radius(i) + radius(j));
                pair(positions, forces, i, j, |r| wall(r, from))
            }
        };
    }
    for angle in &molecule.angles {
        let [i, vertex, j] = angle.atoms;
        let held = [bond(i, vertex), bond(vertex, j)];
        energy += held_by(&held, positions, forces, |forces| bend(angle, positions, forces));
    }
    for spring in &molecule.torsions {
        // Every path of three bonds between the two holds its share.
        let [i, l] = spring.atoms;
        let ends = |v: &&Volume| [v.atoms[0], v.atoms[3]] == [i, l] || [v.atoms[3], v.atoms[0]] == [i, l];
        let paths: Vec<&Volume> = molecule.volumes.iter().filter(ends).collect();
        for path in &paths {
            energy += held_by(&bonds_of(path, &bond), positions, forces, |forces| {
                let share = 1.0 / paths.len() as f64;
                let stiffness_ev_per_angstrom2 = share * spring.stiffness_ev_per_angstrom2;
                HarmonicBond { stiffness_ev_per_angstrom2, ..*spring }.apply(positions, forces)
            });
        }
    }
    for volume in &molecule.volumes {
        let held = bonds_of(volume, &bond);
        energy += held_by(&held, positions, forces, |forces| volume.apply(positions, forces));
    }
    energy
}

fn bonds_of<'a>(
    path: &Volume,
    bond: &impl Fn(usize, usize) -> Option<&'a HarmonicBond>,
) -> [Option<&'a HarmonicBond>; 3] {
    let [i, j, k, l] = path.atoms;
    [bond(i, j), bond(j, k), bond(k, l)]
}

/// Energy and slope of a bond at distance r.
fn morse(r: f64, r0_angstrom: f64) -> (f64, f64) {
    let steepness = (super::control::BOND_STIFFNESS_EV_PER_ANGSTROM2 / (2.0 * DEPTH_EV)).sqrt();
    let decay = (-steepness * (r - r0_angstrom)).exp();
    (DEPTH_EV * (1.0 - decay).powi(2), 2.0 * DEPTH_EV * steepness * decay * (1.0 - decay))
}

/// Energy and slope of the repulsion at distance r.
fn wall(r: f64, from_angstrom: f64) -> (f64, f64) {
    if r >= from_angstrom {
        return (0.0, 0.0);
    }
    let x = from_angstrom / r - 1.0;
    (WALL_EV * x.powi(4), -4.0 * WALL_EV * x.powi(3) * from_angstrom / (r * r))
}

/// How much a bond of length r holds, and its slope.
fn hold(r: f64, r0_angstrom: f64) -> (f64, f64) {
    let range = (LOOSE - 1.0) * r0_angstrom;
    let x = ((r - r0_angstrom) / range).clamp(0.0, 1.0);
    (1.0 - x.powi(3) * (10.0 - 15.0 * x + 6.0 * x * x), -30.0 * (x * (1.0 - x)).powi(2) / range)
}

/// Adds the forces of a term that these bonds hold, and returns its energy.
fn held_by(
    bonds: &[Option<&HarmonicBond>],
    positions: &[Vec3],
    forces: &mut [Vec3],
    term: impl FnOnce(&mut [Vec3]) -> f64,
) -> f64 {
    let bonds: Vec<&HarmonicBond> = bonds.iter().copied().flatten().collect();
    let length = |b: &HarmonicBond| (positions[b.atoms[1]] - positions[b.atoms[0]]).norm();
    let holds: Vec<(f64, f64)> = bonds.iter().map(|b| hold(length(b), b.r0_angstrom)).collect();
    let whole: f64 = holds.iter().map(|hold| hold.0).product();
    let mut own = vec![Vec3::zeros(); forces.len()];
    let energy = term(&mut own);
    forces.iter_mut().zip(&own).for_each(|(force, own)| *force += own * whole);
    for (n, (bond, (_, slope))) in bonds.iter().zip(&holds).enumerate() {
        let others: f64 = holds.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, hold)| hold.0).product();
        let [i, j] = bond.atoms;
        pair(positions, forces, i, j, |_| (0.0, energy * slope * others));
    }
    energy * whole
}

/// Adds the forces of an angle that is smooth for all angles, and returns its energy.
fn bend(angle: &HarmonicAngle, positions: &[Vec3], forces: &mut [Vec3]) -> f64 {
    let [i, vertex, j] = angle.atoms;
    let (a, b) = (positions[i] - positions[vertex], positions[j] - positions[vertex]);
    let (a_length, b_length) = (a.norm(), b.norm());
    let (a, b) = (a / a_length, b / b_length);
    let cos = a.dot(&b);
    let stiffness = angle.stiffness_ev_per_rad2;
    let (sin0, cos0) = angle.theta0_rad.sin_cos();
    let (energy, slope) = if angle.theta0_rad == std::f64::consts::PI {
        (stiffness * (1.0 + cos), stiffness)
    } else {
        let off = (cos - cos0) / (sin0 * sin0);
        (0.5 * stiffness * off * (cos - cos0), stiffness * off)
    };
    let (of_i, of_j) = ((a * cos - b) * (slope / a_length), (b * cos - a) * (slope / b_length));
    forces[i] += of_i;
    forces[j] += of_j;
    forces[vertex] -= of_i + of_j;
    energy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;
    use md_core::State;

    fn ethane() -> System {
        let text = "C 0 0 0.7623, C 0 0 -0.7623, H 0 1.019 1.157, H -0.8825 -0.5095 1.157, H 0.8825 -0.5095 1.157, \
                    H 0 -1.019 -1.157, H -0.8825 0.5095 -1.157, H 0.8825 0.5095 -1.157";
        let (elements, positions) = text
            .split(", ")
            .map(|atom| {
                let mut words = atom.split_whitespace();
                let element: Element = words.next().unwrap().parse().unwrap();
                (element, Vec3::from_iterator(words.map(|x| x.parse::<f64>().unwrap())))
            })
            .unzip();
        System::new(elements, positions).unwrap()
    }

    /// At rest, shaken, with a bond half broken, and with two atoms on each other's walls.
    #[test]
    fn breakable_force_is_the_gradient_everywhere() {
        let mut breakable = Breakable::new(&[ethane()]).unwrap();
        let mut random = SplitMix64::new(3);
        for (shaken, move_h) in [(0.0, 0.0), (0.15, 0.0), (0.05, 0.35), (0.05, 2.0), (0.05, -0.6)] {
            let mut positions: Vec<Vec3> =
                ethane().positions().iter().map(|x| x + random.in_cube(shaken)).collect();
            positions[2].y += move_h;
            let system = ethane().with_positions(positions).unwrap();
            let found = crate::force_gradient(&mut breakable, &system, 1e-4).unwrap();
            assert!(found.max_ev_per_angstrom < 1e-6, "{shaken} {move_h}: {found:?}");
        }
    }

    #[test]
    fn breakable_rests_in_its_structure_and_breaks() {
        let mut breakable = Breakable::new(&[ethane()]).unwrap();
        let at_rest = State::at_rest(&[ethane()], &mut breakable).unwrap();
        assert!(at_rest.potential_energy_ev(0).abs() < 1e-12);
        assert!(at_rest.evaluation().forces.iter().all(|f| f.norm() < 1e-12));
        // The methyl groups apart: one bond is broken, and nothing holds across it.
        let mut positions = ethane().positions().to_vec();
        [0, 2, 3, 4].into_iter().for_each(|atom| positions[atom].z += 20.0);
        let apart = State::at_rest(&[ethane().with_positions(positions).unwrap()], &mut breakable).unwrap();
        assert!((apart.potential_energy_ev(0) - DEPTH_EV).abs() < 1e-9, "{}", apart.potential_energy_ev(0));
    }
}
