//! Tests of the program from the user's view: arguments in, text and exit status out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod bad_input;
mod broken;
mod campaign;
mod checkpoints;
mod damaged;
mod data;
mod doctor;
mod frames;
mod labels;
mod molecules;
mod names;
mod output;
mod physics;
mod planted;
mod repair;
mod resume;
mod size;
mod snapshots;
mod sound;
mod support;
mod train;
mod trained;
mod trajectories;
mod vouch;
