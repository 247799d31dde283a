//! Runs at constant energy have the mean temperature that they are named after.

use super::*;

/// Runs the control on water and methane, two replicas of each temperature, with `run` added to the `[[run]]`.
fn results_of(seed: u64, run: &str) -> Results {
    let folder = folder();
    let file = folder.path().join("c.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text
        .replace("seed = 1", &format!("seed = {seed}"))
        .replace("checkpoint = \"network\"", "analytic = \"control\"")
        .replace("duration_ps = 0.01", "duration_ps = 2.0")
        .replace("temperatures_K = [300]", "temperatures_K = [100, 500]")
        .replace("replicas = 3\nrelax = false", &format!("replicas = 2\n{run}"));
    std::fs::write(&file, text).unwrap();
    Campaign::builder().options(CampaignOptions::new(&file)).open().unwrap().run().unwrap()
}

fn assert_at_their_temperature(results: &Results) {
    assert_eq!(results.runs.len(), 8);
    for run in &results.runs {
        let found = run.temperature.as_ref().unwrap();
        let ratio = found.mean_k / run.temperature_k;
        assert!((ratio - 1.0).abs() < 0.1, "{}: {ratio}", run.id);
        let error = found.mean_standard_error_k.unwrap();
        assert!(error > 0.0 && error < 0.2 * found.mean_k, "{}: {error} K", run.id);
    }
}

#[test]
fn runs_from_the_minimum_have_the_temperature_of_their_name() {
    for seed in [1, 2] {
        assert_at_their_temperature(&results_of(seed, ""));
    }
}

/// A canonical sample has any energy; at its end the run gets that of its temperature.
#[test]
fn equilibrated_runs_have_the_temperature_of_their_name() {
    assert_at_their_temperature(&results_of(1, "equilibrate_ps = 0.2"));
}

#[test]
fn runs_from_the_structure_as_given_do_not_count_for_a_temperature_they_do_not_have() {
    let results = results_of(1, "relax = false");
    let far = |run: &&md_results::Run| {
        (run.temperature.as_ref().unwrap().mean_k / run.temperature_k - 1.0).abs() > 0.25
    };
    assert!(results.runs.iter().filter(far).count() >= 4, "the structure is the minimum of the control");
    assert!(results.runs.iter().any(|run| !md_criteria::statistics::is_at_its_temperature(run)));
}
