//! Barriers inside a molecule that lead to wells: along its bonds, and between atoms that are brought together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use md_core::bonds::{self, Bond};
use md_core::{Batch, Configuration, Element, Evaluation, Potential, Request, System, Vec3, neighbours};

use super::barrier::{Barrier, FALL_EV, Fall, climb};
use super::jumps::Approach;
use super::{ProbeError, ask, evaluate_path};

/// Atoms closer than this many sums of covalent radii are bonded. The bond of H₂ has 1.2, a hydrogen bond 1.9.
pub const BONDED_RADII: f64 = 1.3;

/// Distance between the points of a bond scan, Å: a well of a width of 0.03 Å shows three quarters of its depth.
const SPACING_ANGSTROM: f64 = 0.03;

/// Shortest length of a bond that is looked at, in sums of covalent radii.
const SHORTEST_RADII: f64 = 0.3;

/// Longest length, in lengths at the minimum: beyond it a run counts as diverged.
const LONGEST_RATIO: f64 = 2.0;

/// Number of points of a scan that are asked for together.
const AT_ONCE: usize = 6;

/// Number of bonds up to which every one is scanned; of more, one of each kind.
const MOST_BONDS: usize = 100;

/// Atoms farther apart than this are not brought together, Å.
const FARTHEST_ANGSTROM: f64 = 4.0;

/// Atoms that are brought together are in a well from this distance on, in sums of covalent radii, if the molecule is more
/// stable there. Hydrogen bonds are longer.
const JOINED_RADII: f64 = 1.5;

/// A state lower than this below the minimum is a well at any distance, eV: other conformers and hydrogen bonds are worth less.
const DEEP_EV: f64 = 1.0;

/// Distance at which atoms count as brought together, in sums of covalent radii: no bond is shorter.
const TOGETHER_RADII: f64 = 0.7;

/// Steps by which atoms are brought together, Å: those beyond 2 sums of covalent radii, where nothing is steep, and nearer
/// ones. Relaxations of the other coordinates in each.
const LONG_APPROACH_ANGSTROM: f64 = 0.2;
const APPROACH_ANGSTROM: f64 = 0.08;
const RELAXATIONS: usize = 5;

/// The first step of a relaxation along the forces (Å²/eV), the longest, and how far an atom moves at most (Å).
const FIRST_STEP: f64 = 0.01;
const LONGEST_STEP: f64 = 0.3;
const FARTHEST_MOVE_ANGSTROM: f64 = 0.1;

/// Result of the search for wells on the paths of a molecule.
#[derive(Debug, Clone, PartialEq)]
pub struct Wells {
    /// The lowest barrier that leads to one, up to the ceiling.
    pub lowest: Option<Well>,
    /// Number of paths.
    pub paths: usize,
    /// Closest approach of two atoms on all paths, in sums of covalent radii.
    pub closest: Option<Approach>,
    /// Highest energy on all paths above the start, eV.
    pub highest_ev: f64,
}

/// A well, and the barrier in front of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Well {
    /// The two atoms whose distance changes; the places of the barrier are their distances.
    pub atoms: [usize; 2],
    /// The barrier. Without a fall two atoms can be pushed together over it.
    pub barrier: Barrier,
}

impl Wells {
    fn new() -> Self {
        Wells { lowest: None, paths: 0, closest: None, highest_ev: 0.0 }
    }

    fn add(&mut self, atoms: [usize; 2], barrier: Barrier) {
        if self.lowest.as_ref().is_none_or(|known| barrier.is_lower_than(&known.barrier)) {
            self.lowest = Some(Well { atoms, barrier });
        }
    }

    /// Takes note of the energy above the start and of the bonds of a point.
    fn note(&mut self, above_ev: f64, system: &System, bonds: &[Bond]) {
        self.highest_ev = self.highest_ev.max(above_ev);
        let elements = system.elements();
        for bond in bonds {
            let Some(contact) = contact_angstrom(elements[bond.i], elements[bond.j]) else { continue };
            let radii = bond.length_angstrom / contact;
            if self.closest.is_none_or(|known| radii < known.radii) {
                let (atoms, distance_angstrom) = ([bond.i, bond.j], bond.length_angstrom);
                self.closest = Some(Approach { atoms, distance_angstrom, radii });
            }
        }
    }
}

/// Stretches and squeezes bonds of a molecule from its minimum, as far as the energy stays below `ceiling_ev` above it.
///
/// What is on one side of a bond moves rigidly along it. The two atoms of a bond in a ring move apart by half the
/// change each, with all that hangs on them outside the ring. A path ends at 0.3 sums of covalent radii, at twice the
/// length, where the energy exceeds the ceiling, and where another pair of atoms comes within 1.3 sums of covalent
/// radii: what follows is the chemistry of that pair, such as the transfer of a proton. Of more than 100 bonds one of
/// each kind (elements, and elements of all neighbours) is scanned.
///
/// # Errors
/// Any error of the potential.
pub fn bond_wells(
    potential: &mut dyn Potential,
    minimum: &System,
    bonds: &[Bond],
    ceiling_ev: f64,
) -> Result<Wells, ProbeError> {
    let graph = Graph::new(minimum.n_atoms(), bonds);
    let start_ev = super::evaluate(potential, minimum)?.energies[0];
    let bonded: BTreeSet<[usize; 2]> = pairs(&bonds::find(minimum, BONDED_RADII));
    let mut wells = Wells::new();
    for bond in graph.representatives(minimum.elements(), bonds) {
        let Some(contact) = contact_angstrom(minimum.elements()[bond.i], minimum.elements()[bond.j]) else {
            continue;
        };
        let positions = minimum.positions();
        let apart = positions[bond.j] - positions[bond.i];
        let length = apart.norm();
        let axis = apart / length;
        let shares = graph.shares(bond);
        let moved = |r: f64| -> Vec<Vec3> {
            let change = axis * (r - length);
            positions.iter().zip(&shares).map(|(x, share)| x + change * *share).collect()
        };
        for (end, step) in
            [(LONGEST_RATIO * length, SPACING_ANGSTROM), (SHORTEST_RADII * contact, -SPACING_ANGSTROM)]
        {
            wells.paths += 1;
            let mut points = vec![[length, start_ev]];
            let lengths: Vec<f64> =
                (1..).map(|k| length + step * f64::from(k)).take_while(|r| (r - end) * step < 0.0).collect();
            let mut repelled = false;
            'path: for places in lengths.chunks(AT_ONCE) {
                let paths: Vec<Vec<Vec3>> = places.iter().map(|r| moved(*r)).collect();
                let answers = evaluate_path(potential, minimum, &paths, Request::ENERGY)?;
                for ((r, (energy, _)), positions) in places.iter().zip(answers).zip(paths) {
                    let system = minimum.clone().with_positions(positions)?;
                    let now = bonds::find(&system, BONDED_RADII);
                    if pairs(&now).iter().any(|p| *p != [bond.i, bond.j] && !bonded.contains(p)) {
                        repelled = true;
                        break 'path;
                    }
                    points.push([*r, energy]);
                    wells.note(energy - start_ev, &system, &now);
                    if energy - start_ev > ceiling_ev || !energy.is_finite() {
                        repelled = true;
                        break 'path;
                    }
                }
            }
            let barrier = climb(&points, |places| {
                let paths: Vec<Vec<Vec3>> = places.iter().map(|r| moved(*r)).collect();
                let answers = evaluate_path(potential, minimum, &paths, Request::ENERGY)?;
                Ok(answers.into_iter().map(|(energy, _)| energy).collect())
            })?;
            let pushed_together = step < 0.0 && !repelled;
            if barrier.fall.is_some() || barrier.height_ev.is_nan() || pushed_together {
                wells.add([bond.i, bond.j], barrier);
            }
        }
    }
    Ok(wells)
}

/// Brings atoms without a bond together, as far as the energy stays below `ceiling_ev` above the minimum, while all
/// other coordinates relax.
///
/// Of every pair of elements the pair of atoms that is nearest in sums of covalent radii, and the nearest that more than two
/// bonds separate, up to 4 Å. A well is a state in which the two are within 1.5 sums of covalent radii, and whose energy is
/// more than [`FALL_EV`] below that of the minimum and of every state on the way in which they are not, or a state more than 1 eV
/// below the minimum. Other conformers and hydrogen bonds (1.6 sums and more) are no such states, nor is a proton on
/// another atom unless the molecule is more stable so. The relaxation is not complete, so that the barrier is at least as
/// high as that of the best path.
///
/// # Errors
/// Any error of the potential.
pub fn contact_wells(
    potential: &mut dyn Potential,
    minimum: &System,
    bonds: &[Bond],
    ceiling_ev: f64,
) -> Result<Wells, ProbeError> {
    let graph = Graph::new(minimum.n_atoms(), bonds);
    let start_ev = super::evaluate(potential, minimum)?.energies[0];
    let mut wells = Wells::new();
    let mut ways: Vec<Way> = graph
        .contacts(minimum)
        .into_iter()
        .map(|Contact { atoms, contact, .. }| Way::new(minimum, atoms, contact, start_ev))
        .collect();
    wells.paths = ways.len();
    loop {
        let mut active: Vec<&mut Way> = ways.iter_mut().filter(|way| !way.ended).collect();
        if active.is_empty() {
            break;
        }
        for way in &mut active {
            way.shorten();
        }
        for _ in 0..RELAXATIONS {
            relax_once(potential, minimum, &mut active)?;
        }
        for way in &mut active {
            way.arrive(start_ev, ceiling_ev);
            let system = minimum.clone().with_positions(way.best.1.clone())?;
            wells.note(way.best.0 - start_ev, &system, &bonds::find(&system, BONDED_RADII));
        }
    }
    for way in ways {
        if let Some(barrier) = way.barrier() {
            wells.add(way.atoms, barrier);
        }
    }
    Ok(wells)
}

/// One pair of atoms that is brought together.
struct Way {
    atoms: [usize; 2],
    /// Sum of their covalent radii, Å.
    contact: f64,
    distance: f64,
    positions: Vec<Vec3>,
    /// Positions and forces before the last relaxation at this distance.
    previous: Option<(Vec<Vec3>, Vec<Vec3>)>,
    /// The lowest energy at this distance, and its positions.
    best: (f64, Vec<Vec3>),
    /// Distance and energy at every distance so far.
    points: Vec<[f64; 2]>,
    ended: bool,
}

impl Way {
    fn new(minimum: &System, atoms: [usize; 2], contact: f64, start_ev: f64) -> Self {
        let positions = minimum.positions().to_vec();
        let distance = (positions[atoms[1]] - positions[atoms[0]]).norm();
        let best = (start_ev, positions.clone());
        let points = vec![[distance, start_ev]];
        Way { atoms, contact, distance, positions, previous: None, best, points, ended: false }
    }

    fn axis(&self) -> Vec3 {
        let [a, b] = self.atoms;
        (self.positions[b] - self.positions[a]).normalize()
    }

    fn shorten(&mut self) {
        let is_far = self.distance > 2.0 * self.contact + LONG_APPROACH_ANGSTROM;
        self.distance -= if is_far { LONG_APPROACH_ANGSTROM } else { APPROACH_ANGSTROM };
        self.positions.clone_from(&self.best.1);
        self.best.0 = f64::INFINITY;
        self.previous = None;
        self.hold();
    }

    /// Puts the two atoms at their distance.
    fn hold(&mut self) {
        let [a, b] = self.atoms;
        let half = self.axis() * (0.5 * self.distance);
        let middle = (self.positions[a] + self.positions[b]) * 0.5;
        self.positions[a] = middle - half;
        self.positions[b] = middle + half;
    }

    /// Moves along the forces, but for the distance of the two atoms; the length of the step is that of J. Barzilai and J. M.
    /// Borwein, IMA J. Numer. Anal. 8, 141 (1988).
    fn step(&mut self, energy_ev: f64, mut forces: Vec<Vec3>) {
        if self.best.0.is_nan() {
            return;
        }
        if energy_ev < self.best.0 || energy_ev.is_nan() {
            self.best = (energy_ev, self.positions.clone());
        }
        let ([a, b], axis) = (self.atoms, self.axis());
        let along = axis * (0.5 * (forces[b] - forces[a]).dot(&axis));
        forces[a] += along;
        forces[b] -= along;
        let length = match &self.previous {
            Some((positions, before)) => {
                let moved = || self.positions.iter().zip(positions).map(|(x, y)| x - y);
                let change: f64 =
                    moved().zip(forces.iter().zip(before)).map(|(s, (f, g))| s.dot(&(g - f))).sum();
                let squared: f64 = moved().map(|s| s.norm_squared()).sum();
                // Where the surface is not convex the quotient is no length of a step.
                if change > 0.0 { (squared / change).min(LONGEST_STEP) } else { FIRST_STEP }
            }
            None => FIRST_STEP,
        };
        let longest = forces.iter().map(Vec3::norm).fold(0.0, f64::max);
        let length = length.min(FARTHEST_MOVE_ANGSTROM / longest.max(1e-9));
        self.previous = Some((self.positions.clone(), forces.clone()));
        self.positions.iter_mut().zip(&forces).for_each(|(x, f)| *x += f * length);
        self.hold();
    }

    /// Ends a distance, and the way if it leads too high or no further.
    fn arrive(&mut self, start_ev: f64, ceiling_ev: f64) {
        self.points.push([self.distance, self.best.0]);
        let inside = self.best.0 - start_ev < ceiling_ev;
        self.ended = !inside || self.distance - APPROACH_ANGSTROM < TOGETHER_RADII * self.contact;
    }

    /// The barrier in front of the first state that is a well. Its error is what every second point alone would change.
    fn barrier(&self) -> Option<Barrier> {
        let mut found = barrier_of(&self.points, JOINED_RADII * self.contact)?;
        let halves = [0, 1].map(|first| {
            let every_second =
                std::iter::once(&self.points[0]).chain(self.points[1..].iter().skip(first).step_by(2));
            barrier_of(&every_second.copied().collect::<Vec<_>>(), JOINED_RADII * self.contact)
        });
        if let [Some(one), Some(other)] = halves {
            found.error_ev = (one.height_ev - other.height_ev).abs();
        }
        Some(found)
    }
}

fn barrier_of(points: &[[f64; 2]], joined_angstrom: f64) -> Option<Barrier> {
    // The lowest state without the bond, the largest rise above such a state, and where it ends.
    let (mut low_ev, mut height_ev, mut top) = (points[0][1], 0.0, 0);
    for (k, &[distance, energy]) in points.iter().enumerate() {
        if energy.is_nan() {
            return Some(Barrier { height_ev: f64::NAN, error_ev: f64::NAN, fall: None });
        }
        if energy - low_ev > height_ev {
            (height_ev, top) = (energy - low_ev, k);
        }
        let is_deep = energy < points[0][1] - DEEP_EV;
        if is_deep || (distance <= joined_angstrom && energy < low_ev - FALL_EV) {
            let bottom = points[top..].iter().min_by(|a, b| a[1].total_cmp(&b[1])).unwrap_or(&points[k]);
            return Some(Barrier {
                height_ev,
                error_ev: 0.0,
                fall: Some(Fall {
                    depth_ev: points[top][1] - bottom[1],
                    bottom_ev: bottom[1] - points[0][1],
                    top_angstrom: points[top][0],
                    bottom_angstrom: bottom[0],
                }),
            });
        }
        if distance > joined_angstrom {
            low_ev = low_ev.min(energy);
        }
    }
    None
}

/// One step of the relaxation of all ways, in one batch.
fn relax_once(
    potential: &mut dyn Potential,
    minimum: &System,
    ways: &mut [&mut Way],
) -> Result<(), ProbeError> {
    let batch = Batch::new(&vec![minimum.clone(); ways.len()]);
    let positions: Vec<Vec3> = ways.iter().flat_map(|way| way.positions.iter().copied()).collect();
    let mut out = Evaluation::default();
    ask(potential, Configuration { batch: &batch, positions: &positions }, Request::FORCES, &mut out)?;
    for ((way, energy), atoms) in ways.iter_mut().zip(&out.energies).zip(batch.ranges()) {
        way.step(*energy, out.forces[atoms].to_vec());
    }
    Ok(())
}

fn contact_angstrom(a: Element, b: Element) -> Option<f64> {
    Some(a.covalent_radius_angstrom()? + b.covalent_radius_angstrom()?)
}

fn pairs(bonds: &[Bond]) -> BTreeSet<[usize; 2]> {
    bonds.iter().map(|b| [b.i, b.j]).collect()
}

/// The atoms of a molecule and its bonds.
struct Graph {
    neighbours: Vec<Vec<usize>>,
}

impl Graph {
    fn new(n_atoms: usize, bonds: &[Bond]) -> Self {
        let mut neighbours = vec![Vec::new(); n_atoms];
        for bond in bonds {
            neighbours[bond.i].push(bond.j);
            neighbours[bond.j].push(bond.i);
        }
        Graph { neighbours }
    }

    /// Returns the atoms that can be reached from one over the bonds that are allowed.
    fn reached(&self, from: usize, allowed: impl Fn(usize, usize) -> bool) -> BTreeSet<usize> {
        let mut reached = BTreeSet::from([from]);
        let mut next = VecDeque::from([from]);
        while let Some(atom) = next.pop_front() {
            for &other in &self.neighbours[atom] {
                if allowed(atom, other) && reached.insert(other) {
                    next.push_back(other);
                }
            }
        }
        reached
    }

    fn without(&self, from: usize, i: usize, j: usize) -> BTreeSet<usize> {
        self.reached(from, |a, b| [a, b] != [i, j] && [b, a] != [i, j])
    }

    /// Returns for every atom the share of the change of a bond by which it moves towards atom `j` from `i`.
    fn shares(&self, bond: &Bond) -> Vec<f64> {
        let mut shares = vec![0.0; self.neighbours.len()];
        let far = self.without(bond.j, bond.i, bond.j);
        if far.contains(&bond.i) {
            let hanging = |from: usize| self.reached(from, |a, b| !self.without(b, a, b).contains(&a));
            hanging(bond.j).into_iter().for_each(|atom| shares[atom] = 0.5);
            hanging(bond.i).into_iter().for_each(|atom| shares[atom] = -0.5);
            return shares;
        }
        let near = self.without(bond.i, bond.i, bond.j);
        if far.len() <= near.len() {
            far.into_iter().for_each(|atom| shares[atom] = 1.0);
        } else {
            near.into_iter().for_each(|atom| shares[atom] = -1.0);
        }
        shares
    }

    /// Returns all bonds or, of many, one of each kind.
    fn representatives<'b>(&self, elements: &[Element], bonds: &'b [Bond]) -> Vec<&'b Bond> {
        if bonds.len() <= MOST_BONDS {
            return bonds.iter().collect();
        }
        let around = |atom: usize| {
            let mut others: Vec<Element> = self.neighbours[atom].iter().map(|&n| elements[n]).collect();
            others.sort_unstable();
            (elements[atom], others)
        };
        let mut kinds = BTreeMap::new();
        for bond in bonds {
            let mut ends = [around(bond.i), around(bond.j)];
            ends.sort();
            kinds.entry(ends).or_insert(bond);
        }
        kinds.into_values().collect()
    }

    /// Returns the pairs of atoms that are brought together.
    fn contacts(&self, system: &System) -> Vec<Contact> {
        let elements = system.elements();
        let mut nearest: BTreeMap<Kind, Contact> = BTreeMap::new();
        neighbours::for_each_pair(system.positions(), FARTHEST_ANGSTROM, |pair| {
            let (i, j) = (pair.i, pair.j);
            let Some(contact) = contact_angstrom(elements[i], elements[j]) else { return };
            if self.neighbours[i].contains(&j) || pair.distance <= BONDED_RADII * contact {
                return;
            }
            let far = !self.neighbours[i].iter().any(|middle| self.neighbours[*middle].contains(&j));
            let mut kind = [elements[i], elements[j]];
            kind.sort_unstable();
            let found = Contact { atoms: [i, j], contact, radii: pair.distance / contact };
            let known = nearest.entry((kind, far)).or_insert(found);
            if found.radii < known.radii {
                *known = found;
            }
        });
        nearest.into_values().collect()
    }
}

/// Two elements, and whether more than two bonds separate the atoms.
type Kind = ([Element; 2], bool);

/// Two atoms without a bond.
#[derive(Clone, Copy)]
struct Contact {
    atoms: [usize; 2],
    /// Sum of their covalent radii, Å.
    contact: f64,
    /// Their distance in such sums.
    radii: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytic::{Control, LennardJones};
    use md_testkit::defects::{Defect, Defective};

    const CH: [Element; 2] = [Element::C, Element::H];
    const HH: [Element; 2] = [Element::H, Element::H];
    const CEILING_EV: f64 = 3.0;

    fn methane() -> System {
        let half = 1.09 / 3.0_f64.sqrt();
        let corners = [[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]];
        let hydrogens = corners.map(|c| Vec3::from(c) * half);
        let positions = std::iter::once(Vec3::zeros()).chain(hydrogens).collect();
        System::new(vec![Element::C, Element::H, Element::H, Element::H, Element::H], positions).unwrap()
    }

    fn control(system: &System) -> Control {
        Control::new(std::slice::from_ref(system)).unwrap()
    }

    fn found_bonds(system: &System) -> Vec<Bond> {
        bonds::find(system, bonds::DEFAULT_SCALE)
    }

    fn well(elements: [Element; 2], depth_ev: f64, from_angstrom: f64, to_angstrom: f64) -> Defect {
        Defect::Well { elements, depth_ev, from_angstrom, to_angstrom }
    }

    fn along_bonds(system: &System, defect: Defect) -> Wells {
        let mut potential = Defective::new(control(system), defect);
        bond_wells(&mut potential, system, &found_bonds(system), CEILING_EV).unwrap()
    }

    /// The stretch of a bond of 25 eV/Å² meets the well where it begins, at 1.27 Å: ½ 25 0.18² = 0.405 eV.
    #[test]
    fn bond_wells_finds_well_that_begins_at_barrier() {
        let wells = along_bonds(&methane(), well(CH, 3.6, 1.27, 1.61));
        let Well { atoms, barrier } = wells.lowest.unwrap();
        let fall = barrier.fall.unwrap();
        assert!(
            barrier.height_ev > 0.40 && barrier.height_ev < 0.47 && barrier.error_ev < 1e-3,
            "{barrier:?}"
        );
        assert!(atoms[0] == 0 && (fall.top_angstrom - 1.28).abs() < 0.02, "{barrier:?}");
        assert!(fall.depth_ev > 2.0 && (fall.bottom_angstrom - 1.43).abs() < 0.03, "{barrier:?}");
        assert_eq!(wells.paths, 8);
    }

    /// The same when the bond is squeezed: ½ 25 0.2² = 0.5 eV at 0.89 Å.
    #[test]
    fn bond_wells_finds_well_of_squeezed_bond() {
        let barrier = along_bonds(&methane(), well(CH, 7.6, 0.69, 0.89)).lowest.unwrap().barrier;
        assert!(
            (barrier.height_ev - 0.5).abs() < 0.02 && barrier.fall.unwrap().depth_ev > 5.0,
            "{barrier:?}"
        );
    }

    /// Behind ½ 25 0.62² = 4.8 eV nothing is looked for, and a dip that does not reach below the rise is none.
    #[test]
    fn bond_wells_passes_well_out_of_reach_and_sound_bonds() {
        for defect in
            [well(CH, 30.0, 1.71, 1.9), well(CH, 0.1, 1.27, 1.61), Defect::Offset { energy_ev: 1.0 }]
        {
            let wells = along_bonds(&methane(), defect);
            assert_eq!(wells.lowest, None, "{defect:?}");
            assert!(wells.highest_ev > CEILING_EV && wells.closest.is_some());
        }
    }

    /// A triangle: its bonds are all in a ring, and both atoms of one move.
    #[test]
    fn bond_wells_stretches_bonds_in_rings() {
        let at = |x: f64, y: f64| Vec3::new(x, y, 0.0);
        let ring =
            System::new(vec![Element::C; 3], vec![at(0.0, 0.0), at(1.5, 0.0), at(0.75, 1.299)]).unwrap();
        let wells = along_bonds(&ring, well([Element::C; 2], 5.0, 1.6, 1.9));
        assert!(wells.lowest.unwrap().barrier.height_ev < 0.4);
        assert_eq!(along_bonds(&ring, Defect::Offset { energy_ev: 1.0 }).lowest, None);
        let graph = Graph::new(3, &found_bonds(&ring));
        assert_eq!(graph.shares(&found_bonds(&ring)[0]), [-0.5, 0.5, 0.0]);
    }

    /// H-H in methane is 1.78 Å apart. Bending an angle of 4 eV/rad² to 1.3 Å costs some 0.5 to 1 eV.
    #[test]
    fn contact_wells_finds_well_of_atoms_without_bond() {
        let methane = methane();
        let search = |defect| {
            let mut potential = Defective::new(control(&methane), defect);
            contact_wells(&mut potential, &methane, &found_bonds(&methane), CEILING_EV).unwrap()
        };
        let barrier = search(well(HH, 6.0, 0.5, 1.35)).lowest.unwrap().barrier;
        assert!(barrier.height_ev > 0.3 && barrier.height_ev < 1.0, "{barrier:?}");
        assert!(barrier.fall.unwrap().bottom_ev < -1.0 && barrier.error_ev < 0.2, "{barrier:?}");
        assert_eq!(search(Defect::Offset { energy_ev: 1.0 }).lowest, None);
        assert_eq!(search(well(HH, 1.0, 0.5, 1.35)).lowest, None, "it stays above the minimum");
    }

    /// Two argon atoms attract each other up to their minimum, which is no bond.
    #[test]
    fn contact_wells_passes_atoms_that_attract_each_other() {
        let positions = vec![Vec3::zeros(), Vec3::new(3.95, 0.0, 0.0)];
        let pair = System::new(vec![Element::AR; 2], positions).unwrap();
        let mut potential = LennardJones { epsilon_ev: 0.2, sigma_angstrom: 3.4 };
        let wells = contact_wells(&mut potential, &pair, &[], CEILING_EV).unwrap();
        assert_eq!((wells.lowest, wells.paths), (None, 1));
    }
}
