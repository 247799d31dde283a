//! Measurements on any potential: deviations from the symmetries and consistency required by physics.
//!
//! Every probe evaluates one system (or a batch), is deterministic for a given seed, and fails only if the potential
//! returns an error. A potential that returns NaN gives a NaN, which passes no threshold. This crate has no thresholds;
//! they are in `md_testkit::conformance` for tests and in `md_criteria` for campaigns.
//!
//! - [`analytic`]: closed-form potentials with exact forces, including the [`Control`](analytic::Control) for any
//!   molecule.
//! - [`random`]: the seeded random number generator of the probes.
//!
//! This crate contains no files, clocks, ambient randomness or networks.

pub mod analytic;
mod barrier;
mod dimer;
mod hessian;
mod jumps;
pub mod random;
mod scan;
mod wells;
mod work;

pub use barrier::{Barrier, FALL_EV, Fall};
pub use dimer::{DimerScan, dimer_jumps, dimer_scan};
pub use hessian::{Hessian, NormalMode, hessian};
pub use jumps::{Approach, EnergyJump, ForceJump, Jumps, RayJumps, largest_jumps, ray_jumps};
pub use scan::{leaving_scan, rotation_scan};
pub use wells::{BONDED_RADII, Well, Wells, bond_wells, contact_wells};
pub use work::{LoopWork, loop_work};

use std::ops::Range;

use md_core::{
    Batch, Cell, Configuration, Evaluation, Mat3, Potential, PotentialError, Request, StepError, System,
    SystemError, Vec3, require_open_boundaries,
};

use crate::random::SplitMix64;

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The potential returned an error.
    #[error(transparent)]
    Potential(#[from] PotentialError),
    /// The integrator could not make a step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The system could not be moved or reordered.
    #[error("the probe could not build its copy of the system: {0}")]
    System(#[from] SystemError),
    /// The result of the potential has the wrong shape.
    #[error("{potential} answered {found} {what} where {expected} were asked for (see Evaluation::reset)")]
    Shape {
        /// Name of the potential.
        potential: String,
        /// Name of the array.
        what: &'static str,
        /// Expected length.
        expected: usize,
        /// Actual length.
        found: usize,
    },
}

/// Largest difference between two results that should be equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deviation {
    /// Difference of energies, eV.
    pub energy_ev: f64,
    /// Difference of forces on an atom (length of the difference vector), eV/Å.
    pub force_ev_per_angstrom: f64,
}

impl Deviation {
    /// No difference: the results are equal bit for bit (except for the sign of a zero).
    pub const NONE: Deviation = Deviation { energy_ev: 0.0, force_ev_per_angstrom: 0.0 };

    fn between(a: &Evaluation, b: &Evaluation) -> Self {
        let energies = a.energies.iter().zip(&b.energies).map(|(a, b)| (a - b).abs());
        let forces = a.forces.iter().zip(&b.forces).map(|(a, b)| (a - b).norm());
        Deviation { energy_ev: largest(energies), force_ev_per_angstrom: largest(forces) }
    }

    fn max(self, other: Self) -> Self {
        Deviation {
            energy_ev: largest([self.energy_ev, other.energy_ev]),
            force_ev_per_angstrom: largest([self.force_ev_per_angstrom, other.force_ev_per_angstrom]),
        }
    }
}

/// Agreement of forces with the gradient of the energy, component by component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientError {
    /// Largest `|F + dE/dx|` over all components, eV/Å.
    pub max_ev_per_angstrom: f64,
    /// Root mean square over all components, eV/Å.
    pub rms_ev_per_angstrom: f64,
    /// Largest error of the finite differences themselves, eV/Å: a smaller error of the forces is not detected.
    pub resolution_ev_per_angstrom: f64,
    /// The atom with the largest error.
    pub worst_atom: usize,
    /// Ratio of force to gradient, `Σ F·(-∇E) / Σ (∇E)²`: 1 for a consistent potential, NaN if the gradient is zero.
    pub scale: f64,
    /// Root mean square error after scaling of the gradient by that ratio, eV/Å: small if the forces are correct up to
    /// a factor.
    pub rms_scaled_ev_per_angstrom: f64,
    /// Largest jump of the slope along a coordinate, eV/Å: a kink at these positions. Zero if the energy is smooth.
    pub kink_ev_per_angstrom: f64,
}

/// Compares forces with central finite differences of the energy with Richardson extrapolation.
///
/// With `D(h) = (E(x+h) - E(x-h)) / 2h`, the gradient is estimated as `(4 D(h/2) - D(h)) / 3`, whose error is of order
/// h⁴, and the resolution as the size of the correction, `|D(h/2) - D(h)| / 3`: an upper bound if the energy is smooth,
/// and the size of the rounding noise if that dominates. A resolution as large as the error of the forces means that
/// the energy is not smooth within h, for example because of a jump at a cutoff.
///
/// The kink is `2 K(h/2) - K(h)` with `K(h) = (E(x+h) + E(x-h) - 2 E(x)) / h`, which is of order h³ for a smooth
/// energy.
///
/// An h of 1e-4 Å suits energies in f64, and seldom reaches a cutoff. Energies with rounding noise of 1e-5 eV (f32)
/// need 0.04 Å and resolve about 1e-3 eV/Å at best.
///
/// # Errors
/// Any error of the potential.
pub fn force_gradient(
    potential: &mut dyn Potential,
    system: &System,
    h_angstrom: f64,
) -> Result<GradientError, ProbeError> {
    let Evaluation { energies, forces, .. } = evaluate(potential, system)?;
    let offsets = [h_angstrom, -h_angstrom, 0.5 * h_angstrom, -0.5 * h_angstrom];
    let copies = vec![system.clone(); 3 * offsets.len()];
    let batch = Batch::new(&copies);
    let undisturbed = Batch::gather_positions(&copies);
    let mut out = Evaluation::default();
    let mut square_sum = 0.0;
    let mut error = GradientError {
        max_ev_per_angstrom: 0.0,
        rms_ev_per_angstrom: 0.0,
        resolution_ev_per_angstrom: 0.0,
        worst_atom: 0,
        scale: f64::NAN,
        rms_scaled_ev_per_angstrom: f64::NAN,
        kink_ev_per_angstrom: 0.0,
    };
    // Sums over components: force², force x gradient, gradient².
    let mut products = [0.0; 3];
    for atom in 0..system.n_atoms() {
        let mut positions = undisturbed.clone();
        for (copy, atoms) in batch.ranges().enumerate() {
            positions[atoms.start + atom][copy / offsets.len()] += offsets[copy % offsets.len()];
        }
        ask(potential, Configuration { batch: &batch, positions: &positions }, Request::ENERGY, &mut out)?;
        for (axis, e) in out.energies.chunks_exact(offsets.len()).enumerate() {
            let whole = (e[0] - e[1]) / (2.0 * h_angstrom);
            let half = (e[2] - e[3]) / h_angstrom;
            let correction = (half - whole) / 3.0;
            let (force, downhill) = (forces[atom][axis], -half - correction);
            let component = (force - downhill).abs();
            for (sum, term) in products.iter_mut().zip([force * force, force * downhill, downhill * downhill])
            {
                *sum += term;
            }
            let kink_whole = (e[0] + e[1] - 2.0 * energies[0]) / h_angstrom;
            let kink_half = 2.0 * (e[2] + e[3] - 2.0 * energies[0]) / h_angstrom;
            let kink = (2.0 * kink_half - kink_whole).abs();
            error.kink_ev_per_angstrom = largest([error.kink_ev_per_angstrom, kink]);
            square_sum += component * component;
            error.resolution_ev_per_angstrom = largest([error.resolution_ev_per_angstrom, correction.abs()]);
            if component > error.max_ev_per_angstrom || component.is_nan() {
                error.max_ev_per_angstrom = component;
                error.worst_atom = atom;
            }
        }
    }
    let n = (3 * system.n_atoms()) as f64;
    error.rms_ev_per_angstrom = (square_sum / n).sqrt();
    let [ff, fg, gg] = products;
    error.scale = fg / gg;
    error.rms_scaled_ev_per_angstrom = ((ff - fg * fg / gg).max(0.0) / n).sqrt();
    Ok(error)
}

/// Measures the change of the energy, and the deviation of the forces from rotated forces, under `n` random proper
/// rotations about the centroid.
///
/// # Errors
/// Any error of the potential.
pub fn rotation(
    potential: &mut dyn Potential,
    system: &System,
    n: usize,
    seed: u64,
) -> Result<Deviation, ProbeError> {
    let mut random = SplitMix64::new(seed);
    isometries(potential, system, n, || (random.rotation(), Vec3::zeros()))
}

/// Measures the same as [`rotation`] for improper rotations (determinant -1): a molecule and its mirror image have the
/// same energy.
///
/// # Errors
/// Any error of the potential.
pub fn reflection(
    potential: &mut dyn Potential,
    system: &System,
    n: usize,
    seed: u64,
) -> Result<Deviation, ProbeError> {
    let mut random = SplitMix64::new(seed);
    isometries(potential, system, n, || (-random.rotation(), Vec3::zeros()))
}

/// Measures the change of energy and forces under `n` random shifts of up to 10 Å along each axis.
///
/// # Errors
/// Any error of the potential.
pub fn translation(
    potential: &mut dyn Potential,
    system: &System,
    n: usize,
    seed: u64,
) -> Result<Deviation, ProbeError> {
    let mut random = SplitMix64::new(seed);
    isometries(potential, system, n, || (Mat3::identity(), random.in_cube(10.0)))
}

/// Measures the change of the energy, and the deviation of the forces from permuted forces, under `n` random
/// permutations of the atoms.
///
/// # Errors
/// Any error of the potential; one that identifies molecules by the order of their atoms returns an error.
pub fn permutation(
    potential: &mut dyn Potential,
    system: &System,
    n: usize,
    seed: u64,
) -> Result<Deviation, ProbeError> {
    let expected = evaluate(potential, system)?;
    let mut random = SplitMix64::new(seed);
    let orders: Vec<Vec<usize>> = (0..n).map(|_| random.permutation(system.n_atoms())).collect();
    let copies = orders.iter().map(|order| reordered(system, order)).collect::<Result<Vec<_>, _>>()?;
    let mut worst = Deviation::NONE;
    for (found, order) in evaluate_together(potential, &copies)?.iter().zip(&orders) {
        let forces = order.iter().map(|&i| expected.forces[i]).collect();
        worst = worst.max(Deviation::between(found, &Evaluation { forces, ..expected.clone() }));
    }
    Ok(worst)
}

/// Computes the length of the sum of all forces, eV/Å: zero without an external field.
///
/// # Errors
/// Any error of the potential.
pub fn net_force(potential: &mut dyn Potential, system: &System) -> Result<f64, ProbeError> {
    Ok(evaluate(potential, system)?.forces.iter().sum::<Vec3>().norm())
}

/// Computes the length of the total torque about the centroid, `Σ (x - c) × F` in eV: zero for an isolated molecule.
///
/// # Errors
/// Any error of the potential.
pub fn net_torque(potential: &mut dyn Potential, system: &System) -> Result<f64, ProbeError> {
    let forces = evaluate(potential, system)?.forces;
    let centre = centroid(system);
    let torque: Vec3 = system.positions().iter().zip(&forces).map(|(x, f)| (x - centre).cross(f)).sum();
    Ok(torque.norm())
}

/// Tests size consistency with two molecules that do not interact: the system and a randomly rotated copy, with at
/// least `distance_angstrom` between their atoms. Returns the deviation of the energy of both from twice that of one,
/// and the largest change of a force.
///
/// # Errors
/// Any error of the potential; one that identifies molecules by their atoms does not support two of them. Periodic
/// systems, which have no distant copy.
pub fn extensivity(
    potential: &mut dyn Potential,
    system: &System,
    distance_angstrom: f64,
    seed: u64,
) -> Result<Deviation, ProbeError> {
    require_open_boundaries("extensivity", &Batch::new(std::slice::from_ref(system)), Request::FORCES)?;
    let mut random = SplitMix64::new(seed);
    let (turn, centre) = (random.rotation(), centroid(system));
    let radius = largest(system.positions().iter().map(|x| (x - centre).norm()));
    let shift = random.rotation() * Vec3::new(distance_angstrom + 2.0 * radius, 0.0, 0.0);
    let far: Vec<Vec3> = system.positions().iter().map(|x| centre + turn * (x - centre) + shift).collect();
    let copy = system.clone().with_positions(far.clone())?;
    let twice = |x: &[f64]| [x, x].concat();
    let elements = [system.elements(), system.elements()].concat();
    let both = System::new(elements, [system.positions(), &far].concat())?
        .with_masses_amu(twice(system.masses_amu()))?;
    let (one, other) = (evaluate(potential, system)?, evaluate(potential, &copy)?);
    let apart = Evaluation {
        energies: vec![one.energies[0] + other.energies[0]],
        forces: [one.forces, other.forces].concat(),
        stresses: None,
    };
    Ok(Deviation::between(&apart, &evaluate(potential, &both)?))
}

/// Measures the difference between two implementations of one potential (another precision, another device) on one
/// system.
///
/// # Errors
/// Any error of either potential.
pub fn difference(
    potential: &mut dyn Potential,
    other: &mut dyn Potential,
    system: &System,
) -> Result<Deviation, ProbeError> {
    Ok(Deviation::between(&evaluate(potential, system)?, &evaluate(other, system)?))
}

/// Measures the difference between each system alone and in the batch of all, in order and in reverse, one entry per
/// system. [`Deviation::NONE`] on a CPU.
///
/// # Errors
/// Any error of the potential.
pub fn batch(potential: &mut dyn Potential, systems: &[System]) -> Result<Vec<Deviation>, ProbeError> {
    let mut alone = Vec::new();
    for system in systems {
        alone.push(evaluate(potential, system)?);
    }
    let mut worst = vec![Deviation::NONE; systems.len()];
    let forward: Vec<usize> = (0..systems.len()).collect();
    let backward: Vec<usize> = forward.iter().rev().copied().collect();
    for order in [forward, backward] {
        let ordered: Vec<System> = order.iter().map(|&s| systems[s].clone()).collect();
        let batch = Batch::new(&ordered);
        let positions = Batch::gather_positions(&ordered);
        let mut together = Evaluation::default();
        let configuration = Configuration { batch: &batch, positions: &positions };
        ask(potential, configuration, Request::FORCES, &mut together)?;
        for (place, &s) in order.iter().enumerate() {
            worst[s] = worst[s].max(Deviation::between(&alone[s], &together.select(&batch, &[place])));
        }
    }
    Ok(worst)
}

/// Measures the difference between a first result and two later ones, with an evaluation in between at positions
/// displaced by up to 0.1 Å along each axis. [`Deviation::NONE`] on a CPU: a result depends only on positions.
///
/// # Errors
/// Any error of the potential.
pub fn determinism(
    potential: &mut dyn Potential,
    system: &System,
    seed: u64,
) -> Result<Deviation, ProbeError> {
    let first = evaluate(potential, system)?;
    let mut random = SplitMix64::new(seed);
    let moved: Vec<Vec3> = system.positions().iter().map(|x| x + random.in_cube(0.1)).collect();
    let batch = Batch::new(std::slice::from_ref(system));
    let between = Configuration { batch: &batch, positions: &moved };
    ask(potential, between, Request::FORCES, &mut Evaluation::default())?;
    let second = Deviation::between(&first, &evaluate(potential, system)?);
    Ok(second.max(Deviation::between(&first, &evaluate(potential, system)?)))
}

/// Measures the effect of the previous contents of the output buffer and of a request without forces: a fresh buffer
/// against one with stale numbers of a larger batch, and the energy without forces.
///
/// # Errors
/// Any error of the potential.
pub fn buffer(potential: &mut dyn Potential, system: &System) -> Result<Deviation, ProbeError> {
    let fresh = evaluate(potential, system)?;
    let batch = Batch::new(std::slice::from_ref(system));
    let configuration = Configuration { batch: &batch, positions: system.positions() };
    let mut reused = Evaluation {
        energies: vec![1e3; 3],
        forces: vec![Vec3::repeat(1e3); 3 * system.n_atoms()],
        stresses: Some(vec![Mat3::repeat(1e3); 3]),
    };
    ask(potential, configuration, Request::FORCES, &mut reused)?;
    let stale = Deviation::between(&fresh, &reused);
    ask(potential, configuration, Request::ENERGY, &mut reused)?;
    let energy_alone = Evaluation { forces: Vec::new(), ..fresh };
    Ok(stale.max(Deviation::between(&energy_alone, &reused)))
}

/// Evaluates the potential for one system alone.
fn evaluate(potential: &mut dyn Potential, system: &System) -> Result<Evaluation, ProbeError> {
    let batch = Batch::new(std::slice::from_ref(system));
    let mut out = Evaluation::default();
    let configuration = Configuration { batch: &batch, positions: system.positions() };
    ask(potential, configuration, Request::FORCES, &mut out)?;
    Ok(out)
}

/// Evaluates the potential for systems in one batch: one by one they would use a single thread.
fn evaluate_together(
    potential: &mut dyn Potential,
    systems: &[System],
) -> Result<Vec<Evaluation>, ProbeError> {
    let batch = Batch::new(systems);
    let positions = Batch::gather_positions(systems);
    let mut out = Evaluation::default();
    ask(potential, Configuration { batch: &batch, positions: &positions }, Request::FORCES, &mut out)?;
    let one = |(s, atoms): (usize, Range<usize>)| Evaluation {
        energies: vec![out.energies[s]],
        forces: out.forces[atoms].to_vec(),
        ..Evaluation::default()
    };
    Ok(batch.ranges().enumerate().map(one).collect())
}

/// Calls `Potential::evaluate` and checks the shape of the result.
fn ask(
    potential: &mut dyn Potential,
    c: Configuration<'_>,
    request: Request,
    out: &mut Evaluation,
) -> Result<(), ProbeError> {
    potential.evaluate(c, request, out)?;
    let n_forces = if request.forces { c.batch.n_atoms() } else { 0 };
    for (what, expected, found) in
        [("energies", c.batch.n_systems(), out.energies.len()), ("forces", n_forces, out.forces.len())]
    {
        if expected != found {
            return Err(ProbeError::Shape { potential: potential.name().to_owned(), what, expected, found });
        }
    }
    Ok(())
}

/// Compares the system with `n` copies transformed by `x -> c + Q (x - c) + t`, c the centroid, for which forces must
/// become `Q F`.
fn isometries(
    potential: &mut dyn Potential,
    system: &System,
    n: usize,
    mut draw: impl FnMut() -> (Mat3, Vec3),
) -> Result<Deviation, ProbeError> {
    let expected = evaluate(potential, system)?;
    let centre = centroid(system);
    let (mut turns, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let (turn, shift) = draw();
        let positions = system.positions().iter().map(|x| centre + turn * (x - centre) + shift).collect();
        let mut moved = system.clone().with_positions(positions)?;
        if let Some(cell) = system.cell() {
            moved = moved.with_cell(Cell::new(cell.vectors() * turn.transpose(), cell.periodic())?);
        }
        turns.push(turn);
        copies.push(moved);
    }
    let mut worst = Deviation::NONE;
    for (found, turn) in evaluate_together(potential, &copies)?.iter().zip(turns) {
        let forces = expected.forces.iter().map(|f| turn * f).collect();
        worst = worst.max(Deviation::between(found, &Evaluation { forces, ..expected.clone() }));
    }
    Ok(worst)
}

/// Evaluates one system at many positions, in batches; with forces if `request` includes them.
fn evaluate_path(
    potential: &mut dyn Potential,
    system: &System,
    positions: &[Vec<Vec3>],
    request: Request,
) -> Result<Vec<(f64, Vec<Vec3>)>, ProbeError> {
    const AT_ONCE: usize = 64;
    let mut answers = Vec::with_capacity(positions.len());
    let mut out = Evaluation::default();
    for chunk in positions.chunks(AT_ONCE) {
        let batch = Batch::new(&vec![system.clone(); chunk.len()]);
        let positions = chunk.concat();
        ask(potential, Configuration { batch: &batch, positions: &positions }, request, &mut out)?;
        for (s, atoms) in batch.ranges().enumerate() {
            let forces = if request.forces { out.forces[atoms].to_vec() } else { Vec::new() };
            answers.push((out.energies[s], forces));
        }
    }
    Ok(answers)
}

fn reordered(system: &System, order: &[usize]) -> Result<System, SystemError> {
    let other = System::new(
        order.iter().map(|&i| system.elements()[i]).collect(),
        order.iter().map(|&i| system.positions()[i]).collect(),
    )?
    .with_masses_amu(order.iter().map(|&i| system.masses_amu()[i]).collect())?;
    Ok(match system.cell() {
        Some(cell) => other.with_cell(cell.clone()),
        None => other,
    })
}

fn centroid(system: &System) -> Vec3 {
    system.positions().iter().sum::<Vec3>() / system.n_atoms() as f64
}

/// Returns the largest of these non-negative numbers; NaN if one of them is (`f64::max` would drop it).
pub fn largest(numbers: impl IntoIterator<Item = f64>) -> f64 {
    numbers.into_iter().fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a })
}

#[cfg(test)]
mod tests {
    use md_core::Element;

    use super::*;
    use crate::analytic::LennardJones;

    #[test]
    fn extensivity_refuses_a_periodic_system() {
        let mut potential = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };
        let positions = vec![Vec3::zeros(), Vec3::new(3.8, 0.1, 0.0)];
        let open = System::new(vec![Element::AR; 2], positions).unwrap();
        assert!(extensivity(&mut potential, &open, 60.0, 1).is_ok());
        let periodic = open.with_cell(Cell::new(Mat3::identity() * 30.0, [true; 3]).unwrap());
        let error = extensivity(&mut potential, &periodic, 60.0, 1).unwrap_err();
        assert!(matches!(error, ProbeError::Potential(PotentialError::Unsupported { .. })), "{error}");
    }
}
