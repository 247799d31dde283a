//! Checks that labels can be the results of a reference program.
//!
//! The checks precede all runs. A file is read completely; the model's predictions on a sample of its frames reveal
//! labels that are the model's own, and forces with the wrong sign.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use md_core::{Batch, Configuration, Potential, Request, System, Vec3};
use md_io::extxyz::{self, LabelKeys, LabelledFrame};
use md_metrics::composition;
use md_results::ForceErrors;

use crate::measure::evaluate::formula;

/// Number of frames evaluated with the model, evenly spread over all frames.
const SAMPLE: usize = 16;

/// Forces that agree within this value plus this fraction of their root mean square are equal except for rounding:
/// single and double precision of one model differ by about 5e-6 eV/Å, four decimals in a file by 3e-5.
const SAME_EV_PER_ANGSTROM: f64 = 1e-5;
const SAME_PART: f64 = 1e-4;

/// Decimal places of forces, eV/Å, to which labels may be rounded, and the most that is lost of their root mean square: forces that
/// differ by no more than half of the last place are equal. More places are within the tolerance above.
const FEWEST_PLACES: i32 = 2;
const MOST_PLACES: i32 = 5;
const MOST_ROUNDING: f64 = 0.01;

/// Labels are a model's own if more than one frame in this number has its forces: no reference agrees by chance.
const OWN_ONE_OF: usize = 4;

/// Cosine to the model's forces below which either they or the labels have the wrong sign.
const OPPOSITE_COSINE: f64 = -0.9;

/// Correlation of length and tension of bonds beyond which labels are forces (negative) or gradients (positive). The forces
/// of molecules at 300 and 600 K have -0.82 to -1.00 in three or sixteen frames of each file of data/test.
const DECISIVE_CORRELATION: f64 = 0.5;

/// Error message for labels that are the model's own.
pub const OWN: &str =
    "the labels are the model's own forces: label the frames with a reference program first";

/// Error message for labels that do not occur in a molecule in motion.
const ALL_ZERO: &str = "all forces are zero: these are no labels";

/// Evenly spread sample of the frames with forces in a stream of unknown length.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    frames: Vec<LabelledFrame>,
    /// Number of frames seen.
    passed: usize,
    /// Number of frames seen whose forces are all zero.
    n_zero: usize,
    /// Logarithm to base 2 of the stride between sampled frames.
    stride_log2: u32,
}

impl Sample {
    /// Offers the next frame with forces.
    pub fn push(&mut self, frame: LabelledFrame) {
        self.n_zero += usize::from(is_zero(&frame));
        if self.passed.is_multiple_of(1 << self.stride_log2) {
            if self.frames.len() == SAMPLE {
                let mut kept = (0..SAMPLE).map(|n| n.is_multiple_of(2));
                self.frames.retain(|_| kept.next().unwrap_or(false));
                self.stride_log2 += 1;
            }
            // The sampled frames are still every 2^n-th, since their number was even.
            self.frames.push(frame);
        }
        self.passed += 1;
    }

    /// Checks that not all frames seen have zero forces.
    ///
    /// # Errors
    /// All forces are zero.
    pub fn check_not_all_zero(&self) -> Result<()> {
        if self.passed > 0 && self.n_zero == self.passed {
            bail!(ALL_ZERO);
        }
        Ok(())
    }

    /// Says what the labels look like by how they pull on bonds, if they are no forces in eV/Å.
    pub fn fault_by_bonds(&self) -> Option<String> {
        md_metrics::bond_forces(self.labelled())?.fault()
    }

    /// Returns an objection to these frames as labels, if any: they are the forces of `potentials`, which are one
    /// model, or have the opposite sign. Potentials that fail are ignored here.
    pub fn fault(&self, potentials: [&mut dyn Potential; 2]) -> Option<Fault> {
        let sums = potentials.map(|potential| self.sums(potential));
        let answered = || sums.iter().flatten();
        if let Some(same) =
            answered().map(|s| s.same).max().filter(|same| OWN_ONE_OF * same > self.frames.len())
        {
            return Some(Fault::Own { same, asked: self.frames.len() });
        }
        if let Some(fault) = answered().next().and_then(Sums::other_unit) {
            return Some(fault);
        }
        let cosine = answered().map(|s| s.product / (s.predicted * s.reference).sqrt()).next()?;
        let opposite = cosine < OPPOSITE_COSINE;
        let correlation = self.bond_correlation().filter(|c| c.abs() > DECISIVE_CORRELATION);
        // Otherwise the model has the wrong sign, which its force errors tell.
        (opposite && correlation.is_none_or(|c| c > 0.0)).then_some(Fault::Opposite { cosine, correlation })
    }

    /// Returns the correlation, over the frames of one molecule, between the distance of each atom from its nearest
    /// neighbour and the force that pulls the two apart. A stretched bond pulls its atoms together, so that it is negative for
    /// forces, whatever the model. `None` if there are no two frames of one molecule.
    fn bond_correlation(&self) -> Option<f64> {
        let positions = self.frames.first()?.system.positions();
        let nearest = |i: usize| {
            let others = (0..positions.len()).filter(|&j| j != i);
            let squared = |&j: &usize| (positions[j] - positions[i]).norm_squared();
            others.min_by(|a, b| squared(a).total_cmp(&squared(b)))
        };
        let pairs: Vec<(usize, usize)> =
            (0..positions.len()).filter_map(|i| Some((i, nearest(i)?))).collect();
        Some(md_metrics::pair_forces(self.labelled(), &pairs)?.correlation)
    }

    fn labelled(&self) -> impl Iterator<Item = (&System, &[Vec3])> + Clone {
        self.frames.iter().filter_map(|f| Some((&f.system, f.forces.as_deref()?)))
    }

    /// Returns half the last decimal place of the forces of all frames, eV/Å, where they were rounded to a few places.
    fn half_of_last_place(&self) -> Option<f64> {
        let components =
            || self.frames.iter().flat_map(|f| &f.forces).flatten().flat_map(|force| force.iter());
        let rounded_to = |places: &i32| {
            let units = 10_f64.powi(*places);
            components().all(|x| (x * units - (x * units).round()).abs() < 1e-6)
        };
        let places = (0..=MOST_PLACES).find(rounded_to)?;
        (places >= FEWEST_PLACES).then(|| 0.5 * 10_f64.powi(-places))
    }

    fn sums(&self, potential: &mut dyn Potential) -> Option<Sums> {
        let rounding = self.half_of_last_place();
        let mut sums = Sums::default();
        let mut answer = md_core::Evaluation::default();
        for frame in &self.frames {
            let Some(reference) = &frame.forces else { continue };
            let batch = Batch::new(std::slice::from_ref(&frame.system));
            let configuration = Configuration { batch: &batch, positions: frame.system.positions() };
            potential.evaluate(configuration, Request::FORCES, &mut answer).ok()?;
            let (mut squared, mut difference, mut largest) = (0.0, 0.0, 0.0_f64);
            for (p, r) in answer.forces.iter().zip(reference) {
                sums.predicted += p.norm_squared();
                sums.product += p.dot(r);
                squared += r.norm_squared();
                difference += (p - r).norm_squared();
                largest = largest.max((p - r).amax());
            }
            sums.reference += squared;
            let components = 3.0 * reference.len() as f64;
            let rms = (squared / components).sqrt();
            let as_rounded = rounding
                .is_some_and(|half| half < MOST_ROUNDING * rms && largest < half + SAME_EV_PER_ANGSTROM);
            sums.same += usize::from(as_rounded || same((difference / components).sqrt(), rms));
        }
        Some(sums)
    }
}

/// An objection to frames as labels.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The labels of `same` of the `asked` frames are the model's own forces.
    Own { same: usize, asked: usize },
    /// The labels have the opposite sign of the model's forces, and do not pull stretched bonds together; or it cannot be told
    /// what they do to bonds.
    Opposite { cosine: f64, correlation: Option<f64> },
    /// The model's forces are `factor` times the labels, as if these were in another unit.
    OtherUnit { unit: &'static str, factor: f64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Own { same, asked } if same == asked => f.write_str(OWN),
            Fault::Own { same, asked } => write!(f, "{OWN} ({same} of {asked} frames asked)"),
            Fault::OtherUnit { unit, factor } => write!(
                f,
                "the labels look like {unit}: the model's forces are {} times as large, and agree when scaled; give them in eV/Å",
                md_results::number(*factor)
            ),
            Fault::Opposite { cosine, correlation: Some(_) } => write!(
                f,
                "the labels look like gradients (minus the forces): they pull stretched bonds further apart, and their cosine \
                 with the model's forces is {cosine:.3}; give forces"
            ),
            Fault::Opposite { cosine, correlation: None } => write!(
                f,
                "the labels look like gradients (minus the forces), unless the model's forces have the wrong sign: the cosine \
                 between them is {cosine:.3}, and these frames do not show whose; give forces, and more frames of one molecule"
            ),
        }
    }
}

/// Sums over the components of a model's forces and the labels.
#[derive(Default)]
struct Sums {
    predicted: f64,
    product: f64,
    reference: f64,
    /// Number of frames with equal forces.
    same: usize,
}

impl Sums {
    /// Returns an objection to labels that are the model's forces in another unit, to within a third of their error.
    fn other_unit(&self) -> Option<Fault> {
        let factor = self.product / self.reference;
        let squared_error = self.predicted - 2.0 * self.product + self.reference;
        let scaled = self.predicted - factor * self.product;
        let unit = md_criteria::unit_of_labels(factor)?;
        (9.0 * scaled < squared_error).then_some(Fault::OtherUnit { unit, factor })
    }
}

/// Whether forces that differ by `rmse` are equal, where `rms` is that of the labels, eV/Å. Zero labels belong to
/// single atoms and give no information.
fn same(rmse: f64, rms: f64) -> bool {
    rms > 0.0 && rmse < SAME_EV_PER_ANGSTROM + SAME_PART * rms
}

/// Whether labels with these errors are the model's own predictions.
pub fn are_own(errors: &ForceErrors) -> bool {
    same(errors.rmse_ev_per_angstrom, errors.reference_rms_ev_per_angstrom)
}

/// Checks that frame `n` of a file has the atoms of `system`, in any order.
///
/// # Errors
/// The frame has other atoms.
pub fn check_atoms(n: usize, frame: &LabelledFrame, system: &System) -> Result<()> {
    let [found, expected] = [&frame.system, system].map(|s| composition(s.elements()));
    if found != expected {
        bail!("frame {n} is {}, the structure is {}", formula(&found), formula(&expected));
    }
    Ok(())
}

/// Returns the error message for a frame without forces, with a suggested fix.
pub fn no_forces(frame: &LabelledFrame) -> String {
    if frame.info.contains_key(crate::frames::MODEL_ENERGY) {
        return "no forces: these frames hold the model's own answers (model_forces): label them with a reference program first"
            .to_owned();
    }
    let there = like_forces(frame).map(|column| {
        let caution = if column.to_lowercase().contains("force") { "" } else { ", with the sign of forces" };
        format!("; it has '{column}': rename that if it holds the labels in eV/Å{caution}")
    });
    format!("no forces (expected a column forces:R:3 in Properties{})", there.unwrap_or_default())
}

/// Returns the column of a frame that may hold its forces under another name.
pub fn like_forces(frame: &LabelledFrame) -> Option<&str> {
    let columns = || frame.other_columns.iter().map(String::as_str);
    let like = |word: &str| columns().find(|column| column.to_lowercase().contains(word));
    like("force").or_else(|| like("grad")).or_else(|| columns().find(|column| *column == "f"))
}

/// Charge and spin of the frames of a file, which no model knows of.
#[derive(Debug, Default)]
pub struct Charges {
    /// The first value of each key, with its frame.
    first: BTreeMap<String, (usize, String)>,
}

impl Charges {
    const KEYS: [&str; 6] =
        ["charge", "total_charge", "net_charge", "spin", "multiplicity", "spin_multiplicity"];

    /// Looks at frame `n` of a file.
    ///
    /// # Errors
    /// A key for charge or spin has another value than in a frame before.
    pub fn push(&mut self, n: usize, frame: &LabelledFrame) -> Result<()> {
        for (key, value) in &frame.info {
            if !Self::KEYS.contains(&key.to_lowercase().as_str()) {
                continue;
            }
            let (first, before) = self.first.entry(key.clone()).or_insert_with(|| (n, value.clone()));
            let numbers = [&*before, value].map(|text| text.parse::<f64>().ok());
            let same = before == value || (numbers[0].is_some() && numbers[0] == numbers[1]);
            if !same {
                bail!(
                    "frame {first} has {key}={before}, frame {n} {key}={value}: a model knows the atoms alone and gives both one \
                     energy; put the frames of each {key} in a file of their own, and judge by those of the {key} that it was \
                     trained on"
                );
            }
        }
        Ok(())
    }
}

/// Checks that not all of `frames` have zero forces, which does not occur in a molecule in motion.
///
/// # Errors
/// All forces are zero.
pub fn check_not_all_zero<'a>(frames: impl IntoIterator<Item = &'a LabelledFrame>) -> Result<()> {
    let mut labelled = frames.into_iter().filter(|f| f.forces.is_some()).peekable();
    if labelled.peek().is_some() && labelled.all(is_zero) {
        bail!(ALL_ZERO);
    }
    Ok(())
}

/// Whether all forces of a frame are zero; false for a single atom, whose force is always zero.
fn is_zero(frame: &LabelledFrame) -> bool {
    frame.system.n_atoms() > 1
        && frame.forces.as_ref().is_some_and(|forces| forces.iter().all(|f| f.norm_squared() == 0.0))
}

/// Reads a file completely and checks that it has frames with the same atoms as `system` and, if `with_forces`, that
/// some of them have forces that are not all zero. Returns a sample of the frames with forces.
///
/// # Errors
/// The file fails one of these checks.
pub fn check_reference(reference: &Path, system: &System, with_forces: bool) -> Result<Sample> {
    let mut sample = Sample::default();
    let (mut first_without, mut charges) = (None, Charges::default());
    for (n, frame) in extxyz::open(reference, LabelKeys::default())?.enumerate() {
        let frame = frame?;
        check_atoms(n, &frame, system).with_context(|| reference.display().to_string())?;
        charges.push(n, &frame).with_context(|| reference.display().to_string())?;
        if frame.forces.is_some() {
            sample.push(frame);
        } else if first_without.is_none() {
            first_without = Some(no_forces(&frame));
        }
    }
    match (sample.passed, first_without) {
        (0, None) => bail!("{}: there are no frames", reference.display()),
        (0, Some(why)) if with_forces => bail!("{}: {why}", reference.display()),
        _ => {
            if with_forces {
                sample.check_not_all_zero().with_context(|| reference.display().to_string())?;
                if let Some(fault) = sample.fault_by_bonds() {
                    bail!("{}: {fault}", reference.display());
                }
            }
            Ok(sample)
        }
    }
}

/// Returns the one of `names` that most probably is the `kind` ("energy" or "forces") of a reference program.
pub fn probable<'n>(kind: &str, names: impl IntoIterator<Item = &'n String>) -> Option<&'n str> {
    let singular = kind.trim_end_matches('s');
    names
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let no_label = lower.starts_with("model_") || lower.contains("kinetic");
            let rank = match lower.trim_end_matches('s') {
                _ if no_label => return None,
                same if same == singular => 0,
                longer if longer.ends_with(singular) => 1,
                _ => return None,
            };
            Some((rank, name.as_str()))
        })
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use md_core::Element;
    use md_probe::analytic::LennardJones;

    use super::*;

    /// Creates argon dimers of increasing length with forces of `factor` times the potential's.
    fn dimers(n: usize, factor: f64) -> Vec<LabelledFrame> {
        let mut potential = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };
        (0..n)
            .map(|k| {
                let positions = vec![Vec3::zeros(), Vec3::new(3.5 + 0.01 * k as f64, 0.0, 0.0)];
                let system = System::new(vec![Element::AR; 2], positions).unwrap();
                let state = md_core::State::at_rest(std::slice::from_ref(&system), &mut potential).unwrap();
                let forces = state.evaluation().forces.iter().map(|f| factor * f).collect();
                LabelledFrame {
                    system,
                    energy_ev: None,
                    forces: Some(forces),
                    velocities: None,
                    other_columns: Vec::new(),
                    info: BTreeMap::new(),
                }
            })
            .collect()
    }

    #[test]
    fn sample_is_strided_over_all_frames() {
        for n in [1, 15, 16, 17, 33, 1000] {
            let mut sample = Sample::default();
            let frames = dimers(n, 1.0);
            frames.iter().for_each(|frame| sample.push(frame.clone()));
            let kept = sample.frames.len();
            assert!((n.min(9)..=SAMPLE).contains(&kept), "{n}: {kept}");
            let places: Vec<usize> = sample
                .frames
                .iter()
                .map(|kept| frames.iter().position(|frame| frame == kept).unwrap())
                .collect();
            let stride = 1 << sample.stride_log2;
            assert_eq!(places, (0..n).step_by(stride).collect::<Vec<_>>(), "{n}");
        }
    }

    #[test]
    fn probable_finds_names_of_labels() {
        for (kind, names, expected) in [
            ("forces", &["pos", "species", "force"][..], Some("force")),
            ("forces", &["dft_forces", "Forces"], Some("Forces")),
            ("forces", &["REF_forces", "magmoms"], Some("REF_forces")),
            ("forces", &["model_forces", "pos"], None),
            ("energy", &["Energy", "dft_energy"], Some("Energy")),
            ("energy", &["kinetic_energy", "model_energy", "time_ps"], None),
        ] {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(probable(kind, &names), expected, "{names:?}");
        }
    }

    #[test]
    fn sample_fault_detects_own_forces_as_labels() {
        let fault = |frames: &[LabelledFrame]| {
            let mut sample = Sample::default();
            frames.iter().for_each(|frame| sample.push(frame.clone()));
            let mut potentials = [(); 2].map(|()| LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 });
            let [a, b] = &mut potentials;
            sample.fault([a, b]).map(|fault| fault.to_string())
        };
        assert_eq!(fault(&dimers(20, 1.0)).as_deref(), Some(OWN));
        assert_eq!(fault(&dimers(20, 1.01)), None);
        // The forces are 0.008 to 0.03 eV/Å: two decimals leave little of them.
        for (places, own) in [(6, true), (5, true), (4, true), (2, false)] {
            let mut rounded = dimers(20, 1.0);
            let units = 10_f64.powi(places);
            for force in rounded.iter_mut().flat_map(|frame| &mut frame.forces).flatten() {
                *force = force.map(|x| (x * units).round() / units);
            }
            assert_eq!(fault(&rounded).is_some(), own, "{places} places");
        }
        let mut but_one = dimers(20, 1.0);
        but_one[4] = dimers(5, 1.1).remove(4);
        assert!(fault(&but_one).unwrap().contains("(9 of 10 frames asked)"));
        let mut only_one = dimers(20, 1.1);
        only_one[4] = dimers(5, 1.0).remove(4);
        assert_eq!(fault(&only_one), None);
        assert!(fault(&dimers(20, -0.9)).unwrap().contains("gradients (minus the forces): they pull"));
        assert!(fault(&dimers(1, -0.9)).unwrap().contains("unless the model's forces have the wrong sign"));
        assert_eq!(fault(&dimers(20, 0.0)), None, "no angle");
        assert!(fault(&dimers(20, 23.06)).unwrap().starts_with("the labels look like kcal/mol/Å: "));
        assert_eq!(fault(&dimers(20, 20.0)), None, "no unit");
        assert_eq!(fault(&[]), None);
    }

    #[test]
    fn sample_fault_does_not_blame_labels_for_model_of_wrong_sign() {
        let mut sample = Sample::default();
        dimers(20, 1.0).into_iter().for_each(|frame| sample.push(frame));
        let mut reversed = [(); 2].map(|()| LennardJones { epsilon_ev: -0.0104, sigma_angstrom: 3.4 });
        let [a, b] = &mut reversed;
        assert_eq!(sample.fault([a, b]), None);
    }

    fn frame(comment: &str, columns: &str) -> LabelledFrame {
        let text =
            format!("1\nProperties=species:S:1:pos:R:3{columns} {comment}\nH 0 0 0{}\n", " 1".repeat(3));
        extxyz::from_reader(text.as_bytes(), "f", LabelKeys::default()).unwrap().next().unwrap().unwrap()
    }

    #[test]
    fn no_forces_names_column_that_may_hold_them() {
        for (column, named) in [
            ("force", "it has 'force': rename that if it holds the labels in eV/Å)"),
            ("REF_forces", "it has 'REF_forces'"),
            (
                "gradient",
                "it has 'gradient': rename that if it holds the labels in eV/Å, with the sign of forces)",
            ),
            ("f", "it has 'f'"),
            ("dipoles", "(expected a column forces:R:3 in Properties)"),
        ] {
            let message = no_forces(&frame("", &format!(":{column}:R:3")));
            assert!(message.contains(named), "{column}: {message}");
        }
        let own = no_forces(&frame("model_energy=1", ":model_forces:R:3"));
        assert!(own.contains("the model's own answers"), "{own}");
    }

    #[test]
    fn charges_of_a_file_are_one() {
        let read = |comments: [&str; 3]| {
            let mut charges = Charges::default();
            let mut frames = comments.iter().enumerate();
            frames.try_for_each(|(n, comment)| charges.push(n, &frame(comment, ":tags:R:3")))
        };
        for same in
            [["charge=-1", "charge=-1.0", ""], ["", "spin=2", "spin=2"], ["energy=1", "step=2", "step=3"]]
        {
            read(same).unwrap();
        }
        for (other, named) in [
            (
                ["charge=-1", "", "charge=0"],
                "frame 0 has charge=-1, frame 2 charge=0: a model knows the atoms alone",
            ),
            (["", "Spin=1", "Spin=3"], "frame 1 has Spin=1, frame 2 Spin=3"),
            (["multiplicity=1", "multiplicity=?", ""], "frame 0 has multiplicity=1, frame 1 multiplicity=?"),
        ] {
            let message = read(other).unwrap_err().to_string();
            assert!(message.starts_with(named), "{message}");
        }
    }
}
