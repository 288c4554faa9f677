//! Blocks of shell: every command in them is run, `mainstay ...` by the built binary.
//!
//! All run for real, in the page's own folder, in which the project's `docs` and `examples` can be found. Those that ask a server ask the
//! page's: one that a block marked `live` starts, or, from a block marked `service` on, one of `init --system fraud-detection`. Those that go
//! on until they are ended, and programs of others, belong to a block that says who runs it, or why nobody does; `mainstay ...` in such a
//! block is asked for its help, which shows that it is understood.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::live::Live;
use crate::page::{Block, Page, root};
use crate::samples;
use crate::shell::{self, Command};

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
            if !help(&Way::Help.call(&command.words)).0 {
                wrong.push(format!("`mainstay {} --help` has `mainstay {example}`", words.join(" ")));
            }
        }
        left.extend(below(&words, &text));
    }
    (examples, wrong)
}

/// Commands that are not understood, or end otherwise than they should.
pub(crate) fn wrong(pages: &[Page]) -> Vec<String> {
    let pages = pages.iter().filter(|page| !page.has_front_matter).filter(|page| !page.blocks.is_empty());
    pages.flat_map(|page| Folder::of(page).run(page)).collect()
}

/// Every command that does something, and what its help says of `--format json`.
pub(crate) fn leaves() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(words) = left.pop() {
        let (_, text) = help(&words);
        if let Some((_, told)) = text.split_once("With --format json: ") {
            let told = told.split("\n\n").next().unwrap_or_default();
            found.insert(words.join(" "), told.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        left.extend(below(&words, &text));
    }
    found
}

/// The commands below one, by its help.
fn below(words: &[String], text: &str) -> Vec<Vec<String>> {
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|name| !name.is_empty());
    names.filter(|name| *name != "help").map(|name| [words, &[name.to_owned()]].concat()).collect()
}

/// A page's folder, which goes away, and what runs in it.
pub(crate) struct Folder {
    path: PathBuf,
    live: Option<Live>,
    /// It has a config that is not the page's own, for a server that starts when one is asked.
    is_served: bool,
}

impl Folder {
    pub(crate) fn of(page: &Page) -> Folder {
        let name = page.name.replace(['/', '.'], "-");
        let path = std::env::temp_dir().join(format!("mainstay-docs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for shared in ["docs", "examples"] {
            std::os::unix::fs::symlink(root().join(shared), path.join(shared)).unwrap();
        }
        Folder { path, live: None, is_served: false }
    }

    pub(crate) fn run(&mut self, page: &Page) -> Vec<String> {
        let mut wrong = Vec::new();
        for block in &page.blocks {
            if block.hint("service").is_some() && !self.is_served {
                self.have_service();
            }
            if block.hint("samples").is_some() {
                samples::put(&self.path);
            }
            if let Some(name) = block.hint("file") {
                let path = self.path.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, &block.text).unwrap();
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

    /// What a command writes as data.
    pub(crate) fn written(&mut self, block: &Block, line: &str) -> Result<String, String> {
        let command = shell::commands(line).remove(0);
        self.try_out(block, &command)?;
        Ok(std::fs::read_to_string(self.path.join(".stdout")).unwrap())
    }

    /// The config of pages that have none of their own, and its data.
    fn have_service(&mut self) {
        let (code, said) = self.output(&["init", "--system", "fraud-detection"].map(str::to_owned), None);
        assert_eq!(code, Some(0), "{said}");
        let path = self.path.join("mainstay.yaml");
        let config = std::fs::read_to_string(&path).unwrap().replace("environment: production\n", "");
        std::fs::write(path, config + include_str!("service.yaml")).unwrap();
        self.is_served = true;
    }

    /// What was written.
    fn try_out(&mut self, block: &Block, command: &Command) -> Result<String, String> {
        let told = command.words.join(" ");
        let Some(words) = arguments(&command.words) else {
            return if block.is_run_here() { self.others(command) } else { Ok(String::new()) };
        };
        if block.hint("live").is_some() {
            let started = self.live.get_or_insert_default().start(words, &self.path);
            return started.map(|()| String::new()).map_err(|why| format!("`{told}`: {why}"));
        }
        let way = if block.is_run_here() { Way::of(words) } else { Way::Help };
        if way == Way::Help && block.is_run_here() {
            return Err(format!("`{told}` goes on until it is ended: say `run by FILE`, or `not run: WHY`"));
        }
        let mut arguments = way.call(words);
        if way == Way::Asks {
            arguments = self.asking(&arguments).map_err(|why| format!("`{told}`: {why}"))?;
        }
        let expected = block.hint("exit").filter(|_| way != Way::Help).map_or(0, |code| code.parse().unwrap());
        let out = command.out.as_ref().filter(|_| way != Way::Help);
        let (code, said) = self.output(&arguments, out.map(String::as_str));
        if code != Some(expected) {
            return Err(format!("`{told}` ended with {code:?}, expected {expected}\n{said}"));
        }
        if let Some(live) = &mut self.live {
            live.learn(&said);
        }
        Ok(said)
    }

    /// Starts the page's service, where it has one and it does not run yet.
    fn serve(&mut self) -> Result<(), String> {
        if self.live.is_none() && self.is_served {
            self.live.get_or_insert_default().start(&["serve".to_owned()], &self.path)?;
        }
        Ok(())
    }

    /// With the address of the page's server, which is started where it has none yet, and with what is known there by other names.
    fn asking(&mut self, words: &[String]) -> Result<Vec<String>, String> {
        self.serve()?;
        let live = self.live.as_mut().ok_or("nobody is there to be asked: say `live`, `service` or `not run: WHY`")?;
        let mut words: Vec<String> = words.iter().map(|word| live.known(word)).collect();
        words.extend(["--url".to_owned(), live.url()]);
        Ok(words)
    }

    /// What is not mainstay's: `curl` of the page's servers, and the signal that has them read their config anew.
    fn others(&mut self, command: &Command) -> Result<String, String> {
        self.serve()?;
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        match (&words[..], &mut self.live) {
            (["curl", ..], Some(live)) => live.curl(&command.words[1..], command.input.as_ref()),
            (["pkill", "-HUP", "-f", "mainstay serve"], Some(live)) => live.reload(),
            (["cp", from, to], _) => {
                std::fs::copy(self.path.join(from), self.path.join(to)).map_err(|error| error.to_string())?;
                Ok(String::new())
            }
            (_, _) => Err(format!("nobody here runs `{}`: say `run by FILE`, or `not run: WHY`", words.join(" "))),
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
    /// With the page's server.
    Asks,
    /// For its help: it goes on until it is ended.
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
            _ => Way::Asks,
        }
    }

    /// What the binary is called with.
    fn call(self, words: &[String]) -> Vec<String> {
        let mut arguments = words.to_vec();
        if self == Way::Help {
            let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
            arguments.truncate(end);
            arguments.push("--help".to_owned());
        }
        arguments
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
    let text = "```sh\nmainstay explain E0101\nmainstay explain E9999\n```\n```console\n$ mainstay slo list\nx\n```\n<!-- test: exit 2 -->\n```sh\n\
                mainstay explain E9999 | less\n```\n```sh\nmainstay serve\n```\n<!-- test: not run: it takes long -->\n```sh\nmainstay serve --colour red\n```\n\
                <!-- test: service -->\n```sh\nmainstay slo lst\n```\n";
    let wrong = wrong(&[Page::parse("p.md".to_owned(), text)]);
    let places: Vec<_> = wrong.iter().map(|line| line.lines().next().unwrap_or_default()).collect();
    assert_eq!(
        places,
        [
            "p.md:3: `mainstay explain E9999` ended with Some(2), expected 0",
            "p.md:6: `mainstay slo list`: nobody is there to be asked: say `live`, `service` or `not run: WHY`",
            "p.md:11: nobody here runs `less`: say `run by FILE`, or `not run: WHY`",
            "p.md:14: `mainstay serve` goes on until it is ended: say `run by FILE`, or `not run: WHY`",
            "p.md:18: `mainstay serve --colour red` ended with Some(2), expected 0",
            "p.md:22: `mainstay slo lst` ended with Some(2), expected 0",
        ]
    );
}

#[test]
fn commands_in_the_text_are_known() {
    let text = "`mainstay slo list|shw NAME`, `mainstay explain CODE` and `mainstay wall --list`\n`mainstay topp`\n";
    let wrong = unknown(&[Page::parse("p.md".to_owned(), text)]);
    assert_eq!(wrong, ["p.md:1: there is no `mainstay slo shw`", "p.md:2: there is no `mainstay topp`"]);
}
