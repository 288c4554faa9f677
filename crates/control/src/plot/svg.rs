//! A plot as SVG: it has no colours of its own, the page around it does.

use mainstay_core::time::Time;
use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use super::{Drawn, levels};
use crate::review::text::{Text, number};

/// In the units of the drawing, which is as wide as the page lets it.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const HEIGHT: f64 = 180.0;
const BELOW: f64 = 24.0;
/// A line of labels above the drawing.
const LABEL: f64 = 14.0;
/// Most lines of labels; those beyond share the last.
const LABELS_MAX: usize = 6;
/// About how wide a letter of a label is.
const LETTER: f64 = 6.4;
/// Most letters of a label that is drawn; all of it shows where one points to it.
const LETTERS_MAX: usize = 28;

/// Where things are in the drawing.
struct Scale {
    first: Time,
    seconds: f64,
    low: f64,
    high: f64,
    top: f64,
}

impl Scale {
    fn x(&self, at: Time) -> f64 {
        let share = if self.seconds > 0.0 { at.since(self.first).as_secs_f64() / self.seconds } else { 0.5 };
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.bottom() - share.clamp(0.0, 1.0) * HEIGHT
    }

    fn bottom(&self) -> f64 {
        self.top + HEIGHT
    }
}

/// A label above the drawing: where its line is, in which row it stands, and whether it stands left of its line.
struct Label<'a> {
    x: f64,
    row: usize,
    left: bool,
    text: &'a str,
}

pub(super) fn write(plot: &Drawn) -> Markup {
    let Some((drawing, height)) = drawing(plot) else { return html! { p.unknown { "No values are known." } } };
    html! {
        svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox=(format!("0 0 {WIDTH} {height:.1}")) { (drawing) }
    }
}

/// Above each drawing of a file, for its headline.
const HEAD: f64 = 24.0;
/// What the page around a drawing gives otherwise, light and dark.
const STYLE: &str = "svg{--ink:#1b1f24;--soft:#57606a;--rule:#d8dee4;--line:#1f5fbf}\
    @media(prefers-color-scheme:dark){svg{--ink:#e6e8eb;--soft:#9aa4af;--rule:#30363d;--line:#8ebcff}}\
    text{font:11px system-ui,sans-serif;fill:var(--soft)}text.head{font-size:13px;font-weight:600;fill:var(--ink)}\
    .grid{stroke:var(--rule)}.tick{stroke:var(--soft)}.line{fill:none;stroke:var(--line);stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}";

/// Drawings below each other, as a file that needs nothing around it.
pub(super) fn file(title: &str, plots: &[Drawn]) -> String {
    let mut height = 0.0;
    let mut part = |plot: &Drawn| {
        let top = height;
        let known = drawing(plot);
        height += HEAD + known.as_ref().map_or(HEAD, |(_, height)| *height);
        html! {
            g transform=(format!("translate(0 {top:.1})")) {
                text.head x=(LEFT) y="16" { (plot.headline().as_str()) }
                g transform=(format!("translate(0 {HEAD})")) {
                    @match known {
                        Some((drawing, _)) => (drawing),
                        None => text x=(LEFT) y="12" { "No values are known." },
                    }
                }
            }
        }
    };
    let parts: Vec<Markup> = plots.iter().map(&mut part).collect();
    let file = html! {
        svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox=(format!("0 0 {WIDTH} {:.1}", height.max(HEAD))) {
            title { (Text::line(title).as_str()) }
            style { (PreEscaped(STYLE)) }
            @for part in &parts { (part) }
        }
    };
    file.into_string() + "\n"
}

/// What is in a drawing, and how high it is; `None` where no value is known.
fn drawing(plot: &Drawn) -> Option<(Markup, f64)> {
    let (Some((first, last)), Some((low, high))) = (plot.span(), plot.extremes()) else { return None };
    let bound = plot.bound.unwrap_or(low.1);
    let levels = levels(low.1.min(bound), high.1.max(bound), 4.0);
    let seconds = last.since(first).as_secs_f64();
    let mut scale = Scale { first, seconds, low: levels[0], high: levels[levels.len() - 1], top: 8.0 };
    let labels = labels(plot, &scale);
    scale.top += LABEL * labels.iter().map(|label| label.row + 1).max().unwrap_or(0) as f64;
    let (bottom, right) = (scale.bottom(), WIDTH - RIGHT);
    let ticks = plot.axis.ticks(first, last, 6);
    let at = |value: f64| format!("{value:.1}");
    let content = html! {
            title { (plot.headline().as_str()) ", " (plot.words(first)) " to " (plot.words(last)) (plot.axis.unit()) }
            @for level in &levels {
                line.grid x1=(LEFT) x2=(right) y1=(at(scale.y(*level))) y2=(at(scale.y(*level))) {}
                text.axis text-anchor="end" x=(LEFT - 6.0) y=(at(scale.y(*level) + 4.0)) { (number(*level)) }
            }
            @for (time, word) in &ticks {
                line.tick x1=(at(scale.x(*time))) x2=(at(scale.x(*time))) y1=(at(bottom)) y2=(at(bottom + 4.0)) {}
                text.axis text-anchor="middle" x=(at(scale.x(*time))) y=(at(bottom + 17.0)) { (word) }
            }
            @for label in &labels {
                @let y = at(8.0 + LABEL * label.row as f64 + 4.0);
                line.mark x1=(at(label.x)) x2=(at(label.x)) y1=(y) y2=(at(bottom)) {}
                text.mark text-anchor=(if label.left { "end" } else { "start" }) x=(at(label.x + if label.left { -4.0 } else { 4.0 })) y=(at(8.0 + LABEL * label.row as f64 + 8.0)) {
                    (clipped(label.text))
                    @if clipped(label.text) != label.text { title { (label.text) } }
                }
            }
            @if let Some(bound) = plot.bound {
                line.bound x1=(LEFT) x2=(right) y1=(at(scale.y(bound))) y2=(at(scale.y(bound))) {}
                text.bound text-anchor="end" x=(right) y=(at(scale.y(bound) - 4.0)) { "bound " (number(bound)) }
            }
            path.line d=(path(plot, &scale)) {}
    };
    Some((content, bottom + BELOW))
}

/// A line through the values that breaks at a gap; a value alone is a dot.
fn path(plot: &Drawn, scale: &Scale) -> String {
    let (mut out, mut goes_on) = (String::new(), false);
    for (at, value) in &plot.points {
        if value.is_nan() {
            goes_on = false;
            continue;
        }
        let (x, y) = (scale.x(*at), scale.y(*value));
        let (to, dot) = if goes_on { ("L", "") } else { ("M", "h0") };
        write!(out, "{to}{x:.1} {y:.1}{dot}").expect("a string takes all");
        goes_on = true;
    }
    out
}

/// Each label in the first row where it does not touch another.
fn labels<'a>(plot: &'a Drawn, scale: &Scale) -> Vec<Label<'a>> {
    let mut rows: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut out = Vec::new();
    for (at, text) in &plot.marks {
        let (x, text) = (scale.x(*at), text.as_str());
        let width = 12.0 + LETTER * text.chars().count().min(LETTERS_MAX) as f64;
        let left = x + width > WIDTH;
        let (start, end) = if left { (x - width, x) } else { (x, x + width) };
        let free = |row: &Vec<(f64, f64)>| row.iter().all(|(a, b)| end <= *a || *b <= start);
        let row = rows.iter().position(free).unwrap_or(rows.len()).min(LABELS_MAX - 1);
        if row == rows.len() {
            rows.push(Vec::new());
        }
        rows[row].push((start, end));
        out.push(Label { x, row, left, text });
    }
    out
}

fn clipped(text: &str) -> String {
    if text.chars().count() <= LETTERS_MAX {
        return text.to_owned();
    }
    text.chars().take(LETTERS_MAX - 1).chain(['…']).collect()
}
