//! Inference: energies and forces of some systems in one pass, products over all their atoms, memory kept from call to call.
//!
//! Filters come from tables ([`table`]) or, by choice, from their networks; products of activations and weights from the
//! gemm crate; everything else from loops that are compiled for the widest vectors of the CPU ([`lanes`]). A number
//! depends on its own system alone, to the last bit: rows are computed as if they were alone, and pairs lie within systems.

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

/// A network that is evaluated forwards and then, if forces are wanted, backwards.
pub(super) trait Form: Debug + Send + Sync {
    /// Everything that a call writes.
    type Memory: Debug + Default + Send;

    /// How it computes, for reports.
    fn implementation(&self) -> &'static str;

    /// Energies of the systems, eV; what the forces need stays in `memory`.
    fn energies(&self, memory: &mut Self::Memory, systems: &Systems<'_>, energies: &mut [f64]);

    /// Adds the forces (eV/Å) after [`Form::energies`].
    fn add_forces(&self, memory: &mut Self::Memory, forces: &mut [Vec3]);
}

/// A form and the memory of its calls.
#[derive(Debug)]
pub(super) struct Fused<F: Form> {
    form: F,
    /// Not in use.
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

/// Systems are put together until they have some of this many atoms: products of matrices are fast from the first number on,
/// and up to the second what is written stays in the cache.
const ATOMS_AT_ONCE: [usize; 2] = [12, 32];

/// Shares that a thread should have, so that no other waits for it long.
const SHARES_PER_THREAD: usize = 4;

/// The name of this implementation.
fn implementation(filters: Filters) -> &'static str {
    match filters {
        Filters::Tabulated => "native",
        Filters::Exact => "native-exact",
    }
}

/// Pairs whose filters are computed at once: so few that they stay in the cache, whatever the size of the systems.
const PAIRS: usize = 16;

/// The pairs of some systems, and where filters on them are computed.
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

    /// The places of block `n` of the pairs.
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
