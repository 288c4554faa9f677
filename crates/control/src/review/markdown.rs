//! A review as CommonMark, with tables as GitHub and others read them.
//!
//! Every text shows as it is: what could be markup is escaped, and a word that some readers make a mention, a link, a reference or a picture of stands
//! as code, where none of them looks.

use std::fmt::Write as _;

use super::Review;
use super::content::{self, Block, Section, UNWRITTEN};
use super::text::{Text, number, utc};
use crate::plot::Drawn;

/// Most values of a plot that stand in its table.
const VALUES_MAX: usize = 12;
/// Between the two halves of what would be a mention, where a word cannot stand as code.
const JOINER: char = '\u{2060}';

pub(super) fn write(review: &Review) -> String {
    page(&content::title(review), &content::sections(review))
}

/// A page of sections under a headline.
pub(crate) fn page(title: &Text, sections: &[Section]) -> String {
    let mut out = format!("# {}\n", heading(title));
    for section in sections {
        push(&mut out, &format!("\n## {}\n", section.title));
        for block in &section.blocks {
            push(&mut out, "\n");
            write_block(&mut out, block);
        }
    }
    out
}

fn push(out: &mut String, text: &str) {
    out.push_str(text);
}

fn write_block(out: &mut String, block: &Block) {
    match block {
        Block::Line(text) => push(out, &format!("{}\n", inline(text))),
        Block::Heading(text) => push(out, &format!("### {}\n", heading(text))),
        Block::Unwritten => push(out, &format!("*{UNWRITTEN}*\n")),
        Block::List(texts) => {
            for text in texts {
                push(out, &format!("- {}\n", inline(text)));
            }
        }
        Block::Pairs(pairs) => {
            for (name, text) in pairs {
                push(out, &format!("- **{name}:** {}\n", inline(text)));
            }
        }
        Block::Table(head, rows) => table(out, head, rows.iter().map(|row| row.iter().map(inline).collect())),
        Block::Plot(plot) => write_plot(out, plot),
    }
}

fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    push(out, &format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(head.len())));
    for row in rows {
        push(out, &format!("| {} |\n", row.join(" | ")));
    }
}

fn write_plot(out: &mut String, plot: &Drawn) {
    push(out, &format!("### {}\n\n", heading(&plot.headline())));
    let (Some((first, last)), Some((low, high))) = (plot.span(), plot.extremes()) else {
        push(out, "No values are known.\n");
        return;
    };
    push(out, &format!("`{}` {} to {}\n\n", plot.sparkline(), utc(first), utc(last)));
    let told = |(at, value): (_, f64)| format!("{} at {}", number(value), utc(at));
    push(out, &format!("- **Lowest:** {}\n- **Highest:** {}\n", told(low), told(high)));
    if let Some(bound) = plot.bound {
        push(out, &format!("- **Held against:** {}\n", number(bound)));
    }
    for (at, mark) in &plot.marks {
        push(out, &format!("- {}: {}\n", utc(*at), inline(mark)));
    }
    push(out, "\n");
    let rows = plot.sampled(VALUES_MAX).into_iter().map(|(at, value)| vec![utc(at), number(value)]);
    table(out, &["UTC", "Value"], rows);
}

/// A text within a paragraph, an item or a cell.
pub(crate) fn inline(text: &Text) -> String {
    let mut out = String::new();
    for (n, word) in text.as_str().split(' ').enumerate() {
        if n > 0 {
            out.push(' ');
        }
        if has_power(word) && !word.contains(['`', '|', '\\']) {
            write!(out, "`{word}`").expect("a string takes all");
        } else {
            escape(&mut out, word, n == 0);
        }
    }
    out
}

/// The same as a heading: some readers take braces at its end for attributes, escaped or not.
pub(crate) fn heading(text: &Text) -> String {
    let text = inline(text);
    text.strip_suffix('}').map(|rest| format!("{rest}&#125;")).unwrap_or(text)
}

/// Whether readers make more of a word than CommonMark does.
fn has_power(word: &str) -> bool {
    let reference = || word.split('#').skip(1).any(|rest| rest.starts_with(char::is_alphanumeric));
    let picture = || {
        let mut parts = word.split(':').skip(1).peekable();
        std::iter::from_fn(|| parts.next().filter(|_| parts.peek().is_some()))
            .any(|name| name.starts_with(|it: char| it.is_alphabetic() || matches!(it, '+' | '-')))
    };
    word.contains('@') || word.contains("://") || word.to_ascii_lowercase().contains("www.") || reference() || picture()
}

/// Escapes whatever could be markup; at the start of a text also what could begin a block.
fn escape(out: &mut String, word: &str, first: bool) {
    let power = has_power(word);
    let marker = first && !word.is_empty() && word.chars().all(|it| matches!(it, '-' | '+' | '=' | ':'));
    let number = word.strip_suffix(['.', ')']).filter(|digits| first && digits.bytes().all(|it| it.is_ascii_digit()));
    let mut before = ' ';
    let mut chars = word.char_indices().peekable();
    while let Some((at, it)) = chars.next() {
        let next = chars.peek().map_or(' ', |(_, next)| *next);
        let markup = match it {
            '\\' | '`' | '*' | '[' | ']' | '<' | '|' | '~' | '#' | '$' | '&' | '^' => true,
            '_' => !(before.is_alphanumeric() && next.is_alphanumeric()),
            '>' => first && at == 0,
            '-' | '+' | '=' | ':' => marker && at == 0,
            '.' | ')' => number.is_some_and(|digits| at == digits.len()),
            _ => false,
        };
        if markup {
            out.push('\\');
        }
        out.push(it);
        if power && matches!(it, '@' | '#' | ':' | '.') {
            out.push(JOINER);
        }
        before = it;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag};

    use super::*;

    fn seen(text: &str) -> String {
        inline(&Text::line(text))
    }

    #[test]
    fn what_could_be_markup_is_escaped_and_the_rest_stays_readable() {
        assert_eq!(seen("model_degradation of score (50.5 %)!"), "model_degradation of score (50.5 %)!");
        assert_eq!(seen("*bold* _it_ a_b __c"), r"\*bold\* \_it\_ a_b \_\_c");
        assert_eq!(seen("<img src=x> [a](b) ![c] &lt; $x$"), r"\<img src=x> \[a\](b) !\[c\] \&lt; \$x\$");
        assert_eq!(seen("a | b || c\\| d"), r"a \| b \|\| c\\\| d");
    }

    #[test]
    fn a_text_begins_no_block() {
        let all = ["- a", "+ a", "# a", "1. a", "12) a", "> a", "---", "===", "~~~", "```", ": a"].map(seen);
        assert_eq!(
            all,
            [r"\- a", r"\+ a", r"\# a", r"1\. a", r"12\) a", r"\> a", r"\---", r"\===", r"\~\~\~", r"\`\`\`", r"\: a"]
        );
    }

    #[test]
    fn figures_and_arrows_stay_as_they_are() {
        let all = ["-0.5 and +3", "33.3 %", "1.5) a", "a -> b", "(1) a", "2026-03-01"];
        assert_eq!(all.map(seen), all);
    }

    #[test]
    fn words_with_power_stand_as_code() {
        assert_eq!(
            seen("ask @ops, see https://a.example/b_c or #12"),
            "ask `@ops,` see `https://a.example/b_c` or `#12`"
        );
        assert_eq!(
            seen("www.example a#1 :smile: 12:00:00 backend:primary"),
            "`www.example` `a#1` `:smile:` 12:00:00 backend:primary"
        );
        assert_eq!(seen("`@all`"), "\\`@\u{2060}all\\`");
    }

    /// The texts of a document, and the elements around them.
    fn read(document: &str) -> (String, Vec<String>) {
        let (mut text, mut elements) = (String::new(), Vec::new());
        for event in Parser::new_ext(document, Options::all() - Options::ENABLE_SMART_PUNCTUATION) {
            match event {
                Event::Text(it) | Event::Code(it) => text += &it.replace(JOINER, ""),
                Event::Start(Tag::Heading { level, id: None, classes, attrs })
                    if classes.is_empty() && attrs.is_empty() =>
                {
                    elements.push(format!("{level}"));
                }
                Event::Start(tag) => elements.push(format!("{tag:?}")),
                Event::End(_) => {}
                other => elements.push(format!("{other:?}")),
            }
        }
        (text, elements)
    }

    fn nasty() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "*",
                "_",
                "**",
                "__",
                "`",
                "``",
                "\\",
                "|",
                "\\|",
                "<",
                ">",
                "&",
                "&amp;",
                "[",
                "]",
                "(",
                ")",
                "[^1]:",
                "[a]:",
                "![",
                "](",
                "~~",
                "#",
                "##",
                "-",
                "---",
                "+",
                "=",
                "===",
                ":",
                "::",
                "1.",
                "2)",
                "{",
                "}",
                "{#a}",
                "$",
                "$$",
                "@",
                "@ops",
                "://",
                "www.",
                ":a:",
                "!",
                " ",
                "  ",
                "\n",
                "\n\n",
                "\t",
                "    ",
                "<b>",
                "</b>",
                "<!--",
                "-->",
                "<script>",
                "<https://a>",
                "[x]",
                "\u{1b}[31m",
                "\u{202e}",
                "a",
                "b_c",
                "^",
                "=>",
            ])
            .prop_map(str::to_owned),
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 1..14).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn every_text_shows_as_it_is_wherever_it_stands(raw in nasty()) {
            let text = Text::line(&raw);
            prop_assume!(!text.as_str().is_empty());
            let it = inline(&text);
            let same = |document: String, around: &[&str]| {
                let (seen, elements) = read(&document);
                prop_assert_eq!((seen.trim(), elements), (text.as_str(), around.iter().map(ToString::to_string).collect::<Vec<_>>()), "{}", document);
                Ok(())
            };
            same(format!("{it}\n"), &["Paragraph"])?;
            same(format!("# {}\n", heading(&text)), &["h1"])?;
            same(format!("- {it}\n"), &["List(None)", "Item"])?;
            let (seen, elements) = read(&format!("| a | b |\n| --- | --- |\n| {it} | c |\n"));
            prop_assert_eq!(seen, format!("ab{}c", text.as_str()));
            prop_assert_eq!(elements.len(), 7, "{:?}", elements);
        }
    }
}
