//! `mainstay incident metrics`: what incidents cost, with both clocks of each time.

use hyper::Method;
use serde_json::Value;

use super::PATH;
use crate::cli::Global;
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, clipped, line, listed, span, when, word};

/// Most characters of a cause or an item in a table.
const TEXT_MAX: usize = 100;

pub(super) fn run(global: &Global, window: &str) -> Result<Exit, Stop> {
    let path = format!("{PATH}/metrics?window={}", client::segment(window));
    let answer = client::call(global, Method::GET, &path, None)?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human => output::data(screen(&answer))?,
    }
    Ok(Exit::Fine)
}

fn screen(metrics: &Value) -> String {
    let parts = [
        head(metrics),
        times(metrics).to_string(),
        mttr(metrics),
        paging(&metrics["paging"]),
        repeats(&metrics["repeats"]),
        items(&metrics["items"]),
    ];
    parts.iter().map(|part| part.trim_end()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn head(metrics: &Value) -> String {
    let of = |key: &str| word(&metrics[key]);
    let mut out = vec![format!(
        "incidents found from {} until {}: {}, neither cancelled nor merged: {}",
        when(&metrics["from"]),
        when(&metrics["until"]),
        of("total"),
        of("counted"),
    )];
    for (name, key) in [("severity", "by_severity"), ("status", "by_status"), ("type", "by_type")] {
        let counts = metrics[key].as_object().into_iter().flatten().filter(|(_, count)| **count != 0);
        let counts: Vec<String> = counts.map(|(word, count)| format!("{} {count}", line(word))).collect();
        if !counts.is_empty() {
            out.push(format!("{name:<8}  {}", counts.join(", ")));
        }
    }
    out.join("\n")
}

fn times(metrics: &Value) -> Table {
    let headings = ["time", "from", "to", "n", "median", "90 %", "mean", "median, 95 %", "not there yet", "left out"];
    let mut table = Table::new(&headings);
    let times = [
        ("to detect", "time_to_detect"),
        ("to acknowledge", "time_to_acknowledge"),
        ("to mitigate", "time_to_mitigate"),
        ("to resolve", "time_to_resolve"),
        ("between", "time_between"),
    ];
    for (name, key) in times {
        let elapsed = &metrics[key];
        let spread = if elapsed["overall"].is_null() { elapsed } else { &elapsed["overall"] };
        let clock = |clock: &Value| word(clock).replace('_', " ");
        let mut row = vec![name.to_owned(), clock(&elapsed["from"]), clock(&elapsed["to"]), word(&spread["n"])];
        row.extend(["median_s", "p90_s", "mean_s"].map(|figure| span(spread[figure].as_f64())));
        row.push(interval(spread));
        row.extend(["waiting", "reversed"].map(|count| word(&elapsed[count])));
        table.row(row);
    }
    table
}

fn interval(spread: &Value) -> String {
    let [low, high] = ["low_s", "high_s"].map(|end| spread["median_interval"][end].as_f64());
    if spread["enough"] == true && low.is_some() {
        format!("{} to {}", span(low), span(high))
    } else {
        "not enough incidents to tell".to_owned()
    }
}

fn mttr(metrics: &Value) -> String {
    let hours = metrics["mttr_hours"].as_f64();
    let hours = hours.map_or("nothing was resolved".to_owned(), |hours| format!("{hours:.2} h"));
    format!("MTTR (mean, from onset to resolved): {hours}\n")
}

fn paging(loads: &Value) -> String {
    let mut table = Table::new(&["paged", "pages", "a week", "at night", "incidents"]);
    for load in array(loads) {
        let week = load["pages_per_week"].as_f64().map_or("-".to_owned(), |pages| format!("{pages:.1}"));
        let [person, pages, nights, incidents] = ["person", "pages", "nights", "incidents"].map(|key| word(&load[key]));
        table.row(vec![person, pages, week, nights, incidents]);
    }
    if array(loads).is_empty() { "nobody was paged\n".to_owned() } else { table.to_string() }
}

fn repeats(repeats: &Value) -> String {
    let mut table = Table::new(&["came again", "route", "times", "incidents"]);
    let kinds = array(&repeats["types"]).iter().chain(array(&repeats["routes"]));
    for repeat in kinds {
        let [kind, route, times] = ["type", "route", "times"].map(|key| word(&repeat[key]));
        table.row(vec![kind, route, times, listed(&repeat["incidents"])]);
    }
    for cause in array(&repeats["causes"]) {
        let text = format!("cause: {}", clipped(&cause["cause"], TEXT_MAX));
        table.row(vec![text, "-".to_owned(), word(&cause["times"]), listed(&cause["incidents"])]);
    }
    let none = ["types", "routes", "causes"].iter().all(|key| array(&repeats[*key]).is_empty());
    if none { "nothing came again\n".to_owned() } else { table.to_string() }
}

fn items(items: &Value) -> String {
    let of = |key: &str| word(&items[key]);
    let overdue = array(&items["overdue"]);
    let mut out = format!("open items: {}, without a day: {}, overdue: {}\n", of("open"), of("undated"), overdue.len());
    if !overdue.is_empty() {
        let mut table = Table::new(&["overdue", "item", "due", "days", "owner", "what"]);
        for item in overdue {
            let mut row = ["incident", "item", "due", "days", "owner"].map(|key| word(&item[key])).to_vec();
            row.push(clipped(&item["text"], TEXT_MAX));
            table.row(row);
        }
        out += &table.to_string();
    }
    out
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn elapsed(from: &str, to: &str, n: u64, interval: Option<(f64, f64)>) -> Value {
        let interval = interval.map(|(low, high)| json!({ "low_s": low, "high_s": high, "iterations": 2000 }));
        let (median, p90, mean) = if n == 0 { (None, None, None) } else { (Some(90.0), Some(3_700.0), Some(600.5)) };
        let spread = json!({
            "n": n, "enough": n >= 10, "median_s": median, "p90_s": p90, "mean_s": mean, "median_interval": interval,
        });
        json!({ "from": from, "to": to, "waiting": 1, "reversed": 0, "overall": spread, "by_severity": {} })
    }

    #[test]
    fn each_time_names_its_clocks_and_says_whether_it_tells_anything() {
        let mut between = elapsed("", "", 11, Some((3_600.0, 90_000.0)))["overall"].take();
        between["from"] = json!("onset");
        between["to"] = json!("next_onset");
        let metrics = json!({
            "from": "2026-02-01T00:00:00Z", "until": "2026-03-03T00:00:00Z", "total": 14, "counted": 12,
            "by_type": { "serving_latency": 13, "odd\u{1b}[31m": 1 },
            "by_severity": { "sev1": 0, "sev2": 4, "sev3": 10, "sev4": 0 }, "by_status": { "resolved": 12, "merged": 2 },
            "mttr_hours": 1.256,
            "time_to_detect": elapsed("onset", "detected", 12, Some((60.0, 150.0))),
            "time_to_acknowledge": elapsed("detected", "acknowledged", 9, None),
            "time_to_mitigate": elapsed("onset", "mitigated", 0, None),
            "time_to_resolve": elapsed("onset", "resolved", 11, Some((600.0, 9_000.0))),
            "time_between": between,
            "paging": [{ "person": "ada\u{202e}", "pages": 7, "pages_per_week": 1.633, "nights": 2, "incidents": 5 }],
            "repeats": {
                "types": [{ "type": "serving_latency", "route": null, "times": 12, "incidents": ["AI-1", "AI-2"] }],
                "routes": [{ "type": "serving_latency", "route": "score", "times": 3, "incidents": ["AI-1"] }],
                "causes": [{ "cause": "a full\ndisk", "times": 2, "incidents": ["AI-1", "AI-2"] }],
            },
            "items": {
                "today": "2026-03-03", "open": 3, "undated": 1,
                "overdue": [{ "incident": "AI-1", "item": 2, "text": "Watch disks\u{9b}2J", "owner": "bob", "due": "2026-03-01", "days": 2 }],
            },
        });
        expect![[r"
            incidents found from 2026-02-01 00:00:00 until 2026-03-03 00:00:00: 14, neither cancelled nor merged: 12
            severity  sev2 4, sev3 10
            status    merged 2, resolved 12
            type      odd\u{1b}[31m 1, serving_latency 13

            time            from      to             n  median  90 %   mean  median, 95 %                  not there yet  left out
            --------------  --------  ------------  --  ------  -----  ----  ----------------------------  -------------  --------
            to detect       onset     detected      12  1m 30s  1h 1m  10m   1m to 2m 30s                              1         0
            to acknowledge  detected  acknowledged   9  1m 30s  1h 1m  10m   not enough incidents to tell              1         0
            to mitigate     onset     mitigated      0  -       -      -     not enough incidents to tell              1         0
            to resolve      onset     resolved      11  1m 30s  1h 1m  10m   10m to 2h 30m                             1         0
            between         onset     next onset    11  1m 30s  1h 1m  10m   1h to 1d 1h                               -         -

            MTTR (mean, from onset to resolved): 1.26 h

            paged        pages  a week  at night  incidents
            -----------  -----  ------  --------  ---------
            ada\u{202e}      7     1.6         2          5

            came again          route  times  incidents
            ------------------  -----  -----  ----------
            serving_latency     -         12  AI-1, AI-2
            serving_latency     score      3  AI-1
            cause: a full disk  -          2  AI-1, AI-2

            open items: 3, without a day: 1, overdue: 1
            overdue  item  due         days  owner  what
            -------  ----  ----------  ----  -----  -------------------
            AI-1        2  2026-03-01     2  bob    Watch disks\u{9b}2J"]].assert_eq(&screen(&metrics));
    }

    #[test]
    fn nothing_is_said_as_nothing() {
        let metrics = json!({
            "from": "2026-02-01T00:00:00Z", "until": "2026-03-03T00:00:00Z", "total": 0, "counted": 0, "mttr_hours": null,
            "paging": [], "repeats": {}, "items": { "open": 0, "undated": 0, "overdue": [] },
        });
        let screen = screen(&metrics);
        for said in ["merged: 0", "nothing was resolved", "nobody was paged", "nothing came again", "open items: 0"] {
            assert!(screen.contains(said), "{said}: {screen}");
        }
    }
}
