//! The documentation is true: links lead somewhere, configs are accepted, commands are understood, and those that need no
//! server end as they should. `CONTRIBUTING.md` says how a page tells what is special about an example.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod accounted;
mod commands;
mod configs;
mod json;
mod links;
mod live;
mod page;
mod samples;
mod shell;

use page::Page;

/// Everything that is wrong, each with its file and line.
fn none_of(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n{} in all", wrong.join("\n"), wrong.len());
}

#[test]
fn every_link_leads_somewhere() {
    none_of(&links::wrong(&Page::all()));
}

#[test]
fn the_table_of_contents_has_every_page() {
    none_of(&links::unlisted(&Page::all()));
}

#[test]
fn every_config_is_accepted() {
    none_of(&configs::wrong(&Page::all()));
}

#[test]
fn every_block_is_run_or_says_why_not() {
    none_of(&accounted::wrong(&Page::all()));
}

#[test]
fn every_command_ends_as_it_should() {
    none_of(&commands::wrong(&Page::all()));
}

#[test]
fn every_command_that_is_named_exists() {
    none_of(&commands::unknown(&Page::all()));
}

#[test]
fn every_json_is_as_its_help_says() {
    none_of(&json::wrong());
}

#[test]
fn every_example_in_help_texts_is_understood() {
    let (examples, wrong) = commands::wrong_in_help();
    none_of(&wrong);
    assert!(examples >= 10, "{examples} examples were found");
}
