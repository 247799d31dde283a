use md_core::Element;
use rand::RngExt;
use serde_json::{Map, Value};

use crate::distiller::{self, DistillerHyperparameters};
use crate::error::excerpt;
use crate::painn::{self, PainnHyperparameters};
use crate::student::Network;
use crate::{CheckpointError, Filters, Precision, Weights, burn_engine, native};

/// The supported networks with their hyper-parameters. To add another one, register it here.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Architecture {
    /// The PaiNN student of MLFF-Distiller.
    Distiller(DistillerHyperparameters),
    /// PaiNN, equivariant and smooth: the form trained by `md-train`.
    Painn(PainnHyperparameters),
}

/// The `model_type` of every architecture.
const KNOWN: [&str; 2] = [distiller::MODEL_TYPE, painn::MODEL_TYPE];

impl Architecture {
    /// Returns the architecture named in a configuration, or by default the `assumed` one.
    pub(crate) fn from_config(
        config: &Map<String, Value>,
        assumed: Option<&str>,
    ) -> Result<Self, CheckpointError> {
        let named = match config.get("model_type") {
            Some(named) => named.as_str(),
            None => assumed,
        };
        match named {
            Some(distiller::MODEL_TYPE) => {
                Ok(Architecture::Distiller(DistillerHyperparameters::from_config(config)?))
            }
            Some(painn::MODEL_TYPE) => Ok(Architecture::Painn(PainnHyperparameters::from_config(config)?)),
            Some(other) => Err(unknown(&format!("'{}', which is not known", excerpt(other)))),
            None => Err(unknown("missing")),
        }
    }

    /// Returns the error for weights without a configuration, with one suggested from their shapes.
    pub(crate) fn no_configuration(weights: &Weights) -> CheckpointError {
        let suggestion = match DistillerHyperparameters::suggestion(weights) {
            Ok(sizes) => sizes,
            Err(error) => return error,
        };
        let hint = match distiller::reach_of_basis(weights) {
            Some((reach, _)) => format!(" (the radial basis, rbf.centers, reaches to {reach} Å)"),
            None => String::new(),
        };
        CheckpointError::NoConfiguration { suggestion, hint }
    }

    /// Returns the cutoff (Å) implied by the weights if it differs from that of the configuration.
    pub(crate) fn other_cutoff_of(&self, weights: &Weights) -> Option<f64> {
        match self {
            Architecture::Distiller(h) => h.other_cutoff_of(weights),
            // The basis is given by a formula.
            Architecture::Painn(_) => None,
        }
    }

    /// Keys of the hyper-parameters in a configuration.
    pub(crate) fn keys(&self) -> Vec<&'static str> {
        match self {
            Architecture::Distiller(_) => {
                distiller::REQUIRED.into_iter().chain(distiller::OPTIONAL).collect()
            }
            Architecture::Painn(_) => painn::REQUIRED.to_vec(),
        }
    }

    /// Whether the form is that of `mdproof train`, which defines all keys of its configuration.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Architecture::Painn(_))
    }

    /// Whether a tensor has trainable weights.
    pub(crate) fn is_trainable(&self, tensor: &str) -> bool {
        match self {
            Architecture::Distiller(h) => h.is_trainable(tensor),
            Architecture::Painn(_) => true,
        }
    }

    /// The `model_type` in `config.json`.
    pub fn model_type(&self) -> &'static str {
        match self {
            Architecture::Distiller(_) => distiller::MODEL_TYPE,
            Architecture::Painn(_) => painn::MODEL_TYPE,
        }
    }

    /// Cutoff distance, Å.
    pub fn cutoff_angstrom(&self) -> f64 {
        match self {
            Architecture::Distiller(h) => h.cutoff,
            Architecture::Painn(h) => h.cutoff,
        }
    }

    /// The elements that have an embedding, by atomic number.
    pub fn elements(&self) -> Vec<Element> {
        match self {
            Architecture::Distiller(h) => {
                (1..=h.max_z).filter_map(|z| Element::from_atomic_number(i64::from(z)).ok()).collect()
            }
            Architecture::Painn(h) => h.elements(),
        }
    }

    /// Returns the configuration that [`Architecture::from_config`] reads.
    pub(crate) fn to_config(&self) -> Result<Map<String, Value>, CheckpointError> {
        let hyperparameters = match self {
            Architecture::Distiller(h) => serde_json::to_value(h)?,
            Architecture::Painn(h) => serde_json::to_value(h)?,
        };
        let model_type = ("model_type".to_owned(), Value::from(self.model_type()));
        Ok([model_type]
            .into_iter()
            .chain(hyperparameters.as_object().cloned().into_iter().flatten())
            .collect())
    }

    /// Returns initial weights.
    pub(crate) fn untrained(&self, rng: &mut impl RngExt) -> Weights {
        match self {
            Architecture::Distiller(h) => h.untrained(rng),
            Architecture::Painn(h) => h.untrained(rng),
        }
    }

    /// Returns the number of values in all tensors.
    pub(crate) fn numbers(&self) -> usize {
        let length = |(_, shape): (String, Vec<usize>)| shape.iter().product::<usize>();
        match self {
            Architecture::Distiller(h) => h.tensors().map(length).sum(),
            Architecture::Painn(h) => h.tensors().map(length).sum(),
        }
    }

    /// Checks the weights against the hyper-parameters and counts the trainable ones.
    pub(crate) fn check(&self, weights: &Weights) -> Result<usize, CheckpointError> {
        match self {
            Architecture::Distiller(h) => h.check(weights),
            Architecture::Painn(h) => h.check(weights),
        }
    }

    /// Estimates the floating-point operations of one energy and force call: forward and backward matrix products,
    /// messages, and filters evaluated as quintic splines, the cheapest method known. Terms that scale neither with F²
    /// nor with the number of pairs are omitted.
    ///
    /// ```
    /// use md_model::{Architecture, DistillerHyperparameters};
    /// let student = Architecture::Distiller(DistillerHyperparameters {
    ///     hidden_dim: 128,
    ///     num_interactions: 3,
    ///     num_rbf: 20,
    ///     cutoff: 5.0,
    ///     max_z: 100,
    ///     learnable_rbf: false,
    /// });
    /// // Alanine, 13 atoms. Weights per atom: 128² times 3 · 2 + 3 + 3 + 1 of the updates, 1/2 + 1/8 of the head.
    /// let weights = 128.0 * 128.0 * (13.0 + 0.625) + 32.0;
    /// assert_eq!(student.flops_per_call(13, 0), 13.0 * 4.0 * weights);
    /// // A pair, per feature: 106 operations in the first interaction, 185 in those that send vectors.
    /// assert_eq!(student.flops_per_call(0, 1), 128.0 * (106.0 + 2.0 * 185.0));
    /// ```
    pub fn flops_per_call(&self, atoms: usize, pairs: usize) -> f64 {
        let (f, layers, products, has_m2) = match self {
            Architecture::Distiller(h) => (h.hidden_dim, h.num_interactions, h.products_per_atom(), false),
            Architecture::Painn(h) => (h.hidden_dim, h.num_interactions, h.products_per_atom(), true),
        };
        let messages: f64 = (0..layers).map(|l| message_flops(l > 0, has_m2)).sum();
        // A multiplication and an addition for each, and the same again in the backward pass.
        4.0 * products * atoms as f64 + messages * f64::from(f) * pairs as f64
    }

    /// Creates the network in tensor operations of burn on the CPU.
    pub(crate) fn build_reference(
        &self,
        weights: &Weights,
        precision: Precision,
    ) -> Result<Box<dyn Network>, CheckpointError> {
        match self {
            Architecture::Distiller(h) => burn_engine::distiller(h, weights, precision),
            Architecture::Painn(h) => burn_engine::painn(h, weights, precision),
        }
    }

    /// Creates the network on the CPU in its fastest implementation.
    pub(crate) fn build(
        &self,
        weights: &Weights,
        precision: Precision,
        filters: Filters,
    ) -> Result<Box<dyn Network>, CheckpointError> {
        match self {
            Architecture::Distiller(h) => native::distiller_network(h, weights, precision, filters),
            Architecture::Painn(h) => native::painn_network(h, weights, precision, filters),
        }
    }
}

/// Operations per pair and feature of one interaction and its gradient in `native`: with vectors to send (`has_u`), and
/// with a factor on the direction (`has_m2`).
fn message_flops(has_u: bool, has_m2: bool) -> f64 {
    let (u, m2) = (f64::from(u8::from(has_u)), f64::from(u8::from(has_m2)));
    // Six rows of a table, for values, and again for values and slopes.
    let filters = (2.0 + u) * 3.0 * 12.0;
    let forward = 4.0 + 3.0 + 6.0 * (1.0 + m2) + 12.0 * u;
    let backward = 5.0 + 3.0 * (1.0 + 2.0 * m2) + 6.0 + 7.0 + u * (31.0 + 14.0 * m2);
    filters + forward + backward
}

/// Checks the sizes common to all architectures; `cutoff` in Å.
pub(crate) fn require_sizes(
    hidden_dim: u32,
    num_interactions: u32,
    num_rbf: u32,
    cutoff: f64,
) -> Result<(), CheckpointError> {
    let refuse =
        |name, found: &dyn ToString, expected| Err(CheckpointError::hyperparameter(name, found, expected));
    if !(4..=1 << 16).contains(&hidden_dim) {
        return refuse("hidden_dim", &hidden_dim, "4 to 65536");
    }
    if !(1..=1000).contains(&num_interactions) {
        return refuse("num_interactions", &num_interactions, "1 to 1000");
    }
    if !(1..=1024).contains(&num_rbf) {
        return refuse("num_rbf", &num_rbf, "1 to 1024");
    }
    if !(cutoff > 0.0 && cutoff <= 100.0) {
        return refuse("cutoff", &cutoff, "a positive number of Å, at most 100");
    }
    Ok(())
}

fn unknown(found: &str) -> CheckpointError {
    CheckpointError::UnknownArchitecture { found: found.to_owned(), known: KNOWN.join(", ") }
}
