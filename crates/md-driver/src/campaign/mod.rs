//! Runs a campaign: all stages of all models, written to the output folder as they are measured.

mod adaptive;
mod batch;
mod blank;
mod builder;
mod device;
mod dynamics;
mod forecast;
mod identity;
mod inputs;
mod merge;
mod options;
mod ran;
mod runner;
mod store;
mod watch;
mod whole;

pub use builder::CampaignBuilder;
pub use forecast::{Forecast, ModelForecast, Seconds};
pub use inputs::{check_references, check_training_data};
pub use merge::merge;
pub use options::{Begin, CampaignOptions, Output, Session};
pub use whole::Campaign;

#[cfg(test)]
mod tests;
