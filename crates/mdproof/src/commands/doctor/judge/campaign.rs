use super::Item;
use crate::commands::doctor::readings::{Campaign, DataFile, Kind, Loading, Model, Molecule, Plan, Reading};

/// Judges the plan, every model and every molecule of a campaign.
pub(super) fn judge(campaign: &Campaign) -> Vec<Item> {
    let plan = match &campaign.plan {
        Plan::Runs(1) => Item::ok("campaign", format!("{}: 1 run", campaign.file)),
        Plan::Runs(runs) => Item::ok("campaign", format!("{}: {runs} runs", campaign.file)),
        Plan::Failed(error) => {
            Item::problem("campaign", error, "fix the campaign file; nothing that it names was looked at")
        }
    };
    let models = campaign.models.iter().map(model);
    std::iter::once(plan).chain(models).chain(campaign.molecules.iter().flat_map(molecule)).collect()
}

fn model(model: &Model) -> Item {
    let subject = format!("model {}", model.name);
    match &model.outcome {
        Loading::Control => Item::ok(&subject, "closed form: tests the engine, approves no model"),
        Loading::NotGiven => {
            let advice = format!(
                "give it with --model {}=CHECKPOINT: without it the verdict is INCOMPLETE",
                model.name
            );
            Item::warning(&subject, "no checkpoint", &advice)
        }
        Loading::Loaded { architecture, parameters, precision, device, device_refused, assumptions } => {
            let assumed = match assumptions.as_slice() {
                [] => String::new(),
                texts => format!("; assumed: {}", texts.join("; ")),
            };
            let found = format!("{architecture}, {parameters} parameters, {precision}, on {device}{assumed}");
            match device_refused {
                None => Item::ok(&subject, found),
                Some(refused) => Item::warning(
                    &subject,
                    format!("{found}: {refused}"),
                    "run where that device is, or take `device` out of the campaign file",
                ),
            }
        }
        Loading::Failed(error) => Item::problem(
            &subject,
            error,
            "fix or replace the file that is named: nothing can be judged with it",
        ),
    }
}

/// Returns an item for the molecule and for each of its invalid files.
fn molecule(molecule: &Molecule) -> Vec<Item> {
    let broken: Vec<Item> = molecule.files.iter().filter_map(broken_file).collect();
    match &molecule.atoms {
        Reading::Failed(error) if broken.is_empty() => {
            let advice = "fix the data or the campaign file: the campaign stops here";
            vec![Item::problem(&format!("molecule {}", molecule.name), error, advice)]
        }
        Reading::Count(atoms) if broken.is_empty() => {
            let data = [("reference", Kind::Reference), ("trajectory", Kind::Trajectory)];
            let read: String =
                data.iter().filter_map(|&(name, kind)| frames_of(name, kind, &molecule.files)).collect();
            vec![Item::ok(&format!("molecule {}", molecule.name), format!("{atoms} atoms{read}"))]
        }
        _ => broken,
    }
}

fn broken_file(file: &DataFile) -> Option<Item> {
    let Reading::Failed(error) = &file.frames else { return None };
    let advice = match file.kind {
        Kind::Structure => "fix or replace the structure: the campaign stops here",
        Kind::Reference => "fix or replace the file, or take it out of `reference`",
        Kind::Trajectory => "fix or replace the file, or take it out of `trajectory`",
    };
    Some(Item::problem(&file.path, error, advice))
}

fn frames_of(name: &str, kind: Kind, files: &[DataFile]) -> Option<String> {
    let counts: Vec<usize> = files
        .iter()
        .filter(|file| file.kind == kind)
        .filter_map(|file| match file.frames {
            Reading::Count(frames) => Some(frames),
            Reading::Failed(_) => None,
        })
        .collect();
    let frames: usize = counts.iter().sum();
    let files = if counts.len() == 1 { "file" } else { "files" };
    (!counts.is_empty()).then(|| format!("; {name}: {frames} frames in {} {files}", counts.len()))
}
