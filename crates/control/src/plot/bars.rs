//! Shares side by side, as SVG: what was expected, and what is seen.

use maud::{Markup, html};

use crate::review::text::{Text, percent};

/// In the units of the drawing, which is as wide as the page lets it.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 60.0;
/// A bar, and the pair with its gap.
const BAR: f64 = 9.0;
const PAIR: f64 = 26.0;
/// Most pairs that are drawn; those beyond are counted.
pub(crate) const PAIRS_MAX: usize = 24;
/// Most letters of a label.
const LETTERS_MAX: usize = 28;

/// A share of two.
pub(crate) struct Pair {
    /// What it is a share of.
    pub(crate) label: String,
    /// What was expected, within [0, 1].
    pub(crate) before: f64,
    /// What is seen, within [0, 1].
    pub(crate) now: f64,
}

/// Pairs of bars under a title, and what the colours mean.
pub(crate) fn write(title: &str, (before, now): (&str, &str), pairs: &[Pair]) -> Markup {
    let shown = &pairs[..pairs.len().min(PAIRS_MAX)];
    let usable = |share: f64| if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let most = shown.iter().map(|it| usable(it.before).max(usable(it.now))).fold(f64::MIN_POSITIVE, f64::max);
    let length = |share: f64| format!("{:.1}", usable(share) / most * (WIDTH - LEFT - RIGHT));
    let end = |share: f64| format!("{:.1}", LEFT + usable(share) / most * (WIDTH - LEFT - RIGHT) + 4.0);
    let at = |value: f64| format!("{value:.1}");
    html! {
        figure {
            figcaption { (Text::line(title).as_str()) }
            p.note { span.key {} " " (before) " " span.key.second {} " " (now) }
            svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox=(format!("0 0 {WIDTH} {}", at(PAIR * shown.len() as f64 + 4.0))) {
                title { (Text::line(title).as_str()) ": " (before) " and " (now) }
                @for (n, pair) in shown.iter().enumerate() {
                    @let top = PAIR * n as f64 + 4.0;
                    text.share text-anchor="end" x=(at(LEFT - 8.0)) y=(at(top + 13.0)) { (label(&pair.label)) }
                    rect.bar x=(LEFT) y=(at(top)) width=(length(pair.before)) height=(BAR) {}
                    rect.bar.second x=(LEFT) y=(at(top + BAR + 1.0)) width=(length(pair.now)) height=(BAR) {}
                    text.share x=(end(pair.before)) y=(at(top + 8.5)) { (percent(pair.before)) }
                    text.share x=(end(pair.now)) y=(at(top + BAR + 9.5)) { (percent(pair.now)) }
                }
            }
            @if pairs.len() > shown.len() { p.note { "And " (pairs.len() - shown.len()) " more." } }
        }
    }
}

fn label(text: &str) -> String {
    let text = Text::short(text);
    if text.as_str().chars().count() <= LETTERS_MAX {
        return text.as_str().to_owned();
    }
    text.as_str().chars().take(LETTERS_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_well_formed_whatever_they_show() {
        for (before, now) in [(0.0, 0.0), (1.0, 1e-12), (f64::NAN, f64::INFINITY), (-1.0, 2.0)] {
            let pair = || Pair { label: "<&\"\u{202e}".repeat(100), before, now };
            let pairs: Vec<Pair> = (0..100).map(|_| pair()).collect();
            let page = write("a<b", ("before", "now"), &pairs).into_string();
            let document = roxmltree::Document::parse(&page).expect("well formed");
            let bars = document.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "rect")));
            let widths: Vec<f64> = bars.map(|bar| bar.attribute("width").unwrap().parse().unwrap()).collect();
            assert_eq!(widths.len(), 2 * PAIRS_MAX);
            assert!(widths.iter().all(|width| (0.0..=WIDTH).contains(width)), "{widths:?}");
        }
        assert!(write("none", ("a", "b"), &[]).into_string().contains("<svg"));
    }
}
