//! The length of `config.json` in two bytes, `config.json`, and the rest as `model.safetensors`.
#![no_main]

mod use_of;

use libfuzzer_sys::fuzz_target;
use md_model::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (config, weights) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    use_of::checkpoint(Checkpoint::from_safetensors(weights, config));
});
