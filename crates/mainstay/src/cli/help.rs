//! The command line with its examples: every command's help ends with lines to copy and with what `--format json` writes.

use std::collections::BTreeMap;

use clap::{Command, CommandFactory as _};

use super::Cli;
use super::examples::{ENTRIES, Entry};

/// The command line, with examples.
pub(crate) fn command() -> Command {
    let told = ENTRIES.iter().fold(Cli::command(), |command, entry| {
        let words: Vec<&str> = entry.command.split(' ').collect();
        at(command, &words, &|own| format!("{own}{}", text(entry)))
    });
    groups().into_iter().fold(told, |command, (words, first)| {
        let example = |own: String| if own.is_empty() { format!("Examples:\n{first}") } else { own };
        at(command, &words, &example)
    })
}

fn text(entry: &Entry) -> String {
    format!("Examples:\n  {}\n\nWith --format json: {}", entry.examples.join("\n  "), entry.json)
}

/// Commands that only hold others, each with the first example of every one of those.
fn groups() -> BTreeMap<Vec<&'static str>, String> {
    let mut groups: BTreeMap<Vec<&str>, String> = BTreeMap::new();
    for entry in ENTRIES {
        let words: Vec<&str> = entry.command.split(' ').collect();
        for length in 1..words.len() {
            let lines = groups.entry(words[..length].to_vec()).or_default();
            lines.extend(entry.examples.first().map(|example| format!("  {example}\n")));
        }
    }
    groups
}

/// The command with another text below the command that the words lead to, made of its own. A word that leads nowhere is found by a test.
fn at(command: Command, words: &[&str], below: &dyn Fn(String) -> String) -> Command {
    match words {
        [] => {
            let own = command.get_after_help().map(|own| format!("{own}\n\n")).unwrap_or_default();
            command.after_help(below(own))
        }
        [first, rest @ ..] if command.find_subcommand(first).is_some() => {
            command.mut_subcommand(*first, |inner| at(inner, rest, below))
        }
        [..] => command,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every command that does something, by its words.
    fn leaves(command: &Command, words: &[&str], found: &mut BTreeSet<String>) {
        let inner = command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help");
        let inner: Vec<&Command> = inner.collect();
        if inner.is_empty() {
            found.insert(words.join(" "));
        }
        for command in inner {
            leaves(command, &[words, &[command.get_name()]].concat(), found);
        }
    }

    /// The words of a line as a shell would have them, up to where its output goes.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for c in line.chars() {
            match (quote, c) {
                (None, '#' | '>' | '|') => break,
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (None, ' ') if word.is_empty() => {}
                (None, ' ') => words.push(std::mem::take(&mut word)),
                (_, c) => word.push(c),
            }
        }
        if !word.is_empty() {
            words.push(word);
        }
        words
    }

    #[test]
    fn every_command_has_examples_and_every_example_is_understood() {
        let mut expected = BTreeSet::new();
        leaves(&Cli::command(), &[], &mut expected);
        let told: BTreeSet<String> = ENTRIES.iter().map(|entry| entry.command.to_owned()).collect();
        assert_eq!(told, expected, "`cli/examples.rs` has an entry for each command");
        assert_eq!(told.len(), ENTRIES.len(), "one entry each");
        for entry in ENTRIES {
            let own = entry.examples.iter().filter(|line| line.starts_with("mainstay "));
            let mut count = 0;
            for line in own {
                let parsed = command().try_get_matches_from(words(line));
                let is_version = line.ends_with("--version");
                assert!(parsed.is_ok() || is_version, "{line}: {}", parsed.unwrap_err());
                assert!(is_version || line["mainstay ".len()..].starts_with(entry.command), "{line}");
                count += 1;
            }
            assert!(count > 0 && !entry.json.is_empty(), "{}", entry.command);
        }
    }

    #[test]
    fn the_help_of_a_command_shows_them() {
        let mut command = command();
        let slo = command.find_subcommand_mut("slo").unwrap().find_subcommand_mut("show").unwrap();
        let help = slo.render_help().to_string();
        assert!(help.contains("Examples:\n  mainstay slo show fraud_availability\n"), "{help}");
        assert!(help.contains("With --format json: the answer of GET /api/v1/slos/NAME"), "{help}");
        let group = command.find_subcommand_mut("oncall").unwrap().render_help().to_string();
        assert!(group.contains("Examples:\n  mainstay oncall who\n"), "{group}");
        let plan = command.find_subcommand_mut("chaos").unwrap().find_subcommand_mut("plan").unwrap();
        assert!(plan.render_help().to_string().contains("Exit code 0"), "its own words stay");
    }
}
