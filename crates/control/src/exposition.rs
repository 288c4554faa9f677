//! Metrics as text: OpenMetrics 1.0, or Prometheus' older format for readers that do not ask for it.

use std::fmt;
use std::fmt::Write as _;

use mainstay_core::metric::{Family, Histogram, Kind, Sample, Value};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// The media type of [`openmetrics`].
pub(crate) const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The media type of [`prometheus`].
pub(crate) const PROMETHEUS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The families in OpenMetrics' text format; counters get their `_total` here.
///
/// ```
/// use mainstay_core::metric::{Family, Kind, Sample, Value};
///
/// let shed = Family {
///     name: "mainstay_shed",
///     help: "Requests that were turned away",
///     kind: Kind::Counter,
///     samples: vec![Sample { labels: vec![("route", "score".to_owned())], value: Value::Count(2) }],
/// };
/// let text = mainstay_control::openmetrics(vec![shed]);
/// assert!(text.contains("# TYPE mainstay_shed counter\nmainstay_shed_total{route=\"score\"} 2\n"));
/// assert!(text.ends_with("# EOF\n"));
/// ```
pub fn openmetrics(families: Vec<Family>) -> String {
    let exemplars = exemplars(&families);
    let page = plain(families);
    if exemplars.is_empty() {
        return page;
    }
    let mut out = String::with_capacity(page.len());
    for line in page.lines() {
        out.push_str(line);
        let found = exemplars.iter().find(|(name, labels, _)| {
            line.strip_prefix(name.as_str()).is_some_and(|rest| {
                rest.starts_with("_bucket{") && labels.iter().all(|label| rest.contains(label.as_str()))
            })
        });
        if let Some((_, _, exemplar)) = found {
            out.push_str(exemplar);
        }
        out.push('\n');
    }
    out
}

/// What marks a line, and what is written after it: the encoder takes no exemplars from outside.
type Marked = (String, Vec<String>, String);

fn exemplars(families: &[Family]) -> Vec<Marked> {
    let mut all = Vec::new();
    for family in families {
        for sample in &family.samples {
            let Value::Histogram(histogram) = &sample.value else { continue };
            for (bucket, exemplar) in &histogram.exemplars {
                let bound = histogram.bounds.get(*bucket).copied().unwrap_or(f64::INFINITY);
                let bound = if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:?}") };
                let quoted = |name: &str, value: &str| format!("{name}=\"{}\"", escaped(value));
                let mut labels: Vec<String> = sample.labels.iter().map(|(name, value)| quoted(name, value)).collect();
                labels.push(quoted("le", &bound));
                let told: Vec<String> = exemplar.labels.iter().map(|(name, value)| quoted(name, value)).collect();
                let seconds = exemplar.at.as_millis() as f64 / 1e3;
                let text = format!(" # {{{}}} {} {seconds:.3}", told.join(","), exemplar.value);
                all.push((family.name.to_owned(), labels, text));
            }
        }
    }
    all
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn plain(families: Vec<Family>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("writing to a string does not fail");
    page
}

/// The families in Prometheus' text format 0.0.4. It differs in that a counter's `HELP` and `TYPE` carry the full
/// name, and in that nothing marks the end.
pub fn prometheus(families: Vec<Family>) -> String {
    let counters: Vec<&'static str> =
        families.iter().filter(|family| family.kind == Kind::Counter).map(|family| family.name).collect();
    let mut page = String::new();
    for line in plain(families).lines().filter(|line| *line != "# EOF") {
        match counter_line(line, &counters) {
            Some((keyword, name, rest)) => writeln!(page, "# {keyword} {name}_total {rest}"),
            None => writeln!(page, "{line}"),
        }
        .expect("writing to a string does not fail");
    }
    page
}

/// The parts of a `# HELP name text` or `# TYPE name kind` of a counter.
fn counter_line<'a>(line: &'a str, counters: &[&str]) -> Option<(&'a str, &'a str, &'a str)> {
    let mut parts = line.strip_prefix("# ")?.splitn(3, ' ');
    let (keyword, name, rest) = (parts.next()?, parts.next()?, parts.next()?);
    counters.contains(&name).then_some((keyword, name, rest))
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for sample in &family.samples {
                encode_sample(family, sample, &mut metric)?;
            }
        }
        Ok(())
    }
}

fn encode_sample(family: &Family, sample: &Sample, metric: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
    let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if labels.is_empty() {
        return encode_value(family, &sample.value, metric);
    }
    encode_value(family, &sample.value, &mut metric.encode_family(&labels)?)
}

fn encode_value(family: &Family, value: &Value, metric: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match (family.kind, value) {
        (Kind::Counter, Value::Count(count)) => metric.encode_counter::<NoLabelSet, u64, f64>(count, None),
        (Kind::Gauge, Value::Gauge(number)) => metric.encode_gauge(number),
        (Kind::Histogram, Value::Histogram(histogram)) => encode_histogram(histogram, metric),
        (Kind::Counter | Kind::Gauge | Kind::Histogram, Value::Count(_) | Value::Gauge(_) | Value::Histogram(_)) => {
            debug_assert!(false, "{} has a sample of another kind", family.name);
            Ok(())
        }
    }
}

fn encode_histogram(histogram: &Histogram, metric: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
    let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts.iter().copied()).collect();
    metric.encode_histogram::<NoLabelSet>(histogram.sum, histogram.count(), &buckets, None)
}
