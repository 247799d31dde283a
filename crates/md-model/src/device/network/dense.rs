//! Kernels of layers: matrix products with an operation on the result, rows of tables, the last layer.
//!
//! The crate has its own matrix products for two reasons: those of burn and cubek round f32 to TF32 (10 bits) on GPUs
//! with tensor cores, and compute those of f64 in f32.

use cubecl::prelude::*;

use super::gpu::tally;

/// Number of columns of one factor and rows of the other in shared memory at once.
const DEPTH: usize = 16;

/// Number of units of a cube along rows and along columns.
pub(super) const SIDE: usize = 16;

/// Operation on the result of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Then {
    /// None.
    Store,
    /// Adds `bias`.
    Bias,
    /// Adds `bias` and stores silu, with its derivative in `aside`.
    Silu,
    /// Multiplies by `aside`.
    Multiply,
    /// Adds to the previous contents.
    Add,
}

/// Computes c = a b and applies the operation: a \[m, k\], b \[k, n\], c \[m, n\] row-major, `aside` as long as c.
///
/// A cube computes `tall` x `wide` numbers of c (multiples of [`SIDE`]), each of its units every 16th row and column.
#[cube(launch_unchecked)]
pub(super) fn product<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    a: &Array<F>,
    b: &Array<F>,
    bias: &Array<F>,
    aside: &mut Array<F>,
    c: &mut Array<F>,
    m: usize,
    n: usize,
    k: usize,
    #[comptime] tall: usize,
    #[comptime] wide: usize,
    #[comptime] then: Then,
) {
    tally(ran);
    let down = comptime!(tall / SIDE);
    let across = comptime!(wide / SIDE);
    let x = UNIT_POS_X as usize;
    let y = UNIT_POS_Y as usize;
    let cubes_across = n.div_ceil(wide);
    let first_row = CUBE_POS / cubes_across * tall + y;
    let first_column = CUBE_POS % cubes_across * wide + x;
    let mut of_a = SharedMemory::<F>::new(comptime!(tall * DEPTH));
    let mut of_b = SharedMemory::<F>::new(comptime!(wide * DEPTH));
    let mut sums = Array::<F>::new(comptime!(down * across));
    let mut left = Array::<F>::new(down);
    #[unroll]
    for s in 0..comptime!(down * across) {
        sums[s] = F::new(0.0);
    }
    let mut start = 0usize;
    while start < k {
        #[unroll]
        for i in 0..down {
            let row = first_row + i * SIDE;
            let mut value = F::new(0.0);
            if row < m && start + x < k {
                value = a[row * k + start + x];
            }
            of_a[(y + i * SIDE) * DEPTH + x] = value;
        }
        #[unroll]
        for j in 0..across {
            let column = first_column + j * SIDE;
            let mut value = F::new(0.0);
            if column < n && start + y < k {
                value = b[(start + y) * n + column];
            }
            of_b[y * wide + x + j * SIDE] = value;
        }
        sync_cube();
        for d in 0..DEPTH {
            #[unroll]
            for i in 0..down {
                left[i] = of_a[(y + i * SIDE) * DEPTH + d];
            }
            #[unroll]
            for j in 0..across {
                let right = of_b[d * wide + x + j * SIDE];
                #[unroll]
                for i in 0..down {
                    sums[i * across + j] += left[i] * right;
                }
            }
        }
        sync_cube();
        start += DEPTH;
    }
    #[unroll]
    for i in 0..down {
        let row = first_row + i * SIDE;
        #[unroll]
        for j in 0..across {
            let column = first_column + j * SIDE;
            if row < m && column < n {
                let at = row * n + column;
                let sum = sums[i * across + j];
                if comptime!(then == Then::Bias) {
                    c[at] = sum + bias[column];
                } else if comptime!(then == Then::Silu) {
                    let z = sum + bias[column];
                    let sigma = F::new(1.0) / (F::new(1.0) + F::exp(-z));
                    aside[at] = sigma * (F::new(1.0) + z * (F::new(1.0) - sigma));
                    c[at] = z * sigma;
                } else if comptime!(then == Then::Multiply) {
                    c[at] = sum * aside[at];
                } else if comptime!(then == Then::Add) {
                    c[at] += sum;
                } else {
                    c[at] = sum;
                }
            }
        }
    }
}

/// Copies row `of[i]` of a table for each i.
#[cube(launch_unchecked)]
pub(super) fn rows<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    table: &Array<F>,
    indices: &Array<u32>,
    out: &mut Array<F>,
    width: usize,
    n: usize,
) {
    tally(ran);
    if ABSOLUTE_POS < n {
        let row = indices[ABSOLUTE_POS / width] as usize;
        out[ABSOLUTE_POS] = table[row * width + ABSOLUTE_POS % width];
    }
}

/// Computes the energies of atoms, a layer with one output.
#[cube(launch_unchecked)]
pub(super) fn last_layer<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    x: &Array<F>,
    weight: &Array<F>,
    bias: &Array<F>,
    energies: &mut Array<F>,
    width: usize,
    atoms: usize,
) {
    tally(ran);
    let i = ABSOLUTE_POS;
    if i >= atoms {
        terminate!();
    }
    let mut sum = bias[0];
    for k in 0..width {
        sum += x[i * width + k] * weight[k];
    }
    energies[i] = sum;
}

/// Computes the gradient of the sum of all energies with respect to the input of [`last_layer`] before its activation,
/// whose derivatives are given.
#[cube(launch_unchecked)]
pub(super) fn last_layer_back<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    weight: &Array<F>,
    slopes: &Array<F>,
    by_x: &mut Array<F>,
    width: usize,
    n: usize,
) {
    tally(ran);
    if ABSOLUTE_POS < n {
        by_x[ABSOLUTE_POS] = weight[ABSOLUTE_POS % width] * slopes[ABSOLUTE_POS];
    }
}

/// Sets an array to zero.
#[cube(launch_unchecked)]
pub(super) fn clear<F: Float + CubeElement>(ran: &mut Array<u32>, x: &mut Array<F>, n: usize) {
    tally(ran);
    if ABSOLUTE_POS < n {
        x[ABSOLUTE_POS] = F::new(0.0);
    }
}
