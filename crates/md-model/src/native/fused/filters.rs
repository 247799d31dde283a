//! The filters of an interaction for pairs of atoms.

use super::dense::{Blocks, Dense, multiply_by, silu};
use super::lanes::vectorised;
use super::message::OnPairs;
use super::pairs::Pair;
use super::table::{Grid, Place, Table};
use crate::distiller::DistillerHyperparameters;
use crate::geometry::{BesselBasis, RadialBasis, envelope};
use crate::native::matrix::Real;
use crate::painn::PainnHyperparameters;
use crate::{CheckpointError, Filters, Weights};

/// Number of table intervals per width of the narrowest Gaussian of the basis: with fewer, the error of forces exceeds
/// 10⁻⁶ (tested against the network itself).
const INTERVALS_PER_WIDTH: f64 = 14.0;

/// Number of table intervals per half wave of the fastest Bessel function, for a relative error of 10⁻⁷ (see
/// [`Table::new`]).
const INTERVALS_PER_HALF_WAVE: f64 = 16.0;

/// Minimum and maximum number of intervals of a table, for any basis (100 MB of f32 for the widest of the known
/// students).
const INTERVALS: [usize; 2] = [256, 16_384];

/// Source of w₀, w₂ and, from the second interaction on, w₁ as functions of the distance.
#[derive(Debug)]
pub(super) enum FilterSource<T> {
    Table(Tabulated<T>),
    Gaussians { basis: RadialBasis, layers: Box<[Dense<T>; 2]> },
    Bessels { basis: BesselBasis, layer: Dense<T> },
}

/// Filters as splines.
#[derive(Debug)]
pub(crate) struct Tabulated<T> {
    /// w₀, w₂ and possibly w₁, concatenated.
    pub(crate) table: Table<T>,
    pub(crate) grid: Grid,
    /// Whether the tabulated functions must be multiplied by the polynomial envelope that ends at the end of the grid.
    pub(crate) has_envelope: bool,
}

/// Buffers of the filter networks.
#[derive(Debug, Default)]
pub(super) struct Workspace<T> {
    basis: [Vec<f64>; 2],
    inputs: [Vec<T>; 2],
    hidden: [Vec<T>; 3],
}

impl<T: Real> FilterSource<T> {
    /// Creates the filters of interaction `l` of the distiller form.
    pub(super) fn distiller(
        h: &DistillerHyperparameters,
        weights: &Weights,
        l: u32,
        filters: Filters,
    ) -> Result<Self, CheckpointError> {
        Ok(match filters {
            Filters::Exact => FilterSource::Gaussians {
                basis: RadialBasis::new(h.cutoff, h.num_rbf as usize, weights)?,
                layers: Box::new(distiller_layers::<T>(h, weights, l)?),
            },
            Filters::Tabulated => FilterSource::Table(Tabulated::distiller(h, weights, l)?),
        })
    }

    /// Creates the filters of interaction `l` of PaiNN.
    pub(super) fn painn(
        h: &PainnHyperparameters,
        weights: &Weights,
        l: u32,
        filters: Filters,
    ) -> Result<Self, CheckpointError> {
        Ok(match filters {
            Filters::Exact => FilterSource::Bessels {
                basis: BesselBasis::new(h.cutoff, h.num_rbf as usize),
                layer: bessel_layer(h, weights, l)?,
            },
            Filters::Tabulated => FilterSource::Table(Tabulated::painn(h, weights, l)?),
        })
    }

    /// Finds the positions of `pairs` in the tables, which are the same for all interactions of a network. Empty
    /// without tables.
    pub(super) fn find(&self, pairs: &[Pair<T>], places: &mut Vec<Place<T>>) {
        places.clear();
        let FilterSource::Table(Tabulated { grid, has_envelope, .. }) = self else { return };
        places.extend(pairs.iter().map(|pair| {
            let mut place = grid.place(pair.distance);
            if *has_envelope {
                let (factor, slope) = envelope(pair.distance / grid.end);
                place.multiply(T::from_f64(factor), T::from_f64(slope / grid.end));
            }
            place
        }));
    }

    /// Computes the filters of `pairs` at `places`, and their derivatives (1/Å) if requested.
    pub(super) fn compute(
        &self,
        pairs: &[Pair<T>],
        places: &[Place<T>],
        slopes: bool,
        work: &mut Workspace<T>,
        on_pairs: &mut OnPairs<T>,
    ) {
        let Workspace {
            basis: [values, derivatives],
            inputs: [x, dx],
            hidden: [hidden, factors, hidden_slopes],
        } = work;
        values.clear();
        derivatives.clear();
        match self {
            FilterSource::Table(Tabulated { table, .. }) => {
                let n = pairs.len() * table.width();
                on_pairs.values.resize(n, T::default());
                on_pairs.slopes.resize(if slopes { n } else { 0 }, T::default());
                interpolate(table, places, &mut on_pairs.values, &mut on_pairs.slopes);
            }
            FilterSource::Gaussians { basis, layers } => {
                let [first, second] = layers.as_ref();
                pairs.iter().for_each(|pair| basis.with_slopes(pair.distance, values, derivatives));
                convert(values, x);
                first.apply(x, hidden);
                silu(hidden, factors);
                second.apply(hidden, &mut on_pairs.values);
                if slopes {
                    convert(derivatives, dx);
                    first.apply_linear(dx, hidden_slopes);
                    multiply_by(hidden_slopes, factors);
                    second.apply_linear(hidden_slopes, &mut on_pairs.slopes);
                }
            }
            FilterSource::Bessels { basis, layer } => {
                pairs.iter().for_each(|pair| basis.with_slopes(pair.distance, values, derivatives));
                convert(values, x);
                layer.apply_linear(x, &mut on_pairs.values);
                if slopes {
                    convert(derivatives, dx);
                    layer.apply_linear(dx, &mut on_pairs.slopes);
                }
            }
        }
    }
}

impl<T: Real> Tabulated<T> {
    /// Tabulates the filters of interaction `l` of the distiller form.
    pub(crate) fn distiller(
        h: &DistillerHyperparameters,
        weights: &Weights,
        l: u32,
    ) -> Result<Self, CheckpointError> {
        let basis = RadialBasis::new(h.cutoff, h.num_rbf as usize, weights)?;
        let [first, second] = distiller_layers::<f64>(h, weights, l)?;
        let intervals = INTERVALS_PER_WIDTH * h.cutoff / basis.narrowest();
        let width = blocks(l) * Blocks::new(1, h.hidden_dim as usize).padded();
        let grid = Grid { end: h.cutoff, intervals: clamped(intervals) };
        let table = Table::new(&grid, width, |d, filters| {
            let (mut hidden, mut slope, mut out) = (Vec::new(), Vec::new(), Vec::new());
            first.apply(&basis.smooth(d), &mut hidden);
            silu(&mut hidden, &mut slope);
            second.apply(&hidden, &mut out);
            filters.copy_from_slice(&out);
        });
        Ok(Tabulated { table, grid, has_envelope: false })
    }

    /// Tabulates the filters of interaction `l` of PaiNN.
    pub(crate) fn painn(
        h: &PainnHyperparameters,
        weights: &Weights,
        l: u32,
    ) -> Result<Self, CheckpointError> {
        let k = h.num_rbf as usize;
        let basis = BesselBasis::new(h.cutoff, k);
        let layer = bessel_layer::<f64>(h, weights, l)?;
        let width = blocks(l) * Blocks::new(1, h.hidden_dim as usize).padded();
        let grid = Grid { end: h.cutoff, intervals: clamped(INTERVALS_PER_HALF_WAVE * k as f64) };
        let table = Table::new(&grid, width, |d, filters| {
            let mut out = Vec::new();
            layer.apply_linear(&basis.smooth(d), &mut out);
            filters.copy_from_slice(&out);
        });
        Ok(Tabulated { table, grid, has_envelope: true })
    }
}

/// Number of blocks of filters of interaction `l`: the first one sends no vectors.
fn blocks(l: u32) -> usize {
    if l == 0 { 2 } else { 3 }
}

/// Loads the layers that compute f₀, f₂ and, from the second interaction on, f₁ from the basis.
fn distiller_layers<T: Real>(
    h: &DistillerHyperparameters,
    weights: &Weights,
    l: u32,
) -> Result<[Dense<T>; 2], CheckpointError> {
    let f = h.hidden_dim as usize;
    let name = |n: u32| format!("interactions.{l}.message.rbf_to_scalar.{n}");
    let first = Dense::load(weights, &name(0), Blocks::exact(h.num_rbf as usize), Blocks::new(1, f), &[0])?;
    let second =
        Dense::load(weights, &name(2), Blocks::new(1, f), Blocks::new(3, f), &[0, 2, 1][..blocks(l)])?;
    Ok([first, second])
}

/// Loads the layer that computes the filters of PaiNN from the basis.
fn bessel_layer<T: Real>(
    h: &PainnHyperparameters,
    weights: &Weights,
    l: u32,
) -> Result<Dense<T>, CheckpointError> {
    let (from, to) = (Blocks::exact(h.num_rbf as usize + 1), Blocks::new(blocks(l), h.hidden_dim as usize));
    let selected: Vec<usize> = (0..blocks(l)).collect();
    Dense::load_matrix(weights, &format!("interactions.{l}.filter"), from, to, &selected)
}

fn clamped(intervals: f64) -> usize {
    (intervals.ceil() as usize).clamp(INTERVALS[0], INTERVALS[1])
}

fn convert<T: Real>(x: &[f64], y: &mut Vec<T>) {
    y.clear();
    y.extend(x.iter().map(|&x| T::from_f64(x)));
}

vectorised! {
    /// Interpolates values and, if there is room for them, derivatives.
    fn interpolate<'a, T>(
        simd;
        table: &'a Table<T>,
        places: &'a [Place<T>],
        values: &'a mut [T],
        slopes: &'a mut [T],
    ) {
        let width = table.width();
        for (p, place) in places.iter().enumerate() {
            let values = &mut values[p * width..][..width];
            if slopes.is_empty() {
                table.values(simd, place, values);
            } else {
                table.values_and_slopes(simd, place, values, &mut slopes[p * width..][..width]);
            }
        }
    }
}
