//! Errors of campaigns.

use std::error::Error;

use crate::config::ConfigError;
use crate::plan::PlanError;

/// An error with its causes.
type Source = Box<dyn Error + Send + Sync>;

/// Reason why a campaign stops before its end. Its measurements remain stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    /// The user or the system requested it.
    #[error("interrupted")]
    Interrupted,
    /// Measurements cannot be stored.
    #[error("{0:#}")]
    Storage(anyhow::Error),
}

impl Halt {
    /// Says why the campaign stops.
    pub(crate) fn words(&self) -> String {
        match self {
            Halt::Interrupted => "interrupted by Ctrl-C or a signal".to_owned(),
            Halt::Storage(error) => format!("nothing more could be stored: {error:#}"),
        }
    }
}

/// Error of opening, running or joining campaigns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The campaign was interrupted. Its measurements are in its folder, and
    /// [`Begin::Resume`](crate::campaign::Begin) continues there.
    #[error("interrupted")]
    Interrupted,
    /// Measurements cannot be stored, for example because the disk is full. Those stored before remain.
    #[error(transparent)]
    Storage(Source),
    /// The campaign file is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The runs of the campaign cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A file of the campaign cannot be read or is invalid, or a folder must not be written to.
    #[error(transparent)]
    Input(Source),
}

impl From<Halt> for CampaignError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Interrupted => CampaignError::Interrupted,
            Halt::Storage(error) => CampaignError::Storage(error.into()),
        }
    }
}

/// Selects the variant by the type of the error, wherever it occurred.
impl From<anyhow::Error> for CampaignError {
    fn from(error: anyhow::Error) -> Self {
        let input = |error: anyhow::Error| CampaignError::Input(error.into());
        // Taken out of its context, it would no longer say which model or molecule it is about.
        if let Some(CampaignError::Input(_)) = error.downcast_ref() {
            return input(error);
        }
        error
            .downcast::<CampaignError>()
            .or_else(|error| error.downcast::<Halt>().map(CampaignError::from))
            .or_else(|error| error.downcast::<ConfigError>().map(CampaignError::from))
            .or_else(|error| error.downcast::<PlanError>().map(CampaignError::from))
            .unwrap_or_else(input)
    }
}
