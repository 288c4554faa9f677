//! What a report says, whatever its form.

use mainstay_core::chaos::gameday::facts::Facts;
use mainstay_core::chaos::gameday::record::{Finding, Mode, Outcome, Phase, Stepped};
use mainstay_core::chaos::gameday::{Scenario, Step};
use mainstay_core::chaos::record::Run;
use mainstay_core::chaos::verdict::{Assessment, Compared};
use mainstay_core::chaos::written::{format_duration, format_share};
use mainstay_core::time::Time;

use super::{Report, figures};
use crate::plot::Drawn;
use crate::review::content::{Block, Section};
use crate::review::text::{Text, number, percent, spoken, utc};

/// The headline.
pub(super) fn title(report: &Report) -> Text {
    let scenario = &report.record.scenario;
    let what = if scenario.title.is_empty() { &scenario.name } else { &scenario.title };
    Text::line(format!("Game day {}: {what}", report.record.id))
}

/// All sections, in order.
pub(super) fn sections(report: &Report) -> Vec<Section> {
    let mut all = vec![summary(report)];
    if report.record.mode == Mode::Live {
        all.extend([criteria(report), findings(report), timeline(report), steps(report)]);
    }
    if !report.record.answers.is_empty() {
        all.push(answers(report));
    }
    all
}

fn summary(report: &Report) -> Section {
    let it = &report.record;
    let mut pairs = vec![("Scenario", Text::line(&it.scenario.name))];
    if !it.scenario.purpose.is_empty() {
        pairs.push(("Purpose", Text::long(&it.scenario.purpose)));
    }
    pairs.push(("Service", Text::line(&report.service)));
    pairs.push(("Led by", Text::line(&it.by)));
    for participant in &it.scenario.participants {
        pairs.push((participant.role.title(), Text::line(&participant.name)));
    }
    pairs.push(("Began", Text::line(utc(it.started))));
    if it.mode == Mode::Tabletop {
        pairs.push(("How", Text::line("talked through; nothing went wrong")));
    } else {
        let ended = it.ended.map(|at| format!("{}, after {}", utc(at), spoken(at.since(it.started))));
        pairs.push(("Ended", Text::line(ended.unwrap_or_else(|| "not yet".to_owned()))));
        if let Some(stopped) = &it.stopped {
            pairs.push(("Stopped", Text::line(format!("by {}: {}", stopped.by, stopped.text))));
        }
        pairs.push(("Result", Text::line(result(report))));
    }
    pairs.push(("Prepared", Text::line(utc(report.prepared))));
    Section { title: "Summary", blocks: vec![Block::Line(Text::line("All times are UTC.")), Block::Pairs(pairs)] }
}

fn result(report: &Report) -> String {
    let it = &report.record;
    let (mut held, mut failed, mut open) = (0, 0, 0);
    for (_, outcome) in it.outcomes() {
        match outcome.held {
            Some(true) => held += 1,
            Some(false) => failed += 1,
            None => open += 1,
        }
    }
    let word = match (it.phase, it.passed) {
        (Phase::Running, _) => "it goes on",
        (_, Some(true)) => "every criterion held",
        (_, Some(false)) => "not every criterion held",
        (_, None) => "not everything was judged",
    };
    format!("{word}: {held} held, {failed} did not, {open} not judged")
}

fn criteria(report: &Report) -> Section {
    const HEAD: &[&str] = &["Step", "Criterion", "Condition", "Held", "Measured"];
    let row = |(step, it): (Option<&str>, &Outcome)| {
        let held = match it.held {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not judged",
        };
        vec![
            Text::short(step.unwrap_or("the day")),
            Text::line(&it.name),
            Text::line(&it.holds),
            Text::short(held),
            Text::line(&it.measured),
        ]
    };
    let rows: Vec<_> = report.record.outcomes().map(row).collect();
    let block = match rows.len() {
        0 => Block::Line(Text::line("No criterion was judged.")),
        _ => Block::Table(HEAD, rows),
    };
    Section { title: "Criteria", blocks: vec![block] }
}

fn findings(report: &Report) -> Section {
    const HEAD: &[&str] = &["Finding", "Step", "Criterion", "State", "Measured last"];
    let row = |it: &Finding| {
        let state = match (&it.retest, it.closed) {
            (Some(day), Some(at)) => format!("closed by its re-test {day} at {}", utc(at)),
            _ if it.times > 1 => format!("open since {}, seen {} times", utc(it.opened), it.times),
            _ => format!("open since {}", utc(it.opened)),
        };
        vec![
            Text::short(&it.id),
            Text::short(it.step.as_deref().unwrap_or("the day")),
            Text::line(&it.criterion),
            Text::line(state),
            Text::line(&it.measured),
        ]
    };
    let block = match report.findings.len() {
        0 => Block::Line(Text::line("None was opened, and none was closed.")),
        _ => Block::Table(HEAD, report.findings.iter().map(row).collect()),
    };
    Section { title: "Findings", blocks: vec![block] }
}

fn timeline(report: &Report) -> Section {
    const HEAD: &[&str] = &["UTC", "After", "What", "Text"];
    let mut lines: Vec<_> = report.record.timeline.iter().collect();
    lines.sort_by_key(|it| it.at);
    let rows = lines.into_iter().map(|it| {
        let after = spoken(it.at.since(report.record.started));
        vec![Text::short(utc(it.at)), Text::short(after), Text::short(&it.what), Text::line(&it.text)]
    });
    Section { title: "Timeline", blocks: vec![Block::Table(HEAD, rows.collect())] }
}

fn steps(report: &Report) -> Section {
    let scenario: &Scenario = &report.record.scenario;
    let mut blocks = Vec::new();
    for (number, step) in (1..).zip(&scenario.steps) {
        blocks.push(Block::Heading(Text::line(format!("{number}. {}", step.name()))));
        let stepped = report.record.steps.get(number - 1);
        let run = stepped.and_then(|it| report.run(it.run.as_deref()));
        blocks.extend(one(report, step, stepped, run));
    }
    Section { title: "Experiments", blocks }
}

fn one(report: &Report, step: &Step, stepped: Option<&Stepped>, run: Option<&Run>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let Some(stepped) = stepped else { return vec![Block::Line(Text::line("It was not begun."))] };
    if !step.expect.is_empty() {
        blocks.push(Block::Line(Text::line("Expected:")));
        blocks.push(Block::List(step.expect.iter().map(Text::long).collect()));
    }
    let Some(run) = run else {
        let why = if stepped.refused.is_empty() { "it was not started".to_owned() } else { stepped.refused.join("; ") };
        blocks.push(Block::Line(Text::line(format!("The experiment did not run: {why}."))));
        return blocks;
    };
    blocks.push(Block::Pairs(about(run)));
    if let Some(facts) = &stepped.facts {
        blocks.push(Block::Pairs(measured(facts)));
    }
    if let Some(assessment) = &run.assessment {
        blocks.extend(assessed(assessment));
    }
    let marks = figures::marks_of(&report.record, run);
    blocks.extend(figures::of(run, &marks).iter().map(|plot| Block::Plot(Drawn::of(plot, &[]))));
    blocks
}

fn about(run: &Run) -> Vec<(&'static str, Text)> {
    let it = &run.experiment;
    let clock = |at: Option<Time>| Text::line(at.map_or_else(|| "never".to_owned(), utc));
    let mut pairs = vec![
        ("Experiment", Text::line(format!("{} (run {})", it.name, run.id))),
        ("Hypothesis", Text::long(&it.hypothesis)),
        ("Fault", Text::line(it.fault.name())),
        ("Route", Text::line(&it.route)),
    ];
    if let Some(target) = &it.target {
        pairs.push(("Target", Text::line(target)));
    }
    let reach = format!("{} of units, dose {}", format_share(it.cohort.share), format_share(it.dose));
    pairs.push(("Reach", Text::line(format!("{reach}, for {}", format_duration(it.duration)))));
    pairs.push(("Injected", clock(run.injected)));
    pairs.push(("Withdrawn", clock(run.withdrawn)));
    pairs.push(("Recovered", clock(run.recovered)));
    if let Some(stopped) = &run.stopped {
        let text = format!("{} at {}: {}", stopped.reason, utc(stopped.at), stopped.text);
        pairs.push(("Stopped early", Text::line(text)));
    }
    pairs
}

fn measured(facts: &Facts) -> Vec<(&'static str, Text)> {
    let seconds =
        |value: Option<f64>| value.map_or_else(|| "not seen".to_owned(), |it| format!("after {} s", number(it)));
    let detected = match &facts.detected_by {
        Some(by) => format!("{}, by {by}", seconds(facts.detected_s)),
        None => seconds(facts.detected_s),
    };
    let mut pairs = vec![
        ("Detected", Text::line(detected)),
        ("Paged", Text::line(seconds(facts.paged_s))),
        ("Acknowledged", Text::line(seconds(facts.acknowledged_s))),
        (
            "Mitigated",
            Text::line(match facts.mitigated_s {
                Some(it) if it <= 0.0 => "never stopped answering".to_owned(),
                it => seconds(it),
            }),
        ),
        (
            "Recovered after",
            Text::line(facts.recovered_s.map_or("not seen".to_owned(), |it| format!("{} s", number(it)))),
        ),
        ("Met the fault", Text::line(facts.injected.to_string())),
    ];
    if let (Some(requests), Some(unanswered)) = (facts.requests_class, facts.unanswered_class) {
        let classes = (0..4).filter(|class| requests[*class] > 0);
        let told: Vec<String> =
            classes.map(|class| format!("class {class}: {} of {}", unanswered[class], requests[class])).collect();
        let told = if told.is_empty() { "no requests".to_owned() } else { told.join(", ") };
        pairs.push(("Unanswered", Text::line(told)));
    }
    if !facts.incident_types.is_empty() {
        pairs.push(("Incidents", Text::line(facts.incident_types.join(", "))));
    }
    pairs
}

fn assessed(it: &Assessment) -> Vec<Block> {
    const COMPARED: &[&str] = &["Figure", "Control", "Experiment", "Effect", "Interval", "Margin"];
    const CHECKS: &[&str] = &["Check", "Held", "Measured"];
    let mut blocks =
        vec![Block::Pairs(vec![("Verdict", Text::line(it.verdict.name())), ("Why", Text::long(&it.reason))])];
    let row = |name: &str, it: &Compared, told: fn(f64) -> String| {
        let interval = format!("{} to {}", told(it.low), told(it.high));
        [name.to_owned(), told(it.control), told(it.experiment), told(it.effect), interval, told(it.margin)]
            .map(Text::short)
            .to_vec()
    };
    let mut rows = Vec::new();
    rows.extend(it.errors.as_ref().map(|it| row("unanswered", it, percent)));
    rows.extend(it.p99.as_ref().map(|it| row("p99, seconds; effect as a ratio", it, number)));
    if !rows.is_empty() {
        blocks.push(Block::Table(COMPARED, rows));
    }
    if !it.checks.is_empty() {
        let held = |held: Option<bool>| match held {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not seen",
        };
        let rows = it
            .checks
            .iter()
            .map(|check| vec![Text::line(&check.name), Text::short(held(check.held)), Text::line(&check.measured)]);
        blocks.push(Block::Table(CHECKS, rows.collect()));
    }
    if !it.recommendations.is_empty() {
        blocks.push(Block::Line(Text::line("Recommended:")));
        blocks.push(Block::List(it.recommendations.iter().map(Text::long).collect()));
    }
    blocks
}

fn answers(report: &Report) -> Section {
    const HEAD: &[&str] = &["Step", "Question", "Answer", "By"];
    let rows = report.record.answers.iter().map(|it| {
        vec![
            Text::short(it.step.as_deref().unwrap_or("the day")),
            Text::line(&it.question),
            Text::long(&it.text),
            Text::short(&it.by),
        ]
    });
    Section { title: "Answers", blocks: vec![Block::Table(HEAD, rows.collect())] }
}
