//! From Prometheus' text to figures: rates of the last seconds, quantiles of the last minute.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Look-back of rates.
const RATE_OVER: Duration = Duration::from_secs(10);
/// Look-back of quantiles.
const QUANTILE_OVER: Duration = Duration::from_mins(1);
/// Classes of requests.
const CLASSES: usize = 4;

/// Counters of one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Reading {
    routes: BTreeMap<String, Counted>,
    keys: BTreeMap<String, Vec<Key>>,
}

#[derive(Clone, PartialEq, Debug, Default)]
struct Counted {
    /// By class.
    requests: [f64; CLASSES],
    shed: f64,
    /// Upper bound in seconds, and requests up to there.
    buckets: Vec<(f64, f64)>,
}

/// A key of a backend, known by its place in the config.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Key {
    pub(super) is_up: bool,
    pub(super) calls: f64,
    pub(super) faults: f64,
}

/// What a route did of late; `None` where nothing can be said.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Figures {
    /// Requests per second, by class.
    pub(super) rates: Option<[f64; CLASSES]>,
    /// Sheds per second.
    pub(super) shed: Option<f64>,
    /// Seconds within which half of the requests were answered.
    pub(super) p50: Option<Quantile>,
    /// Seconds within which 99 % of them were.
    pub(super) p99: Option<Quantile>,
}

/// A quantile of a histogram.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Quantile {
    /// Within a bucket, by a straight line between its bounds.
    Seconds(f64),
    /// Beyond the last bound, which it is.
    Beyond(f64),
}

impl Reading {
    /// Reads a page of metrics. What is not known, or cannot be read, is passed over.
    pub(super) fn of(page: &str) -> Reading {
        let mut reading = Reading::default();
        for line in page.lines() {
            if let Some(sample) = Sample::of(line) {
                reading.take(&sample);
            }
        }
        for counted in reading.routes.values_mut() {
            counted.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        reading
    }

    fn take(&mut self, sample: &Sample<'_>) {
        let value = sample.value;
        match sample.name {
            "mainstay_requests_total" => {
                let class = sample.label("class").parse::<usize>().ok().filter(|class| *class < CLASSES);
                if let (Some(class), Some(route)) = (class, self.route(sample)) {
                    route.requests[class] += value;
                }
            }
            "mainstay_shed_total" => {
                if let Some(route) = self.route(sample) {
                    route.shed += value;
                }
            }
            "mainstay_request_duration_seconds_bucket" => {
                let bound = sample.label("le").parse().ok();
                if let (Some(bound), Some(route)) = (bound, self.route(sample)) {
                    route.buckets.push((bound, value));
                }
            }
            "mainstay_key_up" => self.key(sample, |key| key.is_up = value > 0.0),
            "mainstay_key_calls_total" => self.key(sample, |key| key.calls += value),
            "mainstay_key_faults_total" => self.key(sample, |key| key.faults += value),
            _ => {}
        }
    }

    fn route(&mut self, sample: &Sample<'_>) -> Option<&mut Counted> {
        let route = sample.label("route");
        (!route.is_empty()).then(|| self.routes.entry(route.to_owned()).or_default())
    }

    fn key(&mut self, sample: &Sample<'_>, set: impl FnOnce(&mut Key)) {
        /// Most keys of a backend that are shown.
        const KEYS_MAX: usize = 1_000;
        let Some(at) = sample.label("key").parse::<usize>().ok().filter(|at| *at < KEYS_MAX) else { return };
        let keys = self.keys.entry(sample.label("backend").to_owned()).or_default();
        if keys.len() <= at {
            keys.resize(at + 1, Key::default());
        }
        set(&mut keys[at]);
    }

    /// The keys of a backend, by their place; none where it has none.
    pub(super) fn keys(&self, backend: &str) -> &[Key] {
        self.keys.get(backend).map_or(&[], Vec::as_slice)
    }

    /// Requests of all routes.
    fn total(&self) -> f64 {
        self.routes.values().flat_map(|counted| counted.requests).sum()
    }
}

/// A line of Prometheus' text.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

impl<'a> Sample<'a> {
    fn of(line: &'a str) -> Option<Sample<'a>> {
        if line.starts_with('#') {
            return None;
        }
        let end = line.find(['{', ' '])?;
        let (name, mut rest) = line.split_at(end);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
                let (value, after) = quoted(after)?;
                labels.push((label, value));
                rest = after;
            }
            rest = &rest[1..];
        }
        let value = rest.split_whitespace().next()?.parse().ok()?;
        Some(Sample { name, labels, value })
    }

    /// A label's value; empty where it has none.
    fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }
}

/// What stands before the closing quote, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// Readings of the last minute.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<(Duration, Reading)>);

impl History {
    /// Adds a reading of a moment. Counters that fell began anew: what was before says nothing any more.
    pub(super) fn push(&mut self, at: Duration, reading: Reading) {
        if self.0.back().is_some_and(|(_, last)| reading.total() < last.total()) {
            self.0.clear();
        }
        while self.0.front().is_some_and(|(first, _)| *first + QUANTILE_OVER < at) {
            self.0.pop_front();
        }
        self.0.push_back((at, reading));
    }

    pub(super) fn newest(&self) -> Option<&Reading> {
        self.0.back().map(|(_, reading)| reading)
    }

    /// What a route did of late.
    pub(super) fn figures(&self, route: &str) -> Figures {
        let Some((seconds, before, after)) = self.pair(RATE_OVER, route) else { return Figures::default() };
        let rates = std::array::from_fn(|class| (after.requests[class] - before.requests[class]).max(0.0) / seconds);
        let quantile = |q| {
            let (_, before, after) = self.pair(QUANTILE_OVER, route)?;
            quantile(&before.buckets, &after.buckets, q)
        };
        Figures {
            rates: Some(rates),
            shed: Some((after.shed - before.shed).max(0.0) / seconds),
            p50: quantile(0.5),
            p99: quantile(0.99),
        }
    }

    /// The counts of a route at both ends of a look-back, and how far they are apart in seconds.
    fn pair(&self, over: Duration, route: &str) -> Option<(f64, Counted, &Counted)> {
        let (last, newest) = self.0.back()?;
        let (first, oldest) = self.0.iter().find(|(at, _)| *at + over >= *last)?;
        let seconds = last.saturating_sub(*first).as_secs_f64();
        let before = oldest.routes.get(route).cloned().unwrap_or_default();
        (seconds > 0.0).then_some(())?;
        Some((seconds, before, newest.routes.get(route)?))
    }
}

/// The quantile of what was counted between two readings of a histogram.
fn quantile(before: &[(f64, f64)], after: &[(f64, f64)], q: f64) -> Option<Quantile> {
    let was = |bound: f64| before.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, count)| *count);
    let counts: Vec<(f64, f64)> = after.iter().map(|(bound, count)| (*bound, count - was(*bound))).collect();
    let total = counts.last().map(|(_, count)| *count).filter(|total| *total > 0.0)?;
    let rank = q * total;
    let mut lower = (0.0, 0.0);
    for (bound, count) in counts {
        if count >= rank {
            let share = if count > lower.1 { (rank - lower.1) / (count - lower.1) } else { 1.0 };
            return Some(if bound.is_finite() {
                Quantile::Seconds(lower.0 + (bound - lower.0) * share)
            } else {
                Quantile::Beyond(lower.0)
            });
        }
        lower = (bound, count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(of_0: u64, of_3: u64, shed: u64, buckets: [u64; 3]) -> String {
        let [fast, slow, all] = buckets;
        format!(
            "# HELP mainstay_requests_total Requests.\n# TYPE mainstay_requests_total counter\n\
             mainstay_requests_total{{route=\"a \\\"b\\\" }} \\\\c\",class=\"0\",level=\"0\",code=\"200\"}} {of_0}\n\
             mainstay_requests_total{{route=\"a \\\"b\\\" }} \\\\c\",class=\"3\",level=\"0\",code=\"200\"}} 1\n\
             mainstay_requests_total{{route=\"a \\\"b\\\" }} \\\\c\",class=\"3\",level=\"2\",code=\"200\"}} {of_3}\n\
             mainstay_shed_total{{route=\"a \\\"b\\\" }} \\\\c\",class=\"3\",reason=\"x\"}} {shed}\n\
             mainstay_request_duration_seconds_bucket{{le=\"0.1\",route=\"a \\\"b\\\" }} \\\\c\"}} {fast}\n\
             mainstay_request_duration_seconds_bucket{{le=\"0.5\",route=\"a \\\"b\\\" }} \\\\c\"}} {slow}\n\
             mainstay_request_duration_seconds_bucket{{le=\"+Inf\",route=\"a \\\"b\\\" }} \\\\c\"}} {all}\n\
             mainstay_key_up{{backend=\"llm\",key=\"1\"}} 1\nmainstay_key_calls_total{{backend=\"llm\",key=\"1\"}} 7\n\
             mainstay_key_faults_total{{backend=\"llm\",key=\"0\",reason=\"a\"}} 2\nmainstay_key_faults_total{{backend=\"llm\",key=\"0\",reason=\"b\"}} 3\n\
             mainstay_build_info 1\nbroken{{a=\"\nbroken{{}} 1\nbroken x\n\n"
        )
    }

    const ROUTE: &str = r#"a "b" } \c"#;

    #[test]
    fn rates_and_quantiles_are_of_what_came_between() {
        let mut history = History::default();
        let second = Duration::from_secs;
        history.push(second(0), Reading::of(&page(10, 5, 1, [100, 100, 100])));
        assert_eq!(history.figures(ROUTE), Figures::default(), "one reading says nothing of rates");
        history.push(second(5), Reading::of(&page(30, 15, 6, [110, 130, 140])));
        let figures = history.figures(ROUTE);
        assert_eq!(figures.rates, Some([4.0, 0.0, 0.0, 2.0]));
        assert_eq!(figures.shed, Some(1.0));
        // Of 40 requests 10 took up to 0.1 s, 20 up to 0.5 s and 10 longer: the 20th is half way.
        assert_eq!(figures.p50, Some(Quantile::Seconds(0.1 + 0.4 * 0.5)));
        assert_eq!(figures.p99, Some(Quantile::Beyond(0.5)));
        assert_eq!(history.figures("nobody"), Figures::default());
        // Rates look ten seconds back, quantiles a minute.
        history.push(second(64), Reading::of(&page(30, 15, 6, [110, 130, 140])));
        let later = history.figures(ROUTE);
        assert_eq!((later.rates, later.p50), (None, None), "{later:?}");
        // A service that began anew.
        history.push(second(66), Reading::of(&page(1, 0, 0, [1, 1, 1])));
        assert_eq!(history.figures(ROUTE), Figures::default());
    }

    #[test]
    fn keys_are_known_by_their_place() {
        let reading = Reading::of(&page(0, 0, 0, [0, 0, 0]));
        let keys = reading.keys("llm");
        assert_eq!(keys[0], Key { is_up: false, calls: 0.0, faults: 5.0 });
        assert_eq!(keys[1], Key { is_up: true, calls: 7.0, faults: 0.0 });
        assert!(reading.keys("other").is_empty());
    }
}
