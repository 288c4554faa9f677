//! How budgets stand: `slo list` and `slo show`.

use hyper::Method;
use serde_json::Value;

use crate::cli::Global;
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, percent, span, word};

const PATH: &str = "/api/v1/slos";
const HOUR: u64 = 3_600;

/// Every objective on a line; one that is missed is exit code 1.
pub(super) fn list(global: &Global) -> Result<Exit, Stop> {
    let answer = client::call(global, Method::GET, PATH, None)?;
    let slos = array(&answer["slos"]);
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human if slos.is_empty() => output::say(format_args!("the config has no objectives: see `slos:`")),
        Format::Human => output::data(table(slos))?,
    }
    Ok(if slos.iter().any(is_missed) { Exit::No } else { Exit::Fine })
}

/// One objective with all that is known of it; a missed one is exit code 1.
pub(super) fn show(global: &Global, name: &str) -> Result<Exit, Stop> {
    let slo = client::call(global, Method::GET, &format!("{PATH}/{}", client::segment(name)), None)?;
    match global.format {
        Format::Json => output::json(&slo)?,
        Format::Human => output::data(page(&slo))?,
    }
    Ok(if is_missed(&slo) { Exit::No } else { Exit::Fine })
}

fn is_missed(slo: &Value) -> bool {
    slo["status"] == "exhausted"
}

fn table(slos: &[Value]) -> String {
    let headings = ["objective", "sli", "budget left", "burn 1h", "burn 6h", "status", "alerts", "exhausted in"];
    let mut table = Table::new(&headings);
    for slo in slos {
        table.row(vec![
            word(&slo["name"]),
            sli(slo),
            percent(&slo["budget"]["remaining"]),
            burn(slo, HOUR),
            burn(slo, 6 * HOUR),
            status(slo),
            alerts(slo),
            exhausted_in(slo),
        ]);
    }
    let notes: Vec<String> =
        slos.iter().filter_map(|slo| Some(format!("{}: {}", word(&slo["name"]), claim(slo)?))).collect();
    let estimates = slos.iter().any(is_estimate).then_some("~ estimated from a sample of events\n");
    let notes = notes.into_iter().map(|note| note + "\n").collect::<String>();
    let below = format!("{}{notes}", estimates.unwrap_or_default());
    if below.is_empty() { table.to_string() } else { format!("{table}\n{below}") }
}

fn page(slo: &Value) -> String {
    let window = &slo["window"];
    let zone = window["zone"].as_str().map_or(String::new(), |zone| format!(", {zone}"));
    let length = span(window["seconds"].as_f64());
    let budget = &slo["budget"];
    let burns =
        array(&slo["burn"]).iter().map(|burn| format!("{} {}", span(burn["seconds"].as_f64()), number(&burn["rate"])));
    let mut lines = vec![
        ("objective", format!("{} ({})", word(&slo["name"]), word(&slo["category"]))),
        ("promises", word(&slo["description"])),
        ("may be bad", percent(&slo["allowed_bad"])),
        ("window", format!("{} {length}{zone}, counted from {}", word(&window["kind"]), word(&window["from"]))),
        ("status", status(slo)),
        ("sli", format!("{}: {} good, {} bad of {}", sli(slo), slo["good"], slo["bad"], slo["total"])),
        (
            "budget",
            format!(
                "{} left; {} of {} spent",
                percent(&budget["remaining"]),
                budget["consumed"],
                number(&budget["total"])
            ),
        ),
        ("burn", burns.collect::<Vec<_>>().join(", ")),
        ("exhausted in", exhausted_in(slo)),
        ("alerts", alerts(slo)),
    ];
    let first = &slo["first_bad"];
    let optional = [
        ("first bad", (!first.is_null()).then(|| format!("{} at {}", word(&first["event"]), word(&first["at"])))),
        ("claim", claim(slo)),
        ("measured", percentiles(slo)),
        ("projected", slo["forecast"]["projected_remaining"].is_number().then(|| projected(&slo["forecast"]))),
        ("not judged", (slo["pending_slices"] != 0).then(|| format!("{} slices of time", slo["pending_slices"]))),
        ("estimate", is_estimate(slo).then(|| "counted from a sample: its filter needs the interpreter".to_owned())),
    ];
    lines.extend(optional.into_iter().filter_map(|(key, text)| Some((key, text?))));
    lines.iter().map(|(key, text)| format!("{key:<13} {text}")).collect::<Vec<_>>().join("\n")
}

fn projected(forecast: &Value) -> String {
    let at_best = percent(&forecast["projected_remaining_at_best"]);
    format!(
        "{} left at the window's end, {at_best} if nothing bad happens any more",
        percent(&forecast["projected_remaining"])
    )
}

fn percentiles(slo: &Value) -> Option<String> {
    let found = array(&slo["percentiles"]).iter().filter_map(|percentile| {
        let (q, seconds) = (percentile["q"].as_f64()?, percentile["seconds"].as_f64()?);
        Some(format!("p{} {:.1} ms", q * 100.0, seconds * 1_000.0))
    });
    let found: Vec<String> = found.collect();
    (!found.is_empty()).then(|| found.join(", "))
}

/// What can be said of a rare rate.
fn claim(slo: &Value) -> Option<String> {
    let safety = slo["safety"].as_object()?;
    let (most, bound) = (safety["at_most"].as_f64()?, safety["max_rate"].as_f64()?);
    let alarm = if safety["alarm"] == true { "; the evidence says that it is higher than the bound" } else { "" };
    Some(format!("the rate is at most {most:.2e} at 95 % (bound {bound:.2e}){alarm}"))
}

fn is_estimate(slo: &Value) -> bool {
    slo["estimate"] == true
}

fn sli(slo: &Value) -> String {
    let mark = if is_estimate(slo) { "~" } else { "" };
    slo["sli"].as_f64().map_or("-".to_owned(), |sli| format!("{mark}{:.3} %", sli * 100.0))
}

/// Why there is nothing to count stands beside the status.
fn status(slo: &Value) -> String {
    let status = word(&slo["status"]);
    if slo["signal"] == "present" { status } else { format!("{status} ({})", word(&slo["signal"]).replace('_', " ")) }
}

fn burn(slo: &Value, seconds: u64) -> String {
    let burn = array(&slo["burn"]).iter().find(|burn| burn["seconds"] == seconds);
    burn.map_or("-".to_owned(), |burn| number(&burn["rate"]))
}

fn number(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |value| format!("{value:.2}"))
}

fn alerts(slo: &Value) -> String {
    let alerts =
        array(&slo["alerts"]).iter().map(|alert| format!("{}: {}", word(&alert["severity"]), word(&alert["why"])));
    let mut alerts: Vec<String> = alerts.collect();
    alerts.dedup();
    if alerts.is_empty() { "-".to_owned() } else { alerts.join(", ") }
}

fn exhausted_in(slo: &Value) -> String {
    if is_missed(slo) { "now".to_owned() } else { span(slo["forecast"]["exhausted_in_seconds"].as_f64()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_and_an_estimate_are_told() {
        let slo = json!({
            "name": "s_safety", "status": "exhausted", "signal": "present", "sli": 0.9999, "estimate": true,
            "budget": { "remaining": -1.5 }, "burn": [{ "seconds": 3600, "rate": 2.5 }], "forecast": {},
            "alerts": [{ "severity": "page", "why": "harm" }, { "severity": "page", "why": "harm" }],
            "safety": { "at_most": 0.0003, "max_rate": 0.0001, "alarm": true },
        });
        let shown = table(&[slo]);
        for part in [
            "~99.990 %",
            "-150.0 %",
            "2.50",
            "exhausted",
            "page: harm",
            "now",
            "~ estimated",
            "at most 3.00e-4 at 95 %",
        ] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
    }
}
