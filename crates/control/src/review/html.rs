//! A review as a page that needs nothing else: no scripts, nothing from elsewhere, and a browser is told to refuse both.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Review;
use super::content::{self, Block, Section, UNWRITTEN};
use super::text::{Text, number};
use crate::plot::Drawn;

/// The style of reviews and reports; the dashboard's begins with it.
pub(crate) const STYLE: &str = include_str!("page.css");
/// Nothing but the page's own style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

pub(super) fn write(review: &Review) -> String {
    page(&content::title(review), &content::sections(review))
}

/// A page of sections under a headline.
pub(crate) fn page(title: &Text, sections: &[Section]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title.as_str()) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title.as_str()) }
                    @for section in sections {
                        section {
                            h2 { (section.title) }
                            @for block in &section.blocks { (write_block(block)) }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn write_block(block: &Block) -> Markup {
    html! {
        @match block {
            Block::Line(text) => p { (text.as_str()) },
            Block::Heading(text) => h3 { (text.as_str()) },
            Block::Unwritten => p.unknown { (UNWRITTEN) },
            Block::List(texts) => ul { @for text in texts { li { (text.as_str()) } } },
            Block::Pairs(pairs) => dl {
                @for (name, text) in pairs { dt { (name) } dd { (text.as_str()) } }
            },
            Block::Table(head, rows) => .wide {
                table {
                    thead { tr { @for name in *head { th scope="col" { (name) } } } }
                    tbody {
                        @for row in rows { tr { @for cell in row { td { (cell.as_str()) } } } }
                    }
                }
            },
            Block::Plot(plot) => (figure(plot)),
        }
    }
}

/// A plot with its headline and its extremes.
pub(crate) fn figure(plot: &Drawn) -> Markup {
    html! {
        figure {
            figcaption { (plot.headline().as_str()) }
            (plot.svg())
            @if let Some((low, high)) = plot.extremes() {
                p.note {
                    "Lowest " (number(low.1)) " at " (plot.words(low.0)) ", highest " (number(high.1)) " at " (plot.words(high.0)) "."
                }
            }
        }
    }
}
