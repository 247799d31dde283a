//! Joins the shards of a campaign: collects their measurements, and adds those that need all shards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use md_results::Results;

use super::identity::Identity;
use super::options::{Begin, CampaignOptions, Output, Session, quoted};
use super::ran::TRAJECTORIES;
use super::store::{self, FOLDER, Store};
use super::whole::Campaign;
use crate::config::Own;
use crate::error::CampaignError;
use crate::progress::Progress;

/// Stage result that each shard measures for itself, with different times.
const MACHINE: &str = "machine";

/// Joins the shards of a campaign in the folders `shards`, and writes the complete results to `out`.
///
/// # Errors
/// Shards are missing, duplicated, unfinished or from different campaigns, or inputs have changed since.
pub fn merge(
    shards: &[PathBuf],
    out: &Path,
    session: &Session,
    progress: &dyn Progress,
) -> Result<Results, CampaignError> {
    Ok(join(shards, out, session, progress)?.run_inner()?)
}

/// Opens the complete campaign, with the measurements of the shards in its store.
fn join<'p>(
    shards: &[PathBuf],
    out: &Path,
    session: &Session,
    progress: &'p dyn Progress,
) -> Result<Campaign<'p>> {
    let identities = shards.iter().map(|folder| identity(folder)).collect::<Result<Vec<_>>>()?;
    let Some(first) = identities.first() else { bail!("no shards were given") };
    all_there(shards, &identities)?;
    for (folder, identity) in shards.iter().zip(&identities).skip(1) {
        let mut other = identity.clone();
        other.options.shard = first.options.shard;
        let differences = first.differences(&other);
        if !differences.is_empty() {
            bail!(
                "{} and {} are no shards of one campaign:\n  {}",
                shards[0].display(),
                folder.display(),
                differences.join("\n  ")
            );
        }
    }

    let options = CampaignOptions { shard: None, ..first.options.clone() };
    let config = options.load_config(&Own::default())?;
    let whole = Identity { options: options.clone(), ..first.clone() };
    let differences = whole.differences(&Identity::new(&config, &options)?);
    if !differences.is_empty() {
        bail!(
            "the shards were measured with other inputs:\n  {}\ngive them back to join the shards",
            differences.join("\n  ")
        );
    }
    let output = Output::Folder { path: out.to_owned(), begin: Begin::Resume };
    let mut campaign = Campaign::open(&config, &options, &output, session, progress)?;
    let folders: Vec<String> = shards.iter().map(|folder| quoted(folder)).collect();
    campaign.resume = Some(format!("mdproof merge {} --out {}", folders.join(" "), quoted(out)));
    campaign.identity.started = identities.iter().map(|i| i.started.clone()).min().unwrap_or_default();
    gather(shards, &campaign.store)?;
    for folder in shards {
        copy_trajectories(folder, out)?;
    }
    Ok(campaign)
}

fn identity(folder: &Path) -> Result<Identity> {
    Identity::read(&folder.join(FOLDER))?.with_context(|| {
        format!(
            "{}: there is no shard of a campaign here (expected what mdproof validate --shard I/N --out writes)",
            folder.display()
        )
    })
}

/// Checks that every shard is present exactly once and finished.
fn all_there(shards: &[PathBuf], identities: &[Identity]) -> Result<()> {
    let mut seen: BTreeMap<usize, &Path> = BTreeMap::new();
    let mut of = None;
    for (folder, identity) in shards.iter().zip(identities) {
        let shard = match identity.options.shard {
            Some(shard) => shard,
            None => bail!("{} holds a whole campaign, not a shard of one", folder.display()),
        };
        if *of.get_or_insert(shard.count) != shard.count {
            bail!(
                "{} holds shard {shard}, the folders before it shards of {}",
                folder.display(),
                of.unwrap_or_default()
            );
        }
        if let Some(other) = seen.insert(shard.index, folder) {
            bail!(
                "shard {shard} is there twice, in {} and {}: leave one of them out",
                other.display(),
                folder.display()
            );
        }
        if !identity.finished {
            bail!("shard {shard} in {} is unfinished: resume it with --resume first", folder.display());
        }
    }
    let missing: Vec<String> = (1..=of.unwrap_or_default())
        .filter(|index| !seen.contains_key(index))
        .map(|index| format!("{index}/{}", of.unwrap_or_default()))
        .collect();
    if !missing.is_empty() {
        bail!(
            "shards are missing: {} (run them with --shard and name their folders, too)",
            missing.join(", ")
        );
    }
    Ok(())
}

/// Collects the measurements of the shards in one store. Measurements present in several shards must be equal.
fn gather(shards: &[PathBuf], store: &Store) -> Result<()> {
    let mut all: BTreeMap<String, (Vec<u8>, &Path)> = BTreeMap::new();
    for folder in shards {
        for (name, part) in store::results_of(folder)? {
            match all.get(&name) {
                Some((known, of)) if *known != part && name != MACHINE => {
                    tracing::warn!(
                        "{} and {} measured '{name}' differently, as other CPUs may; the first counts",
                        of.display(),
                        folder.display()
                    );
                }
                Some(_) => {}
                None => {
                    all.insert(name, (part, folder));
                }
            }
        }
    }
    // An interrupted attempt leaves some of them behind.
    let new = all.into_iter().filter(|(name, _)| !store.has(name)).map(|(name, (part, _))| (name, part));
    Ok(store.import(new.collect())?)
}

fn copy_trajectories(from: &Path, to: &Path) -> Result<()> {
    let folder = from.join(TRAJECTORIES);
    if !folder.is_dir() {
        return Ok(());
    }
    let to = to.join(TRAJECTORIES);
    std::fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let file = entry?.path();
        let Some(name) = file.file_name() else { continue };
        std::fs::copy(&file, to.join(name))
            .with_context(|| format!("cannot copy {} to {}", file.display(), to.display()))?;
    }
    Ok(())
}
