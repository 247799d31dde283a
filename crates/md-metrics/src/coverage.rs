//! Which environments of atoms and which distances a set of frames has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use md_core::{Element, System, Vec3, bonds, neighbours};

/// Two atoms closer than this many sums of covalent radii (Cordero et al. 2008) are bonded or nearly so, in motion too: no third
/// atom is between bonds and the distances over an angle.
const BONDED: f64 = 1.4;

/// Distances of bonded atoms may be so far outside those of the frames, Å: two widths of a bond at 300 K.
const BOND_MARGIN_ANGSTROM: f64 = 0.1;

/// Other atoms may come so much closer than in the frames, Å.
const CONTACT_MARGIN_ANGSTROM: f64 = 0.2;

/// Other atoms farther apart than this are not looked at, Å.
const CONTACT_ANGSTROM: f64 = 4.0;

/// An atom's element and those of the atoms it is bonded to, in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Environment {
    /// Element of the atom.
    pub element: Element,
    /// Elements of the atoms it is bonded to, sorted.
    pub bonded: Vec<Element>,
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbols: Vec<&str> = self.bonded.iter().map(|element| element.symbol()).collect();
        match symbols.as_slice() {
            [] => write!(f, "{} alone", self.element.symbol()),
            all => write!(f, "{} bonded to {}", self.element.symbol(), all.join(", ")),
        }
    }
}

/// Returns the environment of every atom, by the bonds of this geometry.
fn environments(system: &System) -> Vec<Environment> {
    let mut bonded = vec![Vec::new(); system.n_atoms()];
    for bond in bonds::find(system, bonds::DEFAULT_SCALE) {
        bonded[bond.i].push(system.elements()[bond.j]);
        bonded[bond.j].push(system.elements()[bond.i]);
    }
    let of_atom = |(element, mut bonded): (&Element, Vec<Element>)| {
        bonded.sort_unstable();
        Environment { element: *element, bonded }
    };
    system.elements().iter().zip(bonded).map(of_atom).collect()
}

/// Environments of atoms and distances between them in a set of frames, and what others have beyond them.
///
/// ```
/// use md_core::{Element, System, Vec3};
/// let at = |r: f64| System::new(vec![Element::H; 2], vec![Vec3::zeros(), Vec3::new(r, 0.0, 0.0)]).unwrap();
/// let mut coverage = md_metrics::Coverage::default();
/// for r in [0.70, 0.74, 0.80] {
///     coverage.push(&at(r));
/// }
/// assert_eq!(coverage.gaps(&at(0.85)), []);
/// let gaps = coverage.gaps(&at(0.55));
/// assert_eq!(gaps[0].to_string(), "H at 0.55 Å of H 1, bonded (seen: 0.70 to 0.80 Å)");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Coverage {
    environments: BTreeSet<Environment>,
    /// Shortest and longest distance of bonded atoms of two elements, Å.
    bonded: BTreeMap<[Element; 2], [f64; 2]>,
    /// Shortest distance of other atoms, Å.
    contacts: BTreeMap<[Element; 2], f64>,
    n_frames: usize,
}

/// What an atom has and no frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// Index of the atom.
    pub atom: usize,
    /// Its element.
    pub element: Element,
    /// What is not in the frames.
    pub kind: GapKind,
}

/// Kinds of gaps.
#[derive(Debug, Clone, PartialEq)]
pub enum GapKind {
    /// The environment of the atom.
    Environment(Environment),
    /// The distance to another atom.
    Distance {
        /// Index of the other atom.
        other: usize,
        /// Its element.
        element: Element,
        /// The distance, Å.
        angstrom: f64,
        /// Whether they are bonded.
        bonded: bool,
        /// Shortest and longest such distance in the frames, Å; `None` if they have none.
        seen_angstrom: Option<[f64; 2]>,
    },
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            GapKind::Environment(environment) => environment.fmt(f),
            GapKind::Distance { other, element, angstrom, bonded, seen_angstrom } => {
                let (atom, symbol) = (self.element.symbol(), element.symbol());
                let how = if *bonded { "bonded" } else { "not bonded" };
                write!(f, "{atom} at {angstrom:.2} Å of {symbol} {other}, {how} (seen: ")?;
                match seen_angstrom {
                    Some([least, most]) if most.is_finite() => write!(f, "{least:.2} to {most:.2} Å)"),
                    Some([least, _]) => write!(f, "from {least:.2} Å on)"),
                    None => write!(f, "none)"),
                }
            }
        }
    }
}

impl Coverage {
    /// Returns the number of frames.
    pub fn n_frames(&self) -> usize {
        self.n_frames
    }

    /// Adds a frame.
    pub fn push(&mut self, frame: &System) {
        self.n_frames += 1;
        self.environments.extend(environments(frame));
        for_each_distance(frame.elements(), frame.positions(), |_, elements, distance, is_bonded| {
            if is_bonded {
                let [least, most] = self.bonded.entry(elements).or_insert([distance; 2]);
                (*least, *most) = (least.min(distance), most.max(distance));
            } else {
                let least = self.contacts.entry(elements).or_insert(distance);
                *least = least.min(distance);
            }
        });
    }

    /// Adds the frames of another set.
    pub fn merge(&mut self, other: &Coverage) {
        self.n_frames += other.n_frames;
        self.environments.extend(other.environments.iter().cloned());
        for (elements, [least, most]) in &other.bonded {
            let own = self.bonded.entry(*elements).or_insert([*least, *most]);
            *own = [own[0].min(*least), own[1].max(*most)];
        }
        for (elements, least) in &other.contacts {
            let own = self.contacts.entry(*elements).or_insert(*least);
            *own = own.min(*least);
        }
    }

    /// Returns the atoms of a molecule whose environments no frame has.
    fn missing_environments(&self, molecule: &System) -> Vec<Gap> {
        let all = environments(molecule).into_iter().enumerate();
        let missing = all.filter(|(_, environment)| !self.environments.contains(environment));
        missing
            .map(|(atom, environment)| Gap {
                atom,
                element: environment.element,
                kind: GapKind::Environment(environment),
            })
            .collect()
    }

    /// Returns the distances in a frame that are outside those of the frames of the set: of bonded atoms by more than 0.1 Å, of
    /// others closer by more than 0.2 Å. Each is that of its first atom.
    pub fn missing_distances(&self, frame: &System) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for_each_distance(frame.elements(), frame.positions(), |[i, j], elements, angstrom, bonded| {
            let (seen, margin) = match bonded {
                true => (self.bonded.get(&elements).copied(), BOND_MARGIN_ANGSTROM),
                false => (
                    self.contacts.get(&elements).map(|least| [*least, f64::INFINITY]),
                    CONTACT_MARGIN_ANGSTROM,
                ),
            };
            let is_covered =
                seen.is_some_and(|[least, most]| (least - margin..=most + margin).contains(&angstrom));
            if !is_covered {
                let kind = GapKind::Distance {
                    other: j,
                    element: frame.elements()[j],
                    angstrom,
                    bonded,
                    seen_angstrom: seen,
                };
                gaps.push(Gap { atom: i, element: frame.elements()[i], kind });
            }
        });
        gaps
    }

    /// Returns the atoms of a molecule whose environments no frame has, then [`Coverage::missing_distances`].
    pub fn gaps(&self, molecule: &System) -> Vec<Gap> {
        let mut gaps = self.missing_environments(molecule);
        gaps.extend(self.missing_distances(molecule));
        gaps
    }
}

/// Calls `of_pair` with the atoms, the elements in order, the distance (Å) and whether they are bonded, for pairs within 4 Å.
fn for_each_distance(
    elements: &[Element],
    positions: &[Vec3],
    mut of_pair: impl FnMut([usize; 2], [Element; 2], f64, bool),
) {
    neighbours::for_each_pair(positions, CONTACT_ANGSTROM, |pair| {
        let (a, b) = (elements[pair.i], elements[pair.j]);
        let contact = a.covalent_radius_angstrom().zip(b.covalent_radius_angstrom()).map(|(a, b)| a + b);
        let is_bonded = contact.is_some_and(|contact| pair.distance < BONDED * contact);
        of_pair([pair.i, pair.j], if a <= b { [a, b] } else { [b, a] }, pair.distance, is_bonded);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn molecule(atoms: &[(Element, [f64; 3])]) -> System {
        let (elements, positions) = atoms.iter().map(|(e, x)| (*e, Vec3::from(*x))).unzip();
        System::new(elements, positions).unwrap()
    }

    fn water(oh: f64) -> System {
        molecule(&[(Element::O, [0.0; 3]), (Element::H, [oh, 0.0, 0.0]), (Element::H, [-0.24, 0.93, 0.0])])
    }

    fn shown(gaps: &[Gap]) -> Vec<String> {
        gaps.iter().map(|gap| format!("{}: {gap}", gap.atom)).collect()
    }

    #[test]
    fn gaps_of_other_molecule_are_its_environments() {
        let mut coverage = Coverage::default();
        coverage.push(&water(0.96));
        assert_eq!(coverage.gaps(&water(0.96)), []);
        let hydroxide = molecule(&[(Element::O, [0.0; 3]), (Element::H, [0.96, 0.0, 0.0])]);
        assert_eq!(shown(&coverage.missing_environments(&hydroxide)), ["0: O bonded to H"]);
        let methane = molecule(&[
            (Element::C, [0.0; 3]),
            (Element::H, [0.63, 0.63, 0.63]),
            (Element::H, [-0.63, -0.63, 0.63]),
            (Element::H, [-0.63, 0.63, -0.63]),
            (Element::H, [0.63, -0.63, -0.63]),
        ]);
        let gaps = shown(&coverage.gaps(&methane));
        assert_eq!(gaps[..2], ["0: C bonded to H, H, H, H", "1: H bonded to C"]);
        assert!(gaps.contains(&"0: C at 1.09 Å of H 1, bonded (seen: none)".to_owned()), "{gaps:?}");
        // H-H of methane at 1.78 Å, of water at 1.52 Å: farther is no gap.
        assert!(!gaps.iter().any(|gap| gap.contains("H at")), "{gaps:?}");
    }

    #[test]
    fn distances_outside_the_seen_by_more_than_the_margin_are_gaps() {
        let mut coverage = Coverage::default();
        [0.9, 1.0, 1.1].into_iter().for_each(|oh| coverage.push(&water(oh)));
        for (oh, covered) in [(0.81, true), (0.79, false), (1.19, true), (1.21, false)] {
            assert_eq!(coverage.missing_distances(&water(oh)).is_empty(), covered, "{oh} Å");
        }
        let closer = molecule(&[
            (Element::O, [0.0; 3]),
            (Element::H, [0.96, 0.0, 0.0]),
            (Element::H, [0.4, 0.87, 0.0]),
        ]);
        let gaps = shown(&coverage.missing_distances(&closer));
        assert_eq!(gaps, ["1: H at 1.03 Å of H 2, not bonded (seen: from 1.47 Å on)"]);
    }

    #[test]
    fn merge_is_as_if_all_frames_were_pushed() {
        let (mut first, mut second, mut all) =
            (Coverage::default(), Coverage::default(), Coverage::default());
        for (n, oh) in [0.9, 1.1, 0.95, 1.2].into_iter().enumerate() {
            all.push(&water(oh));
            if n % 2 == 0 { &mut first } else { &mut second }.push(&water(oh));
        }
        first.merge(&second);
        assert_eq!(first, all);
        assert_eq!(all.n_frames(), 4);
        assert_eq!(Coverage::default().missing_environments(&water(0.96)).len(), 3);
    }
}
