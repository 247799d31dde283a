//! Reports a running campaign: progress bars or lines, verdicts as they are reached, and `progress.json`.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use md_core::units::MEV_PER_EV;
use md_core::{Frame, Observer, ObserverError};
use md_results::progress::{self, CampaignProgress, ModelProgress, StageProgress};
use md_results::{Model, Results, Verdict, number};

use crate::progress::{Progress, Ticker};
use crate::provenance;

/// Minimum time between two writes of the file.
const REWRITE: Duration = Duration::from_secs(1);

/// Reports the progress of a campaign.
pub(crate) struct Watch<'p> {
    progress: &'p dyn Progress,
    journal: Mutex<Journal>,
}

struct Journal {
    /// Path of `progress.json`, if it is written.
    file: Option<PathBuf>,
    state: CampaignProgress,
    written: Option<Instant>,
    refused: bool,
}

impl<'p> Watch<'p> {
    /// Creates the report of a campaign with these models and the output folder `out`, if any.
    pub(crate) fn new(
        progress: &'p dyn Progress,
        results: &Results,
        models: &[String],
        out: Option<&std::path::Path>,
    ) -> Self {
        let model = |name: &String| ModelProgress { name: name.clone(), done: false, stages: Vec::new() };
        let state = CampaignProgress {
            campaign: results.campaign.name.clone(),
            pid: std::process::id(),
            started: results.campaign.started.clone(),
            updated: String::new(),
            finished: false,
            stopped: None,
            resume: results.campaign.resume.clone(),
            runs: results.progress(),
            models: models.iter().map(model).collect(),
        };
        let mut journal =
            Journal { file: out.map(|out| out.join(progress::FILE)), state, written: None, refused: false };
        journal.write();
        Watch { progress, journal: Mutex::new(journal) }
    }

    /// Starts a stage of a model with `length` parts (0: unknown).
    pub(super) fn stage(&self, model: &str, title: &str, length: u64) -> StageTicker<'_> {
        let bar = self.progress.stage(&format!("{model}: {title}"), length);
        self.begin(model, title, length, 1, bar)
    }

    /// Starts a stage of the given number of time steps, of which every `stride`-th is reported.
    pub(super) fn steps(&self, model: &str, title: &str, steps: u64, stride: u64) -> StageTicker<'_> {
        let bar = self.progress.steps(&format!("{model}: {title}"), steps);
        self.begin(model, title, steps, stride, bar)
    }

    /// Reports that a model has finished all its stages.
    pub(super) fn model_is_done(&self, model: &Model) {
        let mut journal = self.journal();
        if let Some(of_model) = journal.state.models.iter_mut().find(|m| m.name == model.name) {
            of_model.done = true;
        }
        journal.write();
        let verdict = model.verdict.map_or("control", Verdict::label);
        self.progress.say(&format!("{}: {verdict}: {}", model.name, model.summary));
    }

    /// Reports how many runs are made.
    pub(super) fn runs_made(&self, results: &Results) {
        self.journal().state.runs = results.progress();
    }

    /// Reports why the campaign ends before its end.
    pub(super) fn stopped(&self, reason: &str) {
        let mut journal = self.journal();
        journal.state.stopped = Some(reason.to_owned());
        journal.write();
    }

    /// Reports that the campaign is finished.
    pub(super) fn finish(&self) {
        let mut journal = self.journal();
        journal.state.finished = true;
        journal.state.resume = None;
        journal.write();
    }

    #[expect(clippy::disallowed_methods, reason = "the time that is left follows from that which has passed")]
    fn begin(
        &self,
        model: &str,
        title: &str,
        total: u64,
        stride: u64,
        bar: Box<dyn Ticker>,
    ) -> StageTicker<'_> {
        let mut journal = self.journal();
        let index = journal.state.models.iter().position(|m| m.name == model);
        let place = index.map(|index| {
            let stages = &mut journal.state.models[index].stages;
            stages.push(StageProgress {
                name: title.to_owned(),
                done: 0,
                total,
                over: false,
                elapsed_s: 0.0,
                note: String::new(),
            });
            (index, stages.len() - 1)
        });
        journal.write();
        StageTicker {
            watch: self,
            bar,
            stride,
            place,
            begun: Instant::now(),
            done: 0,
            over: false,
            first_ev: Vec::new(),
        }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// Writes the file. The measurements do not depend on it, so that a failure to write does not end the campaign.
    #[expect(clippy::disallowed_methods, reason = "the file is written about once a second")]
    fn write(&mut self) {
        self.state.updated = provenance::now();
        self.written = Some(Instant::now());
        let Some(file) = &self.file else { return };
        if let Err(error) = self.state.write(file)
            && !self.refused
        {
            self.refused = true;
            tracing::warn!("mdproof status will not see this campaign: {error}");
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the file is written about once a second")]
    fn is_due(&self) -> bool {
        self.written.is_none_or(|written| Instant::now() - written > REWRITE)
    }
}

/// Progress of one stage of one model.
pub(super) struct StageTicker<'a> {
    watch: &'a Watch<'a>,
    bar: Box<dyn Ticker>,
    stride: u64,
    /// Index of the model and of its stage; `None` for a model that is not in the plan.
    place: Option<(usize, usize)>,
    begun: Instant,
    done: u64,
    over: bool,
    /// Conserved energy of each system in its first frame, eV.
    first_ev: Vec<Option<f64>>,
}

impl StageTicker<'_> {
    /// Reports that one more part is finished.
    pub(super) fn tick(&mut self) {
        self.bar.tick();
        self.done += 1;
        let mut journal = self.watch.journal();
        if journal.is_due() {
            self.enter(&mut journal, None, false);
            journal.write();
        }
    }

    /// Reports that all parts are finished. A stage dropped without this call was interrupted.
    pub(super) fn finish(mut self) {
        self.over = true;
    }

    fn enter(&self, journal: &mut Journal, note: Option<String>, over: bool) {
        let Some((model, stage)) = self.place else { return };
        let Some(stage) = journal.state.models.get_mut(model).and_then(|m| m.stages.get_mut(stage)) else {
            return;
        };
        stage.done = self.done;
        stage.over = over;
        stage.elapsed_s = self.begun.elapsed().as_secs_f64();
        if let Some(note) = note {
            stage.note = note;
        }
    }
}

impl Drop for StageTicker<'_> {
    fn drop(&mut self) {
        let mut journal = self.watch.journal();
        self.enter(&mut journal, None, self.over);
        journal.write();
    }
}

/// Shows steps done, systems still running, and the deviations of their conserved energies from the initial values.
impl Observer for StageTicker<'_> {
    fn stride(&self) -> u64 {
        self.stride
    }

    fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError> {
        let step = frame.state.step();
        if self.first_ev.is_empty() {
            for system in frame.systems() {
                self.first_ev.resize(self.first_ev.len().max(system.id + 1), None);
                self.first_ev[system.id] = Some(system.conserved_ev());
            }
        }
        let due = self.watch.journal().is_due();
        self.done = step;
        if due || self.bar.is_due() {
            let note = self.note(&frame);
            self.bar.show(step, &note);
            if due {
                let mut journal = self.watch.journal();
                self.enter(&mut journal, Some(note), false);
                journal.write();
            }
        }
        Ok(())
    }
}

impl StageTicker<'_> {
    fn note(&self, frame: &Frame<'_>) -> String {
        let change = |system: &md_core::SystemFrame<'_>| {
            let first = (*self.first_ev.get(system.id)?)?;
            Some((system.conserved_ev() - first).abs() * MEV_PER_EV / system.positions().len() as f64)
        };
        let largest = frame.systems().filter_map(|system| change(&system)).fold(0.0, f64::max);
        format!("{} alive, energy changed by {} meV/atom at most", frame.ids.len(), number(largest))
    }
}
