//! A dashboard of budgets and burn rates, as Grafana imports it (schema version 39).

use mainstay_core::slo::objective::Objective;
use serde_json::{Value, json};

const HEIGHT: usize = 8;
const WIDTH: usize = 12;

/// A dashboard over mainstay's own metrics: what is left of each budget, and how fast it burns.
pub fn grafana_dashboard(service: &str, objectives: &[Objective]) -> Value {
    let names: Vec<&str> = objectives.iter().map(|objective| objective.name.as_str()).collect();
    let mut panels = vec![overview(&names)];
    for (index, name) in names.iter().enumerate() {
        let y = HEIGHT * (index + 1);
        panels.push(remaining(name, 2 * index + 2, y));
        panels.push(burn(name, 2 * index + 3, y));
    }
    json!({
        "title": format!("{service}: objectives"),
        "uid": format!("mainstay-{service}").chars().take(40).collect::<String>(),
        "tags": ["mainstay", "slo"],
        "schemaVersion": 39,
        "time": { "from": "now-7d", "to": "now" },
        "refresh": "1m",
        "templating": { "list": [{ "name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus" }] },
        "panels": panels,
    })
}

fn overview(names: &[&str]) -> Value {
    let pattern = names.iter().map(|name| name.replace('.', "\\.")).collect::<Vec<_>>().join("|");
    let expr = format!("mainstay_slo_budget_remaining_ratio{{slo=~{}}}", super::quoted(&pattern));
    let mut panel = panel("bargauge", "Budgets left", &expr, "{{slo}}", 1);
    panel["gridPos"] = json!({ "x": 0, "y": 0, "w": 2 * WIDTH, "h": HEIGHT });
    panel["fieldConfig"] = json!({ "defaults": {
        "unit": "percentunit", "max": 1,
        "thresholds": { "mode": "absolute", "steps": [
            { "color": "red", "value": null }, { "color": "orange", "value": 0.000_001 },
            { "color": "yellow", "value": 0.25 }, { "color": "green", "value": 0.5 },
        ] },
    } });
    panel
}

fn remaining(name: &str, id: usize, y: usize) -> Value {
    let expr = format!("mainstay_slo_budget_remaining_ratio{{slo={}}}", super::quoted(name));
    let mut panel = panel("timeseries", &format!("{name}: budget left"), &expr, "left", id);
    panel["gridPos"] = json!({ "x": 0, "y": y, "w": WIDTH, "h": HEIGHT });
    panel["fieldConfig"] = json!({ "defaults": { "unit": "percentunit", "max": 1 } });
    panel
}

fn burn(name: &str, id: usize, y: usize) -> Value {
    let expr = format!("mainstay_slo_burn_rate{{slo={}}}", super::quoted(name));
    let mut panel = panel("timeseries", &format!("{name}: burn rate"), &expr, "{{window}}", id);
    panel["gridPos"] = json!({ "x": WIDTH, "y": y, "w": WIDTH, "h": HEIGHT });
    panel["fieldConfig"] = json!({ "defaults": { "unit": "none", "min": 0 } });
    panel
}

fn panel(kind: &str, title: &str, expr: &str, legend: &str, id: usize) -> Value {
    let source = json!({ "type": "prometheus", "uid": "${source}" });
    json!({
        "id": id, "type": kind, "title": title, "datasource": source,
        "targets": [{ "refId": "A", "datasource": source, "expr": expr, "legendFormat": legend }],
    })
}
