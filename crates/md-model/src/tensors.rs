use std::collections::{BTreeMap, BTreeSet};

use crate::CheckpointError;

/// One tensor of a checkpoint, row-major, in f64 for any format of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightTensor {
    /// Length of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// Values in row-major order.
    pub values: Vec<f64>,
}

/// The tensors of a checkpoint by name.
pub type Weights = BTreeMap<String, WeightTensor>;

/// Returns the maximum number of significant bits of the weights: 24 for f32, and fewer if all were rounded to a
/// coarser format (11 for f16, 8 for bf16).
pub(crate) fn significant_bits(weights: &Weights) -> u32 {
    const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let bits = |x: f64| match x.to_bits() & ((1 << FRACTION_BITS) - 1) {
        0 => 1,
        fraction => FRACTION_BITS - fraction.trailing_zeros() + 1,
    };
    weights.values().flat_map(|t| &t.values).map(|&x| bits(x)).max().unwrap_or(0)
}

/// Checks that `weights` contains exactly the `expected` tensors (name, shape), with finite values.
pub(crate) fn check(
    weights: &Weights,
    expected: impl Iterator<Item = (String, Vec<usize>)>,
) -> Result<(), CheckpointError> {
    let mut unexpected: BTreeSet<&str> = weights.keys().map(String::as_str).collect();
    // One at a time: a configuration with a billion layers fails at the first missing one.
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

/// Returns the tensor `name`, which must have the shape `expected`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn significant_bits_identify_float_format() {
        let of = |values: Vec<f64>| {
            let shape = vec![values.len()];
            significant_bits(&Weights::from([("w".to_owned(), WeightTensor { shape, values })]))
        };
        let numbers: Vec<f64> = (1..200).map(|k| (f64::from(k) * 0.37).sin()).collect();
        assert_eq!(of(numbers.iter().map(|&x| f64::from(x as f32)).collect()), 24);
        assert_eq!(of(numbers.iter().map(|&x| half::f16::from_f64(x).to_f64()).collect()), 11);
        assert_eq!(of(numbers.iter().map(|&x| half::bf16::from_f64(x).to_f64()).collect()), 8);
        assert_eq!(of(vec![0.0, 0.5, -2.0]), 1);
    }
}
