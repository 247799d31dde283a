use md_core::units::{EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2, FS_PER_PS, MEV_PER_EV};
use md_core::{
    Batch, Configuration, Evaluation, Fate, Frame, Observer, ObserverError, Potential, Request, System, Vec3,
};
use md_metrics::EnergyAccumulator;
use md_metrics::statistics::percentile;

use crate::experiment::Setting;
use crate::{AttributionError, CauseKind};

/// Number of steps with the largest residual that are searched for a jump.
const LOOKED_INTO: usize = 48;

/// A step residual is an outlier if it exceeds this many medians, and the following energy (eV).
const OUT_OF_LINE: f64 = 20.0;
const OUT_OF_LINE_EV: f64 = 1e-7;

/// Number of jumps recorded with time and size.
const EVENTS: usize = 100;

/// Number of blocks over which a part is averaged, so that fast oscillation does not count as loss.
const BLOCKS: usize = 16;

/// Decomposition of the total energy of a run. The parts sum to its change.
///
/// Velocity Verlet moves a system by the chord Δx and changes its kinetic energy by exactly `½ (F + F')·Δx + dt²/8 Σ
/// (F'² - F²) / m`. With the same model in f64 (U₆₄, F₆₄, and its work `W₆₄ = ∫ F₆₄·dx` along the chord by Simpson's
/// rule), the change `ΔU + ΔK` of a step is the sum of
///
/// | part | formula | zero for |
/// |---|---|---|
/// | engine | `ΔK - ½ (F + F')·Δx - dt²/8 Σ (F'² - F²) / m` | velocity Verlet |
/// | precision | `ΔU - ΔU₆₄` and the difference of the same formula between F and F₆₄ | runs in f64 |
/// | time step | `½ (F₆₄ + F₆₄')·Δx - W₆₄ + dt²/8 Σ (F₆₄'² - F₆₄²) / m` | infinitely small steps |
/// | model | `ΔU₆₄ + W₆₄` | a force that is the gradient of a smooth energy |
/// and the model part is split by step: the steps with the largest contribution are integrated again with a finer
/// quadrature. If a step is still an outlier and bisection finds a jump of the energy or of the force on the chord, it
/// counts as a discontinuity.
#[derive(Debug, Clone)]
pub struct Balance {
    /// The parts.
    pub parts: Vec<Part>,
    /// Duration of the analysed run, ps.
    pub duration_ps: f64,
    /// Number of steps with a jump.
    pub jumps: u64,
    /// The first of these steps.
    pub jump_events: Vec<JumpEvent>,
    /// Whether repeated evaluations at the same positions agree.
    pub repeatable: bool,
}

/// One part of the change of the total energy.
#[derive(Debug, Clone)]
pub struct Part {
    /// Kind of the part.
    pub kind: PartKind,
    /// Change over the run, eV.
    pub net_ev: f64,
    /// Least-squares slope, meV/atom/ps.
    pub slope_mev_per_atom_per_ps: f64,
    /// Standard deviation about that line, meV/atom.
    pub rms_mev_per_atom: f64,
    /// Variation of the energy due to this part, per time: the range of 16 block averages over the run (of all samples
    /// for the engine, whose part should vanish), meV/atom/ps.
    pub loss_mev_per_atom_per_ps: f64,
}

/// The parts of the decomposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// The integrator, if it is not velocity Verlet.
    Engine,
    /// The floating-point format of the run, relative to f64.
    Precision,
    /// The length of the time step.
    TimeStep,
    /// Jumps and kinks of the energy.
    Discontinuity,
    /// A force that is not the gradient elsewhere.
    Model,
}

impl PartKind {
    /// Identifier in files.
    pub fn id(self) -> &'static str {
        match self {
            PartKind::Engine => "engine",
            PartKind::Precision => "precision",
            PartKind::TimeStep => "time_step",
            PartKind::Discontinuity => "discontinuity",
            PartKind::Model => "not_a_gradient",
        }
    }

    /// Returns the cause indicated by this part. For a potential with random results nothing more specific is known.
    pub(crate) fn cause(self, repeatable: bool) -> CauseKind {
        match self {
            PartKind::Engine => CauseKind::Engine,
            _ if !repeatable => CauseKind::Noise,
            PartKind::TimeStep => CauseKind::TimeStep,
            PartKind::Precision => CauseKind::Precision,
            PartKind::Discontinuity => CauseKind::Discontinuity,
            PartKind::Model => CauseKind::NotAGradient,
        }
    }
}

/// A jump of the energy during a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JumpEvent {
    /// Time, ps.
    pub time_ps: f64,
    /// Change of the total energy in that step, eV.
    pub size_ev: f64,
}

/// Repeats the run of `setting` and decomposes its energy.
pub(crate) fn take(
    setting: &Setting<'_>,
    potential: &mut dyn Potential,
    oracle: &mut dyn Potential,
) -> Result<(Balance, Fate), AttributionError> {
    let start = setting.start;
    let mut system = System::new(start.batch().elements().to_vec(), start.positions().to_vec())
        .and_then(|s| s.with_masses_amu(start.batch().masses_amu().to_vec()))
        .map_err(md_probe::ProbeError::from)?;
    if let Some(cell) = start.batch().cell(0) {
        system = system.with_cell(cell.clone());
    }
    let repeated = md_probe::determinism(potential, &system, 1)?;
    let repeatable = repeated.energy_ev <= 1e-12 && repeated.force_ev_per_angstrom <= 1e-12;
    let mut books = Books {
        oracle,
        batch: Batch::new(std::slice::from_ref(&system)),
        timestep_fs: setting.timestep_fs,
        last: None,
        times_ps: vec![0.0],
        parts: Default::default(),
        outliers: Vec::new(),
    };
    let fates = setting.run(setting.timestep_fs, setting.steps, potential, &mut books)?;
    let fate = fates.into_iter().next().unwrap_or(Fate::Finished);
    let Books { times_ps, parts: [engine, precision, mut time_step, mut model], outliers, .. } = books;
    let jumps = if repeatable {
        for outlier in &outliers {
            let refined = refined_residual_ev(oracle, &system, outlier)?;
            time_step[outlier.step] += model[outlier.step] - refined;
            model[outlier.step] = refined;
        }
        find_jumps(oracle, &system, &model, outliers)?
    } else {
        Vec::new()
    };
    let mut smooth = model.clone();
    let mut jumping = vec![0.0; model.len()];
    for &step in &jumps {
        jumping[step] = model[step];
        smooth[step] = 0.0;
    }
    let event = |&step: &usize| JumpEvent { time_ps: times_ps[step + 1], size_ev: model[step] };
    let parts = [
        (PartKind::Engine, engine),
        (PartKind::Precision, precision),
        (PartKind::TimeStep, time_step),
        (PartKind::Discontinuity, jumping),
        (PartKind::Model, smooth),
    ];
    let n_atoms = system.n_atoms();
    Ok((
        Balance {
            parts: parts
                .into_iter()
                .map(|(kind, changes)| part(kind, &changes, &times_ps, n_atoms))
                .collect(),
            duration_ps: times_ps[times_ps.len() - 1],
            jumps: jumps.len() as u64,
            jump_events: jumps.iter().take(EVENTS).map(event).collect(),
            repeatable,
        },
        fate,
    ))
}

/// Sums the changes of one part.
fn part(kind: PartKind, changes: &[f64], times_ps: &[f64], n_atoms: usize) -> Part {
    let per_atom = MEV_PER_EV / n_atoms as f64;
    let mut sum = 0.0;
    let cumulative: Vec<f64> = std::iter::once(0.0)
        .chain(changes.iter().map(|change| {
            sum += change;
            sum
        }))
        .collect();
    let mut energy = EnergyAccumulator::default();
    let finite = times_ps.iter().zip(&cumulative).all(|(&t, &e)| energy.push(t, e).is_ok());
    let drift = energy.drift_rate(n_atoms).ok().filter(|_| finite);
    // The engine part of velocity Verlet is zero, so its oscillation is a fault, too.
    let length = if kind == PartKind::Engine { 1 } else { cumulative.len().div_ceil(BLOCKS) };
    let averages = cumulative.chunks(length).map(|c| c.iter().sum::<f64>() / c.len() as f64);
    let range = averages.clone().fold(f64::NEG_INFINITY, f64::max) - averages.fold(f64::INFINITY, f64::min);
    let duration_ps = times_ps[times_ps.len() - 1];
    let loss = if range == 0.0 { 0.0 } else { range * per_atom / duration_ps };
    Part {
        kind,
        net_ev: sum,
        slope_mev_per_atom_per_ps: drift.as_ref().map_or(f64::NAN, |d| d.rate.value),
        rms_mev_per_atom: drift.map_or(f64::NAN, |d| d.residual_rms_mev_per_atom),
        loss_mev_per_atom_per_ps: if finite { loss } else { f64::INFINITY },
    }
}

/// Recomputes the model part of a step with a quadrature so fine that a sharp turn of a smooth energy leaves no
/// residual: the error of Simpson's rule belongs to the time step part.
fn refined_residual_ev(
    oracle: &mut dyn Potential,
    system: &System,
    outlier: &Outlier,
) -> Result<f64, AttributionError> {
    const INTERVALS: usize = 32;
    let Outlier { from, to, .. } = outlier;
    let copies = vec![system.clone(); INTERVALS + 1];
    let batch = Batch::new(&copies);
    let positions: Vec<Vec3> = (0..=INTERVALS)
        .flat_map(|k| {
            let t = k as f64 / INTERVALS as f64;
            from.iter().zip(to).map(move |(a, b)| a + (b - a) * t)
        })
        .collect();
    let mut out = Evaluation::default();
    let configuration = Configuration { batch: &batch, positions: &positions };
    oracle.evaluate(configuration, Request::FORCES, &mut out).map_err(md_core::StepError::from)?;
    let mut work_ev = 0.0;
    for (k, atoms) in batch.ranges().enumerate() {
        let weight = match k {
            0 | INTERVALS => 1.0,
            _ if k % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let chord = from.iter().zip(to).map(|(a, b)| b - a);
        let along: f64 = out.forces[atoms].iter().zip(chord).map(|(f, dx)| f.dot(&dx)).sum();
        work_ev += weight * along / (3 * INTERVALS) as f64;
    }
    Ok(out.energies[INTERVALS] - out.energies[0] + work_ev)
}

/// Finds the steps, in order, at which the energy jumps.
///
/// Only the largest outliers are searched. If most of them contain a jump, the remaining outliers count as jumps, too.
fn find_jumps(
    oracle: &mut dyn Potential,
    system: &System,
    residuals: &[f64],
    outliers: Vec<Outlier>,
) -> Result<Vec<usize>, AttributionError> {
    let sizes: Vec<f64> = residuals.iter().map(|r| r.abs()).collect();
    let Ok(median) = percentile(&sizes, 50.0) else { return Ok(Vec::new()) };
    let limit = (OUT_OF_LINE * median).max(OUT_OF_LINE_EV);
    let (mut found, mut looked_into) = (Vec::new(), Vec::new());
    for Outlier { step, from, to } in outliers.into_iter().filter(|o| sizes[o.step] > limit) {
        let length = from.iter().zip(&to).map(|(a, b)| (b - a).norm_squared()).sum::<f64>().sqrt();
        let along = |at: f64| from.iter().zip(&to).map(|(a, b)| a + (b - a) * (at / length)).collect();
        let jumps = md_probe::largest_jumps(oracle, system, along, (0.0, length), 8)?;
        looked_into.push(step);
        // Several pairs may cross the cutoff in one step, each with its own jump. At a kink, where the force jumps and
        // the energy does not, the error of the quadrature is as large as the jump times the chord.
        let of_kink_ev = jumps.force.size_ev_per_angstrom * length;
        if jumps.energy.size_ev > 0.1 * sizes[step] || of_kink_ev > sizes[step] {
            found.push(step);
        }
    }
    if 2 * found.len() > looked_into.len() {
        found.extend((0..sizes.len()).filter(|k| sizes[*k] > limit && !looked_into.contains(k)));
    }
    found.sort_unstable();
    Ok(found)
}

/// A step whose model part is among the largest.
struct Outlier {
    step: usize,
    from: Vec<Vec3>,
    to: Vec<Vec3>,
}

/// Quantities at the end of a step.
#[derive(Clone)]
struct Known {
    positions: Vec<Vec3>,
    forces: Vec<Vec3>,
    exact: Evaluation,
    potential_ev: f64,
    kinetic_ev: f64,
}

/// An observer that decomposes every step.
struct Books<'o> {
    oracle: &'o mut dyn Potential,
    batch: Batch,
    timestep_fs: f64,
    last: Option<Known>,
    times_ps: Vec<f64>,
    /// Engine, precision, time step and model: change in every step, eV.
    parts: [Vec<f64>; 4],
    outliers: Vec<Outlier>,
}

impl Books<'_> {
    fn exact(&mut self, positions: &[Vec3]) -> Result<Evaluation, md_core::PotentialError> {
        let mut out = Evaluation::default();
        let configuration = Configuration { batch: &self.batch, positions };
        self.oracle.evaluate(configuration, Request::FORCES, &mut out)?;
        Ok(out)
    }

    fn split(&mut self, before: &Known, after: &Known) -> Result<(), md_core::PotentialError> {
        let middle: Vec<Vec3> =
            before.positions.iter().zip(&after.positions).map(|(a, b)| (a + b) * 0.5).collect();
        let middle = self.exact(&middle)?;
        let masses = self.batch.masses_amu();
        let work = |forces: &[Vec3]| -> f64 {
            let steps = before.positions.iter().zip(&after.positions).map(|(a, b)| b - a);
            forces.iter().zip(steps).map(|(f, dx)| f.dot(&dx)).sum()
        };
        let scale = EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2 * self.timestep_fs * self.timestep_fs / 8.0;
        let squares =
            |f: &[Vec3]| -> f64 { f.iter().zip(masses).map(|(f, m)| f.norm_squared() / m).sum::<f64>() };
        // The energy change of velocity Verlet under given forces: trapezoid and shadow.
        let verlet = |f: &[Vec3], g: &[Vec3]| 0.5 * (work(f) + work(g)) + scale * (squares(g) - squares(f));
        let of_run = verlet(&before.forces, &after.forces);
        let of_exact = verlet(&before.exact.forces, &after.exact.forces);
        let exact_work =
            (work(&before.exact.forces) + 4.0 * work(&middle.forces) + work(&after.exact.forces)) / 6.0;
        let exact_change_ev = after.exact.energies[0] - before.exact.energies[0];
        let changes = [
            after.kinetic_ev - before.kinetic_ev - of_run,
            after.potential_ev - before.potential_ev - exact_change_ev + of_run - of_exact,
            of_exact - exact_work,
            exact_change_ev + exact_work,
        ];
        for (part, change) in self.parts.iter_mut().zip(changes) {
            part.push(change);
        }
        self.remember(changes[3].abs(), before, after);
        Ok(())
    }

    /// Stores the chord of the last step if its residual is among the largest.
    fn remember(&mut self, size: f64, before: &Known, after: &Known) {
        let step = self.parts[3].len() - 1;
        let smallest = self
            .outliers
            .iter()
            .enumerate()
            .min_by(|a, b| self.parts[3][a.1.step].abs().total_cmp(&self.parts[3][b.1.step].abs()));
        if self.outliers.len() == LOOKED_INTO {
            match smallest {
                Some((k, least)) if self.parts[3][least.step].abs() < size => self.outliers.remove(k),
                _ => return,
            };
        }
        let (from, to) = (before.positions.clone(), after.positions.clone());
        self.outliers.push(Outlier { step, from, to });
    }
}

impl Observer for Books<'_> {
    fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError> {
        for system in frame.systems() {
            let failed = |source: md_core::PotentialError| ObserverError {
                observer: "the energy balance".to_owned(),
                step: system.step(),
                source: source.into(),
            };
            let after = Known {
                positions: system.positions().to_vec(),
                forces: system.forces().to_vec(),
                exact: self.exact(system.positions()).map_err(failed)?,
                potential_ev: system.potential_energy_ev(),
                kinetic_ev: system.kinetic_energy_ev(),
            };
            if let Some(before) = self.last.take() {
                self.split(&before, &after).map_err(failed)?;
                self.times_ps.push(system.time_fs() / FS_PER_PS);
            }
            self.last = Some(after);
        }
        Ok(())
    }
}
