//! Random streams: one for each seed and purpose, so that none depends on the use of another.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

/// Creates the stream of `seed` for `purpose`.
pub(crate) fn stream(seed: u64, purpose: &str) -> ChaCha12Rng {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    // FNV-1a: there are few purposes, and they only need to differ.
    rng.set_stream(purpose.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }));
    rng
}
