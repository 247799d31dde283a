//! Progress: bars on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bars with remaining time.
    Bars,
    /// A line as each stage begins, through the log.
    Lines,
    /// Nothing.
    Quiet,
}

/// Longest time between two updates of a bar.
const REDRAW: Duration = Duration::from_millis(100);

impl Progress {
    /// A stage of `length` parts (0: unknown).
    pub fn stage(self, name: &str, length: u64) -> Ticker {
        if length > 0 {
            return self.ticker(name, length, "{prefix:<28} {bar:30} {pos}/{len}");
        }
        let ticker = self.ticker(name, length, "{prefix:<28} {spinner} {elapsed}");
        ticker.bar.enable_steady_tick(REDRAW);
        ticker
    }

    /// A stage of so many time steps, of which every `stride`-th is seen.
    pub fn steps(self, name: &str, steps: u64, stride: u64) -> Ticker {
        let template = "{prefix:<28} {bar:30} {pos}/{len} steps, {eta} left {msg}";
        let mut ticker = self.ticker(name, steps, template);
        ticker.stride = stride;
        ticker
    }

    /// A line that stays, above the bars; elsewhere in the log.
    pub fn say(self, line: &str) {
        match self {
            Progress::Bars => {
                let bar = ProgressBar::new_spinner();
                bar.println(line);
                bar.finish_and_clear();
            }
            Progress::Lines => tracing::info!("{line}"),
            Progress::Quiet => {}
        }
    }

    /// A bar of training steps that begins at `done`, with the remaining time and a message.
    pub fn training(self, name: &str, done: u64, steps: u64) -> ProgressBar {
        let bar =
            self.bar(name, steps, "{prefix:<12} {bar:30} {pos}/{len} steps, {eta} left, {per_sec} {msg}");
        bar.with_position(done)
    }

    fn ticker(self, name: &str, length: u64, template: &str) -> Ticker {
        Ticker { bar: self.bar(name, length, template), drawn: None, stride: 1 }
    }

    fn bar(self, name: &str, length: u64, template: &str) -> ProgressBar {
        let target = match self {
            Progress::Bars => ProgressDrawTarget::stderr(),
            Progress::Lines => {
                tracing::info!("{name}");
                ProgressDrawTarget::hidden()
            }
            Progress::Quiet => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(length), target).with_prefix(name.to_owned());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar
    }
}

/// The progress of one stage; gone when dropped.
pub struct Ticker {
    bar: ProgressBar,
    drawn: Option<Instant>,
    stride: u64,
}

impl Ticker {
    /// One more part is done.
    pub fn tick(&self) {
        self.bar.inc(1);
    }

    /// Time steps of which every so many-th is seen.
    pub fn stride(&self) -> u64 {
        self.stride
    }

    /// Whether it is time to draw it again.
    #[expect(clippy::disallowed_methods, reason = "a progress bar is redrawn by the clock")]
    pub fn is_due(&self) -> bool {
        self.drawn.is_none_or(|drawn| Instant::now() - drawn > REDRAW)
    }

    /// Draws it with so many parts done and a note.
    #[expect(clippy::disallowed_methods, reason = "a progress bar is redrawn by the clock")]
    pub fn show(&mut self, done: u64, note: &str) {
        self.drawn = Some(Instant::now());
        self.bar.set_message(note.to_owned());
        self.bar.set_position(done);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
