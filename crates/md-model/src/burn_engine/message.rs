//! Messages between atoms, and their gradient.
//!
//! Each pair of atoms is two edges, with one filter (which depends only on the distance) and opposite directions.
//! Vectors, in tensors of 3P rows, are passed to the first atoms of all pairs and then to the second; scalars, in
//! tensors of 2P rows, in both directions at once.

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};

use super::ops::{Format, add_rows, scale_blocks, sum_blocks};
use crate::geometry::Pairs;

/// The features of the atoms, or the gradient of the energy with respect to them.
#[derive(Debug)]
pub(super) struct Features<B: Backend> {
    /// \[N, F\]
    pub(super) s: Tensor<B, 2>,
    /// \[3N, F\]; `None` for zero: before the first message, and for the gradient after the last.
    pub(super) v: Option<Tensor<B, 2>>,
}

/// The filters f₀, f₁, f₂ of one interaction, each \[P, F\].
pub(super) type Filters<B> = [Tensor<B, 2>; 3];

/// Senders and receivers of messages.
#[derive(Debug)]
pub(super) struct Edges<B: Backend> {
    /// Unit vectors from the first atom of each pair to the second, \[3P, 1\].
    directions: Tensor<B, 2>,
    /// Rows in s of the receiving atoms: first atoms, then second atoms, \[2P\].
    receivers: Tensor<B, 1, Int>,
    /// Rows in s of the sending atoms, \[2P\].
    senders: Tensor<B, 1, Int>,
    /// Rows in v of the first atoms, \[3P\].
    first: Tensor<B, 1, Int>,
    /// Rows in v of the second atoms, \[3P\].
    second: Tensor<B, 1, Int>,
}

/// Gradients with respect to the inputs of a message.
pub(super) struct ByMessage<B: Backend> {
    /// With respect to the features before it; `v` only if there were any.
    pub(super) input: Features<B>,
    pub(super) f0: Tensor<B, 2>,
    /// `None` if v = 0.
    pub(super) f1: Option<Tensor<B, 2>>,
    pub(super) f2: Tensor<B, 2>,
    /// With respect to the unit vectors, \[3P, 1\].
    pub(super) directions: Tensor<B, 2>,
}

impl<B: Backend> Edges<B> {
    pub(super) fn new(pairs: &Pairs, n_atoms: usize, format: &Format<B>) -> Self {
        let vector_rows = |atoms: &[usize]| {
            format.rows((0..3).flat_map(|a| atoms.iter().map(move |atom| a * n_atoms + atom)))
        };
        Edges {
            directions: format.matrix(&pairs.directions(), [3 * pairs.len(), 1]),
            receivers: format.rows(pairs.i.iter().chain(&pairs.j).copied()),
            senders: format.rows(pairs.j.iter().chain(&pairs.i).copied()),
            first: vector_rows(&pairs.i),
            second: vector_rows(&pairs.j),
        }
    }

    /// Computes s_i + Σ_j s_j f₀ and v_i + Σ_j (v_j f₁ + r̂ f₂). `zero_v` gives v if there is no `input.v`.
    pub(super) fn message_forward(
        &self,
        input: &Features<B>,
        zero_v: impl FnOnce() -> Tensor<B, 2>,
        [f0, f1, f2]: &Filters<B>,
    ) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let sent = scale_blocks(input.s.clone().select(0, self.senders.clone()), f0);
        let s = add_rows(input.s.clone(), &self.receivers, sent);

        let along = Tensor::cat(vec![f2.clone(); 3], 0) * self.directions.clone();
        let (v, to_first, to_second) = match &input.v {
            None => (zero_v(), along.clone(), -along),
            Some(v) => {
                let from_second = scale_blocks(v.clone().select(0, self.second.clone()), f1);
                let from_first = scale_blocks(v.clone().select(0, self.first.clone()), f1);
                (v.clone(), from_second + along.clone(), from_first - along)
            }
        };
        (s, add_rows(add_rows(v, &self.first, to_first), &self.second, to_second))
    }

    /// Computes the gradient with respect to the inputs of [`Edges::message_forward`] from that of its result, `by_s`
    /// and `by_v`.
    pub(super) fn message_backward(
        &self,
        input: Features<B>,
        [f0, f1, f2]: &Filters<B>,
        by_s: Tensor<B, 2>,
        by_v: Tensor<B, 2>,
    ) -> ByMessage<B> {
        let received_s = by_s.clone().select(0, self.receivers.clone());
        let by_f0 = sum_blocks(input.s.select(0, self.senders.clone()) * received_s.clone(), 2);

        let by_first = by_v.clone().select(0, self.first.clone());
        let by_second = by_v.clone().select(0, self.second.clone());
        let by_along = by_first.clone() - by_second.clone();
        let by_f2 = sum_blocks(by_along.clone() * self.directions.clone(), 3);
        let by_directions = scale_blocks(by_along, f2).sum_dim(1);

        // In the first interaction nothing before the message depends on positions.
        let (input, by_f1) = match input.v {
            None => (Features { s: by_s, v: None }, None),
            Some(v) => {
                let by_f1 = v.clone().select(0, self.second.clone()) * by_first.clone()
                    + v.select(0, self.first.clone()) * by_second.clone();
                let by_s = add_rows(by_s, &self.senders, scale_blocks(received_s, f0));
                let by_v = add_rows(by_v, &self.second, scale_blocks(by_first, f1));
                let by_v = add_rows(by_v, &self.first, scale_blocks(by_second, f1));
                (Features { s: by_s, v: Some(by_v) }, Some(sum_blocks(by_f1, 3)))
            }
        };
        ByMessage { input, f0: by_f0, f1: by_f1, f2: by_f2, directions: by_directions }
    }
}
