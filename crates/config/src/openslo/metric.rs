//! Metrics of indicators: queries to a Prometheus, in pairs.

use super::documents::Documents;
use super::translate::unsupported;
use super::{alerts, alpha, item, wire};
use crate::code::Code;
use crate::finding::Finding;
use crate::read::Reader;
use crate::span::{At, Span};
use crate::tree::{Node, Value};

/// Events that a Prometheus counts.
#[derive(Clone)]
pub(super) struct Events {
    source: Node,
}

impl Events {
    /// As keys of an item.
    pub(super) fn keys(self) -> Vec<(&'static str, Node)> {
        vec![("source", self.source)]
    }

    /// The source, with the details of another.
    pub(super) fn with(self, details: &Node) -> Node {
        let mut source = self.source;
        if let (Value::Map(keys), Value::Map(more)) = (&mut source.value, &details.value) {
            keys.extend(more.iter().cloned());
        }
        source
    }
}

/// A query and where it is asked.
struct Query {
    url: Node,
    text: At<String>,
}

/// The events of a v1 indicator.
pub(super) fn of_sli(sli: &wire::Sli, at: Span, documents: &Documents, reader: &mut Reader<'_>) -> Option<Events> {
    let ratio = match (&sli.thresholdMetric, &sli.ratioMetric) {
        (None, Some(ratio)) => ratio,
        (Some(threshold), None) => {
            let help = "a `ratioMetric` with `good` and `total`, such as a histogram's bucket and its count";
            unsupported(threshold.span, "a threshold on a gauge has no events to count", help, reader);
            return None;
        }
        (None, None) if sli.given.len() > usize::from(sli.given.contains("description")) => return None,
        (Some(_), Some(_)) | (None, None) => {
            let message = "an SLI has either `thresholdMetric` or `ratioMetric`";
            reader.report(Finding::new(Code::ExactlyOne, at, message));
            return None;
        }
    };
    of_ratio(&ratio.value, ratio.span, documents, reader)
}

fn of_ratio(raw: &wire::RatioMetric, at: Span, documents: &Documents, reader: &mut Reader<'_>) -> Option<Events> {
    if let Some(computed) = raw.raw.as_ref() {
        if raw.rawType.is_none() && !raw.given.contains("rawType") {
            reader.report(Finding::new(Code::MissingKey, computed.span, "`raw` needs `rawType`"));
        }
        let help = "`good` or `bad`, and `total`";
        unsupported(computed.span, "a ratio that is computed already has no events to count", help, reader);
        return None;
    }
    if raw.total.is_none() {
        reader.report(Finding::new(Code::MissingKey, at, "a ratio needs `total`"));
    }
    let (part, key) = match (&raw.good, &raw.bad) {
        (Some(good), None) => (good, "good"),
        (None, Some(bad)) => (bad, "bad"),
        (None, None) if raw.given.contains("good") || raw.given.contains("bad") => return None,
        (Some(_), Some(_)) | (None, None) => {
            reader.report(Finding::new(Code::ExactlyOne, at, "a ratio has either `good` or `bad`"));
            return None;
        }
    };
    let part = query(&part.value, part.span, documents, reader);
    let total = raw.total.as_ref().and_then(|total| query(&total.value, total.span, documents, reader));
    let (part, total) = (part?, total?);
    counts(raw.counter.as_ref().is_some_and(|counter| counter.value), &part, &total, reader)?;
    events(key, part, total, at, reader)
}

/// The events of a v1alpha objective.
pub(super) fn of_alpha(
    ratio: &At<alpha::RatioMetrics>,
    documents: &Documents,
    reader: &mut Reader<'_>,
) -> Option<Events> {
    let raw = &ratio.value;
    let part = raw.good.as_ref().and_then(|metric| alpha_query(metric, documents, reader));
    let total = raw.total.as_ref().and_then(|metric| alpha_query(metric, documents, reader));
    let (part, total) = (part?, total?);
    let counter = [&raw.counter, &raw.incremental].into_iter().flatten().any(|flag| flag.value);
    counts(counter, &part, &total, reader)?;
    events("good", part, total, ratio.span, reader)
}

fn events(key: &'static str, part: Query, total: Query, at: Span, reader: &mut Reader<'_>) -> Option<Events> {
    if part.url.value.to_json() != total.url.value.to_json() {
        let message = "the two queries go to different data sources";
        unsupported(at, message, "one Prometheus, or one that sees both, such as Thanos or Mimir", reader);
        return None;
    }
    let text = |text: At<String>| item::text(text.value, text.span);
    let keys = [("prometheus", part.url), (key, text(part.text)), ("total", text(total.text))];
    Some(Events { source: item::map(keys, at) })
}

/// A budget counts events: what a query gives must grow by one for each.
fn counts(counter: bool, part: &Query, total: &Query, reader: &mut Reader<'_>) -> Option<()> {
    for query in [part, total] {
        let windowed = crate::lower::has_window(&query.text.value);
        if !counter && !windowed {
            let help = "`counter: true` if it only grows; or ask for a stretch of time: `increase(..[$window])`";
            let message = "the query is neither of a counter nor of a stretch of time";
            unsupported(query.text.span, message, help, reader);
            return None;
        }
    }
    Some(())
}

fn query(holder: &wire::MetricHolder, at: Span, documents: &Documents, reader: &mut Reader<'_>) -> Option<Query> {
    let source = holder.metricSource.as_ref()?;
    let raw = &source.value;
    let data = raw
        .metricSourceRef
        .as_ref()
        .map(|name| (name, alerts::referred(&documents.sources, name, "DataSource", reader)));
    let kind =
        raw.r#type.as_ref().or_else(|| data.as_ref().and_then(|(_, data)| data.and_then(|data| data.r#type.as_ref())));
    if let Some(kind) = kind.filter(|kind| !kind.value.eq_ignore_ascii_case("prometheus")) {
        let message = format!("a source of type `{}` is not read", kind.value.chars().take(60).collect::<String>());
        unsupported(kind.span, &message, "`Prometheus`, or whatever answers its API", reader);
        return None;
    }
    let url = match &data {
        Some((name, data)) => url_of((*data)?, name, reader)?,
        None => default(at, documents, reader)?,
    };
    let spec = raw.spec.as_ref()?;
    let keys = spec.value.as_object();
    let text = keys.and_then(|keys| ["query", "promql"].iter().find_map(|key| keys.get(*key)?.as_str()));
    let Some(text) = text else {
        reader.report(Finding::new(Code::MissingKey, spec.span, "the metric's `spec` needs `query`, an expression"));
        return None;
    };
    if let Some(unknown) =
        keys.into_iter().flatten().map(|(key, _)| key).find(|key| *key != "query" && *key != "promql")
    {
        let message = format!("the spec of a Prometheus metric has no key `{unknown}`");
        reader.report(Finding::new(Code::UnknownKey, spec.span, message).help("`query`"));
        return None;
    }
    Some(Query { url, text: At::new(text.trim().to_owned(), spec.span) })
}

fn alpha_query(metric: &At<alpha::Metric>, documents: &Documents, reader: &mut Reader<'_>) -> Option<Query> {
    let raw = &metric.value;
    for (word, known) in [(&raw.source, "prometheus"), (&raw.queryType, "promql")] {
        if let Some(word) = word.as_ref().filter(|word| !word.value.eq_ignore_ascii_case(known)) {
            let message = format!("`{}` is not read", word.value.chars().take(60).collect::<String>());
            unsupported(word.span, &message, &format!("`{known}`"), reader);
            return None;
        }
    }
    let text = raw.query.as_ref()?;
    let url = default(metric.span, documents, reader)?;
    Some(Query { url, text: At::new(text.value.trim().to_owned(), text.span) })
}

fn url_of(data: &wire::DataSource, name: &At<String>, reader: &mut Reader<'_>) -> Option<Node> {
    let details = data.connectionDetails.as_ref()?;
    let url = ["url", "URL", "address"].iter().find_map(|key| details.value.get(*key)?.as_str());
    if let Some(url) = url {
        return Some(item::text(url, details.span));
    }
    let message = format!("the data source `{}` has no `url` among its `connectionDetails`", name.value);
    reader.report(Finding::new(Code::MissingKey, details.span, message).help("such as `url: http://127.0.0.1:9090`"));
    None
}

fn default(at: Span, documents: &Documents, reader: &mut Reader<'_>) -> Option<Node> {
    let url = item::default_url(documents, at);
    if url.is_none() {
        let message = "no data source says where Prometheus is";
        let help = "a DataSource and `metricSourceRef`, or `slo import --prometheus URL`";
        reader.report(Finding::new(Code::MissingKey, at, message).help(help));
    }
    url
}
