//! `mainstay oncall`: who can be reached, now and later.

use hyper::Method;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::cli::{Global, OncallCommand};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, between, moment, when, word};

const PATH: &str = "/api/v1/oncall";
const OVERRIDES: &str = "/api/v1/overrides";

pub(crate) fn run(global: &Global, command: &OncallCommand) -> Result<Exit, Stop> {
    match command {
        OncallCommand::Who { at } => who(global, at.as_deref()),
        OncallCommand::Schedule { name, from, until } => schedule(global, name.as_deref(), [from, until]),
        OncallCommand::Override { schedule, person, from, until } => {
            let body = json!({ "schedule": schedule, "person": person, "from": from, "until": until });
            let answer = client::call(global, Method::POST, OVERRIDES, Some(&body))?;
            match global.format {
                Format::Json => output::json(&answer)?,
                Format::Human => output::data(word(&answer["id"]))?,
            }
            Ok(Exit::Fine)
        }
        OncallCommand::Overrides => {
            let answer = client::call(global, Method::GET, OVERRIDES, None)?;
            match global.format {
                Format::Json => output::json(&answer)?,
                Format::Human => output::data(overrides(array(&answer["overrides"])))?,
            }
            Ok(Exit::Fine)
        }
        OncallCommand::Unoverride { id } => {
            client::call(global, Method::DELETE, &format!("{OVERRIDES}/{}", client::segment(id)), None)?;
            output::say(format_args!("the schedule holds again"));
            Ok(Exit::Fine)
        }
    }
}

/// Exit code 1 where a schedule has nobody.
fn who(global: &Global, at: Option<&str>) -> Result<Exit, Stop> {
    let path = at.map_or(PATH.to_owned(), |at| format!("{PATH}?at={}", client::segment(at)));
    let answer = client::call(global, Method::GET, &path, None)?;
    let schedules = array(&answer["schedules"]);
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human if schedules.is_empty() => output::say(format_args!("the config has no schedule: see `oncall:`")),
        Format::Human => output::data(table(schedules))?,
    }
    let nobody = schedules.iter().any(|schedule| schedule["now"].is_null());
    Ok(if nobody { Exit::No } else { Exit::Fine })
}

fn table(schedules: &[Value]) -> String {
    let mut table = Table::new(&["schedule", "on call", "by", "until", "next", "from"]);
    for schedule in schedules {
        let (zone, now, next) = (zone(schedule), &schedule["now"], &schedule["next"]);
        let person = if now.is_null() { "NOBODY".to_owned() } else { word(&now["person"]) };
        let by = if now.is_null() { "-".to_owned() } else { layer(now) };
        table.row(vec![
            word(&schedule["name"]),
            person,
            by,
            local(&now["until"], &zone),
            word(&next["person"]),
            local(&next["from"], &zone),
        ]);
    }
    table.to_string()
}

/// One schedule, or all of the config.
fn schedule(global: &Global, name: Option<&str>, [from, until]: [&Option<String>; 2]) -> Result<Exit, Stop> {
    let bounds = [("from", from), ("until", until)].into_iter().filter_map(|(key, at)| at.as_ref().map(|at| (key, at)));
    let query: Vec<String> = bounds.map(|(key, at)| format!("{key}={}", client::segment(at))).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let ask = |name: &str| client::call(global, Method::GET, &format!("{PATH}/{}{query}", client::segment(name)), None);
    let answer = match name {
        Some(name) => ask(name)?,
        None => {
            let answer = client::call(global, Method::GET, PATH, None)?;
            let names = array(&answer["schedules"]).iter().filter_map(|schedule| schedule["name"].as_str());
            json!({ "schedules": names.map(ask).collect::<Result<Vec<Value>, Stop>>()? })
        }
    };
    let every = if name.is_some() { std::slice::from_ref(&answer) } else { array(&answer["schedules"]) };
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human if every.is_empty() => output::say(format_args!("the config has no schedule: see `oncall:`")),
        Format::Human => output::data(every.iter().map(shifts).collect::<Vec<_>>().join("\n"))?,
    }
    Ok(Exit::Fine)
}

/// Shifts and gaps in their order: a gap is a time like others, with nobody in it.
fn shifts(schedule: &Value) -> String {
    let zone = zone(schedule);
    let mut all: Vec<&Value> = array(&schedule["shifts"]).iter().chain(array(&schedule["gaps"])).collect();
    all.sort_by_key(|shift| moment(&shift["from"]));
    let mut table = Table::new(&["from", "until", "length", "on call", "by"]);
    for shift in &all {
        let gap = shift["person"].is_null();
        let person = if gap { "NOBODY".to_owned() } else { word(&shift["person"]) };
        let by = if gap { "-".to_owned() } else { layer(shift) };
        let [from, until] = ["from", "until"].map(|end| local(&shift[end], &zone));
        let length = between(moment(&shift["from"]), moment(&shift["until"]));
        table.row(vec![from, until, length, person, by]);
    }
    let gaps = array(&schedule["gaps"]).len();
    let gaps = if gaps == 0 { String::new() } else { format!("nobody is on call: {gaps} of these\n") };
    format!("{} ({})\n{table}{gaps}", word(&schedule["schedule"]), word(&schedule["zone"]))
}

fn layer(shift: &Value) -> String {
    if shift["layer"].is_null() { "override".to_owned() } else { word(&shift["layer"]) }
}

fn overrides(overrides: &[Value]) -> String {
    let mut table = Table::new(&["id", "schedule", "person", "from", "until"]);
    for it in overrides {
        let mut row = ["id", "schedule", "person"].map(|key| word(&it[key])).to_vec();
        row.extend(["from", "until"].map(|end| when(&it[end])));
        table.row(row);
    }
    if overrides.is_empty() { "nothing\n".to_owned() } else { table.to_string() }
}

/// The zone of a schedule; UTC where it is not known here.
fn zone(schedule: &Value) -> TimeZone {
    schedule["zone"].as_str().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC)
}

/// A moment by the clock of a zone, with how far it is from UTC.
fn local(value: &Value, zone: &TimeZone) -> String {
    match moment(value) {
        Some(moment) => moment.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M %:z").to_string(),
        None => word(value),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn hand_offs_are_by_the_clock_of_the_schedule() {
        let schedules = [
            json!({
                "name": "ml", "zone": "Europe/Berlin",
                "now": { "person": "ada", "layer": "week", "from": "2026-03-23T08:00:00Z", "until": "2026-03-30T07:00:00Z" },
                "next": { "person": "bob\u{1b}[5m", "layer": "week", "from": "2026-03-30T07:00:00Z", "until": "2026-04-06T07:00:00Z" },
            }),
            json!({ "name": "data", "zone": "Nowhere/At_All", "now": null, "next": null }),
        ];
        expect![[r"
            schedule  on call  by    until                        next          from
            --------  -------  ----  ---------------------------  ------------  ---------------------------
            ml        ada      week  Mon 2026-03-30 09:00 +02:00  bob\u{1b}[5m  Mon 2026-03-30 09:00 +02:00
            data      NOBODY   -     -                            -             -
        "]]
        .assert_eq(&table(&schedules));
    }

    #[test]
    fn a_gap_stands_where_it_is() {
        let schedule = json!({
            "schedule": "ml", "zone": "UTC",
            "shifts": [
                { "person": "ada", "layer": "week", "from": "2026-03-02T09:00:00Z", "until": "2026-03-03T09:00:00Z" },
                { "person": "cleo", "layer": null, "from": "2026-03-03T12:30:00Z", "until": "2026-03-04T09:00:00Z" },
            ],
            "gaps": [{ "from": "2026-03-03T09:00:00Z", "until": "2026-03-03T12:30:00Z" }],
        });
        expect![[r"
            ml (UTC)
            from                         until                        length   on call  by
            ---------------------------  ---------------------------  -------  -------  --------
            Mon 2026-03-02 09:00 +00:00  Tue 2026-03-03 09:00 +00:00  1d       ada      week
            Tue 2026-03-03 09:00 +00:00  Tue 2026-03-03 12:30 +00:00  3h 30m   NOBODY   -
            Tue 2026-03-03 12:30 +00:00  Wed 2026-03-04 09:00 +00:00  20h 30m  cleo     override
            nobody is on call: 1 of these
        "]]
        .assert_eq(&shifts(&schedule));
    }

    #[test]
    fn overrides_are_a_table() {
        let one = json!({ "id": "o1", "schedule": "ml", "person": "cleo\u{202e}", "from": "2026-03-02T09:00:00Z", "until": "2026-03-03T09:00:00Z" });
        expect![[r"
            id  schedule  person        from                 until
            --  --------  ------------  -------------------  -------------------
            o1  ml        cleo\u{202e}  2026-03-02 09:00:00  2026-03-03 09:00:00
        "]]
        .assert_eq(&overrides(&[one]));
        assert_eq!(overrides(&[]), "nothing\n");
    }
}
