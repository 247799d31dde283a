use md_model::{WeightTensor, Weights};

/// Names and shapes of the tensors of a network, whose values are stored consecutively in one array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout(Vec<(String, Vec<usize>)>);

impl Layout {
    pub(crate) fn from_weights(weights: &Weights) -> Self {
        Layout(weights.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect())
    }

    pub(crate) fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.0.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }

    /// Returns the tensors of an array.
    pub(crate) fn tensors<'a>(
        &'a self,
        mut values: &'a [f64],
    ) -> impl Iterator<Item = (&'a str, &'a [usize], &'a [f64])> {
        self.shapes().map(move |(name, shape)| {
            let (tensor, rest) = values.split_at(shape.iter().product());
            values = rest;
            (name, shape, tensor)
        })
    }

    pub(crate) fn weights(&self, values: &[f64]) -> Weights {
        self.tensors(values)
            .map(|(name, shape, values)| {
                (name.to_owned(), WeightTensor { shape: shape.to_vec(), values: values.to_vec() })
            })
            .collect()
    }

    /// Returns which weights decay: all except those of biases and embeddings.
    pub(crate) fn decays(&self) -> Vec<bool> {
        self.shapes()
            .flat_map(|(name, shape)| {
                let decays = !(name.ends_with("bias") || name.contains("embedding"));
                std::iter::repeat_n(decays, shape.iter().product())
            })
            .collect()
    }
}

/// Concatenates the values of all tensors.
pub(crate) fn flatten(weights: &Weights) -> Vec<f64> {
    weights.values().flat_map(|tensor| &tensor.values).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_round_trips_tensors_and_marks_decay() {
        let tensor = |shape: &[usize], first: f64| WeightTensor {
            shape: shape.to_vec(),
            values: (0..shape.iter().product()).map(|i| first + i as f64).collect(),
        };
        let weights = Weights::from([
            ("embedding.weight".to_owned(), tensor(&[2, 2], 0.0)),
            ("readout.bias".to_owned(), tensor(&[3], 10.0)),
            ("readout.weight".to_owned(), tensor(&[3, 1], 20.0)),
        ]);
        let layout = Layout::from_weights(&weights);
        let values = flatten(&weights);
        assert_eq!(values[4..7], [10.0, 11.0, 12.0]);
        assert_eq!(layout.weights(&values), weights);
        assert_eq!(layout.decays(), [[false; 7].as_slice(), &[true; 3]].concat());
    }
}
