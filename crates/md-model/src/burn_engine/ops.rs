//! Building blocks of networks: tensors of a chosen precision, linear layers, the SiLU function.

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor, TensorData, activation};

use crate::tensors::{self, WeightTensor};
use crate::{CheckpointError, Precision, Weights};

/// Device and precision of tensors.
#[derive(Debug, Clone)]
pub(super) struct Format<B: Backend> {
    pub(super) device: Device<B>,
    pub(super) precision: Precision,
}

impl<B: Backend> Format<B> {
    /// Creates a matrix from row-major values.
    pub(super) fn matrix(&self, values: &[f64], shape: [usize; 2]) -> Tensor<B, 2> {
        match self.precision {
            Precision::F32 => {
                let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
                Tensor::from_data(TensorData::new(values, shape), (&self.device, DType::F32))
            }
            Precision::F64 => {
                Tensor::from_data(TensorData::new(values.to_vec(), shape), (&self.device, DType::F64))
            }
        }
    }

    pub(super) fn zeros(&self, shape: [usize; 2]) -> Tensor<B, 2> {
        Tensor::zeros(shape, (&self.device, self.dtype()))
    }

    pub(super) fn ones(&self, shape: [usize; 2]) -> Tensor<B, 2> {
        Tensor::ones(shape, (&self.device, self.dtype()))
    }

    fn dtype(&self) -> DType {
        match self.precision {
            Precision::F32 => DType::F32,
            Precision::F64 => DType::F64,
        }
    }

    /// Creates a tensor of row indices.
    pub(super) fn rows(&self, rows: impl Iterator<Item = usize>) -> Tensor<B, 1, Int> {
        let rows: Vec<i32> = rows.map(|row| row as i32).collect();
        let n = rows.len();
        Tensor::from_data(TensorData::new(rows, [n]), (&self.device, DType::I32))
    }
}

/// Copies the values of a tensor to the host.
pub(super) fn read<B: Backend>(tensor: Tensor<B, 2>) -> Result<Vec<f64>, ExecutionError> {
    Ok(tensor.try_into_data()?.iter::<f64>().collect())
}

/// y = x Wᵀ + b for each row.
#[derive(Debug, Clone)]
pub(super) struct Linear<B: Backend> {
    /// \[out, in\]
    weight: Tensor<B, 2>,
    /// \[1, out\]
    bias: Option<Tensor<B, 2>>,
}

impl<B: Backend> Linear<B> {
    /// `weight` is \[out, in\], `bias` \[1, out\].
    pub(super) fn new(weight: Tensor<B, 2>, bias: Option<Tensor<B, 2>>) -> Self {
        Linear { weight, bias }
    }

    /// Loads the layer `name` of a checkpoint.
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        [n_in, n_out]: [usize; 2],
        format: &Format<B>,
    ) -> Result<Self, CheckpointError> {
        Ok(Self::stacked(&[Rows::load(weights, name, [n_in, n_out])?], n_in, format))
    }

    /// Loads three layers of equal size that the checkpoint stores as one with three times the outputs.
    pub(super) fn load_three(
        weights: &Weights,
        name: &str,
        [n_in, n_out]: [usize; 2],
        format: &Format<B>,
    ) -> Result<[Self; 3], CheckpointError> {
        let all = Rows::load(weights, name, [n_in, 3 * n_out])?;
        Ok([0, 1, 2].map(|k| Self::stacked(&[all.part(k * n_out, n_out, n_in)], n_in, format)))
    }

    /// Loads several `layers` as one with all of their outputs.
    pub(super) fn stacked(layers: &[Rows<'_>], n_in: usize, format: &Format<B>) -> Self {
        let weight: Vec<f64> = layers.iter().flat_map(|rows| rows.weight).copied().collect();
        let bias: Vec<f64> = layers.iter().flat_map(|rows| rows.bias).copied().collect();
        let n_out = bias.len();
        Linear::new(format.matrix(&weight, [n_out, n_in]), Some(format.matrix(&bias, [1, n_out])))
    }

    /// Returns the layer of the `n` outputs from `start` on.
    pub(super) fn rows(&self, start: usize, n: usize) -> Self {
        Linear {
            weight: self.weight.clone().narrow(0, start, n),
            bias: self.bias.as_ref().map(|bias| bias.clone().narrow(1, start, n)),
        }
    }

    /// Applies the layer to the rows of `x`.
    pub(super) fn apply(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let y = x.matmul(self.weight.clone().transpose());
        match &self.bias {
            Some(bias) => y + bias.clone(),
            None => y,
        }
    }

    /// Computes dE/dx, given dE/dy.
    pub(super) fn pull_back(&self, gradient: Tensor<B, 2>) -> Tensor<B, 2> {
        gradient.matmul(self.weight.clone())
    }
}

/// Some outputs of a linear layer in the checkpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    weight: &'a [f64],
    bias: &'a [f64],
}

impl<'a> Rows<'a> {
    pub(super) fn load(
        weights: &'a Weights,
        name: &str,
        [n_in, n_out]: [usize; 2],
    ) -> Result<Self, CheckpointError> {
        let get = |part: &str, shape: &[usize]| -> Result<&'a WeightTensor, CheckpointError> {
            tensors::get(weights, &format!("{name}.{part}"), shape)
        };
        Ok(Rows { weight: &get("weight", &[n_out, n_in])?.values, bias: &get("bias", &[n_out])?.values })
    }

    fn part(self, start: usize, n_out: usize, n_in: usize) -> Self {
        Rows {
            weight: &self.weight[start * n_in..(start + n_out) * n_in],
            bias: &self.bias[start..start + n_out],
        }
    }
}

/// silu(z) = z σ(z), with the intermediate results for its derivative.
#[derive(Debug, Clone)]
pub(super) struct Silu<B: Backend> {
    pub(super) value: Tensor<B, 2>,
    sigmoid: Tensor<B, 2>,
}

impl<B: Backend> Silu<B> {
    pub(super) fn new(z: Tensor<B, 2>) -> Self {
        let sigmoid = activation::sigmoid(z.clone());
        Silu { value: z * sigmoid.clone(), sigmoid }
    }

    /// Computes dE/dz, given dE/dsilu: silu' = silu + σ (1 − silu).
    pub(super) fn pull_back(self, gradient: Tensor<B, 2>) -> Tensor<B, 2> {
        let rest = self.sigmoid.clone() - self.sigmoid * self.value.clone();
        gradient * (rest + self.value)
    }
}

/// Sums the `n` blocks of rows of `x`.
pub(super) fn sum_blocks<B: Backend>(x: Tensor<B, 2>, n: usize) -> Tensor<B, 2> {
    let [rows, width] = x.dims();
    x.reshape([n, rows / n * width]).sum_dim(0).reshape([rows / n, width])
}

/// Multiplies each block of rows of `x` elementwise by the matrix `factor`.
pub(super) fn scale_blocks<B: Backend>(x: Tensor<B, 2>, factor: &Tensor<B, 2>) -> Tensor<B, 2> {
    let [rows, width] = x.dims();
    let [block, _] = factor.dims();
    let scaled = x.reshape([rows / block, block * width]) * factor.clone().reshape([1, block * width]);
    scaled.reshape([rows, width])
}

/// Adds each row of `values` to the row of `x` given by `rows`.
pub(super) fn add_rows<B: Backend>(
    x: Tensor<B, 2>,
    rows: &Tensor<B, 1, Int>,
    values: Tensor<B, 2>,
) -> Tensor<B, 2> {
    x.select_assign(0, rows.clone(), values, IndexingUpdateOp::Add)
}
