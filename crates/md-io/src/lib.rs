//! Structures, trajectories and results on disk. This crate contains no physics.
//!
//! - [`extxyz`]: reads and writes molecules and labelled frames.
//! - [`trajectory`]: an observer that writes a run to disk as it proceeds.
//! - [`journal`]: named records that survive kills, power failures, full disks and damaged bytes.
//! - [`files`]: atomic writes and checksums.

pub mod extxyz;
pub mod files;
pub mod journal;
pub mod trajectory;
