//! Peak rates of the CPU, to which the speed of a potential can be compared.

use std::hint::black_box;

use crate::timed;

/// Size of the multiplied matrices: three of them in f64 fit in a cache of 1 MiB.
const MATRIX: usize = 192;

/// Time of each measurement, ms.
const ENOUGH_MS: f64 = 50.0;

/// Length of each of the three arrays streamed through memory: larger than any cache.
const STREAMED: usize = 4 << 20;

/// Number of repetitions; the fastest counts.
const STREAMS: usize = 5;

/// Rates of this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// Number of concurrent threads.
    pub threads: usize,
    /// Matrix products in single precision with the library that the networks use, GFLOP/s over all threads.
    pub gemm_f32_gflop_per_s: f64,
    /// Matrix products in double precision, GFLOP/s over all threads.
    pub gemm_f64_gflop_per_s: f64,
    /// Memory bandwidth, GB/s over all threads: a ← b + s c on arrays of f64, counting 24 bytes each (STREAM triad, J.
    /// McCalpin 1995).
    pub memory_gb_per_s: f64,
}

/// Measures the rates of `threads` concurrent threads, in about half a second.
///
/// ```no_run
/// let machine = md_bench::machine(1);
/// assert!(machine.gemm_f32_gflop_per_s > machine.gemm_f64_gflop_per_s);
/// ```
pub fn machine(threads: usize) -> Machine {
    let threads = threads.max(1);
    Machine {
        threads,
        gemm_f32_gflop_per_s: at_once(threads, || products(1.0f32)),
        gemm_f64_gflop_per_s: at_once(threads, || products(1.0f64)),
        memory_gb_per_s: at_once(threads, triad),
    }
}

/// Returns the sum of the rates of all threads.
fn at_once(threads: usize, rate: impl Fn() -> f64 + Sync) -> f64 {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&rate)).collect();
        // A measurement does not panic; a thread that did would count as zero.
        running.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
    })
}

/// Measures the matrix product rate of one thread, GFLOP/s.
fn products<T: Copy + 'static>(one: T) -> f64 {
    let n = MATRIX;
    let (a, b, mut c) = (vec![one; n * n], vec![one; n * n], vec![one; n * n]);
    let mut multiply = || {
        #[expect(unsafe_code, reason = "the product of the gemm crate takes pointers")]
        // SAFETY: all three are n x n, and `c` is borrowed mutably.
        unsafe {
            gemm::gemm(
                n,
                n,
                n,
                c.as_mut_ptr(),
                1,
                n as isize,
                false,
                black_box(a.as_ptr()),
                1,
                n as isize,
                b.as_ptr(),
                1,
                n as isize,
                one,
                one,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    };
    multiply();
    let (mut done, mut total_ms) = (0.0, 0.0);
    while total_ms < ENOUGH_MS {
        let ((), ms) = timed(|| (0..10).for_each(|_| multiply()));
        done += 10.0;
        total_ms += ms;
    }
    done * 2.0 * (n as f64).powi(3) / (1e6 * total_ms)
}

/// Measures the memory bandwidth of one thread, GB/s.
fn triad() -> f64 {
    let (mut a, b, c) = (vec![0.0; STREAMED], vec![1.0; STREAMED], vec![2.0; STREAMED]);
    let bytes = 3.0 * size_of::<f64>() as f64 * STREAMED as f64;
    let fastest_ms = (0..STREAMS)
        .map(|n| {
            let scale = black_box(n as f64);
            let ((), ms) = timed(|| {
                for ((a, b), c) in a.iter_mut().zip(&b).zip(&c) {
                    *a = b + scale * c;
                }
                black_box(&mut a);
            });
            ms
        })
        .fold(f64::INFINITY, f64::min);
    bytes / (1e6 * fastest_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_rates_are_plausible_for_a_cpu() {
        let one = machine(1);
        // From an unoptimised build on the slowest core to more than any core reaches.
        assert!((0.1..2000.0).contains(&one.gemm_f32_gflop_per_s), "{one:?}");
        assert!((0.1..1000.0).contains(&one.gemm_f64_gflop_per_s), "{one:?}");
        assert!((0.1..1000.0).contains(&one.memory_gb_per_s), "{one:?}");
    }
}
