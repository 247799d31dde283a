use md_core::Element;
use md_testkit::defects::{Defect, Defective};

use super::*;
use crate::analytic::LennardJones;

const SOUND: LennardJones = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };

fn argon() -> System {
    let positions = vec![Vec3::zeros(), Vec3::new(3.8, 0.1, 0.0), Vec3::new(1.0, 3.6, 0.4)];
    System::new(vec![Element::AR; 3], positions).unwrap()
}

#[test]
fn ray_jumps_of_smooth_potential_are_zero() {
    for seed in 0..4 {
        let jumps = ray_jumps(&mut SOUND.clone(), &argon(), 6, 12.0, seed).unwrap().jumps;
        assert!(jumps.energy.size_ev < 1e-8, "{jumps:?}");
        assert!(jumps.force.size_ev_per_angstrom < 1e-5, "{jumps:?}");
    }
}

#[test]
fn largest_jumps_locate_truncation_and_its_size() {
    for (jump_ev, cutoff_angstrom) in [(0.5, 5.0), (1e-3, 6.3)] {
        let defect = Defect::Truncated { jump_ev, cutoff_angstrom };
        let mut truncated = Defective::new(SOUND, defect);
        let dimer = System::new(vec![Element::AR; 2], vec![Vec3::zeros(), Vec3::new(2.0, 0.0, 0.0)]).unwrap();
        let path = |r: f64| vec![Vec3::zeros(), Vec3::new(r, 0.0, 0.0)];
        let jumps = largest_jumps(&mut truncated, &dimer, path, (2.5, 8.0), 100).unwrap();
        assert!((jumps.energy.size_ev - jump_ev).abs() < 1e-6, "{jumps:?}");
        assert!((jumps.energy.at_angstrom - cutoff_angstrom).abs() < 1e-6, "{jumps:?}");
        // The force on each of the two atoms drops from jump / cutoff to zero.
        let force = 2_f64.sqrt() * jump_ev / cutoff_angstrom;
        assert!((jumps.force.size_ev_per_angstrom - force).abs() < 1e-2 * force, "{jumps:?}");
        // Two pairs may cross along a ray, one after the other.
        let jumps = ray_jumps(&mut truncated, &argon(), 6, 12.0, 1).unwrap().jumps;
        assert!((jumps.energy.size_ev - jump_ev).abs() < 1e-6, "{jumps:?}");
    }
}

/// Molecules whose atoms have neighbours along the rays. Coordinates of the G2 set (L. A. Curtiss et al., J. Chem.
/// Phys. 106, 1063 (1997)) from ASE 3.29; neopentane and cubane from standard bond lengths.
const MOLECULES: &[(&str, &str)] = &[
    (
        "benzene",
        "C 0 1.3952 0, C 1.2083 0.6976 0, C 1.2083 -0.6976 0, C 0 -1.3952 0, \
         C -1.2083 -0.6976 0, C -1.2083 0.6976 0, H 0 2.4824 0, H 2.1498 1.2412 0, \
         H 2.1498 -1.2412 0, H 0 -2.4824 0, H -2.1498 -1.2412 0, H -2.1498 1.2412 0",
    ),
    ("acetylene", "C 0 0 0.6081, C 0 0 -0.6081, H 0 0 -1.674, H 0 0 1.674"),
    (
        "acetonitrile",
        "C 0 0 -1.1869, C 0 0 0.2739, N 0 0 1.4522, H 0 1.025 -1.5624, \
         H 0.8877 -0.5125 -1.5624, H -0.8877 -0.5125 -1.5624",
    ),
    (
        "furan",
        "O 0 0 1.1633, C 0 1.0947 0.348, C 0 -1.0947 0.348, C 0 0.7132 -0.9622, \
         C 0 -0.7132 -0.9622, H 0 2.0494 0.8511, H 0 -2.0494 0.8511, H 0 1.3708 -1.8197, \
         H 0 -1.3708 -1.8197",
    ),
    (
        "isobutane",
        "C 0 0 0.3769, H 0 0 1.4753, C 0 1.4503 -0.0962, H 0 1.494 -1.1908, \
         H -0.8855 1.9847 0.2613, H 0.8855 1.9847 0.2613, C 1.256 -0.7251 -0.0962, H 1.2938 -0.747 -1.1908, \
         H 2.1615 -0.2255 0.2613, H 1.2761 -1.7592 0.2613, C -1.256 -0.7251 -0.0962, H -1.2938 -0.747 -1.1908, \
         H -1.2761 -1.7592 0.2613, H -2.1615 -0.2255 0.2613",
    ),
    ("cyanogen", "N 0 0 1.8759, C 0 0 0.6906, C 0 0 -0.6906, N 0 0 -1.8759"),
    (
        "neopentane",
        "C 0 0 0, C 0.8891 0.8891 0.8891, H 0.2598 1.5184 1.5184, H 1.5184 0.2598 1.5184, \
         H 1.5184 1.5184 0.2598, C 0.8891 -0.8891 -0.8891, H 0.2598 -1.5184 -1.5184, H 1.5184 -1.5184 -0.2598, \
         H 1.5184 -0.2598 -1.5184, C -0.8891 0.8891 -0.8891, H -1.5184 0.2598 -1.5184, H -1.5184 1.5184 -0.2598, \
         H -0.2598 1.5184 -1.5184, C -0.8891 -0.8891 0.8891, H -1.5184 -1.5184 0.2598, H -1.5184 -0.2598 1.5184, \
         H -0.2598 -1.5184 1.5184",
    ),
    (
        "cubane",
        "C -0.785 -0.785 -0.785, H -1.4143 -1.4143 -1.4143, C -0.785 -0.785 0.785, H -1.4143 -1.4143 1.4143, \
         C -0.785 0.785 -0.785, H -1.4143 1.4143 -1.4143, C -0.785 0.785 0.785, H -1.4143 1.4143 1.4143, \
         C 0.785 -0.785 -0.785, H 1.4143 -1.4143 -1.4143, C 0.785 -0.785 0.785, H 1.4143 -1.4143 1.4143, \
         C 0.785 0.785 -0.785, H 1.4143 1.4143 -1.4143, C 0.785 0.785 0.785, H 1.4143 1.4143 1.4143",
    ),
    (
        "water dimer",
        "O 0 0 0, H 0 0.7632 -0.5963, H 0 -0.7632 -0.5963, O 0 0.6 -2.85, \
         H -0.5963 0.6 -2.0868, H -0.5963 0.6 -3.6132",
    ),
];

fn molecule(atoms: &str) -> System {
    let (elements, positions) = atoms
        .split(", ")
        .map(|atom| {
            let mut words = atom.split_whitespace();
            let element: Element = words.next().unwrap().parse().unwrap();
            (element, Vec3::from_iterator(words.map(|x| x.parse::<f64>().unwrap())))
        })
        .unzip();
    System::new(elements, positions).unwrap()
}

/// A wall as steep as that of nuclei: 20 eV at half the bond length of hydrogen, 1e5 eV at a tenth of an Å.
const STEEP: LennardJones = LennardJones { epsilon_ev: 0.05, sigma_angstrom: 0.6 };

#[test]
fn rays_pass_all_atoms_of_any_molecule() {
    for (name, atoms) in MOLECULES {
        let system = molecule(atoms);
        let mut random = SplitMix64::new(7);
        let displaced = system.positions().iter().map(|x| x + random.in_cube(0.1)).collect();
        let displaced = system.clone().with_positions(displaced).unwrap();
        for (system, seed) in [(&system, 1), (&displaced, 1), (&displaced, 2)] {
            let found = rays(system, 8, seed);
            assert_eq!(found.len(), 8);
            for Ray { atom, direction } in found {
                assert!((direction.norm() - 1.0).abs() < 1e-12);
                for (other, x) in system.positions().iter().enumerate().filter(|(other, _)| *other != atom) {
                    let away = x - system.positions()[atom];
                    let radius = |atom: usize| system.elements()[atom].covalent_radius_angstrom().unwrap();
                    let allowed = away.norm().min(2.0 * (radius(atom) + radius(other)));
                    for step in 0..1200 {
                        let distance = (away - direction * (0.01 * f64::from(step))).norm();
                        assert!(distance > allowed - 1e-9, "{name}: {atom} comes to {distance} of {other}");
                    }
                }
            }
            let jumps = ray_jumps(&mut STEEP.clone(), system, 8, 12.0, seed).unwrap();
            assert!(jumps.jumps.energy.size_ev < 1e-8, "{name}: {jumps:?}");
            assert!(jumps.jumps.force.size_ev_per_angstrom < 1e-5, "{name}: {jumps:?}");
            let Approach { atoms: [a, b], distance_angstrom, radii } = jumps.closest.unwrap();
            let apart = (system.positions()[b] - system.positions()[a]).norm();
            assert!(distance_angstrom <= apart && (0.6..2.0).contains(&radii), "{name}: {jumps:?}");
        }
    }
}

#[test]
fn ray_jumps_find_cutoff_in_every_molecule() {
    for (name, atoms) in MOLECULES {
        let defect = Defect::Truncated { jump_ev: 0.01, cutoff_angstrom: 5.0 };
        let jumps =
            ray_jumps(&mut Defective::new(STEEP, defect), &molecule(atoms), 8, 12.0, 1).unwrap().jumps;
        // Two pairs may cross within 1e-7 Å of each other in a symmetric molecule.
        assert!(jumps.energy.size_ev > 0.01 - 1e-6, "{name}: {jumps:?}");
    }
}

#[test]
fn rays_skip_caged_atom() {
    // Argon at the centre of 20 others: a dodecahedron with edges of 2.1 Å.
    let golden = 0.5 * (1.0 + 5.0_f64.sqrt());
    let mut positions = vec![Vec3::zeros()];
    for signs in 0..8 {
        let sign = |bit: i32| if signs >> bit & 1 == 1 { -1.7 } else { 1.7 };
        positions.push(Vec3::new(sign(0), sign(1), sign(2)));
        if signs < 4 {
            let (a, b) = (sign(0) / golden, sign(1) * golden);
            positions.extend([Vec3::new(0.0, a, b), Vec3::new(a, b, 0.0), Vec3::new(b, 0.0, a)]);
        }
    }
    let cage = System::new(vec![Element::AR; 21], positions).unwrap();
    let found = rays(&cage, 30, 3);
    assert!(found.len() == 30 && found.iter().all(|ray| ray.atom != 0));
}

#[test]
fn rays_exist_for_lone_atom_unknown_radii_and_shell() {
    let atom = System::new(vec![Element::O], vec![Vec3::new(0.3, -2.0, 0.1)]).unwrap();
    let alone = ray_jumps(&mut STEEP.clone(), &atom, 8, 12.0, 1).unwrap();
    assert_eq!(alone, RayJumps { jumps: Jumps::default(), closest: None });

    let oganesson: Element = "Og".parse().unwrap();
    assert_eq!(oganesson.covalent_radius_angstrom(), None);
    let pair = System::new(vec![oganesson; 2], vec![Vec3::zeros(), Vec3::new(2.0, 0.0, 0.0)]).unwrap();
    let closest = ray_jumps(&mut STEEP.clone(), &pair, 4, 12.0, 1).unwrap().closest.unwrap();
    assert!((closest.distance_angstrom - 2.0).abs() < 1e-12 && (closest.radii - 2.0 / 3.38).abs() < 1e-12);

    // Each of 2000 atoms on a sphere has one 2000th of all directions as a way out.
    let mut shell = Vec::new();
    for k in 0..2000 {
        let z = (f64::from(k) + 0.5) / 1000.0 - 1.0;
        let (sin, cos) = (f64::from(k) * std::f64::consts::PI * (3.0 - 5.0_f64.sqrt())).sin_cos();
        shell.push(Vec3::new((1.0 - z * z).sqrt() * cos, (1.0 - z * z).sqrt() * sin, z) * 8.0);
    }
    let shell = System::new(vec![Element::AR; 2000], shell).unwrap();
    let found = rays(&shell, 2, 1);
    assert!(found.len() == 2 && found.iter().all(|ray| leads_out(&shell, ray.atom, &ray.direction)));
    let (outermost, direction) = straight_out(&shell);
    assert!(leads_out(&shell, outermost, &direction));
}
