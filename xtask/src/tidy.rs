//! Checks that the compiler cannot perform.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::words;

/// Maximum number of lines of a module: a longer one contains more than one idea.
const MAX_LINES: usize = 650;

/// Runs every check and lists all failures.
pub fn check(root: &Path) -> Result<()> {
    let root = root.canonicalize()?;
    let files = tracked_files(&root)?;
    let mut faults = Vec::new();
    faults.extend(crate_table(&root)?);
    faults.extend(folder_map(&root)?);
    faults.extend(lints_inherited(&root, &files)?);
    for file in &files {
        let Ok(text) = fs::read_to_string(root.join(file)) else { continue };
        let extension = file.extension().and_then(|e| e.to_str());
        if matches!(extension, Some("rs" | "md" | "toml" | "html" | "snap")) {
            faults.extend(words::gone(file, &text));
        }
        match extension {
            Some("rs") => faults.extend(rust_file(file, &text)),
            Some("md") => faults.extend(links(&root, file, &text)),
            _ => {}
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{} faults:\n  {}", faults.len(), faults.join("\n  "))
}

fn tracked_files(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git ls-files")?;
    Ok(String::from_utf8(output.stdout)?.lines().map(PathBuf::from).collect())
}

/// Checks the rows `| `name` | sentence | `dep`, `dep` | `absent`, ... |` of ARCHITECTURE.md against `cargo metadata`.
fn crate_table(root: &Path) -> Result<Vec<String>> {
    let metadata = metadata(root)?;
    let packages: BTreeMap<&str, &Value> =
        array(&metadata["packages"]).map(|p| (text(&p["name"]), p)).collect();
    let members: BTreeSet<&str> = array(&metadata["packages"])
        .filter(|p| array(&metadata["workspace_members"]).any(|m| m == &p["id"]))
        .map(|p| text(&p["name"]))
        .collect();
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    let mut rows = BTreeSet::new();
    let mut faults = Vec::new();
    for line in architecture.lines().filter(|l| l.starts_with("| `")) {
        let columns: Vec<Vec<&str>> = line.trim_matches('|').split('|').map(backticked).collect();
        let [name, _, arrows, absent] = columns.as_slice() else { continue };
        let Some(&name) = name.first() else { continue };
        let Some(package) = packages.get(name) else {
            faults.push(format!("ARCHITECTURE.md names the crate {name}, which does not exist"));
            continue;
        };
        rows.insert(name);
        let named: BTreeSet<&str> = arrows.iter().copied().collect();
        let real: BTreeSet<&str> = direct(package).filter(|d| members.contains(d)).collect();
        if named != real {
            faults.push(format!(
                "{name}: ARCHITECTURE.md says it depends on {named:?}, Cargo.toml says {real:?}"
            ));
        }
        let reached = closure(root, name)?;
        for forbidden in absent.iter().filter(|a| reached.contains(**a)) {
            faults.push(format!(
                "{name} must not know {forbidden}, but depends on it (cargo tree -p {name} -e normal -i {forbidden})"
            ));
        }
    }
    faults.extend(members.difference(&rows).map(|m| format!("ARCHITECTURE.md has no row for the crate {m}")));
    Ok(faults)
}

fn metadata(root: &Path) -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Returns the names of the normal (not dev, not build) dependencies of a package.
fn direct(package: &Value) -> impl Iterator<Item = &str> {
    array(&package["dependencies"]).filter(|d| d["kind"].is_null()).map(|d| text(&d["name"]))
}

/// Returns the names of all packages required to build `package` for use, alone and with its default features. Features
/// enabled by other packages are not included.
fn closure(root: &Path, package: &str) -> Result<BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--package", package])
        .current_dir(root)
        .output()
        .context("cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    }
    let tree = String::from_utf8(output.stdout)?;
    let names = tree.lines().skip(1).filter_map(|line| line.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

/// Checks the rows `| `folder/` | what |` of ARCHITECTURE.md: each folder exists, and each top-level folder has one.
fn folder_map(root: &Path) -> Result<Vec<String>> {
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    let named: BTreeSet<&str> = architecture
        .lines()
        .filter_map(|l| l.strip_prefix("| `")?.split_once("/` |"))
        .map(|(folder, _)| folder)
        .collect();
    let mut faults: Vec<String> = named
        .iter()
        .filter(|folder| !root.join(folder).is_dir())
        .map(|folder| format!("ARCHITECTURE.md names the folder {folder}/, which does not exist"))
        .collect();
    let real: BTreeSet<String> = tracked_files(root)?
        .iter()
        .filter(|f| f.components().count() > 1)
        .filter_map(|f| Some(f.components().next()?.as_os_str().to_str()?.to_owned()))
        .filter(|f| !f.starts_with('.'))
        .collect();
    faults.extend(
        real.iter()
            .filter(|f| !named.contains(f.as_str()))
            .map(|f| format!("ARCHITECTURE.md has no row for the folder {f}/")),
    );
    Ok(faults)
}

fn lints_inherited(root: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|f| f.ends_with("Cargo.toml") && f.components().count() > 1) {
        if !fs::read_to_string(root.join(file))?.contains("[lints]\nworkspace = true") {
            faults.push(format!("{}: does not inherit the lints ([lints] workspace = true)", file.display()));
        }
    }
    Ok(faults)
}

fn rust_file(file: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        faults.push(format!("{}: {lines} lines (at most {MAX_LINES}): say its ideas apart", file.display()));
    }
    let leftovers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    for (number, line) in text.lines().enumerate() {
        if let Some(word) = leftovers.iter().find(|w| line.contains(**w)) {
            faults.push(format!("{}:{}: {word} left behind", file.display(), number + 1));
        }
    }
    faults
}

/// Checks that relative links of a Markdown file exist.
fn links(root: &Path, file: &Path, text: &str) -> Vec<String> {
    let folder = root.join(file).parent().map(Path::to_owned).unwrap_or_default();
    // Backticks enclose code (a SMILES string, for example), not a link.
    let prose: String = text.split('`').step_by(2).collect();
    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(|target| target.split('#').next().unwrap_or(target))
        .filter(|target| !folder.join(target).exists())
        .map(|target| format!("{}: dead link to {target}", file.display()))
        .collect()
}

fn backticked(column: &str) -> Vec<&str> {
    column.split('`').skip(1).step_by(2).collect()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
