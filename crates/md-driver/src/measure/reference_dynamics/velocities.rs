//! Checks that the velocities of a trajectory are the derivatives of its positions, in Å/fs.
//!
//! Without a model, D = (x₊ - x₋) / 2Δ is compared with Simpson's mean S = (v₋ + 4v + v₊) / 6 over all interior
//! frames, atoms and axes: exactly equal for motion up to the fourth order in time. A vibration of angle θ = ωΔ per frame
//! has D/S = 3 sin θ / (θ (2 + cos θ)), never above 1: 0.97 of the fastest of water at 2 fs, 0.82 at 3 fs. A frame interval
//! above [`RESOLVED_FS`] resolves no vibration of hydrogen any more, and the regression means nothing: the two may then even be
//! strictly proportional, by any factor. All that holds there is that D is never larger than the velocities, and that
//! these are those of a possible temperature.
//!
//! Over the trajectories in `data/` (2 fs) the slope of D on S is 0.989 to 1.002 and the correlation 0.9999; with every
//! second frame (4 fs) 0.48 to 0.96 and 0.76 to 0.99; with every third of methane and water, -0.24 to 0.55.

use anyhow::{Result, bail};
use md_core::units::{AMU_ANGSTROM2_PER_FS2_IN_EV, ATOMIC_TIME_FS, BOHR_ANGSTROM};
use md_core::{Vec3, mechanics};
use md_io::extxyz::LabelledFrame;

/// Frame interval up to which the slope is judged, fs.
const RESOLVED_FS: f64 = 3.0;

/// Period of the fastest vibration of a molecule, fs: that of H2 (4200 1/cm).
const FASTEST_FS: f64 = 7.9;

/// Slope above which velocities are too small for their positions: exact velocities have at most 1.
const MOST_SLOPE: f64 = 1.15;

/// Part of the slope of the fastest vibration below which velocities are too large for their positions.
const LEAST_OF_SLOPE: f64 = 0.85;

/// Correlation below which velocities have nothing to do with their positions. Those of half a time step before (leapfrog)
/// have 0.75 or more.
const LEAST_CORRELATION: f64 = 0.7;

/// Ratio of the root mean squares of D and velocities that no sampling explains.
const MOST_RATIO: f64 = 1.3;

/// Correlation of velocities with those of the next frame above which all vibrations are resolved: an angle of 0.7 per frame.
const SMOOTH: f64 = 0.75;

/// Temperature above which no molecule holds together, K. Velocities of 100 K in units of ASE mean 10,400 K.
const HOTTEST_K: f64 = 10_000.0;

/// Part by which a factor found may differ from that of a unit.
const SAME_UNIT: f64 = 0.06;

/// Units of velocities and Å/fs in one of them.
fn velocity_units() -> [(f64, &'static str); 7] {
    let ase = 1.0 / AMU_ANGSTROM2_PER_FS2_IN_EV.sqrt();
    [
        (ase, "ASE's unit sqrt(eV/amu), as get_velocities() gives them"),
        (1e-3, "Å/ps"),
        (1e-2, "nm/ps"),
        (1e-5, "m/s"),
        (BOHR_ANGSTROM, "Bohr/fs"),
        (BOHR_ANGSTROM / ATOMIC_TIME_FS, "Bohr per atomic unit of time"),
        (10.0, "nm/fs"),
    ]
}

/// Units of time and fs in one of them.
fn time_units() -> [(f64, &'static str); 4] {
    [
        (1e3, "ps"),
        (AMU_ANGSTROM2_PER_FS2_IN_EV.sqrt(), "ASE's unit (ase.units.fs is 0.0982 of it)"),
        (ATOMIC_TIME_FS, "atomic units"),
        (1e-3, "as"),
    ]
}

/// Sums over interior frames, atoms and axes.
#[derive(Default)]
struct Sums {
    d_d: f64,
    d_s: f64,
    s_s: f64,
    /// With velocities divided by the masses, as if they were momenta.
    d_p: f64,
    p_p: f64,
    /// Of the velocities as they are, and with those of the next frame.
    v_v: f64,
    v_next: f64,
}

impl Sums {
    fn new(frames: &[LabelledFrame], interval_fs: f64) -> Self {
        let mut sums = Sums::default();
        for three in frames.windows(3) {
            let x = |n: usize, atom: usize| three[n].system.positions()[atom];
            let v = |n: usize, atom: usize| velocities(&three[n])[atom];
            for (atom, mass) in three[1].system.masses_amu().iter().enumerate() {
                let d = (x(2, atom) - x(0, atom)) / (2.0 * interval_fs);
                let s = (v(0, atom) + 4.0 * v(1, atom) + v(2, atom)) / 6.0;
                sums.d_d += d.norm_squared();
                sums.d_s += d.dot(&s);
                sums.s_s += s.norm_squared();
                sums.d_p += d.dot(&s) / mass;
                sums.p_p += s.norm_squared() / (mass * mass);
                sums.v_v += v(1, atom).norm_squared();
                sums.v_next += v(1, atom).dot(&v(2, atom));
            }
        }
        sums
    }

    /// Slope of D on S.
    fn slope(&self) -> f64 {
        self.d_s / self.s_s
    }

    fn correlation(&self) -> f64 {
        self.d_s / (self.d_d * self.s_s).sqrt()
    }

    /// Correlation if the velocities are momenta.
    fn correlation_of_momenta(&self) -> f64 {
        self.d_p / (self.d_d * self.p_p).sqrt()
    }
}

fn velocities(frame: &LabelledFrame) -> &[Vec3] {
    frame.velocities.as_deref().unwrap_or_default()
}

/// Checks that the velocities of frames at even times belong to their positions.
///
/// # Errors
/// They do not: they, or the times, have another unit or sign, or are of other frames.
pub(super) fn check(frames: &[LabelledFrame], interval_fs: f64) -> Result<()> {
    let sums = Sums::new(frames, interval_fs);
    if sums.v_v == 0.0 {
        bail!("all velocities are zero (expected those of the frames, in Å/fs)");
    }
    if sums.d_d == 0.0 {
        bail!("the atoms do not move: all frames have the same positions");
    }
    let kelvins = temperature_k(frames);
    let ratio = (sums.d_d / sums.v_v).sqrt();
    let (slope, correlation) = (sums.slope(), sums.correlation());
    // Times may be wrong, too: velocities that hardly turn from frame to frame are resolved at whatever interval is said.
    let smooth =
        sums.v_next > SMOOTH * sums.v_v && correlation.abs() > 0.95 && frames[0].system.n_atoms() > 2;
    let resolved = interval_fs <= RESOLVED_FS || smooth;
    let momenta = sums.correlation_of_momenta();
    if resolved && momenta > 0.9 && 1.0 - momenta < 0.5 * (1.0 - correlation.abs()) {
        bail!(
            "the column 'velocities' holds momenta: divided by the masses they belong to the positions (correlation {momenta:.4}), \
             as they are they do not ({correlation:.4}): give velocities in Å/fs"
        );
    }
    if resolved && correlation.abs() < LEAST_CORRELATION {
        bail!(
            "the velocities are not those of the positions: their correlation with the change of the positions from frame to frame \
             is {correlation:.2} (expected 1; are they of other frames or other atoms, or are frames left out?)"
        );
    }
    let least = LEAST_OF_SLOPE * slope_of_fastest(interval_fs.min(RESOLVED_FS));
    // The slope, and that of the inverse regression: noise and coarse frames lower the first and raise the second.
    let sound = slope > 0.0 && slope <= MOST_SLOPE && slope / correlation.powi(2) >= least;
    if resolved && !sound {
        bail!("{}", other_units(slope, kelvins, interval_fs));
    }
    if ratio > MOST_RATIO || kelvins > HOTTEST_K {
        bail!("{}", impossible(ratio, kelvins, interval_fs));
    }
    Ok(())
}

/// Slope of D on S of the fastest vibration.
fn slope_of_fastest(interval_fs: f64) -> f64 {
    let angle = std::f64::consts::TAU * interval_fs / FASTEST_FS;
    3.0 * angle.sin() / (angle * (2.0 + angle.cos()))
}

/// Mean kinetic temperature of the velocities as they are given, K.
fn temperature_k(frames: &[LabelledFrame]) -> f64 {
    let kinetic =
        |frame: &LabelledFrame| mechanics::kinetic_energy_ev(frame.system.masses_amu(), velocities(frame));
    let mean_ev = frames.iter().map(kinetic).sum::<f64>() / frames.len() as f64;
    let system = &frames[0].system;
    let degrees = mechanics::internal_degrees_of_freedom(system.masses_amu(), system.positions());
    mechanics::temperature_k(mean_ev, degrees.max(1))
}

/// Message for velocities that are proportional to the change of positions, by another factor than 1.
fn other_units(slope: f64, kelvins: f64, interval_fs: f64) -> String {
    let (times, more) = (1.0 / slope.abs(), if slope < 0.0 { "of the other sign and " } else { "" });
    let found = format!(
        "the velocities are {more}{} times what positions and time_fs say (frames every {interval_fs} fs; as they are, the \
         velocities mean {} K)",
        short(times),
        short(kelvins)
    );
    let from_positions_k = kelvins * slope * slope;
    let same = |factor: f64| (slope.abs() / factor - 1.0).abs() < SAME_UNIT;
    let of_velocities = velocity_units().into_iter().find(|(unit, _)| same(*unit));
    let of_times = time_units().into_iter().find(|(unit, _)| same(*unit));
    let probably = if (slope.abs() - 1.0).abs() < 0.2 {
        "reversed velocities, or frames in reverse order? Give velocities in Å/fs, in the direction of time"
            .to_owned()
    } else if let (Some((_, unit)), true) = (of_times, kelvins < HOTTEST_K) {
        format!("is the time in {unit}? Give time_fs in fs")
    } else if let (Some((factor, unit)), true) = (of_velocities, from_positions_k < HOTTEST_K) {
        format!("are the velocities in {unit}? Multiply them by {factor:.6} to have Å/fs")
    } else if from_positions_k > HOTTEST_K {
        "time_fs is in another unit, or frames are left out. Give time_fs in fs".to_owned()
    } else {
        "the velocities or the times are in another unit, or frames are left out. Give velocities in Å/fs and time_fs in fs"
            .to_owned()
    };
    format!("{found}: {probably}")
}

/// Message for velocities that no molecule has, or that are too small for the way that the atoms go.
fn impossible(ratio: f64, kelvins: f64, interval_fs: f64) -> String {
    let unit =
        velocity_units().into_iter().find(|(unit, _)| (50.0..5000.0).contains(&(kelvins * unit * unit)));
    let unit = unit.map(|(_, unit)| format!("; in {unit}?")).unwrap_or_default();
    if kelvins > HOTTEST_K {
        format!("the velocities mean {} K (expected Å/fs{unit})", short(kelvins))
    } else {
        format!(
            "from frame to frame (every {interval_fs} fs) the atoms go {} times as far as their velocities lead them: the velocities \
             or the times are in another unit, or frames are left out. Give velocities in Å/fs and time_fs in fs",
            short(ratio)
        )
    }
}

/// A number with four digits.
fn short(value: f64) -> String {
    if (1e-3..1e5).contains(&value) {
        let decimals = (3.0 - value.log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{value:.decimals$}")
    } else {
        format!("{value:.3e}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use md_core::{Element, System};

    use super::*;

    /// Periods of the vibrations of water, fs.
    const PERIODS_FS: [f64; 3] = [20.9, 9.1, 8.9];

    /// Frames of a molecule that vibrates at 300 K or so, at a true interval.
    fn frames(interval_fs: f64) -> Vec<LabelledFrame> {
        let elements = vec![Element::O, Element::H, Element::H];
        let rest = [[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]].map(Vec3::from);
        let at = |n: usize| {
            let (mut positions, mut velocities) = (rest.to_vec(), vec![Vec3::zeros(); 3]);
            for atom in 0..3 {
                let speed = 0.0065 / [16.0_f64, 1.0, 1.0][atom].sqrt();
                for axis in 0..3 {
                    for (mode, period) in PERIODS_FS.iter().enumerate() {
                        let omega = std::f64::consts::TAU / period;
                        let phase =
                            omega * n as f64 * interval_fs + (atom + 3 * axis + 5 * mode * axis) as f64;
                        positions[atom][axis] += speed / omega * phase.sin();
                        velocities[atom][axis] += speed * phase.cos();
                    }
                }
            }
            LabelledFrame {
                system: System::new(elements.clone(), positions).unwrap(),
                energy_ev: None,
                forces: None,
                velocities: Some(velocities),
                info: BTreeMap::new(),
                other_columns: Vec::new(),
            }
        };
        (0..64).map(at).collect()
    }

    /// Message for frames whose velocities are multiplied by a factor of the mass.
    fn fault(true_fs: f64, said_fs: f64, factor: impl Fn(f64) -> f64) -> String {
        let mut frames = frames(true_fs);
        for frame in &mut frames {
            let masses = frame.system.masses_amu().to_vec();
            let velocities = frame.velocities.as_mut().unwrap();
            velocities.iter_mut().zip(masses).for_each(|(v, mass)| *v *= factor(mass));
        }
        check(&frames, said_fs).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn check_accepts_sound_velocities_at_every_interval() {
        for interval_fs in
            [0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 7.0, 8.0, 9.0, 10.0, 18.0, 20.0, 50.0]
        {
            assert_eq!(fault(interval_fs, interval_fs, |_| 1.0), "", "{interval_fs} fs");
        }
    }

    #[test]
    fn check_names_unit_of_velocities() {
        for interval_fs in [0.5, 1.0, 2.0] {
            for (unit, expected) in [
                (0.098_226_947_433_914_52, "are the velocities in ASE's unit"),
                (1e-3, "are the velocities in Å/ps? Multiply them by 0.001000"),
                (1e-2, "are the velocities in nm/ps?"),
                (0.529_177, "are the velocities in Bohr/fs?"),
                (0.529_177 / 0.024_188_8, "are the velocities in Bohr per atomic unit of time?"),
                (-1.0, "reversed velocities"),
                (3.3, "the velocities or the times are in another unit"),
            ] {
                let message = fault(interval_fs, interval_fs, |_| 1.0 / unit);
                assert!(message.contains(expected), "{unit} at {interval_fs} fs: {message}");
            }
            let message = fault(interval_fs, interval_fs, |mass| mass / 0.098_227);
            assert!(message.contains("holds momenta"), "{interval_fs} fs: {message}");
            assert!(fault(interval_fs, interval_fs, |_| 0.0).contains("all velocities are zero"));
        }
        let message = fault(1.0, 1.0, |_| 1.0 / 0.098_227);
        assert!(message.contains("the velocities are 10.19 times"), "{message}");
    }

    #[test]
    fn check_names_unit_of_times() {
        for (true_fs, said_fs, expected) in [
            (2.0, 2e-3, "is the time in ps?"),
            (2.0, 2.0 / 10.180_505, "is the time in ASE's unit"),
            (0.5, 0.5 / 0.024_188_8, "is the time in atomic units?"),
            (2.0, 0.5, "the velocities or the times are in another unit"),
            (2.0, 1.0, "the velocities or the times are in another unit"),
        ] {
            let message = fault(true_fs, said_fs, |_| 1.0);
            assert!(message.contains(expected), "{said_fs}: {message}");
        }
    }

    #[test]
    fn check_finds_impossible_velocities_between_coarse_frames() {
        let message = fault(10.0, 10.0, |_| 1.0 / 0.098_227);
        assert!(message.contains("(expected Å/fs; in ASE's unit"), "{message}");
        let message = fault(10.0, 10.0, |_| 1e-4);
        assert!(message.contains("times as far as their velocities lead them"), "{message}");
    }

    #[test]
    fn check_finds_velocities_of_other_frames() {
        let mut shifted = frames(1.0);
        let velocities: Vec<_> = shifted.iter().map(|frame| frame.velocities.clone()).collect();
        for (n, frame) in shifted.iter_mut().enumerate() {
            frame.velocities = velocities[(7 * n + 3) % 64].clone();
        }
        let message = check(&shifted, 1.0).unwrap_err().to_string();
        assert!(message.contains("are not those of the positions"), "{message}");
        let mut still = frames(1.0);
        let first = still[0].system.clone();
        still.iter_mut().for_each(|frame| frame.system = first.clone());
        assert!(check(&still, 1.0).unwrap_err().to_string().contains("the atoms do not move"));
    }
}
