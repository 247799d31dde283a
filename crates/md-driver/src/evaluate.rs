//! Errors of a model on labelled frames.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use md_core::{Batch, Configuration, Potential, Request};
use md_io::extxyz::{self, LabelKeys, LabelledFrame, XyzError};
use md_io::results::{EnergyErrors, Evaluation, ForceErrors, Series};
use md_metrics::{Composition, ForceErrorAccumulator, FrameEnergies, composition, energy_errors};

use md_report::number;

use crate::curves;

/// What is compared with what.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// The molecule of the campaign, if it is one.
    pub molecule: Option<&'a str>,
    /// The labelled frames (extended XYZ).
    pub frames: &'a Path,
}

/// Errors of `potential` over the frames of `source`, and what they look like; `seen` is called after every frame.
///
/// Frames stream: memory grows by a few numbers per atom, not by frames.
///
/// # Errors
/// A frame that cannot be read or that the potential cannot answer, and a file without any label.
pub fn evaluate(
    source: Source<'_>,
    potential: &mut dyn Potential,
    keys: &LabelKeys,
    seen: impl Fn(),
) -> Result<(Evaluation, Vec<Series>)> {
    let mut errors = Errors::default();
    for frame in extxyz::open(source.frames, keys.clone())? {
        let n = errors.n_frames;
        let in_frame = || format!("frame {n} of {}", source.frames.display());
        errors.push(&frame?, potential).with_context(in_frame)?;
        seen();
    }
    if errors.n_frames == 0 {
        return Err(XyzError::NoFrames { path: source.frames.to_owned() }.into());
    }
    if errors.n_with_forces == 0 && errors.energies.is_empty() {
        bail!(
            "{}: no frame has the energy key '{}' or the force column '{}': name those of the file with --energy-key and \
             --forces-key",
            source.frames.display(),
            keys.energy,
            keys.forces
        );
    }
    Ok((errors.evaluation(source)?, errors.series(source)))
}

/// Errors over frames, pushed one by one.
#[derive(Default)]
pub struct Errors {
    n_frames: usize,
    n_with_forces: usize,
    forces: ForceErrorAccumulator,
    energies: Vec<FrameEnergies>,
    /// Sums over force components: predicted², predicted x reference, reference², and how many.
    sums: [f64; 4],
    /// Predicted and reference force components, eV/Å.
    pairs: Vec<[f64; 2]>,
    answer: md_core::Evaluation,
}

impl Errors {
    /// Compares the answer of `potential` with the labels of `frame`.
    ///
    /// # Errors
    /// What the potential returns, and forces that are not finite.
    pub fn push(&mut self, frame: &LabelledFrame, potential: &mut dyn Potential) -> Result<()> {
        let elements = frame.system.elements();
        let batch = Batch::new(std::slice::from_ref(&frame.system));
        let configuration = Configuration { batch: &batch, positions: frame.system.positions() };
        potential.evaluate(configuration, Request::FORCES, &mut self.answer)?;
        if let Some(reference_ev) = frame.energy_ev {
            let predicted_ev = self.answer.energies[0];
            self.energies.push(FrameEnergies {
                composition: composition(elements),
                predicted_ev,
                reference_ev,
            });
        }
        if let Some(reference) = &frame.forces {
            self.forces.push(elements, &self.answer.forces, reference)?;
            self.n_with_forces += 1;
            for (p, r) in self.answer.forces.iter().zip(reference) {
                self.pairs.extend(p.iter().zip(r.iter()).map(|(&p, &r)| [p, r]));
                for (sum, term) in
                    self.sums.iter_mut().zip([p.norm_squared(), p.dot(r), r.norm_squared(), 3.0])
                {
                    *sum += term;
                }
            }
        }
        self.n_frames += 1;
        Ok(())
    }

    /// What the force errors look like.
    pub fn series(&self, source: Source<'_>) -> Vec<Series> {
        let file = source.frames.file_name().unwrap_or_default().to_string_lossy();
        curves::force_errors([source.model, source.molecule.unwrap_or_default(), &file], &self.pairs)
    }

    /// The forces predicted for the last frame, eV/Å.
    pub fn last_forces(&self) -> &[md_core::Vec3] {
        &self.answer.forces
    }

    /// What was found.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn evaluation(&self, source: Source<'_>) -> Result<Evaluation> {
        Ok(Evaluation {
            model: source.model.to_owned(),
            molecule: source.molecule.map(str::to_owned),
            frames: source.frames.display().to_string(),
            sha256: md_io::files::sha256_file(source.frames)?,
            n_frames: self.n_frames,
            force: (self.n_with_forces > 0).then(|| self.force_record()).transpose()?,
            energy: energy_record(&self.energies),
            by_time: Vec::new(),
        })
    }

    fn force_record(&self) -> Result<ForceErrors> {
        let all = self.forces.errors()?;
        let by_element = self.forces.by_element()?;
        let [pp, pr, rr, n] = self.sums;
        let slope = Some(pr / rr).filter(|slope| slope.is_finite());
        Ok(ForceErrors {
            n_frames: self.n_with_forces,
            n_atoms: all.n_atoms,
            rmse_ev_per_angstrom: all.rmse_ev_per_angstrom,
            rmse_standard_error_ev_per_angstrom: all.rmse_standard_error_ev_per_angstrom,
            mae_ev_per_angstrom: all.mae_ev_per_angstrom,
            max_ev_per_angstrom: all.max_error_ev_per_angstrom,
            rmse_xyz_ev_per_angstrom: all.rmse_xyz_ev_per_angstrom,
            r2: all.r_squared,
            r2_xyz: all.r_squared_xyz,
            reference_rms_ev_per_angstrom: (rr / n).sqrt(),
            slope,
            rmse_scaled_ev_per_angstrom: slope.map(|slope| ((pp - slope * pr).max(0.0) / n).sqrt()),
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
        mae_mev_per_atom: errors.mae_mev_per_atom,
        rmse_mev_per_atom: errors.rmse_mev_per_atom,
        shift_ev: errors.shifts_ev.iter().map(|(c, shift)| (formula(c), *shift)).collect(),
    })
}

/// Hill formula, such as `C3H7NO2`: carbon, then hydrogen, then the rest by symbol.
pub fn formula(composition: &Composition) -> String {
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

/// Evaluations as a table in Markdown, a line for each set of frames.
pub fn render_markdown(evaluations: &[Evaluation]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "frames",
        "n",
        "force RMSE (eV/Å)",
        "force MAE (eV/Å)",
        "R²",
        "reference rms force (eV/Å)",
        "energy RMSE (meV/atom)",
    ]);
    let or_none = |x: Option<String>| x.unwrap_or_else(|| "-".to_owned());
    for e in evaluations {
        let force = e.force.as_ref();
        let rmse = force.map(|f| {
            let error =
                f.rmse_standard_error_ev_per_angstrom.map_or(String::new(), |se| format!(" ± {se:.4}"));
            format!("{:.4}{error}", f.rmse_ev_per_angstrom)
        });
        table.add_row([
            e.frames.clone(),
            e.n_frames.to_string(),
            or_none(rmse),
            or_none(force.map(|f| format!("{:.4}", f.mae_ev_per_angstrom))),
            or_none(force.and_then(|f| f.r2).map(|r2| format!("{r2:.4}"))),
            or_none(force.map(|f| format!("{:.3}", f.reference_rms_ev_per_angstrom))),
            or_none(e.energy.as_ref().map(|e| format!("{:.2}", e.rmse_mev_per_atom))),
        ]);
    }
    if let [_, _, ..] = evaluations {
        let n_frames: usize = evaluations.iter().map(|e| e.n_frames).sum();
        let all = pooled_rmse(evaluations).map(|rmse| format!("{rmse:.4}"));
        table.add_row(["all".to_owned(), n_frames.to_string(), or_none(all)]);
    }
    format!("{table}\n")
}

/// Force RMSE (eV/Å) over all frames with forces; `None` where there are none.
fn pooled_rmse(evaluations: &[Evaluation]) -> Option<f64> {
    let forces = || evaluations.iter().filter_map(|e| e.force.as_ref());
    let atoms: usize = forces().map(|f| f.n_atoms).sum();
    let squared: f64 = forces().map(|f| f.n_atoms as f64 * f.rmse_ev_per_angstrom.powi(2)).sum();
    (atoms > 0).then(|| (squared / atoms as f64).sqrt())
}

/// The evaluation as lines for a person.
pub fn render(e: &Evaluation) -> String {
    let mut text = format!("{} on {}: {} frames\n", e.model, e.frames, e.n_frames);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<34} {value}");
    };
    let optional = |value: Option<f64>, unit: &str| {
        value.map_or("undefined".to_owned(), |v| format!("{} {unit}", number(v)).trim_end().to_owned())
    };
    match &e.force {
        Some(f) => {
            let error = f
                .rmse_standard_error_ev_per_angstrom
                .map_or(String::new(), |se| format!(" ± {}", number(se)));
            line("force RMSE", format!("{}{error} eV/Å", number(f.rmse_ev_per_angstrom)));
            line("  predicting zero would give", format!("{} eV/Å", number(f.reference_rms_ev_per_angstrom)));
            line("  x, y, z", format!("{} eV/Å", f.rmse_xyz_ev_per_angstrom.map(number).join(", ")));
            for (element, rmse) in &f.rmse_by_element_ev_per_angstrom {
                line(&format!("  {element}"), format!("{} eV/Å", number(*rmse)));
            }
            line("force MAE", format!("{} eV/Å", number(f.mae_ev_per_angstrom)));
            line("largest component error", format!("{} eV/Å", number(f.max_ev_per_angstrom)));
            line("R²", optional(f.r2, ""));
            line("  x, y, z", f.r2_xyz.map(|r| optional(r, "")).join(", "));
            line("angle, median", optional(f.angle_median_deg, "degrees"));
            line("angle, 95th percentile", optional(f.angle_p95_deg, "degrees"));
            line(
                "atoms without a force direction",
                format!("{} of {} ({} missed)", f.n_without_direction, f.n_atoms, f.n_missed_direction),
            );
            line("cosine, mean", optional(f.cosine_mean, ""));
            line("magnitude MAE", format!("{} eV/Å", number(f.magnitude_mae_ev_per_angstrom)));
        }
        None => line("forces", "no frame is labelled with forces".to_owned()),
    }
    match &e.energy {
        Some(energy) => {
            line("energy MAE", format!("{} meV/atom", number(energy.mae_mev_per_atom)));
            line("energy RMSE", format!("{} meV/atom", number(energy.rmse_mev_per_atom)));
            for (composition, shift) in &energy.shift_ev {
                line(&format!("  shift removed, {composition}"), format!("{} eV", number(*shift)));
            }
        }
        None => line("energies", "no two labelled frames share a composition".to_owned()),
    }
    text
}

#[cfg(test)]
mod tests {
    use md_core::{Element, State, System, Vec3};
    use md_testkit::analytic::LennardJones;
    use md_testkit::defects::{Defect, Defective};

    use super::*;

    /// Forces that are right but for a unit: the slope tells the factor, and nothing is left when they are scaled.
    #[test]
    fn a_unit_that_was_mistaken_is_a_slope() {
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
                info: BTreeMap::new(),
            };
            errors.push(&frame, &mut off).unwrap();
        }
        let force = errors.force_record().unwrap();
        assert!((force.slope.unwrap() - 1.01).abs() < 1e-12, "{:?}", force.slope);
        let (off, left) = (force.rmse_ev_per_angstrom, force.rmse_scaled_ev_per_angstrom.unwrap());
        assert!(off > 1e-5 && left < 1e-8, "{off} {left}");
    }
}
