//! Errors of predicted energies against reference energies.

use std::collections::BTreeMap;

use md_core::Element;
use md_core::units::MEV_PER_EV;

use crate::error::require_finite;
use crate::moments::PairMoments;
use crate::{MetricError, RunningStats};

/// Number of atoms of each element.
pub type Composition = BTreeMap<Element, usize>;

/// Returns the composition of these atoms.
pub fn composition(elements: &[Element]) -> Composition {
    let mut counts = Composition::new();
    for element in elements {
        *counts.entry(*element).or_default() += 1;
    }
    counts
}

/// Energies of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameEnergies {
    /// Composition of the frame.
    pub composition: Composition,
    /// Predicted energy, eV.
    pub predicted_ev: f64,
    /// Reference energy, eV.
    pub reference_ev: f64,
}

/// Errors of energies within each composition: the remainder of `predicted - reference` after subtraction of its mean
/// over the frames of that composition.
///
/// Two methods have different zeros of energy, so only differences within one composition can be compared. All frames
/// have the same weight.
#[derive(Debug, Clone, PartialEq)]
pub struct EnergyErrors {
    /// Mean absolute error, meV/atom.
    pub mae_mev_per_atom: f64,
    /// Standard error of the MAE, meV/atom, assuming independent frames: from their scatter, but not less than that of as many
    /// normal deviates, since the errors of few frames may be equal by chance and two about their mean always are.
    pub mae_standard_error_mev_per_atom: f64,
    /// Root mean square error, meV/atom. The mean is over frames; with few frames per composition (n) it is too low by
    /// a factor of `√(1 - 1/n)`, because the shift is fitted to the same frames.
    pub rmse_mev_per_atom: f64,
    /// Standard error of the RMSE, meV/atom, likewise.
    pub rmse_standard_error_mev_per_atom: f64,
    /// Root mean square deviation of the reference from its mean within each composition, meV/atom: the RMSE of a prediction
    /// that is constant.
    pub reference_spread_mev_per_atom: f64,
    /// Spearman's rank correlation of predicted and reference energies within each composition, its mean over frames: 1 if
    /// both put the frames in the same order. `None` if either has no order: all energies of a composition are equal.
    pub rank_correlation: Option<f64>,
    /// Number of frames used.
    pub n_frames: usize,
    /// Number of frames excluded because each is the only one of its composition: the shift absorbs all of its error.
    pub n_excluded: usize,
    /// The shift `mean(predicted - reference)` of each composition used, eV.
    pub shifts_ev: BTreeMap<Composition, f64>,
}

/// Computes errors of energies over frames, up to one constant per composition; see [`EnergyErrors`].
///
/// ```
/// use md_core::Element;
/// use md_metrics::{FrameEnergies, composition, energy_errors};
/// let frame = |predicted_ev, reference_ev| FrameEnergies {
///     composition: composition(&[Element::H, Element::H]),
///     predicted_ev,
///     reference_ev,
/// };
/// // The same zero of energy plus 5 eV, and 10 meV of error in each of two frames of two atoms.
/// let errors = energy_errors(&[frame(-26.01, -31.0), frame(-25.03, -30.0)]).unwrap();
/// assert!((errors.mae_mev_per_atom - 5.0).abs() < 1e-9);
/// ```
///
/// # Errors
/// [`MetricError::NonFinite`], [`MetricError::Empty`] for a composition without atoms, or [`MetricError::TooFew`]
/// if no two frames share a composition.
pub fn energy_errors(frames: &[FrameEnergies]) -> Result<EnergyErrors, MetricError> {
    let mut by_composition: BTreeMap<&Composition, Vec<[f64; 2]>> = BTreeMap::new();
    for (index, frame) in frames.iter().enumerate() {
        require_finite("predicted energy", index, frame.predicted_ev)?;
        require_finite("reference energy", index, frame.reference_ev)?;
        by_composition.entry(&frame.composition).or_default().push([frame.predicted_ev, frame.reference_ev]);
    }
    let mut shifts_ev = BTreeMap::new();
    let mut absolute = RunningStats::default();
    let mut squared = RunningStats::default();
    let mut spread = 0.0;
    let mut ranks = PairMoments::default();
    for (composition, energies) in by_composition.into_iter().filter(|(_, e)| e.len() > 1) {
        let n_atoms: usize = composition.values().sum();
        if n_atoms == 0 {
            return Err(MetricError::Empty { what: "atoms in a composition" });
        }
        let mev_per_atom = MEV_PER_EV / n_atoms as f64;
        let differences: Vec<f64> =
            energies.iter().map(|[predicted, reference]| predicted - reference).collect();
        let shift = RunningStats::from_values(&differences)?.summary()?.mean;
        for difference in differences {
            let error = (difference - shift) * mev_per_atom;
            absolute.push(error.abs())?;
            squared.push(error * error)?;
        }
        let [predicted, reference] = [0, 1].map(|k| energies.iter().map(|e| e[k]).collect::<Vec<f64>>());
        let mean = RunningStats::from_values(&reference)?.summary()?.mean;
        spread += reference.iter().map(|e| ((e - mean) * mev_per_atom).powi(2)).sum::<f64>();
        for (p, r) in relative_ranks(&predicted).into_iter().zip(relative_ranks(&reference)) {
            ranks.push(p, r);
        }
        shifts_ev.insert(composition.clone(), shift);
    }
    let n_frames = absolute.count() as usize;
    let Ok(summary) = absolute.summary() else {
        let what = "frames of one composition";
        return Err(MetricError::TooFew { what, needed: 2, found: frames.len().min(1) });
    };
    let n = n_frames as f64;
    let squared = squared.summary()?;
    let rmse = squared.mean.sqrt();
    // One shift is fitted for each composition, of two frames or more.
    let degrees_of_freedom = n - shifts_ev.len() as f64;
    // Of n normal deviates: for the mean of |x|, √(π/2 - 1) of it over √n; for the root mean square, half of √2.
    let normal = [(std::f64::consts::FRAC_PI_2 - 1.0).sqrt(), std::f64::consts::FRAC_1_SQRT_2]
        .map(|relative| relative / degrees_of_freedom.sqrt());
    let rmse_scatter = if rmse > 0.0 { squared.std / (n - 1.0).sqrt() / (2.0 * rmse) } else { 0.0 };
    Ok(EnergyErrors {
        mae_mev_per_atom: summary.mean,
        mae_standard_error_mev_per_atom: f64::max(summary.std / (n - 1.0).sqrt(), normal[0] * summary.mean),
        rmse_mev_per_atom: rmse,
        rmse_standard_error_mev_per_atom: f64::max(rmse_scatter, normal[1] * rmse),
        reference_spread_mev_per_atom: (spread / n).sqrt(),
        rank_correlation: ranks.correlation(),
        n_frames,
        n_excluded: frames.len() - n_frames,
        shifts_ev,
    })
}

/// Ranks of `values` from -1 to 1; equal values have the mean of their ranks.
fn relative_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = start as f64 + 0.5 * (equal.len() as f64 - 1.0);
        equal.iter().for_each(|&k| ranks[k] = 2.0 * mean / (values.len() as f64 - 1.0) - 1.0);
        start += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(elements: &[Element], predicted_ev: f64, reference_ev: f64) -> FrameEnergies {
        FrameEnergies { composition: composition(elements), predicted_ev, reference_ev }
    }

    const WATER: [Element; 3] = [Element::O, Element::H, Element::H];
    const HYDROGEN: [Element; 2] = [Element::H, Element::H];

    proptest! {
        #[test]
        fn energy_errors_ignore_energy_zero_and_atom_order(
            errors in prop::collection::vec(-0.1..0.1_f64, 2..20),
            shifts in prop::array::uniform2(-2e3..2e3_f64),
        ) {
            let frames = |shifts: [f64; 2]| -> Vec<FrameEnergies> {
                errors
                    .iter()
                    .flat_map(|e| {
                        let reordered = [Element::H, Element::O, Element::H];
                        let water = if *e > 0.0 { &WATER } else { &reordered };
                        [frame(water, -10.0 + shifts[0] + e, -10.0), frame(&HYDROGEN, shifts[1] - e, 0.0)]
                    })
                    .collect()
            };
            let (here, there) = (energy_errors(&frames([0.0; 2])).unwrap(), energy_errors(&frames(shifts)).unwrap());
            prop_assert!((here.mae_mev_per_atom - there.mae_mev_per_atom).abs() < 1e-8);
            prop_assert!((here.rmse_mev_per_atom - there.rmse_mev_per_atom).abs() < 1e-8);
            prop_assert!(here.mae_mev_per_atom <= here.rmse_mev_per_atom * (1.0 + 1e-12));
            prop_assert_eq!(here.n_frames, 2 * errors.len());
            prop_assert_eq!(here.shifts_ev.len(), 2);
        }
    }

    #[test]
    fn energy_errors_are_per_atom_and_exclude_lone_frames() {
        let frames = [frame(&WATER, -9.97, -10.0), frame(&WATER, -11.03, -11.0), frame(&HYDROGEN, 7.0, -1.0)];
        let errors = energy_errors(&frames).unwrap();
        assert!((errors.mae_mev_per_atom - 10.0).abs() < 1e-11, "30 meV over 3 atoms");
        assert!((errors.rmse_mev_per_atom - 10.0).abs() < 1e-11);
        assert_eq!((errors.n_frames, errors.n_excluded), (2, 1));
        assert!(errors.shifts_ev[&composition(&WATER)].abs() < 1e-12);
        let lone = energy_errors(&frames[1..]).unwrap_err();
        assert_eq!(lone, MetricError::TooFew { what: "frames of one composition", needed: 2, found: 1 });
        assert!(matches!(energy_errors(&[]), Err(MetricError::TooFew { found: 0, .. })));
    }

    #[test]
    fn energy_errors_rejects_non_finite_or_empty_frames() {
        let error = energy_errors(&[frame(&WATER, 0.0, 0.0), frame(&WATER, f64::INFINITY, 0.0)]).unwrap_err();
        assert_eq!(
            error,
            MetricError::NonFinite { what: "predicted energy", index: 1, value: f64::INFINITY }
        );
        let empty = energy_errors(&[frame(&[], 0.0, 0.0), frame(&[], 1.0, 0.0)]).unwrap_err();
        assert_eq!(empty, MetricError::Empty { what: "atoms in a composition" });
    }

    fn energies(predicted: &[f64], reference: &[f64]) -> EnergyErrors {
        let frames: Vec<FrameEnergies> =
            predicted.iter().zip(reference).map(|(p, r)| frame(&HYDROGEN, *p, *r)).collect();
        energy_errors(&frames).unwrap()
    }

    #[test]
    fn energy_errors_of_constant_are_the_spread() {
        let reference = [1.0, 2.0, 3.0, 4.0];
        let constant = energies(&[7.0; 4], &reference);
        assert!((constant.rmse_mev_per_atom - 500.0 * 1.25_f64.sqrt()).abs() < 1e-9, "{constant:?}");
        assert!((constant.rmse_mev_per_atom - constant.reference_spread_mev_per_atom).abs() < 1e-9);
        assert_eq!(constant.rank_correlation, None);
        let reversed = energies(&[4.0, 3.0, 2.0, 1.0], &reference);
        assert_eq!(reversed.rank_correlation, Some(-1.0));
        let exact = energies(&reference, &reference);
        assert_eq!((exact.rmse_standard_error_mev_per_atom, exact.rank_correlation), (0.0, Some(1.0)));
    }

    #[test]
    fn rank_correlation_agrees_with_scipy() {
        // scipy.stats.spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]), of its documentation.
        let found =
            energies(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]).rank_correlation.unwrap();
        assert!((found - 0.820_782_681_668_123_3).abs() < 1e-14, "{found}");
    }

    /// Two errors about their mean are equal and opposite: they have no scatter, and are known to 71 % (one degree of freedom).
    #[test]
    fn energy_errors_of_two_frames_are_uncertain() {
        let two = [frame(&WATER, 0.0, 0.03), frame(&WATER, 1.0, 1.0)];
        let errors = energy_errors(&two).unwrap();
        let found = [
            errors.rmse_mev_per_atom,
            errors.rmse_standard_error_mev_per_atom,
            errors.mae_standard_error_mev_per_atom,
        ];
        for (found, expected) in found.into_iter().zip([5.0, 5.0 * 0.5_f64.sqrt(), 5.0 * 0.755_511]) {
            assert!((found / expected - 1.0).abs() < 1e-5, "{errors:?}");
        }
    }

    #[test]
    fn energy_rmse_standard_error_is_the_scatter_of_repeats() {
        let mut noise = crate::statistics::tests::Noise(3);
        let repeats: Vec<EnergyErrors> = (0..2000)
            .map(|_| {
                let predicted: Vec<f64> = (0..40).map(|_| noise.normal()).collect();
                energies(&predicted, &[0.0; 40])
            })
            .collect();
        let rmse =
            RunningStats::from_values(&repeats.iter().map(|e| e.rmse_mev_per_atom).collect::<Vec<_>>());
        let scatter = rmse.unwrap().summary().unwrap().std;
        let stated = repeats.iter().map(|e| e.rmse_standard_error_mev_per_atom).sum::<f64>() / 2000.0;
        assert!((stated / scatter - 1.0).abs() < 0.1, "{stated} {scatter}");
    }
}
