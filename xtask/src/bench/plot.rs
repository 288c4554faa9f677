//! Several lines in one drawing.

use std::fmt::Write as _;

/// A line and what it is.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 34.0;
const LEGEND: f64 = 280.0;

/// The lines over time, each in its colour, with a legend.
pub(super) fn svg(title: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| line.points.iter());
    let most = all().map(|point| point.1).fold(1e-9, f64::max);
    let last = all().map(|point| point.0).fold(1e-9, f64::max);
    let (width, height) = (LEFT + WIDTH + LEGEND, TOP + HEIGHT + 40.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    for (y, text) in [(TOP + 4.0, format!("{most:.0}")), (TOP + HEIGHT, "0".to_owned())] {
        let _ = writeln!(out, "<text x=\"8\" y=\"{y}\">{text}</text>");
    }
    let _ = writeln!(out, "<text x=\"{}\" y=\"{}\">{last:.0}</text>", LEFT + WIDTH - 30.0, TOP + HEIGHT + 16.0);
    let _ = writeln!(
        out,
        "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#999\"/>"
    );
    for (index, line) in lines.iter().enumerate() {
        let hue = index * 360 / lines.len().max(1);
        let place =
            |(x, y): &(f64, f64)| format!("{:.1},{:.1}", LEFT + WIDTH * x / last, TOP + HEIGHT * (1.0 - y / most));
        let points: Vec<String> = line.points.iter().map(place).collect();
        // The first is what the others are compared with.
        let stroke = if index == 0 { 2.5 } else { 1.0 };
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"hsl({hue},70%,42%)\" stroke-width=\"{stroke}\" points=\"{}\"/>",
            points.join(" ")
        );
        let y = TOP + 14.0 * (index as f64 + 1.0);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{y}\" fill=\"hsl({hue},70%,42%)\">{}</text>",
            LEFT + WIDTH + 12.0,
            escaped(&line.name)
        );
    }
    out.push_str("</svg>\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
