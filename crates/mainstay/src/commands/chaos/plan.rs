//! `mainstay chaos plan`: what would be done, and what is in the way.

use hyper::Method;
use serde_json::{Value, json};

use super::PATH;
use super::document::Asked;
use crate::cli::Global;
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::words::{array, lines, percent, word};

pub(super) fn run(global: &Global, experiment: &str) -> Result<Exit, Stop> {
    let asked = Asked::read(global, experiment)?;
    let experiment = asked.experiment(global)?;
    let mut body = asked.body();
    body["dry_run"] = true.into();
    let answer = client::call(global, Method::POST, PATH, Some(&body))?;
    match global.format {
        Format::Json => {
            let mut answer = answer.clone();
            answer["experiment"] = json!(experiment);
            output::json(&answer)?;
        }
        Format::Human => {
            output::data(lines(&mainstay_config::experiment_yaml(&experiment)) + "\n\n" + &standing(&answer))?;
        }
    }
    Ok(if array(&answer["refusals"]).is_empty() { Exit::Fine } else { Exit::No })
}

fn standing(answer: &Value) -> String {
    let mut out = vec![format!("plan        {}", word(&answer["plan"]))];
    let sees = match answer["detectable"].as_f64() {
        Some(_) => format!("{} more unanswered requests, four times out of five", percent(&answer["detectable"])),
        None => "unknown: nothing is known of the route's traffic".to_owned(),
    };
    out.push(format!("would see   {sees}"));
    for (heading, list) in [("but         ", &answer["warnings"]), ("in the way  ", &answer["refusals"])] {
        out.extend(array(list).iter().map(|it| format!("{heading}{}: {}", word(&it["code"]), word(&it["text"]))));
    }
    if array(&answer["refusals"]).is_empty() {
        out.push("nothing is in the way".to_owned());
    }
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_is_in_the_way_is_told_line_by_line() {
        let answer = json!({
            "plan": "ab12", "detectable": 0.0123, "warnings": [{ "code": "weak", "text": "little traffic" }],
            "refusals": [{ "code": "halted", "text": "by bob: launch\u{1b}[m" }, { "code": "window", "text": "from 09:00 until 18:00" }],
        });
        expect![[r"
            plan        ab12
            would see   1.2 % more unanswered requests, four times out of five
            but         weak: little traffic
            in the way  halted: by bob: launch\u{1b}[m
            in the way  window: from 09:00 until 18:00"]]
        .assert_eq(&standing(&answer));
        expect![[r"
            plan        ab12
            would see   unknown: nothing is known of the route's traffic
            nothing is in the way"]]
        .assert_eq(&standing(&json!({ "plan": "ab12", "refusals": [], "warnings": [] })));
    }
}
