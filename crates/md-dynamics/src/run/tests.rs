use md_core::{BondLimit, Limits};
use md_core::{Divergence, Vec3};

use super::*;
use crate::fixtures::{Well, argon_atom, at_rest, system, water};
use crate::{Scheme, Target, ThermostatKind, VelocityOptions, VelocityVerlet, thermalise};

/// Records the frames it receives.
struct Notebook {
    stride: u64,
    pages: Vec<Page>,
}

struct Page {
    step: u64,
    ids: Vec<usize>,
    energies: Vec<f64>,
    positions: Vec<Vec3>,
}

impl Notebook {
    fn new(stride: u64) -> Self {
        Notebook { stride, pages: vec![] }
    }

    fn steps(&self) -> Vec<u64> {
        self.pages.iter().map(|page| page.step).collect()
    }
}

impl Observer for Notebook {
    fn stride(&self) -> u64 {
        self.stride
    }

    fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError> {
        self.pages.push(Page {
            step: frame.state.step(),
            ids: frame.ids.to_vec(),
            energies: frame.systems().map(|s| s.conserved_ev()).collect(),
            positions: frame.state.positions().to_vec(),
        });
        Ok(())
    }
}

/// Velocity Verlet that records its calls of `retain_systems`.
struct Attentive(VelocityVerlet, Vec<Vec<usize>>);

impl Integrator for Attentive {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn timestep_fs(&self) -> f64 {
        self.0.timestep_fs()
    }

    fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
        self.0.step(state, potential)
    }

    fn conserved_ev(&self, state: &State) -> Vec<f64> {
        self.0.conserved_ev(state)
    }

    fn retain_systems(&mut self, keep: &[usize]) {
        self.1.push(keep.to_vec());
    }
}

fn verlet() -> VelocityVerlet {
    VelocityVerlet::new(1.0).unwrap()
}

fn steps(steps: u64) -> RunOptions {
    RunOptions { steps, ..RunOptions::default() }
}

fn bad_step(fate: &Fate) -> (u64, Divergence) {
    match fate {
        Fate::Diverged { step, reason } => (*step, reason.clone()),
        Fate::Finished => panic!("finished"),
    }
}

#[test]
fn observers_see_start_and_every_stride() {
    let (mut every, mut third) = (Notebook::new(1), Notebook::new(3));
    let mut state = at_rest(&[argon_atom(0.5)]);
    for _ in 0..2 {
        run(&mut state, &mut verlet(), &mut Well::bottomless(), &mut [&mut every, &mut third], &steps(7))
            .unwrap();
    }
    assert_eq!(every.steps(), [0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14]);
    assert_eq!(third.steps(), [0, 3, 6, 7, 10, 13]);
    assert_eq!(state.step(), 14);
}

/// Amplitudes of 0.5 to 1.5 Å in a well whose energy is NaN from 2 Å on, and some systems that are pushed there: `Well`
/// panics if it receives NaN positions.
#[test]
fn run_drops_diverged_system_without_changing_others() {
    let mut well = Well { k_ev_per_angstrom2: 1.0, edge_angstrom: 2.0 };
    let systems = [argon_atom(0.5), argon_atom(1.9), water(), argon_atom(-1.9), argon_atom(1.5)];
    let start = |keep: &[usize]| {
        let mut state = at_rest(&systems);
        for (atom, velocity) in [(1, 0.01), (5, -0.02)] {
            state.velocities_mut()[atom] = Vec3::new(velocity, 0.0, 0.0);
        }
        state.retain_systems(keep);
        state
    };
    let (mut all, mut good) = (Notebook::new(1), Notebook::new(1));
    let mut state = start(&[0, 1, 2, 3, 4]);
    let mut integrator = Attentive(verlet(), vec![]);
    let fates = run(&mut state, &mut integrator, &mut well, &mut [&mut all], &steps(300)).unwrap();
    assert_eq!(integrator.1, [vec![0, 1, 2, 4], vec![0, 2, 3]], "3 left, then 1");
    let mut undisturbed = start(&[0, 2, 4]);
    let finished = run(&mut undisturbed, &mut verlet(), &mut well, &mut [&mut good], &steps(300)).unwrap();

    assert_eq!(finished, vec![Fate::Finished; 3]);
    assert_eq!([&fates[0], &fates[2], &fates[4]], [&Fate::Finished; 3]);
    assert_eq!(state, undisturbed, "bit for bit");
    let ((first, _), (second, reason)) = (bad_step(&fates[3]), bad_step(&fates[1]));
    assert_eq!(reason, Divergence::NonFiniteEnergy);
    assert!(0 < first && first < second && second < 300, "{first} {second}");
    for (page, good) in all.pages.iter().zip(&good.pages) {
        let there = |id: &usize| (*id != 3 || page.step < first) && (*id != 1 || page.step < second);
        assert_eq!(page.ids, (0..5).filter(there).collect::<Vec<_>>());
        assert!(page.energies.iter().all(|e| e.is_finite()));
        assert!(page.positions.iter().all(|x| x.iter().all(|c| c.is_finite())));
        let of = |id| page.energies[page.ids.iter().position(|i| *i == id).unwrap()];
        assert_eq!([of(0), of(2), of(4)], good.energies[..]);
        assert_eq!((page.positions[0], page.positions.last()), (good.positions[0], good.positions.last()));
    }
    assert_eq!(all.pages.len(), 301);
}

#[test]
fn run_of_batch_equals_systems_alone() {
    let systems = [water(), argon_atom(0.5), water()];
    let (mut both, mut alone) = (at_rest(&systems), Vec::new());
    thermalise(&mut both, &[300.0; 3], &[1, 2, 3], &VelocityOptions::default()).unwrap();
    for s in 0..3 {
        let mut state = both.clone();
        state.retain_systems(&[s]);
        run(&mut state, &mut verlet(), &mut Well::bottomless(), &mut [], &steps(200)).unwrap();
        alone.push(state);
    }
    run(&mut both, &mut verlet(), &mut Well::bottomless(), &mut [], &steps(200)).unwrap();
    for (s, alone) in alone.iter().enumerate() {
        let mut picked = both.clone();
        picked.retain_systems(&[s]);
        assert_eq!(alone, &picked);
    }
}

#[test]
fn run_ends_when_no_system_is_left() {
    let mut well = Well { k_ev_per_angstrom2: 1.0, edge_angstrom: 0.1 };
    let mut notebook = Notebook::new(1);
    let mut state = at_rest(&[argon_atom(0.05), argon_atom(0.08)]);
    state.velocities_mut().fill(Vec3::new(0.03, 0.0, 0.0));
    let fates = run(&mut state, &mut verlet(), &mut well, &mut [&mut notebook], &steps(1_000_000)).unwrap();
    assert_eq!((bad_step(&fates[0]).0, bad_step(&fates[1]).0), (2, 1));
    assert_eq!((state.batch().n_systems(), state.step()), (0, 2));
    assert_eq!(notebook.steps(), [0, 1], "no frame without systems");
    let none = run(&mut state, &mut verlet(), &mut well, &mut [&mut notebook], &steps(5)).unwrap();
    assert_eq!((none, notebook.pages.len()), (vec![], 2));
}

#[test]
fn limits_apply_from_step_zero() {
    let hydrogen = |r| system(&["H", "H"], &[[0.0, 0.0, 0.0], [r, 0.0, 0.0]]);
    let limits = Limits::for_molecule(&hydrogen(0.7), 2.0, 1000.0);
    assert_eq!(limits.bonds, [BondLimit { i: 0, j: 1, limit_angstrom: 1.4 }]);
    let systems = [hydrogen(1.5), hydrogen(0.7), hydrogen(0.7), hydrogen(0.7)];
    let mut state = at_rest(&systems);
    // Separation at 0.09 Å/fs; too hot; within all limits.
    state.velocities_mut()[3].x = 0.09;
    state.velocities_mut()[5].y = 0.0577;
    let mut free = Well { k_ev_per_angstrom2: 0.0, ..Well::bottomless() };
    state.evaluate(&mut free).unwrap();
    let mut options = RunOptions { steps: 10, limits: vec![limits; 4] };
    options.limits[1].max_temperature_k = f64::INFINITY;
    options.limits[2].max_temperature_k = 50.0;
    let fates = run(&mut state, &mut verlet(), &mut free, &mut [], &options).unwrap();
    let (step, reason) = bad_step(&fates[0]);
    let stretched =
        |distance_angstrom| Divergence::BondStretched { i: 0, j: 1, distance_angstrom, limit_angstrom: 1.4 };
    assert_eq!((step, reason), (0, stretched(1.5)));
    let (step, Divergence::BondStretched { distance_angstrom, .. }) = bad_step(&fates[1]) else { panic!() };
    assert_eq!(step, 8, "0.7 + 8 * 0.09 Å");
    assert!((distance_angstrom - 1.42).abs() < 1e-12);
    let (step, Divergence::TooHot { temperature_k, limit_k }) = bad_step(&fates[2]) else { panic!() };
    // ½ m v² = ½ 6 k_B T
    let kinetic = 0.5 * 1.008 * 0.0577_f64.powi(2) * md_core::units::AMU_ANGSTROM2_PER_FS2_IN_EV;
    assert!((temperature_k - kinetic / (3.0 * md_core::units::BOLTZMANN_EV_PER_K)).abs() < 1e-9);
    assert_eq!((step, limit_k), (0, 50.0));
    assert_eq!(fates[3], Fate::Finished);
}

#[test]
fn run_names_non_finite_atom() {
    type Spoil = fn(&mut State);
    let spoils: [(Spoil, Divergence); 2] = [
        (|state| state.positions_mut()[2].y = f64::INFINITY, Divergence::NonFinitePosition { atom: 1 }),
        (|state| state.velocities_mut()[3].z = f64::NAN, Divergence::NonFinitePosition { atom: 2 }),
    ];
    for (spoil, expected) in spoils {
        let mut state = at_rest(&[argon_atom(0.0), water()]);
        spoil(&mut state);
        let fates = run(&mut state, &mut verlet(), &mut Well::bottomless(), &mut [], &steps(3)).unwrap();
        assert_eq!(fates, [Fate::Finished, Fate::Diverged { step: 0, reason: expected }]);
    }
    // The force k x is beyond the largest f64, the energy ½ k x² within it.
    let mut steep = Well { k_ev_per_angstrom2: 1.5e308, ..Well::bottomless() };
    let mut state = State::at_rest(&[argon_atom(1.5)], &mut steep).unwrap();
    let fates = run(&mut state, &mut verlet(), &mut steep, &mut [], &steps(3)).unwrap();
    assert_eq!(fates, [Fate::Diverged { step: 0, reason: Divergence::NonFiniteForce { atom: 0 } }]);
}

#[test]
fn run_rejects_bad_limits_and_strides_before_first_step() {
    let mut state = at_rest(&[water(), argon_atom(0.0)]);
    let mut attempt = |limits: Vec<Limits>, stride| {
        let (mut fine, mut odd) = (Notebook::new(1), Notebook::new(stride));
        let observers: &mut [&mut dyn Observer] = &mut [&mut fine, &mut odd];
        let options = RunOptions { steps: 1, limits };
        run(&mut state, &mut verlet(), &mut Well::bottomless(), observers, &options).unwrap_err().to_string()
    };
    let bond = BondLimit { i: 1, j: 0, limit_angstrom: 1.0 };
    let bonded = Limits { bonds: vec![bond], ..Limits::default() };
    assert_eq!(
        attempt(vec![Limits::default()], 1),
        "limits for 1 systems were given, the batch has 2 (give one set for each, or none)"
    );
    assert_eq!(
        attempt(vec![bonded.clone(), bonded], 1),
        "a bond limit of system 1 names atom 1, but the system has 1 atoms (from 0)"
    );
    for (max_temperature_k, shown) in [(f64::NAN, "NaN"), (0.0, "0"), (-300.0, "-300")] {
        let never = Limits { max_temperature_k, ..Limits::default() };
        assert_eq!(
            attempt(vec![never, Limits::default()], 1),
            format!("a limit of system 0 is {shown} (expected a positive number, infinity for none)")
        );
    }
    assert_eq!(attempt(vec![], 0), "observer 1 has a stride of 0 (expected 1 or more)");
    assert_eq!(state.step(), 0);
}

#[test]
fn observer_error_ends_run() {
    struct FullDisk;
    impl Observer for FullDisk {
        fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError> {
            let step = frame.state.step();
            if step < 3 {
                return Ok(());
            }
            Err(ObserverError { observer: "trajectory".into(), step, source: "disk full".into() })
        }
    }
    let mut state = at_rest(&[water()]);
    let error = run(&mut state, &mut verlet(), &mut Well::bottomless(), &mut [&mut FullDisk], &steps(9));
    assert_eq!(error.unwrap_err().to_string(), "trajectory failed at step 3: disk full");
    assert_eq!(state.step(), 3);
}

/// Systems leave at different steps, observers have different strides: the division into parts does not change the run.
#[test]
fn run_in_parts_equals_whole_run() {
    let systems = [argon_atom(0.5), argon_atom(1.9), water(), argon_atom(-1.9)];
    let seeds = [5, 6, 7, 8];
    let kinds = [
        None,
        Some(ThermostatKind::Langevin { friction_per_ps: 5.0 }),
        Some(ThermostatKind::Bussi { relaxation_fs: 50.0 }),
        Some(ThermostatKind::NoseHoover { relaxation_fs: 50.0 }),
    ];
    for kind in kinds {
        let mut well = Well { k_ev_per_angstrom2: 1.0, edge_angstrom: 2.0 };
        let mut start = at_rest(&systems);
        thermalise(&mut start, &[300.0; 4], &seeds, &VelocityOptions::default()).unwrap();
        for (atom, velocity) in [(1, 0.01), (5, -0.02)] {
            start.velocities_mut()[atom] = Vec3::new(velocity, 0.0, 0.0);
        }
        let scheme = match kind {
            None => Scheme::VelocityVerlet(verlet()),
            Some(kind) => kind.build(1.0, &[Target::Constant(300.0); 4], &seeds, &start).unwrap(),
        };
        let options = RunOptions { steps: 60, limits: vec![Limits::default(); 4] };
        let mut whole = (start.clone(), scheme.clone(), [Notebook::new(1), Notebook::new(7)]);
        let [every, some] = &mut whole.2;
        let fates = run(&mut whole.0, &mut whole.1, &mut well, &mut [every, some], &options).unwrap();
        assert!(fates.iter().any(|f| *f != Fate::Finished) && fates.contains(&Fate::Finished), "{kind:?}");

        for part in [1, 2, 13, 60] {
            let (mut state, mut scheme) = (start.clone(), scheme.clone());
            let (mut every, mut some) = (Notebook::new(1), Notebook::new(7));
            let mut course = Course::new(&state);
            let mut parts = 1;
            loop {
                let observers: &mut [&mut dyn Observer] = &mut [&mut every, &mut some];
                let over =
                    advance(&mut state, &mut scheme, &mut well, observers, &options, &mut course, part);
                if over.unwrap() {
                    break;
                }
                parts += 1;
                (state, scheme, course) = (state.clone(), scheme.clone(), course.clone());
            }
            assert_eq!(parts, 60_u64.div_ceil(part));
            assert_eq!((&state, &scheme, &course.fates), (&whole.0, &whole.1, &fates), "{kind:?}, {part}");
            for (found, expected) in [(every, &whole.2[0]), (some, &whole.2[1])] {
                assert_eq!(found.steps(), expected.steps());
                for (a, b) in found.pages.iter().zip(&expected.pages) {
                    assert_eq!((&a.ids, &a.energies, &a.positions), (&b.ids, &b.energies, &b.positions));
                }
            }
        }
    }
}
