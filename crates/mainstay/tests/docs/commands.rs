//! Blocks of shell: every `mainstay ...` in them is run by the built binary.
//!
//! Those that need no server run for real, in the page's own folder, in which the project's `docs` and `examples` can be
//! found. Those that ask a server ask one that is not there: that they end in 3 and not in 2 shows that they were
//! understood. Those that go on until they are ended are asked for their help only, and so are those of a block that is
//! marked `parse only`. A page whose blocks are marked `live` starts its servers for real: they end with the page, and
//! until then its commands and its `curl` ask them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::live::Live;
use crate::page::{Block, Page, root};
use crate::shell::{self, Command};

/// Nothing listens there.
const NOBODY: &str = "http://127.0.0.1:1";
const PATIENCE: Duration = Duration::from_mins(2);
/// Commands that need no server, whatever follows.
const ALONE: [&str; 9] =
    ["check", "init", "explain", "schema", "completions", "version", "simulate", "wall", "--version"];

/// Commands that are named in the text and that there are none of.
pub(crate) fn unknown(pages: &[Page]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known = BTreeMap::new();
    for page in pages.iter().filter(|page| !page.has_front_matter) {
        for (line, words) in page.text.iter().flat_map(|(n, line)| named(line).into_iter().map(|words| (*n, words))) {
            let understood = *known.entry(words.clone()).or_insert_with_key(|words| help(words).0);
            if !understood {
                wrong.push(format!("{}:{line}: there is no `mainstay {}`", page.name, words.join(" ")));
            }
        }
    }
    wrong
}

/// The first words, at most two, of each `mainstay ..` in a line of text; `a|b` are two commands.
fn named(line: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for span in line.split('`').skip(1).step_by(2) {
        let Some(words) = span.strip_prefix("mainstay ") else { continue };
        let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '|');
        let names: Vec<&str> = words.split(' ').take(2).take_while(is_name).collect();
        let Some((first, second)) = names.split_first() else { continue };
        let seconds = second.first().map_or(vec![None], |names| names.split('|').map(Some).collect());
        for (first, second) in first.split('|').flat_map(|first| seconds.iter().map(move |second| (first, *second))) {
            commands.push([first].into_iter().chain(second).map(str::to_owned).collect());
        }
    }
    commands
}

/// Whether a command has help, and which.
fn help(words: &[String]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mainstay"));
    let output = command.args(words).arg("--help").output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Examples in help texts that are not understood. What stands after two spaces says what they do.
pub(crate) fn wrong_in_help() -> (usize, Vec<String>) {
    let (mut examples, mut wrong) = (0, Vec::new());
    let mut left: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(words) = left.pop() {
        let (_, text) = help(&words);
        for example in text.lines().filter_map(|line| line.strip_prefix("  mainstay ")) {
            let example = example.split("  ").next().unwrap_or_default();
            let command = shell::commands(example).remove(0);
            examples += 1;
            if !help(&Way::Help.call(&command.words, None).0).0 {
                wrong.push(format!("`mainstay {} --help` has `mainstay {example}`", words.join(" ")));
            }
        }
        let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let names =
            listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|name| !name.is_empty());
        left.extend(names.filter(|name| *name != "help").map(|name| [&words[..], &[name.to_owned()]].concat()));
    }
    (examples, wrong)
}

/// Commands that are not understood, or end otherwise than they should.
pub(crate) fn wrong(pages: &[Page]) -> Vec<String> {
    let pages = pages.iter().filter(|page| !page.has_front_matter).filter(|page| !page.blocks.is_empty());
    pages.flat_map(|page| Folder::of(page).run(page)).collect()
}

/// A page's folder, which goes away, and what runs in it.
struct Folder {
    path: PathBuf,
    live: Option<Live>,
}

impl Folder {
    fn of(page: &Page) -> Folder {
        let name = page.name.replace(['/', '.'], "-");
        let path = std::env::temp_dir().join(format!("mainstay-docs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for shared in ["docs", "examples"] {
            std::os::unix::fs::symlink(root().join(shared), path.join(shared)).unwrap();
        }
        Folder { path, live: None }
    }

    fn run(&mut self, page: &Page) -> Vec<String> {
        let mut wrong = Vec::new();
        for block in &page.blocks {
            if let Some(name) = block.hint("file") {
                std::fs::write(self.path.join(name), &block.text).unwrap();
            }
            let text = match block.language.as_str() {
                "sh" => block.text.clone(),
                "console" => after_prompts(&block.text),
                _ => continue,
            };
            let mut said = String::new();
            for command in shell::commands(&text) {
                match self.try_out(block, &command) {
                    Ok(output) => said.push_str(&output),
                    Err(why) => wrong.push(format!("{}:{}: {why}", page.name, block.line + command.line)),
                }
            }
            let shown =
                block.hints.iter().filter_map(|hint| hint.strip_prefix("shows ")).filter(|text| !said.contains(*text));
            wrong.extend(shown.map(|text| format!("{}:{}: does not show `{text}`\n{said}", page.name, block.line)));
        }
        wrong
    }

    /// What was written.
    fn try_out(&mut self, block: &Block, command: &Command) -> Result<String, String> {
        if let (Some(live), Some(("curl", words))) = (&mut self.live, name_and_rest(&command.words)) {
            return live.curl(words, command.input.as_ref());
        }
        let Some(words) = arguments(&command.words) else { return Ok(String::new()) };
        let told = words.join(" ");
        if block.hint("live").is_some() {
            let started = self.live.get_or_insert_default().start(words, &self.path);
            return started.map(|()| String::new()).map_err(|why| format!("`mainstay {told}`: {why}"));
        }
        let way = if block.hint("parse only").is_some() { Way::Help } else { Way::of(words) };
        let server = self.live.as_mut().map(Live::url);
        let (arguments, usual) = way.call(words, server.as_deref());
        let runs = way == Way::Local || server.is_some();
        let expected = block.hint("exit").filter(|_| runs).map_or(usual, |code| code.parse().unwrap());
        let out = command.out.as_ref().filter(|_| way == Way::Local);
        let (code, said) = self.output(&arguments, out.map(String::as_str));
        let as_expected = code == Some(expected);
        if as_expected {
            Ok(said)
        } else {
            Err(format!("`mainstay {told}` ended with {code:?}, expected {expected}\n{said}"))
        }
    }

    /// The exit code, and what was written.
    fn output(&self, arguments: &[String], out: Option<&str>) -> (Option<i32>, String) {
        let [stdout, stderr] = [out.unwrap_or(".stdout"), ".stderr"].map(|name| self.path.join(name));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(arguments).current_dir(&self.path).env_remove("MAINSTAY_TOKEN").env_remove("MAINSTAY_LOG");
        command.env("USER", "ana").stdin(Stdio::null());
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        (status.code(), read(&stdout) + &read(&stderr))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// How a command is tried out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// As it stands: it needs no server.
    Local,
    /// With the page's server, or with one that is not there.
    Unreached,
    /// For its help.
    Help,
}

impl Way {
    fn of(words: &[String]) -> Way {
        let has = |word: &str| words.iter().any(|other| other == word);
        let two = [0, 1].map(|n| words.get(n).map_or("", String::as_str));
        match two {
            ["serve" | "demo" | "train" | "top", _] => Way::Help,
            ["wall", _] if !has("--list") => Way::Help,
            [first, _] if ALONE.contains(&first) => Way::Local,
            ["slo", "export"] | ["drift", "check"] | ["gameday", "rehearse"] | ["chaos", "import"] => Way::Local,
            ["slo", "import"] if has("--check") => Way::Local,
            ["drift", "baseline"] if has("--out") => Way::Local,
            ["gameday", "tabletop"] if !has("--answer") && !has("--answers") => Way::Local,
            _ => Way::Unreached,
        }
    }

    /// What the binary is called with, and the exit code that shows that all is well.
    fn call(self, words: &[String], server: Option<&str>) -> (Vec<String>, i32) {
        let mut arguments = words.to_vec();
        match self {
            Way::Local => (arguments, 0),
            Way::Unreached => {
                arguments.extend(["--url".to_owned(), server.unwrap_or(NOBODY).to_owned()]);
                (arguments, if server.is_some() { 0 } else { 3 })
            }
            Way::Help => {
                let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
                arguments.truncate(end);
                arguments.push("--help".to_owned());
                (arguments, 0)
            }
        }
    }
}

/// What `mainstay` is called with; `None` where a command calls something else.
fn arguments(words: &[String]) -> Option<&[String]> {
    let start = words.iter().position(|word| !is_assignment(word))?;
    let words = &words[start..];
    match words[0].as_str() {
        "mainstay" | "target/release/mainstay" | "./mainstay" => Some(&words[1..]),
        "cargo" if words.get(1)? == "run" && !words.iter().any(|word| word == "--example" || word == "xtask") => {
            words.iter().position(|word| word == "--").map(|end| &words[end + 1..])
        }
        _ => None,
    }
}

fn name_and_rest(words: &[String]) -> Option<(&str, &[String])> {
    words.split_first().map(|(name, rest)| (name.as_str(), rest))
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// What is typed after `$`; everything else was answered. Lines stay where they are.
fn after_prompts(text: &str) -> String {
    text.lines().map(|line| line.strip_prefix("$ ").unwrap_or("").to_owned() + "\n").collect()
}

#[test]
fn wrong_commands_are_told_with_their_line() {
    let text = "```sh\nmainstay explain E0101\nmainstay explain E9999\n```\n```console\n$ mainstay slo lst\nx\n```\n<!-- test: exit 2 -->\n```sh\nmainstay explain E9999 | less\n```\n```sh\nmainstay slo list\nmainstay serve --colour red\n```\n";
    let wrong = wrong(&[Page::parse("p.md".to_owned(), text)]);
    let places: Vec<_> = wrong.iter().map(|line| line.lines().next().unwrap_or_default()).collect();
    assert_eq!(
        places,
        [
            "p.md:3: `mainstay explain E9999` ended with Some(2), expected 0",
            "p.md:6: `mainstay slo lst` ended with Some(2), expected 3",
            "p.md:15: `mainstay serve --colour red` ended with Some(2), expected 0",
        ]
    );
}

#[test]
fn commands_in_the_text_are_known() {
    let text = "`mainstay slo list|shw NAME`, `mainstay explain CODE` and `mainstay wall --list`\n`mainstay topp`\n";
    let wrong = unknown(&[Page::parse("p.md".to_owned(), text)]);
    assert_eq!(wrong, ["p.md:1: there is no `mainstay slo shw`", "p.md:2: there is no `mainstay topp`"]);
}
