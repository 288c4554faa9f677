//! A figure over time, made ready to be shown: in order, thinned to what a screen shows, with moments marked. Reviews, reports and the
//! dashboard draw the same.

pub(crate) mod bars;
mod svg;

use std::time::Duration;

use mainstay_core::time::Time;

use crate::review::text::{Text, number, utc};

/// Most values that are drawn; beyond it, the least and the greatest of each stretch.
pub(crate) const POINTS_MAX: usize = 600;
/// Most moments that are marked.
const MARKS_MAX: usize = 20;
/// Blocks of a line of them.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// How many blocks a line has.
const COLUMNS: usize = 48;
/// A value beyond it is not one that can be drawn.
const VALUE_MAX: f64 = 1e100;
/// Values that are all nearer to zero are drawn as zero.
const VALUE_MIN: f64 = 1e-100;

/// A figure over time.
#[derive(Clone, PartialEq, Debug)]
pub struct Plot {
    /// What it is.
    pub title: String,
    /// Its unit; may be empty.
    pub unit: String,
    /// Its values; one that is not a number is a gap.
    pub points: Vec<(Time, f64)>,
    /// Moments to show besides the incident's own clocks, which are always shown.
    pub marks: Vec<(Time, String)>,
    /// What it is held against.
    pub bound: Option<f64>,
}

/// What goes along the bottom of a plot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Axis {
    /// Moments.
    Time,
    /// Steps of something, or seconds since it began: a position is a number, kept as so many seconds.
    Numbers,
}

impl Axis {
    /// A position in words.
    fn words(self, at: Time) -> String {
        match self {
            Axis::Time => utc(at),
            Axis::Numbers => number(position(at)),
        }
    }

    /// What the words are of.
    const fn unit(self) -> &'static str {
        match self {
            Axis::Time => " UTC",
            Axis::Numbers => "",
        }
    }

    /// Round positions within a stretch, about `wanted` of them, with what is written there.
    fn ticks(self, first: Time, last: Time, wanted: u64) -> Vec<(Time, String)> {
        match self {
            Axis::Time => {
                let (times, step) = moments(first, last, wanted);
                let part = match step.as_secs() {
                    ..60 => 11..19,
                    60..86_400 => 11..16,
                    _ => 0..10,
                };
                times.into_iter().map(|at| (at, utc(at)[part.clone()].to_owned())).collect()
            }
            Axis::Numbers => {
                let all = levels(position(first), position(last), wanted as f64).into_iter();
                let all = all.map(|value| (at_number(value), number(value)));
                all.filter(|(at, _)| first <= *at && *at <= last).collect()
            }
        }
    }
}

/// A number as a position.
fn at_number(number: f64) -> Time {
    Time::from_nanos((number.max(0.0) * 1e9) as u64)
}

fn position(at: Time) -> f64 {
    at.as_nanos() as f64 / 1e9
}

/// A plot that can be shown.
pub(crate) struct Drawn {
    axis: Axis,
    pub(crate) title: Text,
    pub(crate) unit: Text,
    /// In order of time; NaN is a gap.
    pub(crate) points: Vec<(Time, f64)>,
    /// How many values there were.
    pub(crate) given: usize,
    /// In order of time, within that of the values.
    pub(crate) marks: Vec<(Time, Text)>,
    pub(crate) bound: Option<f64>,
}

impl Drawn {
    pub(crate) fn of(plot: &Plot, clocks: &[(Time, &'static str)]) -> Drawn {
        let usable = |value: f64| if value.abs() <= VALUE_MAX { value } else { f64::NAN };
        let mut points: Vec<_> = plot.points.iter().map(|(at, value)| (*at, usable(*value))).collect();
        points.sort_by_key(|(at, _)| *at);
        let points = thinned(points);
        let mut drawn = Drawn {
            axis: Axis::Time,
            title: Text::short(&plot.title),
            unit: Text::short(&plot.unit),
            points,
            given: plot.points.len(),
            marks: Vec::new(),
            bound: plot.bound.filter(|bound| bound.abs() <= VALUE_MAX),
        };
        if let Some((first, last)) = drawn.span() {
            let own = plot.marks.iter().map(|(at, mark)| (*at, Text::short(mark)));
            let clocks = clocks.iter().map(|(at, name)| (*at, Text::short(name)));
            for mark in clocks.chain(own).filter(|(at, _)| first <= *at && *at <= last) {
                if drawn.marks.len() < MARKS_MAX && !drawn.marks.contains(&mark) {
                    drawn.marks.push(mark);
                }
            }
            drawn.marks.sort_by_key(|(at, _)| *at);
        }
        drawn
    }

    /// A curve over steps, or over any numbers that are not negative.
    pub(crate) fn over_numbers(title: &str, unit: &str, points: &[(f64, f64)]) -> Drawn {
        let points = points.iter().filter(|(at, _)| at.is_finite()).map(|(at, value)| (at_number(*at), *value));
        let (title, unit) = (title.to_owned(), unit.to_owned());
        let plot = Plot { title, unit, points: points.collect(), marks: Vec::new(), bound: None };
        Drawn { axis: Axis::Numbers, ..Drawn::of(&plot, &[]) }
    }

    /// Title and unit.
    pub(crate) fn headline(&self) -> Text {
        let (title, unit) = (self.title.as_str(), self.unit.as_str());
        if unit.is_empty() { self.title.clone() } else { Text::line(format!("{title} ({unit})")) }
    }

    /// Where something is, in words.
    pub(crate) fn words(&self, at: Time) -> String {
        self.axis.words(at)
    }

    fn known(&self) -> impl DoubleEndedIterator<Item = (Time, f64)> {
        self.points.iter().copied().filter(|(_, value)| value.is_finite())
    }

    /// The times of the first and the last value.
    pub(crate) fn span(&self) -> Option<(Time, Time)> {
        Some((self.known().next()?.0, self.known().next_back()?.0))
    }

    /// The least value and the greatest, each where it was first.
    pub(crate) fn extremes(&self) -> Option<((Time, f64), (Time, f64))> {
        let least = |a: (Time, f64), b: (Time, f64)| if b.1 < a.1 { b } else { a };
        let greatest = |a: (Time, f64), b: (Time, f64)| if b.1 > a.1 { b } else { a };
        Some((self.known().reduce(least)?, self.known().reduce(greatest)?))
    }

    /// At most `max` values, the first and the last among them.
    pub(crate) fn sampled(&self, max: usize) -> Vec<(Time, f64)> {
        let known: Vec<_> = self.known().collect();
        if known.len() <= max {
            return known;
        }
        (0..max).map(|i| known[i * (known.len() - 1) / (max - 1)]).collect()
    }

    /// The means of equal stretches of time as blocks between the least and the greatest value; a stretch without any is a dot.
    pub(crate) fn sparkline(&self) -> String {
        let (Some((first, last)), Some((low, high))) = (self.span(), self.extremes()) else { return String::new() };
        let columns = COLUMNS.min(self.known().count());
        let width = last.since(first).as_secs_f64();
        let mut sums = vec![(0.0, 0.0); columns];
        for (at, value) in self.known() {
            let share = if width > 0.0 { at.since(first).as_secs_f64() / width } else { 0.0 };
            let (sum, n) = &mut sums[((share * columns as f64) as usize).min(columns - 1)];
            *sum += value;
            *n += 1.0;
        }
        let height = high.1 - low.1;
        let block = |(sum, n): (f64, f64)| {
            if n == 0.0 {
                return '·';
            }
            let share = if height > 0.0 { (sum / n - low.1) / height } else { 0.0 };
            BLOCKS[((share * BLOCKS.len() as f64) as usize).min(BLOCKS.len() - 1)]
        };
        sums.into_iter().map(block).collect()
    }

    /// The plot as SVG.
    pub(crate) fn svg(&self) -> maud::Markup {
        svg::write(self)
    }
}

/// Curves over numbers that are not negative, such as steps or seconds, below each other: a whole file of SVG.
pub fn curves_svg<'a>(title: &str, curves: impl IntoIterator<Item = (&'a str, &'a [(f64, f64)])>) -> String {
    let drawn: Vec<Drawn> = curves.into_iter().map(|(name, points)| Drawn::over_numbers(name, "", points)).collect();
    svg::file(title, &drawn)
}

/// Of each of equal runs of values the least and the greatest, and a gap where there was one.
fn thinned(points: Vec<(Time, f64)>) -> Vec<(Time, f64)> {
    if points.len() <= POINTS_MAX {
        return points;
    }
    let run = points.len().div_ceil(POINTS_MAX / 3);
    let mut out = Vec::with_capacity(POINTS_MAX);
    for run in points.chunks(run) {
        let known = || run.iter().copied().filter(|(_, value)| !value.is_nan());
        let least = known().min_by(|a, b| a.1.total_cmp(&b.1));
        let greatest = known().max_by(|a, b| a.1.total_cmp(&b.1));
        let mut kept: Vec<_> = least.into_iter().chain(greatest).collect();
        kept.sort_by_key(|(at, _)| *at);
        kept.dedup();
        out.extend(kept);
        out.extend(run.iter().copied().rev().find(|(_, value)| value.is_nan()));
    }
    out
}

/// Round steps of time, the last of which is doubled until it fits.
const STEPS_S: [u64; 17] =
    [1, 5, 10, 30, 60, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000];

/// Round moments within a stretch, about `wanted` of them, and the step between them.
fn moments(first: Time, last: Time, wanted: u64) -> (Vec<Time>, Duration) {
    let seconds = |time: Time| time.as_nanos() / 1_000_000_000;
    let span = seconds(last).saturating_sub(seconds(first));
    let round = STEPS_S.into_iter().find(|step| span / step <= wanted);
    let step = round.unwrap_or_else(|| (span / wanted).next_multiple_of(STEPS_S[STEPS_S.len() - 1]));
    let start = seconds(first).div_ceil(step);
    let all = (start..).map(|n| n * step).take_while(|at| *at <= seconds(last)).map(Time::from_secs);
    (all.filter(|at| *at >= first).take(wanted as usize + 2).collect(), Duration::from_secs(step))
}

/// Round values from at most `low` to at least `high`, about `wanted` steps.
fn levels(low: f64, high: f64, wanted: f64) -> Vec<f64> {
    let size = low.abs().max(high.abs());
    let (low, high) = if size < VALUE_MIN {
        (0.0, 1.0)
    } else if high - low <= 1e-9 * size {
        (low - 0.1 * size, high + 0.1 * size)
    } else {
        (low, high)
    };
    let rough = (high - low) / wanted;
    let scale = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|it| it * scale).into_iter().find(|it| *it >= rough).unwrap_or(10.0 * scale);
    let (start, end) = ((low / step).floor(), (high / step).ceil());
    let steps = (end - start).clamp(1.0, 2.0 * wanted) as u32;
    (0..=steps).map(|n| (start + f64::from(n)) * step).collect()
}

#[cfg(test)]
mod tests;
