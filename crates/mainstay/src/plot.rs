//! Curves, as a line of blocks in the terminal and as an SVG file.

use std::fmt::Write as _;

/// A metric over steps.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    /// Steps, ascending, and values. Both are finite: they were JSON.
    pub(crate) points: Vec<(f64, f64)>,
}

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The curve in at most so many columns, each the mean of its share of the points, with its first and last value.
pub(crate) fn sparkline(points: &[(f64, f64)], columns: usize) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return String::new() };
    let columns = columns.min(points.len());
    let means: Vec<f64> = (0..columns)
        .map(|column| {
            let share = &points[column * points.len() / columns..(column + 1) * points.len() / columns];
            share.iter().map(|point| point.1).sum::<f64>() / share.len() as f64
        })
        .collect();
    let (low, high) = bounds(means.iter().copied());
    let block = |value: &f64| {
        let height = if high > low { (value - low) / (high - low) } else { 0.5 };
        BLOCKS[((height * 8.0) as usize).min(7)]
    };
    format!("{} {:.4} to {:.4}", means.iter().map(block).collect::<String>(), first.1, last.1)
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 160.0;
const MARGIN: f64 = 40.0;

/// One panel for each curve, below each other, with the greatest and least value and step.
pub(crate) fn svg(title: &str, curves: &[Curve]) -> String {
    let panel = HEIGHT + 2.0 * MARGIN;
    let (width, height) = (WIDTH + 2.0 * MARGIN, panel * curves.len().max(1) as f64);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<title>{}</title>\n",
        escaped(title)
    );
    for (at, curve) in curves.iter().enumerate() {
        draw(&mut out, curve, panel * at as f64);
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, curve: &Curve, top: f64) {
    let (low, high) = bounds(curve.points.iter().map(|point| point.1));
    let (start, end) = bounds(curve.points.iter().map(|point| point.0));
    let scaled = |value: f64, from: f64, to: f64| if to > from { (value - from) / (to - from) } else { 0.5 };
    let mut path = String::new();
    for (step, value) in &curve.points {
        let x = MARGIN + WIDTH * scaled(*step, start, end);
        let y = top + MARGIN + HEIGHT * (1.0 - scaled(*value, low, high));
        let command = if path.is_empty() { 'M' } else { 'L' };
        write!(path, "{command}{x:.1},{y:.1}").expect("a string takes what is written");
    }
    let (left, bottom) = (MARGIN, top + MARGIN + HEIGHT);
    let name = escaped(&curve.name);
    write!(
        out,
        "<text x=\"{left}\" y=\"{:.1}\" font-weight=\"bold\">{name}</text>\n\
         <text x=\"{left}\" y=\"{:.1}\">{high:.4}</text>\n\
         <text x=\"{left}\" y=\"{:.1}\">{low:.4} at steps {start} to {end}</text>\n\
         <path d=\"{path}\" fill=\"none\" stroke=\"#2266aa\" stroke-width=\"1.5\"/>\n",
        top + 14.0,
        top + 30.0,
        bottom + 16.0,
    )
    .expect("a string takes what is written");
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_curve_falls() {
        let points: Vec<_> = (0..80).map(|step| (f64::from(step), f64::from(80 - step))).collect();
        assert_eq!(sparkline(&points, 8), "█▇▆▅▄▃▂▁ 80.0000 to 1.0000");
        assert_eq!(sparkline(&[(0.0, 2.0)], 8), "▅ 2.0000 to 2.0000");
        assert_eq!(sparkline(&[], 8), "");
    }

    #[test]
    fn a_plot_holds_every_curve_and_no_markup_of_others() {
        let curve = Curve { name: "a<b".to_owned(), points: vec![(0.0, 1.0), (10.0, 0.5)] };
        let plot = svg("r & d", &[curve]);
        assert!(
            plot.contains("r &amp; d") && plot.contains("a&lt;b") && plot.contains("M40.0,40.0L680.0,200.0"),
            "{plot}"
        );
    }
}
