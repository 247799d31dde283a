//! One module per command: its arguments and its calls of the libraries.

pub mod bench;
pub mod compare;
pub mod doctor;
pub mod evaluate;
pub mod frames;
pub mod merge;
pub mod report;
pub mod status;
pub mod train;
pub mod validate;
pub mod verdict;
