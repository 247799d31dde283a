//! Who watches a campaign run: the program with bars, your own program with what it likes, or nobody.

/// Is told what a campaign is doing. [`Quiet`] listens to nothing.
pub trait Progress {
    /// A stage of `length` parts (0: unknown) starts.
    fn stage(&self, name: &str, length: u64) -> Box<dyn Ticker>;

    /// A stage of so many time steps starts.
    fn steps(&self, name: &str, steps: u64) -> Box<dyn Ticker>;

    /// A line for a person, such as a verdict.
    fn say(&self, line: &str);
}

/// The progress of one stage, which is over when this is dropped.
pub trait Ticker {
    /// One more part is done.
    fn tick(&self);

    /// Whether [`Ticker::show`] would show anything now.
    fn is_due(&self) -> bool;

    /// So many time steps are done; `note` says how the runs are.
    fn show(&mut self, done: u64, note: &str);
}

/// Nobody watches.
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
