use md_core::{Batch, Cell, Configuration, Element, Evaluation, Mat3, PotentialError, Request, System, Vec3};
use md_dynamics::{VelocityOptions, VelocityVerlet, thermalise};
use md_probe::analytic::{Control, Morse, Pairs};
use md_testkit::defects::{Defect, Defective};

use super::*;

fn methane() -> System {
    let d = 1.09 / 3_f64.sqrt();
    let corners = [(1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0)];
    let mut positions = vec![Vec3::zeros()];
    positions.extend(corners.map(|(x, y, z)| Vec3::new(x, y, z) * d));
    System::new([vec![Element::C], vec![Element::H; 4]].concat(), positions).unwrap()
}

fn control() -> Control {
    Control::new(&[methane()]).unwrap()
}

fn start(potential: &mut dyn Potential, system: &System, kelvins: f64) -> State {
    let mut state = State::at_rest(std::slice::from_ref(system), potential).unwrap();
    thermalise(&mut state, &[kelvins], &[3], &VelocityOptions::default()).unwrap();
    state
}

fn verlet(dt: f64) -> Result<Box<dyn Integrator>, StepError> {
    Ok(Box::new(VelocityVerlet::new(dt)?))
}

fn diagnose_with(
    potential: &mut dyn Potential,
    oracle: &mut dyn Potential,
    timestep_fs: f64,
    make_integrator: MakeIntegrator<'_>,
) -> Attribution {
    let start = start(potential, &methane(), 500.0);
    let limits = Limits::for_molecule(&methane(), 2.0, 6000.0);
    let found = diagnose(Case {
        start: &start,
        timestep_fs,
        steps: (500.0 / timestep_fs) as u64,
        limits,
        tolerance_mev_per_atom_per_ps: 1.0,
        make_integrator,
        potential,
        oracle,
        control: Some(&mut control()),
    })
    .unwrap();
    // The parts sum to the change of the total energy.
    let sum: f64 = found.balance.parts.iter().map(|p| p.net_ev).sum();
    assert!(sum.is_finite(), "{found:?}");
    found
}

/// Diagnoses a defective potential that is also its f64 reference.
fn diagnose_model(defect: Defect) -> Attribution {
    let mut potential = Defective::new(control(), defect);
    let mut oracle = potential.clone();
    diagnose_with(&mut potential, &mut oracle, 0.5, &verlet)
}

#[track_caller]
fn assert_cause(found: &Attribution, kind: CauseKind) {
    let first = found.causes.first().unwrap_or_else(|| panic!("no cause: {found:#?}"));
    assert_eq!(first.kind, kind, "{:#?}\n{:#?}", found.causes, found.balance.parts);
    assert!(first.share.is_none_or(|s| s > 0.8), "{:#?}", found.causes);
}

#[test]
fn diagnose_finds_no_cause_in_sound_dynamics() {
    let found = diagnose_with(&mut control(), &mut control(), 0.5, &verlet);
    assert!(found.causes.is_empty(), "{:#?}", found.causes);
    assert_eq!(found.balance.jumps, 0);
    let [a, b, c] = [0, 1, 2].map(|k| found.experiments[k].rms_fluctuation_mev_per_atom.unwrap());
    assert!((a / b - 4.0).abs() < 0.4 && (b / c - 4.0).abs() < 0.4, "falls as dt²: {a} {b} {c}");
}

#[test]
fn balance_parts_sum_to_energy_change() {
    let mut potential = Defective::new(control(), Defect::Rounded { bits: 14 });
    let state = start(&mut potential, &methane(), 500.0);
    let limits = Limits::default();
    let setting =
        experiment::Setting { start: &state, steps: 300, timestep_fs: 0.7, limits, make_integrator: &verlet };
    let (balance, _) = balance::take(&setting, &mut potential, &mut control()).unwrap();
    let mut end = state.clone();
    let mut integrator = VelocityVerlet::new(0.7).unwrap();
    let total = |s: &State| s.potential_energy_ev(0) + s.kinetic_energy_ev(0);
    (0..300).for_each(|_| integrator.step(&mut end, &mut potential).unwrap());
    let sum: f64 = balance.parts.iter().map(|p| p.net_ev).sum();
    assert!((sum - (total(&end) - total(&state))).abs() < 1e-10, "{sum}");
}

#[test]
fn diagnose_names_force_that_is_no_gradient() {
    let found = diagnose_model(Defect::Swirl { strength_ev_per_angstrom2: 1e-3 });
    assert_cause(&found, CauseKind::NotAGradient);
    assert!(found.causes[0].evidence.contains("does not fall with the step"), "{:?}", found.causes);
}

#[test]
fn diagnose_names_discontinuous_cutoff() {
    // The H-H distances of methane oscillate about 1.78 Å.
    let found = diagnose_model(Defect::Truncated { jump_ev: 0.02, cutoff_angstrom: 1.8 });
    assert_cause(&found, CauseKind::Discontinuity);
    assert!(found.balance.jumps > 10, "{}", found.balance.jumps);
    let sizes: Vec<f64> = found.balance.jump_events.iter().map(|j| j.size_ev.abs()).collect();
    assert!(sizes.iter().filter(|s| (*s / 0.02 - 1.0).abs() < 0.2).count() > sizes.len() / 2, "{sizes:?}");
}

#[test]
fn diagnose_names_noise() {
    assert_cause(&diagnose_model(Defect::Noise { sigma_ev_per_angstrom: 0.3 }), CauseKind::Noise);
}

#[test]
fn diagnose_names_rounding() {
    let mut potential = Defective::new(control(), Defect::Rounded { bits: 5 });
    let found = diagnose_with(&mut potential, &mut control(), 0.5, &verlet);
    assert_cause(&found, CauseKind::Precision);
    assert!(found.causes[0].evidence.contains("in f64"), "{:?}", found.causes);
}

#[test]
fn diagnose_names_too_long_timestep() {
    // The C-H stretch has a period of 11 fs: the limit of stability is 3.5 fs.
    let found = diagnose_with(&mut control(), &mut control(), 3.8, &verlet);
    assert_cause(&found, CauseKind::TimeStep);
}

#[test]
fn diagnose_blames_engine_for_wrong_half_kick() {
    struct Wrong(f64);
    impl Integrator for Wrong {
        fn name(&self) -> &str {
            "wrong half kick"
        }
        fn timestep_fs(&self) -> f64 {
            self.0
        }
        fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
            state.kick(0.5 * self.0);
            state.drift(self.0);
            state.evaluate(potential)?;
            state.kick(0.6 * self.0);
            state.advance(self.0);
            Ok(())
        }
        fn conserved_ev(&self, state: &State) -> Vec<f64> {
            vec![state.potential_energy_ev(0) + state.kinetic_energy_ev(0)]
        }
        fn retain_systems(&mut self, _: &[usize]) {}
    }
    let found = diagnose_with(&mut control(), &mut control(), 0.5, &|dt| Ok(Box::new(Wrong(dt))));
    assert_cause(&found, CauseKind::Engine);
    assert!(found.causes[0].evidence.contains("control"), "{:?}", found.causes);
}

#[test]
fn diagnose_names_broken_bond_before_timestep() {
    let pair = System::new(vec![Element::H; 2], vec![Vec3::zeros(), Vec3::new(0.74, 0.0, 0.0)]).unwrap();
    let mut weak =
        Morse { depth_ev: 0.01, steepness_per_angstrom: 2.0, r0_angstrom: 0.74, pairs: Pairs::All };
    let mut oracle = weak.clone();
    let start = start(&mut weak, &pair, 3000.0);
    let found = diagnose(Case {
        start: &start,
        timestep_fs: 0.5,
        steps: 2000,
        limits: Limits::for_molecule(&pair, 2.0, 1e6),
        tolerance_mev_per_atom_per_ps: 10.0,
        make_integrator: &verlet,
        potential: &mut weak,
        oracle: &mut oracle,
        control: None,
    })
    .unwrap();
    assert_eq!(found.causes[0].kind, CauseKind::BrokenBond, "{:#?}", found.causes);
    assert!(found.causes[0].evidence.contains("0-1"), "{:?}", found.causes);
}

#[test]
fn diagnose_finds_no_cause_in_mixing() {
    let matrix = Mat3::new(1.0, 0.1, 0.0, 0.0, 1.0, 0.05, 0.0, 0.0, 1.0);
    assert!(diagnose_model(Defect::Mixing { matrix }).causes.is_empty());
}

#[test]
fn timestep_ladder_ends_at_fastest_vibration() {
    let mut control = control();
    let start = start(&mut control, &methane(), 300.0);
    let options = LadderOptions {
        limits: Limits::for_molecule(&methane(), 2.0, 6000.0),
        max_drift_mev_per_atom_per_ps: 10.0,
        ..LadderOptions::default()
    };
    let ladder = timestep_ladder(&start, &verlet, &mut control, &options).unwrap();
    let safe = ladder.largest_safe_fs.unwrap();
    assert!((0.5..=1.5).contains(&safe), "{ladder:#?}");
    // (ω dt)² / 8 of the stiffest vibration, four times as large for twice the step.
    let ratio = |k: usize| ladder.rungs[k].fluctuation_ratio.unwrap();
    assert!((ratio(1) / ratio(0) - 4.0).abs() < 0.5, "{ladder:#?}");
}

#[test]
fn timestep_ladder_of_one_atom_accepts_every_step() {
    let atom = System::new(vec![Element::AR], vec![Vec3::new(1.0, 0.2, -3.0)]).unwrap();
    let mut potential = md_probe::analytic::LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };
    let start = start(&mut potential, &atom, 300.0);
    let options = LadderOptions::default();
    let ladder = timestep_ladder(&start, &verlet, &mut potential, &options).unwrap();
    assert_eq!(ladder.largest_safe_fs, options.timesteps_fs.last().copied(), "{ladder:#?}");
}

/// A force field that supports only periodic cells.
struct OnlyPeriodic(Control);

impl Potential for OnlyPeriodic {
    fn name(&self) -> &str {
        "only periodic"
    }

    fn check(&self, batch: &Batch, _: Request) -> Result<(), PotentialError> {
        let what = "open boundaries";
        let refused = || PotentialError::Unsupported { potential: self.name().to_owned(), what };
        batch.cell(0).map(|_| ()).ok_or_else(refused)
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.check(c.batch, request)?;
        let open = Batch::new(&vec![methane(); c.batch.n_systems()]);
        self.0.evaluate(Configuration { batch: &open, positions: c.positions }, request, out)
    }
}

#[test]
fn diagnose_keeps_the_cell_of_the_system() {
    let cell = Cell::new(Mat3::identity() * 20.0, [true; 3]).unwrap();
    let (mut potential, mut oracle) = (OnlyPeriodic(control()), OnlyPeriodic(control()));
    let start = start(&mut potential, &methane().with_cell(cell), 300.0);
    let found = diagnose(Case {
        start: &start,
        timestep_fs: 0.5,
        steps: 100,
        limits: Limits::for_molecule(&methane(), 2.0, 6000.0),
        tolerance_mev_per_atom_per_ps: 1.0,
        make_integrator: &verlet,
        potential: &mut potential,
        oracle: &mut oracle,
        control: None,
    });
    assert!(found.is_ok(), "{:?}", found.err());
}
