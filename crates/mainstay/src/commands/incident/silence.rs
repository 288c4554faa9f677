//! What nobody is paged for, for a while.

use hyper::Method;
use serde_json::{Value, json};

use crate::cli::{Global, IncidentSilence};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, clipped, when, word};

const PATH: &str = "/api/v1/silences";
/// Most characters of a reason in a table.
const REASON_MAX: usize = 100;

pub(super) fn add(global: &Global, options: &IncidentSilence) -> Result<Exit, Stop> {
    let IncidentSilence { kind, route, incident, from, duration, until, reason } = options;
    let body = client::without_nulls(json!({
        "type": kind, "route": route, "incident": incident, "from": from, "for": duration, "until": until, "reason": reason,
    }));
    let answer = client::call(global, Method::POST, PATH, Some(&body))?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human => {
            output::data(word(&answer["id"]))?;
            output::say(format_args!("nobody is paged for {} until {}", what(&body), when(&answer["until"])));
        }
    }
    Ok(Exit::Fine)
}

/// What a silence is about, in words.
fn what(silence: &Value) -> String {
    let [incident, kind, route] = ["incident", "type", "route"].map(|key| &silence[key]);
    let subject = match (incident.is_null(), kind.is_null() && route.is_null()) {
        (false, _) => word(incident),
        (true, true) => "ANY incident".to_owned(),
        (true, false) => "incidents".to_owned(),
    };
    let of = if kind.is_null() { String::new() } else { format!(" of type {}", word(kind)) };
    let touching = if route.is_null() { String::new() } else { format!(" that touch {}", word(route)) };
    format!("{subject}{of}{touching}")
}

pub(super) fn list(global: &Global) -> Result<Exit, Stop> {
    let answer = client::call(global, Method::GET, PATH, None)?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human => output::data(table(array(&answer["silences"])))?,
    }
    Ok(Exit::Fine)
}

fn table(silences: &[Value]) -> String {
    let mut table = Table::new(&["id", "from", "until", "holds", "by", "nobody is paged for", "why"]);
    for silence in silences {
        let why = clipped(&silence["reason"], REASON_MAX);
        let [id, by] = ["id", "by"].map(|key| word(&silence[key]));
        let holds = silence["active"].as_bool().map_or("-", |active| if active { "now" } else { "no" }).to_owned();
        table.row(vec![id, when(&silence["from"]), when(&silence["until"]), holds, by, what(silence), why]);
    }
    if silences.is_empty() { "nothing\n".to_owned() } else { table.to_string() }
}

pub(super) fn end(global: &Global, id: &str) -> Result<Exit, Stop> {
    client::call(global, Method::DELETE, &format!("{PATH}/{}", client::segment(id)), None)?;
    output::say(format_args!("the silence is over"));
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_is_silent_is_said_in_words() {
        let (from, until) = ("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z");
        expect![[r"
            id  from                 until                holds  by   nobody is paged for                                 why
            --  -------------------  -------------------  -----  ---  --------------------------------------------------  ---------------
            s1  2026-03-01 12:00:00  2026-03-01 13:00:00  -      ada  incidents of type serving_latency that touch score  planned\u{202e}
            s2  2026-03-01 12:00:00  2026-03-01 13:00:00  now    ada  ANY incident                                        night
        "]]
        .assert_eq(&table(&[
            json!({ "id": "s1", "type": "serving_latency", "route": "score", "from": from, "until": until, "by": "ada", "reason": "planned\u{202e}" }),
            json!({ "id": "s2", "from": from, "until": until, "active": true, "by": "ada", "reason": "night" }),
        ]));
        assert_eq!(what(&json!({ "incident": "AI-1" })), "AI-1");
        assert_eq!(table(&[]), "nothing\n");
    }
}
