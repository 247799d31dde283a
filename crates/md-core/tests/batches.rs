//! Tests of batches, states, neighbour lists and sums of potentials.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use md_core::{
    Batch, Cell, Configuration, Divergence, Element, Evaluation, Fate, Frame, Mat3, Potential,
    PotentialError, Request, State, StepError, Sum, System, SystemError, Vec3, bonds, mechanics, neighbours,
};
use md_probe::analytic::{HarmonicWell, LennardJones};
use proptest::prelude::*;

fn argon() -> LennardJones {
    LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 }
}

/// Argon atoms on a jittered line, about 3.5 to 4.5 Å apart.
fn chain(gaps: &[f64]) -> System {
    let mut x = 0.0;
    let positions = gaps.iter().enumerate().map(|(i, gap)| {
        x += gap;
        Vec3::new(x, 0.3 * (i % 3) as f64, -0.2 * (i % 2) as f64)
    });
    System::new(vec![Element::AR; gaps.len()], positions.collect()).unwrap()
}

fn systems() -> impl Strategy<Value = Vec<System>> {
    prop::collection::vec(prop::collection::vec(3.5..4.5, 1..6), 1..5)
        .prop_map(|all| all.iter().map(|gaps| chain(gaps)).collect())
}

fn evaluate(potential: &mut dyn Potential, systems: &[System]) -> Evaluation {
    let (batch, positions) = (Batch::new(systems), Batch::gather_positions(systems));
    let mut out = Evaluation::default();
    let configuration = Configuration { batch: &batch, positions: &positions };
    potential.evaluate(configuration, Request::FORCES, &mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn select_equals_batch_of_selected_systems(all in systems(), picks in any::<u8>()) {
        let keep: Vec<usize> = (0..all.len()).filter(|s| picks >> s & 1 == 1).collect();
        let kept: Vec<System> = keep.iter().map(|&s| all[s].clone()).collect();
        let batch = Batch::new(&all);
        prop_assert_eq!(batch.select(&keep), Batch::new(&kept));
        prop_assert_eq!(evaluate(&mut argon(), &all).select(&batch, &keep), evaluate(&mut argon(), &kept));

        let mut state = State::at_rest(&all, &mut argon()).unwrap();
        let mut alone = State::at_rest(&kept, &mut argon()).unwrap();
        state.retain_systems(&keep);
        prop_assert_eq!(&state, &alone);
        for state in [&mut state, &mut alone] {
            state.kick(0.7);
            state.drift(0.7);
            state.evaluate(&mut argon()).unwrap();
            state.advance(0.7);
        }
        prop_assert_eq!(state, alone);
    }

    #[test]
    fn kick_and_drift_are_reversible(all in systems(), dt in 0.1..5.0) {
        let start = State::at_rest(&all, &mut argon()).unwrap();
        let mut state = start.clone();
        state.kick(dt);
        state.drift(dt);
        state.drift(-dt);
        state.kick(-dt);
        for (now, then) in state.positions().iter().zip(start.positions()) {
            prop_assert!((now - then).norm() < 1e-12);
        }
        prop_assert!(state.velocities().iter().all(|v| v.norm() < 1e-15));
    }

    #[test]
    fn sum_adds_potentials(gaps in prop::collection::vec(3.5..4.5, 1..6), k in 0.1..2.0, shift in 0.1..1.0) {
        let system = [chain(&gaps)];
        let centres: Vec<Vec3> = system[0].positions().iter().map(|x| x + Vec3::repeat(shift)).collect();
        let well = || HarmonicWell { stiffness_ev_per_angstrom2: k, centres: centres.clone() };
        let mut sum = Sum::new(vec![Box::new(argon()), Box::new(well())]);
        let [both, pairs, wells] =
            [evaluate(&mut sum, &system), evaluate(&mut argon(), &system), evaluate(&mut well(), &system)];
        prop_assert_eq!(both.energies[0], pairs.energies[0] + wells.energies[0]);
        for ((both, pair), well) in both.forces.iter().zip(&pairs.forces).zip(&wells.forces) {
            prop_assert_eq!(*both, pair + well);
        }
        prop_assert!(sum.name().contains(" + "));
    }

    /// Few atoms, for which all pairs are visited, and many, for which cells are used: in boxes of any shape (flat
    /// ones, too), with atoms far away and atoms at NaN.
    #[test]
    fn neighbours_match_brute_force_within_cutoff(
        points in prop_oneof![
            prop::collection::vec(prop::array::uniform3(-1.0..1.0_f64), 0..30),
            prop::collection::vec(prop::array::uniform3(-1.0..1.0_f64), 201..600),
        ],
        size in prop::array::uniform3(prop_oneof![Just(0.0), 0.1..30.0]),
        odd in prop::collection::vec((0..600_usize, prop_oneof![Just(f64::NAN), Just(1e300), Just(f64::INFINITY), Just(-1e6)]), 0..3),
        cutoff in 0.5..5.0,
    ) {
        let mut points: Vec<Vec3> =
            points.into_iter().map(|x| Vec3::from(x).component_mul(&Vec3::from(size))).collect();
        for (atom, value) in odd {
            if let Some(point) = points.get_mut(atom) {
                point.y = value;
            }
        }
        let mut found = Vec::new();
        neighbours::for_each_pair(&points, cutoff, |p| {
            assert_eq!(p.displacement, points[p.j] - points[p.i]);
            assert!((p.distance - p.displacement.norm()).abs() < 1e-12);
            found.push((p.i, p.j));
        });
        let mut expected = Vec::new();
        for i in 0..points.len() {
            for j in i + 1..points.len() {
                if (points[j] - points[i]).norm_squared() <= cutoff * cutoff {
                    expected.push((i, j));
                }
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn momentum_and_spin_of_rigid_motion_match_rigid_body(
        all in prop::collection::vec(3.5..4.5, 2..6),
        omega in prop::array::uniform3(-0.1..0.1_f64),
        drift in prop::array::uniform3(-0.1..0.1_f64),
    ) {
        let system = chain(&all);
        let (omega, drift) = (Vec3::from(omega), Vec3::from(drift));
        let masses = system.masses_amu();
        let centre = mechanics::centre_of_mass(masses, system.positions());
        let velocities: Vec<Vec3> =
            system.positions().iter().map(|x| drift + omega.cross(&(x - centre))).collect();
        let total: f64 = masses.iter().sum();
        prop_assert!((mechanics::momentum(masses, &velocities) - drift * total).norm() < 1e-10);
        let spin = mechanics::angular_momentum(masses, system.positions(), &velocities);
        let expected = mechanics::inertia(masses, system.positions()) * omega;
        prop_assert!((spin - expected).norm() <= 1e-10 * (1.0 + expected.norm()));
    }
}

#[test]
fn system_new_rejects_invalid_geometry_naming_atom() {
    let at = |x: f64| Vec3::new(x, 0.0, 0.0);
    let new = |n: usize, positions: Vec<Vec3>| System::new(vec![Element::H; n], positions).unwrap_err();
    assert_eq!(new(0, vec![]), SystemError::Empty);
    assert_eq!(
        new(2, vec![at(0.0)]),
        SystemError::Length { elements: 2, found: 1, what: "positions".to_owned() }
    );
    assert!(matches!(new(2, vec![at(0.0), at(f64::NAN)]), SystemError::NonFinitePosition { atom: 1, .. }));
    let coincident = new(3, vec![at(0.0), at(1.0), at(1.01)]);
    let many: Vec<Vec3> =
        (0..100_000).map(|i| Vec3::new(0.1 * f64::from(i % 300), 0.1 * f64::from(i / 300), 0.0)).collect();
    let far = [&many[..], &[Vec3::repeat(1e200)]].concat();
    assert!(System::new(vec![Element::H; far.len()], far.clone()).is_ok(), "one atom far away costs nothing");
    let twice = [&far[..], &[many[77], many[5]]].concat();
    assert!(matches!(new(100_003, twice), SystemError::Coincident { first: 5, second: 100_002, .. }));
    let heap = new(100_000, vec![at(3.0); 100_000]);
    assert!(matches!(heap, SystemError::Coincident { first: 0, second: 1, .. }));
    assert!(matches!(coincident, SystemError::Coincident { first: 1, second: 2, .. }));
    assert!(coincident.to_string().starts_with("atoms 1 and 2 coincide (0.0100 Å apart"), "{coincident}");

    let h2 = System::new(vec![Element::H; 2], vec![at(0.0), at(0.74)]).unwrap();
    assert_eq!(bonds::find(&h2, bonds::DEFAULT_SCALE).len(), 1);
    assert!(
        matches!(h2.clone().with_masses_amu(vec![1.0]), Err(SystemError::Length { what, .. }) if what == "masses")
    );
    for bad in [0.0, -1.0, f64::NAN] {
        assert!(matches!(h2.clone().with_masses_amu(vec![1.0, bad]), Err(SystemError::Mass { atom: 1, .. })));
    }
    let deuterium = h2.clone().with_masses_amu(vec![2.014; 2]).unwrap();
    let moved = deuterium.with_positions(vec![at(0.0), at(0.8)]).unwrap();
    assert_eq!(moved.masses_amu(), [2.014; 2], "isotopes stay");
    assert!(matches!(h2.with_positions(vec![at(0.0), at(0.0)]), Err(SystemError::Coincident { .. })));
}

#[test]
fn potential_check_refuses_unsupported_cell_and_stress() {
    let flat = Mat3::new(1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 1.0);
    assert_eq!(Cell::new(flat, [true; 3]), Err(SystemError::FlatCell));
    assert_eq!(Cell::new(Mat3::repeat(f64::NAN), [true; 3]), Err(SystemError::FlatCell));
    let cell = Cell::new(Mat3::identity() * 10.0, [true, true, false]).unwrap();
    assert!((cell.volume_angstrom3() - 1000.0).abs() < 1e-9);
    assert_eq!((cell.periodic(), cell.vectors()[(0, 0)]), ([true, true, false], 10.0));

    let open = chain(&[3.8, 3.8]);
    let periodic = open.clone().with_cell(cell.clone());
    assert_eq!(periodic.cell(), Some(&cell));
    assert_eq!(Batch::new(std::slice::from_ref(&periodic)).cell(0), Some(&cell));
    let refusal =
        |system: &System, request| argon().check(&Batch::new(std::slice::from_ref(system)), request);
    assert!(refusal(&open, Request::FORCES).is_ok());
    for (system, request, expected) in
        [(&periodic, Request::FORCES, "periodic cells"), (&open, Request::STRESS, "stress")]
    {
        match refusal(system, request) {
            Err(PotentialError::Unsupported { what, .. }) => assert!(what.starts_with(expected), "{what}"),
            other => panic!("{other:?}"),
        }
    }
    let mut boxed: Box<dyn Potential> = Box::new(argon());
    assert_eq!(boxed.name(), argon().name());
    assert!(boxed.check(&Batch::new(&[periodic]), Request::ENERGY).is_err());
    assert_eq!(
        evaluate(&mut boxed, std::slice::from_ref(&open)),
        evaluate(&mut argon(), std::slice::from_ref(&open))
    );
    let batch = Batch::new(&[open]);
    assert!(Sum::new(vec![boxed]).check(&batch, Request::STRESS).is_err());

    let short = Configuration { batch: &batch, positions: &[Vec3::zeros()] };
    assert!(matches!(short.check_length(), Err(PotentialError::Length { expected: 2, found: 1 })));
    let answer = argon().evaluate(short, Request::FORCES, &mut Evaluation::default());
    assert!(matches!(answer, Err(PotentialError::Length { .. })));
}

#[test]
fn state_velocities_and_frames_are_per_system() {
    let all = [chain(&[3.8, 3.8]), chain(&[4.0])];
    let mut state = State::at_rest(&all, &mut argon()).unwrap();
    assert_eq!(state.degrees_of_freedom(), [6, 3]);
    let refused = state.set_velocities(vec![Vec3::zeros(); 2], vec![6, 3]).unwrap_err();
    assert!(matches!(refused, StepError::Length { what: "velocities", expected: 3, found: 2 }));
    assert!(state.set_velocities(vec![Vec3::zeros(); 3], vec![6]).is_err());

    let velocities = vec![Vec3::zeros(), Vec3::new(0.0, 0.01, 0.0), Vec3::new(0.0, 0.0, 0.02)];
    state.set_velocities(velocities.clone(), vec![3, 3]).unwrap();
    state.positions_mut()[0].z += 0.5;
    state.velocities_mut()[0].z = 0.01;
    state.evaluate(&mut argon()).unwrap();

    let conserved = [1.0, 2.0];
    let frame = Frame { state: &state, ids: &[4, 7], conserved_ev: &conserved };
    let systems: Vec<_> = frame.systems().collect();
    assert_eq!(systems.iter().map(|s| (s.id, s.conserved_ev())).collect::<Vec<_>>(), [(4, 1.0), (7, 2.0)]);
    assert_eq!((systems[1].positions().len(), systems[1].velocities()), (1, &velocities[2..]));
    assert_eq!((systems[0].step(), systems[0].time_fs()), (0, 0.0));
    assert_eq!(systems[0].elements(), [Element::AR; 2]);
    assert_eq!(systems[0].forces()[0], -systems[0].forces()[1]);
    assert_eq!(systems[1].potential_energy_ev(), 0.0);
    // ½ m v² of one argon atom at 0.02 Å/fs, and 3 degrees of freedom.
    let kinetic = 0.5 * Element::AR.mass_amu() * 4e-4 * md_core::units::AMU_ANGSTROM2_PER_FS2_IN_EV;
    assert!((systems[1].kinetic_energy_ev() - kinetic).abs() < 1e-15);
    assert!((systems[1].temperature_k() - mechanics::temperature_k(kinetic, 3)).abs() < 1e-9);
    assert_eq!(systems[1].angular_momentum(), Vec3::zeros());
    assert!(systems[0].angular_momentum().norm() > 0.0);
}

#[test]
fn fate_display_states_reason_with_numbers() {
    let diverged = |reason| Fate::Diverged { step: 87, reason }.to_string();
    let stretched = Divergence::BondStretched { i: 0, j: 2, distance_angstrom: 1.93, limit_angstrom: 1.92 };
    let error = SystemError::Coincident { first: 1, second: 4, distance_angstrom: 0.01 };
    for (reason, text) in [
        (Divergence::NonFiniteEnergy, "the energy is not finite"),
        (Divergence::NonFiniteForce { atom: 3 }, "the force on atom 3 is not finite"),
        (Divergence::NonFinitePosition { atom: 5 }, "the position or velocity of atom 5 is not finite"),
        (stretched, "the bond 0-2 stretched to 1.930 Å (limit 1.920 Å)"),
        (
            Divergence::TooHot { temperature_k: 4545.2, limit_k: 4000.0 },
            "the temperature rose to 4545 K (limit 4000 K)",
        ),
        (Divergence::InvalidGeometry { error }, "the geometry became invalid: atoms 1 and 4 coincide"),
    ] {
        assert!(diverged(reason).starts_with(&format!("diverged at step 87: {text}")), "{text}");
    }
    assert_eq!(Fate::Finished.to_string(), "finished");
}
