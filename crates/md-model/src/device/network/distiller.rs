//! The distiller form ([`crate::DistillerHyperparameters`] has the formulae). Each unit of a kernel computes one
//! feature of one atom.

use cubecl::Runtime;
use cubecl::prelude::*;
use md_core::Element;

use super::gpu::{Buffer, Gpu, Layer, Number, over, tally};
use super::message::Messages;
use super::{Atoms, Edges, Form, Grid};
use crate::distiller::DistillerHyperparameters;
use crate::native::fused;
use crate::native::fused::dense::Dense;
use crate::native::fused::filters::Tabulated;
use crate::{CheckpointError, Filters, Weights};

#[derive(Debug)]
pub(super) struct Distiller {
    /// F, padded.
    width: usize,
    grid: Grid,
    /// One row per atomic number.
    embedding: Buffer,
    interactions: Vec<Interaction>,
    head: [Layer; 3],
}

#[derive(Debug)]
struct Interaction {
    /// Filters.
    table: Buffer,
    update_in: Layer,
    /// a₀, a₁, a₂; in the last interaction only a₀.
    update_out: Layer,
    /// \[3, 3\]
    mixing: Buffer,
}

/// Intermediate results for the backward pass of an interaction; see the CPU version.
struct Trace {
    s: Buffer,
    /// `None` before the first message.
    v: Option<Buffer>,
    v_received: Buffer,
    arguments: Buffer,
    slopes: Buffer,
    a: Buffer,
}

impl Distiller {
    pub(super) fn new<R: Runtime, T: Number>(
        gpu: &Gpu<R, T>,
        h: &DistillerHyperparameters,
        weights: &Weights,
    ) -> Result<Self, CheckpointError> {
        let host = fused::Distiller::<f64>::new(h, weights, Filters::Exact)?;
        let layer = |dense: &Dense<f64>| Layer::new(gpu, dense);
        let mut grid = Grid { end: h.cutoff, intervals: 1 };
        let mut interactions = Vec::with_capacity(host.interactions.len());
        for (l, host) in (0..).zip(&host.interactions) {
            let filters = Tabulated::<T>::distiller(h, weights, l)?;
            grid = filters.grid;
            interactions.push(Interaction {
                table: gpu.upload(&filters.table.coefficients),
                update_in: layer(&host.update_in),
                update_out: layer(&host.update_out),
                mixing: gpu.upload_rounded(host.mixing.as_flattened()),
            });
        }
        Ok(Distiller {
            width: host.width,
            grid,
            embedding: gpu.upload_rounded(&host.embedding),
            interactions,
            head: host.head.each_ref().map(layer),
        })
    }
}

impl<R: Runtime, T: Number> Form<R, T> for Distiller {
    fn sizes(&self) -> [usize; 2] {
        [self.width, self.interactions.len()]
    }

    fn grid(&self) -> (Grid, bool) {
        (self.grid, false)
    }

    fn species(&self, element: Element) -> usize {
        usize::from(element.atomic_number())
    }

    fn reference_energy(&self, _: Element) -> f64 {
        0.0
    }

    fn evaluate(
        &self,
        gpu: &Gpu<R, T>,
        atoms: &Atoms,
        edges: &Edges,
        wants_forces: bool,
    ) -> (Buffer, Option<Buffer>) {
        let mut s = gpu.rows(&self.embedding, &atoms.species, self.width);
        let mut v = None;
        let mut traces = Vec::with_capacity(self.interactions.len());
        for interaction in &self.interactions {
            let trace;
            (s, v, trace) = self.forwards(gpu, interaction, edges, s, v);
            traces.push(trace);
        }
        let (hidden0, slopes0) = self.head[0].apply_silu(gpu, &s);
        let (hidden1, slopes1) = self.head[1].apply_silu(gpu, &hidden0);
        let energies = self.head[2].energies(gpu, &hidden1);
        if !wants_forces {
            return (energies, None);
        }
        let by_hidden1 = self.head[2].energies_back(gpu, &slopes1);
        let by_hidden0 = self.head[1].pull_back_times(gpu, &by_hidden1, &slopes0);
        let mut by_s = self.head[0].pull_back(gpu, &by_hidden0);
        let mut by_v = None;
        let forces = gpu.zeros(3 * atoms.count);
        for (interaction, trace) in self.interactions.iter().zip(traces).rev() {
            (by_s, by_v) = self.backwards(gpu, interaction, edges, &trace, by_s, by_v, &forces);
        }
        (energies, Some(forces))
    }
}

impl Distiller {
    /// Returns the messages of an interaction.
    fn sent<'a>(&self, interaction: &'a Interaction, s: &'a Buffer, v: Option<&'a Buffer>) -> Messages<'a> {
        let (width, table) = (self.width, &interaction.table);
        Messages { width, table, m: s, blocks: 1, has_m2: false, u: v, is_own: true }
    }

    fn forwards<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        interaction: &Interaction,
        edges: &Edges,
        s: Buffer,
        v: Option<Buffer>,
    ) -> (Buffer, Option<Buffer>, Trace) {
        let (f, n) = (self.width, s.len());
        let (cubes, units) = over(n);
        let sent = self.sent(interaction, &s, v.as_ref());
        let [s_out, v_received] = sent.message_forward(gpu, edges, &s, v.as_ref().unwrap_or(gpu.none()));
        let arguments = gpu.numbers(2 * n);
        launch!(norms, gpu, cubes.clone(), units, s_out.arg(), v_received.arg(), arguments.arg(), f, n,);
        let (hidden, slopes) = interaction.update_in.apply_silu(gpu, &arguments);
        let a = interaction.update_out.apply(gpu, &hidden);
        let v_out = gpu.numbers(3 * n);
        launch!(
            update,
            gpu,
            cubes,
            units,
            a.arg(),
            interaction.mixing.arg(),
            v_received.arg(),
            s_out.arg(),
            v_out.arg(),
            f,
            n,
            a.len() / n,
        );
        (s_out, Some(v_out), Trace { s, v, v_received, arguments, slopes, a })
    }

    /// Computes the gradient with respect to s and v before the interaction (`None` before the first message), given
    /// that after it (`None` for zero).
    fn backwards<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        interaction: &Interaction,
        edges: &Edges,
        trace: &Trace,
        by_s: Buffer,
        by_v: Option<Buffer>,
        forces: &Buffer,
    ) -> (Buffer, Option<Buffer>) {
        let (f, n) = (self.width, by_s.len());
        let (cubes, units) = over(n);
        let blocks = trace.a.len() / n;
        let by_v = by_v.unwrap_or_else(|| gpu.numbers(3 * n));
        let by_a = gpu.numbers(trace.a.len());
        launch!(
            update_back_to_a,
            gpu,
            cubes.clone(),
            units,
            interaction.mixing.arg(),
            trace.v_received.arg(),
            by_s.arg(),
            by_v.arg(),
            by_a.arg(),
            f,
            n,
            blocks,
        );
        let by_hidden = interaction.update_out.pull_back_times(gpu, &by_a, &trace.slopes);
        let by_arguments = interaction.update_in.pull_back(gpu, &by_hidden);
        launch!(
            update_back,
            gpu,
            cubes,
            units,
            interaction.mixing.arg(),
            trace.a.arg(),
            trace.v_received.arg(),
            trace.arguments.arg(),
            by_arguments.arg(),
            by_s.arg(),
            by_v.arg(),
            f,
            n,
            blocks,
        );
        let sent = self.sent(interaction, &trace.s, trace.v.as_ref());
        match sent.message_backward(gpu, edges, &by_s, &by_v, forces) {
            Some([by_s, by_v]) => (by_s, Some(by_v)),
            None => (by_s, None),
        }
    }
}

/// Computes \[s, |v|\] in rows of 2F.
#[cube(launch_unchecked)]
fn norms<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    s: &Array<F>,
    v: &Array<F>,
    arguments: &mut Array<F>,
    width: usize,
    n: usize,
) {
    tally(ran);
    if ABSOLUTE_POS < n {
        let atom = ABSOLUTE_POS / width;
        let k = ABSOLUTE_POS % width;
        let mut squared = F::new(0.0);
        #[unroll]
        for c in 0..3usize {
            let x = v[(3 * atom + c) * width + k];
            squared += x * x;
        }
        arguments[2 * atom * width + k] = s[ABSOLUTE_POS];
        arguments[(2 * atom + 1) * width + k] = F::sqrt(squared);
    }
}

/// Computes s += a₀ and, if there are a₁ and a₂, v a₁ + (M v) a₂.
#[cube(launch_unchecked)]
fn update<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    a: &Array<F>,
    mixing: &Array<F>,
    v: &Array<F>,
    s: &mut Array<F>,
    v_out: &mut Array<F>,
    width: usize,
    n: usize,
    #[comptime] blocks: usize,
) {
    tally(ran);
    if ABSOLUTE_POS < n {
        let atom = ABSOLUTE_POS / width;
        let k = ABSOLUTE_POS % width;
        let of_a = atom * blocks * width + k;
        s[ABSOLUTE_POS] += a[of_a];
        if comptime!(blocks > 1) {
            let x = 3 * atom * width + k;
            #[unroll]
            for c in 0..3usize {
                let mut mixed = F::new(0.0);
                #[unroll]
                for d in 0..3usize {
                    mixed += mixing[3 * c + d] * v[x + d * width];
                }
                v_out[x + c * width] = v[x + c * width] * a[of_a + width] + mixed * a[of_a + 2 * width];
            }
        }
    }
}

/// Computes the gradient of [`update`] with respect to its a.
#[cube(launch_unchecked)]
fn update_back_to_a<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    mixing: &Array<F>,
    v: &Array<F>,
    by_s: &Array<F>,
    by_v: &Array<F>,
    by_a: &mut Array<F>,
    width: usize,
    n: usize,
    #[comptime] blocks: usize,
) {
    tally(ran);
    if ABSOLUTE_POS < n {
        let atom = ABSOLUTE_POS / width;
        let k = ABSOLUTE_POS % width;
        let of_a = atom * blocks * width + k;
        by_a[of_a] = by_s[ABSOLUTE_POS];
        if comptime!(blocks > 1) {
            let x = 3 * atom * width + k;
            let mut by_a1 = F::new(0.0);
            let mut by_a2 = F::new(0.0);
            #[unroll]
            for c in 0..3usize {
                let mut mixed = F::new(0.0);
                #[unroll]
                for d in 0..3usize {
                    mixed += mixing[3 * c + d] * v[x + d * width];
                }
                by_a1 += by_v[x + c * width] * v[x + c * width];
                by_a2 += by_v[x + c * width] * mixed;
            }
            by_a[of_a + width] = by_a1;
            by_a[of_a + 2 * width] = by_a2;
        }
    }
}

/// Replaces the gradient with respect to s and v after the update by that before it, given that with respect to the
/// arguments of its network. v/|v| is 0 for v = 0.
#[cube(launch_unchecked)]
fn update_back<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    mixing: &Array<F>,
    a: &Array<F>,
    v: &Array<F>,
    arguments: &Array<F>,
    by_arguments: &Array<F>,
    by_s: &mut Array<F>,
    by_v: &mut Array<F>,
    width: usize,
    n: usize,
    #[comptime] blocks: usize,
) {
    tally(ran);
    if ABSOLUTE_POS < n {
        let atom = ABSOLUTE_POS / width;
        let k = ABSOLUTE_POS % width;
        let of_norm = (2 * atom + 1) * width + k;
        by_s[ABSOLUTE_POS] += by_arguments[of_norm - width];
        let mut along = F::new(0.0);
        if arguments[of_norm] > F::new(0.0) {
            along = by_arguments[of_norm] / arguments[of_norm];
        }
        let x = 3 * atom * width + k;
        let of_a = atom * blocks * width + k;
        if comptime!(blocks > 1) {
            let gx = by_v[x];
            let gy = by_v[x + width];
            let gz = by_v[x + 2 * width];
            #[unroll]
            for c in 0..3usize {
                let mixed = mixing[c] * gx + mixing[3 + c] * gy + mixing[6 + c] * gz;
                by_v[x + c * width] = by_v[x + c * width] * a[of_a + width]
                    + mixed * a[of_a + 2 * width]
                    + v[x + c * width] * along;
            }
        } else {
            // The vectors of the last update are not used.
            #[unroll]
            for c in 0..3usize {
                by_v[x + c * width] = v[x + c * width] * along;
            }
        }
    }
}
