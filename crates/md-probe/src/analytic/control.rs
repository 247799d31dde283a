use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::PI;

use md_core::{
    Batch, Configuration, Element, Evaluation, Potential, PotentialError, Request, System, Vec3, bonds,
};

use super::{HarmonicAngle, HarmonicBond, check_each, evaluate_each};

/// Force constant of every bond, eV/Å². A carbon-carbon single bond has 23, a carbon-hydrogen bond 29 (OPLS-AA: twice
/// 268 and 340 kcal/mol/Å²; W. L. Jorgensen et al., J. Am. Chem. Soc. 118, 11225 (1996)).
pub(super) const BOND_STIFFNESS_EV_PER_ANGSTROM2: f64 = 25.0;

/// Force constant of every angle, eV/rad². H-C-H has 2.9, C-C-C 5.1 (OPLS-AA: twice 33 and 58 kcal/mol/rad²).
const ANGLE_STIFFNESS_EV_PER_RAD2: f64 = 4.0;

/// Force constants of the distance over every torsion, eV/Å², and of the volume that its three bonds span, eV/Å⁶. Without them
/// torsions turn freely, and a molecule of n degrees of freedom whose energy is n k_B T is hotter than T, since it has no
/// potential energy in them. The distance does not change where the four atoms lie in a plane, nor the volume where the planes of
/// the outer bonds are at right angles: together they are harmonic everywhere.
const TORSION_STIFFNESS_EV_PER_ANGSTROM2: f64 = 2.0;
const VOLUME_STIFFNESS_EV_PER_ANGSTROM6: f64 = 0.1;

/// Volume below which its size is smooth, Å³: a tenth of what thermal motion makes at 100 K.
const SMOOTH_BELOW_ANGSTROM3: f64 = 0.03;

/// Angles wider than this (160°) are treated as straight. [`HarmonicAngles`](super::HarmonicAngles) has a cusp at π,
/// which thermal motion must not reach: from 160° the barrier to it would be 0.24 eV, 6 k_B T at 500 K, and from a
/// wider angle less.
const STRAIGHT_ABOVE_RAD: f64 = 160.0 / 180.0 * PI;

/// The analytic control: harmonic bonds, angles and torsions with the given geometries of molecules as their minima.
///
/// `E = Σ_bonds ½ k_b (r - r₀)² + Σ_angles ½ k_a (θ - θ₀)² + Σ_torsions (½ k_t (r - r₀)² + ½ k_v (s - s₀)²)` with `k_b` =
/// 25 eV/Å², `k_a` = 4 eV/rad², `k_t` = 2 eV/Å² and `k_v` = 0.1 eV/Å⁶. Bonds are those found by [`bonds::find`] in the structure,
/// angles those between two bonds of one atom; torsions have the distance `r` of atoms that are three bonds apart and the
/// size `s` = √(v² + (0.03 Å³)²) of the volume `v` = a · (b × c) of three bonds in a row. `r₀`, `θ₀` and `s₀` are those of the
/// structure (θ₀ above 160° becomes 180°). It has no chemical meaning, but its forces are the exact
/// gradient and it conserves energy at 0.5 fs, so a validator that rejects it is wrong.
///
/// A batch contains no bonds, so each of its systems is matched to a molecule by its sequence of elements. This works
/// for any mixture and order of replicas, and after systems have left. A structure with the sequence and bonds of an
/// earlier one counts as another geometry of it, and the first geometry remains the reference.
///
/// ```
/// use md_core::*;
/// use md_probe::analytic::Control;
///
/// let water = System::new(
///     vec![Element::O, Element::H, Element::H],
///     vec![Vec3::zeros(), Vec3::new(0.96, 0.0, 0.0), Vec3::new(-0.24, 0.93, 0.0)],
/// )?;
/// let mut control = Control::new(std::slice::from_ref(&water))?;
/// let mut state = State::at_rest(&[water.clone(), water], &mut control)?;
/// assert_eq!(state.evaluation().energies, [0.0, 0.0]);
/// state.positions_mut()[4].x = 1.06; // one bond of the second replica stretched by 0.1 Å
/// state.evaluate(&mut control)?;
/// assert!((state.potential_energy_ev(1) - 0.125).abs() < 1e-14); // ½ 25 0.1²
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    molecules: BTreeMap<Vec<Element>, Molecule>,
}

/// Why a [`Control`] cannot be created. Structures and atoms are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Two molecules cannot be distinguished in a batch.
    #[error(
        "structures {first} and {second} have the same sequence of elements ({elements}) but different bonds, \
         so the control could not tell them apart: list the atoms of one of them in another order"
    )]
    Ambiguous {
        /// Index of the first structure.
        first: usize,
        /// Index of the second structure.
        second: usize,
        /// Their sequence of elements, as `"O H H"`.
        elements: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Molecule {
    structure: usize,
    pub(super) bonds: Vec<HarmonicBond>,
    pub(super) angles: Vec<HarmonicAngle>,
    pub(super) torsions: Vec<HarmonicBond>,
    pub(super) volumes: Vec<Volume>,
}

/// A spring on the volume that three bonds in a row span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Volume {
    pub(super) atoms: [usize; 4],
    v0_angstrom3: f64,
}

impl Volume {
    /// Adds the forces (eV/Å) and returns the energy, eV.
    pub(super) fn apply(&self, positions: &[Vec3], forces: &mut [Vec3]) -> f64 {
        let [a, b, c] = self.bonds(positions);
        let v = a.dot(&b.cross(&c));
        let size = size_angstrom3(v);
        let off = size - size_angstrom3(self.v0_angstrom3);
        let slope = VOLUME_STIFFNESS_EV_PER_ANGSTROM6 * off * v / size;
        // Forces on the bonds.
        let [a, b, c] = [b.cross(&c), c.cross(&a), a.cross(&b)].map(|of_v| of_v * slope);
        for (atom, force) in self.atoms.into_iter().zip([a, b - a, c - b, -c]) {
            forces[atom] += force;
        }
        0.5 * VOLUME_STIFFNESS_EV_PER_ANGSTROM6 * off * off
    }

    fn bonds(&self, positions: &[Vec3]) -> [Vec3; 3] {
        let [i, j, k, l] = self.atoms.map(|atom| positions[atom]);
        [j - i, k - j, l - k]
    }
}

impl Control {
    /// Creates a control for these molecules in these geometries.
    ///
    /// # Errors
    /// [`ControlError::Ambiguous`] if two of them have the same sequence of elements but different bonds.
    pub fn new(structures: &[System]) -> Result<Self, ControlError> {
        let mut molecules = BTreeMap::<Vec<Element>, Molecule>::new();
        for (structure, system) in structures.iter().enumerate() {
            let molecule = Molecule::new(structure, system);
            match molecules.get(system.elements()) {
                None => {
                    molecules.insert(system.elements().to_vec(), molecule);
                }
                Some(known) if known.has_the_bonds_of(&molecule) => {}
                Some(known) => {
                    return Err(ControlError::Ambiguous {
                        first: known.structure,
                        second: structure,
                        elements: sequence(system.elements()),
                    });
                }
            }
        }
        Ok(Control { molecules })
    }

    /// Returns the molecule of this sequence of elements.
    pub(super) fn molecule(&self, elements: &[Element]) -> Option<&Molecule> {
        self.molecules.get(elements)
    }
}

impl Molecule {
    fn new(structure: usize, system: &System) -> Self {
        let found = bonds::find(system, bonds::DEFAULT_SCALE);
        let mut partners = vec![Vec::new(); system.n_atoms()];
        for bond in &found {
            partners[bond.i].push(bond.j);
            partners[bond.j].push(bond.i);
        }
        let mut angles = Vec::new();
        for (vertex, ends) in partners.iter().enumerate() {
            for (n, &i) in ends.iter().enumerate() {
                for &j in &ends[n + 1..] {
                    let theta = angle_rad(system.positions(), [i, vertex, j]);
                    angles.push(HarmonicAngle {
                        atoms: [i, vertex, j],
                        stiffness_ev_per_rad2: ANGLE_STIFFNESS_EV_PER_RAD2,
                        theta0_rad: if theta > STRAIGHT_ABOVE_RAD { PI } else { theta },
                    });
                }
            }
        }
        let torsions = three_bonds_apart(&partners).into_iter().map(|[i, j]| HarmonicBond {
            atoms: [i, j],
            stiffness_ev_per_angstrom2: TORSION_STIFFNESS_EV_PER_ANGSTROM2,
            r0_angstrom: (system.positions()[j] - system.positions()[i]).norm(),
        });
        let torsions = torsions.collect();
        let bonds = found.into_iter().map(|bond| HarmonicBond {
            atoms: [bond.i, bond.j],
            stiffness_ev_per_angstrom2: BOND_STIFFNESS_EV_PER_ANGSTROM2,
            r0_angstrom: bond.length_angstrom,
        });
        let volume = |atoms: [usize; 4]| {
            let [a, b, c] = Volume { atoms, v0_angstrom3: 0.0 }.bonds(system.positions());
            Volume { atoms, v0_angstrom3: a.dot(&b.cross(&c)) }
        };
        let volumes = three_bonds_in_a_row(&partners).into_iter().map(volume).collect();
        Molecule { structure, bonds: bonds.collect(), angles, torsions, volumes }
    }

    fn has_the_bonds_of(&self, other: &Molecule) -> bool {
        self.bonds.iter().map(|b| b.atoms).eq(other.bonds.iter().map(|b| b.atoms))
    }
}

impl Potential for Control {
    fn name(&self) -> &str {
        "analytic control"
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        check_each(self.name(), batch, request, |elements| {
            if self.molecules.contains_key(elements) {
                Ok(())
            } else {
                Err(format!("it was built without a structure of the elements {}", sequence(elements)))
            }
        })
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.check(c.batch, request)?;
        evaluate_each(c, request, out, |elements, positions, forces| {
            let molecule = &self.molecules[elements];
            let bonds: f64 = molecule.bonds.iter().map(|b| b.apply(positions, forces)).sum();
            let angles: f64 = molecule.angles.iter().map(|a| a.apply(positions, forces)).sum();
            let torsions: f64 = molecule.torsions.iter().map(|b| b.apply(positions, forces)).sum();
            let volumes: f64 = molecule.volumes.iter().map(|v| v.apply(positions, forces)).sum();
            bonds + angles + torsions + volumes
        })
    }
}

/// Returns the pairs of atoms whose shortest path has three bonds; `partners` are the atoms bonded to each.
fn three_bonds_apart(partners: &[Vec<usize>]) -> Vec<[usize; 2]> {
    let mut pairs = Vec::new();
    for start in 0..partners.len() {
        let mut nearer = BTreeSet::from([start]);
        let mut shell = BTreeSet::from([start]);
        for _ in 0..3 {
            shell =
                shell.iter().flat_map(|&i| &partners[i]).copied().filter(|j| !nearer.contains(j)).collect();
            nearer.extend(&shell);
        }
        pairs.extend(shell.into_iter().filter(|&end| start < end).map(|end| [start, end]));
    }
    pairs
}

/// Returns the atoms of every path of three bonds, from one end alone; `partners` are the atoms bonded to each.
fn three_bonds_in_a_row(partners: &[Vec<usize>]) -> Vec<[usize; 4]> {
    let mut paths = Vec::new();
    for (j, of_j) in partners.iter().enumerate() {
        for &k in of_j.iter().filter(|&&k| j < k) {
            for &i in of_j.iter().filter(|&&i| i != k) {
                let ends = partners[k].iter().filter(|&&l| l != j && l != i);
                paths.extend(ends.map(|&l| [i, j, k, l]));
            }
        }
    }
    paths
}

/// Returns the size of a volume, the same for its mirror image: |v|, but smooth at zero.
fn size_angstrom3(v_angstrom3: f64) -> f64 {
    v_angstrom3.hypot(SMOOTH_BELOW_ANGSTROM3)
}

fn angle_rad(positions: &[Vec3], [i, vertex, j]: [usize; 3]) -> f64 {
    let (a, b) = (positions[i] - positions[vertex], positions[j] - positions[vertex]);
    a.cross(&b).norm().atan2(a.dot(&b))
}

pub(super) fn sequence(elements: &[Element]) -> String {
    elements.iter().map(|e| e.symbol()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;
    use md_core::State;
    use md_core::units::{AMU_ANGSTROM2_PER_FS2_IN_EV, BOLTZMANN_EV_PER_K};

    fn system(symbols: &str, positions: &[[f64; 3]]) -> System {
        let elements = symbols.split(' ').map(|s| s.parse().unwrap()).collect();
        System::new(elements, positions.iter().map(|&x| Vec3::from(x)).collect()).unwrap()
    }

    fn water() -> System {
        system("O H H", &[[0.0; 3], [0.9572, 0.0, 0.0], [-0.24, 0.9266, 0.0]])
    }

    fn carbon_dioxide() -> System {
        system("C O O", &[[0.0; 3], [1.16, 0.0, 0.0], [-1.16, 0.02, 0.0]])
    }

    fn methane() -> System {
        let (s, c) = (1.09 / 3.0_f64.sqrt(), "C H H H H");
        system(c, &[[0.0; 3], [s, s, s], [s, -s, -s], [-s, s, -s], [-s, -s, s]])
    }

    /// A three-membered ring with bond angles of 60°.
    fn cyclopropane() -> System {
        let mut positions = Vec::new();
        for (r, z) in [(0.872, 0.0), (1.456, 0.91), (1.456, -0.91)] {
            for i in 0..3 {
                let (sin, cos) = (f64::from(i) * std::f64::consts::TAU / 3.0).sin_cos();
                positions.push([r * cos, r * sin, z]);
            }
        }
        system("C C C H H H H H H", &positions)
    }

    #[test]
    fn control_finds_bonds_and_angles() {
        for (molecule, bonds, angles) in
            [(water(), 2, 1), (carbon_dioxide(), 2, 1), (methane(), 4, 6), (cyclopropane(), 9, 18)]
        {
            let found = Molecule::new(0, &molecule);
            assert_eq!((found.bonds.len(), found.angles.len()), (bonds, angles));
        }
        assert_eq!(Molecule::new(0, &carbon_dioxide()).angles[0].theta0_rad, PI, "taken to be straight");
        let water = Molecule::new(0, &water()).angles[0];
        assert_eq!(water.atoms, [1, 0, 2]);
        assert!((water.theta0_rad - (-0.24 / 0.24_f64.hypot(0.9266)).acos()).abs() < 1e-14);
    }

    #[test]
    fn control_resists_torsion() {
        let peroxide = |sin: f64, cos: f64| {
            system("O O H H", &[[0.0; 3], [1.45, 0.0, 0.0], [-0.3, 0.9, 0.0], [1.75, 0.9 * cos, 0.9 * sin]])
        };
        let trans = peroxide(0.0, -1.0);
        assert_eq!(three_bonds_apart(&[vec![1, 2], vec![0, 3], vec![0], vec![1]]), [[2, 3]]);
        assert_eq!(three_bonds_apart(&vec![vec![]; 3]), [[0; 2]; 0]);
        // Opposite corners of a ring of four are two bonds apart, of six three.
        let ring = |n: usize| (0..n).map(|i| vec![(i + 1) % n, (i + n - 1) % n]).collect::<Vec<_>>();
        assert_eq!((three_bonds_apart(&ring(4)), three_bonds_apart(&ring(6)).len()), (Vec::new(), 3));
        let mut control = Control::new(std::slice::from_ref(&trans)).unwrap();
        let state = State::at_rest(&[peroxide(1.0, 0.0)], &mut control).unwrap();
        // H-H is √(2.05² + 1.8²) Å in the structure and √(2.05² + 2 · 0.9²) Å after a quarter turn, when the bonds span
        // 0.9 · 1.45 · 0.9 Å³.
        let change = 2.05_f64.hypot(1.8) - (2.05_f64.powi(2) + 1.62).sqrt();
        let volume = size_angstrom3(0.9 * 1.45 * 0.9) - size_angstrom3(0.0);
        let expected = change * change + 0.05 * volume * volume;
        assert!((state.potential_energy_ev(0) - expected).abs() < 1e-12, "½ 2 Δr² + ½ 0.1 Δs²");
        assert_eq!(three_bonds_in_a_row(&[vec![1, 2], vec![0, 3], vec![0], vec![1]]), [[2, 0, 1, 3]]);
        assert_eq!(three_bonds_in_a_row(&ring(3)).len(), 0);
    }

    #[test]
    fn control_matches_systems_in_any_batch() {
        let known = [water(), methane(), carbon_dioxide()];
        let mut control = Control::new(&known).unwrap();
        let mixture = [methane(), water(), carbon_dioxide(), water(), methane()];
        let mut state = State::at_rest(&mixture, &mut control).unwrap();
        state.positions_mut()[12].x += 0.1; // an H of the second water
        state.evaluate(&mut control).unwrap();
        let energies = state.evaluation().energies.clone();
        assert!(energies[3] > 0.01, "{energies:?}");
        state.retain_systems(&[3, 4, 1]);
        state.evaluate(&mut control).unwrap();
        assert_eq!(state.evaluation().energies, [energies[3], energies[4], energies[1]]);
    }

    #[test]
    fn control_rejects_ambiguous_or_unknown_systems() {
        // H-O-O-H against O-O with both H on the first O.
        let peroxide = system("O O H H", &[[0.0; 3], [1.45, 0.0, 0.0], [-0.3, 0.9, 0.0], [1.75, -0.9, 0.0]]);
        let isomer = system("O O H H", &[[0.0; 3], [1.45, 0.0, 0.0], [-0.3, 0.9, 0.0], [-0.3, -0.9, 0.0]]);
        let error = Control::new(&[water(), peroxide.clone(), isomer]).unwrap_err();
        assert_eq!(error, ControlError::Ambiguous { first: 1, second: 2, elements: "O O H H".into() });
        let mut control = Control::new(&[water(), water()]).unwrap();
        let error = State::at_rest(&[water(), peroxide], &mut control).unwrap_err().to_string();
        assert!(error.contains("system 1 ") && error.contains("O O H H"), "{error}");
    }

    /// The conditions of a control run: 0.5 fs, 500 K, 2 ps, velocity Verlet.
    #[test]
    fn control_at_500_k_keeps_bonds_and_energy() {
        let molecules = [water(), carbon_dioxide(), methane(), cyclopropane()];
        let mut control = Control::new(&molecules).unwrap();
        let mut state = State::at_rest(&molecules, &mut control).unwrap();
        let masses = state.batch().masses_amu().to_vec();
        let mut random = SplitMix64::new(11);
        for (v, mass) in state.velocities_mut().iter_mut().zip(masses) {
            // Twice the kinetic energy at 500 K: half of it becomes potential energy.
            let variance = 1000.0 * BOLTZMANN_EV_PER_K / (mass * AMU_ANGSTROM2_PER_FS2_IN_EV);
            *v = random.in_cube((3.0 * variance).sqrt());
        }
        let total = |state: &State, s| state.potential_energy_ev(s) + state.kinetic_energy_ev(s);
        let start: Vec<f64> = (0..molecules.len()).map(|s| total(&state, s)).collect();
        let (mut longest, mut deviation) = (0.0_f64, 0.0_f64);
        for _ in 0..4000 {
            state.kick(0.25);
            state.drift(0.5);
            state.evaluate(&mut control).unwrap();
            state.kick(0.25);
            for (s, atoms) in state.batch().ranges().enumerate() {
                let x = &state.positions()[atoms.clone()];
                for bond in &control.molecules[molecules[s].elements()].bonds {
                    let ratio = (x[bond.atoms[0]] - x[bond.atoms[1]]).norm() / bond.r0_angstrom;
                    longest = longest.max(ratio);
                }
                deviation = deviation.max((total(&state, s) - start[s]).abs() / atoms.len() as f64);
            }
        }
        assert!(longest < 1.25, "{longest}");
        assert!(deviation < 5e-3, "{deviation} eV per atom");
    }
}
