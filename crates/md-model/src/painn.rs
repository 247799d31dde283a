use std::collections::BTreeMap;

use md_core::Element;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::architecture::require_sizes;
use crate::tensors::{self, WeightTensor, Weights};
use crate::{CheckpointError, configuration};

pub(crate) const MODEL_TYPE: &str = "painn";

/// Keys of the hyper-parameters in a configuration.
pub(crate) const REQUIRED: [&str; 5] =
    ["hidden_dim", "num_interactions", "num_rbf", "cutoff", "reference_energies_ev"];

/// Sizes of PaiNN, the equivariant student.
///
/// With F = `hidden_dim`, K = `num_rbf`, d = |x_j − x_i| for every pair of atoms nearer than `cutoff`, and
/// r̂ = (x_j − x_i)/d:
///
/// - s = E\[Z\], v = 0 (three components of F features);
/// - basis φ_k(d) = √(2/cutoff) sin(kπd/cutoff)/d, k = 1…K;
/// - envelope f(x) = 1 − 28x⁶ + 48x⁷ − 21x⁸ of x = d/cutoff, zero beyond 1 with two continuous derivatives;
/// - `num_interactions` times: filters w_n = (A_n φ + b_n) f; message, with (m₀, m₁, m₂) = W silu(W s + b) + b of
///   the sender: s_i += Σ_j m₀ w₀, v_i += Σ_j (v_j m₁ w₁ + r̂ m₂ w₂); update, with n = √(|Vv|² + ε²) and (a₀, a₁, a₂)
///   = W silu(W \[s, n\] + b) + b: s += a₀ + a₁ ⟨Uv, Vv⟩, v += a₂ Uv. U and V mix features, not components;
/// - energy (eV) = Σ_atoms (E₀\[Z\] + readout F → F/2 → 1 of s) + a screened nuclear repulsion (ZBL) of each pair
///   nearer than the sum of its covalent radii.
///
/// Tensors, in blocks of F rows: `message.0`, `message.1` (m₀, m₂, m₁), `filter` (A with b as last column, in the same
/// order), `mix` (U, V), `update.0` (on \[s, n\]), `update.1` (a₀, a₁, a₂), `readout.0`, `readout.1`, `embedding` (one
/// row per element, by atomic number).
///
/// Differences from the paper: the energy is twice differentiable everywhere (ε = 0.1, since the norm of the paper has
/// a kink at v = 0, and another envelope, there a cosine), the repulsion is added, and weights that do not affect the
/// energy are omitted: m₁ of the first interaction, where v = 0, and a₂ of the last.
///
/// K. Schütt, O. Unke, M. Gastegger, Proc. ICML 2021, PMLR 139, 9377; envelope: J. Gasteiger, J. Groß, S. Günnemann,
/// ICLR 2020 (p = 6); repulsion: J. Ziegler, J. Biersack, U. Littmark, 1985, as in `zbl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PainnHyperparameters {
    /// Width F of the features, 4 to 65536.
    pub hidden_dim: u32,
    /// Number of interactions, 1 to 1000.
    pub num_interactions: u32,
    /// Number K of radial basis functions, 1 to 1024.
    pub num_rbf: u32,
    /// Cutoff distance, Å, at most 100.
    pub cutoff: f64,
    /// Energy E₀ of an atom of each element, eV, by symbol. Its keys are the elements that the network supports.
    pub reference_energies_ev: BTreeMap<String, f64>,
}

impl PainnHyperparameters {
    /// Number of multiplications of the features of an atom with weights in the forward pass; those of the first
    /// message depend only on the element.
    pub(crate) fn products_per_atom(&self) -> f64 {
        let f = f64::from(self.hidden_dim);
        let interaction = |l: u32| {
            let message = if l == 0 { 0.0 } else { 4.0 };
            (message + 6.0 + 2.0 + f64::from(self.updates(l) as u32)) * f * f
        };
        (0..self.num_interactions).map(interaction).sum::<f64>() + f * f / 2.0 + f / 2.0
    }

    pub(crate) fn from_config(config: &Map<String, Value>) -> Result<Self, CheckpointError> {
        configuration::require_keys(config, &REQUIRED)?;
        let h: Self = serde_json::from_value(Value::Object(config.clone()))?;
        h.validated()
    }

    fn validated(self) -> Result<Self, CheckpointError> {
        require_sizes(self.hidden_dim, self.num_interactions, self.num_rbf, self.cutoff)?;
        if self.reference_energies_ev.is_empty() {
            return Err(CheckpointError::hyperparameter(
                "reference_energies_ev",
                &"{}",
                "an energy (eV) for every element, such as {\"H\": -13.6}",
            ));
        }
        for (symbol, energy) in &self.reference_energies_ev {
            let known = symbol.parse::<Element>().is_ok_and(|e| e.covalent_radius_angstrom().is_some());
            if !known || !energy.is_finite() {
                let found = format!("{symbol}: {energy}");
                return Err(CheckpointError::hyperparameter(
                    "reference_energies_ev",
                    &found,
                    "chemical symbols, H to Cm, with finite energies in eV",
                ));
            }
        }
        Ok(self)
    }

    /// The elements that the network supports, by atomic number.
    pub fn elements(&self) -> Vec<Element> {
        let mut elements: Vec<Element> =
            self.reference_energies_ev.keys().filter_map(|symbol| symbol.parse().ok()).collect();
        elements.sort();
        elements
    }

    /// Checks the weights and counts them; all are trainable.
    pub(crate) fn check(&self, weights: &Weights) -> Result<usize, CheckpointError> {
        tensors::check(weights, self.tensors())?;
        Ok(weights.values().map(|t| t.values.len()).sum())
    }

    /// Returns initial weights: linear maps uniform within ±√(6/(inputs + outputs)) (X. Glorot, Y. Bengio 2010), biases
    /// zero, embeddings uniform with unit variance.
    pub(crate) fn untrained(&self, rng: &mut impl RngExt) -> Weights {
        self.tensors()
            .map(|(name, shape)| {
                let bound = if name == EMBEDDING {
                    3.0f64.sqrt()
                } else if name.ends_with("bias") {
                    0.0
                } else {
                    (6.0 / (shape[0] + shape[1]) as f64).sqrt()
                };
                let n: usize = shape.iter().product();
                let values = (0..n).map(|_| bound * rng.random_range(-1.0..1.0)).collect();
                (name, WeightTensor { shape, values })
            })
            .collect()
    }

    /// Returns name and shape of every tensor.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        let (f, k) = (self.hidden_dim as usize, self.num_rbf as usize);
        let linear = |name: String, n_in: usize, n_out: usize| {
            [(format!("{name}.weight"), vec![n_out, n_in]), (format!("{name}.bias"), vec![n_out])]
        };
        let interactions = (0..self.num_interactions).flat_map(move |l| {
            let name = |part: &str| format!("interactions.{l}.{part}");
            let (sent, updated) = (self.messages(l) * f, self.updates(l) * f);
            [
                linear(name("message.0"), f, f),
                linear(name("message.1"), f, sent),
                linear(name("update.0"), 2 * f, f),
                linear(name("update.1"), f, updated),
            ]
            .into_iter()
            .flatten()
            .chain([
                (format!("{}.weight", name("filter")), vec![sent, k + 1]),
                (format!("{}.weight", name("mix")), vec![2 * f, f]),
            ])
        });
        [(EMBEDDING.to_owned(), vec![self.reference_energies_ev.len(), f])]
            .into_iter()
            .chain(linear("readout.0".to_owned(), f, f / 2))
            .chain(linear("readout.1".to_owned(), f / 2, 1))
            .chain(interactions)
    }

    /// Number of blocks of F outputs of message network and filter: m₀, m₂ and, except in the first interaction, m₁.
    pub(crate) fn messages(&self, l: u32) -> usize {
        if l == 0 { 2 } else { 3 }
    }

    /// Number of blocks of F outputs of the update network: a₀, a₁ and, except in the last interaction, a₂.
    pub(crate) fn updates(&self, l: u32) -> usize {
        if l + 1 == self.num_interactions { 2 } else { 3 }
    }
}

/// Tensor with one row for each element, by atomic number.
pub(crate) const EMBEDDING: &str = "embedding.weight";

/// ε of the smooth norm √(|Vv|² + ε²).
pub(crate) const NORM_EPSILON: f64 = 0.1;
