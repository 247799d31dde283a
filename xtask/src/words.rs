//! Rejects obsolete words, so that each thing has one word.

use std::path::Path;

/// Exact obsolete phrases and identifiers, and their replacements. Common words are not among them.
const GONE: [(&str, &str); 29] = [
    ("begin anew", "start over"),
    ("go on with", "continue with, or resume"),
    ("goes on", "continues, or is resumed"),
    ("going on", "continuing, or resuming"),
    ("the processor", "the CPU"),
    ("processors", "CPUs"),
    ("would mend", "would fix"),
    ("is no number", "is not finite, or is not a number"),
    ("plain implementation", "reference implementation"),
    ("hole in the wall", "spurious minimum"),
    ("repulsive wall", "repulsive barrier"),
    ("NVE without divergence", "stable NVE time"),
    ("energies of far molecules add up", "size consistency"),
    ("a far molecule changes no force", "locality"),
    ("uses that hold", "approved uses"),
    ("its minimum is not the molecule", "it relaxes to a different geometry"),
    ("send_back", "message_backward"),
    ("ByPair", "PairGrads"),
    ("Surroundings", "BaselineTerms"),
    ("add_up", "sum_per_system"),
    ("in_share", "in_shard"),
    ("take_over", "import"),
    ("move_on", "advance"),
    ("set_off", "start_runs"),
    ("hopeless_ps", "early_stop_ps ([adaptive]; the old key is still read)"),
    ("extra_replicas", "max_extra_replicas ([adaptive]; the old key is still read)"),
    ("EconomyConfig", "AdaptiveConfig"),
    ("is_hopeless", "fails_every_use"),
    ("plain_path", "reference_path"),
];

/// Files that may contain obsolete phrases: this file, the changelog, and files that read old keys.
const EXEMPT: [&str; 5] = [
    "xtask/src/words.rs",
    "CHANGELOG.md",
    "crates/md-driver/src/config.rs",
    "tests/cases/bad/economy.toml",
    "tests/cases/bad/too-many-extra-replicas.toml",
];

/// Lists the obsolete phrases in a file with their lines.
pub fn gone(file: &Path, text: &str) -> Vec<String> {
    if EXEMPT.iter().any(|exempt| file == Path::new(exempt)) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (phrase, instead) in GONE.iter().filter(|(phrase, _)| stands_in(line, phrase)) {
            faults.push(format!("{}:{}: '{phrase}' is gone: write {instead}", file.display(), number + 1));
        }
    }
    faults
}

/// Whether `phrase` occurs in `line` as separate words.
fn stands_in(line: &str, phrase: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(phrase).any(|(start, _)| {
        !line[..start].ends_with(is_word) && !line[start + phrase.len()..].starts_with(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gone_finds_phrases_as_whole_words() {
        let found =
            gone(Path::new("a.rs"), "fine\n/// It goes on with the processor.\nlet add_upper = ByPairs;\n");
        assert_eq!(
            found,
            [
                "a.rs:2: 'goes on' is gone: write continues, or is resumed",
                "a.rs:2: 'the processor' is gone: write the CPU",
            ]
        );
        assert!(gone(Path::new("CHANGELOG.md"), "it goes on").is_empty());
    }
}
