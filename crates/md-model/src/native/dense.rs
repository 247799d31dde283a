//! Layers for inference: fast for few rows, and every row as if it were alone.

use super::matrix::{Layer, Real, dot, multiply};
use crate::{CheckpointError, Weights, tensors};

/// A layer with its weights in both orders: products are fastest with rows that are contiguous.
#[derive(Debug)]
pub(super) struct Dense<T> {
    pub(super) layer: Layer<T>,
    /// \[in, out\]
    transposed: Vec<T>,
}

impl<T: Real> Dense<T> {
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        n_in: usize,
        n_out: usize,
    ) -> Result<Self, CheckpointError> {
        Self::load_first(weights, name, n_in, n_out, n_out)
    }

    /// The first `n_out` of `all` outputs.
    pub(super) fn load_first(
        weights: &Weights,
        name: &str,
        n_in: usize,
        n_out: usize,
        all: usize,
    ) -> Result<Self, CheckpointError> {
        let get = |part: &str, shape: &[usize], n: usize| -> Result<Vec<T>, CheckpointError> {
            let tensor = tensors::get(weights, &format!("{name}.{part}"), shape)?;
            Ok(tensor.values[..n].iter().map(|&x| T::of(x)).collect())
        };
        let weight = get("weight", &[all, n_in], n_out * n_in)?;
        let transposed = (0..n_in * n_out).map(|at| weight[at % n_out * n_in + at / n_out]).collect();
        Ok(Dense { layer: Layer { weight, bias: get("bias", &[all], n_out)?, n_in, n_out }, transposed })
    }

    /// y = x Wᵀ + b, by rows.
    pub(super) fn apply(&self, x: &[T], y: &mut Vec<T>) {
        self.apply_linear(x, y);
        // Added last: a product of one row may begin with what is there, one of several adds it at the end.
        for row in y.chunks_exact_mut(self.layer.n_out) {
            row.iter_mut().zip(&self.layer.bias).for_each(|(y, &b)| *y += b);
        }
    }

    /// y = x Wᵀ, by rows.
    pub(super) fn apply_linear(&self, x: &[T], y: &mut Vec<T>) {
        let (n_in, n_out) = (self.layer.n_in, self.layer.n_out);
        let rows = x.len() / n_in;
        zero(y, rows * n_out);
        if n_out == 1 {
            // A product with one column is summed in an order that depends on the number of rows.
            y.iter_mut().zip(x.chunks_exact(n_in)).for_each(|(y, x)| *y += dot(x, &self.layer.weight));
        } else {
            multiply([rows, n_out, n_in], x, [n_in, 1], &self.transposed, [n_out, 1], y);
        }
    }

    /// The gradient with respect to x, given that with respect to y.
    pub(super) fn pull_back(&self, by_y: &[T], by_x: &mut Vec<T>) {
        let (n_in, n_out) = (self.layer.n_in, self.layer.n_out);
        let rows = by_y.len() / n_out;
        zero(by_x, rows * n_in);
        multiply([rows, n_in, n_out], by_y, [n_out, 1], &self.layer.weight, [n_in, 1], by_x);
    }
}

/// `n` zeros.
pub(super) fn zero<T: Real>(x: &mut Vec<T>, n: usize) {
    x.clear();
    x.resize(n, T::default());
}
