//! Runs a campaign from its first model to its last.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use md_io::files::Written;
use md_results::{Ensemble, LeftOut, Performance, Planned, Results};

use super::blank::nothing_yet;
use super::identity::Identity;
use super::inputs::Inputs;
use super::options::{Begin, CampaignOptions, Output, Session};
use super::runner::{Part, Runner};
use super::store::{self, Store};
use super::watch::Watch;
use crate::config::Config;
use crate::error::{CampaignError, Halt};
use crate::measure::speed;
use crate::plan::{Group, groups_of, in_shard, plan};
use crate::progress::Progress;
use crate::{frames, models, provenance};

/// A campaign with all its inputs, ready to run.
///
/// ```no_run
/// use md_driver::campaign::{Begin, Campaign, CampaignOptions, Output};
///
/// let campaign = Campaign::builder()
///     .options(CampaignOptions::new("campaign.toml"))
///     .output(Output::Folder { path: "out".into(), begin: Begin::New })
///     .open()?;
/// let results = campaign.run()?;
/// println!("{}", results.models[0].summary);
/// # Ok::<(), md_driver::CampaignError>(())
/// ```
pub struct Campaign<'p> {
    out: Option<PathBuf>,
    options: CampaignOptions,
    pub(super) store: Store,
    pub(super) identity: Identity,
    pub(super) inputs: Inputs,
    /// Command that continues it, if it has a folder.
    pub(super) resume: Option<String>,
    progress: &'p dyn Progress,
}

impl<'p> Campaign<'p> {
    /// Returns the output folder, if any: the requested one, or one beside it ([`Begin::Beside`]).
    pub fn folder(&self) -> Option<&Path> {
        self.out.as_deref()
    }

    pub(super) fn open(
        config: &Config,
        options: &CampaignOptions,
        output: &Output,
        session: &Session,
        progress: &'p dyn Progress,
    ) -> Result<Self> {
        let now = Identity::new(config, options)?;
        let options = options.clone();
        let (out, begin) = match output {
            Output::Memory => {
                let inputs = Inputs::read(config, &options)?;
                let store = Store::in_memory(session);
                return Ok(Campaign {
                    out: None,
                    options,
                    store,
                    identity: now,
                    inputs,
                    resume: None,
                    progress,
                });
            }
            Output::Folder { path, begin } => (path, *begin),
        };
        let begun = Identity::read(&out.join(store::FOLDER))?;
        let holds_results = begun.is_some() || out.join(md_results::FILE).exists();
        let place = out.display();
        match (begin, begun) {
            (Begin::Resume, Some(begun)) => {
                let differences = begun.differences(&now);
                if !differences.is_empty() {
                    bail!(
                        "{place}: its results were begun with other inputs:\n  {}\nrestore these inputs to resume, or start over beside it \
                         with --force-new",
                        differences.join("\n  ")
                    );
                }
                let inputs = Inputs::read(config, &options)?;
                let store = Store::resume(out, &begun, session)?;
                tracing::info!("resuming in {place}: {} stage results are stored", store.n_results());
                if begun.cpu != now.cpu {
                    let name = |cpu: &Option<String>| cpu.clone().unwrap_or_else(|| "unknown".to_owned());
                    tracing::warn!(
                        "the campaign began on a CPU called {}, this is {}: last digits may differ",
                        name(&begun.cpu),
                        name(&now.cpu)
                    );
                }
                let resume = Some(options.resume(out));
                Ok(Campaign {
                    out: Some(out.clone()),
                    options,
                    store,
                    identity: begun,
                    inputs,
                    resume,
                    progress,
                })
            }
            (Begin::Resume, None) if holds_results => bail!(
                "{place} holds results, but no state to resume from: choose another --out, or start over beside them with --force-new"
            ),
            (Begin::New, _) if holds_results => bail!(
                "{place} already holds results: resume with --resume, start over beside them with --force-new, or choose another \
                 --out"
            ),
            _ => {
                let out = if holds_results { beside(out) } else { out.clone() };
                let inputs = Inputs::read(config, &options)?;
                let store = Store::create(&out, &now, session)?;
                let resume = Some(options.resume(&out));
                Ok(Campaign { out: Some(out), options, store, identity: now, inputs, resume, progress })
            }
        }
    }

    /// Runs the campaign and judges its models. Measurements are written to the output folder, if any, as they are
    /// made: `results.json`, `md_performance_results.json`, frames and, if requested, `trajectories/`.
    ///
    /// A model that fails in one run does not stop the others.
    ///
    /// # Errors
    /// [`CampaignError::Interrupted`] if it was asked to stop, [`CampaignError::Storage`] if measurements cannot be
    /// stored, or the plan is empty.
    pub fn run(self) -> Result<Results, CampaignError> {
        Ok(self.run_inner()?)
    }

    pub(super) fn run_inner(self) -> Result<Results> {
        let Campaign { out, options, store, mut identity, inputs, resume, progress } = self;
        let out = out.as_deref();
        let Inputs { config, molecules, models: mut loaded, loaded_for, labels, asked, failures } = inputs;
        let config = &config;
        let atoms: Vec<usize> = molecules.iter().map(|m| m.record.atoms).collect();
        let (groups, own) = in_shard(config, &atoms, &options.only, options.shard)?;
        let mine = own.as_ref().unwrap_or(&groups);
        let is_run = |index: usize| mine.iter().any(|g| g.model == index);
        let named: Vec<usize> = (0..config.models.len()).filter(|&index| is_run(index)).collect();
        let names: Vec<String> = named.iter().map(|&index| config.models[index].name.clone()).collect();
        let mut results = nothing_yet(config, &options, &molecules);
        results.campaign.started.clone_from(&identity.started);
        results.campaign.left_out = left_out(config, mine)?;
        results.campaign.resume = resume;
        let planned = |&index: &usize| Planned {
            model: config.models[index].name.clone(),
            runs: mine.iter().filter(|g| g.model == index).map(|g| g.runs.len()).sum(),
            done: false,
        };
        results.campaign.plan = named.iter().map(planned).collect();
        results.failures = failures;
        results.failures.retain(|failure| names.contains(&failure.model)); // others are left out by --only
        // All models from the start, so that a killed campaign shows which of them were not measured.
        results.models = named
            .iter()
            .map(|&index| md_results::Model {
                molecules: asked[index].clone(),
                ..loaded[index]
                    .as_ref()
                    .map_or_else(|| models::unloaded(&config.models[index]), |m| m.record.clone())
            })
            .collect();
        if let Some(out) = out {
            // Frames visited before a resumption are stored elsewhere.
            frames::begin(&out.join(md_results::FRAMES_FILE)).map_err(Halt::Storage)?;
        }
        let saver = Saver::new(out);
        saver.save(&mut results)?;
        let watch = Watch::new(progress, &results, &names, out);
        for (place, index) in named.into_iter().enumerate() {
            if let Some(loaded) = &mut loaded[index] {
                let groups = groups_of(index, &groups);
                let shard = own.as_ref().map(|own| groups_of(index, own));
                let mut runner = Runner {
                    config,
                    index,
                    loaded_for: &loaded_for[index],
                    molecules: &molecules,
                    labels: &labels,
                    model: loaded,
                    store: &store,
                    out,
                    watch: &watch,
                    saver: &saver,
                };
                let part = Part { groups: &groups, shard: shard.as_deref() };
                if let Err(halt) = runner.measure(part, &mut results) {
                    watch.runs_made(&results);
                    watch.stopped(&halt.words());
                    // How far it came; on a full disk the last results stay.
                    let saved = saver.save(&mut results);
                    if let (Halt::Interrupted, Err(full)) = (&halt, saved) {
                        return Err(full.into());
                    }
                    return Err(halt.into());
                }
                let record = &mut results.models[place];
                // A device may have failed meanwhile.
                record.device.clone_from(&loaded.record.device);
                record.device_note.clone_from(&loaded.record.device_note);
            }
            results.campaign.plan[place].done = true;
            md_criteria::judge_one(&mut results, &config.models[index].name);
            saver.save_if_due(&mut results)?;
            watch.runs_made(&results);
            watch.model_is_done(&results.models[place]);
        }
        // The rates of the machine are the measure of what networks achieve; of other potentials no FLOPs are known.
        if results.speed.iter().any(|row| row.gflop_per_call.is_some()) {
            results.machine = store.get_or_compute("machine", || Ok(speed::machine()))??;
        }
        speed::relate_to_machine(&mut results.speed, &results.machine);
        results.campaign.finished = provenance::now();
        results.campaign.resume = None;
        if let Some(out) = out {
            let frames = Written::of(out, md_results::FRAMES_FILE).context("cannot read the frames again");
            results.files.insert(0, frames.map_err(Halt::Storage)?.into());
        }
        saver.save(&mut results)?;
        if let Some(out) = out {
            identity.finished = true;
            identity.write(&out.join(store::FOLDER)).map_err(Halt::Storage)?;
        }
        watch.finish();
        store.finish();
        Ok(results)
    }

    /// Whether a process is running a campaign in the folder `out`.
    pub fn is_running(out: &Path) -> bool {
        store::is_locked(out)
    }

    /// Returns the folder of the campaign called `name` that was started last in `parent`; `None` if there is none.
    pub fn latest(parent: &Path, name: &str) -> Option<PathBuf> {
        let folders = std::fs::read_dir(parent).ok()?.flatten().map(|entry| entry.path());
        let begun = folders.filter_map(|folder| {
            let identity = Identity::read(&folder.join(store::FOLDER)).ok()??;
            (identity.campaign == name).then_some((identity.started, folder))
        });
        begun.max().map(|(_, folder)| folder)
    }
}

/// Returns the first of `out-2`, `out-3`, ... that does not exist.
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

/// Returns the runs of the complete plan that are not among `mine`, for the models that are.
fn left_out(config: &Config, mine: &[Group<'_>]) -> Result<Vec<LeftOut>> {
    let made: BTreeSet<&str> = mine.iter().flat_map(|g| &g.runs).map(|run| run.id.as_str()).collect();
    let models: BTreeSet<usize> = mine.iter().map(|g| g.model).collect();
    let whole = plan(config)?;
    let mut replicas: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
    for group in whole.iter().filter(|g| models.contains(&g.model)) {
        for run in group.runs.iter().filter(|run| !made.contains(run.id.as_str())) {
            // Positive numbers have the order of their bits.
            let condition =
                (run.model, run.molecule, group.config.ensemble.record(), run.temperature_k.to_bits());
            replicas.entry(condition).or_default().insert(run.replica);
        }
    }
    let named =
        |((model, molecule, ensemble, kelvins), replicas): ((usize, usize, Ensemble, u64), BTreeSet<u32>)| {
            LeftOut {
                model: config.models[model].name.clone(),
                molecule: config.molecules[molecule].name.clone(),
                ensemble,
                temperature_k: f64::from_bits(kelvins),
                replicas: replicas.into_iter().collect(),
            }
        };
    Ok(replicas.into_iter().map(named).collect())
}

/// Part of its time that a campaign may spend on writing its results as they grow.
const WRITING: f64 = 0.1;

/// Writes the results to the output folder, if any, so that a later failure loses nothing.
pub(super) struct Saver<'a> {
    out: Option<&'a Path>,
    /// End and duration of the last write.
    last: Cell<Option<(Instant, Duration)>>,
}

impl<'a> Saver<'a> {
    pub(super) fn new(out: Option<&'a Path>) -> Self {
        Saver { out, last: Cell::new(None) }
    }

    /// Judges and writes the measurements so far, unless it was done so lately that a campaign of many models and runs
    /// would spend its time on it. The journal has what is not written yet.
    ///
    /// # Errors
    /// [`Halt::Storage`].
    pub(super) fn save_if_due(&self, results: &mut Results) -> Result<(), Halt> {
        let is_due = |(end, took): (Instant, Duration)| end.elapsed().mul_f64(WRITING) >= took;
        if self.last.get().is_none_or(is_due) { self.save(results) } else { Ok(()) }
    }

    /// Judges and writes the measurements so far.
    ///
    /// # Errors
    /// [`Halt::Storage`].
    #[expect(clippy::disallowed_methods, reason = "writing must not take most of the time")]
    pub(super) fn save(&self, results: &mut Results) -> Result<(), Halt> {
        let begin = Instant::now();
        save(results, self.out)?;
        self.last.set(Some((Instant::now(), begin.elapsed())));
        Ok(())
    }
}

/// Judges the measurements so far and writes them to the folder, if any.
fn save(results: &mut Results, out: Option<&Path>) -> Result<(), Halt> {
    let devices = |of: fn(&md_results::Model) -> Option<&String>| {
        let named: BTreeSet<&str> = results.models.iter().filter_map(of).map(String::as_str).collect();
        if named.is_empty() { "cpu".to_owned() } else { named.into_iter().collect::<Vec<_>>().join(", ") }
    };
    results.provenance.device_requested = devices(|m| m.device_requested.as_ref());
    results.provenance.device_used = devices(|m| m.device.as_ref());
    speed::relate_to_first(results);
    md_criteria::judge(results);
    let Some(out) = out else { return Ok(()) };
    let performance = Performance::from_results(results);
    results
        .write(&out.join(md_results::FILE))
        .and_then(|()| md_results::write_json(&out.join("md_performance_results.json"), &performance))
        .map_err(|error| Halt::Storage(error.into()))
}
