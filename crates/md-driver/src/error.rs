//! Why there is no campaign, or no end of one.

use std::error::Error;

use crate::config::ConfigError;
use crate::plan::PlanError;

/// An error with its causes.
type Source = Box<dyn Error + Send + Sync>;

/// Why a campaign stops before its end. What it has measured is kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    /// The user or the system asked for it.
    #[error("interrupted")]
    Interrupted,
    /// What was measured cannot be kept.
    #[error("{0:#}")]
    Storage(anyhow::Error),
}

/// Why a campaign cannot be opened, run or joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The campaign was asked to stop. What was measured is in its folder, and [`Begin::Resume`](crate::campaign::Begin)
    /// continues there.
    #[error("interrupted")]
    Interrupted,
    /// What was measured cannot be stored: the disk is full, say. What was stored until then stays.
    #[error(transparent)]
    Storage(Source),
    /// The campaign file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The campaign asks for runs that cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A file that the campaign names cannot be read, or is not what it must be; a folder that must not be written to.
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

/// What it is about is known by its type, wherever it happened.
impl From<anyhow::Error> for CampaignError {
    fn from(error: anyhow::Error) -> Self {
        let input = |error: anyhow::Error| CampaignError::Input(error.into());
        error
            .downcast::<CampaignError>()
            .or_else(|error| error.downcast::<Halt>().map(CampaignError::from))
            .or_else(|error| error.downcast::<ConfigError>().map(CampaignError::from))
            .or_else(|error| error.downcast::<PlanError>().map(CampaignError::from))
            .unwrap_or_else(input)
    }
}
