//! Errors of a model on labelled frames.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use md_core::{Batch, Configuration, Potential, Request};
use md_io::extxyz::{self, LabelKeys, LabelledFrame, Names, XyzError};
use md_metrics::{Composition, ForceErrorAccumulator, FrameEnergies, composition, energy_errors};
use md_results::{EnergyErrors, Evaluation, ForceErrors, Series};

use crate::curves;
use crate::geometries::{Geometries, Geometry};

mod file;

pub use crate::trained::seen_in_training;
use file::Kind;
pub use file::{Evaluated, GivenKeys, evaluate_file};

/// Model and labelled frames of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// The molecule of the campaign, if it is one.
    pub molecule: Option<&'a str>,
    /// The labelled frames (extended XYZ).
    pub frames: &'a Path,
}

/// Errors of `potential` over the frames of `source`, and what they look like. `earlier` are the frames of files before it, to
/// which those of this file are added.
///
/// Frames stream: memory grows by a few numbers per atom, not by frames.
///
/// # Errors
/// A frame that cannot be read or that the potential cannot answer, and a file without any label.
pub(crate) fn evaluate(
    source: Source<'_>,
    potential: &mut dyn Potential,
    earlier: &mut Labelled,
) -> Result<(Evaluation, Vec<Series>)> {
    let keys = LabelKeys::default();
    let mut errors = Errors::after(std::mem::take(earlier));
    let names = read(source, potential, &keys, &mut errors, |_| ())?;
    errors.check_any(source, &keys, &names)?;
    let found = (errors.evaluation(source)?, errors.series(source));
    *earlier = errors.earlier;
    Ok(found)
}

/// Compares the answers of `potential` with all frames of a file; `seen` receives every frame.
fn read(
    source: Source<'_>,
    potential: &mut dyn Potential,
    keys: &LabelKeys,
    errors: &mut Errors,
    mut seen: impl FnMut(LabelledFrame),
) -> Result<Names> {
    let mut frames = extxyz::open(source.frames, keys.clone())?;
    for frame in frames.by_ref() {
        let n = errors.n_frames;
        let frame = frame?;
        errors
            .push(&frame, potential)
            .with_context(|| format!("frame {n} of {}", source.frames.display()))?;
        seen(frame);
    }
    if errors.n_frames == 0 {
        return Err(XyzError::NoFrames { path: source.frames.to_owned() }.into());
    }
    Ok(frames.names().clone())
}

/// Distinct geometries with labels.
#[derive(Default)]
pub(crate) struct Labelled {
    forces: Geometries,
    energies: Geometries,
}

impl Labelled {
    /// Reads those of some files.
    ///
    /// # Errors
    /// A frame that cannot be read.
    pub(crate) fn of_files<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<Self> {
        let mut all = Labelled::default();
        for file in files {
            for frame in extxyz::open(file, LabelKeys::default())? {
                let frame = frame?;
                let geometry = Geometry::from_system(&frame.system);
                if frame.forces.is_some() {
                    all.forces.insert(&geometry);
                }
                if frame.energy_ev.is_some() {
                    all.energies.insert(&geometry);
                }
            }
        }
        Ok(all)
    }
}

/// Errors over frames, pushed one by one. Frames of one geometry count once: a frame that is written twice is no more
/// evidence than one.
#[derive(Default)]
pub(crate) struct Errors {
    n_frames: usize,
    n_without_forces: usize,
    n_repeated: usize,
    /// Those of this file.
    own: Labelled,
    /// Those of this file and of the files before it.
    earlier: Labelled,
    /// Numbers of frames that count and that a file before it has, with forces and with energies.
    n_forces_known: usize,
    n_energies_known: usize,
    forces: ForceErrorAccumulator,
    energies: Vec<FrameEnergies>,
    /// Sums over the force components of each frame that counts: predicted², predicted x reference, reference².
    frames: Vec<[f64; 3]>,
    /// Predicted and reference force components, eV/Å.
    pairs: Vec<[f64; 2]>,
    answer: md_core::Evaluation,
}

impl Errors {
    /// Starts a file after others, which had the frames `earlier`.
    pub(crate) fn after(earlier: Labelled) -> Self {
        Errors { earlier, ..Errors::default() }
    }

    /// Compares the answer of `potential` with the labels of `frame`. Returns whether its forces count: it has some, and
    /// no frame before it has the same geometry.
    ///
    /// # Errors
    /// Errors of the potential, and forces that are not finite.
    pub(crate) fn push(&mut self, frame: &LabelledFrame, potential: &mut dyn Potential) -> Result<bool> {
        self.n_frames += 1;
        self.n_without_forces += usize::from(frame.forces.is_none());
        let geometry = Geometry::from_system(&frame.system);
        let energy_ev = frame.energy_ev.filter(|_| self.own.energies.insert(&geometry));
        let forces = frame.forces.as_ref().filter(|_| self.own.forces.insert(&geometry));
        if energy_ev.is_none() && forces.is_none() {
            self.n_repeated += usize::from(frame.energy_ev.is_some() || frame.forces.is_some());
            return Ok(false);
        }
        let elements = frame.system.elements();
        let batch = Batch::new(std::slice::from_ref(&frame.system));
        let configuration = Configuration { batch: &batch, positions: frame.system.positions() };
        potential.evaluate(configuration, Request::FORCES, &mut self.answer)?;
        if let Some(reference_ev) = energy_ev {
            self.n_energies_known += usize::from(!self.earlier.energies.insert(&geometry));
            let predicted_ev = self.answer.energies[0];
            self.energies.push(FrameEnergies {
                composition: composition(elements),
                predicted_ev,
                reference_ev,
            });
        }
        if let Some(reference) = forces {
            self.n_forces_known += usize::from(!self.earlier.forces.insert(&geometry));
            self.forces.push(elements, &self.answer.forces, reference)?;
            let mut sums = [0.0; 3];
            for (p, r) in self.answer.forces.iter().zip(reference) {
                self.pairs.extend(p.iter().zip(r.iter()).map(|(&p, &r)| [p, r]));
                for (sum, term) in sums.iter_mut().zip([p.norm_squared(), p.dot(r), r.norm_squared()]) {
                    *sum += term;
                }
            }
            self.frames.push(sums);
        }
        Ok(forces.is_some())
    }

    /// # Errors
    /// No frame has a label.
    fn check_any(&self, source: Source<'_>, keys: &LabelKeys, names: &Names) -> Result<()> {
        if self.has_forces() || self.has_energies() {
            return Ok(());
        }
        let likely: Vec<String> =
            [Kind::Energy, Kind::Forces].iter().filter_map(|k| k.likely(names)).collect();
        let advice = if likely.is_empty() {
            "name those of the file with --energy-key and --forces-key".to_owned()
        } else {
            likely.join("; ")
        };
        bail!(
            "{}: no frame has the energy key '{}' or the force column '{}' ({}, {}): {advice}",
            source.frames.display(),
            keys.energy,
            keys.forces,
            Kind::Energy.present(names),
            Kind::Forces.present(names)
        );
    }

    fn has_forces(&self) -> bool {
        self.n_without_forces < self.n_frames
    }

    fn has_energies(&self) -> bool {
        !self.energies.is_empty()
    }

    /// Returns the series of the force errors.
    pub(crate) fn series(&self, source: Source<'_>) -> Vec<Series> {
        let file = source.frames.file_name().unwrap_or_default().to_string_lossy();
        curves::force_errors([source.model, source.molecule.unwrap_or_default(), &file], &self.pairs)
    }

    /// The forces predicted for the last frame, eV/Å.
    pub(crate) fn last_forces(&self) -> &[md_core::Vec3] {
        &self.answer.forces
    }

    /// Returns the errors.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn evaluation(&self, source: Source<'_>) -> Result<Evaluation> {
        Ok(Evaluation {
            model: source.model.to_owned(),
            molecule: source.molecule.map(str::to_owned),
            frames: source.frames.display().to_string(),
            sha256: md_io::files::sha256_file(source.frames)?,
            n_frames: self.n_frames,
            n_without_forces: self.n_without_forces,
            n_repeated: self.n_repeated,
            force: (!self.frames.is_empty()).then(|| self.force_record()).transpose()?,
            energy: energy_record(&self.energies)
                .map(|record| EnergyErrors { n_in_earlier_files: self.n_energies_known, ..record }),
            by_time: Vec::new(),
        })
    }

    /// Returns the ratio of a sum over frames to that of the squared reference, and its standard error from the scatter of
    /// frames about it (W. G. Cochran, Sampling Techniques, 3rd ed., section 2.11). `of` makes a summand of the sums of
    /// predicted², predicted · reference and reference² of a frame.
    fn ratio(&self, of: impl Fn(&[f64; 3]) -> f64) -> Option<(f64, Option<f64>)> {
        let rr: f64 = self.frames.iter().map(|sums| sums[2]).sum();
        let ratio = self.frames.iter().map(&of).sum::<f64>() / rr;
        if !ratio.is_finite() {
            return None;
        }
        let n = self.frames.len() as f64;
        let scatter: f64 = self.frames.iter().map(|sums| (of(sums) - ratio * sums[2]).powi(2)).sum();
        Some((ratio, (n > 1.0).then(|| (n / (n - 1.0) * scatter).sqrt() / rr)))
    }

    fn force_record(&self) -> Result<ForceErrors> {
        let all = self.forces.errors()?;
        let by_element = self.forces.by_element()?;
        let total = |k: usize| self.frames.iter().map(|sums| sums[k]).sum::<f64>();
        let [pp, pr, rr] = [0, 1, 2].map(total);
        let n = 3.0 * all.n_atoms as f64;
        let slope = self.ratio(|&[_, pr, _]| pr);
        let squared_error = self.ratio(|&[pp, pr, rr]| (pp - 2.0 * pr + rr).max(0.0));
        Ok(ForceErrors {
            n_frames: self.frames.len(),
            n_in_earlier_files: self.n_forces_known,
            n_atoms: all.n_atoms,
            rmse_ev_per_angstrom: all.rmse_ev_per_angstrom,
            rmse_standard_error_ev_per_angstrom: all.rmse_standard_error_ev_per_angstrom,
            mae_ev_per_angstrom: all.mae_ev_per_angstrom,
            max_ev_per_angstrom: all.max_error_ev_per_angstrom,
            rmse_xyz_ev_per_angstrom: all.rmse_xyz_ev_per_angstrom,
            r2: all.r_squared,
            r2_xyz: all.r_squared_xyz,
            reference_rms_ev_per_angstrom: (rr / n).sqrt(),
            relative_rmse: squared_error.map(|(square, _)| square.sqrt()),
            relative_rmse_standard_error: squared_error.and_then(|(square, error)| {
                Some(if square > 0.0 { error? / (2.0 * square.sqrt()) } else { 0.0 })
            }),
            slope: slope.map(|(slope, _)| slope),
            slope_standard_error: slope.and_then(|(_, error)| error),
            rmse_scaled_ev_per_angstrom: slope.map(|(slope, _)| ((pp - slope * pr).max(0.0) / n).sqrt()),
            angle_median_deg: all.angle.as_ref().map(|a| a.median_deg),
            angle_p95_deg: all.angle.as_ref().map(|a| a.p95_deg),
            n_without_direction: all.n_without_direction,
            n_missed_direction: all.n_missed_direction,
            cosine_mean: all.angle.as_ref().map(|a| a.cosine_mean),
            magnitude_mae_ev_per_angstrom: all.magnitude.mae_ev_per_angstrom,
            rmse_by_element_ev_per_angstrom: by_element
                .iter()
                .map(|(element, errors)| (element.symbol().to_owned(), errors.rmse_ev_per_angstrom))
                .collect(),
        })
    }
}

/// `None` when no two frames share a composition: then a shift explains every energy.
fn energy_record(energies: &[FrameEnergies]) -> Option<EnergyErrors> {
    let errors = energy_errors(energies).ok()?;
    Some(EnergyErrors {
        n_frames: errors.n_frames,
        n_in_earlier_files: 0,
        mae_mev_per_atom: errors.mae_mev_per_atom,
        rmse_mev_per_atom: errors.rmse_mev_per_atom,
        rmse_standard_error_mev_per_atom: Some(errors.rmse_standard_error_mev_per_atom),
        reference_spread_mev_per_atom: Some(errors.reference_spread_mev_per_atom),
        rank_correlation: errors.rank_correlation,
        shift_ev: errors.shifts_ev.iter().map(|(c, shift)| (formula(c), *shift)).collect(),
    })
}

/// Hill formula, such as `C3H7NO2`: carbon, then hydrogen, then the rest by symbol.
pub(crate) fn formula(composition: &Composition) -> String {
    let has_carbon = composition.keys().any(|e| *e == md_core::Element::C);
    let rank = |symbol: &str| match symbol {
        "C" if has_carbon => 0,
        "H" if has_carbon => 1,
        _ => 2,
    };
    let counts: BTreeMap<(u8, &str), usize> =
        composition.iter().map(|(e, n)| ((rank(e.symbol()), e.symbol()), *n)).collect();
    counts
        .iter()
        .map(|((_, symbol), n)| if *n == 1 { (*symbol).to_owned() } else { format!("{symbol}{n}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use md_core::{Element, State, System, Vec3};
    use md_probe::analytic::LennardJones;
    use md_testkit::defects::{Defect, Defective};

    use super::*;

    /// Forces that are right but for a unit: the slope tells the factor, and nothing is left when they are scaled.
    #[test]
    fn force_record_slope_recovers_unit_factor() {
        let mut sound = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };
        let mut off = Defective::new(sound.clone(), Defect::Units { factor: 1.01 });
        let mut errors = Errors::default();
        for distance in [3.5, 3.7, 4.1] {
            let positions = vec![Vec3::zeros(), Vec3::new(distance, 0.1, 0.0)];
            let system = System::new(vec![Element::AR; 2], positions).unwrap();
            let state = State::at_rest(std::slice::from_ref(&system), &mut sound).unwrap();
            let frame = LabelledFrame {
                system,
                energy_ev: None,
                forces: Some(state.evaluation().forces.clone()),
                velocities: None,
                other_columns: Vec::new(),
                info: BTreeMap::new(),
            };
            errors.push(&frame, &mut off).unwrap();
        }
        let force = errors.force_record().unwrap();
        assert!((force.slope.unwrap() - 1.01).abs() < 1e-12, "{:?}", force.slope);
        let (off, left) = (force.rmse_ev_per_angstrom, force.rmse_scaled_ev_per_angstrom.unwrap());
        assert!(off > 1e-5 && left < 1e-8, "{off} {left}");
    }

    /// Two frames by hand.
    #[test]
    fn slope_standard_error_matches_two_frames_by_hand() {
        let frames = vec![[0.0, 1.0, 1.0], [0.0, 2.4, 2.0]];
        let mut errors = Errors { frames, ..Errors::default() };
        // s = 3.4 / 3; residuals 1 - s and 2.4 - 2 s are -+0.1333; 2 / 1 of the sum of their squares is 0.0711.
        let predicted = |&[_, pr, _]: &[f64; 3]| pr;
        let (slope, error) = errors.ratio(predicted).unwrap();
        let error = error.unwrap();
        assert!((slope - 3.4 / 3.0).abs() < 1e-15, "{slope}");
        assert!((error - (4.0_f64 * (0.4 / 3.0_f64).powi(2)).sqrt() / 3.0).abs() < 1e-15, "{error}");
        errors.frames.truncate(1);
        assert_eq!(errors.ratio(predicted), Some((1.0, None)));
    }

    /// The spread of slopes over many sets of frames is the error that one set gives.
    #[test]
    fn ratio_standard_error_matches_spread_of_many_sets() {
        let mut state = 1_u64;
        // Uniform in -1..1, by Knuth's MMIX generator.
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        let sets: Vec<[f64; 2]> = (0..2000)
            .map(|_| {
                let mut errors = Errors::default();
                for _ in 0..50 {
                    let scale = 0.97 + 0.1 * random();
                    let rr: f64 = (0..9).map(|_| random().powi(2)).sum();
                    errors.frames.push([scale * scale * rr, scale * rr, rr]);
                }
                let (slope, error) = errors.ratio(|&[_, pr, _]| pr).unwrap();
                [slope, error.unwrap()]
            })
            .collect();
        let n = sets.len() as f64;
        let mean = sets.iter().map(|s| s[0]).sum::<f64>() / n;
        let spread = (sets.iter().map(|s| (s[0] - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let error = sets.iter().map(|s| s[1]).sum::<f64>() / n;
        // The spread of 2000 sets is known to 1.6 %, one standard deviation.
        assert!((mean - 0.97).abs() < 5.0 * spread / n.sqrt(), "{mean}");
        assert!((error / spread - 1.0).abs() < 0.07, "{error} {spread}");
    }
}
