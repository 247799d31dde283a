use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::architecture::require_sizes;
use crate::tensors::{self, WeightTensor, Weights};
use crate::{CheckpointError, configuration};
use rand::RngExt;

pub(crate) const MODEL_TYPE: &str = "painn_student_mlff_distiller";

/// Keys of the hyper-parameters in a configuration.
pub(crate) const REQUIRED: [&str; 5] = ["hidden_dim", "num_interactions", "num_rbf", "cutoff", "max_z"];
pub(crate) const OPTIONAL: [&str; 1] = ["learnable_rbf"];

/// Sizes of the 'distiller' form of PaiNN, as trained by MLFF-Distiller (A. Frank).
///
/// With F = `hidden_dim`, K = `num_rbf`, edges i ← j in both directions for every pair of atoms `d ≤ cutoff`
/// apart, and r̂ = (x_j − x_i)/(d + 10⁻⁸ Å):
///
/// - s = E\[Z\], v = 0;
/// - basis φ_k(d) = exp(−((d − c_k)/w_k)²) · (cos(π d/cutoff) + 1)/2;
/// - `num_interactions` times: filter (f₀, f₁, f₂) = W₂ silu(W₁ φ + b₁) + b₂; message
///   s_i += Σ_j s_j f₀, v_i += Σ_j (v_j f₁ + r̂ f₂); update (a₀, a₁, a₂) = W₂ silu(W₁ \[s, |v|\] + b₁) + b₂,
///   s += a₀, v ← v a₁ + (M v) a₂;
/// - energy = Σ_atoms of a readout F → F/2 → F/4 → 1 of s, in eV.
///
/// Two properties belong to the form, not to this implementation: M (`mixing_matrix`, 3×3) acts on the Cartesian index,
/// so the energy is not invariant to rotation unless M is a multiple of the identity; and the envelope multiplies φ,
/// not the filter, whose biases remain at the cutoff, so the energy jumps when a pair crosses it.
///
/// Original form of PaiNN: K. Schütt, O. Unke, M. Gastegger, Proc. ICML 2021, PMLR 139, 9377.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DistillerHyperparameters {
    /// Width F of the atom features, 4 to 65536.
    pub hidden_dim: u32,
    /// Number of message-and-update layers, 1 to 1000.
    pub num_interactions: u32,
    /// Number K of radial basis functions, 1 to 1024.
    pub num_rbf: u32,
    /// Cutoff distance, Å, at most 100.
    pub cutoff: f64,
    /// Largest atomic number with an embedding, 1 to 118.
    pub max_z: u8,
    /// Whether centres and widths of the basis count as trainable parameters.
    #[serde(default)]
    pub learnable_rbf: bool,
}

impl DistillerHyperparameters {
    /// Number of multiplications of the features of an atom with weights in the forward pass.
    pub(crate) fn products_per_atom(&self) -> f64 {
        let f = f64::from(self.hidden_dim);
        let update = |l: u32| 2.0 * f * f + if l + 1 == self.num_interactions { 1.0 } else { 3.0 } * f * f;
        (0..self.num_interactions).map(update).sum::<f64>() + f * f / 2.0 + f * f / 8.0 + f / 4.0
    }

    pub(crate) fn from_config(config: &Map<String, Value>) -> Result<Self, CheckpointError> {
        configuration::require_keys(config, &REQUIRED)?;
        let h: Self = serde_json::from_value(Value::Object(config.clone()))?;
        h.validated()
    }

    /// Suggests a configuration with the sizes implied by the shapes of `weights`, and a placeholder for the cutoff.
    pub(crate) fn suggestion(weights: &Weights) -> Result<String, CheckpointError> {
        let shape_of = |name: &str| weights.get(name).map(|t| t.shape.as_slice());
        let Some(&[rows, hidden_dim]) = shape_of("embedding.weight") else {
            return Err(CheckpointError::NoSizes { name: "embedding.weight", rank: 2 });
        };
        let Some(&[num_rbf]) = shape_of("rbf.centers") else {
            return Err(CheckpointError::NoSizes { name: "rbf.centers", rank: 1 });
        };
        let layer = |l: u32| format!("interactions.{l}.update.mixing_matrix");
        let num_interactions = (0..).take_while(|&l| weights.contains_key(&layer(l))).count();
        let max_z = rows.saturating_sub(1);
        Ok(format!(
            "{{\"model_type\": \"{MODEL_TYPE}\", \"hidden_dim\": {hidden_dim}, \"num_interactions\": {num_interactions}, \
             \"num_rbf\": {num_rbf}, \"max_z\": {max_z}, \"cutoff\": <Å>}}"
        ))
    }

    /// Returns the cutoff (Å) of the radial basis of `weights` if it differs.
    pub(crate) fn other_cutoff_of(&self, weights: &Weights) -> Option<f64> {
        // Within the precision of the numbers in the file.
        reach_of_basis(weights)
            .filter(|(reach, resolution)| (reach - self.cutoff).abs() > *resolution)
            .map(|r| r.0)
    }

    fn validated(self) -> Result<Self, CheckpointError> {
        require_sizes(self.hidden_dim, self.num_interactions, self.num_rbf, self.cutoff)?;
        if !(1..=118).contains(&self.max_z) {
            return Err(CheckpointError::hyperparameter("max_z", &self.max_z, "1 to 118"));
        }
        Ok(self)
    }

    /// Checks the weights and counts the trainable ones.
    pub(crate) fn check(&self, weights: &Weights) -> Result<usize, CheckpointError> {
        tensors::check(weights, self.tensors())?;
        if let Some(k) = weights["rbf.widths"].values.iter().position(|&w| w == 0.0) {
            return Err(CheckpointError::Hyperparameter {
                name: "rbf.widths",
                found: format!("0 at index {k}"),
                expected: "widths other than 0 Å".to_owned(),
            });
        }
        Ok(weights.iter().filter(|(name, _)| self.is_trainable(name)).map(|(_, t)| t.values.len()).sum())
    }

    pub(crate) fn is_trainable(&self, tensor: &str) -> bool {
        self.learnable_rbf || !tensor.starts_with("rbf.")
    }

    /// Returns initial weights: linear maps uniform with unit gain (±√(3/fan-in)), everything else in ±1; the centres
    /// of the basis evenly spaced from 0 to the cutoff, with the spacing as width.
    pub(crate) fn untrained(&self, rng: &mut impl RngExt) -> Weights {
        let spacing = self.cutoff / f64::from(self.num_rbf.saturating_sub(1).max(1));
        self.tensors()
            .map(|(name, shape)| {
                let n: usize = shape.iter().product();
                let values: Vec<f64> = match name.as_str() {
                    "rbf.centers" => (0..n).map(|k| k as f64 * spacing).collect(),
                    "rbf.widths" => vec![spacing; n],
                    _ => {
                        let is_linear = name.ends_with("weight") && !name.starts_with("embedding");
                        let bound = if is_linear { (3.0 / shape[1] as f64).sqrt() } else { 1.0 };
                        (0..n).map(|_| rng.random_range(-bound..bound)).collect()
                    }
                };
                (name, WeightTensor { shape, values })
            })
            .collect()
    }

    /// Returns name and shape of every tensor.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        let f = self.hidden_dim as usize;
        let k = self.num_rbf as usize;
        let linear = |name: String, n_in: usize, n_out: usize| {
            [(format!("{name}.weight"), vec![n_out, n_in]), (format!("{name}.bias"), vec![n_out])]
        };
        let outside = [
            ("embedding.weight".to_owned(), vec![usize::from(self.max_z) + 1, f]),
            ("rbf.centers".to_owned(), vec![k]),
            ("rbf.widths".to_owned(), vec![k]),
        ];
        let head = [(0, f, f / 2), (2, f / 2, f / 4), (4, f / 4, 1)];
        let interactions = (0..self.num_interactions).flat_map(move |l| {
            let filter = format!("interactions.{l}.message.rbf_to_scalar");
            let update = format!("interactions.{l}.update.update_mlp");
            [
                linear(format!("{filter}.0"), k, f),
                linear(format!("{filter}.2"), f, 3 * f),
                linear(format!("{update}.0"), 2 * f, f),
                linear(format!("{update}.2"), f, 3 * f),
            ]
            .into_iter()
            .flatten()
            .chain([(format!("interactions.{l}.update.mixing_matrix"), vec![3, 3])])
        });
        outside
            .into_iter()
            .chain(head.into_iter().flat_map(move |(n, i, o)| linear(format!("energy_head.{n}"), i, o)))
            .chain(interactions)
    }
}

/// Returns the largest centre of the basis and the resolution of that number, both in Å. It is the cutoff, since
/// initial centres divide it evenly. `None` if the centres were trained and are uneven, or too few to tell.
pub(crate) fn reach_of_basis(weights: &Weights) -> Option<(f64, f64)> {
    let centres = &weights.get("rbf.centers")?.values;
    let &[first, _, .., last] = centres.as_slice() else { return None };
    // From bf16 to f32: a number is off by half a unit in the last place, and by a few of f32 due to its formula.
    let bits = tensors::significant_bits(weights).clamp(8, f32::MANTISSA_DIGITS);
    let resolution = last.abs() * (2.0f64.powi(-(bits as i32)) + 4.0 * f64::from(f32::EPSILON));
    let spacing = (last - first) / (centres.len() - 1) as f64;
    let is_even = centres
        .iter()
        .enumerate()
        .all(|(k, centre)| (centre - (first + k as f64 * spacing)).abs() <= 2.0 * resolution);
    (spacing > 2.0 * resolution && is_even).then_some((last, resolution))
}
