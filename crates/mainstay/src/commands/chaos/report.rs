//! `mainstay chaos report`: what a run showed.

use mainstay_core::chaos::record::Run;
use mainstay_core::chaos::verdict::{Assessment, Check, Compared};
use mainstay_core::chaos::written::{format_duration, format_share};
use mainstay_core::event::format_time;
use serde_json::json;

use super::{get, run_of};
use crate::cli::Global;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{line, percent, when};

pub(super) fn run(global: &Global, id: &str) -> Result<Exit, Stop> {
    let answer = get(global, id)?;
    match global.format {
        Format::Json => output::json(&answer["run"])?,
        Format::Human => output::data(markdown(&run_of(&answer)?))?,
    }
    Ok(Exit::Fine)
}

/// What it showed, for a terminal.
pub(super) fn table(run: &Run) -> String {
    let mut out = vec![headline(run)];
    if let Some(stopped) = &run.stopped {
        out.push(format!("stopped for {} by {}: {}", line(&stopped.reason), who(&stopped.by), line(&stopped.text)));
    }
    let Some(assessment) = &run.assessment else { return out.join("\n") };
    out.push(line(&assessment.reason));
    let figures = figures(assessment);
    if !figures.is_empty() {
        let mut table = Table::new(&["figure", "control", "experiment", "effect", "95 % interval", "margin"]);
        for row in figures {
            table.row(row.to_vec());
        }
        out.push(String::new());
        out.push(table.to_string().trim_end().to_owned());
    }
    let mut table = Table::new(&["check", "held", "measured"]);
    for check in checks(assessment) {
        table.row(check.to_vec());
    }
    out.push(String::new());
    out.push(table.to_string().trim_end().to_owned());
    out.extend(assessment.recommendations.iter().map(|text| format!("-> {}", line(text))));
    out.join("\n")
}

fn headline(run: &Run) -> String {
    let verdict = run.assessment.as_ref().map_or(run.phase.name(), |assessment| assessment.verdict.name());
    format!("{} of {}: {}", run.id, line(&run.experiment.name), verdict.replace('_', " "))
}

fn figures(assessment: &Assessment) -> Vec<[String; 6]> {
    let share = |value: f64| percent(&json!(value));
    let errors = |it: &Compared| {
        let interval = format!("{} to {}", share(it.low), share(it.high));
        ["unanswered".to_owned(), share(it.control), share(it.experiment), share(it.effect), interval, share(it.margin)]
    };
    let seconds = |value: f64| format!("{:.1} ms", value * 1e3);
    let times = |value: f64| format!("{value:.2} x");
    let p99 = |it: &Compared| {
        let interval = format!("{} to {}", times(it.low), times(it.high));
        ["p99".to_owned(), seconds(it.control), seconds(it.experiment), times(it.effect), interval, times(it.margin)]
    };
    let errors = assessment.errors.as_ref().map(errors);
    errors.into_iter().chain(assessment.p99.as_ref().map(p99)).collect()
}

fn checks(assessment: &Assessment) -> Vec<[String; 3]> {
    let held = |held: Option<bool>| match held {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "unknown",
    };
    let mut out = Vec::new();
    if let Some(dose) = &assessment.dose {
        let done = format!(
            "{} of {} met it, {} planned, interval {} to {}, {} spared by caps",
            dose.injected,
            dose.eligible,
            format_share(dose.planned),
            percent(&json!(dose.low)),
            percent(&json!(dose.high)),
            dose.spared
        );
        out.push(["dose".to_owned(), held(Some(dose.held)).to_owned(), done]);
    }
    if let Some(assignment) = &assessment.assignment {
        let (control, experiment, p) = (assignment.control, assignment.experiment, assignment.p_value);
        let done = format!("{control} to control, {experiment} to the experiment, p = {p:.4}");
        out.push(["assignment".to_owned(), held(Some(assignment.held)).to_owned(), done]);
    }
    let row = |check: &Check| [line(&check.name), held(check.held).to_owned(), line(&check.measured)];
    out.extend(assessment.checks.iter().map(row));
    out
}

fn who(by: &str) -> String {
    if by.is_empty() { "nobody known".to_owned() } else { line(by) }
}

/// All that is known of a run, for a page.
fn markdown(run: &Run) -> String {
    let experiment = &run.experiment;
    let mut out = vec![format!("# {}", headline(run)), String::new()];
    if !experiment.title.is_empty() {
        out.push(format!("{}.", escaped(&experiment.title).trim_end_matches('.')));
        out.push(String::new());
    }
    out.push(format!("Hypothesis: {}", escaped(&experiment.hypothesis)));
    out.push(String::new());
    let mut facts = vec![
        ("route", escaped(&experiment.route)),
        ("target", escaped(experiment.target.as_deref().unwrap_or("what the best entry uses"))),
        ("fault", format!("`{}`", json!(experiment.fault))),
        ("blast", experiment.blast.name().to_owned()),
        ("share and dose", format!("{} and {}", format_share(experiment.cohort.share), format_share(experiment.dose))),
        ("in force", format_duration(experiment.duration)),
        ("plan", format!("`{}`", run.plan)),
        ("run by", escaped(&who(&run.by))),
    ];
    let moments = [
        ("started", Some(run.started)),
        ("fault in force", run.injected),
        ("fault taken away", run.withdrawn),
        ("nothing injected any more", run.quiet),
        ("well again", run.recovered),
        ("ended", run.ended),
    ];
    facts.extend(moments.into_iter().filter_map(|(name, at)| Some((name, when(&json!(format_time(at?)))))));
    out.extend(rows(&["", ""], facts.into_iter().map(|(name, value)| [name.to_owned(), value])));
    if let Some(stopped) = &run.stopped {
        let (reason, by) = (escaped(&stopped.reason), escaped(&who(&stopped.by)));
        out.push(format!("Stopped for {reason} by {by}: {}\n", escaped(&stopped.text)));
    }
    if let Some(assessment) = &run.assessment {
        out.push(format!("## {}\n\n{}\n", assessment.verdict.name().replace('_', " "), escaped(&assessment.reason)));
        let heading = ["figure", "control", "experiment", "effect", "95 % interval (one-sided)", "margin"];
        out.extend(rows(&heading, figures(assessment)));
        let checks = checks(assessment).into_iter().map(|row| row.map(|cell| escaped(&cell)));
        out.extend(rows(&["check", "held", "measured"], checks));
        out.extend(assessment.recommendations.iter().map(|text| format!("- {}", escaped(text))));
        out.push(String::new());
    }
    out.push("## Journal\n".to_owned());
    let journal = run
        .journal
        .iter()
        .map(|entry| [when(&json!(format_time(entry.at))), escaped(&entry.what), escaped(&entry.text)]);
    out.extend(rows(&["at", "what", "text"], journal));
    out.join("\n")
}

fn rows<const N: usize>(heading: &[&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Vec<String> {
    let rows: Vec<String> = rows.into_iter().map(|cells| format!("| {} |", cells.join(" | "))).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let rule = format!("|{}", "---|".repeat(N));
    [format!("| {} |", heading.join(" | ")), rule].into_iter().chain(rows).chain([String::new()]).collect()
}

/// Text of somebody's in Markdown: nothing of it is markup, or leaves its cell.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in line(text).chars() {
        if matches!(c, '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '#' | '\\' | '&') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
pub(super) const RUN: &str = r#"{
    "id": "EXP-2026-0001",
    "experiment": { "name": "outage", "hypothesis": "All | are *answered*", "route": "score", "fault": { "model_error": {} }, "duration": "1m" },
    "plan": "ab12", "design": "concurrent", "seed": 7, "generation": 2, "by": "ada\u001b[m", "phase": "ended",
    "started": "2026-03-01T12:00:00Z", "injected": "2026-03-01T12:02:00Z", "withdrawn": "2026-03-01T12:03:00Z",
    "stopped": { "at": "2026-03-01T12:03:00Z", "reason": "errors", "text": "31 of 610", "by": "mainstay" },
    "journal": [{ "at": "2026-03-01T12:00:00Z", "what": "phase", "text": "lead_in" }],
    "slices": [{
        "at": "2026-03-01T12:02:00Z", "seconds": 60, "phase": "injecting", "requests": [600, 610], "injected": 305, "unanswered": [1, 31],
        "levels": [[599, 0, 0, 0, 0], [579, 0, 0, 0, 0]], "injected_levels": [274, 0, 0, 0, 0], "latency": ["", ""], "spared": 0, "sent": [0, 0]
    }],
    "assessment": {
        "verdict": "violated", "reason": "more unanswered requests than the margin",
        "errors": { "control": 0.0017, "experiment": 0.0508, "effect": 0.0491, "low": 0.034, "high": 0.067, "margin": 0.01 },
        "p99": { "control": 0.05, "experiment": 0.06, "effect": 1.2, "low": 1.0, "high": 1.4, "margin": 3.0 },
        "dose": { "planned": 0.5, "eligible": 610, "injected": 305, "low": 0.43, "high": 0.57, "spared": 0, "held": true },
        "assignment": { "control": 600, "experiment": 610, "p_value": 0.77, "held": true },
        "checks": [{ "name": "fallback", "held": false, "measured": "none was used" }, { "name": "level", "held": null, "measured": "-" }],
        "recommendations": ["put a level that answers locally below the model"]
    }
}"#;

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_run_is_told_with_its_figures_and_checks() {
        let run: Run = serde_json::from_str(RUN).expect("a run");
        expect![[r"
            EXP-2026-0001 of outage: violated
            stopped for errors by mainstay: 31 of 610
            more unanswered requests than the margin

            figure      control  experiment  effect  95 % interval     margin
            ----------  -------  ----------  ------  ----------------  ------
            unanswered  0.170 %  5.1 %       4.9 %   3.4 % to 6.7 %    1.0 %
            p99         50.0 ms  60.0 ms     1.20 x  1.00 x to 1.40 x  3.00 x

            check       held     measured
            ----------  -------  ---------------------------------------------------------------------------
            dose        yes      305 of 610 met it, 50% planned, interval 43.0 % to 57.0 %, 0 spared by caps
            assignment  yes      600 to control, 610 to the experiment, p = 0.7700
            fallback    NO       none was used
            level       unknown  -
            -> put a level that answers locally below the model"]]
        .assert_eq(&table(&run));
        expect![[r#"
            # EXP-2026-0001 of outage: violated

            Hypothesis: All \| are \*answered\*

            |  |  |
            |---|---|
            | route | score |
            | target | what the best entry uses |
            | fault | `{"model_error":{"how":"status"}}` |
            | blast | limited |
            | share and dose | 5% and 100% |
            | in force | 1m |
            | plan | `ab12` |
            | run by | ada\\u{1b}\[m |
            | started | 2026-03-01 12:00:00 |
            | fault in force | 2026-03-01 12:02:00 |
            | fault taken away | 2026-03-01 12:03:00 |

            Stopped for errors by mainstay: 31 of 610

            ## violated

            more unanswered requests than the margin

            | figure | control | experiment | effect | 95 % interval (one-sided) | margin |
            |---|---|---|---|---|---|
            | unanswered | 0.170 % | 5.1 % | 4.9 % | 3.4 % to 6.7 % | 1.0 % |
            | p99 | 50.0 ms | 60.0 ms | 1.20 x | 1.00 x to 1.40 x | 3.00 x |

            | check | held | measured |
            |---|---|---|
            | dose | yes | 305 of 610 met it, 50% planned, interval 43.0 % to 57.0 %, 0 spared by caps |
            | assignment | yes | 600 to control, 610 to the experiment, p = 0.7700 |
            | fallback | NO | none was used |
            | level | unknown | - |

            - put a level that answers locally below the model

            ## Journal

            | at | what | text |
            |---|---|---|
            | 2026-03-01 12:00:00 | phase | lead\_in |
        "#]]
        .assert_eq(&markdown(&run));
    }
}
