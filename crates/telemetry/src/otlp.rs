//! OpenTelemetry's protocol over HTTP: a span and a log record of each kept request, and all metrics.

use std::time::Duration;

use mainstay_core::event::{Event, EventKind, RequestFinished};
use mainstay_core::metric::{Family, Histogram, Kind, Sample, Value};
use mainstay_core::observe::trace::Context;
use mainstay_core::plan;
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, status};
use prost::Message;

use crate::Lost;
use crate::genai::{self, Attribute};
use crate::post::{self, Refused};

/// How long to wait before the one further try.
const PAUSE: Duration = Duration::from_millis(200);

/// Sends to a collector, where there is one.
#[derive(Debug)]
pub(crate) struct Exporter {
    otlp: Option<plan::Otlp>,
    headers: Vec<(String, String)>,
    service: String,
    rng: Rng,
    began: Option<Time>,
    /// Whether the last try failed: it is said once.
    failing: bool,
}

impl Exporter {
    pub(crate) fn new(otlp: Option<plan::Otlp>, service: &str, seed: u64) -> Exporter {
        let headers = headers(otlp.as_ref());
        Exporter { otlp, headers, service: service.to_owned(), rng: Rng::new(seed), began: None, failing: false }
    }

    pub(crate) fn change(&mut self, otlp: Option<plan::Otlp>, service: &str) {
        self.headers = headers(otlp.as_ref());
        (self.otlp, self.service) = (otlp, service.to_owned());
    }

    pub(crate) fn metrics_every(&self) -> Option<Duration> {
        self.otlp.as_ref()?.metrics
    }

    /// Sends spans and log records of requests.
    pub(crate) async fn events(&mut self, events: &[Event], lost: &Lost) {
        let Some(otlp) = self.otlp.clone().filter(|_| !events.is_empty()) else { return };
        let requests: Vec<(Time, &RequestFinished)> = events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::RequestFinished(request) => Some((event.at, &**request)),
                _ => None,
            })
            .collect();
        let mut failed = false;
        if otlp.traces {
            let spans: Vec<Span> =
                requests.iter().flat_map(|(at, request)| spans(*at, request, &mut self.rng)).collect();
            let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
            let resource_spans =
                vec![ResourceSpans { resource: Some(self.resource()), scope_spans, ..ResourceSpans::default() }];
            let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
            failed |= !self.post(&otlp, "/v1/traces", body).await;
        }
        if otlp.logs {
            let log_records = events.iter().map(record).collect();
            let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }];
            let resource_logs =
                vec![ResourceLogs { resource: Some(self.resource()), scope_logs, ..ResourceLogs::default() }];
            let body = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
            failed |= !self.post(&otlp, "/v1/logs", body).await;
        }
        if failed {
            lost.collector(requests.len());
        }
    }

    /// Sends all metrics.
    pub(crate) async fn metrics(&mut self, families: &[Family], now: Time) {
        let Some(otlp) = self.otlp.clone() else { return };
        let began = *self.began.get_or_insert(now);
        let metrics = families.iter().filter(|family| !family.samples.is_empty());
        let metrics = metrics.map(|family| metric(family, began, now)).collect();
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
        let resource_metrics =
            vec![ResourceMetrics { resource: Some(self.resource()), scope_metrics, ..ResourceMetrics::default() }];
        let body = ExportMetricsServiceRequest { resource_metrics }.encode_to_vec();
        self.post(&otlp, "/v1/metrics", body).await;
    }

    /// One try, and one more where that may help; both together end within the timeout.
    async fn post(&mut self, otlp: &plan::Otlp, path: &str, body: Vec<u8>) -> bool {
        let url = format!("{}{path}", otlp.endpoint);
        let half = (otlp.timeout / 2).max(Duration::from_millis(1));
        let first = post::protobuf(&url, &self.headers, body.clone(), half).await;
        let answer = match first {
            Err(Refused::Later(_)) => {
                tokio::time::sleep(PAUSE.min(half / 4)).await;
                post::protobuf(&url, &self.headers, body, half.saturating_sub(PAUSE.min(half / 4))).await
            }
            other => other,
        };
        match answer {
            Ok(()) => {
                self.failing = false;
                true
            }
            Err(Refused::Later(why) | Refused::Never(why)) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%url, %why, "the collector did not take what was sent");
                }
                false
            }
        }
    }

    fn resource(&self) -> Resource {
        let attributes = vec![
            key_value("service.name", Attribute::Text(self.service.clone())),
            key_value("service.version", Attribute::Text(env!("CARGO_PKG_VERSION").to_owned())),
        ];
        Resource { attributes, ..Resource::default() }
    }
}

fn headers(otlp: Option<&plan::Otlp>) -> Vec<(String, String)> {
    let all = otlp.into_iter().flat_map(|otlp| &otlp.headers);
    all.filter_map(|(name, secret)| Some((name.clone(), secret.expose()?.to_owned()))).collect()
}

fn scope() -> InstrumentationScope {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    InstrumentationScope { name: "mainstay".to_owned(), version, ..InstrumentationScope::default() }
}

fn any(value: Attribute) -> AnyValue {
    let value = match value {
        Attribute::Text(text) => any_value::Value::StringValue(text),
        Attribute::Whole(whole) => any_value::Value::IntValue(whole),
        Attribute::Number(number) => any_value::Value::DoubleValue(number),
        Attribute::Flag(flag) => any_value::Value::BoolValue(flag),
        Attribute::Texts(texts) => {
            let values = texts.into_iter().map(|text| any(Attribute::Text(text))).collect();
            any_value::Value::ArrayValue(ArrayValue { values })
        }
    };
    AnyValue { value: Some(value) }
}

fn key_value(key: &str, value: Attribute) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}

/// What is known of a request, as attributes.
fn attributes(request: &RequestFinished) -> Vec<KeyValue> {
    let text = |value: &str| Attribute::Text(value.to_owned());
    let mut all = vec![
        key_value("http.response.status_code", Attribute::Whole(i64::from(request.code))),
        key_value("http.route", text(&request.route)),
        key_value("mainstay.request_id", text(&request.request_id)),
        key_value("mainstay.class", Attribute::Whole(i64::from(request.class.number()))),
        key_value("mainstay.attempts", Attribute::Whole(i64::from(request.attempts))),
    ];
    let mut note = |key: &str, value: Option<Attribute>| all.extend(value.map(|value| key_value(key, value)));
    note("mainstay.level", request.level.map(|level| Attribute::Whole(i64::from(level.number()))));
    note("mainstay.reason", request.reason.as_deref().map(text));
    note("mainstay.client", request.client.as_deref().map(text));
    note("mainstay.backend", request.backend.as_deref().map(text));
    note("mainstay.model", request.model.as_deref().map(text));
    note("mainstay.model_version", request.model_version.as_deref().map(text));
    note("mainstay.confidence", request.confidence.map(Attribute::Number));
    let kept: Vec<String> = request.kept.iter().map(|kept| kept.why.to_string()).collect();
    note("mainstay.kept", (!kept.is_empty()).then_some(Attribute::Texts(kept)));
    all.extend(genai::attributes(request).into_iter().map(|(key, value)| key_value(key, value)));
    all
}

fn is_error(request: &RequestFinished) -> bool {
    request.code >= 500 || request.reason.as_deref() == Some("broken_off")
}

/// A span of the request, and one of its model's call below it.
fn spans(at: Time, request: &RequestFinished, rng: &mut Rng) -> Vec<Span> {
    let hex = |text: &Option<String>| text.as_ref().and_then(|text| u128::from_str_radix(text, 16).ok());
    let fresh = Context::fresh([rng.next_u64(), rng.next_u64(), rng.next_u64()]);
    let trace_id = hex(&request.trace_id).unwrap_or(fresh.trace_id).to_be_bytes().to_vec();
    let span_id = hex(&request.span_id).map_or(fresh.span_id, |id| id as u64).to_be_bytes().to_vec();
    let parent = hex(&request.parent_span_id).map(|id| (id as u64).to_be_bytes().to_vec());
    let began = |before: Duration| (at - before).as_nanos();
    let code = if is_error(request) { status::StatusCode::Error } else { status::StatusCode::Unset };
    let whole = Span {
        trace_id: trace_id.clone(),
        span_id: span_id.clone(),
        parent_span_id: parent.unwrap_or_default(),
        name: request.route.clone(),
        kind: span::SpanKind::Server as i32,
        start_time_unix_nano: began(request.duration),
        end_time_unix_nano: at.as_nanos(),
        attributes: attributes(request),
        status: Some(Status { code: code as i32, ..Status::default() }),
        ..Span::default()
    };
    let call = request.inference.map(|inference| Span {
        trace_id,
        span_id: rng.next_u64().max(1).to_be_bytes().to_vec(),
        parent_span_id: span_id,
        name: format!("inference {}", request.backend.as_deref().unwrap_or_default()),
        kind: span::SpanKind::Client as i32,
        start_time_unix_nano: began(inference.min(request.duration)),
        end_time_unix_nano: at.as_nanos(),
        attributes: genai::attributes(request).into_iter().map(|(key, value)| key_value(key, value)).collect(),
        ..Span::default()
    });
    std::iter::once(whole).chain(call).collect()
}

fn record(event: &Event) -> LogRecord {
    let EventKind::RequestFinished(request) = &event.kind else { return LogRecord::default() };
    let bytes = |text: &Option<String>, digits: usize| {
        let number = text.as_ref().and_then(|text| u128::from_str_radix(text, 16).ok());
        number.map(|number| number.to_be_bytes()[16 - digits / 2..].to_vec()).unwrap_or_default()
    };
    let severity = if is_error(request) { SeverityNumber::Error } else { SeverityNumber::Info };
    LogRecord {
        time_unix_nano: event.at.as_nanos(),
        observed_time_unix_nano: event.at.as_nanos(),
        severity_number: severity as i32,
        event_name: "request.finished".to_owned(),
        body: Some(any(Attribute::Text(event.to_json()))),
        attributes: attributes(request),
        trace_id: bytes(&request.trace_id, 32),
        span_id: bytes(&request.span_id, 16),
        ..LogRecord::default()
    }
}

fn labels(sample: &Sample) -> Vec<KeyValue> {
    sample.labels.iter().map(|(name, value)| key_value(name, Attribute::Text(value.clone()))).collect()
}

fn metric(family: &Family, began: Time, now: Time) -> Metric {
    let point = |sample: &Sample| {
        let value = match &sample.value {
            Value::Count(count) => number_data_point::Value::AsInt(i64::try_from(*count).unwrap_or(i64::MAX)),
            Value::Gauge(number) => number_data_point::Value::AsDouble(*number),
            Value::Histogram(_) => return None,
        };
        Some(NumberDataPoint {
            attributes: labels(sample),
            start_time_unix_nano: began.as_nanos(),
            time_unix_nano: now.as_nanos(),
            value: Some(value),
            ..NumberDataPoint::default()
        })
    };
    let data = match family.kind {
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: family.samples.iter().filter_map(point).collect(),
            aggregation_temporality: AggregationTemporality::Cumulative as i32,
            is_monotonic: true,
        }),
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points: family.samples.iter().filter_map(point).collect() }),
        Kind::Histogram => {
            let points = family.samples.iter().filter_map(|sample| match &sample.value {
                Value::Histogram(histogram) => Some(histogram_point(sample, histogram, began, now)),
                Value::Count(_) | Value::Gauge(_) => None,
            });
            metric::Data::Histogram(opentelemetry_proto::tonic::metrics::v1::Histogram {
                data_points: points.collect(),
                aggregation_temporality: AggregationTemporality::Cumulative as i32,
            })
        }
    };
    let unit = if family.name.ends_with("_seconds") { "s" } else { "" };
    Metric {
        name: family.name.to_owned(),
        description: family.help.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn histogram_point(sample: &Sample, histogram: &Histogram, began: Time, now: Time) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: labels(sample),
        start_time_unix_nano: began.as_nanos(),
        time_unix_nano: now.as_nanos(),
        count: histogram.count(),
        sum: Some(histogram.sum),
        bucket_counts: histogram.counts.clone(),
        explicit_bounds: histogram.bounds.to_vec(),
        ..HistogramDataPoint::default()
    }
}
