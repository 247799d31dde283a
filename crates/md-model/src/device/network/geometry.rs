//! Kernels for the geometry: neighbours, short-range repulsion, energies of systems.

use cubecl::prelude::*;

use super::gpu::tally;

/// Number of values per edge, see [`edges`].
pub(super) const PER_EDGE: usize = 16;

/// Number of rows of a table that contribute to a value.
pub(super) const ORDER: usize = 6;

/// Finds the neighbours of each atom (one unit per atom) within its system, and their positions in the filter tables.
///
/// Neighbour n of atom i is edge e = i `capacity` + n: its index, the first of the six rows of a table, and in
/// `geometry` the unit vector u = x/(d + ε) towards it, 1/(d + ε), the six weights of rows in a value and those in a
/// derivative (1/Å). There may be more neighbours than the capacity: `count` is the total. Computed in f64; results are
/// stored in F.
///
/// `parameters`: cutoff (Å), intervals per Å, ε (Å), and the coefficients of the six polynomials of a spline.
#[cube(launch_unchecked)]
pub(super) fn edges<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    positions: &Array<f64>,
    first: &Array<u32>,
    end: &Array<u32>,
    parameters: &Array<f64>,
    count: &mut Array<u32>,
    neighbours: &mut Array<u32>,
    rows: &mut Array<u32>,
    geometry: &mut Array<F>,
    atoms: usize,
    capacity: usize,
    intervals: u32,
    #[comptime] has_envelope: bool,
) {
    tally(ran);
    let i = ABSOLUTE_POS;
    if i >= atoms {
        terminate!();
    }
    let cutoff = parameters[0];
    let scale = parameters[1];
    let epsilon = parameters[2];
    let x = positions[3 * i];
    let y = positions[3 * i + 1];
    let z = positions[3 * i + 2];
    let mut found = 0u32;
    for j in first[i]..end[i] {
        let at = j as usize;
        let dx = positions[3 * at] - x;
        let dy = positions[3 * at + 1] - y;
        let dz = positions[3 * at + 2] - z;
        let d = f64::sqrt(dx * dx + dy * dy + dz * dz);
        if at != i && d < cutoff {
            if (found as usize) < capacity {
                let e = i * capacity + found as usize;
                neighbours[e] = j;
                let place = d * scale;
                let row = at_most(u32::cast_from(place), intervals - 1);
                rows[e] = row;
                let t = place - f64::cast_from(row);
                let inverse = 1.0f64 / (d + epsilon);
                let g = e * comptime!(PER_EDGE);
                geometry[g] = F::cast_from(dx * inverse);
                geometry[g + 1] = F::cast_from(dy * inverse);
                geometry[g + 2] = F::cast_from(dz * inverse);
                geometry[g + 3] = F::cast_from(inverse);
                let mut factor = f64::cast_from(1u32);
                let mut factor_slope = f64::cast_from(0u32);
                if has_envelope {
                    let q = d / cutoff;
                    let q5 = q * q * q * q * q;
                    let rest = 1.0f64 - q;
                    factor = 1.0f64 - q5 * q * (28.0f64 - 48.0f64 * q + 21.0f64 * q * q);
                    factor_slope = -168.0f64 * q5 * rest * rest / cutoff;
                }
                #[unroll]
                for k in 0..ORDER {
                    let c = comptime!(3 + ORDER * k);
                    let mut value = parameters[c + ORDER - 1];
                    let mut slope = f64::cast_from(0u32);
                    #[unroll]
                    for n in 1..ORDER {
                        slope = slope * t + value;
                        value = value * t + parameters[c + ORDER - 1 - n];
                    }
                    geometry[g + 4 + k] = F::cast_from(value * factor);
                    geometry[g + 10 + k] = F::cast_from(slope * scale * factor + value * factor_slope);
                }
            }
            found += 1;
        }
    }
    count[i] = found;
}

#[cube]
fn at_most(x: u32, most: u32) -> u32 {
    let mut clamped = x;
    if x > most {
        clamped = most;
    }
    clamped
}

/// Number of stored neighbours of an atom.
#[cube]
pub(super) fn stored(count: u32, capacity: usize) -> usize {
    at_most(count, capacity as u32) as usize
}

/// Computes the short-range repulsion of nuclei ([`crate::zbl`]): adds half of the energy of each pair to the energies
/// of its atoms (eV) and sets the forces (eV/Å) to those of the repulsion. `elements` has the charge, its 0.23rd power
/// and the covalent radius (Å, 0 for none) of each supported element; `constants` a length (Å), e²/(4πε₀) (eV Å), then
/// coefficients and exponents of the screening.
#[cube(launch_unchecked)]
pub(super) fn repulsion<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    positions: &Array<f64>,
    count: &Array<u32>,
    neighbours: &Array<u32>,
    species: &Array<u32>,
    elements: &Array<f64>,
    constants: &Array<f64>,
    energies: &mut Array<F>,
    forces: &mut Array<F>,
    atoms: usize,
    capacity: usize,
) {
    tally(ran);
    let i = ABSOLUTE_POS;
    if i >= atoms {
        terminate!();
    }
    let own = 3 * species[i] as usize;
    let x = positions[3 * i];
    let y = positions[3 * i + 1];
    let z = positions[3 * i + 2];
    let mut energy = f64::cast_from(0u32);
    let mut fx = f64::cast_from(0u32);
    let mut fy = f64::cast_from(0u32);
    let mut fz = f64::cast_from(0u32);
    for n in 0..stored(count[i], capacity) {
        let j = neighbours[i * capacity + n] as usize;
        let other = 3 * species[j] as usize;
        let dx = positions[3 * j] - x;
        let dy = positions[3 * j + 1] - y;
        let dz = positions[3 * j + 2] - z;
        let d = f64::sqrt(dx * dx + dy * dy + dz * dz);
        let reach = elements[own + 2] + elements[other + 2];
        if elements[own + 2] > 0.0f64 && elements[other + 2] > 0.0f64 && d < reach {
            let length = constants[0] / (elements[own + 1] + elements[other + 1]);
            let mut screening = f64::cast_from(0u32);
            let mut screening_slope = f64::cast_from(0u32);
            #[unroll]
            for k in 0..4usize {
                let rate = constants[2 + 2 * k + 1] / length;
                // Shaders have no exponential function in f64.
                let term = constants[2 + 2 * k] * f64::cast_from(F::exp(F::cast_from(-rate * d)));
                screening += term;
                screening_slope -= rate * term;
            }
            let coulomb = constants[1] * elements[own] * elements[other] / d;
            let q = d / reach;
            let q5 = q * q * q * q * q;
            let rest = 1.0f64 - q;
            let envelope = 1.0f64 - q5 * q * (28.0f64 - 48.0f64 * q + 21.0f64 * q * q);
            let envelope_slope = -168.0f64 * q5 * rest * rest / reach;
            let of_pair = coulomb * screening * envelope;
            let slope = coulomb * (screening_slope * envelope + screening * envelope_slope) - of_pair / d;
            energy += of_pair * 0.5f64;
            fx += slope * dx / d;
            fy += slope * dy / d;
            fz += slope * dz / d;
        }
    }
    energies[i] += F::cast_from(energy);
    forces[3 * i] = F::cast_from(fx);
    forces[3 * i + 1] = F::cast_from(fy);
    forces[3 * i + 2] = F::cast_from(fz);
}

/// Sums the energies of the atoms of each system (one unit per system), in f64. `starts`: the first atom of each, and
/// the end.
#[cube(launch_unchecked)]
pub(super) fn sum_per_system<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    of_atoms: &Array<F>,
    starts: &Array<u32>,
    energies: &mut Array<f64>,
    systems: usize,
) {
    tally(ran);
    let s = ABSOLUTE_POS;
    if s >= systems {
        terminate!();
    }
    let mut sum = f64::cast_from(0u32);
    for i in starts[s]..starts[s + 1] {
        sum += f64::cast_from(of_atoms[i as usize]);
    }
    energies[s] = sum;
}
