//! Latency, throughput and memory of a potential by a fixed protocol, and peak rates of the CPU ([`machine`]).
//!
//! [`measure`] times single calls (energy and forces) and NVE steps (velocity Verlet, including the call), each after a
//! small displacement of all atoms, so that results cannot come from a cache. The first call is reported separately,
//! since it may compile, tune or allocate.
//!
//! This is the only library crate that reads the clock. It contains no performance thresholds.
//!
//! ```
//! use md_bench::{Protocol, measure};
//! use md_core::{Element, System, Vec3};
//! use md_probe::analytic::LennardJones;
//!
//! let pair = System::new(vec![Element::AR; 2], vec![Vec3::zeros(), Vec3::new(3.8, 0.0, 0.0)])?;
//! let mut potential = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };
//! let timing = measure(&mut potential, &[pair], &Protocol { max_seconds: 0.01, ..Protocol::default() })?;
//! assert!(timing.ms_per_call_p50 <= timing.ms_per_call_p99);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod machine;

use std::time::Instant;

use md_core::{
    Batch, Configuration, Evaluation, Integrator, Potential, Request, State, StepError, System, Vec3,
};
use md_dynamics::VelocityVerlet;
use md_metrics::statistics;

pub use machine::{Machine, machine};

/// Amplitude of the displacement between calls, Å: it changes every number but not the cost.
const JITTER_ANGSTROM: f64 = 1e-3;

/// Number of steps per call for a potential with its own steps on a GPU; for others each step is timed alone.
const STEPS_AT_ONCE: u64 = 50;

/// Time step of the timed dynamics, fs. The cost of a step does not depend on it, except for a bad model, whose atoms
/// may leave the cutoff in one step of 0.5 fs; so the atoms hardly move.
const TIMESTEP_FS: f64 = 1e-6;

const BYTES_PER_KIB: f64 = 1024.0;
const BYTES_PER_MIB: f64 = 1024.0 * 1024.0;

/// Number of calls. At least `min_calls` calls and steps are timed; then more, until `max_calls` of each or
/// `max_seconds` in total.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    /// Number of calls between the first one and the timed ones.
    pub warmup_calls: usize,
    /// Minimum number of timed calls; 0 counts as 1. A 99th percentile needs 100.
    pub min_calls: usize,
    /// Maximum number of timed calls.
    pub max_calls: usize,
    /// Total time of the timed calls and steps (s) beyond which no more than `min_calls` are made. Beyond ten times as
    /// much, none are made after the third.
    pub max_seconds: f64,
}

impl Default for Protocol {
    /// 10 warm-up calls, then 50 to 1000 in about 2 s.
    fn default() -> Self {
        Protocol { warmup_calls: 10, min_calls: 50, max_calls: 1000, max_seconds: 2.0 }
    }
}

/// The result of [`measure`]. Calls and steps are those of the whole batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// Time of the first call, ms.
    pub first_call_ms: f64,
    /// Median time of a call, ms.
    pub ms_per_call_p50: f64,
    /// 99th percentile of the time of a call, ms.
    pub ms_per_call_p99: f64,
    /// Mean time of a call, ms.
    pub ms_per_call_mean: f64,
    /// Number of timed calls; as many steps are timed.
    pub calls: usize,
    /// Median time of an NVE step, ms.
    pub ms_per_step: f64,
    /// NVE steps per second: `1000 / ms_per_step`.
    pub steps_per_s: f64,
    /// Largest resident memory of the process so far, MiB; see [`peak_memory_mib`].
    pub peak_memory_mib: Option<f64>,
}

/// Times `potential` on the batch of `systems`.
///
/// # Errors
/// Any error of the potential.
pub fn measure(
    potential: &mut dyn Potential,
    systems: &[System],
    protocol: &Protocol,
) -> Result<Timing, StepError> {
    let batch = Batch::new(systems);
    let structure = Batch::gather_positions(systems);
    let mut out = Evaluation::default();
    let mut places = 0;
    let mut next_positions = || {
        places += 1;
        displaced(&structure, places)
    };

    let first_call_ms = call_ms(potential, &batch, &next_positions(), &mut out)?;
    let mut warmup_ms = 0.0;
    for _ in 0..protocol.warmup_calls {
        if warmup_ms < 1e3 * protocol.max_seconds {
            warmup_ms += call_ms(potential, &batch, &next_positions(), &mut out)?;
        }
    }
    let start = State::at_rest(systems, potential)?;
    let mut verlet = VelocityVerlet::new(TIMESTEP_FS)?;
    let (mut calls, mut steps, mut total_ms) = (Vec::new(), Vec::new(), 0.0);
    let wanted = |calls: usize, total_ms: f64| {
        let budget_ms = 1e3 * protocol.max_seconds;
        let at_least =
            if total_ms < 10.0 * budget_ms { protocol.min_calls } else { protocol.min_calls.min(3) };
        calls < at_least.max(1) || (calls < protocol.max_calls && total_ms < budget_ms)
    };
    while wanted(calls.len(), total_ms) {
        let call = call_ms(potential, &batch, &next_positions(), &mut out)?;
        // Every step starts near the structure: a disintegrating molecule would become cheaper.
        let mut state = start.clone();
        state.positions_mut().copy_from_slice(&next_positions());
        let (made, took) = timed(|| verlet.steps(&mut state, potential, STEPS_AT_ONCE, &[]));
        calls.push(call);
        steps.push(took / made? as f64);
        total_ms += call + took;
    }

    // At least one call was timed and times are finite, so there is always a percentile.
    let percentile = |ms: &[f64], percent| statistics::percentile(ms, percent).unwrap_or(f64::NAN);
    let ms_per_step = percentile(&steps, 50.0);
    Ok(Timing {
        first_call_ms,
        ms_per_call_p50: percentile(&calls, 50.0),
        ms_per_call_p99: percentile(&calls, 99.0),
        ms_per_call_mean: calls.iter().sum::<f64>() / calls.len() as f64,
        calls: calls.len(),
        ms_per_step,
        steps_per_s: 1e3 / ms_per_step,
        peak_memory_mib: peak_memory_mib(),
    })
}

/// Returns the largest resident memory of this process so far, MiB: that of the whole program, not only the potential.
/// From `VmHWM` in `/proc/self/status`; `None` on systems other than Linux.
pub fn peak_memory_mib() -> Option<f64> {
    high_water_mark_mib(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn high_water_mark_mib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * BYTES_PER_KIB / BYTES_PER_MIB)
}

fn call_ms(
    potential: &mut dyn Potential,
    batch: &Batch,
    positions: &[Vec3],
    out: &mut Evaluation,
) -> Result<f64, StepError> {
    let (done, ms) = timed(|| potential.evaluate(Configuration { batch, positions }, Request::FORCES, out));
    done?;
    Ok(ms)
}

#[expect(clippy::disallowed_methods, reason = "measures time: the one place in the libraries that does")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, 1e3 * start.elapsed().as_secs_f64())
}

/// Returns the structure with every coordinate displaced by up to [`JITTER_ANGSTROM`], differently for every `place`.
fn displaced(structure: &[Vec3], place: u32) -> Vec<Vec3> {
    let phase = |atom: usize, axis: usize| f64::from(place) + (3 * atom + axis) as f64 * 0.7;
    let moved =
        |(atom, x): (usize, &Vec3)| x + Vec3::from_fn(|axis, _| phase(atom, axis).sin()) * JITTER_ANGSTROM;
    structure.iter().enumerate().map(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use md_core::{Element, PotentialError};

    /// Counts its calls and detects repeated positions.
    #[derive(Default)]
    struct Counting {
        calls: usize,
        last: Vec<Vec3>,
        repeats: usize,
    }

    impl Potential for Counting {
        fn name(&self) -> &str {
            "counting"
        }

        fn check(&self, _: &Batch, _: Request) -> Result<(), PotentialError> {
            Ok(())
        }

        fn evaluate(
            &mut self,
            c: Configuration<'_>,
            request: Request,
            out: &mut Evaluation,
        ) -> Result<(), PotentialError> {
            assert_eq!(request, Request::FORCES);
            out.reset(c.batch, request);
            self.calls += 1;
            self.repeats += usize::from(self.last == c.positions);
            self.last = c.positions.to_vec();
            std::thread::sleep(std::time::Duration::from_millis(2));
            Ok(())
        }
    }

    fn argon() -> System {
        System::new(vec![Element::AR], vec![Vec3::zeros()]).unwrap()
    }

    #[test]
    fn measure_makes_few_slow_calls() {
        let mut potential = Counting::default();
        let protocol = Protocol { warmup_calls: 3, min_calls: 50, max_calls: 60, max_seconds: 1e-6 };
        let timing = measure(&mut potential, &[argon()], &protocol).unwrap();
        assert_eq!((timing.calls, potential.calls), (3, 1 + 1 + 1 + 2 * 3));
    }

    #[test]
    fn measure_follows_protocol_without_repeated_calls() {
        let mut potential = Counting::default();
        let protocol = Protocol { warmup_calls: 3, min_calls: 4, max_calls: 6, max_seconds: 1e3 };
        let timing = measure(&mut potential, &[argon(), argon()], &protocol).unwrap();
        assert_eq!(timing.calls, 6);
        // The first call, warm-up, the initial forces, and a call and a step each time.
        assert_eq!(potential.calls, 1 + 3 + 1 + 2 * 6);
        assert_eq!(potential.repeats, 0);
        for ms in [timing.first_call_ms, timing.ms_per_call_p50, timing.ms_per_call_mean, timing.ms_per_step]
        {
            assert!(ms >= 2.0, "{timing:?}");
        }
        assert!(timing.ms_per_call_p99 >= timing.ms_per_call_p50);
        assert!((timing.steps_per_s * timing.ms_per_step - 1e3).abs() < 1e-9);
    }

    #[test]
    fn measure_stops_on_time_after_min_calls() {
        let protocol = Protocol { warmup_calls: 0, min_calls: 4, max_calls: 1000, max_seconds: 5e-3 };
        assert_eq!(measure(&mut Counting::default(), &[argon()], &protocol).unwrap().calls, 4);
    }

    #[test]
    fn high_water_mark_is_parsed_from_proc_status() {
        let status = "Name:\tmdproof\nVmPeak:\t  999999 kB\nVmHWM:\t  131072 kB\nVmRSS:\t   65536 kB\n";
        assert_eq!(high_water_mark_mib(status), Some(128.0));
        assert_eq!(high_water_mark_mib("Name:\tmdproof\n"), None);
    }
}
