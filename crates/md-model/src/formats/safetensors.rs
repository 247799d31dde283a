//! Reads and writes safetensors files with the `safetensors` crate.

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

use super::Content;
use super::names::{self, Network};
use crate::error::excerpt;
use crate::{CheckpointError, WeightTensor, Weights, configuration};

/// Key of the hyper-parameters as JSON in the header of a safetensors file written by [`write`].
const HYPERPARAMETERS: &str = "mdproof.config";

/// Reads the tensors of a safetensors file and the hyper-parameters in its header, if it was written by [`write`].
/// `choice` is the beginning of the tensors' names if there are several networks.
pub(crate) fn read(bytes: &[u8], choice: Option<&str>) -> Result<Content, CheckpointError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let config = header.metadata().as_ref().and_then(|header| header.get(HYPERPARAMETERS));
    let config = config.map(|text| configuration::parse(text.as_bytes())).transpose()?;
    let tensors = SafeTensors::deserialize(bytes)?;
    let views: Vec<(&str, TensorView<'_>)> = tensors.iter().collect();
    let places: Vec<(&str, usize)> = views.iter().enumerate().map(|(n, (name, _))| (*name, n)).collect();
    let Network { tensors, prefix } = names::network(&places, "", choice)?;
    let mut weights = Weights::new();
    for (name, place) in tensors {
        let view = &views[place].1;
        let kind = match view.dtype() {
            Dtype::F16 => ElementKind::F16,
            Dtype::BF16 => ElementKind::Bf16,
            Dtype::F32 => ElementKind::F32,
            Dtype::F64 => ElementKind::F64,
            other => {
                return Err(CheckpointError::ElementType {
                    name: excerpt(name),
                    found: format!("{other:?}"),
                });
            }
        };
        let tensor = WeightTensor { shape: view.shape().to_vec(), values: kind.decode(view.data()) };
        weights.insert(name.to_owned(), tensor);
    }
    Ok(Content {
        weights,
        key: choice.unwrap_or_default().to_owned(),
        is_chosen: choice.is_some(),
        prefix,
        borrowed: Vec::new(),
        is_unnamed: false,
        config,
        opaque: Vec::new(),
    })
}

/// Returns the bytes of a safetensors file, in f32 if that represents every weight exactly and otherwise in f64. The
/// same weights with other hyper-parameters are another network, so the file includes them.
pub(crate) fn write(weights: &Weights, config: &Map<String, Value>) -> Result<Vec<u8>, CheckpointError> {
    let single = weights.values().flat_map(|t| &t.values).all(|&x| f64::from(x as f32) == x);
    let dtype = if single { Dtype::F32 } else { Dtype::F64 };
    let bytes: Vec<Vec<u8>> = weights
        .values()
        .map(|t| match dtype {
            Dtype::F32 => t.values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
            _ => t.values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        })
        .collect();
    let mut views = Vec::new();
    for ((name, tensor), bytes) in weights.iter().zip(&bytes) {
        views.push((name, TensorView::new(dtype, tensor.shape.clone(), bytes)?));
    }
    let header = [(HYPERPARAMETERS.to_owned(), serde_json::to_string(config)?)];
    Ok(safetensors::serialize(views, Some(header.into()))?)
}

/// Number format of a stored tensor, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ElementKind {
    F16,
    Bf16,
    F32,
    F64,
}

impl ElementKind {
    /// Decodes all complete numbers in `bytes`.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f64> {
        fn each<const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.as_chunks::<N>().0.iter().map(|&chunk| decode(chunk)).collect()
        }
        match self {
            ElementKind::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f64()),
            ElementKind::Bf16 => each(bytes, |b| bf16::from_le_bytes(b).to_f64()),
            ElementKind::F32 => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
            ElementKind::F64 => each(bytes, f64::from_le_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn safetensors_read_decodes_every_float_format() {
        // -1.5 in each format (IEEE 754; bfloat16 is the upper half of an f32).
        let cases: [(Dtype, &[u8]); 4] = [
            (Dtype::F16, &[0x00, 0xbe]),
            (Dtype::BF16, &[0xc0, 0xbf]),
            (Dtype::F32, &[0, 0, 0xc0, 0xbf]),
            (Dtype::F64, &[0, 0, 0, 0, 0, 0, 0xf8, 0xbf]),
        ];
        for (dtype, bytes) in cases {
            let view = TensorView::new(dtype, vec![1, 1], bytes).unwrap();
            let content = read(&safetensors::serialize([("w", view)], None).unwrap(), None).unwrap();
            assert_eq!(content.config, None);
            assert_eq!(
                content.weights["w"],
                WeightTensor { shape: vec![1, 1], values: vec![-1.5] },
                "{dtype:?}"
            );
        }
        let view = TensorView::new(Dtype::I32, vec![1], &[0; 4]).unwrap();
        let error = read(&safetensors::serialize([("w", view)], None).unwrap(), None).unwrap_err();
        assert_eq!(error.to_string(), "tensor w holds I32, expected one of F16, BF16, F32, F64");
    }

    #[test]
    fn safetensors_round_trips_weights_and_config() {
        let tensor = |values: Vec<f64>| WeightTensor { shape: vec![values.len()], values };
        for values in [vec![1.5, -0.25], vec![0.1, f64::MIN_POSITIVE]] {
            let weights =
                Weights::from([("a".to_owned(), tensor(values)), ("b".to_owned(), tensor(vec![2.0]))]);
            let config = Map::from_iter([("cutoff".to_owned(), Value::from(4.5))]);
            let content = read(&write(&weights, &config).unwrap(), None).unwrap();
            assert_eq!((content.weights, content.config), (weights, Some(config)));
        }
    }

    proptest! {
        #[test]
        fn read_never_panics_on_arbitrary_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, None);
            // With a valid header length, more of the reader is tested.
            if bytes.len() >= 8 {
                let header = (bytes.len() - 8) as u64;
                bytes[..8].copy_from_slice(&header.to_le_bytes());
                let _ = read(&bytes, None);
            }
        }

        #[test]
        fn read_never_panics_on_damaged_file(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let view = TensorView::new(Dtype::F32, vec![2, 2], &[0; 16]).unwrap();
            let mut bytes = safetensors::serialize([("a", view.clone()), ("b", view)], None).unwrap();
            for (index, byte) in &changes {
                let length = bytes.len();
                bytes[index.index(length)] = *byte;
            }
            let _ = read(&bytes, None);
        }
    }
}
