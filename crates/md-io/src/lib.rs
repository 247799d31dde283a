//! Structures, trajectories and results on disk. Knows files, not physics.
//!
//! - [`extxyz`]: molecules and labelled frames, read and written.
//! - [`trajectory`]: an observer that writes a run to disk while it runs.
//! - [`journal`]: named records that survive a kill, a power cut, a full disk and damaged bytes.
//! - [`files`]: writing without half-written files, and checksums.

pub mod extxyz;
pub mod files;
pub mod journal;
pub mod trajectory;
