use md_core::units::{BOHR_ANGSTROM, HARTREE_EV, KCAL_PER_MOL_EV, KJ_PER_MOL_EV, MEV_PER_EV};
use md_core::{Element, System, Vec3, bonds};

/// Units of force other than eV/Å, and their size in eV/Å.
pub const FORCE_UNITS: [(&str, f64); 6] = [
    ("kcal/mol/Å", KCAL_PER_MOL_EV),
    ("kJ/mol/Å", KJ_PER_MOL_EV),
    ("Hartree/bohr", HARTREE_EV / BOHR_ANGSTROM),
    ("Hartree/Å", HARTREE_EV),
    ("eV/bohr", 1.0 / BOHR_ANGSTROM),
    ("meV/Å", 1.0 / MEV_PER_EV),
];

/// Elements whose bonds have a known stiffness, and that stiffness, eV/Å²: 15 to 56 in the frames of data/test and data/dft. Beyond the
/// second range it is that of another unit.
const ORGANIC: [Element; 4] = [Element::H, Element::C, Element::N, Element::O];
const STIFFNESS: [f64; 2] = [14.0, 60.0];
const POSSIBLE: [f64; 2] = [4.0, 250.0];

/// Fewest frames of one molecule, and the smallest correlation, that say something.
const FRAMES: usize = 8;
const CORRELATION: f64 = 0.8;

/// How labels pull on bonds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BondForces {
    /// Correlation of the length of a bond and the force that pulls its atoms apart: negative for forces.
    pub correlation: f64,
    /// Change of that force with the length, half of it for each atom, eV/Å².
    pub stiffness_ev_per_angstrom2: f64,
    /// Number of frames.
    pub n_frames: usize,
}

/// Measures how labels pull on the bonds between H, C, N and O over the frames of one molecule: those with the elements of the
/// first. Lengths and forces count from their means over the frames. `None` without bonds or with fewer than two frames.
///
/// A stretched bond pulls its atoms together by some 20 to 60 eV/Å for each Å, whatever the model: that tells forces from
/// gradients and from numbers in another unit.
pub fn bond_forces<'a>(
    frames: impl IntoIterator<Item = (&'a System, &'a [Vec3])> + Clone,
) -> Option<BondForces> {
    let (first, _) = frames.clone().into_iter().next()?;
    let organic = |atom: usize| ORGANIC.contains(&first.elements()[atom]);
    let bonds = bonds::find(first, bonds::DEFAULT_SCALE).into_iter().filter(|b| organic(b.i) && organic(b.j));
    pair_forces(frames, &bonds.map(|b| (b.i, b.j)).collect::<Vec<_>>())
}

/// The same for any pairs of atoms of the first frame.
pub fn pair_forces<'a>(
    frames: impl IntoIterator<Item = (&'a System, &'a [Vec3])>,
    pairs: &[(usize, usize)],
) -> Option<BondForces> {
    let mut frames = frames.into_iter().peekable();
    let (first, _) = *frames.peek()?;
    let mut values: Vec<Vec<[f64; 2]>> = vec![Vec::new(); pairs.len()];
    let mut n_frames = 0;
    for (system, forces) in frames.filter(|(system, _)| system.elements() == first.elements()) {
        n_frames += 1;
        for (values, &(i, j)) in values.iter_mut().zip(pairs) {
            let between = system.positions()[j] - system.positions()[i];
            let length = between.norm();
            values.push([length, (forces[j] - forces[i]).dot(&between) / length]);
        }
    }
    let (mut lengths, mut pulls, mut products) = (0.0, 0.0, 0.0);
    for values in &values {
        let mean = |k: usize| values.iter().map(|v| v[k]).sum::<f64>() / values.len() as f64;
        let [length, pull] = [mean(0), mean(1)];
        for v in values {
            lengths += (v[0] - length).powi(2);
            pulls += (v[1] - pull).powi(2);
            products += (v[0] - length) * (v[1] - pull);
        }
    }
    let correlation = products / (lengths * pulls).sqrt();
    let stiffness_ev_per_angstrom2 = -0.5 * products / lengths;
    correlation.is_finite().then_some(BondForces { correlation, stiffness_ev_per_angstrom2, n_frames })
}

impl BondForces {
    /// Says what labels look like that are no forces in eV/Å; `None` if they may be, or if there are too few frames to tell.
    pub fn fault(&self) -> Option<String> {
        let BondForces { correlation, stiffness_ev_per_angstrom2: stiffness, n_frames } = *self;
        if n_frames < FRAMES || correlation.abs() < CORRELATION {
            return None;
        }
        if correlation > 0.0 {
            return Some(format!(
                "the labels look like gradients (minus the forces): they pull stretched bonds further apart in {n_frames} frames \
                 (correlation {correlation:.2}); give forces"
            ));
        }
        if (POSSIBLE[0]..=POSSIBLE[1]).contains(&stiffness) {
            return None;
        }
        let fits = |size: f64| (STIFFNESS[0]..=STIFFNESS[1]).contains(&(stiffness * size));
        let units: Vec<&str> =
            FORCE_UNITS.iter().filter(|(_, size)| fits(*size)).map(|(unit, _)| *unit).collect();
        let looks = if units.is_empty() { "another unit".to_owned() } else { units.join(" or ") };
        Some(format!(
            "the labels look like {looks}: stretched bonds pull back by {stiffness:.2} in their unit for each Å, where molecules do by \
             {} to {} eV/Å; give them in eV/Å",
            STIFFNESS[0], STIFFNESS[1]
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Water with bonds of 50 eV/Å², stretched in turns; forces times `factor`.
    fn of_water(frames: usize, factor: f64) -> Option<BondForces> {
        let elements = vec![Element::O, Element::H, Element::H];
        let frames: Vec<(System, Vec<Vec3>)> = (0..frames)
            .map(|n| {
                let stretches = [0.05 * (n as f64).sin(), 0.05 * (1.7 * n as f64).cos()];
                let directions = [Vec3::x(), Vec3::y()];
                let mut positions = vec![Vec3::zeros()];
                let mut forces = vec![Vec3::zeros()];
                for (stretch, direction) in stretches.into_iter().zip(directions) {
                    positions.push(direction * (0.96 + stretch));
                    let force = direction * (-50.0 * stretch * factor);
                    forces.push(force);
                    forces[0] -= force;
                }
                (System::new(elements.clone(), positions).unwrap(), forces)
            })
            .collect();
        bond_forces(frames.iter().map(|(system, forces)| (system, forces.as_slice())))
    }

    #[test]
    fn bond_forces_find_stiffness_and_unit() {
        let right = of_water(20, 1.0).unwrap();
        // The other bond pulls at oxygen at a right angle to this one.
        assert!(
            (right.stiffness_ev_per_angstrom2 - 50.0).abs() < 1e-9 && right.correlation < -0.999,
            "{right:?}"
        );
        assert_eq!((right.n_frames, right.fault()), (20, None));
        for (unit, size) in FORCE_UNITS {
            let fault = of_water(20, 1.0 / size).unwrap().fault();
            // A factor of 0.5 is within what bonds differ by.
            match unit {
                "eV/bohr" => assert_eq!(fault, None),
                _ => assert!(fault.as_ref().is_some_and(|text| text.contains(unit)), "{unit}: {fault:?}"),
            }
        }
        let gradients = of_water(20, -1.0).unwrap().fault().unwrap();
        assert!(gradients.starts_with("the labels look like gradients"), "{gradients}");
    }

    #[test]
    fn bond_forces_say_nothing_of_little() {
        assert_eq!(of_water(7, 23.0).unwrap().fault(), None);
        assert_eq!(of_water(1, 1.0), None);
        let argon = System::new(vec![Element::AR; 2], vec![Vec3::zeros(), Vec3::new(2.0, 0.0, 0.0)]).unwrap();
        let forces = [Vec3::zeros(); 2];
        assert_eq!(bond_forces([(&argon, forces.as_slice()); 10]), None);
    }
}
