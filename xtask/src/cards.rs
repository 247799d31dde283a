//! `cargo xtask cards`: writes the model card of every student in data/checkpoints, from its files and from the results
//! of `mdproof evaluate` on every test set.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::mdproof;

/// Molecules of the main campaign, whose test sets are listed first.
const SMALL: [&str; 3] = ["water", "methane", "alanine"];

pub fn write(root: &Path) -> Result<()> {
    let tests = labelled(&root.join("data/test"))?;
    let (small, drug_like) = tests.into_iter().partition::<Vec<_>, _>(|path| {
        path.file_name().is_some_and(|name| SMALL.iter().any(|m| name.to_string_lossy().starts_with(m)))
    });
    let sets = [
        ("Other trajectories of water, methane and alanine, against the teacher", small),
        ("Other trajectories of the drug-like molecules of training, against the teacher", drug_like),
        (
            "Molecules that were not in training, against the teacher",
            labelled(&root.join("data/test/held_out"))?,
        ),
        ("Density functional theory: PBE0-D3(BJ)/def2-TZVP", labelled(&root.join("data/dft"))?),
    ];
    let students = root.join("data/checkpoints");
    let mut folders: Vec<PathBuf> = fs::read_dir(&students)
        .with_context(|| students.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    for folder in folders {
        let mut card = head(root, &folder)?;
        for (title, files) in &sets {
            write!(card, "\n### {title}\n\n{}", evaluate(root, &folder, files)?)?;
        }
        card += LIMITS;
        let path = folder.join("README.md");
        fs::write(&path, card).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Returns the labelled frames in a folder, sorted by name.
fn labelled(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|path| path.to_string_lossy().ends_with(".extxyz.gz"));
    files.sort();
    Ok(files)
}

/// Returns the table of errors on `files`, with names relative to the repository.
fn evaluate(root: &Path, folder: &Path, files: &[PathBuf]) -> Result<String> {
    let relative = |path: &Path| path.strip_prefix(root).map_or_else(|_| path.to_owned(), Path::to_owned);
    let output = mdproof(&["--quiet"])
        .arg("evaluate")
        .arg(relative(folder))
        .args(files.iter().map(|path| relative(path)))
        .arg("--markdown")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be started")?;
    if !output.status.success() {
        bail!("mdproof evaluate {} ended with {}", folder.display(), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn head(root: &Path, folder: &Path) -> Result<String> {
    let (config, training) = (read(&folder.join("config.json"))?, read(&folder.join("training.json"))?);
    let manifest = read(&root.join("data/manifest.json"))?;
    let level = manifest["files"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|file| file["what"] == "train")
        .and_then(|file| file["level"].as_str())
        .context("data/manifest.json: no training file with its level")?;
    let name = folder.file_name().context("a folder has a name")?.to_string_lossy();
    let get = |of: &Value, pointer: &str| {
        of.pointer(pointer).map(ToString::to_string).with_context(|| format!("{name}: no {pointer}"))
    };
    let elements: Vec<&str> =
        config["elements"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let frames: u64 =
        training["data"].as_array().into_iter().flatten().filter_map(|file| file["frames"].as_u64()).sum();
    let molecules: Vec<String> =
        training["split"].as_object().into_iter().flatten().map(|(m, _)| m.clone()).collect();
    let validation = training
        .pointer("/validation/force_rmse_ev_per_angstrom")
        .and_then(Value::as_f64)
        .with_context(|| format!("{name}: no validation error"))?;
    let start = match training["start_from_sha256"].as_str() {
        Some(sha256) => format!("the checkpoint `{sha256}` ({})", get(&training, "/config/start_from")?),
        None => "random weights".to_owned(),
    };
    Ok(format!(
        "# {name}\n\n\
         PaiNN student of SO3LR, trained by `mdproof train configs/train/{name}.toml`. This card is written by\n\
         `cargo xtask cards`: its numbers are measured, none is typed.\n\n\
         | | |\n|---|---|\n\
         | parameters | {} |\n\
         | elements | {} |\n\
         | cutoff | {} Å |\n\
         | interactions, width, radial functions | {}, {}, {} |\n\
         | level of the labels | {level}, itself of PBE0+MBD forces |\n\
         | training data | {frames} frames of {} molecules: {} ([data](../../README.md)) |\n\
         | started from | {start} |\n\
         | steps, batch | {} (best), {} |\n\
         | validation force RMSE, all temperatures | {validation:.4} eV/Å |\n\
         | model.safetensors, SHA-256 | `{}` |\n\
         | licence | MIT OR Apache-2.0; weights of the teacher MIT |\n\n\
         ## Errors on test sets\n",
        get(&config, "/num_parameters")?,
        elements.join(" "),
        get(&config, "/cutoff")?,
        get(&config, "/num_interactions")?,
        get(&config, "/hidden_dim")?,
        get(&config, "/num_rbf")?,
        molecules.len(),
        molecules.join(", "),
        get(&training, "/step")?,
        get(&training, "/config/optimiser/batch_size")?,
        training["model_sha256"].as_str().context("no model_sha256")?,
    ))
}

const LIMITS: &str = "
## Known limits

- Neutral closed-shell molecules of the elements above. No ions, radicals, zwitterions, metals.
- Nothing acts beyond the cutoff and what messages carry: no long-range electrostatics or dispersion. Contacts between
  molecules were not in training.
- Trained up to 1000 K around the conformers of `data/train`. Broken bonds are smooth and repulsive at short range, but no
  chemistry.
- Energies mean differences within one molecule.
- As good as its teacher at best; how far that is from PBE0 is in `data/README.md`.
";
