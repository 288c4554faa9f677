//! What a review says, whatever its form.

mod written;

use std::time::Duration;

use mainstay_core::incident::record::{Act, Action, ActionState, Entry, Held, Ranked, Sign};
use mainstay_core::time::Time;

use super::text::{Text, number, percent, spoken, utc};
use super::{PLOTS_MAX, ROWS_MAX, Review};
use crate::plot::Drawn;

/// What stands where people have not written anything.
pub(super) const UNWRITTEN: &str = "not written yet";

/// What every review says first.
pub(super) const PREAMBLE: &str = "This review is blameless: it asks how the system let it happen, not who did it. Everybody acted on what they knew then. All times are UTC.";

/// A part of a review.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) blocks: Vec<Block>,
}

/// A part of a section.
pub(crate) enum Block {
    /// A heading within a section.
    Heading(Text),
    /// A paragraph.
    Line(Text),
    /// A paragraph that is still to be written.
    Unwritten,
    /// Items.
    List(Vec<Text>),
    /// What is told of what.
    Pairs(Vec<(&'static str, Text)>),
    /// Rows under a head, as wide as it.
    Table(&'static [&'static str], Vec<Vec<Text>>),
    /// A figure over time.
    Plot(Drawn),
}

/// The headline.
pub(super) fn title(review: &Review) -> Text {
    Text::line(format!("Review of {}: {}", review.incident.id, review.incident.title))
}

/// All sections, in order.
pub(super) fn sections(review: &Review) -> Vec<Section> {
    let mut all =
        vec![summary(review), impact(review), detection(review), plots(review), timeline(review), actions(review)];
    all.extend(written::sections(review));
    all
}

fn summary(review: &Review) -> Section {
    let it = review.incident;
    let mut pairs = vec![("What", Text::line(&it.title))];
    let chosen = if it.kind_chosen { ", chosen by a person" } else { "" };
    pairs.push(("Type", Text::line(format!("{} ({}){chosen}", review.type_title, it.kind))));
    pairs.push(("Service", Text::line(&review.service)));
    pairs.push(("Severity", Text::line(it.severity.as_str())));
    pairs.push(("Status", Text::line(it.status.as_str())));
    for (name, of) in [("Routes", &it.routes), ("Places", &it.places)] {
        if !of.is_empty() {
            pairs.push((name, Text::line(of.join(", "))));
        }
    }
    pairs.push(("Began", Text::line(utc(it.onset))));
    pairs.push(("Found", after(it.detected, it.onset, "it began")));
    let taken = it.acknowledged.map(|at| {
        let by = it.acknowledged_by.as_deref().map(|by| format!(", last by {by}")).unwrap_or_default();
        Text::line(format!("{}{by}", after(at, it.detected, "it was found").as_str()))
    });
    pairs.push(("Taken", taken.unwrap_or_else(|| Text::line("by nobody yet"))));
    let mitigated = it.mitigated.map(|at| after(at, it.onset, "it began"));
    pairs.push(("Mitigated", mitigated.unwrap_or_else(|| Text::line("not known"))));
    let lasted = match review.resolved() {
        Some(at) => {
            pairs.push(("Ended", after(at, it.onset, "it began")));
            spoken(at.since(it.onset))
        }
        None if it.status.is_open() => {
            pairs.push(("Ended", Text::line("not yet")));
            format!("{} so far", spoken(review.prepared.since(it.onset)))
        }
        None => {
            pairs.push(("Ended", Text::line("not known")));
            "not known".to_owned()
        }
    };
    pairs.push(("Lasted", Text::line(lasted)));
    if it.reopened > 0 {
        pairs.push(("Opened again", Text::line(times(u64::from(it.reopened)))));
    }
    if let Some(closed) = it.closed {
        pairs.push(("Closed", Text::line(utc(closed))));
    }
    if let Some(into) = &it.merged_into {
        pairs.push(("Part of", Text::line(into)));
    }
    pairs.push(("Told", told(review)));
    pairs.push(("Prepared", Text::line(utc(review.prepared))));
    Section { title: "Summary", blocks: vec![Block::Line(Text::line(PREAMBLE)), Block::Pairs(pairs)] }
}

fn after(at: Time, start: Time, what: &str) -> Text {
    Text::line(format!("{}, {} after {what}", utc(at), spoken(at.since(start))))
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

fn told(review: &Review) -> Text {
    let mut all: Vec<String> = Vec::new();
    for told in &review.incident.told {
        all.push(match &told.person {
            Some(person) => format!("{person} by {}", told.channel),
            None => format!("channel {}", told.channel),
        });
    }
    all.dedup();
    if all.is_empty() { Text::line("nobody, as far as is known") } else { Text::line(all.join(", ")) }
}

fn impact(review: &Review) -> Section {
    const HEAD: &[&str] = &["Objective", "Category", "Bad", "All", "Budget lost", "Budget lost, minutes"];
    if review.impact.is_empty() {
        return Section {
            title: "Impact",
            blocks: vec![Block::Line(Text::line("What the objectives lost is not known."))],
        };
    }
    let rows = review.impact.iter().map(|it| {
        vec![
            Text::short(&it.slo),
            Text::short(&it.category),
            Text::short(it.bad.to_string()),
            Text::short(it.total.to_string()),
            Text::short(percent(it.budget_share)),
            Text::short(it.budget_minutes.map_or_else(|| "-".to_owned(), number)),
        ]
    });
    let until = if review.resolved().is_some() { "to its end" } else { "to when this was prepared" };
    let line = format!(
        "From onset {until}. One request may count for several objectives; the budget is that of the objective's whole window."
    );
    Section { title: "Impact", blocks: bounded(vec![Block::Line(Text::line(line))], HEAD, rows, review.impact.len()) }
}

/// A table of the first rows, and how many more there are.
fn bounded(
    mut blocks: Vec<Block>,
    head: &'static [&'static str],
    rows: impl Iterator<Item = Vec<Text>>,
    all: usize,
) -> Vec<Block> {
    blocks.push(Block::Table(head, rows.take(ROWS_MAX).collect()));
    if all > ROWS_MAX {
        blocks.push(Block::Line(Text::line(format!("And {} more.", all - ROWS_MAX))));
    }
    blocks
}

fn detection(review: &Review) -> Section {
    let it = review.incident;
    let delay = format!("It was found {} after it began.", spoken(it.detected.since(it.onset)));
    let mut blocks = vec![Block::Line(Text::line(delay))];
    let own = it.ranking.iter().find(|ranked| ranked.kind == it.kind);
    match own.or_else(|| it.ranking.first()) {
        Some(ranked) => {
            if own.is_none() {
                let line =
                    format!("Nothing speaks for the type {}; these are the signals of {}.", it.kind, ranked.kind);
                blocks.push(Block::Line(Text::line(line)));
            }
            blocks.extend(signals(ranked));
            blocks.push(ranking(&it.ranking));
        }
        None => blocks.push(Block::Line(Text::line("No type was weighed against others by its signals."))),
    }
    if it.facts.is_empty() {
        blocks.push(Block::Line(Text::line("No fact belongs to it.")));
    } else {
        blocks.extend(facts(&it.facts));
    }
    if it.more_facts > 0 {
        blocks.push(Block::Line(Text::line(format!("Further facts that were only counted: {}.", it.more_facts))));
    }
    Section { title: "Detection", blocks }
}

fn signals(ranked: &Ranked) -> Vec<Block> {
    const FIRED: &[&str] = &["Signal that fired", "What it says", "Weight", "Facts"];
    const SILENT: &[&str] = &["Signal that stayed silent", "What it would say", "Weight"];
    let cells = |sign: &Sign| {
        vec![Text::short(&sign.name), Text::line(&sign.text), Text::short(format!("{:+.2}", sign.weight))]
    };
    let fired = ranked.fired.iter().map(|sign| {
        let mut row = cells(sign);
        row.push(Text::line(sign.evidence.join(", ")));
        row
    });
    let mut blocks = match ranked.fired.len() {
        0 => vec![Block::Line(Text::line("None of its signals fired."))],
        all => bounded(Vec::new(), FIRED, fired, all),
    };
    blocks = match ranked.silent.len() {
        0 => {
            blocks.push(Block::Line(Text::line("None of its signals stayed silent.")));
            blocks
        }
        all => bounded(blocks, SILENT, ranked.silent.iter().map(cells), all),
    };
    blocks
}

fn ranking(all: &[Ranked]) -> Block {
    const HEAD: &[&str] = &["Type", "Probability", "Log odds", "Fired", "Silent"];
    let row = |it: &Ranked| {
        vec![
            Text::line(format!("{} ({})", it.title, it.kind)),
            Text::short(percent(it.probability)),
            Text::short(format!("{:+.2}", it.score)),
            Text::short(it.fired.len().to_string()),
            Text::short(it.silent.len().to_string()),
        ]
    };
    Block::Table(HEAD, all.iter().take(ROWS_MAX).map(row).collect())
}

fn facts(all: &[Held]) -> Vec<Block> {
    const HEAD: &[&str] = &["Fact", "About", "From", "Until", "How often"];
    let rows = all.iter().map(|it| {
        let about: Vec<_> = it.labels.iter().map(|(name, value)| format!("{name} {value}")).collect();
        vec![
            Text::line(&it.text),
            Text::line(about.join(", ")),
            Text::short(utc(it.since)),
            Text::short(it.until.map_or_else(|| "it lasts".to_owned(), utc)),
            Text::short(times(it.times)),
        ]
    });
    bounded(Vec::new(), HEAD, rows, all.len())
}

fn plots(review: &Review) -> Section {
    let mut blocks: Vec<_> =
        review.plots.iter().take(PLOTS_MAX).map(|plot| Block::Plot(Drawn::of(plot, &review.clocks()))).collect();
    if blocks.is_empty() {
        blocks.push(Block::Line(Text::line("No figures over time are known.")));
    }
    if review.plots.len() > PLOTS_MAX {
        blocks.push(Block::Line(Text::line(format!("And {} more.", review.plots.len() - PLOTS_MAX))));
    }
    Section { title: "Figures", blocks }
}

fn timeline(review: &Review) -> Section {
    const HEAD: &[&str] = &["UTC", "Who", "By", "What", "Text", "Evidence"];
    let it = review.incident;
    let row = |entry: &Entry| {
        let evidence = entry.evidence.as_ref().map(ToString::to_string).unwrap_or_default();
        vec![
            Text::short(utc(entry.at)),
            Text::short(&entry.actor),
            Text::short(&entry.source),
            Text::short(&entry.what),
            Text::line(&entry.text),
            Text::line(evidence),
        ]
    };
    let mut blocks = match it.timeline.len() {
        0 => vec![Block::Line(Text::line("Nothing was recorded."))],
        // A timeline has its own bound.
        _ => vec![Block::Table(HEAD, it.timeline.iter().map(row).collect())],
    };
    if it.timeline_dropped > 0 {
        blocks.push(Block::Line(Text::line(format!("Entries that had no room: {}.", it.timeline_dropped))));
    }
    Section { title: "Timeline", blocks }
}

fn actions(review: &Review) -> Section {
    const HEAD: &[&str] = &["No.", "What", "By", "Asked for", "Took effect", "Ended", "For", "State"];
    let rows = review.incident.actions.iter().map(|it| {
        let end = it.ended.or_else(|| (it.state == ActionState::Active).then_some(review.prepared));
        let lasted = it.taken.zip(end).map(|(taken, end)| spoken(end.since(taken)));
        let time = |at: Option<Time>| Text::short(at.map_or_else(|| "-".to_owned(), utc));
        vec![
            Text::short(it.id.to_string()),
            deed(&it.act),
            Text::short(&it.by),
            time(Some(it.at)),
            time(it.taken),
            time(it.ended),
            Text::short(lasted.unwrap_or_else(|| "-".to_owned())),
            state(it),
        ]
    });
    let blocks = match review.incident.actions.len() {
        0 => vec![Block::Line(Text::line("Mainstay took no action."))],
        all => bounded(Vec::new(), HEAD, rows, all),
    };
    Section { title: "Actions and their effect", blocks }
}

fn deed(act: &Act) -> Text {
    Text::line(match act {
        Act::PinLevel { route, level } => format!("hold route {route} at level {level}"),
        Act::CachedFeatures { route } => format!("answer route {route} with features from the cache"),
        Act::PreviousModel { model } => format!("serve the champion of {model} before this one"),
        Act::RaiseSampling { route } => format!("keep more of the requests of route {route}"),
        Act::BlockPattern { route, pattern } => format!("refuse requests of route {route} that hold: {pattern}"),
        Act::StopExperiment { run } => format!("stop the experiment {run}"),
    })
}

fn state(action: &Action) -> Text {
    let text = match action.state {
        ActionState::Pending => "being taken",
        ActionState::Active => "in effect",
        ActionState::Undoing => "being undone",
        ActionState::Undone => "undone",
        ActionState::Expired => "its time was over",
        ActionState::Failed => "failed",
    };
    let until = action.until.filter(|_| action.state == ActionState::Active);
    let until = match (until, action.state) {
        (Some(until), _) => format!(" until {}", utc(until)),
        (None, ActionState::Active) => " until it is undone".to_owned(),
        _ => String::new(),
    };
    let error = action.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    Text::line(format!("{text}{until}{error}"))
}

/// How long it was from one clock to another.
pub(super) fn between(start: Option<Time>, end: Option<Time>) -> Option<Duration> {
    start.zip(end).map(|(start, end)| end.since(start))
}
