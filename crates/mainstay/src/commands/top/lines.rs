//! `mainstay top --format json`: a line of JSON for each time that the service was asked.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::feed::{Feed, Heard, News};
use super::figures::{Figures, History, Quantile, Reading};
use crate::exit::{Exit, Stop};
use crate::output;

/// Writes until a signal ends it, or until nobody reads.
pub(super) fn write(feed: &Feed, first: &Heard) -> Result<Exit, Stop> {
    let mut history = History::default();
    output::json_line(&heard(first, &mut history))?;
    while let Some(news) = feed.wait() {
        match news {
            News::Heard(it) => output::json_line(&heard(&it, &mut history))?,
            News::Lost(why) => {
                output::json_line(&json!({ "schema": 1, "at": Timestamp::now().to_string(), "lost": why }))?;
            }
            News::End => break,
        }
    }
    Ok(Exit::Fine)
}

/// What the service said, and what its counters say of the last seconds.
fn heard(it: &Heard, history: &mut History) -> Value {
    history.push(it.at, Reading::of(&it.metrics));
    let names = it.status["routes"].as_array().into_iter().flatten().filter_map(|route| route["name"].as_str());
    let traffic: Vec<Value> = names.map(|name| traffic(name, &history.figures(name))).collect();
    json!({
        "schema": 1,
        "at": it.status["at"],
        "status": it.status,
        "traffic": traffic,
        "slos": it.slos["slos"],
        "incidents": it.incidents["incidents"],
        "runs": it.runs["runs"],
        "gamedays": it.gamedays["gamedays"],
    })
}

fn traffic(route: &str, figures: &Figures) -> Value {
    json!({
        "route": route,
        "requests_per_second": figures.rates,
        "shed_per_second": figures.shed,
        "p50": figures.p50.map(quantile),
        "p99": figures.p99.map(quantile),
    })
}

fn quantile(it: Quantile) -> Value {
    match it {
        Quantile::Seconds(seconds) => json!({ "seconds": seconds }),
        Quantile::Beyond(seconds) => json!({ "more_than_seconds": seconds }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn page(requests: u64, fast: u64) -> String {
        format!(
            "mainstay_requests_total{{route=\"a\",class=\"1\"}} {requests}\nmainstay_shed_total{{route=\"a\"}} 0\n\
             mainstay_request_duration_seconds_bucket{{route=\"a\",le=\"0.1\"}} {fast}\n\
             mainstay_request_duration_seconds_bucket{{route=\"a\",le=\"+Inf\"}} {requests}\n"
        )
    }

    #[test]
    fn a_line_has_what_was_said_and_what_was_counted_since() {
        let mut history = History::default();
        let status = json!({ "at": "now", "routes": [{ "name": "a" }] });
        let slos = json!({ "schema": 1, "slos": [{ "name": "s" }] });
        let mut it = Heard { status, slos, metrics: page(10, 10), ..Heard::default() };
        let first = heard(&it, &mut history);
        assert_eq!((&first["slos"][0]["name"], &first["incidents"]), (&json!("s"), &Value::Null));
        let nothing =
            json!([{ "route": "a", "requests_per_second": null, "shed_per_second": null, "p50": null, "p99": null }]);
        assert_eq!(first["traffic"], nothing, "one reading says nothing of rates");
        (it.at, it.metrics) = (Duration::from_secs(5), page(30, 20));
        let second = heard(&it, &mut history);
        assert_eq!(second["traffic"][0]["requests_per_second"], json!([0.0, 4.0, 0.0, 0.0]));
        assert_eq!(second["traffic"][0]["p50"], json!({ "seconds": 0.1 }));
        assert_eq!(second["traffic"][0]["p99"], json!({ "more_than_seconds": 0.1 }));
    }
}
