//! Identity of a campaign: files, options and program. Results can be continued only if all of them are equal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use md_io::files;
use serde::{Deserialize, Serialize};

use super::options::CampaignOptions;
use crate::config::{Config, ModelSource};
use crate::plan::Filter;
use crate::provenance;

const FILE: &str = "campaign.state";

/// Name of the copy in the journal of the stage results.
pub const COPY: &str = "campaign";

/// Everything that results depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the campaign.
    pub campaign: String,
    /// Start of the campaign.
    pub started: String,
    /// CPU at the start, where known.
    pub cpu: Option<String>,
    /// Version of the program.
    pub version: String,
    /// SHA-256 of the executable.
    pub program_sha256: String,
    /// Options of the call.
    pub options: CampaignOptions,
    /// Text of the campaign file.
    pub config: String,
    /// Input files by their purpose, with SHA-256.
    pub files: BTreeMap<String, Input>,
    /// Whether the campaign is finished.
    pub finished: bool,
}

/// An input file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Path of the file.
    pub path: PathBuf,
    /// SHA-256 of its contents; absent if it cannot be read.
    pub sha256: Option<String>,
}

impl Identity {
    /// Creates the identity of a campaign that is about to start or to resume.
    ///
    /// # Errors
    /// The executable or the campaign file cannot be read.
    pub fn new(config: &Config, options: &CampaignOptions) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find the program itself")?;
        let program_sha256 =
            files::sha256_file(&program).with_context(|| format!("cannot read {}", program.display()))?;
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut inputs = BTreeMap::new();
        let mut enter = |what: String, path: &Path| {
            let path = absolute(path);
            let sha256 = files::sha256_file(&path).ok();
            inputs.insert(what, Input { path, sha256 });
        };
        for model in &config.models {
            let ModelSource::Checkpoint(path) = &model.source else { continue };
            for (name, file) in md_model::Checkpoint::files(path) {
                enter(format!("checkpoint of '{}' ({name})", model.name), &file);
            }
        }
        for molecule in &config.molecules {
            enter(format!("structure of '{}'", molecule.name), &molecule.structure);
            for (kind, paths) in [("reference", &molecule.references), ("trajectory", &molecule.trajectories)]
            {
                for (n, path) in paths.iter().enumerate() {
                    enter(format!("{kind} {} of '{}'", n + 1, molecule.name), path);
                }
            }
        }
        if let Some(labels) = &options.labels {
            enter("labels".to_owned(), labels);
        }
        Ok(Identity {
            campaign: config.name.clone(),
            started: provenance::now(),
            cpu: provenance::cpu_model(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            program_sha256,
            options: options.absolute(),
            config: config.text.clone(),
            files: inputs,
            finished: false,
        })
    }

    /// Reads the identity of the campaign whose state is in `folder`; `None` if there is none. Where its file is damaged or
    /// gone, the copy beside the stage results is used.
    ///
    /// # Errors
    /// The file is damaged, and so is the copy.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(anyhow::Error::from);
        let damage = match files::read_checked(&path).map_err(anyhow::Error::from) {
            Ok(Some(bytes)) => match parse(&bytes) {
                Ok(identity) => return Ok(Some(identity)),
                Err(error) => Some(error.context(format!("{} is of another version", path.display()))),
            },
            Ok(None) => None,
            Err(error) => Some(error),
        };
        let copy = super::store::copy_of_identity(folder).and_then(|bytes| parse(&bytes).ok());
        match (copy, damage) {
            (Some(identity), damage) => {
                let damage = damage.map_or_else(|| format!("{} is missing", path.display()), |e| format!("{e:#}"));
                tracing::warn!("{damage}: its copy beside the stage results is used");
                Ok(Some(identity))
            }
            (None, Some(damage)) => Err(damage.context(
                "the state of the campaign is damaged, and so is its copy: start over beside it with --force-new",
            )),
            (None, None) => Ok(None),
        }
    }

    /// Writes the identity.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        Ok(files::write_checked(&folder.join(FILE), &self.bytes()?)?)
    }

    /// Returns the identity as it is stored.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// Lists the inputs in which `now` differs from `self` and that would change the results.
    pub fn differences(&self, now: &Identity) -> Vec<String> {
        let mut found = Vec::new();
        found.extend(self.line_that_differs(now));
        let names = |options: &CampaignOptions| {
            let names: Vec<&str> = options.models.iter().map(|m| m.name.as_str()).collect();
            names.join(", ")
        };
        let only = |options: &CampaignOptions| {
            let filters: Vec<String> = options.only.iter().map(Filter::to_string).collect();
            filters.join(", ")
        };
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        let device = |options: &CampaignOptions| or_none(options.device.map(|d| d.name().to_owned()));
        let shard = |options: &CampaignOptions| or_none(options.shard.map(|s| s.to_string()));
        let (began, now_asked) = (&self.options, &now.options);
        for (option, was, is) in [
            ("--model", names(began), names(now_asked)),
            ("--device", device(began), device(now_asked)),
            ("--only", only(began), only(now_asked)),
            ("--keep-going", began.keep_going.to_string(), now_asked.keep_going.to_string()),
            ("--shard", shard(began), shard(now_asked)),
        ] {
            if was != is {
                found.push(format!("{option}: was {}, is {}", or_nothing(&was), or_nothing(&is)));
            }
        }
        let names: std::collections::BTreeSet<&String> = self.files.keys().chain(now.files.keys()).collect();
        for name in names {
            match (self.files.get(name), now.files.get(name)) {
                (Some(was), Some(is)) if was.sha256 == is.sha256 => {}
                (Some(was), Some(is)) => found.push(format!(
                    "{name}: {} had SHA-256 {}, {} has {}",
                    was.path.display(),
                    short(was.sha256.as_deref()),
                    is.path.display(),
                    short(is.sha256.as_deref())
                )),
                (Some(was), None) => found.push(format!("{name}: was {}, is none", was.path.display())),
                (None, Some(is)) => found.push(format!("{name}: was none, is {}", is.path.display())),
                (None, None) => {}
            }
        }
        if self.program_sha256 != now.program_sha256 {
            found.push(format!(
                "the program: was mdproof {} (SHA-256 {}), is mdproof {} ({})",
                self.version,
                short(Some(&self.program_sha256)),
                now.version,
                short(Some(&now.program_sha256))
            ));
        }
        found
    }

    fn line_that_differs(&self, now: &Identity) -> Option<String> {
        if self.config == now.config {
            return None;
        }
        let (was, is): (Vec<&str>, Vec<&str>) = (self.config.lines().collect(), now.config.lines().collect());
        let line = (0..was.len().max(is.len())).find(|&n| was.get(n) != is.get(n));
        let place = now.options.config.display();
        Some(match line {
            Some(n) => format!(
                "{place}:{}: was {}, is {}",
                n + 1,
                quoted(was.get(n).copied()),
                quoted(is.get(n).copied())
            ),
            None => format!("{place}: other line ends"),
        })
    }
}

fn short(sha256: Option<&str>) -> String {
    sha256
        .map_or_else(|| "none (it cannot be read)".to_owned(), |s| format!("{}...", s.get(..12).unwrap_or(s)))
}

fn quoted(line: Option<&str>) -> String {
    line.map_or_else(|| "the end of the file".to_owned(), |line| format!("`{}`", line.trim()))
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_truncates_any_text_at_char_boundary() {
        assert_eq!(short(Some("0123456789abcdef")), "0123456789ab...");
        assert_eq!(short(Some("01")), "01...");
        assert_eq!(
            short(Some("a\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}")),
            "a\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}..."
        );
    }
}
