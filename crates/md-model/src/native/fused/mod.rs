//! Inference: energies and forces of several systems in one pass, with products over all their atoms and reused memory.
//!
//! Filters come from tables ([`table`]) or, optionally, from their networks; products of activations and weights from
//! the gemm crate; everything else from loops compiled for the widest vectors of the CPU ([`lanes`]). Each result
//! depends only on its own system, to the last bit: rows are computed independently, and pairs lie within systems.

pub(crate) mod dense;
mod distiller;
pub(crate) mod filters;
pub(crate) mod lanes;
mod message;
mod painn;
mod pairs;
pub(crate) mod table;

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use md_core::{Batch, Vec3};

use crate::Filters;
use crate::student::{Network, Systems};

pub(crate) use distiller::Distiller;
pub(crate) use lanes::Registers;
pub(crate) use painn::Painn;

use filters::{FilterSource, Workspace};
use message::{MessageGrads, Messages, OnPairs};
use pairs::{Pair, PairGrads};
use table::Place;

use super::matrix::Real;

/// A network with a forward pass and, if forces are requested, a backward pass.
pub(super) trait Form: Debug + Send + Sync {
    /// All buffers that a call writes.
    type Memory: Debug + Default + Send;

    /// Name of the implementation, for reports.
    fn implementation(&self) -> &'static str;

    /// Computes the energies of the systems (eV); the intermediate results for forces stay in `memory`.
    fn energies(&self, memory: &mut Self::Memory, systems: &Systems<'_>, energies: &mut [f64]);

    /// Adds the forces (eV/Å) after [`Form::energies`].
    fn add_forces(&self, memory: &mut Self::Memory, forces: &mut [Vec3]);
}

/// A form with the memory of its calls.
#[derive(Debug)]
pub(super) struct Fused<F: Form> {
    form: F,
    /// Memory that is not in use.
    idle: Mutex<Vec<F::Memory>>,
}

impl<F: Form> Fused<F> {
    pub(super) fn new(form: F) -> Self {
        Fused { form, idle: Mutex::default() }
    }
}

impl<F: Form> Network for Fused<F> {
    fn implementation(&self) -> &'static str {
        self.form.implementation()
    }

    fn atoms_at_once(&self, batch: &Batch) -> usize {
        let (atoms, threads) = (batch.n_atoms(), rayon::current_num_threads());
        let [fewest, most] = ATOMS_AT_ONCE;
        atoms.div_ceil(SHARES_PER_THREAD * threads).clamp(fewest, most).min(atoms.div_ceil(threads))
    }

    fn evaluate(
        &self,
        systems: &Systems<'_>,
        energies: &mut [f64],
        forces: Option<&mut [Vec3]>,
    ) -> Result<(), String> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = idle().pop().unwrap_or_default();
        self.form.energies(&mut memory, systems, energies);
        if let Some(forces) = forces {
            self.form.add_forces(&mut memory, forces);
        }
        idle().push(memory);
        Ok(())
    }
}

/// Systems are combined until they have at least the first number of atoms and at most the second: from the first on
/// matrix products are efficient, and up to the second the written data stays in the cache.
const ATOMS_AT_ONCE: [usize; 2] = [12, 32];

/// Number of shares per thread, so that threads finish at about the same time.
const SHARES_PER_THREAD: usize = 4;

/// Returns the name of this implementation.
fn implementation(filters: Filters) -> &'static str {
    match filters {
        Filters::Tabulated => "native",
        Filters::Exact => "native-exact",
    }
}

/// Number of pairs whose filters are computed at once: few enough to stay in the cache for systems of any size.
const PAIRS: usize = 16;

/// The pairs of some systems, with buffers for their filters.
#[derive(Debug, Default)]
struct PairMemory<T> {
    pairs: Vec<Pair<T>>,
    places: Vec<Place<T>>,
    by_pairs: Vec<PairGrads>,
    on_pairs: OnPairs<T>,
    work: Workspace<T>,
}

impl<T: Real> PairMemory<T> {
    /// Finds the pairs. `filters` are those of any interaction.
    fn find(&mut self, systems: &Systems<'_>, cutoff: f64, filters: Option<&FilterSource<T>>) {
        pairs::find(systems, cutoff, &mut self.pairs);
        if let Some(filters) = filters {
            filters.find(&self.pairs, &mut self.places);
        }
    }

    /// Returns the table positions of block `n` of the pairs.
    fn places(places: &[Place<T>], n: usize) -> &[Place<T>] {
        places.get(n * PAIRS..).map_or(&[], |rest| &rest[..rest.len().min(PAIRS)])
    }

    fn message_forward(
        &mut self,
        filters: &FilterSource<T>,
        sent: Messages<'_, T>,
        s: &mut [T],
        v: &mut [T],
    ) {
        for (n, pairs) in self.pairs.chunks(PAIRS).enumerate() {
            let places = Self::places(&self.places, n);
            filters.compute(pairs, places, false, &mut self.work, &mut self.on_pairs);
            message::message_forward(pairs, &self.on_pairs, sent, s, v);
        }
    }

    fn message_backward(
        &mut self,
        filters: &FilterSource<T>,
        sent: Messages<'_, T>,
        by_s: &[T],
        by_v: &[T],
        by_sent: &mut MessageGrads<'_, T>,
    ) {
        let blocks = self.pairs.chunks(PAIRS).zip(self.by_pairs.chunks_mut(PAIRS));
        for (n, (pairs, by_pairs)) in blocks.enumerate() {
            let places = Self::places(&self.places, n);
            filters.compute(pairs, places, true, &mut self.work, &mut self.on_pairs);
            let mut by_sent = MessageGrads { m: &mut *by_sent.m, u: &mut *by_sent.u };
            message::message_backward(pairs, &self.on_pairs, sent, by_s, by_v, &mut by_sent, by_pairs);
        }
    }
}
