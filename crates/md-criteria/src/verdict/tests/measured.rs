//! Criteria of runs with thermostats, of reference dynamics, of energies and of survival: values, and the data that
//! are missing.

use md_results::{Comparison, Distance, DistanceId, EnergyErrors, Shift};

use super::*;

/// Status and value of a criterion whose threshold is given.
fn asked(key: &str, threshold: f64, change: impl Fn(&mut Results)) -> (Status, Option<f64>, String) {
    let check = check_of(key, |r| {
        let threshold = Threshold::new(threshold, ThresholdSource::Campaign);
        r.criteria[0].thresholds.insert(key.to_owned(), threshold);
        change(r);
    });
    (check.status, check.value, check.reason)
}

fn thermal(error_percent: f64, standard_error: Option<f64>) -> Run {
    let thermal = RunThermal {
        temperature_error_percent: error_percent,
        temperature_standard_error_percent: standard_error,
        kinetic_energy_p: Some(0.4),
        equipartition_p: Some(0.5),
        equipartition_worst_percent: Some(1.0),
    };
    Run { ensemble: thermostat("langevin"), thermal: Some(thermal), ..run() }
}

#[test]
fn thermostat_temperature_is_judged_by_its_interval() {
    let key = "thermostat_temperature_percent";
    let status = |runs: &[Run]| asked(key, 5.0, |r| r.runs.extend_from_slice(runs)).0;
    assert_eq!(status(&[thermal(1.0, Some(0.5))]), Status::Pass);
    assert_eq!(status(&[thermal(-9.0, Some(0.5))]), Status::Fail);
    assert_eq!(status(&[thermal(4.5, Some(1.0))]), Status::Undecided);
    assert_eq!(status(&[thermal(1.0, Some(0.5)), thermal(9.0, Some(0.5))]), Status::Fail, "the worst counts");
    let (status, _, reason) = asked(key, 5.0, |_| {});
    assert_eq!(status, Status::Skipped);
    assert!(reason.contains("no runs with a thermostat"), "{reason}");
    let without = Run { thermal: None, ..thermal(1.0, None) };
    assert_eq!(asked(key, 5.0, |r| r.runs.push(without.clone())).0, Status::Skipped);
}

#[test]
fn closest_pair_fails_where_two_atoms_fuse_and_is_never_assumed() {
    let key = "closest_pair_ratio";
    let check =
        |ratio: f64| check_of(key, |r| r.runs[1].measured = BTreeMap::from([(key.to_owned(), ratio)]));
    assert_eq!(check(0.8).status, Status::Pass);
    let fused = check(0.3);
    assert_eq!((fused.status, fused.value), (Status::Fail, Some(0.3)), "the closest of all runs counts");
    assert_ne!(check(f64::NAN).status, Status::Pass);
    assert_eq!(check_of(key, |r| r.runs[1].measured.clear()).status, Status::Skipped);
}

#[test]
fn comparison_is_judged_by_its_distance() {
    let key = "bond_length_wasserstein_A";
    let compared = |value: f64| {
        asked(key, 0.01, move |r| {
            r.comparisons.push(Comparison {
                model: "m".into(),
                molecule: "water".into(),
                trajectories: vec!["water.extxyz".into()],
                duration_ps: 5.0,
                distances: vec![Distance {
                    id: DistanceId::BondLength,
                    value,
                    floor: 0.001,
                    unit: "Å".into(),
                }],
            });
        })
    };
    let (status, value, reason) = compared(0.004);
    assert_eq!((status, value), (Status::Pass, Some(0.004)));
    assert!(reason.contains("5.0 ps; halves of the reference differ by 0.001"), "{reason}");
    assert_eq!(compared(0.02).0, Status::Fail);
    let (status, _, reason) = asked("spectrum_wasserstein_per_cm", 10.0, |_| {});
    assert_eq!(status, Status::Skipped);
    assert!(reason.contains("give the molecule 'water' a `trajectory`"), "{reason}");
    // A failure of the stage is the reason, and so is a campaign that was restricted.
    let (.., reason) = asked(key, 0.01, |r| {
        r.failures.push(Failure {
            model: "m".into(),
            molecule: Some("water".into()),
            stage: Stage::Comparison,
            reason: "the trajectory has no velocities".into(),
        });
    });
    assert!(reason.contains("the trajectory has no velocities"), "{reason}");
    let (.., reason) = asked(key, 0.01, |r| r.campaign.only = vec!["temperature_K=300".into()]);
    assert!(reason.contains("the campaign was restricted to temperature_K=300"), "{reason}");
}

#[test]
fn shift_and_energy_errors_are_judged_where_they_are_measured() {
    let shifted = |median_ratio: f64| {
        asked("distribution_shift", 2.0, move |r| {
            r.shifts.push(Shift {
                model: "m".into(),
                molecule: "water".into(),
                n_visited: 16,
                n_reference: 100,
                median_ratio,
                max_ratio: 4.0,
                fraction_beyond: 0.25,
            });
        })
        .0
    };
    assert_eq!((shifted(1.5), shifted(2.5)), (Status::Pass, Status::Fail));
    assert_eq!(asked("distribution_shift", 2.0, |_| {}).0, Status::Skipped);
    let energies = |rmse: f64| {
        asked("energy_rmse_meV_per_atom", 5.0, move |r| {
            r.evaluations[0].energy = Some(EnergyErrors { rmse_mev_per_atom: rmse, ..energy_errors() });
        })
        .0
    };
    assert_eq!((energies(2.0), energies(9.0)), (Status::Pass, Status::Fail));
    assert_eq!(asked("energy_rmse_meV_per_atom", 5.0, |r| r.evaluations[0].energy = None).0, Status::Skipped);
}

#[test]
fn ramp_survival_is_the_temperature_where_the_first_ramp_broke() {
    let ramp = Run { ensemble: thermostat("langevin"), ramp_to_k: Some(1300.0), ..run() };
    let survived = |runs: Vec<Run>| asked("ramp_survival_K", 900.0, move |r| r.runs.extend(runs.clone()));
    let (status, value, _) = survived(vec![ramp.clone()]);
    assert_eq!((status, value), (Status::Pass, Some(1300.0)), "from 300 K to the end");
    let broken = Run { fate: RunFate::Diverged, steps_done: 10_000, ..ramp.clone() };
    let (status, value, _) = survived(vec![ramp.clone(), broken]);
    assert_eq!((status, value), (Status::Fail, Some(800.0)), "halfway");
    let mut stretched = ramp.clone();
    stretched.stability.as_mut().unwrap().first_broken_bond_ps = Some(2.0);
    let (status, value, reason) = survived(vec![stretched]);
    assert_eq!((status, value), (Status::Fail, Some(500.0)));
    assert!(reason.contains("a bond broke"), "{reason}");
    let interrupted = Run { fate: RunFate::Failed, ..ramp };
    assert_eq!(survived(vec![interrupted]).0, Status::Skipped);
    assert_eq!(survived(Vec::new()).0, Status::Skipped);
}

#[test]
fn failure_rate_bounds_what_the_runs_have_shown() {
    // Without a failure in T the one-sided bound at 95 % is -ln(0.05) / T.
    let (status, value, _) = asked("failure_rate_per_ns", 1000.0, |_| {});
    let observed_ps: f64 = sound().runs.iter().filter(|r| r.model == "m").map(Run::done_ps).sum();
    let bound = -(0.05_f64.ln()) / (1e-3 * observed_ps);
    assert!((value.unwrap() / bound - 1.0).abs() < 1e-9, "{value:?} for {bound}");
    assert_eq!(status, Status::Pass);
    let (status, more, _) = asked("failure_rate_per_ns", 1000.0, |r| {
        let run = r.runs.iter_mut().find(|run| run.model == "m").unwrap();
        (run.fate, run.steps_done) = (RunFate::Diverged, 0);
    });
    assert!(more > value, "{more:?}");
    assert_eq!(status, Status::Pass);
    let (status, ..) = asked("failure_rate_per_ns", 1000.0, |r| {
        r.runs.iter_mut().for_each(|run| run.fate = RunFate::Failed);
    });
    assert_eq!(status, Status::Skipped);
}

#[test]
fn run_that_could_not_be_made_leaves_survival_unknown() {
    let check = check_of("stable_ps", |r| {
        let run = r.runs.iter_mut().find(|run| run.model == "m").unwrap();
        (run.fate, run.fate_reason) = (RunFate::Failed, Some("out of memory".into()));
    });
    assert_eq!(check.status, Status::Skipped);
    assert!(check.reason.contains("could not be made: out of memory"), "{}", check.reason);
}
