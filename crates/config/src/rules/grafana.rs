//! A dashboard of budgets, burn rates and the service, as Grafana imports it (schema version 39).

use mainstay_core::slo::objective::Objective;
use serde_json::{Value, json};

/// Rows of the grid that a panel takes, of whatever height they are.
const HEIGHT: usize = 8;
/// Columns of the grid that a panel takes; the grid has 24.
const WIDTH: usize = 12;
/// Longest uid that Grafana takes.
const UID_CHARS_MAX: usize = 40;

/// What is shown of the service itself, in rows of panels.
const SERVICE: [(&str, &[Shown]); 3] = [
    (
        "Traffic",
        &[
            Shown {
                title: "Requests by class",
                unit: "reqps",
                lines: &[("sum by (class) (rate(mainstay_requests_total[$__rate_interval]))", "class {{class}}")],
            },
            Shown {
                title: "Answers by level",
                unit: "reqps",
                lines: &[(
                    "sum by (route, level) (rate(mainstay_fallback_level_total[$__rate_interval]))",
                    "{{route}} at level {{level}}",
                )],
            },
            Shown { title: "Latency", unit: "s", lines: &[(P50, "{{route}} p50"), (P99, "{{route}} p99")] },
            Shown {
                title: "Shed, and unanswered by every level",
                unit: "reqps",
                lines: &[
                    (
                        "sum by (route, reason) (rate(mainstay_shed_total[$__rate_interval]))",
                        "{{route}} shed: {{reason}}",
                    ),
                    ("sum by (route) (rate(mainstay_all_failed_total[$__rate_interval]))", "{{route}} unanswered"),
                ],
            },
        ],
    ),
    (
        "Backends",
        &[
            Shown {
                title: "Breakers (0 closed, 1 half open, 2 open)",
                unit: "none",
                lines: &[("max by (backend) (mainstay_breaker_state)", "{{backend}}")],
            },
            Shown {
                title: "Calls under way, and how many may be",
                unit: "none",
                lines: &[
                    ("sum by (backend) (mainstay_inflight)", "{{backend}}"),
                    ("sum by (backend) (mainstay_limit)", "{{backend}} limit"),
                ],
            },
        ],
    ),
    (
        "What is wrong, and what is tried",
        &[
            Shown {
                title: "Open incidents",
                unit: "none",
                lines: &[("sum by (severity, type) (mainstay_incidents_open)", "{{severity}} {{type}}")],
            },
            Shown {
                title: "Drift (2 ok, 3 drift detected, 4 alert)",
                unit: "none",
                lines: &[("max by (name) (mainstay_drift_status)", "{{name}}")],
            },
            Shown {
                title: "Experiments that run",
                unit: "none",
                lines: &[("max by (name) (mainstay_experiment_active)", "{{name}}")],
            },
            Shown {
                title: "What waits for the store, and events that were dropped",
                unit: "none",
                lines: &[
                    ("sum(mainstay_store_queued)", "waiting"),
                    ("sum by (reason) (rate(mainstay_events_dropped_total[$__rate_interval]))", "dropped: {{reason}}"),
                ],
            },
        ],
    ),
];

const P50: &str =
    "histogram_quantile(0.5, sum by (le, route) (rate(mainstay_request_duration_seconds_bucket[$__rate_interval])))";
const P99: &str =
    "histogram_quantile(0.99, sum by (le, route) (rate(mainstay_request_duration_seconds_bucket[$__rate_interval])))";

/// A panel of lines over time.
struct Shown {
    title: &'static str,
    unit: &'static str,
    /// Expressions, and what their lines are called.
    lines: &'static [(&'static str, &'static str)],
}

/// A dashboard over mainstay's own metrics: what is left of each budget and how fast it burns, then traffic, backends, and what is wrong.
pub fn grafana_dashboard(service: &str, objectives: &[Objective]) -> Value {
    let names: Vec<&str> = objectives.iter().map(|objective| objective.name.as_str()).collect();
    let mut board = Board::default();
    if !names.is_empty() {
        board.row("Objectives");
        board.put(overview(&names), 2 * WIDTH);
    }
    for name in names {
        board.put(remaining(name), WIDTH);
        board.put(burn(name), WIDTH);
    }
    for (title, panels) in SERVICE {
        board.row(title);
        for shown in panels {
            board.put(over_time(shown.title, shown.unit, shown.lines), WIDTH);
        }
    }
    json!({
        "title": format!("{service}: mainstay"),
        "uid": uid(service),
        "tags": ["mainstay", "slo"],
        "schemaVersion": 39,
        "editable": true,
        "time": { "from": "now-7d", "to": "now" },
        "refresh": "1m",
        "templating": { "list": [{ "name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus" }] },
        "panels": board.panels,
    })
}

/// Letters, digits, dashes and underscores alone.
fn uid(service: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    format!("mainstay-{service}").chars().map(fits).take(UID_CHARS_MAX).collect()
}

/// Panels with their places: from left to right, and then below.
#[derive(Default)]
struct Board {
    panels: Vec<Value>,
    x: usize,
    y: usize,
}

impl Board {
    fn row(&mut self, title: &str) {
        self.end_line();
        let id = self.panels.len() + 1;
        self.panels.push(json!({
            "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": self.y, "w": 2 * WIDTH, "h": 1 },
        }));
        self.y += 1;
    }

    fn put(&mut self, mut panel: Value, width: usize) {
        if self.x + width > 2 * WIDTH {
            self.end_line();
        }
        panel["id"] = (self.panels.len() + 1).into();
        panel["gridPos"] = json!({ "x": self.x, "y": self.y, "w": width, "h": HEIGHT });
        self.panels.push(panel);
        self.x += width;
    }

    fn end_line(&mut self) {
        if self.x > 0 {
            (self.x, self.y) = (0, self.y + HEIGHT);
        }
    }
}

fn overview(names: &[&str]) -> Value {
    let pattern = names.iter().map(|name| name.replace('.', "\\.")).collect::<Vec<_>>().join("|");
    let expr = format!("mainstay_slo_budget_remaining_ratio{{slo=~{}}}", super::quoted(&pattern));
    let mut panel = panel("bargauge", "Budgets left", &[(&expr, "{{slo}}")]);
    panel["fieldConfig"] = json!({ "overrides": [], "defaults": {
        "unit": "percentunit", "max": 1,
        "thresholds": { "mode": "absolute", "steps": [
            { "color": "red", "value": null }, { "color": "orange", "value": 0.000_001 },
            { "color": "yellow", "value": 0.25 }, { "color": "green", "value": 0.5 },
        ] },
    } });
    panel
}

fn remaining(name: &str) -> Value {
    let expr = format!("mainstay_slo_budget_remaining_ratio{{slo={}}}", super::quoted(name));
    let mut panel = over_time(&format!("{name}: budget left"), "percentunit", &[(&expr, "left")]);
    panel["fieldConfig"]["defaults"]["max"] = 1.into();
    panel
}

fn burn(name: &str) -> Value {
    let expr = format!("mainstay_slo_burn_rate{{slo={}}}", super::quoted(name));
    let mut panel = over_time(&format!("{name}: burn rate"), "none", &[(&expr, "{{window}}")]);
    panel["fieldConfig"]["defaults"]["min"] = 0.into();
    panel
}

fn over_time(title: &str, unit: &str, lines: &[(&str, &str)]) -> Value {
    let mut panel = panel("timeseries", title, lines);
    panel["fieldConfig"] = json!({ "overrides": [], "defaults": { "unit": unit } });
    panel
}

fn panel(kind: &str, title: &str, lines: &[(&str, &str)]) -> Value {
    let source = json!({ "type": "prometheus", "uid": "${source}" });
    let target = |(at, (expr, legend)): (usize, &(&str, &str))| {
        let id = char::from(b'A' + at as u8).to_string();
        json!({ "refId": id, "datasource": source, "expr": expr, "legendFormat": legend })
    };
    let targets: Vec<Value> = lines.iter().enumerate().map(target).collect();
    json!({ "type": kind, "title": title, "datasource": source, "targets": targets })
}
