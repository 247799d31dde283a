//! Interface for observers of a running campaign: progress bars, your own program, or none.

/// Receives the progress of a campaign. [`Quiet`] ignores it.
pub trait Progress {
    /// Starts a stage of `length` parts (0: unknown).
    fn stage(&self, name: &str, length: u64) -> Box<dyn Ticker>;

    /// Starts a stage of `steps` time steps.
    fn steps(&self, name: &str, steps: u64) -> Box<dyn Ticker>;

    /// Reports a line for the user, such as a verdict.
    fn say(&self, line: &str);
}

/// Receives the progress of one stage, which ends when the ticker is dropped.
pub trait Ticker {
    /// Reports that one more part is finished.
    fn tick(&self);

    /// Whether [`Ticker::show`] would update the display now.
    fn is_due(&self) -> bool;

    /// Reports the number of finished time steps; `note` describes the state of the runs.
    fn show(&mut self, done: u64, note: &str);
}

/// An observer that ignores all progress.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn stage(&self, _: &str, _: u64) -> Box<dyn Ticker> {
        Box::new(Quiet)
    }

    fn steps(&self, _: &str, _: u64) -> Box<dyn Ticker> {
        Box::new(Quiet)
    }

    fn say(&self, _: &str) {}
}

impl Ticker for Quiet {
    fn tick(&self) {}

    fn is_due(&self) -> bool {
        false
    }

    fn show(&mut self, _: u64, _: &str) {}
}
