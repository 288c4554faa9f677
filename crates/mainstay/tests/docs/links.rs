//! Links within the project: files, folders, and headings in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::page::{Page, root};

/// Links that lead nowhere. Addresses of other hosts are not asked.
pub(crate) fn wrong(pages: &[Page]) -> Vec<String> {
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        pages.iter().map(|page| (page.name.as_str(), anchors(page))).collect();
    let mut wrong = Vec::new();
    for page in pages {
        for (line, link) in links(page) {
            if let Err(why) = follow(page, &link, &anchors) {
                wrong.push(format!("{}:{line}: `{link}`: {why}", page.name));
            }
        }
    }
    wrong
}

/// Pages of `docs/` that its table of contents does not lead to.
pub(crate) fn unlisted(pages: &[Page]) -> Vec<String> {
    let contents = pages.iter().find(|page| page.name == "docs/README.md").expect("a table of contents");
    let listed: BTreeSet<String> =
        links(contents).into_iter().filter_map(|(_, link)| target(contents, &link)).collect();
    let own = |page: &&Page| page.name.strip_prefix("docs/").is_some_and(|name| !name.contains('/'));
    let missing = pages.iter().filter(own).filter(|page| page.name != contents.name && !listed.contains(&page.name));
    missing.map(|page| format!("{}: docs/README.md does not name it", page.name)).collect()
}

fn follow(page: &Page, link: &str, anchors: &BTreeMap<&str, BTreeSet<String>>) -> Result<(), String> {
    if ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
        return Ok(());
    }
    let file = target(page, link).ok_or("it leads out of the project")?;
    if !root().join(&file).exists() {
        return Err(format!("there is no {file}"));
    }
    match link.split_once('#') {
        None => Ok(()),
        Some((_, anchor)) => match anchors.get(file.as_str()) {
            Some(known) if known.contains(anchor) => Ok(()),
            Some(_) => Err(format!("{file} has no heading for `{anchor}`")),
            None => Err(format!("{file} is no page with headings")),
        },
    }
}

/// Where a link leads, from the project's root; `None` where that is outside.
fn target(page: &Page, link: &str) -> Option<String> {
    let path = link.split('#').next().unwrap_or_default();
    let mut file = if path.is_empty() {
        PathBuf::from(&page.name)
    } else {
        Path::new(&page.name).parent().unwrap_or(Path::new("")).to_path_buf()
    };
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => {
                if !file.pop() {
                    return None;
                }
            }
            Component::Normal(name) => file.push(name),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir => return None,
        }
    }
    Some(file.to_str()?.to_owned())
}

/// All links of a page with their lines, pictures included.
fn links(page: &Page) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (n, line) in &page.text {
        let line = without_code(line);
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let link = &rest[..rest.find(')').unwrap_or(rest.len())];
            links.push((*n, link.split(' ').next().unwrap_or_default().to_owned()));
        }
    }
    links
}

/// The line with the inside of code spans blank: what stands there is no link.
fn without_code(line: &str) -> String {
    let mut inside = false;
    let blank = |c: char| {
        if c == '`' {
            inside = !inside;
        }
        if inside && c != '`' { ' ' } else { c }
    };
    line.chars().map(blank).collect()
}

/// What the page's headings are linked by: in lower case, without punctuation, `-` for a space; the second of a kind is `-1`.
fn anchors(page: &Page) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in &page.text {
        let title = line.trim_start_matches('#');
        let is_heading = title.len() < line.len() && title.starts_with(' ');
        if is_heading {
            let anchor = slug(title);
            let before = seen.entry(anchor.clone()).or_default();
            anchors.insert(if *before == 0 { anchor } else { format!("{anchor}-{before}") });
            *before += 1;
        }
    }
    anchors
}

fn slug(title: &str) -> String {
    let mut shown = String::new();
    let mut rest = title.trim();
    while let Some((before, link)) = rest.split_once("](") {
        shown.push_str(before);
        rest = link.split_once(')').map_or("", |(_, after)| after);
    }
    shown.push_str(rest);
    let kept = shown.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn wrong_links_are_told_with_their_line() {
    let one = "# One, [two](b.md)!\n## Same\n## Same\n[a](#one-two) [b](b.md#x) `[c](none.md)`\n[d](none.md) [e](b.md#y)\n[f](#same-1) [g](../out.md)\n";
    let pages = [Page::parse("CHANGELOG.md".to_owned(), one), Page::parse("b.md".to_owned(), "# x\n")];
    // Neither `b.md` nor `none.md` is a file of the project.
    assert_eq!(
        wrong(&pages),
        [
            "CHANGELOG.md:1: `b.md`: there is no b.md",
            "CHANGELOG.md:4: `b.md#x`: there is no b.md",
            "CHANGELOG.md:5: `none.md`: there is no none.md",
            "CHANGELOG.md:5: `b.md#y`: there is no b.md",
            "CHANGELOG.md:6: `../out.md`: it leads out of the project",
        ]
    );
    let lines = "[x](README.md#no-such-heading)\n";
    let pages = [Page::parse("CHANGELOG.md".to_owned(), lines), Page::parse("README.md".to_owned(), "# x\n")];
    assert_eq!(
        wrong(&pages),
        ["CHANGELOG.md:1: `README.md#no-such-heading`: README.md has no heading for `no-such-heading`"]
    );
}
