//! Tests potentials and integrators supplied by the calling program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use md_core::{Integrator, StepError};
use md_dynamics::VelocityVerlet;

use super::*;
use crate::progress::Ticker;

/// Makes velocity Verlet, which the campaigns below know by a name of their own.
fn verlet(timestep_fs: f64) -> Result<Box<dyn Integrator>, StepError> {
    Ok(Box::new(VelocityVerlet::new(timestep_fs)?))
}

/// The campaign of `folder()` with this integrator, on a potential that the test brings.
fn by_file(folder: &TempDir, integrator: &str) -> CampaignBuilder<'static> {
    let file = folder.path().join("c.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let named = format!("ensemble = \"nve\"\nintegrator = {{ kind = \"{integrator}\" }}");
    let text = text.replace("checkpoint = \"network\"\n", "").replace("ensemble = \"nve\"", &named);
    std::fs::write(&file, text).unwrap();
    builder_of(&file)
}

/// The potential that the test brings.
fn control() -> Control {
    let molecules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/molecules");
    let system = |name: &str| md_io::extxyz::read_system(&molecules.join(name)).unwrap();
    Control::new(&["water.xyz", "methane.xyz"].map(system)).unwrap()
}

/// The campaign of a file, with what the test brings.
fn builder_of(file: &Path) -> CampaignBuilder<'static> {
    Campaign::builder().options(CampaignOptions::new(file)).model("m", control()).integrator("verlet", verlet)
}

#[test]
fn campaign_file_names_own_model_and_integrator() {
    let folder = folder();
    let results = by_file(&folder, "verlet").open().unwrap().run().unwrap();
    assert_eq!(results.runs.len(), 6);
    for run in &results.runs {
        assert_eq!((run.fate, run.integrator.as_deref()), (RunFate::Finished, Some("verlet")), "{}", run.id);
    }
    assert!(results.campaign.is_whole());
    assert!(results.models[0].verdict.is_some());
    assert_eq!(results.models[0].architecture, "analytic control");
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "in memory nothing is written: {files:?}");

    // The same steps under another name: the same numbers from the same seeds.
    let same = self::folder();
    let verlet = by_file(&same, "velocity_verlet").open().unwrap().run().unwrap();
    for (own, known) in results.runs.iter().zip(&verlet.runs) {
        assert_eq!(
            (own.seed, &own.energy, &own.temperature),
            (known.seed, &known.energy, &known.temperature)
        );
        assert_eq!(known.integrator, None);
        assert_ne!(own.id, known.id);
    }
}

#[test]
fn forest_ruth_conserves_energy_better_than_velocity_verlet() {
    let deviation = |integrator: &str| {
        let results = by_file(&folder(), integrator).open().unwrap().run().unwrap();
        let all = results.runs.iter().map(|run| run.energy.as_ref().unwrap().max_deviation_mev_per_atom);
        all.fold(0.0, f64::max)
    };
    let (fourth, second) = (deviation("forest_ruth"), deviation("velocity_verlet"));
    assert!(fourth < 0.01 * second, "{fourth} meV/atom, velocity Verlet {second} meV/atom");
}

/// Requests a stop in the middle of the runs.
struct Stopping(Arc<AtomicBool>);

impl Progress for Stopping {
    fn stage(&self, name: &str, length: u64) -> Box<dyn Ticker> {
        Quiet.stage(name, length)
    }

    fn steps(&self, _: &str, _: u64) -> Box<dyn Ticker> {
        Box::new(Stopping(Arc::clone(&self.0)))
    }

    fn say(&self, _: &str) {}
}

impl Ticker for Stopping {
    fn tick(&self) {}

    fn is_due(&self) -> bool {
        true
    }

    fn show(&mut self, done: u64, _: &str) {
        if done >= 3 {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn resume_with_own_integrator_reproduces_whole_campaign() {
    let folder = folder();
    let whole = by_file(&folder, "verlet").open().unwrap().run().unwrap();
    let builder = |begin| {
        let output = Output::Folder { path: folder.path().join("out"), begin };
        builder_of(&folder.path().join("c.toml")).output(output)
    };
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Stopping(Arc::clone(&stop));
    let stopped = builder(Begin::New).progress(&stopping).stop(stop).open().unwrap().run();
    assert!(matches!(stopped, Err(CampaignError::Interrupted)), "{stopped:?}");
    let resumed = builder(Begin::Resume).open().unwrap().run().unwrap();
    assert_eq!(resumed.reproducible(), whole.reproducible());
}

/// A sound potential that asks the campaign to stop at one of its calls, and counts them.
#[derive(Clone)]
struct StopsAt {
    sound: Control,
    call: u64,
    calls: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Potential for StopsAt {
    fn name(&self) -> &str {
        self.sound.name()
    }

    fn check(&self, batch: &Batch, request: Asked) -> Result<(), PotentialError> {
        self.sound.check(batch, request)
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Asked,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.call {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.sound.evaluate(c, request, out)
    }
}

#[test]
fn interrupt_ends_every_stage_with_its_call() {
    let folder = folder();
    let file = folder.path().join("c.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("checkpoint = \"network\"\n", "");
    std::fs::write(&file, text.replace("relax = false\n", "")).unwrap();
    // Returns the results, unless interrupted, and the number of calls.
    let made = |call, begin, name: &str| {
        let (calls, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let potential =
            StopsAt { sound: control(), call, calls: Arc::clone(&calls), stop: Arc::clone(&stop) };
        let output = Output::Folder { path: folder.path().join(name), begin };
        let options = CampaignOptions::new(&file);
        let campaign = Campaign::builder().options(options).model("m", potential).output(output).stop(stop);
        (campaign.open().unwrap().run(), calls.load(Ordering::Relaxed))
    };
    let (whole, calls) = made(0, Begin::New, "whole");
    let whole = whole.unwrap();
    for part in 1..8 {
        let (name, call) = (format!("out-{part}"), part * calls / 8);
        let (stopped, made_calls) = made(call, Begin::New, &name);
        assert!(matches!(stopped, Err(CampaignError::Interrupted)), "{stopped:?}");
        // None of these is in the runs, of which some steps are made together.
        assert_eq!(made_calls, call, "calls after the request to stop");
        let (resumed, _) = made(0, Begin::Resume, &name);
        assert_eq!(
            resumed.unwrap().reproducible(),
            whole.reproducible(),
            "stopped at call {call} of {calls}"
        );
    }
}

#[test]
fn campaign_built_in_code_reports_config_errors() {
    use crate::config::{Config, MoleculeConfig, RunConfig};

    let own = |name: &str| crate::config::Integrator::own(name, verlet);
    let water = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/molecules/water.xyz");
    let sound = || {
        let mut config = Config::new("c", 1);
        config.molecules.push(MoleculeConfig::new("water", &water));
        config.runs.push(RunConfig::nve(0.5, 0.01, &[300.0], 1));
        config
    };
    let control = Control::new(&[md_io::extxyz::read_system(&water).unwrap()]).unwrap();
    let message = |change: &dyn Fn(&mut Config), name: &str| {
        let mut config = sound();
        change(&mut config);
        match Campaign::builder().config(config).model(name, control.clone()).open() {
            Ok(_) => "no error".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let messages = [
        message(&|_| {}, "m"),
        message(&|_| {}, "a model"),
        message(&|c| c.molecules.clear(), "m"),
        message(&|c| c.runs.clear(), "m"),
        message(&|c| c.runs[0].timestep_fs = f64::NAN, "m"),
        message(&|c| c.runs[0].temperatures_k.clear(), "m"),
        message(&|c| c.runs[0].replicas = 0, "m"),
        message(&|c| c.runs[0].molecules = vec![7], "m"),
        message(&|c| c.runs[0].trajectory_stride = Some(1), "m"),
        message(&|c| c.molecules.push(c.molecules[0].clone()), "m"),
        message(&|c| c.runs[0].integrator = own("forest_ruth"), "m"),
        message(&|c| c.runs[0].integrator = own("a/b"), "m"),
        message(
            &|c| {
                c.runs[0].integrator = own("mine");
                c.runs[0].ensemble = crate::config::Ensemble::Thermostat(md_dynamics::ThermostatKind::ALL[0]);
            },
            "m",
        ),
    ];
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn config_from_file_keeps_text_until_changed() {
    let folder = folder();
    by_file(&folder, "velocity_verlet");
    let file = folder.path().join("c.toml");
    let config = CampaignOptions::new(&file).load_config(&Own::default()).unwrap();
    let given = |config: &Config, name: &str| {
        let control = control();
        let make = Arc::new(move || Ok(Box::new(control.clone()) as Box<dyn Potential>));
        let own = crate::config::OwnPotential { name: name.to_owned(), make };
        config.clone().with_own(&Own { potentials: vec![own], ..Own::default() })
    };
    let unchanged = given(&config, "m").unwrap();
    assert_eq!(unchanged.text, std::fs::read_to_string(&file).unwrap());
    assert_eq!(unchanged.sha256, md_io::files::sha256_file(&file).unwrap());
    let options = CampaignOptions { device: Some(Device::Auto), ..CampaignOptions::new(&file) };
    let elsewhere = given(&options.load_config(&Own::default()).unwrap(), "m").unwrap();
    assert_eq!(elsewhere.sha256, unchanged.sha256, "an option is no change of the file");
    let mut more = config.clone();
    more.runs[0].replicas += 1;
    let changed = given(&more, "m").unwrap();
    assert_ne!(changed.sha256, unchanged.sha256);
    assert_eq!(changed.sha256, given(&more, "m").unwrap().sha256);
    let error = given(&config, "other").unwrap_err().to_string();
    assert!(error.contains("the model 'other' is in no run"), "{error}");
}

/// A table without models is for those that no other table names: here for none.
#[test]
fn config_from_file_runs_only_what_its_tables_name() {
    let folder = folder();
    let file = folder.path().join("c.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (head, run) = text.split_once("[[run]]").unwrap();
    std::fs::write(&file, format!("{head}[[run]]\nmodels = [\"m\"]{run}[[run]]{run}")).unwrap();
    let config = CampaignOptions::new(&file).load_config(&Own::default()).unwrap();
    let given = config.clone().with_own(&Own::default()).unwrap();
    assert_eq!(given, config);
    assert_eq!(plan(&given).unwrap().iter().map(|group| group.runs.len()).sum::<usize>(), 6);
}

#[test]
fn integrator_name_typos_get_suggestions() {
    let message = |run: &str| {
        let text = format!(
            "[campaign]\nname = \"c\"\nseed = 1\n[[model]]\nname = \"m\"\nanalytic = \"control\"\n[[molecule]]\nname = \"w\"\n\
             structure = \"water.xyz\"\n[[run]]\ntimestep_fs = 0.5\nduration_ps = 1\ntemperatures_K = [300]\nreplicas = 1\n{run}"
        );
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/molecules/c.toml");
        let own = Own {
            integrators: vec![crate::config::OwnIntegrator {
                name: "leapfrog".to_owned(),
                make: Arc::new(verlet),
            }],
            ..Own::default()
        };
        match crate::config::parse(&text, &file, &[], &own) {
            Ok(config) => format!("runs with {}", config.runs[0].integrator.name()),
            Err(error) => format!("line {}: {}", error.line.unwrap_or_default(), error.message),
        }
    };
    let nve = |integrator: &str| message(&format!("ensemble = \"nve\"\nintegrator = {integrator}"));
    let messages = [
        message("ensemble = \"nve\""),
        nve("{ kind = \"forest_ruth\" }"),
        nve("{ kind = \"leapfrog\" }"),
        nve("{ kind = \"velocity-verlet\" }"),
        nve("{ kind = \"rk4\" }"),
        nve("\"forest_ruth\""),
        nve("{ name = \"forest_ruth\" }"),
        message("ensemble = \"langevin\"\nintegrator = { kind = \"forest_ruth\" }"),
        message("ensemble = \"nvt\""),
        message("ensemble = \"NPT\""),
        message("ensemble = \"langevine\""),
        message("ensemble = \"bussi\"\nfriction_per_ps = 1.0"),
    ];
    insta::assert_snapshot!(messages.join("\n"));
}
