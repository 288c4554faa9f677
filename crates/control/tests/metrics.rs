//! The metrics page, byte for byte.

use expect_test::expect_file;
use mainstay_control::{openmetrics, prometheus};
use mainstay_core::metric::{Family, Histogram, Kind, OVERHEAD_SECONDS, RATIO, Sample, Value};

fn sample(labels: &[(&'static str, &str)], value: Value) -> Sample {
    Sample { labels: labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), value }
}

fn families() -> Vec<Family> {
    let mut overhead = Histogram::new(OVERHEAD_SECONDS);
    for seconds in [0.000_008, 0.000_06, 0.000_06, 0.2] {
        overhead.observe(seconds);
    }
    let mut confidence = Histogram::new(RATIO);
    confidence.observe(0.9);
    vec![
        Family {
            name: "mainstay_requests",
            help: "Requests that were answered or shed",
            kind: Kind::Counter,
            samples: vec![
                sample(&[("route", "score"), ("class", "0"), ("level", "0"), ("code", "200")], Value::Count(12)),
                sample(
                    &[("route", "a \"b\" \\c\nd"), ("class", "3"), ("level", ""), ("code", "429")],
                    Value::Count(u64::MAX),
                ),
            ],
        },
        Family {
            name: "mainstay_limit",
            help: "Calls allowed at once",
            kind: Kind::Gauge,
            samples: vec![
                sample(&[("backend", "primary")], Value::Gauge(64.0)),
                sample(&[("backend", "none")], Value::Gauge(f64::INFINITY)),
            ],
        },
        Family {
            name: "mainstay_overhead_seconds",
            help: "What the gateway itself adds",
            kind: Kind::Histogram,
            samples: vec![sample(&[], Value::Histogram(overhead))],
        },
        Family {
            name: "mainstay_prediction_confidence",
            help: "Confidence of the answers",
            kind: Kind::Histogram,
            samples: vec![sample(&[("model", "fraud")], Value::Histogram(confidence))],
        },
        Family { name: "mainstay_shed", help: "Requests turned away", kind: Kind::Counter, samples: vec![] },
    ]
}

#[test]
fn openmetrics_text() {
    expect_file!["golden/metrics.openmetrics.txt"].assert_eq(&openmetrics(families()));
}

#[test]
fn prometheus_text() {
    expect_file!["golden/metrics.prometheus.txt"].assert_eq(&prometheus(families()));
}
