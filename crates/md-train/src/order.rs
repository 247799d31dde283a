//! The order of the training frames.

use rand::seq::SliceRandom;

use crate::random::stream;

/// The infinite sequence of epochs, divided into batches. Each epoch is a shuffle of all entries that depends only on
/// the seed and the number of the epoch, so batch k is the same in a resumed run.
#[derive(Debug)]
pub(crate) struct Order {
    entries: Vec<usize>,
    batch_size: usize,
    seed: u64,
    /// An epoch and its shuffle.
    cached: Option<(u64, Vec<usize>)>,
}

impl Order {
    /// `entries` must not be empty.
    pub(crate) fn new(entries: Vec<usize>, batch_size: usize, seed: u64) -> Self {
        Order { entries, batch_size, seed, cached: None }
    }

    /// Returns the entries of batch `step`, from 0. A batch may extend from one epoch into the next.
    pub(crate) fn batch(&mut self, step: u64) -> Vec<usize> {
        let (size, n) = (self.batch_size as u64, self.entries.len() as u64);
        (step * size..(step + 1) * size).map(|place| self.epoch(place / n)[(place % n) as usize]).collect()
    }

    /// Returns the number of epochs after `steps` steps.
    pub(crate) fn epochs(&self, steps: u64) -> f64 {
        steps as f64 * self.batch_size as f64 / self.entries.len() as f64
    }

    fn epoch(&mut self, epoch: u64) -> &[usize] {
        let shuffled = match self.cached.take() {
            Some((cached, shuffled)) if cached == epoch => shuffled,
            _ => {
                let mut shuffled = self.entries.clone();
                shuffled.shuffle(&mut stream(self.seed, &format!("epoch {epoch}")));
                shuffled
            }
        };
        &self.cached.insert((epoch, shuffled)).1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_has_every_entry_once_per_epoch(n in 1usize..40, size in 1usize..10, seed: u64) {
            let entries: Vec<usize> = (100..100 + n).collect();
            let mut order = Order::new(entries.clone(), size, seed);
            let places: Vec<usize> = (0..3 * n as u64).flat_map(|step| order.batch(step)).collect();
            for epoch in places.chunks(n).take(3) {
                let mut sorted = epoch.to_vec();
                sorted.sort_unstable();
                prop_assert_eq!(&sorted, &entries);
            }
        }

        #[test]
        fn order_batch_is_independent_of_history(seed: u64, step in 0u64..50) {
            let mut walked = Order::new((0..17).collect(), 4, seed);
            let after: Vec<_> = (0..=step).map(|k| walked.batch(k)).collect();
            prop_assert_eq!(&Order::new((0..17).collect(), 4, seed).batch(step), &after[step as usize]);
        }
    }

    #[test]
    fn order_differs_between_epochs_and_seeds() {
        let first = |seed, step| Order::new((0..50).collect(), 50, seed).batch(step);
        assert_ne!(first(1, 0), first(1, 1));
        assert_ne!(first(1, 0), first(2, 0));
    }
}
