//! Any bytes as a file of `torch.save`.
#![no_main]

mod use_of;

use libfuzzer_sys::fuzz_target;
use md_model::Checkpoint;

fuzz_target!(|bytes: &[u8]| use_of::checkpoint(Checkpoint::from_torch(bytes)));
