//! Molecules of special shapes: the measurements depend on the model, not on limitations of the program.

use std::path::Path;

use md_results::{Check, Results, Run, RunFate, Status};

use crate::support::{mdproof, repository};

const BENZENE: &str = "12\n\n\
    C 0 1.3952 0\nC 1.2083 0.6976 0\nC 1.2083 -0.6976 0\nC 0 -1.3952 0\nC -1.2083 -0.6976 0\nC -1.2083 0.6976 0\n\
    H 0 2.4822 0\nH 2.1496 1.2411 0\nH 2.1496 -1.2411 0\nH 0 -2.4822 0\nH -2.1496 -1.2411 0\nH -2.1496 1.2411 0\n";
const ACETYLENE: &str = "4\n\nC 0 0 0.6080\nC 0 0 -0.6080\nH 0 0 -1.6740\nH 0 0 1.6740\n";
const ALLENE: &str = "7\n\n\
    C 0 0 0\nC 0 0 1.3112\nC 0 0 -1.3112\n\
    H 0 0.9268 1.8766\nH 0 -0.9268 1.8766\nH 0.9268 0 -1.8766\nH -0.9268 0 -1.8766\n";
const CARBON_DIOXIDE: &str = "3\n\nC 0 0 0\nO 0 0 1.1630\nO 0 0 -1.1630\n";
const BENT_CARBON_DIOXIDE: &str = "3\n\nC 0 0 0\nO 0.01014896 0 1.16295572\nO 0.01014896 0 -1.16295572\n";
const NITROGEN: &str = "2\n\nN 0 0 0\nN 0 0 1.0977\n";
const OXYGEN_ATOM: &str = "1\n\nO 0.3 -1.7 2.1\n";

const TINY: &str = "checkpoint";
const CONTROL: &str = "analytic = \"control\"";

/// Returns the results of a campaign on these molecules, with a model of that source.
fn campaign(folder: &Path, source: &str, molecules: &[(&str, &str)], runs: &str) -> Results {
    let source = match source {
        TINY => format!("checkpoint = \"{}\"", repository("data/checkpoints/tiny").display()),
        source => source.to_owned(),
    };
    let mut text =
        format!("[campaign]\nname = \"molecules\"\nseed = 3\n[[model]]\nname = \"tiny\"\n{source}\n");
    for (name, structure) in molecules {
        let file = format!("{name}.xyz");
        std::fs::write(folder.join(&file), structure).unwrap();
        text += &format!("[[molecule]]\nname = \"{name}\"\nstructure = \"{file}\"\n");
    }
    let config = folder.join("campaign.toml");
    std::fs::write(&config, text + runs).unwrap();
    let out = folder.join("out");
    let output = mdproof(["validate".as_ref(), config.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    assert_ne!(output.status, 2, "{}{}", output.stdout, output.stderr);
    Results::read(&out.join("results.json")).unwrap()
}

const SHORT: &str = "[[run]]\nensemble = \"nve\"\ntimestep_fs = 0.5\nduration_ps = 0.02\ntemperatures_K = [300]\nreplicas = 1\n";

fn langevin(duration_ps: f64, replicas: u32, more: &str) -> String {
    format!(
        "[[run]]\nensemble = \"langevin\"\nfriction_per_ps = 20.0\ntimestep_fs = 0.5\nduration_ps = {duration_ps}\n\
         temperatures_K = [300]\nreplicas = {replicas}\nrecord_every_fs = 5.0\n{more}\n[adaptive]\nearly_stop_ps = 1000.0\n"
    )
}

fn check<'a>(results: &'a Results, key: &str, molecule: &str) -> &'a Check {
    results.models[0].checks.iter().find(|c| c.id == key && c.molecule == molecule).unwrap()
}

#[test]
fn gates_pass_on_crowded_and_linear_molecules() {
    let folder = tempfile::tempdir().unwrap();
    let molecules = [
        ("benzene", BENZENE),
        ("acetylene", ACETYLENE),
        ("allene", ALLENE),
        ("carbon-dioxide", CARBON_DIOXIDE),
    ];
    let results = campaign(folder.path(), TINY, &molecules, SHORT);
    for (molecule, _) in molecules {
        for key in [
            "energy_jump_ev",
            "force_jump_ev_per_angstrom",
            "hessian_asymmetry_ev_per_angstrom2",
            "imaginary_mode_per_cm",
            "force_gradient_ev_per_angstrom",
            "structure_gradient_ev_per_angstrom",
            "loop_work_ev",
            "kink_ev_per_angstrom",
        ] {
            let check = check(&results, key, molecule);
            assert_eq!(check.status, Status::Pass, "{check:?}");
        }
        let rays = check(&results, "energy_jump_ev", molecule);
        assert!(rays.reason.contains(", none nearer to another than "), "{rays:?}");
        let hessian = check(&results, "hessian_asymmetry_ev_per_angstrom2", molecule);
        // Automatic differentiation gives 6e-14 for carbon dioxide.
        assert!(hessian.value.unwrap() < 1e-6 && hessian.standard_error.unwrap() < 1e-3, "{hessian:?}");
    }
    assert!(results.models[0].failure_modes.is_empty(), "{:?}", results.models[0].failure_modes);
}

#[test]
fn validate_single_atom_fails_no_inapplicable_check() {
    let folder = tempfile::tempdir().unwrap();
    let results = campaign(folder.path(), TINY, &[("oxygen", OXYGEN_ATOM)], SHORT);
    let open: Vec<&str> = results.models[0]
        .checks
        .iter()
        .filter(|c| !matches!(c.status, Status::Pass | Status::NotApplicable))
        .inspect(|c| assert_eq!(c.status, Status::Skipped, "{c:?}"))
        .map(|c| c.id.as_str())
        .collect();
    for key in ["relaxed_bond_error_A", "imaginary_mode_per_cm", "hessian_asymmetry_ev_per_angstrom2"] {
        assert!(!open.contains(&key), "{open:?}");
    }
    // Open checks: the run is short and the only one, and there are no labels.
    let amounts = ["stable_ps", "temperatures", "replicas", "simulated_ps", "uncovered_atoms"];
    let labels = ["labelled_", "force_rmse", "force_slope", "force_relative", "force_error", "energy_rmse"];
    let of_labels = |key: &str| labels.iter().any(|label| key.starts_with(label));
    assert!(open.iter().all(|key| amounts.contains(key) || of_labels(key)), "{open:?}");
    for key in ["max_bond_ratio", "angular_momentum_hbar", "energy_drift_meV_per_atom_per_ps"] {
        assert_eq!(
            (check(&results, key, "oxygen").value, open.contains(&key)),
            (Some(0.0), false),
            "{open:?}"
        );
    }
    let modes = check(&results, "imaginary_mode_per_cm", "oxygen");
    assert_eq!((modes.value, modes.reason.as_str()), (Some(0.0), "one atom has no vibrations"));
    assert!(results.models[0].failure_modes.is_empty());
}

fn assert_all_finished(results: &Results, n: usize) {
    assert_eq!(results.runs.len(), n);
    for Run { id, fate, fate_reason, .. } in &results.runs {
        assert_eq!(*fate, RunFate::Finished, "{id}: {fate_reason:?}");
    }
}

/// With one degree of freedom the kinetic temperature exceeds 4000 K with a probability of 3e-4 at 300 K.
#[test]
fn validate_diatomic_survives_thermal_fluctuations() {
    let folder = tempfile::tempdir().unwrap();
    let results = campaign(folder.path(), CONTROL, &[("n2", NITROGEN)], &langevin(20.0, 8, ""));
    assert_all_finished(&results, 8);
    let hottest_k =
        results.runs.iter().filter_map(|r| Some(r.temperature.as_ref()?.max_k)).fold(0.0, f64::max);
    assert!(hottest_k > 4000.0, "what ended such runs must happen: {hottest_k} K");
}

/// Regression test: the third run became non-finite after 25.7 ps when rotation about the line was removed from a bent
/// molecule.
#[test]
fn validate_bent_molecule_passes_through_linear_geometry() {
    let folder = tempfile::tempdir().unwrap();
    let runs = langevin(30.0, 3, "relax = false");
    let results = campaign(folder.path(), TINY, &[("a179", BENT_CARBON_DIOXIDE)], &runs);
    assert_all_finished(&results, 3);
    let degrees = results.runs.iter().filter_map(|r| Some(r.temperature.as_ref()?.degrees_of_freedom));
    assert_eq!(degrees.collect::<Vec<_>>(), [3; 3]);
}
