//! PaiNN ([`crate::PainnHyperparameters`] has the formulae). Each unit of a kernel computes one feature of one atom.

use cubecl::Runtime;
use cubecl::prelude::*;
use md_core::Element;

use super::gpu::{Buffer, Gpu, Layer, Number, over, tally};
use super::message::Messages;
use super::{Atoms, Edges, Form, Grid, geometry};
use crate::baseline::BaselineTerms;
use crate::native::fused;
use crate::native::fused::dense::Dense;
use crate::native::fused::filters::Tabulated;
use crate::painn::{NORM_EPSILON, PainnHyperparameters};
use crate::{CheckpointError, Filters, Weights, zbl};

#[derive(Debug)]
pub(super) struct Painn {
    baseline: BaselineTerms,
    /// F, padded.
    width: usize,
    grid: Grid,
    /// One row per supported element.
    embedding: Buffer,
    /// m₀ and m₂ of the first interaction: one row of 2F per supported element.
    first_message: Buffer,
    interactions: Vec<Interaction>,
    readout: [Layer; 2],
    /// See [`geometry::repulsion`].
    nuclei: Buffer,
    repulsion: Buffer,
}

#[derive(Debug)]
struct Interaction {
    /// Filters.
    table: Buffer,
    message: [Layer; 2],
    /// U and V.
    mix: Layer,
    update: [Layer; 2],
}

/// Intermediate results for the backward pass of an interaction; see the CPU version.
struct Trace {
    m: Buffer,
    /// For all interactions except the first.
    sent: Option<SentTrace>,
    uv: Buffer,
    arguments: Buffer,
    product: Buffer,
    update_slopes: Buffer,
    a: Buffer,
}

struct SentTrace {
    v: Buffer,
    u: Buffer,
    message_slopes: Buffer,
}

impl Painn {
    pub(super) fn new<R: Runtime, T: Number>(
        gpu: &Gpu<R, T>,
        h: &PainnHyperparameters,
        weights: &Weights,
    ) -> Result<Self, CheckpointError> {
        let host = fused::Painn::<f64>::new(h, weights, Filters::Exact)?;
        let layer = |dense: &Dense<f64>| Layer::new(gpu, dense);
        let mut grid = Grid { end: h.cutoff, intervals: 1 };
        let mut interactions = Vec::with_capacity(host.interactions.len());
        for (l, host) in (0..).zip(&host.interactions) {
            let filters = Tabulated::<T>::painn(h, weights, l)?;
            grid = filters.grid;
            interactions.push(Interaction {
                table: gpu.upload(&filters.table.coefficients),
                message: host.message.each_ref().map(layer),
                mix: layer(&host.mix),
                update: host.update.each_ref().map(layer),
            });
        }
        let nuclei: Vec<f64> = h.elements().into_iter().flat_map(nucleus).collect();
        let repulsion: Vec<f64> = [zbl::LENGTH_ANGSTROM, zbl::COULOMB_EV_ANGSTROM]
            .into_iter()
            .chain(zbl::SCREENING.into_iter().flat_map(|(c, k)| [c, k]))
            .collect();
        Ok(Painn {
            baseline: BaselineTerms::new(h),
            width: host.width,
            grid,
            embedding: gpu.upload_rounded(&host.embedding),
            first_message: gpu.upload_rounded(&host.first_message),
            interactions,
            readout: host.readout.each_ref().map(layer),
            nuclei: gpu.upload(&nuclei),
            repulsion: gpu.upload(&repulsion),
        })
    }
}

/// Charge, its power, covalent radius (Å, 0 for none).
fn nucleus(element: Element) -> [f64; 3] {
    let [charge, power] = zbl::charge(element);
    [charge, power, element.covalent_radius_angstrom().unwrap_or(0.0)]
}

impl<R: Runtime, T: Number> Form<R, T> for Painn {
    fn sizes(&self) -> [usize; 2] {
        [self.width, self.interactions.len()]
    }

    fn grid(&self) -> (Grid, bool) {
        (self.grid, true)
    }

    fn species(&self, element: Element) -> usize {
        self.baseline.species(&[element]).next().unwrap_or(0)
    }

    fn reference_energy(&self, element: Element) -> f64 {
        self.baseline.reference_energy(&[element])
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
            (s, v, trace) = self.forwards(gpu, interaction, atoms, edges, &s, v);
            traces.push(trace);
        }
        let (hidden, slopes) = self.readout[0].apply_silu(gpu, &s);
        let energies = self.readout[1].energies(gpu, &hidden);
        let forces = self.repel(gpu, atoms, edges, &energies);
        if wants_forces {
            let by_hidden = self.readout[1].energies_back(gpu, &slopes);
            let by_s = self.readout[0].pull_back(gpu, &by_hidden);
            let mut by_v = None;
            for (interaction, trace) in self.interactions.iter().zip(traces).rev() {
                by_v = self.backwards(gpu, interaction, edges, &trace, &by_s, by_v, &forces);
            }
        }
        (energies, wants_forces.then_some(forces))
    }
}

impl Painn {
    /// Returns the messages of an interaction.
    fn sent<'a>(&self, interaction: &'a Interaction, m: &'a Buffer, u: Option<&'a Buffer>) -> Messages<'a> {
        let blocks = if u.is_some() { 3 } else { 2 };
        Messages { width: self.width, table: &interaction.table, m, blocks, has_m2: true, u, is_own: false }
    }

    fn forwards<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        interaction: &Interaction,
        atoms: &Atoms,
        edges: &Edges,
        s: &Buffer,
        v: Option<Buffer>,
    ) -> (Buffer, Option<Buffer>, Trace) {
        let (f, n) = (self.width, s.len());
        let (cubes, units) = over(n);
        let (m, sent) = match v {
            None => (gpu.rows(&self.first_message, &atoms.species, 2 * f), None),
            Some(v) => {
                let (hidden, message_slopes) = interaction.message[0].apply_silu(gpu, s);
                let m = interaction.message[1].apply(gpu, &hidden);
                let u = gpu.numbers(3 * n);
                let (cubes, units) = over(3 * n);
                launch!(scale, gpu, cubes, units, v.arg(), m.arg(), u.arg(), f, 3 * n,);
                (m, Some(SentTrace { v, u, message_slopes }))
            }
        };
        let (u, v) = sent.as_ref().map_or((None, gpu.none()), |sent| (Some(&sent.u), &sent.v));
        let [s, v] = self.sent(interaction, &m, u).message_forward(gpu, edges, s, v);
        let uv = interaction.mix.apply_linear(gpu, &v);
        let (arguments, product) = (gpu.numbers(2 * n), gpu.numbers(n));
        launch!(
            invariants,
            gpu,
            cubes.clone(),
            units,
            s.arg(),
            uv.arg(),
            arguments.arg(),
            product.arg(),
            T::from_f64(NORM_EPSILON * NORM_EPSILON),
            f,
            n,
        );
        let (hidden, update_slopes) = interaction.update[0].apply_silu(gpu, &arguments);
        let a = interaction.update[1].apply(gpu, &hidden);
        launch!(
            update,
            gpu,
            cubes,
            units,
            a.arg(),
            uv.arg(),
            product.arg(),
            s.arg(),
            v.arg(),
            f,
            n,
            a.len() / n,
        );
        (s, Some(v), Trace { m, sent, uv, arguments, product, update_slopes, a })
    }

    /// Replaces `by_s` by the gradient with respect to s before the interaction, and `by_v` (`None` for zero) by that
    /// with respect to v.
    fn backwards<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        interaction: &Interaction,
        edges: &Edges,
        trace: &Trace,
        by_s: &Buffer,
        by_v: Option<Buffer>,
        forces: &Buffer,
    ) -> Option<Buffer> {
        let (f, n) = (self.width, by_s.len());
        let (cubes, units) = over(n);
        let blocks = trace.a.len() / n;
        let by_a = gpu.numbers(trace.a.len());
        launch!(
            update_back_to_a,
            gpu,
            cubes.clone(),
            units,
            trace.uv.arg(),
            trace.product.arg(),
            by_s.arg(),
            by_v.as_ref().unwrap_or(gpu.none()).arg(),
            by_a.arg(),
            f,
            n,
            blocks,
        );
        let by_hidden = interaction.update[1].pull_back_times(gpu, &by_a, &trace.update_slopes);
        let by_arguments = interaction.update[0].pull_back(gpu, &by_hidden);
        let by_uv = gpu.numbers(trace.uv.len());
        launch!(
            update_back_to_uv,
            gpu,
            cubes.clone(),
            units,
            trace.a.arg(),
            trace.uv.arg(),
            trace.arguments.arg(),
            by_arguments.arg(),
            by_s.arg(),
            by_v.as_ref().unwrap_or(gpu.none()).arg(),
            by_uv.arg(),
            f,
            n,
            blocks,
        );
        let by_v = match by_v {
            None => interaction.mix.pull_back(gpu, &by_uv),
            Some(by_v) => {
                interaction.mix.pull_back_onto(gpu, &by_uv, &by_v);
                by_v
            }
        };
        let u = trace.sent.as_ref().map(|sent| &sent.u);
        let by_sent = self.sent(interaction, &trace.m, u).message_backward(gpu, edges, by_s, &by_v, forces);
        let (Some([by_m, by_u]), Some(sent)) = (by_sent, &trace.sent) else { return None };
        launch!(
            scale_back,
            gpu,
            cubes,
            units,
            sent.v.arg(),
            trace.m.arg(),
            by_u.arg(),
            by_m.arg(),
            by_v.arg(),
            f,
            n,
        );
        let by_hidden = interaction.message[1].pull_back_times(gpu, &by_m, &sent.message_slopes);
        interaction.message[0].pull_back_onto(gpu, &by_hidden, by_s);
        Some(by_v)
    }

    /// Adds the short-range repulsion to the energies of atoms and returns its forces.
    fn repel<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        atoms: &Atoms,
        edges: &Edges,
        energies: &Buffer,
    ) -> Buffer {
        let forces = gpu.numbers(3 * atoms.count);
        let (cubes, units) = over(atoms.count);
        launch!(
            geometry::repulsion,
            gpu,
            cubes,
            units,
            edges.positions.arg(),
            edges.count.arg(),
            edges.neighbours.arg(),
            atoms.species.arg(),
            self.nuclei.arg(),
            self.repulsion.arg(),
            energies.arg(),
            forces.arg(),
            atoms.count,
            edges.capacity,
        );
        forces
    }
}

/// u = v m₁
#[cube(launch_unchecked)]
fn scale<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    v: &Array<F>,
    m: &Array<F>,
    u: &mut Array<F>,
    width: usize,
    n: usize,
) {
    tally(ran);
    if ABSOLUTE_POS < n {
        let atom = ABSOLUTE_POS / (3 * width);
        u[ABSOLUTE_POS] = v[ABSOLUTE_POS] * m[(3 * atom + 2) * width + ABSOLUTE_POS % width];
    }
}

/// Computes the gradient of [`scale`]: that with respect to m₁ is stored in `by_m`, that with respect to v added to
/// `by_v`.
#[cube(launch_unchecked)]
fn scale_back<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    v: &Array<F>,
    m: &Array<F>,
    by_u: &Array<F>,
    by_m: &mut Array<F>,
    by_v: &mut Array<F>,
    width: usize,
    n: usize,
) {
    tally(ran);
    if ABSOLUTE_POS < n {
        let atom = ABSOLUTE_POS / width;
        let k = ABSOLUTE_POS % width;
        let m1 = (3 * atom + 2) * width + k;
        let mut sum = F::new(0.0);
        #[unroll]
        for c in 0..3usize {
            let at = (3 * atom + c) * width + k;
            sum += by_u[at] * v[at];
            by_v[at] += by_u[at] * m[m1];
        }
        by_m[m1] = sum;
    }
}

/// Computes \[s, √(|Vv|² + ε²)\] in rows of 2F, and ⟨Uv, Vv⟩.
#[cube(launch_unchecked)]
fn invariants<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    s: &Array<F>,
    uv: &Array<F>,
    arguments: &mut Array<F>,
    product: &mut Array<F>,
    epsilon_squared: F,
    width: usize,
    n: usize,
) {
    tally(ran);
    if ABSOLUTE_POS < n {
        let atom = ABSOLUTE_POS / width;
        let k = ABSOLUTE_POS % width;
        let mut squared = epsilon_squared;
        let mut dot = F::new(0.0);
        #[unroll]
        for c in 0..3usize {
            let at = (3 * atom + c) * 2 * width + k;
            let v = uv[at + width];
            squared += v * v;
            dot += uv[at] * v;
        }
        arguments[2 * atom * width + k] = s[ABSOLUTE_POS];
        arguments[(2 * atom + 1) * width + k] = F::sqrt(squared);
        product[ABSOLUTE_POS] = dot;
    }
}

/// Computes s += a₀ + a₁ ⟨Uv, Vv⟩ and, if there is an a₂, v += a₂ Uv.
#[cube(launch_unchecked)]
fn update<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    a: &Array<F>,
    uv: &Array<F>,
    product: &Array<F>,
    s: &mut Array<F>,
    v: &mut Array<F>,
    width: usize,
    n: usize,
    #[comptime] blocks: usize,
) {
    tally(ran);
    if ABSOLUTE_POS < n {
        let atom = ABSOLUTE_POS / width;
        let k = ABSOLUTE_POS % width;
        let of_a = atom * blocks * width + k;
        s[ABSOLUTE_POS] += a[of_a] + a[of_a + width] * product[ABSOLUTE_POS];
        if comptime!(blocks > 2) {
            #[unroll]
            for c in 0..3usize {
                v[(3 * atom + c) * width + k] += a[of_a + 2 * width] * uv[(3 * atom + c) * 2 * width + k];
            }
        }
    }
}

/// Computes the gradient of [`update`] with respect to a.
#[cube(launch_unchecked)]
fn update_back_to_a<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    uv: &Array<F>,
    product: &Array<F>,
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
        by_a[of_a + width] = by_s[ABSOLUTE_POS] * product[ABSOLUTE_POS];
        if comptime!(blocks > 2) {
            let mut sum = F::new(0.0);
            #[unroll]
            for c in 0..3usize {
                sum += by_v[(3 * atom + c) * width + k] * uv[(3 * atom + c) * 2 * width + k];
            }
            by_a[of_a + 2 * width] = sum;
        }
    }
}

/// Computes the gradient of [`update`] and [`invariants`] together with respect to Uv and Vv; that with respect to s is
/// added to `by_s`.
#[cube(launch_unchecked)]
fn update_back_to_uv<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    a: &Array<F>,
    uv: &Array<F>,
    arguments: &Array<F>,
    by_arguments: &Array<F>,
    by_s: &mut Array<F>,
    by_v: &Array<F>,
    by_uv: &mut Array<F>,
    width: usize,
    n: usize,
    #[comptime] blocks: usize,
) {
    tally(ran);
    if ABSOLUTE_POS < n {
        let atom = ABSOLUTE_POS / width;
        let k = ABSOLUTE_POS % width;
        let of_a = atom * blocks * width + k;
        let of_norm = (2 * atom + 1) * width + k;
        let by_product = by_s[ABSOLUTE_POS] * a[of_a + width];
        let by_squared = by_arguments[of_norm] / arguments[of_norm];
        #[unroll]
        for c in 0..3usize {
            let at = (3 * atom + c) * 2 * width + k;
            let mut by_u = by_product * uv[at + width];
            if comptime!(blocks > 2) {
                by_u += by_v[(3 * atom + c) * width + k] * a[of_a + 2 * width];
            }
            by_uv[at] = by_u;
            by_uv[at + width] = by_product * uv[at] + by_squared * uv[at + width];
        }
        by_s[ABSOLUTE_POS] += by_arguments[2 * atom * width + k];
    }
}
