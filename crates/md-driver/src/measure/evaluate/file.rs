//! Errors on one file of labelled frames, whose labels are checked as those of a campaign.

use anyhow::{Context, Result, bail};
use md_io::extxyz::{LabelKeys, Names};
use md_results::Evaluation;
use serde::Serialize;

use super::{Errors, Source, read};
use crate::error::CampaignError;
use crate::labels::{self, Charges, Fault, Sample};
use crate::models::LoadedModel;

/// Names of the labels that the user gave; `None` is the default of [`LabelKeys`].
#[derive(Debug, Clone, Default)]
pub struct GivenKeys {
    /// Key of the energy in the comment line.
    pub energy: Option<String>,
    /// Column of the forces.
    pub forces: Option<String>,
}

/// Errors on a file of labelled frames, and remarks on its labels.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluated {
    /// The errors.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Why there are no errors of forces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_forces: Option<String>,
    /// Why there are no errors of energies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_energies: Option<String>,
    /// What was assumed in loading the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<String>,
    /// What is remarkable about the labels, such as another unit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Returns the errors of a model on a file of labelled frames; `seen` is called after every frame.
///
/// # Errors
/// A frame that cannot be read or that the potential cannot answer, a key that the user gave and that no frame has, and
/// labels that cannot be those of a reference program: all zero, gradients, or of several charges. The model's own forces are a
/// warning.
pub fn evaluate_file(
    source: Source<'_>,
    model: &mut LoadedModel,
    given: &GivenKeys,
    seen: impl Fn(),
) -> Result<Evaluated, CampaignError> {
    Ok(evaluate_file_inner(source, model, given, seen)?)
}

fn evaluate_file_inner(
    source: Source<'_>,
    model: &mut LoadedModel,
    given: &GivenKeys,
    seen: impl Fn(),
) -> Result<Evaluated> {
    let default = LabelKeys::default();
    let keys = LabelKeys {
        energy: given.energy.clone().unwrap_or(default.energy),
        forces: given.forces.clone().unwrap_or(default.forces),
        required: false,
    };
    let mut sample = Sample::default();
    let mut errors = Errors::default();
    let (mut charges, mut n, mut of_two_charges) = (Charges::default(), 0, None);
    let names = read(source, model.potential.as_mut(), &keys, &mut errors, |frame| {
        of_two_charges = of_two_charges.take().or_else(|| charges.push(n, &frame).err());
        n += 1;
        if frame.forces.is_some() {
            sample.push(frame);
        }
        seen();
    })?;
    let file = || source.frames.display().to_string();
    if let Some(fault) = of_two_charges {
        return Err(fault.context(file()));
    }
    let absent = |kind: Kind, is_present: bool, name: &str| {
        (!is_present).then(|| {
            let advice = kind.likely(&names).map_or(String::new(), |likely| format!(": {likely}"));
            format!("no frame has the {} '{name}' ({}){advice}", kind.words(), kind.present(&names))
        })
    };
    let no_forces = absent(Kind::Forces, errors.has_forces(), &keys.forces);
    let no_energies = absent(Kind::Energy, errors.has_energies(), &keys.energy);
    for (missing, given) in [(&no_forces, &given.forces), (&no_energies, &given.energy)] {
        if let (Some(missing), Some(_)) = (missing, given) {
            bail!("{}: {missing}", file());
        }
    }
    errors.check_any(source, &keys, &names)?;
    sample.check_not_all_zero().with_context(file)?;
    // Own forces are no evidence, but they tell whether a copy of a model in another format is the same model.
    let own = match sample.fault([model.oracle.as_mut(), model.potential.as_mut()]) {
        Some(fault @ Fault::Opposite { .. }) => bail!("{}: {fault}", file()),
        Some(fault @ Fault::Own { .. }) => Some(fault.to_string()),
        // The errors have a warning, since the scaled ones are of interest.
        Some(Fault::OtherUnit { .. }) | None => None,
    };
    let by_bonds = sample.fault_by_bonds();
    let evaluation = errors.evaluation(source)?;
    let no_energies = no_energies.or_else(|| {
        evaluation.energy.is_none().then(|| "no two labelled frames share a composition".to_owned())
    });
    let warnings = own.into_iter().chain(md_criteria::common_factor(&evaluation).or(by_bonds)).collect();
    let assumptions = model.record.assumptions.clone();
    Ok(Evaluated { evaluation, no_forces, no_energies, assumptions, warnings })
}

/// A kind of label.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Energy,
    Forces,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Kind::Energy => "energy key",
            Kind::Forces => "force column",
        }
    }

    /// Says which names of this kind a file has.
    pub(super) fn present(self, names: &Names) -> String {
        let (what, names) = match self {
            Kind::Energy => ("keys", &names.keys),
            Kind::Forces => ("columns", &names.columns),
        };
        if names.is_empty() {
            return format!("the file has no {what}");
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("the file has the {what} {}", names.join(", "))
    }

    /// Suggests an option for the name that most probably is this label.
    pub(super) fn likely(self, names: &Names) -> Option<String> {
        let (kind, what, option, names) = match self {
            Kind::Energy => ("energy", "key", "--energy-key", &names.keys),
            Kind::Forces => ("forces", "column", "--forces-key", &names.columns),
        };
        let name = labels::probable(kind, names)?;
        Some(format!("it has a {what} {name}: give {option} {name}"))
    }
}
