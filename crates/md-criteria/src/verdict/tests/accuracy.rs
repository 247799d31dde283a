//! Labelled frames, reference dynamics, and drift by the kinetic energy.

use md_results::{Comparison, Distance, DistanceId};

use super::*;

/// Returns status and value of a production check after `change` of the force errors.
fn with_forces(key: &str, change: impl Fn(&mut ForceErrors)) -> (Status, Option<f64>) {
    let check = check_of(key, |r| change(r.evaluations[0].force.as_mut().unwrap()));
    (check.status, check.value)
}

#[test]
fn small_forces_do_not_hide_relative_errors() {
    let relative = |value: f64, error: f64| {
        with_forces("force_relative_rmse", |f| {
            (f.relative_rmse, f.relative_rmse_standard_error) = (Some(value), Some(error));
        })
    };
    assert_eq!(relative(0.19, 0.001), (Status::Pass, Some(0.19)));
    assert_eq!(relative(0.21, 0.001), (Status::Fail, Some(0.21)));
    assert_eq!(relative(0.19, 0.01).0, Status::Undecided);
    // Frames near the minimum have no forces to compare with.
    let at_rest = with_forces("force_relative_rmse", |f| f.reference_rms_ev_per_angstrom = 0.04);
    assert_eq!(at_rest, (Status::Skipped, None));
}

#[test]
fn one_wrong_force_fails_whatever_the_mean() {
    let largest =
        |value: f64| with_forces("force_error_max_ev_per_angstrom", |f| f.max_ev_per_angstrom = value);
    assert_eq!(largest(1.9), (Status::Pass, Some(1.9)));
    assert_eq!(largest(2.1), (Status::Fail, Some(2.1)));
    assert_eq!(largest(f64::NAN).0, Status::Fail);
}

/// The worst of several files counts, also where it is the second.
#[test]
fn worst_of_several_files_counts() {
    for first in [true, false] {
        let check = check_of("force_rmse_ev_per_angstrom", |r| {
            let mut bad = evaluation();
            bad.force.as_mut().unwrap().rmse_ev_per_angstrom = 0.5;
            r.evaluations.insert(usize::from(!first), bad);
        });
        assert_eq!((check.status, check.value), (Status::Fail, Some(0.5)));
    }
}

#[test]
fn numbers_without_uncertainty_decide_nothing() {
    for key in ["force_rmse_ev_per_angstrom", "force_slope_error", "force_relative_rmse"] {
        let unknown = with_forces(key, |f| {
            f.rmse_standard_error_ev_per_angstrom = None;
            f.slope_standard_error = None;
            f.relative_rmse_standard_error = None;
        });
        assert_eq!(unknown, (Status::Skipped, None), "{key}");
        assert_eq!(with_forces(key, |f| f.n_frames = 1), (Status::Skipped, None), "{key}");
        // Two frames have the quantile of one degree of freedom, 12.7.
        let two = with_forces(key, |f| {
            f.n_frames = 2;
            f.rmse_standard_error_ev_per_angstrom = Some(0.02);
            f.slope_standard_error = Some(0.01);
            f.relative_rmse_standard_error = Some(0.02);
        });
        assert_eq!(two.0, Status::Undecided, "{key}");
    }
}

#[test]
fn energies_are_judged_against_their_spread() {
    let energies = |key: &'static str, change: fn(&mut EnergyErrors)| {
        let check = check_of(key, |r| change(r.evaluations[0].energy.as_mut().unwrap()));
        (check.status, check.value)
    };
    assert_eq!(energies("energy_rmse_of_spread", |_| {}), (Status::Pass, Some(0.1)));
    // A constant has all of the spread as its error, and passes the bar of 20 meV/atom.
    let constant: fn(&mut EnergyErrors) = |e| e.rmse_mev_per_atom = 10.0;
    assert_eq!(energies("energy_rmse_of_spread", constant), (Status::Fail, Some(1.0)));
    assert_eq!(energies("energy_rmse_meV_per_atom", constant).0, Status::Pass);
    assert_eq!(energies("energy_rmse_meV_per_atom", |e| e.rmse_mev_per_atom = 25.0).0, Status::Fail);
    // A sound model is not failed on a point.
    assert_eq!(energies("energy_rmse_of_spread", |e| e.rmse_mev_per_atom = 5.1).0, Status::Undecided);
    let near: fn(&mut EnergyErrors) = |e| e.reference_spread_mev_per_atom = Some(0.5);
    assert_eq!(energies("energy_rmse_of_spread", near).0, Status::Skipped);
    let (verdict, uses, summary, _) = judged(|r| r.evaluations[0].energy = None);
    assert_eq!((verdict, uses.len()), (Verdict::Incomplete, 0), "{summary}");
}

#[test]
fn order_of_energies_is_judged_where_asked() {
    let rank = |rank_correlation: Option<f64>| {
        let set = |r: &mut Results| {
            let bar = Threshold::new(0.1, ThresholdSource::Campaign);
            r.criteria[0].thresholds.insert("energy_rank_error".to_owned(), bar);
            r.evaluations[0].energy.as_mut().unwrap().rank_correlation = rank_correlation;
        };
        let check = check_of("energy_rank_error", set);
        (check.status, check.value)
    };
    assert_eq!(rank(Some(0.95)).0, Status::Pass);
    assert_eq!(rank(Some(0.5)), (Status::Fail, Some(0.5)));
    assert_eq!(rank(None), (Status::Fail, Some(1.0)), "a constant has no order");
}

#[test]
fn reference_dynamics_are_judged_where_given() {
    let lengths = |value: Option<f64>| {
        let mut results = sound();
        results.molecules[0].reference_trajectories = 1;
        results.comparisons.extend(value.map(|value| {
            Comparison {
                model: "m".into(),
                molecule: "water".into(),
                duration_ps: 10.0,
                trajectories: vec!["water.extxyz".into()],
                distances: [DistanceId::BondLength, DistanceId::PairDistance]
                    .map(|id| Distance { id, value, floor: 0.005, unit: "Å".into() })
                    .into(),
            }
        }));
        judge(&mut results);
        let found = results.models[0].checks.iter().find(|c| c.id == "bond_length_wasserstein_A");
        (found.unwrap().status, results.models[0].verdict.unwrap())
    };
    assert_eq!(lengths(Some(0.01)), (Status::Pass, Verdict::Approved));
    assert_eq!(lengths(Some(0.02)), (Status::Undecided, Verdict::Incomplete));
    assert_eq!(lengths(Some(0.03)), (Status::Fail, Verdict::Rejected));
    assert_eq!(lengths(None), (Status::Skipped, Verdict::Incomplete));
}

/// Water with 3 degrees of freedom at 300 K has K = 1.5 k_B T = 38.78 meV: 0.01 meV/atom/ps in 10 ps are 0.3 meV, 0.774 %.
#[test]
fn drift_is_judged_by_the_kinetic_energy() {
    let drift = |mev_per_atom_per_ps: f64, initial_ev: f64| {
        check_of("energy_drift_of_kinetic_percent", |r| {
            r.runs.retain(|run| run.temperature_k == 300.0);
            for energy in r.runs.iter_mut().filter_map(|run| run.energy.as_mut()) {
                energy.initial_ev = initial_ev;
                energy.drift_mev_per_atom_per_ps = Some(mev_per_atom_per_ps);
            }
        })
    };
    let passes = drift(-0.01, -10.0);
    assert_eq!(passes.status, Status::Pass, "{passes:?}");
    assert!((passes.value.unwrap() - 0.7736).abs() < 1e-4, "{passes:?}");
    // Whatever the zero of the energy.
    assert_eq!(drift(0.7, -1e4).status, Status::Fail);
    assert_eq!(drift(f64::NAN, -10.0).status, Status::Skipped);
    let no_temperature = check_of("energy_drift_of_kinetic_percent", |r| r.runs[0].temperature = None);
    assert_eq!(no_temperature.status, Status::Skipped);
}

/// Two replicas whose own errors explain how they differ are not judged by one degree of freedom.
#[test]
fn replicas_with_errors_of_their_own_are_pooled() {
    let key = "energy_drift_meV_per_atom_per_ps";
    let found = |drifts: [f64; 2]| {
        check_of(key, |r| {
            for (run, drift) in r.runs.iter_mut().zip(drifts.repeat(2)) {
                let energy = run.energy.as_mut().unwrap();
                energy.drift_mev_per_atom_per_ps = Some(drift);
                energy.drift_standard_error = Some(0.1);
            }
        })
        .interval
        .unwrap()[1]
    };
    // t(20 at 97.5 %) = 2.086 of 0.1 / √2; t(1) would be 12.7.
    assert!(
        (found([0.1, 0.2]) - (0.15 + 2.086 * 0.1 / 2.0_f64.sqrt())).abs() < 1e-4,
        "{:?}",
        found([0.1, 0.2])
    );
    assert!(found([0.0, 2.0]) > 10.0, "their scatter is more than that");
}
