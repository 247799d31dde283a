//! Layers for inference: fast for few rows, with results that do not depend on the other rows.

use super::lanes::{LANES, padded, vectorised};
use crate::native::matrix::{Real, dot, product};
use crate::{CheckpointError, Weights, tensors};

/// Layout of the features in a row of a tensor: blocks, each padded with zeros to whole registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocks {
    count: usize,
    width: usize,
    padded: usize,
}

impl Blocks {
    pub(super) fn new(count: usize, width: usize) -> Self {
        Blocks { count, width, padded: padded(width) }
    }

    /// A single block without padding.
    pub(super) fn exact(width: usize) -> Self {
        Blocks { count: 1, width, padded: width }
    }

    /// Length of a row.
    pub(super) fn padded(self) -> usize {
        self.count * self.padded
    }

    fn numbers(self) -> usize {
        self.count * self.width
    }
}

/// A layer, or some blocks of its outputs.
#[derive(Debug)]
pub(crate) struct Dense<T> {
    pub(crate) n_in: usize,
    pub(crate) n_out: usize,
    /// \[out, in\]
    pub(crate) weight: Vec<T>,
    /// \[in, out\]: products are fastest with contiguous rows.
    pub(crate) transposed: Vec<T>,
    /// \[out\], or empty.
    pub(crate) bias: Vec<T>,
}

impl<T: Real> Dense<T> {
    /// Loads a layer. `selected` are the indices of the blocks of outputs to compute, in their new order.
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        from: Blocks,
        to: Blocks,
        selected: &[usize],
    ) -> Result<Self, CheckpointError> {
        let bias = tensors::get(weights, &format!("{name}.bias"), &[to.numbers()])?;
        let mut dense = Self::load_matrix(weights, name, from, to, selected)?;
        dense.bias = vec![T::default(); dense.n_out];
        for (place, row) in places(to, selected) {
            dense.bias[place] = T::from_f64(bias.values[row]);
        }
        Ok(dense)
    }

    /// Loads a layer without a bias.
    pub(super) fn load_matrix(
        weights: &Weights,
        name: &str,
        from: Blocks,
        to: Blocks,
        selected: &[usize],
    ) -> Result<Self, CheckpointError> {
        let shape = [to.numbers(), from.numbers()];
        let tensor = tensors::get(weights, &format!("{name}.weight"), &shape)?;
        let (n_in, n_out) = (from.padded(), selected.len() * to.padded);
        let all: Vec<usize> = (0..from.count).collect();
        let mut weight = vec![T::default(); n_out * n_in];
        let mut transposed = weight.clone();
        for (out, row) in places(to, selected) {
            for (at, column) in places(from, &all) {
                let x = T::from_f64(tensor.values[row * from.numbers() + column]);
                weight[out * n_in + at] = x;
                transposed[at * n_out + out] = x;
            }
        }
        Ok(Dense { n_in, n_out, weight, transposed, bias: Vec::new() })
    }

    /// Computes y = x Wᵀ + b for each row.
    pub(super) fn apply(&self, x: &[T], y: &mut Vec<T>) {
        self.apply_linear(x, y);
        // The bias is added last: a product of one row may start from the output, one of several rows adds it at the
        // end.
        for row in y.chunks_exact_mut(self.n_out) {
            row.iter_mut().zip(&self.bias).for_each(|(y, &b)| *y += b);
        }
    }

    /// Computes y = x Wᵀ for each row.
    pub(super) fn apply_linear(&self, x: &[T], y: &mut Vec<T>) {
        let rows = x.len() / self.n_in;
        y.resize(rows * self.n_out, T::default());
        if self.n_out == 1 {
            // A product with one column is summed in an order that depends on the number of rows.
            y.iter_mut().zip(x.chunks_exact(self.n_in)).for_each(|(y, x)| *y = dot(x, &self.weight));
        } else {
            product([rows, self.n_out, self.n_in], x, &self.transposed, y);
        }
    }

    /// Computes the gradient with respect to x, given that with respect to y.
    pub(super) fn pull_back(&self, by_y: &[T], by_x: &mut Vec<T>) {
        let rows = by_y.len() / self.n_out;
        by_x.resize(rows * self.n_in, T::default());
        product([rows, self.n_in, self.n_out], by_y, &self.weight, by_x);
    }

    /// Computes the gradient of the sum of the outputs of a layer with one output, times `slope` (as long as the
    /// input), into `by_x`.
    pub(super) fn pull_back_ones(&self, slope: &[T], by_x: &mut Vec<T>) {
        by_x.clear();
        for slope in slope.chunks_exact(self.n_in) {
            by_x.extend(slope.iter().zip(&self.weight).map(|(&s, &w)| s * w));
        }
    }
}

/// Returns the index in a padded row and in the tensor of each feature of the selected blocks.
fn places(blocks: Blocks, selected: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    selected.iter().enumerate().flat_map(move |(place, &block)| {
        (0..blocks.width).map(move |n| (place * blocks.padded + n, block * blocks.width + n))
    })
}

/// Returns a table with one padded block per row.
pub(super) fn rows<T: Real>(values: &[f64], width: usize) -> Vec<T> {
    let row = |x: &[f64]| {
        let zeros = std::iter::repeat_n(T::default(), padded(width) - width);
        x.iter().map(|&x| T::from_f64(x)).chain(zeros).collect::<Vec<T>>()
    };
    values.chunks_exact(width).flat_map(row).collect()
}

/// Sets x to `n` zeros.
pub(super) fn zero<T: Real>(x: &mut Vec<T>, n: usize) {
    x.clear();
    x.resize(n, T::default());
}

/// Replaces z by silu(z) = z σ(z) and computes its derivative.
pub(super) fn silu<T: Real>(z: &mut [T], slope: &mut Vec<T>) {
    slope.resize(z.len(), T::default());
    silu_of_blocks(z, slope);
}

vectorised! {
    /// Processes blocks of a known size, which the compiler always vectorises.
    fn silu_of_blocks<'a, T>(_simd; z: &'a mut [T], slope: &'a mut [T]) {
        let one = T::from_f64(1.0);
        let ((z, rest), (slope, rest_slope)) = (z.as_chunks_mut::<LANES>(), slope.as_chunks_mut::<LANES>());
        for (z, slope) in z.iter_mut().zip(slope) {
            for l in 0..LANES {
                let sigma = one / (one + (-z[l]).exp());
                slope[l] = sigma * (one + z[l] * (one - sigma));
                z[l] = z[l] * sigma;
            }
        }
        for (z, slope) in rest.iter_mut().zip(rest_slope) {
            let sigma = one / (one + (-*z).exp());
            *slope = sigma * (one + *z * (one - sigma));
            *z = *z * sigma;
        }
    }
}

vectorised! {
    /// x ← x y
    pub(super) fn multiply_by<'a, T>(_simd; x: &'a mut [T], y: &'a [T]) {
        for (x, &y) in x.iter_mut().zip(y) {
            *x = *x * y;
        }
    }
}
