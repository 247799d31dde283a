//! Velocity Verlet on the device: several steps without transfers to the host, which end when a system exceeds its
//! limits.

use cubecl::Runtime;
use cubecl::prelude::*;
use md_core::units::{
    AMU_ANGSTROM2_PER_FS2_IN_EV, BOLTZMANN_EV_PER_K, EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2,
};
use md_core::{Limits, State, Vec3};

use super::gpu::{Buffer, Gpu, Number, over, tally};
use super::{Atoms, Edges};
use crate::student::Moved;

/// Indices of the flags: whether to stop, number of steps made, whether an atom had too many neighbours.
const STOPPED: usize = 0;
const MADE: usize = 1;
const CROWDED: usize = 2;

/// The state of a batch on the device, in f64.
pub(super) struct Moving {
    pub(super) positions: Buffer,
    velocities: Buffer,
    /// For each atom: mass (amu), and half a time step divided by it in the unit that converts eV/Å to Å/fs.
    masses: Buffer,
    kicks: Buffer,
    /// Time step (fs), and the largest finite number.
    parameters: Buffer,
    /// For each system, the sum of m v² (amu Å²/fs²) at which it is too hot.
    most_motion: Buffer,
    /// First bond of each system, and the end of the last; atoms of each bond; longest lengths (Å).
    bonds: Buffer,
    bonded: Buffer,
    longest: Buffer,
    flags: Buffer,
}

impl Moving {
    pub(super) fn new<R: Runtime, T: Number>(
        gpu: &Gpu<R, T>,
        state: &State,
        timestep_fs: f64,
        limits: &[Limits],
    ) -> Self {
        let batch = state.batch();
        let scale = 0.5 * timestep_fs * EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2;
        let kicks: Vec<f64> = batch.masses_amu().iter().map(|m| scale / m).collect();
        let motion = |(limit, &freedom): (f64, &usize)| match freedom {
            0 => f64::MAX,
            n => (limit * n as f64 * BOLTZMANN_EV_PER_K / AMU_ANGSTROM2_PER_FS2_IN_EV).min(f64::MAX),
        };
        let hottest =
            (0..batch.n_systems()).map(|s| limits.get(s).map_or(f64::INFINITY, |l| l.max_temperature_k));
        let most_motion: Vec<f64> = hottest.zip(state.degrees_of_freedom()).map(motion).collect();
        let (mut bonds, mut bonded, mut longest) = (vec![0], Vec::new(), Vec::new());
        for (s, atoms) in batch.ranges().enumerate() {
            for bond in limits.get(s).map_or(&[][..], |limits| &limits.bonds) {
                bonded.extend([(atoms.start + bond.i) as u32, (atoms.start + bond.j) as u32]);
                longest.push(bond.limit_angstrom.min(f64::MAX));
            }
            bonds.push(longest.len() as u32);
        }
        if longest.is_empty() {
            // Arrays must not be empty.
            (bonded, longest) = (vec![0, 0], vec![0.0]);
        }
        let flat = |x: &[Vec3]| gpu.upload(&x.iter().flat_map(|x| x.iter().copied()).collect::<Vec<f64>>());
        Moving {
            positions: flat(state.positions()),
            velocities: flat(state.velocities()),
            masses: gpu.upload(batch.masses_amu()),
            kicks: gpu.upload(&kicks),
            parameters: gpu.upload(&[timestep_fs, f64::MAX]),
            most_motion: gpu.upload(&most_motion),
            bonds: gpu.upload(&bonds),
            bonded: gpu.upload(&bonded),
            longest: gpu.upload(&longest),
            flags: gpu.upload(&[0u32; 3]),
        }
    }

    /// Makes a half kick with these forces, and the drift.
    pub(super) fn kick_and_drift<R: Runtime, T: Number>(&self, gpu: &Gpu<R, T>, forces: &Buffer) {
        let n = self.velocities.len();
        let (cubes, units) = over(n);
        launch!(
            kick_and_drift,
            gpu,
            cubes,
            units,
            forces.arg(),
            self.kicks.arg(),
            self.parameters.arg(),
            self.velocities.arg(),
            self.positions.arg(),
            self.flags.arg(),
            n,
        );
    }

    /// Makes the other half kick and checks every system.
    pub(super) fn kick_and_check<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        atoms: &Atoms,
        edges: &Edges,
        energies: &Buffer,
        forces: &Buffer,
    ) {
        let n = self.velocities.len();
        let (cubes, units) = over(n);
        launch!(
            kick,
            gpu,
            cubes,
            units,
            forces.arg(),
            self.kicks.arg(),
            self.velocities.arg(),
            self.flags.arg(),
            n,
        );
        let (cubes, units) = over(atoms.systems);
        launch!(
            check,
            gpu,
            cubes,
            units,
            self.positions.arg(),
            self.velocities.arg(),
            self.masses.arg(),
            energies.arg(),
            forces.arg(),
            atoms.starts.arg(),
            edges.count.arg(),
            self.bonds.arg(),
            self.bonded.arg(),
            self.longest.arg(),
            self.most_motion.arg(),
            self.parameters.arg(),
            self.flags.arg(),
            atoms.systems,
            edges.capacity as u32,
        );
    }

    /// Reads the resulting state; `None` if an atom had more neighbours than were stored.
    pub(super) fn fetch<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        energies: &Buffer,
        forces: &Buffer,
    ) -> Result<Option<Moved>, String> {
        let [flags, positions, velocities, forces, energies] =
            gpu.read([&self.flags, &self.positions, &self.velocities, forces, energies])?;
        let vectors =
            |numbers: &[f64]| numbers.chunks_exact(3).map(|x| Vec3::new(x[0], x[1], x[2])).collect();
        let flags = u32::from_bytes(&flags);
        if flags[CROWDED] != 0 {
            return Ok(None);
        }
        Ok(Some(Moved {
            steps: u64::from(flags[MADE]),
            positions: vectors(f64::from_bytes(&positions)),
            velocities: vectors(f64::from_bytes(&velocities)),
            forces: vectors(&T::from_bytes(&forces).iter().map(|&f| f.to_f64()).collect::<Vec<f64>>()),
            energies: f64::from_bytes(&energies).to_vec(),
        }))
    }
}

/// v += ½ dt F/m, x += dt v, unless a system has exceeded its limits. One unit per component.
#[cube(launch_unchecked)]
fn kick_and_drift<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    forces: &Array<F>,
    kicks: &Array<f64>,
    parameters: &Array<f64>,
    velocities: &mut Array<f64>,
    positions: &mut Array<f64>,
    flags: &mut Array<u32>,
    n: usize,
) {
    tally(ran);
    if flags[STOPPED] == 0 {
        if ABSOLUTE_POS == 0 {
            flags[MADE] += 1;
        }
        if ABSOLUTE_POS < n {
            let v = velocities[ABSOLUTE_POS] + f64::cast_from(forces[ABSOLUTE_POS]) * kicks[ABSOLUTE_POS / 3];
            velocities[ABSOLUTE_POS] = v;
            positions[ABSOLUTE_POS] += v * parameters[0];
        }
    }
}

/// v += ½ dt F/m
#[cube(launch_unchecked)]
fn kick<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    forces: &Array<F>,
    kicks: &Array<f64>,
    velocities: &mut Array<f64>,
    flags: &Array<u32>,
    n: usize,
) {
    tally(ran);
    if flags[STOPPED] == 0 && ABSOLUTE_POS < n {
        velocities[ABSOLUTE_POS] += f64::cast_from(forces[ABSOLUTE_POS]) * kicks[ABSOLUTE_POS / 3];
    }
}

/// Stops if a system (one unit per system) is not finite, too hot, or has a bond that is too long.
#[cube(launch_unchecked)]
fn check<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    positions: &Array<f64>,
    velocities: &Array<f64>,
    masses: &Array<f64>,
    energies: &Array<f64>,
    forces: &Array<F>,
    starts: &Array<u32>,
    neighbours: &Array<u32>,
    bonds: &Array<u32>,
    bonded: &Array<u32>,
    longest: &Array<f64>,
    most_motion: &Array<f64>,
    parameters: &Array<f64>,
    flags: &mut Array<u32>,
    systems: usize,
    capacity: u32,
) {
    tally(ran);
    let s = ABSOLUTE_POS;
    if s >= systems {
        terminate!();
    }
    let finite = parameters[1];
    let mut motion = f64::cast_from(0u32);
    // Uses sums, because a comparison with NaN may have any result on a GPU, but no sum that contains it is small.
    let mut size = f64::abs(energies[s]);
    for i in starts[s]..starts[s + 1] {
        let atom = i as usize;
        if neighbours[atom] > capacity {
            flags[CROWDED] = 1;
        }
        #[unroll]
        for c in 0..3usize {
            let v = velocities[3 * atom + c];
            motion += masses[atom] * v * v;
            size += f64::abs(positions[3 * atom + c]) + f64::abs(f64::cast_from(forces[3 * atom + c]));
        }
    }
    let mut inside = size <= finite && motion <= most_motion[s];
    for b in bonds[s]..bonds[s + 1] {
        let i = bonded[2 * b as usize] as usize;
        let j = bonded[2 * b as usize + 1] as usize;
        let dx = positions[3 * j] - positions[3 * i];
        let dy = positions[3 * j + 1] - positions[3 * i + 1];
        let dz = positions[3 * j + 2] - positions[3 * i + 2];
        if f64::sqrt(dx * dx + dy * dy + dz * dz) > longest[b as usize] {
            inside = false;
        }
    }
    if !inside {
        flags[STOPPED] = 1;
    }
}
