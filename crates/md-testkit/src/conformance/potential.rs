use md_core::{Potential, System};
use md_probe::{Deviation, ProbeError};

use super::{Check, Limit, Report};

/// Tolerances of [`potential`]. `None` omits a check, for potentials without the symmetry.
#[derive(Debug, Clone, PartialEq)]
pub struct Tolerances {
    /// Displacement h of [`md_probe::force_gradient`], Å.
    pub h_angstrom: f64,
    /// Largest error of a force component against the gradient, eV/Å.
    pub force_gradient_ev_per_angstrom: f64,
    /// Deviation under proper rotation.
    pub rotation: Option<Deviation>,
    /// Deviation under improper rotation.
    pub reflection: Option<Deviation>,
    /// Deviation under translation.
    pub translation: Option<Deviation>,
    /// Deviation under permutation of atoms.
    pub permutation: Option<Deviation>,
    /// Net force, eV/Å.
    pub net_force_ev_per_angstrom: Option<f64>,
    /// Net torque about the centroid, eV.
    pub net_torque_ev: Option<f64>,
    /// Deviation between a system alone and in a batch.
    pub batch: Deviation,
    /// Deviation between repeated evaluations.
    pub determinism: Deviation,
    /// Deviation between a fresh buffer and a used one, and with and without forces.
    pub buffer: Deviation,
    /// Number of random rotations, shifts and permutations per system.
    pub trials: usize,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Tolerances {
    /// Tolerances for a potential in f64 on a CPU: symmetries to rounding (1e-9 eV and eV/Å for energies of up to about
    /// 1e4 eV), the rest bitwise, gradients to 1e-7 eV/Å.
    pub fn double() -> Self {
        Tolerances::new(1e-4, 1e-7, 1e-9, Deviation::NONE)
    }

    /// Tolerances for a potential in f32 on any device: 1e-3 eV and eV/Å for symmetries and batches, 5e-3 eV/Å for
    /// gradients, repeated evaluations to 1e-4. Meant for energies of up to about 1e3 eV, where f32 rounds at 6e-5 eV.
    pub fn single() -> Self {
        let repeated = Deviation { energy_ev: 1e-4, force_ev_per_angstrom: 1e-4 };
        let mut single = Tolerances::new(0.04, 5e-3, 1e-3, repeated);
        single.batch = Deviation { energy_ev: 1e-3, force_ev_per_angstrom: 1e-3 };
        single
    }

    fn new(h_angstrom: f64, gradient: f64, symmetry: f64, repeated: Deviation) -> Self {
        let symmetric = Some(Deviation { energy_ev: symmetry, force_ev_per_angstrom: symmetry });
        Tolerances {
            h_angstrom,
            force_gradient_ev_per_angstrom: gradient,
            rotation: symmetric,
            reflection: symmetric,
            translation: symmetric,
            permutation: symmetric,
            net_force_ev_per_angstrom: Some(symmetry),
            net_torque_ev: Some(symmetry),
            batch: repeated,
            determinism: repeated,
            buffer: repeated,
            trials: 8,
            seed: 1,
        }
    }

    /// For a potential that identifies atoms by their index (bonds, wells): no permutation check.
    #[must_use]
    pub fn with_labelled_atoms(self) -> Self {
        Tolerances { permutation: None, ..self }
    }

    /// For a potential that is fixed in space (wells, walls): no checks of rotation, reflection, translation, net force
    /// and torque.
    #[must_use]
    pub fn in_external_field(self) -> Self {
        Tolerances {
            rotation: None,
            reflection: None,
            translation: None,
            net_force_ev_per_angstrom: None,
            net_torque_ev: None,
            ..self
        }
    }
}

/// Runs all of [`md_probe`] on a potential; each value is the worst over `systems`.
///
/// Pass several systems of different size, away from equilibrium and without symmetry: if forces are zero or atoms
/// equivalent, many faults are not detected.
///
/// # Errors
/// [`ProbeError`] if the potential rejects a system or returns a result of the wrong shape.
pub fn potential(
    potential: &mut dyn Potential,
    systems: &[System],
    tolerances: &Tolerances,
) -> Result<Report, ProbeError> {
    let t = tolerances;
    let mut checks = Vec::new();
    let mut gradients = Vec::new();
    for system in systems {
        gradients.push(md_probe::force_gradient(potential, system, t.h_angstrom)?.max_ev_per_angstrom);
    }
    checks.push(worst("force_gradient", &gradients, t.force_gradient_ev_per_angstrom, "eV/Å"));

    type Trial = fn(&mut dyn Potential, &System, usize, u64) -> Result<Deviation, ProbeError>;
    let symmetries: [(_, Trial, _); 4] = [
        (["rotation_energy", "rotation_force"], md_probe::rotation, t.rotation),
        (["reflection_energy", "reflection_force"], md_probe::reflection, t.reflection),
        (["translation_energy", "translation_force"], md_probe::translation, t.translation),
        (["permutation_energy", "permutation_force"], md_probe::permutation, t.permutation),
    ];
    for (ids, trial, tolerance) in symmetries {
        if let Some(tolerance) = tolerance {
            let mut found = Vec::new();
            for system in systems {
                found.push(trial(potential, system, t.trials, t.seed)?);
            }
            checks.extend(worst_deviation(ids, &found, tolerance));
        }
    }

    type Total = fn(&mut dyn Potential, &System) -> Result<f64, ProbeError>;
    let totals: [(_, Total, _, _); 2] = [
        ("net_force", md_probe::net_force, t.net_force_ev_per_angstrom, "eV/Å"),
        ("net_torque", md_probe::net_torque, t.net_torque_ev, "eV"),
    ];
    for (id, total, tolerance, unit) in totals {
        if let Some(tolerance) = tolerance {
            let mut found = Vec::new();
            for system in systems {
                found.push(total(potential, system)?);
            }
            checks.push(worst(id, &found, tolerance, unit));
        }
    }

    let batched = md_probe::batch(potential, systems)?;
    checks.extend(worst_deviation(["batch_energy", "batch_force"], &batched, t.batch));
    let (mut repeated, mut buffered) = (Vec::new(), Vec::new());
    for system in systems {
        repeated.push(md_probe::determinism(potential, system, t.seed)?);
        buffered.push(md_probe::buffer(potential, system)?);
    }
    checks.extend(worst_deviation(["determinism_energy", "determinism_force"], &repeated, t.determinism));
    checks.extend(worst_deviation(["buffer_energy", "buffer_force"], &buffered, t.buffer));
    Ok(Report { subject: potential.name().to_owned(), checks })
}

fn worst_deviation(
    [energy, force]: [&'static str; 2],
    found: &[Deviation],
    tolerance: Deviation,
) -> [Check; 2] {
    let energies: Vec<f64> = found.iter().map(|d| d.energy_ev).collect();
    let forces: Vec<f64> = found.iter().map(|d| d.force_ev_per_angstrom).collect();
    [
        worst(energy, &energies, tolerance.energy_ev, "eV"),
        worst(force, &forces, tolerance.force_ev_per_angstrom, "eV/Å"),
    ]
}

fn worst(id: &'static str, values: &[f64], tolerance: f64, unit: &'static str) -> Check {
    let value = md_probe::largest(values.iter().copied());
    let system = values.iter().position(|v| v.to_bits() == value.to_bits());
    Check { id, value, limit: Limit::AtMost(tolerance), unit, system }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md_core::{Batch, Configuration, Element, Evaluation, PotentialError, Request, Sum, System, Vec3};
    use md_probe::analytic::{
        Control, HarmonicAngle, HarmonicAngles, HarmonicBond, HarmonicBonds, HarmonicWell, LennardJones,
        Morse, Pairs,
    };
    use md_probe::random::SplitMix64;

    /// Distorted molecules of 4, 3 and 6 atoms with their centroids at the origin.
    fn systems() -> Vec<System> {
        [("C N O H", 1), ("O H H", 2), ("C O N H H C", 3)]
            .map(|(symbols, seed)| {
                let mut random = SplitMix64::new(seed);
                let elements: Vec<Element> = symbols.split(' ').map(|s| s.parse().unwrap()).collect();
                let grid = |i: usize| Vec3::new((i % 2) as f64, (i / 2 % 2) as f64, (i / 4) as f64) * 1.2;
                let x: Vec<Vec3> = (0..elements.len()).map(|i| grid(i) + random.in_cube(0.2)).collect();
                let centre = x.iter().sum::<Vec3>() / x.len() as f64;
                System::new(elements, x.iter().map(|x| x - centre).collect()).unwrap()
            })
            .to_vec()
    }

    fn morse() -> Morse {
        Morse { depth_ev: 2.0, steepness_per_angstrom: 1.5, r0_angstrom: 1.2, pairs: Pairs::All }
    }

    fn passes(mut subject: impl Potential, systems: &[System], tolerances: &Tolerances) {
        potential(&mut subject, systems, tolerances).unwrap().assert_all();
    }

    #[test]
    fn potential_passes_every_analytic_potential() {
        let all = systems();
        let free = Tolerances::double();
        let labelled = Tolerances::double().with_labelled_atoms();
        passes(LennardJones { epsilon_ev: 0.2, sigma_angstrom: 1.1 }, &all, &free);
        passes(morse(), &all, &free);
        let list = Pairs::List(vec![(0, 1), (2, 0)]);
        passes(Morse { pairs: list, ..morse() }, &all, &labelled);
        let bonds = [[0, 1], [1, 2]].map(|atoms| HarmonicBond {
            atoms,
            stiffness_ev_per_angstrom2: 20.0,
            r0_angstrom: 1.0,
        });
        passes(HarmonicBonds(bonds.to_vec()), &all, &labelled);
        let angles = [([0, 1, 2], 1.9), ([1, 2, 0], std::f64::consts::PI)]
            .map(|(atoms, theta0_rad)| HarmonicAngle { atoms, stiffness_ev_per_rad2: 4.0, theta0_rad });
        passes(HarmonicAngles(angles.to_vec()), &all, &labelled);
        let centres = vec![Vec3::zeros(), Vec3::x(), Vec3::y()];
        let well = HarmonicWell { stiffness_ev_per_angstrom2: 3.0, centres };
        passes(well, &all[1..2], &labelled.clone().in_external_field());
        // The control at geometries other than its reference geometries.
        let control = Control::new(&all).unwrap();
        let mut random = SplitMix64::new(9);
        let distorted: Vec<System> = all
            .iter()
            .map(|s| {
                let x = s.positions().iter().map(|x| x + random.in_cube(0.1)).collect();
                s.clone().with_positions(x).unwrap()
            })
            .collect();
        passes(control, &distorted, &labelled);
    }

    /// `Potential::evaluate` with a fault; the counter is that of previous calls.
    type Fault =
        fn(&mut Morse, Configuration<'_>, Request, &mut Evaluation, u32) -> Result<(), PotentialError>;

    struct Broken {
        inner: Morse,
        fault: Fault,
        calls: u32,
    }

    impl Potential for Broken {
        fn name(&self) -> &str {
            "broken"
        }
        fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
            self.inner.check(batch, request)
        }
        fn evaluate(
            &mut self,
            c: Configuration<'_>,
            request: Request,
            out: &mut Evaluation,
        ) -> Result<(), PotentialError> {
            self.calls += 1;
            (self.fault)(&mut self.inner, c, request, out, self.calls - 1)
        }
    }

    fn assert_caught(fault: Fault, expected: &[&str]) {
        let mut broken = Broken { inner: morse(), fault, calls: 0 };
        let report = potential(&mut broken, &systems(), &Tolerances::double()).unwrap();
        let failed: Vec<_> = report.failures().iter().map(|check| check.id).collect();
        assert_eq!(failed, expected, "{report}");
    }

    #[test]
    fn potential_catches_force_that_is_no_gradient() {
        assert_caught(
            |inner, c, request, out, _| {
                inner.evaluate(c, request, out)?;
                out.forces.iter_mut().for_each(|f| *f *= 1.001);
                Ok(())
            },
            &["force_gradient"],
        );
    }

    #[test]
    fn potential_catches_mixed_components() {
        // A fault of the forces only.
        assert_caught(
            |inner, c, request, out, _| {
                inner.evaluate(c, request, out)?;
                out.forces.iter_mut().for_each(|f| *f += Vec3::new(1e-4 * f.y, 0.0, 0.0));
                Ok(())
            },
            &["force_gradient", "rotation_force", "reflection_force", "net_torque"],
        );
        // A transformation of space with the consistent forces: E(Mx) and Mᵀ F(Mx).
        assert_caught(
            |inner, c, request, out, _| {
                let sheared: Vec<Vec3> =
                    c.positions.iter().map(|x| x + Vec3::new(1e-4 * x.y, 0.0, 0.0)).collect();
                inner.evaluate(Configuration { positions: &sheared, ..c }, request, out)?;
                out.forces.iter_mut().for_each(|f| *f += Vec3::new(0.0, 1e-4 * f.x, 0.0));
                Ok(())
            },
            &["rotation_energy", "rotation_force", "reflection_energy", "reflection_force", "net_torque"],
        );
    }

    /// A signed volume distinguishes a molecule from its mirror image.
    #[test]
    fn potential_catches_chirality() {
        assert_caught(
            |inner, c, request, out, _| {
                inner.evaluate(c, request, out)?;
                for (s, atoms) in c.batch.ranges().enumerate().filter(|(_, atoms)| atoms.len() == 4) {
                    let mut order: Vec<usize> = atoms.collect();
                    order.sort_by_key(|&i| c.batch.elements()[i]);
                    let [a, b, d] = [1, 2, 3].map(|k| c.positions[order[k]] - c.positions[order[0]]);
                    out.energies[s] += 1e-3 * a.cross(&b).dot(&d);
                    if request.forces {
                        let gradients = [b.cross(&d), d.cross(&a), a.cross(&b)];
                        for (k, gradient) in gradients.into_iter().enumerate() {
                            out.forces[order[k + 1]] -= gradient * 1e-3;
                            out.forces[order[0]] += gradient * 1e-3;
                        }
                    }
                }
                Ok(())
            },
            &["reflection_energy", "reflection_force"],
        );
    }

    #[test]
    fn potential_catches_dependence_on_position_in_space() {
        // A spring from the centroid to the origin, where the centroid is at the start.
        assert_caught(
            |inner, c, request, out, _| {
                inner.evaluate(c, request, out)?;
                for (s, atoms) in c.batch.ranges().enumerate() {
                    let sum: Vec3 = c.positions[atoms.clone()].iter().sum();
                    out.energies[s] += 0.5e-3 * sum.norm_squared();
                    if request.forces {
                        out.forces[atoms].iter_mut().for_each(|f| *f -= sum * 1e-3);
                    }
                }
                Ok(())
            },
            &["translation_energy", "translation_force"],
        );
        // A constant field.
        assert_caught(
            |inner, c, request, out, _| {
                inner.evaluate(c, request, out)?;
                for (s, atoms) in c.batch.ranges().enumerate() {
                    out.energies[s] -= 1e-3 * c.positions[atoms].iter().map(|x| x.z).sum::<f64>();
                }
                out.forces.iter_mut().for_each(|f| f.z += 1e-3);
                Ok(())
            },
            &["rotation_force", "reflection_force", "translation_energy", "net_force"],
        );
    }

    #[test]
    fn potential_catches_dependence_on_atom_order() {
        let first = Morse { depth_ev: 1e-3, pairs: Pairs::List(vec![(0, 1)]), ..morse() };
        let mut sum = Sum::new(vec![Box::new(morse()), Box::new(first)]);
        let report = potential(&mut sum, &systems(), &Tolerances::double()).unwrap();
        let failed: Vec<_> = report.failures().iter().map(|check| check.id).collect();
        assert_eq!(failed, ["permutation_energy", "permutation_force"], "{report}");
    }

    #[test]
    fn potential_catches_dependence_on_batch_bitwise() {
        assert_caught(
            |inner, c, request, out, _| {
                inner.evaluate(c, request, out)?;
                let n = c.batch.n_systems() as f64;
                out.energies.iter_mut().for_each(|e| *e *= 1.0 + 1e-15 * n);
                Ok(())
            },
            &["batch_energy"],
        );
        // Depends only on the index in the batch.
        assert_caught(
            |inner, c, request, out, _| {
                inner.evaluate(c, request, out)?;
                if let Some(last) = out.forces.last_mut() {
                    *last *= 1.0 + 1e-15;
                }
                Ok(())
            },
            &["batch_force"],
        );
    }

    #[test]
    fn potential_catches_dependence_on_earlier_calls_bitwise() {
        let caught = ["batch_energy", "determinism_energy", "buffer_energy"];
        assert_caught(
            |inner, c, request, out, calls| {
                inner.evaluate(c, request, out)?;
                out.energies.iter_mut().for_each(|e| *e += 1e-13 * f64::from(calls));
                Ok(())
            },
            &caught,
        );
        assert_caught(
            |inner, c, request, out, calls| {
                inner.evaluate(c, request, out)?;
                out.energies.iter_mut().for_each(|e| *e += 1e-13 * f64::from(calls % 2));
                Ok(())
            },
            &caught,
        );
    }

    #[test]
    fn potential_catches_dependence_on_buffer_and_request() {
        assert_caught(
            |inner, c, request, out, _| {
                let mut right = Evaluation::default();
                inner.evaluate(c, request, &mut right)?;
                out.energies = right.energies;
                out.forces.resize(right.forces.len(), Vec3::zeros()); // stale numbers remain
                out.forces.iter_mut().zip(right.forces).for_each(|(f, right)| *f += right);
                Ok(())
            },
            &["buffer_force"],
        );
        assert_caught(
            |inner, c, request, out, _| {
                inner.evaluate(c, request, out)?;
                if !request.forces {
                    out.energies.iter_mut().for_each(|e| *e += 1e-6);
                }
                Ok(())
            },
            &["buffer_energy"],
        );
    }

    #[test]
    fn potential_fails_nan_and_rejects_wrong_shape() {
        let mut nan = Broken {
            inner: Morse { r0_angstrom: f64::NAN, ..morse() },
            fault: |inner, c, request, out, _| inner.evaluate(c, request, out),
            calls: 0,
        };
        let report = potential(&mut nan, &systems(), &Tolerances::double()).unwrap();
        assert_eq!(report.failures().len(), report.checks.len(), "{report}");
        let mut short = Broken {
            inner: morse(),
            fault: |inner, c, request, out, _| {
                inner.evaluate(c, request, out)?;
                out.forces.pop();
                Ok(())
            },
            calls: 0,
        };
        let error = potential(&mut short, &systems(), &Tolerances::double()).unwrap_err().to_string();
        assert!(error.contains("broken answered 3 forces where 4 were asked for"), "{error}");
    }
}
