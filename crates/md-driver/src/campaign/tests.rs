//! Tests that a failure affects only the model, molecule or run that fails.

use md_core::{
    Batch, Configuration, Element, Evaluation, Potential, PotentialError, Request as Asked, System,
};
use md_model::Checkpoint;
use md_probe::analytic::Control;
use md_results::{Failure, RunFate, Stage, Verdict};
use tempfile::TempDir;

use std::path::{Path, PathBuf};

use md_results::Results;

use super::blank::nothing_yet;
use super::runner::{Part, Runner};
use super::watch::Watch;
use super::whole::Saver;
use super::*;
use crate::config::{Config, Device, Own};
use crate::error::CampaignError;
use crate::interruptible::Interruptible;
use crate::plan::plan;
use crate::progress::{Progress, Quiet};

/// Injected failure of a potential.
#[derive(Clone, Copy, PartialEq)]
enum Curse {
    /// It panics for systems with oxygen.
    Panics,
    /// It runs out of memory for more systems than this.
    Full(usize),
    /// It fails from now on.
    Lost,
}

/// A sound potential with an injected failure.
struct Cursed {
    sound: Control,
    curse: Curse,
}

impl Potential for Cursed {
    fn name(&self) -> &str {
        "cursed"
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
        let failed = |message: &str| {
            Err(PotentialError::Backend { potential: "cursed".to_owned(), message: message.to_owned() })
        };
        match self.curse {
            Curse::Panics if c.batch.elements().contains(&Element::O) => panic!("there is oxygen"),
            Curse::Full(most) if c.batch.n_systems() > most => failed("out of memory"),
            Curse::Lost => failed("the device is lost"),
            _ => self.sound.evaluate(c, request, out),
        }
    }
}

mod numbers;
mod own;
mod temperature;

/// Creates a folder with a campaign of a small network on water and methane.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sizes = md_model::DistillerHyperparameters {
        hidden_dim: 8,
        num_interactions: 1,
        num_rbf: 4,
        cutoff: 4.0,
        max_z: 10,
        learnable_rbf: false,
    };
    let network = folder.path().join("network");
    std::fs::create_dir(&network).unwrap();
    Checkpoint::untrained(&md_model::Architecture::Distiller(sizes), 7).unwrap().save(&network).unwrap();
    let molecules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/molecules");
    let molecules = molecules.canonicalize().unwrap();
    let text = format!(
        "[campaign]\nname = \"c\"\nseed = 1\n[[model]]\nname = \"m\"\ncheckpoint = \"network\"\n\
         [[molecule]]\nname = \"water\"\nstructure = \"{0}/water.xyz\"\n\
         [[molecule]]\nname = \"methane\"\nstructure = \"{0}/methane.xyz\"\n\
         [[run]]\nensemble = \"nve\"\ntimestep_fs = 0.5\nduration_ps = 0.01\ntemperatures_K = [300]\nreplicas = 3\nrelax = false\n",
        molecules.display()
    );
    std::fs::write(folder.path().join("c.toml"), text).unwrap();
    folder
}

/// Returns the options of the campaign in a folder, its configuration, and its output folder.
fn opened(folder: &TempDir) -> (CampaignOptions, Config, PathBuf) {
    let options = CampaignOptions::new(folder.path().join("c.toml"));
    let config = options.load_config(&Own::default()).unwrap();
    (options, config, folder.path().join("out"))
}

fn builder(options: &CampaignOptions, out: &Path, begin: Begin) -> CampaignBuilder<'static> {
    Campaign::builder().options(options.clone()).output(Output::Folder { path: out.to_owned(), begin })
}

/// Returns all measurements of a model with an injected failure, and its record afterwards.
fn measured(curse: Curse, device: &str) -> (Results, md_results::Model) {
    let cursed = |systems: &[System]| -> Box<dyn Potential> {
        Box::new(Cursed { sound: Control::new(systems).unwrap(), curse })
    };
    measured_instead(&folder(), device, Some(&cursed))
}

/// Function that creates a potential for some systems.
type Instead<'a> = &'a dyn Fn(&[System]) -> Box<dyn Potential>;

/// Returns all measurements of the model of a campaign and its record afterwards. `instead` optionally replaces its
/// potential.
fn measured_instead(
    folder: &TempDir,
    device: &str,
    instead: Option<Instead<'_>>,
) -> (Results, md_results::Model) {
    let (options, config, out) = opened(folder);
    let Campaign { store, inputs, .. } = builder(&options, &out, Begin::New).open().unwrap();
    let mut results = nothing_yet(&config, &options, &inputs.molecules);
    let watch = Watch::new(&Quiet, &results, &["m".to_owned()], Some(&out));
    let systems: Vec<System> = inputs.molecules.iter().map(|m| m.system.clone()).collect();
    let mut models = inputs.models;
    let mut model = models.remove(0).unwrap();
    if let Some(instead) = instead {
        let [potential, oracle] = [(); 2].map(|()| Interruptible::new(instead(&systems)));
        (model.potential, model.oracle, model.reference) = (potential, oracle, None);
    }
    model.record.device = Some(device.to_owned());
    model.record.device_requested = Some(device.to_owned());
    results.models.push(md_results::Model { molecules: inputs.asked[0].clone(), ..model.record.clone() });
    let groups = plan(&config).unwrap();
    let mut runner = Runner {
        config: &config,
        index: 0,
        loaded_for: &[0, 1],
        molecules: &inputs.molecules,
        labels: &inputs.labels,
        model: &mut model,
        store: &store,
        out: Some(&out),
        watch: &watch,
        saver: &Saver::new(None),
    };
    runner.measure(Part { groups: &groups, shard: None }, &mut results).unwrap();
    md_criteria::judge(&mut results);
    (results, model.record)
}

#[test]
fn campaign_confines_panic_to_its_molecule() {
    // After a panic the model is loaded again, without the injected failure; later results are not tested.
    let (results, _) = measured(Curse::Panics, "cpu");
    let of_water = |f: &&Failure| f.molecule.as_deref() == Some("water");
    let failed: Vec<&Failure> = results.failures.iter().filter(of_water).collect();
    assert!(
        failed.iter().any(|f| f.stage == Stage::Gates && f.reason == "panicked: there is oxygen"),
        "{failed:?}"
    );
    assert!(
        !results.failures.iter().any(|f| f.molecule.as_deref() == Some("methane")),
        "{:?}",
        results.failures
    );
    assert!(results.gates.iter().any(|g| g.molecule == "methane" && g.id.name() == "rotation_energy"));
    assert_ne!(results.models[0].verdict, Some(Verdict::Approved));
    assert_eq!(results.runs.len(), 6);
}

#[test]
fn batching_halves_on_oom() {
    let (results, record) = measured(Curse::Full(2), "cpu");
    assert_eq!(results.runs.len(), 6);
    assert!(results.runs.iter().all(|r| r.fate == RunFate::Finished), "{:?}", results.runs);
    assert_eq!(record.device_note, None);
    let names: Vec<&str> = results.runs.iter().map(|r| r.molecule.as_str()).collect();
    assert_eq!(
        names,
        ["water", "water", "water", "methane", "methane", "methane"],
        "in the order of the plan"
    );
}

#[test]
fn campaign_continues_on_cpu_after_device_loss() {
    let (results, record) = measured(Curse::Lost, "cuda");
    assert!(results.runs.iter().all(|r| r.fate != RunFate::Failed), "{:?}", results.runs);
    assert_eq!((record.device_requested.as_deref(), record.device.as_deref()), (Some("cuda"), Some("cpu")));
    let note = record.device_note.unwrap();
    assert!(note.contains("the device is lost") && note.contains("continued on the CPU"), "{note}");
}

#[test]
fn campaign_records_failed_runs_and_does_not_approve() {
    let (results, _) = measured(Curse::Lost, "cpu");
    assert!(
        results.failures.iter().any(|f| f.reason.contains("the device is lost")),
        "{:?}",
        results.failures
    );
    assert_ne!(results.models[0].verdict, Some(Verdict::Approved));
}

#[test]
fn watch_ignores_stage_of_unknown_model() {
    let folder = folder();
    let (options, config, _) = opened(&folder);
    let results = nothing_yet(&config, &options, &[]);
    let watch = Watch::new(&Quiet, &results, &["m".to_owned()], Some(folder.path()));
    let stages = || {
        let file = folder.path().join(md_results::progress::FILE);
        md_results::progress::CampaignProgress::read(&file).unwrap().models[0].stages.len()
    };
    drop(watch.stage("nobody", "gates", 1));
    assert_eq!(stages(), 0);
    drop(watch.stage("m", "gates", 1));
    assert_eq!(stages(), 1);
}

#[test]
fn watch_marks_only_finished_stages_as_over() {
    let folder = folder();
    let (options, config, _) = opened(&folder);
    let results = nothing_yet(&config, &options, &[]);
    let watch = Watch::new(&Quiet, &results, &["m".to_owned()], Some(folder.path()));
    drop(watch.stage("m", "broken off", 2));
    watch.stage("m", "finished", 1).finish();
    let file = folder.path().join(md_results::progress::FILE);
    let progress = md_results::progress::CampaignProgress::read(&file).unwrap();
    let over: Vec<bool> = progress.models[0].stages.iter().map(|stage| stage.over).collect();
    assert_eq!(over, [false, true]);
}

#[test]
fn is_running_checks_folder_lock() {
    let folder = folder();
    let (options, _, out) = opened(&folder);
    assert!(!Campaign::is_running(&out), "there is no folder");
    let campaign = builder(&options, &out, Begin::New).open().unwrap();
    assert!(Campaign::is_running(&out));
    // A killed campaign leaves its lock file behind, with a process id that may be reused by another program.
    drop(campaign);
    assert!(!Campaign::is_running(&out));
    assert!(builder(&options, &out, Begin::Resume).open().is_ok());
}
