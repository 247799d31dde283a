//! Progress: bars on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use md_driver::progress::{Progress, Ticker};

/// Display of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bars {
    /// Bars with the remaining time.
    Drawn,
    /// A log line at the start of each stage.
    Lines,
    /// No display.
    Quiet,
}

/// Time between two updates of a bar.
const REDRAW: Duration = Duration::from_millis(100);

impl Bars {
    /// Returns this display, or none if `quiet` is set.
    #[must_use]
    pub fn unless(self, quiet: bool) -> Self {
        if quiet { Bars::Quiet } else { self }
    }

    /// Creates a bar of training steps that starts at `done`, with the remaining time and a message.
    pub fn training(self, name: &str, done: u64, steps: u64) -> ProgressBar {
        let bar =
            self.bar(name, steps, "{prefix:<12} {bar:30} {pos}/{len} steps, {eta} left, {per_sec} {msg}");
        bar.with_position(done)
    }

    fn bar(self, name: &str, length: u64, template: &str) -> ProgressBar {
        let target = match self {
            Bars::Drawn => ProgressDrawTarget::stderr(),
            Bars::Lines => {
                tracing::info!("{name}");
                ProgressDrawTarget::hidden()
            }
            Bars::Quiet => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(length), target).with_prefix(name.to_owned());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar
    }
}

impl Progress for Bars {
    fn stage(&self, name: &str, length: u64) -> Box<dyn Ticker> {
        if length > 0 {
            return Box::new(Bar::new(self.bar(name, length, "{prefix:<28} {bar:30} {pos}/{len}")));
        }
        let bar = self.bar(name, length, "{prefix:<28} {spinner} {elapsed}");
        bar.enable_steady_tick(REDRAW);
        Box::new(Bar::new(bar))
    }

    fn steps(&self, name: &str, steps: u64) -> Box<dyn Ticker> {
        let template = "{prefix:<28} {bar:30} {pos}/{len} steps, {eta} left {msg}";
        Box::new(Bar::new(self.bar(name, steps, template)))
    }

    fn say(&self, line: &str) {
        match self {
            Bars::Drawn => {
                let bar = ProgressBar::new_spinner();
                bar.println(line);
                bar.finish_and_clear();
            }
            Bars::Lines => tracing::info!("{line}"),
            Bars::Quiet => {}
        }
    }
}

/// Bar of one stage, removed when dropped.
struct Bar {
    bar: ProgressBar,
    drawn: Option<Instant>,
}

impl Bar {
    fn new(bar: ProgressBar) -> Self {
        Bar { bar, drawn: None }
    }
}

impl Ticker for Bar {
    fn tick(&self) {
        self.bar.inc(1);
    }

    #[expect(clippy::disallowed_methods, reason = "a progress bar is redrawn by the clock")]
    fn is_due(&self) -> bool {
        self.drawn.is_none_or(|drawn| Instant::now() - drawn > REDRAW)
    }

    #[expect(clippy::disallowed_methods, reason = "a progress bar is redrawn by the clock")]
    fn show(&mut self, done: u64, note: &str) {
        self.drawn = Some(Instant::now());
        self.bar.set_message(note.to_owned());
        self.bar.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
