use std::collections::{BTreeMap, BTreeSet};

use crate::CheckpointError;

/// One tensor of a checkpoint, row-major, in f64 whatever the file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightTensor {
    /// Length of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// Values in row-major order.
    pub values: Vec<f64>,
}

/// The tensors of a checkpoint by name.
pub type Weights = BTreeMap<String, WeightTensor>;

/// Checks that `weights` holds exactly the `expected` tensors (name, shape), with finite values.
pub(crate) fn check(
    weights: &Weights,
    expected: impl Iterator<Item = (String, Vec<usize>)>,
) -> Result<(), CheckpointError> {
    let mut unexpected: BTreeSet<&str> = weights.keys().map(String::as_str).collect();
    // One by one: a configuration that asks for a billion layers fails at the first that is missing.
    for (name, shape) in expected {
        let tensor = get(weights, &name, &shape)?;
        if let Some(index) = tensor.values.iter().position(|x| !x.is_finite()) {
            return Err(CheckpointError::NonFinite { name, index, value: tensor.values[index] });
        }
        unexpected.remove(name.as_str());
    }
    if unexpected.is_empty() {
        Ok(())
    } else {
        let names = unexpected.into_iter().map(str::to_owned).collect();
        Err(CheckpointError::UnexpectedTensors { names })
    }
}

/// The tensor `name`, which must have the shape `expected`.
pub(crate) fn get<'a>(
    weights: &'a Weights,
    name: &str,
    expected: &[usize],
) -> Result<&'a WeightTensor, CheckpointError> {
    let tensor = weights.get(name).ok_or_else(|| CheckpointError::MissingTensor {
        name: name.to_owned(),
        expected: expected.to_vec(),
    })?;
    if tensor.shape == expected {
        Ok(tensor)
    } else {
        Err(CheckpointError::TensorShape {
            name: name.to_owned(),
            expected: expected.to_vec(),
            found: tensor.shape.clone(),
        })
    }
}
