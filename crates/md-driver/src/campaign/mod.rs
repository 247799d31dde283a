//! Runs a campaign: every stage of every model, written to the output folder as it is measured.

mod batch;
mod device;
mod dynamics;
mod economy;
mod explain;
mod forecast;
mod identity;
mod inputs;
mod merge;
mod stage;
mod store;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use md_io::results::{self, LeftOut, Results, SCHEMA_VERSION};

use crate::config::{Config, Device, ModelArgument};
use crate::plan::{Filter, Group, Shard, only, plan, share};
use crate::progress::Progress;
use crate::{frames, models, provenance, speed, verdict};
use identity::Identity;
use inputs::Inputs;
use stage::ModelStage;
use store::Store;
use watch::Watch;

pub use forecast::{Forecast, forecast};
pub(crate) use inputs::{LoadedMolecule, check_labels, load_molecule};
pub use merge::merge;
pub use store::{Halt, SAVE_EVERY};

/// What is asked for beside the campaign file's content.
pub struct Request<'a> {
    /// The campaign file.
    pub config_file: &'a Path,
    /// Models added or replaced on the command line.
    pub models: &'a [ModelArgument],
    /// Device of all models, whatever the campaign file says.
    pub device: Option<Device>,
    /// Only what matches is run.
    pub only: &'a [Filter],
    /// Frames of earlier runs with the forces of a reference program.
    pub labels: Option<&'a Path>,
    /// Only this share of the plan is run.
    pub shard: Option<Shard>,
    /// A model or molecule that cannot be read is reported, and the others go on.
    pub keep_going: bool,
    /// How often the runs in progress are kept.
    pub save_every: Duration,
}

/// How a campaign begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// In a folder that holds no results yet.
    New,
    /// Where it stands, if it has begun in that folder.
    Resume,
    /// Anew, beside what the folder may hold.
    Beside,
}

/// A campaign in its output folder, with all that it reads.
pub struct Campaign {
    /// The folder.
    pub out: PathBuf,
    store: Store,
    identity: Identity,
    inputs: Inputs,
}

impl Campaign {
    /// Reads all that `config` names, and opens `out` for it, or a folder beside it.
    ///
    /// # Errors
    /// Bad input, before anything is written. A folder with results that must not be overwritten, with those of other
    /// inputs, or that another process works in.
    pub fn open(config: &Config, request: &Request<'_>, out: &Path, begin: Begin) -> Result<Self> {
        let now = Identity::of(config, request)?;
        let begun = Identity::read(&out.join(store::FOLDER))?;
        let holds_results = begun.is_some() || out.join(RESULTS).exists();
        let place = out.display();
        match (begin, begun) {
            (Begin::Resume, Some(begun)) => {
                let differences = begun.differences(&now);
                if !differences.is_empty() {
                    bail!(
                        "{place}: its results were begun with other inputs:\n  {}\ngive it these back to go on, or begin anew \
                         beside it with --force-new",
                        differences.join("\n  ")
                    );
                }
                let inputs = Inputs::read(config, request)?;
                let store = Store::resume(out, request.save_every)?;
                tracing::info!("going on in {place}: {} parts are done", store.n_parts());
                if begun.cpu != now.cpu {
                    let name = |cpu: &Option<String>| cpu.clone().unwrap_or_else(|| "unknown".to_owned());
                    tracing::warn!(
                        "the campaign began on a processor called {}, this is {}: last digits may differ",
                        name(&begun.cpu),
                        name(&now.cpu)
                    );
                }
                Ok(Campaign { out: out.to_owned(), store, identity: begun, inputs })
            }
            (Begin::Resume, None) if holds_results => bail!(
                "{place} holds results, but nothing to go on with: choose another --out, or begin beside them by --force-new"
            ),
            (Begin::New, _) if holds_results => bail!(
                "{place} holds results already: go on with them by --resume, begin anew beside them by --force-new, or choose \
                 another --out"
            ),
            _ => {
                let out = if holds_results { beside(out) } else { out.to_owned() };
                let inputs = Inputs::read(config, request)?;
                let store = Store::create(&out, &now, request.save_every)?;
                Ok(Campaign { out, store, identity: now, inputs })
            }
        }
    }

    /// The folder of the campaign called `name` that began last in `parent`; `None` where there is none.
    pub fn latest(parent: &Path, name: &str) -> Option<PathBuf> {
        let folders = std::fs::read_dir(parent).ok()?.flatten().map(|entry| entry.path());
        let begun = folders.filter_map(|folder| {
            let identity = Identity::read(&folder.join(store::FOLDER)).ok()??;
            (identity.campaign == name).then_some((identity.started, folder))
        });
        begun.max().map(|(_, folder)| folder)
    }
}

/// The first of `out-2`, `out-3`, ... that does not exist.
fn beside(out: &Path) -> PathBuf {
    let name = |n: usize| {
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(format!("-{n}"));
        out.with_file_name(name)
    };
    let mut n = 2;
    while name(n).exists() {
        n += 1;
    }
    name(n)
}

/// Name of the file with the results.
pub const RESULTS: &str = "results.json";

/// Runs a campaign and writes what it measures to its folder: `results.json`, `md_performance_results.json` and, where it
/// asks for them, `trajectories/`.
///
/// A model that fails in one run does not stop the others.
///
/// # Errors
/// [`Halt`] when the campaign was interrupted, or what it measures cannot be kept; a plan of which nothing is left.
pub fn run(request: &Request<'_>, campaign: Campaign, progress: Progress) -> Result<Results> {
    let Campaign { out, store, mut identity, inputs } = campaign;
    let out = out.as_path();
    let Inputs { config, molecules, models: mut loaded, loaded_for, labels, asked, failures } = inputs;
    let config = &config;
    let (groups, own) = in_share(config, &molecules, request)?;
    let mine = own.as_ref().unwrap_or(&groups);
    let is_run = |index: usize| mine.iter().any(|g| g.model == index);
    let named: Vec<usize> = (0..config.models.len()).filter(|&index| is_run(index)).collect();
    let names: Vec<String> = named.iter().map(|&index| config.models[index].name.clone()).collect();
    let mut results = nothing_yet(config, request, &molecules);
    results.campaign.started.clone_from(&identity.started);
    results.campaign.left_out = left_out(config, mine)?;
    results.failures = failures;
    results.failures.retain(|failure| names.contains(&failure.model)); // others are left out by --only
    // All of them from the start, so that a campaign that is killed says what it has not looked at.
    results.models = named
        .iter()
        .map(|&index| results::Model {
            molecules: asked[index].clone(),
            ..loaded[index]
                .as_ref()
                .map_or_else(|| models::unloaded(&config.models[index]), |m| m.record.clone())
        })
        .collect();
    frames::begin(&out.join(frames::FILE)).map_err(Halt::Storage)?; // what a campaign that goes on has visited is kept elsewhere
    save(&mut results, out)?;
    let watch = Watch::new(progress, &results, &names, out);
    for (place, index) in named.into_iter().enumerate() {
        if let Some(loaded) = &mut loaded[index] {
            let whole = groups_of(index, &groups);
            let share = own.as_ref().map(|own| groups_of(index, own));
            let mut stage = ModelStage {
                config,
                index,
                loaded_for: &loaded_for[index],
                molecules: &molecules,
                labels: &labels,
                model: loaded,
                store: &store,
                out,
                watch: &watch,
            };
            stage.measure(&whole, share.as_deref(), &mut results)?;
            let record = &mut results.models[place];
            // A device may have failed on the way.
            record.device.clone_from(&loaded.record.device);
            record.device_note.clone_from(&loaded.record.device_note);
        }
        save(&mut results, out)?;
        watch.model_is_done(&results.models[place]);
    }
    results.machine = store.part("machine", || Ok(speed::machine()))??;
    speed::relate_to_machine(&mut results.speed, &results.machine);
    results.campaign.finished = provenance::now();
    save(&mut results, out)?;
    identity.finished = true;
    identity.write(&out.join(store::FOLDER)).map_err(Halt::Storage)?;
    watch.finish();
    store.finish();
    Ok(results)
}

/// The results of a campaign before anything is measured.
fn nothing_yet(config: &Config, request: &Request<'_>, molecules: &[LoadedMolecule]) -> Results {
    Results {
        schema_version: SCHEMA_VERSION,
        campaign: results::Campaign {
            name: config.name.clone(),
            config_sha256: config.sha256.clone(),
            seed: config.seed,
            finished: String::new(),
            started: String::new(),
            only: request.only.iter().map(Filter::to_string).collect(),
            shard: request.shard.map(|shard| shard.to_string()),
            left_out: Vec::new(),
        },
        provenance: provenance::provenance(),
        criteria: config.criteria.clone(),
        molecules: molecules.iter().map(|m| m.record.clone()).collect(),
        models: Vec::new(),
        relaxations: Vec::new(),
        gates: Vec::new(),
        runs: Vec::new(),
        evaluations: Vec::new(),
        speed: Vec::new(),
        machine: Vec::new(),
        survival: Vec::new(),
        comparisons: Vec::new(),
        shifts: Vec::new(),
        attributions: Vec::new(),
        timesteps: Vec::new(),
        economy: Vec::new(),
        failures: Vec::new(),
        series: Vec::new(),
    }
}

/// The plan as far as it is asked for, and the share of it that is run, where it is not the whole.
fn in_share<'c>(
    config: &'c Config,
    molecules: &[LoadedMolecule],
    request: &Request<'_>,
) -> Result<(Vec<Group<'c>>, Option<Vec<Group<'c>>>)> {
    let groups = only(config, plan(config)?, request.only)?;
    let atoms: Vec<usize> = molecules.iter().map(|m| m.record.atoms).collect();
    let own = request.shard.map(|shard| share(&groups, &atoms, shard)).transpose()?;
    Ok((groups, own))
}

/// The runs of the whole plan that are not among `mine`, of the models that are.
fn left_out(config: &Config, mine: &[Group<'_>]) -> Result<Vec<LeftOut>> {
    let made: BTreeSet<&str> = mine.iter().flat_map(|g| &g.runs).map(|run| run.id.as_str()).collect();
    let models: BTreeSet<usize> = mine.iter().map(|g| g.model).collect();
    let whole = plan(config)?;
    let mut replicas: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
    for group in whole.iter().filter(|g| models.contains(&g.model)) {
        for run in group.runs.iter().filter(|run| !made.contains(run.id.as_str())) {
            // Kelvins are ordered by their bits, since they are positive.
            let condition =
                (run.model, run.molecule, group.config.ensemble.name(), run.temperature_k.to_bits());
            replicas.entry(condition).or_default().insert(run.replica);
        }
    }
    let named =
        |((model, molecule, ensemble, kelvins), replicas): ((usize, usize, &str, u64), BTreeSet<u32>)| {
            LeftOut {
                model: config.models[model].name.clone(),
                molecule: config.molecules[molecule].name.clone(),
                ensemble: ensemble.to_owned(),
                temperature_k: f64::from_bits(kelvins),
                replicas: replicas.into_iter().collect(),
            }
        };
    Ok(replicas.into_iter().map(named).collect())
}

fn groups_of<'c>(model: usize, groups: &[Group<'c>]) -> Vec<Group<'c>> {
    groups.iter().filter(|g| g.model == model).cloned().collect()
}

/// The molecules that these groups run, in the order of the campaign.
pub(crate) fn molecules_of<'g, 'c: 'g>(groups: impl Iterator<Item = &'g Group<'c>>) -> Vec<usize> {
    let molecules: BTreeSet<usize> = groups.flat_map(|g| &g.runs).map(|r| r.molecule).collect();
    molecules.into_iter().collect()
}

/// Judges what has been measured so far and writes it, so that a later failure loses nothing.
fn save(results: &mut Results, out: &Path) -> Result<(), Halt> {
    let devices = |of: fn(&results::Model) -> Option<&String>| {
        let named: BTreeSet<&str> = results.models.iter().filter_map(of).map(String::as_str).collect();
        if named.is_empty() { "cpu".to_owned() } else { named.into_iter().collect::<Vec<_>>().join(", ") }
    };
    results.provenance.device_requested = devices(|m| m.device_requested.as_ref());
    results.provenance.device_used = devices(|m| m.device.as_ref());
    speed::relate_to_first(results);
    verdict::judge(results);
    let performance = speed::performance(results);
    results
        .write(&out.join(RESULTS))
        .and_then(|()| results::write_json(&out.join("md_performance_results.json"), &performance))
        .map_err(|error| Halt::Storage(error.into()))
}

#[cfg(test)]
mod tests;
