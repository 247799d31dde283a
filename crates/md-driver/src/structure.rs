//! Checks that a structure can be the molecule that it is meant to be, before a model is asked about it.
//!
//! A molecule cut by a periodic box, coordinates in another unit or an atom on top of another would otherwise be judged, and
//! the model blamed for it. What is unusual but possible passes: stretched bonds, transition states, complexes, ions,
//! clusters. Structures in a periodic cell are not examined.

use anyhow::{Result, bail};
use md_core::units::{AMU_IN_ELECTRON_MASSES, BOHR_ANGSTROM};
use md_core::{Element, System, bonds, neighbours};

/// Two atoms collide if they are closer than this part of the sum of their covalent radii. The shortest bonds have 0.8, H2 at
/// 1.2; labelled frames under pressure 0.6.
const COLLIDING: f64 = 0.5;

/// Largest coordinate: with more, differences of positions lose the digits that forces need.
const FARTHEST_ANGSTROM: f64 = 1e6;

/// Distance to all other atoms from which on a piece of a system is no part of a complex, Å: the longest contacts of
/// van der Waals radii are 5 Å.
const FAR_ANGSTROM: f64 = 6.0;

/// Distance to the nearest atom, in sums of covalent radii, from which on an atom of an organic molecule is alone; 1.6 in
/// transition states.
const ALONE: f64 = 2.0;

/// Masses of isotopes, in units of the element's: those of hydrogen reach 3, those of others differ by less than a fifth.
const HEAVIEST_HYDROGEN: f64 = 3.1;
const ISOTOPES: [f64; 2] = [0.8, 1.2];

/// Masses that are moved from heavy atoms to their hydrogen atoms, in units of the element's, and the relative change of the
/// mass of the whole that is rounding.
const REPARTITIONED_HYDROGEN: f64 = 4.1;
const REPARTITIONED: [f64; 2] = [0.2, 1.2];
const SAME_MASS: f64 = 0.01;

/// Valences of the elements whose bonds tell how many electrons they share, and how much less a sum over bonds makes an atom's
/// open. In the G2 set (85 molecules of H, C, N, O) the 13 radicals of three atoms or more but NO2 have more, and O3, N2O and singlet
/// CH2 of the others.
const VALENCES: [(Element, f64); 4] =
    [(Element::H, 1.0), (Element::C, 4.0), (Element::N, 3.0), (Element::O, 2.0)];
const OPEN_VALENCE: f64 = 0.6;

/// Length by which a bond is shorter if e times as many electrons are shared, Å (L. Pauling, J. Am. Chem. Soc. 69, 542 (1947)).
const PAULING_ANGSTROM: f64 = 0.3;

/// Number of atoms named of a piece.
const NAMED: usize = 4;

/// Elements whose single atoms are no molecule or ion that anybody would simulate beside others.
const NEVER_ALONE: [Element; 4] = [Element::H, Element::C, Element::N, Element::O];

/// Checks a structure; `fragments` is the number of molecules that it is said to have.
///
/// # Errors
/// Masses of other elements, colliding atoms, coordinates in Bohr or nm, or pieces without contact, unless their number is as
/// said.
pub fn check(system: &System, fragments: Option<usize>) -> Result<()> {
    if let Some((atom, x)) =
        system.positions().iter().enumerate().find(|(_, x)| x.iter().any(|c| c.abs() > FARTHEST_ANGSTROM))
    {
        bail!(
            "atom {} is at ({:e}, {:e}, {:e}) Å, expected coordinates of at most {FARTHEST_ANGSTROM:e} Å: is the unit Å, and \
             the structure near the origin?",
            name(system, atom),
            x.x,
            x.y,
            x.z
        );
    }
    check_masses(system)?;
    if system.cell().is_some() || system.n_atoms() < 2 {
        return Ok(());
    }
    if let Some((i, j, distance)) = colliding(system) {
        let unit = match scaled(system, 10.0) {
            Some(in_angstrom) if looks_like_one(&in_angstrom) => {
                ": are the coordinates in nm? Give Å (10 times as large)"
            }
            _ => {
                ": two atoms at one place, or a molecule that was wrapped or scaled? Give a structure that can be relaxed"
            }
        };
        bail!(
            "atoms {} and {} are {distance:.3} Å apart, less than half the sum of their covalent radii{unit}",
            name(system, i),
            name(system, j)
        );
    }
    let pieces = pieces(system);
    if let Some(expected) = fragments {
        if pieces.len() != expected {
            let list: Vec<String> = pieces.iter().map(|piece| atoms(system, piece)).collect();
            bail!(
                "the structure has {} pieces without a bond between them ({}), fragments = {expected} was given",
                pieces.len(),
                list.join("; ")
            );
        }
        return Ok(());
    }
    if pieces.len() < 2 {
        return Ok(());
    }
    let organic = system.elements().iter().any(|element| NEVER_ALONE.contains(element));
    if organic
        && pieces.len() == system.n_atoms()
        && scaled(system, BOHR_ANGSTROM).is_some_and(|in_angstrom| looks_like_one(&in_angstrom))
    {
        let (i, j, distance, _) = nearest_anywhere(system, &pieces[0]);
        bail!(
            "no two atoms are bonded: the nearest to {} is {} at {distance:.3} Å; times 0.529 all atoms are one molecule: are \
             the coordinates in Bohr? Give Å",
            name(system, i),
            name(system, j)
        );
    }
    for (piece, near) in pieces.iter().zip(nearest_within(system, &pieces)) {
        let (i, j, distance, in_radii) = near.unwrap_or_else(|| nearest_anywhere(system, piece));
        let alone =
            piece.len() == 1 && in_radii > ALONE && NEVER_ALONE.contains(&system.elements()[piece[0]]);
        if distance > FAR_ANGSTROM || alone {
            let n = pieces.len();
            bail!(
                "the structure is in {n} pieces: of {} the atom nearest to any other is {}, {distance:.2} Å from {}: a molecule \
                 cut by a periodic box, or an atom misplaced? Unwrap or correct it (if it is meant to be {n} molecules, say \
                 fragments = {n} in its [[molecule]])",
                atoms(system, piece),
                name(system, i),
                name(system, j)
            );
        }
    }
    Ok(())
}

/// Describes atoms whose bonds are fewer or longer than those of their valence, as where hydrogen atoms are missing; `None` if
/// there are none. Radicals and ions have such atoms, too.
pub fn open_valences(system: &System) -> Option<String> {
    if system.cell().is_some() || system.n_atoms() < 3 {
        return None;
    }
    let valence = |atom: usize| VALENCES.iter().find(|(e, _)| *e == system.elements()[atom]).map(|(_, v)| *v);
    let mut orders = vec![0.0; system.n_atoms()];
    for bond in bonds::find(system, bonds::DEFAULT_SCALE) {
        for (atom, other) in [(bond.i, bond.j), (bond.j, bond.i)] {
            // Of bonds to other elements nothing is known.
            orders[atom] += match (valence(other), radii(system, atom, other)) {
                (Some(_), Some(sum)) => ((sum - bond.length_angstrom) / PAULING_ANGSTROM).exp(),
                _ => f64::INFINITY,
            };
        }
    }
    let open = |&atom: &usize| valence(atom).is_some_and(|valence| valence - orders[atom] > OPEN_VALENCE);
    let open: Vec<usize> = (0..system.n_atoms()).filter(open).collect();
    let &first = open.first()?;
    Some(format!(
        "{} has bonds for a valence of {:.1}; open valences: {} of {} atoms ({}): are hydrogen atoms missing? A radical or an \
         ion is judged as it is given: the network is told neither charge nor spin",
        name(system, first),
        orders[first],
        open.len(),
        system.n_atoms(),
        atoms(system, &open)
    ))
}

/// Checks that masses are those of isotopes, or moved within the molecule (hydrogen mass repartitioning).
fn check_masses(system: &System) -> Result<()> {
    let ratios = || system.masses_amu().iter().zip(system.elements()).map(|(mass, e)| mass / e.mass_amu());
    let fault = |hydrogen: f64, [least, most]: [f64; 2]| {
        ratios().zip(system.elements()).position(|(ratio, &element)| {
            let most = if element == Element::H { hydrogen } else { most };
            !(least..=most).contains(&ratio)
        })
    };
    let Some(atom) = fault(HEAVIEST_HYDROGEN, ISOTOPES) else { return Ok(()) };
    let whole: f64 = system.elements().iter().map(|e| e.mass_amu()).sum();
    let same = (system.masses_amu().iter().sum::<f64>() / whole - 1.0).abs() < SAME_MASS;
    if same && fault(REPARTITIONED_HYDROGEN, REPARTITIONED).is_none() {
        return Ok(());
    }
    let (mass, expected) = (system.masses_amu()[atom], system.elements()[atom].mass_amu());
    let in_electrons = |ratio: f64| (ratio / AMU_IN_ELECTRON_MASSES - 1.0).abs() < ISOTOPES[1] - 1.0;
    let why = if ratios().all(in_electrons) {
        "are the masses in units of the electron's? Give amu"
    } else {
        "are the masses those of other atoms? Correct them, or leave them out for those of the elements"
    };
    bail!(
        "atom {} has a mass of {mass} amu, expected that of an isotope, about {expected}: {why}",
        name(system, atom)
    )
}

fn name(system: &System, atom: usize) -> String {
    format!("{}{atom}", system.elements()[atom].symbol())
}

fn atoms(system: &System, piece: &[usize]) -> String {
    let mut names: Vec<String> = piece.iter().take(NAMED).map(|&atom| name(system, atom)).collect();
    if piece.len() > NAMED {
        names.push(format!("... ({} atoms)", piece.len()));
    }
    names.join(" ")
}

/// Sum of the covalent radii of two atoms, Å, if both have one.
fn radii(system: &System, i: usize, j: usize) -> Option<f64> {
    let radius = |atom: usize| system.elements()[atom].covalent_radius_angstrom();
    Some(radius(i)? + radius(j)?)
}

fn distance(system: &System, i: usize, j: usize) -> f64 {
    (system.positions()[j] - system.positions()[i]).norm()
}

/// The pair of atoms that are closest, in sums of their covalent radii, if they collide.
fn colliding(system: &System) -> Option<(usize, usize, f64)> {
    let ratio =
        |i: usize, j: usize, length: f64| radii(system, i, j).map_or(f64::INFINITY, |sum| length / sum);
    bonds::find(system, COLLIDING)
        .into_iter()
        .map(|bond| (bond.i, bond.j, bond.length_angstrom))
        .min_by(|a, b| ratio(a.0, a.1, a.2).total_cmp(&ratio(b.0, b.1, b.2)))
}

/// The system with coordinates multiplied by a factor.
fn scaled(system: &System, factor: f64) -> Option<System> {
    let positions = system.positions().iter().map(|x| factor * x).collect();
    system.clone().with_positions(positions).ok()
}

/// Whether all atoms are bonded and none collide.
fn looks_like_one(system: &System) -> bool {
    pieces(system).len() == 1 && bonds::find(system, COLLIDING).is_empty()
}

/// Groups of atoms connected by bonds, each ascending, in the order of their first atoms.
fn pieces(system: &System) -> Vec<Vec<usize>> {
    let n = system.n_atoms();
    let mut neighbours = vec![Vec::new(); n];
    for bond in bonds::find(system, bonds::DEFAULT_SCALE) {
        neighbours[bond.i].push(bond.j);
        neighbours[bond.j].push(bond.i);
    }
    let mut seen = vec![false; n];
    let mut pieces = Vec::new();
    for first in 0..n {
        if std::mem::replace(&mut seen[first], true) {
            continue;
        }
        let mut piece = vec![first];
        let mut next = 0;
        while let Some(&atom) = piece.get(next) {
            next += 1;
            for &other in &neighbours[atom] {
                if !std::mem::replace(&mut seen[other], true) {
                    piece.push(other);
                }
            }
        }
        piece.sort_unstable();
        pieces.push(piece);
    }
    pieces
}

/// A pair of an atom of a piece and one of another, their distance, Å, and in sums of covalent radii.
type Near = (usize, usize, f64, f64);

/// The nearest pair of each piece and any other, where it is within [`FAR_ANGSTROM`].
fn nearest_within(system: &System, pieces: &[Vec<usize>]) -> Vec<Option<Near>> {
    let mut piece_of = vec![0; system.n_atoms()];
    for (n, piece) in pieces.iter().enumerate() {
        piece.iter().for_each(|&atom| piece_of[atom] = n);
    }
    let mut nearest: Vec<Option<Near>> = vec![None; pieces.len()];
    neighbours::for_each_pair(system.positions(), FAR_ANGSTROM, |pair| {
        if piece_of[pair.i] == piece_of[pair.j] {
            return;
        }
        for (i, j) in [(pair.i, pair.j), (pair.j, pair.i)] {
            let known = &mut nearest[piece_of[i]];
            if known.is_none_or(|(.., length, _)| pair.distance < length) {
                *known = Some(near(system, i, j));
            }
        }
    });
    nearest
}

/// The nearest pair of a piece and any other, however far.
fn nearest_anywhere(system: &System, piece: &[usize]) -> Near {
    let others = (0..system.n_atoms()).filter(|atom| piece.binary_search(atom).is_err());
    let pairs = others.flat_map(|j| piece.iter().map(move |&i| (i, j)));
    let length = |&(i, j): &(usize, usize)| distance(system, i, j);
    let nearest = pairs.min_by(|a, b| length(a).total_cmp(&length(b)));
    nearest.map_or((piece[0], piece[0], f64::INFINITY, f64::INFINITY), |(i, j)| near(system, i, j))
}

fn near(system: &System, i: usize, j: usize) -> Near {
    let length = distance(system, i, j);
    // Without a radius nothing is said about the pair.
    (i, j, length, radii(system, i, j).map_or(0.0, |sum| length / sum))
}

#[cfg(test)]
mod tests {
    use md_io::extxyz::{FrameReader, LabelKeys};

    use super::*;

    fn system(text: &str) -> System {
        let text = format!("{}\n\n{text}\n", text.lines().count());
        FrameReader::new(text.as_bytes(), "s", LabelKeys::default()).next().unwrap().unwrap().system
    }

    fn fault(text: &str, fragments: Option<usize>) -> String {
        check(&system(text), fragments).map_or_else(|error| error.to_string(), |()| String::new())
    }

    const WATER: &str = "O 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48";

    #[test]
    fn check_accepts_what_is_possible() {
        let dimer = format!("{WATER}\nO 0 0 3.0\nH 0 0.76 3.6\nH 0 -0.76 3.6");
        for sound in [
            WATER,
            "O 0 0 0",
            "H 0 0 0\nH 0 0 0.74",
            "H 0 0 0\nH 0 0 0.5",
            "C 0 0 0\nO 0 0 1.13",
            &dimer,
            "Ar 0 0 0\nAr 0 0 3.8",
            "Na 0 0 0\nCl 0 0 2.4",
            "O 0 0 0\nH 0 0 0.96\nH 0 0 1.7", // hydrogen on its way
            "O 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\nK 0 0 -2.7",
        ] {
            assert_eq!(fault(sound, None), "", "{sound}");
        }
        assert_eq!(fault(&dimer, Some(2)), "");
        assert_eq!(fault(&format!("{WATER}\nO 0 0 30\nH 0 0.76 30.6\nH 0 -0.76 30.6"), Some(2)), "");
    }

    #[test]
    fn check_accepts_molecules_of_the_repository() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/molecules");
        let mut n = 0;
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|e| e == "xyz") {
                check(&md_io::extxyz::read_system(&file).unwrap(), None).unwrap();
                n += 1;
            }
        }
        assert!(n > 10, "{n}");
    }

    #[test]
    fn check_names_masses_of_other_atoms() {
        let methane = "C 0 0 0\nH 0.63 0.63 0.63\nH 0.63 -0.63 -0.63\nH -0.63 0.63 -0.63\nH -0.63 -0.63 0.63";
        let with = |masses: [f64; 5]| {
            let system = system(methane).with_masses_amu(masses.to_vec()).unwrap();
            check(&system, None).map_or_else(|error| error.to_string(), |()| String::new())
        };
        let h = 1.008;
        for sound in [
            [12.011, h, h, h, h],
            [13.003, 2.014, 3.016, h, h],                     // isotopes
            [12.011 - 4.0 * 2.0, 3.008, 3.008, 3.008, 3.008], // moved to the hydrogen atoms
        ] {
            assert_eq!(with(sound), "", "{sound:?}");
        }
        for wrong in
            [[100.0; 5], [h, 12.011, 12.011, 12.011, 12.011], [12.011, h, h, h, 0.1], [12.011, h, h, h, 4.0]]
        {
            let message = with(wrong);
            assert!(message.starts_with("atom ") && message.contains("those of other atoms?"), "{message}");
        }
        assert!(
            with([100.0; 5])
                .starts_with("atom C0 has a mass of 100 amu, expected that of an isotope, about 12.011")
        );
        let electrons = with([12.011, h, h, h, h].map(|m| m * AMU_IN_ELECTRON_MASSES));
        assert!(electrons.contains("in units of the electron's?"), "{electrons}");
    }

    #[test]
    fn open_valences_name_atoms_without_their_hydrogen() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let g2 = folder.join("tests/cases/g2.extxyz");
        let mut open = Vec::new();
        for frame in md_io::extxyz::read_frames(&g2, &LabelKeys::default()).unwrap() {
            open.extend(open_valences(&frame.system));
        }
        assert_eq!(open.len(), 1, "N2O alone, whose nitrogen has three bonds' worth of one: {open:?}");
        let paracetamol = md_io::extxyz::read_system(&folder.join("data/molecules/paracetamol.xyz")).unwrap();
        assert_eq!(open_valences(&paracetamol), None);
        let heavy: Vec<usize> =
            (0..paracetamol.n_atoms()).filter(|&a| paracetamol.elements()[a] != Element::H).collect();
        let stripped = System::new(
            heavy.iter().map(|&a| paracetamol.elements()[a]).collect(),
            heavy.iter().map(|&a| paracetamol.positions()[a]).collect(),
        );
        let message = open_valences(&stripped.unwrap()).unwrap();
        assert!(message.contains("open valences: 6 of 11 atoms"), "{message}");
        assert!(message.starts_with("C0 has bonds for a valence of 1.0"), "{message}");
        let radical = open_valences(&system("C 0 0 0\nH 1.08 0 0\nH -0.54 0.935 0\nH -0.54 -0.935 0"));
        assert!(
            radical.is_some_and(|message| message.contains("A radical or an ion is judged as it is given"))
        );
    }

    #[test]
    fn check_bounds_coordinates() {
        let far = fault("H 0 0 0\nH 0 0 1e300", None);
        assert!(
            far.starts_with("atom H1 is at (0e0, 0e0, 1e300) Å, expected coordinates of at most 1e6 Å"),
            "{far}"
        );
        assert!(fault("He 1e7 0 0", None).starts_with("atom He0 is at"));
    }

    /// 4,096 water molecules at the density of the liquid: all pairs of atoms would be 75 million.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the time is what is tested")]
    fn check_of_many_molecules_is_linear() {
        let lines: Vec<String> = (0..16 * 16 * 16)
            .flat_map(|n| {
                let [x, y, z] = [n % 16, n / 16 % 16, n / 256].map(|k| 3.1 * f64::from(k));
                [
                    format!("O {x} {y} {z}"),
                    format!("H {x} {} {}", y + 0.76, z + 0.6),
                    format!("H {x} {} {}", y - 0.76, z + 0.6),
                ]
            })
            .collect();
        let begin = std::time::Instant::now();
        assert_eq!(fault(&lines.join("\n"), None), "");
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "{:?}", begin.elapsed());
    }

    #[test]
    fn check_names_pieces() {
        let methane = "C 0 0 0\nH 0.63 0.63 0.63\nH 14.4 14.4 0.63\nH 0.63 14.4 14.4\nH 14.4 0.63 14.4";
        let message = fault(methane, None);
        assert!(
            message.starts_with("the structure is in 4 pieces: of C0 H1 the atom nearest to any other"),
            "{message}"
        );
        assert!(message.contains("cut by a periodic box") && message.contains("fragments = 4"), "{message}");
        let away = fault(&format!("{WATER}\nH 0 0 9"), None);
        assert!(
            away.contains("2 pieces: of O0 H1 H2 the atom nearest to any other is O0, 8.88 Å from H3"),
            "{away}"
        );
        let lone = fault(&format!("{WATER}\nH 0 0 3"), None);
        assert!(lone.contains("of H3 the atom nearest to any other is H3, 2.88 Å from O0"), "{lone}");
        let other = fault(WATER, Some(2));
        assert!(other.contains("has 1 pieces") && other.contains("(O0 H1 H2), fragments = 2"), "{other}");
    }

    #[test]
    fn check_names_unit_of_coordinates() {
        let times = |factor: f64| {
            let lines = WATER.lines().map(|line| {
                let mut words = line.split(' ');
                let symbol = words.next().unwrap();
                let numbers = words.map(|word| (factor * word.parse::<f64>().unwrap()).to_string());
                format!("{symbol} {}", numbers.collect::<Vec<_>>().join(" "))
            });
            fault(&lines.collect::<Vec<_>>().join("\n"), None)
        };
        let bohr = times(1.889_726);
        assert!(bohr.starts_with("no two atoms are bonded") && bohr.contains("in Bohr?"), "{bohr}");
        let nm = times(0.1);
        assert!(nm.starts_with("atoms O0 and H1 are 0.097 Å apart") && nm.contains("in nm?"), "{nm}");
        let close = fault("C 0 0 0\nH 0 0 1.1\nH 0 0.1 1.1\nH 1 0 -0.3", None);
        assert!(close.starts_with("atoms H1 and H2 are 0.100 Å apart") && !close.contains("nm"), "{close}");
    }
}
