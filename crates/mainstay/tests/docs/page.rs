//! A page of the documentation: its text, and its blocks of code with what the page says to their test.

use std::path::{Path, PathBuf};

/// A Markdown file of the project.
pub(crate) struct Page {
    /// Where it is, from the project's root.
    pub(crate) name: String,
    /// Lines outside of blocks, each with its number.
    pub(crate) text: Vec<(usize, String)>,
    pub(crate) blocks: Vec<Block>,
    /// It is a drill or a scenario: its blocks have tests of their own.
    pub(crate) has_front_matter: bool,
}

/// A block between two fences.
pub(crate) struct Block {
    /// The number of its first line.
    pub(crate) line: usize,
    /// What stands behind the fence.
    pub(crate) language: String,
    pub(crate) text: String,
    /// The words of a comment `<!-- test: A, B -->` before it.
    pub(crate) hints: Vec<String>,
}

impl Block {
    /// Whether somebody else runs it, or nobody: its commands are only understood here.
    pub(crate) fn is_run_here(&self) -> bool {
        self.hint("run by").is_none() && self.hint("not run:").is_none()
    }

    /// What follows a hint's first words, `7` in `exit 7`.
    pub(crate) fn hint(&self, words: &str) -> Option<&str> {
        self.hints.iter().find_map(|hint| hint.strip_prefix(words)).map(str::trim)
    }
}

impl Page {
    /// All pages, in the order of their names.
    pub(crate) fn all() -> Vec<Page> {
        let mut files = Vec::new();
        for file in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
            files.push(root().join(file));
        }
        for folder in ["docs", "examples"] {
            collect(&root().join(folder), &mut files);
        }
        files.sort();
        files.iter().map(|file| Page::read(file)).collect()
    }

    fn read(file: &Path) -> Page {
        let name = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(file).unwrap();
        Page::parse(name, &text)
    }

    pub(crate) fn parse(name: String, text: &str) -> Page {
        let mut page = Page { name, text: Vec::new(), blocks: Vec::new(), has_front_matter: text.starts_with("---\n") };
        let mut lines = text.lines().enumerate();
        let mut hints = Vec::new();
        while let Some((n, line)) = lines.next() {
            if let Some(fence) = Fence::of(line) {
                let inside = lines.by_ref().take_while(|(_, line)| !fence.ends(line));
                let text: String = inside.map(|(_, line)| fence.unindented(line).to_owned() + "\n").collect();
                let hints = std::mem::take(&mut hints);
                page.blocks.push(Block { line: n + 2, language: fence.language.to_owned(), text, hints });
            } else {
                if let Some(words) = line.trim().strip_prefix("<!-- test:") {
                    hints = split(words.trim_end_matches("-->").trim());
                } else if !line.trim().is_empty() {
                    hints.clear();
                }
                page.text.push((n + 1, line.to_owned()));
            }
        }
        page
    }
}

/// A reason is the rest of the comment, with its commas.
fn split(words: &str) -> Vec<String> {
    match words.split_once("not run:") {
        Some((before, why)) => split(before)
            .into_iter()
            .chain([format!("not run: {}", why.trim())])
            .filter(|hint| !hint.is_empty())
            .collect(),
        None => words.split(',').map(|word| word.trim().to_owned()).collect(),
    }
}

struct Fence<'a> {
    indent: usize,
    ticks: usize,
    language: &'a str,
}

impl<'a> Fence<'a> {
    fn of(line: &'a str) -> Option<Fence<'a>> {
        let rest = line.trim_start();
        let language = rest.trim_start_matches('`');
        let ticks = rest.len() - language.len();
        let is_fence = ticks >= 3 && !language.contains('`');
        is_fence.then(|| Fence { indent: line.len() - rest.len(), ticks, language: language.trim() })
    }

    fn ends(&self, line: &str) -> bool {
        let line = line.trim();
        line.len() >= self.ticks && line.chars().all(|tick| tick == '`')
    }

    fn unindented<'b>(&self, line: &'b str) -> &'b str {
        let spaces = line.len() - line.trim_start().len();
        &line[spaces.min(self.indent)..]
    }
}

/// The project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
}

#[test]
fn blocks_have_their_lines_and_what_is_said_of_them() {
    let text = "a\n\n<!-- test: exit 1, not run: late, or never -->\n```sh\nb\n```\n\n  ````markdown\n  ```yaml\n    c\n  ```\n  ````\nd\n";
    let page = Page::parse("p.md".to_owned(), text);
    assert_eq!(page.blocks[0].line, 5);
    assert_eq!((page.blocks[0].hint("exit"), page.blocks[0].hint("not run:")), (Some("1"), Some("late, or never")));
    assert_eq!((page.blocks[1].language.as_str(), page.blocks[1].hints.len()), ("markdown", 0));
    assert_eq!(page.blocks[1].text, "```yaml\n  c\n```\n");
    let text: Vec<_> = page.text.iter().map(|(n, line)| (*n, line.as_str())).collect();
    assert_eq!(text, [(1, "a"), (2, ""), (3, "<!-- test: exit 1, not run: late, or never -->"), (7, ""), (13, "d")]);
}
