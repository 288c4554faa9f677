//! Curves, as a line of blocks in the terminal and as an SVG file.

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

/// One drawing for each curve, below each other, as the dashboard, reviews and reports draw.
pub(crate) fn svg(title: &str, curves: &[Curve]) -> String {
    mainstay_control::curves_svg(title, curves.iter().map(|it| (it.name.as_str(), it.points.as_slice())))
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
            plot.contains("r &amp; d") && plot.contains("a&lt;b") && plot.contains("path class=\"line\""),
            "{plot}"
        );
    }
}
