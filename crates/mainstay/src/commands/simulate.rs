//! `mainstay simulate`: drills in virtual time, and recorded requests under another config.

mod recording;
mod replay;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use mainstay_core::drill::Drill;
use mainstay_sim::{Held, Run, Verdict};
use serde_json::{Value, json};

use crate::cli::{Global, Simulate};
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::plot;
use crate::source::Document;
use crate::table::Table;
use crate::version;

/// Most failing seeds that are shown.
const SHOWN_MAX: usize = 20;

/// Runs the command.
pub(crate) fn run(global: &Global, options: &Simulate) -> Result<Exit, Stop> {
    if let Some(events) = &options.replay {
        return replay::run(global, events, options.seed.unwrap_or(1));
    }
    let mut drills = Vec::new();
    for file in &options.files {
        drills.push((file.as_path(), read(global, file)?));
    }
    let mut passed = true;
    let mut told = Vec::new();
    for (file, drill) in &drills {
        let (fine, answer) = match options.seeds {
            Some(seeds) => search(global, file, drill, seeds)?,
            None => once(global, options, drill)?,
        };
        passed &= fine;
        told.push(answer);
    }
    if global.format == Format::Json {
        let whole = if told.len() == 1 { told.remove(0) } else { Value::Array(told) };
        output::json(&whole)?;
    }
    Ok(if passed { Exit::Fine } else { Exit::No })
}

/// Reads a drill; what is wrong with it is told.
fn read(global: &Global, file: &Path) -> Result<Drill, Stop> {
    let document = Document::read(file).with_context(|| format!("cannot read {}", file.display()));
    let document = document.map_err(Stop::usage)?;
    let directory = file.parent().unwrap_or(Path::new(""));
    let (drill, findings) = mainstay_config::drill(&document.text, &mut |named| {
        std::fs::read_to_string(directory.join(named)).map_err(|error| error.to_string())
    });
    if !findings.is_empty() {
        match (global.format, &drill) {
            (Format::Json, None) => output::json(&document.json(&findings))?,
            _ => output::say(format_args!("{}", document.render(&findings, output::stderr_has_colours()))),
        }
    }
    drill.ok_or(Stop::Said(Exit::Usage))
}

fn once(global: &Global, options: &Simulate, drill: &Drill) -> Result<(bool, Value), Stop> {
    let run = mainstay_sim::run(drill, options.seed.unwrap_or(drill.seed));
    if let Some(file) = &options.plot {
        let drawn = drawing(drill, &run, file.extension().is_some_and(|it| it == "html"));
        let written = std::fs::write(file, drawn).with_context(|| format!("cannot write {}", file.display()));
        written.map_err(Stop::unreachable)?;
    }
    if global.format == Format::Human {
        output::data(told(drill, &run, options.quiet))?;
    }
    Ok((run.passed(), as_json(drill, &run)))
}

/// The transcript and the verdicts, for people.
fn told(drill: &Drill, run: &Run, quiet: bool) -> String {
    let mut out = String::new();
    let title = if drill.title.is_empty() { &drill.name } else { &drill.title };
    writeln!(out, "{title}: {:?} of virtual time, seed {}", run.length, run.seed).expect("a string takes it");
    if !quiet {
        for line in &run.transcript {
            writeln!(out, "{line}").expect("a string takes it");
        }
        if run.untold > 0 {
            writeln!(out, "... and {} more", run.untold).expect("a string takes it");
        }
    }
    writeln!(out, "{} requests\n{}", run.requests, verdicts(&run.verdicts)).expect("a string takes it");
    out
}

fn verdicts(verdicts: &[Verdict]) -> String {
    let mut table = Table::new(&["held", "expectation", "from", "to", "condition", "measured"]);
    for verdict in verdicts {
        let name = match (&verdict.known, verdict.held) {
            (Some(known), Held::Known) => format!("{} (known: {known})", verdict.name),
            _ => verdict.name.clone(),
        };
        let (from, to) = (format!("{:?}", verdict.from), format!("{:?}", verdict.to));
        let held = word(verdict.held).to_owned();
        table.row(vec![held, name, from, to, verdict.holds.clone(), verdict.measured.clone()]);
    }
    table.to_string()
}

const fn word(held: Held) -> &'static str {
    match held {
        Held::Yes => "yes",
        Held::No => "NO",
        Held::Known => "known gap",
    }
}

fn as_json(drill: &Drill, run: &Run) -> Value {
    let verdict = |verdict: &Verdict| {
        json!({
            "name": verdict.name, "holds": verdict.holds, "held": word(verdict.held), "measured": verdict.measured,
            "from_s": verdict.from.as_secs_f64(), "to_s": verdict.to.as_secs_f64(), "known": verdict.known,
        })
    };
    let line = |line: &mainstay_sim::Line| json!({ "at_s": line.at.as_secs_f64(), "text": line.text });
    let curve = |curve: &mainstay_sim::Curve| json!({ "name": curve.name, "points": curve.points });
    json!({
        "drill": drill.name, "seed": run.seed, "passed": run.passed(), "requests": run.requests,
        "length_s": run.length.as_secs_f64(),
        "transcript": run.transcript.iter().map(line).collect::<Vec<_>>(), "untold": run.untold,
        "verdicts": run.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "curves": run.curves.iter().map(curve).collect::<Vec<_>>(),
    })
}

fn drawing(drill: &Drill, run: &Run, page: bool) -> String {
    let curve = |curve: &mainstay_sim::Curve| plot::Curve { name: curve.name.clone(), points: curve.points.clone() };
    let curves: Vec<plot::Curve> = run.curves.iter().map(curve).collect();
    let svg = plot::svg(&drill.title, &curves);
    if !page {
        return svg;
    }
    let (title, table) = (plot::escaped(&drill.title), plot::escaped(&verdicts(&run.verdicts)));
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n\
         <p>{:?} of virtual time, seed {}</p>\n<pre>{table}</pre>\n{svg}",
        run.length, run.seed
    )
}

/// Tries seeds on all cores.
fn search(global: &Global, file: &Path, drill: &Drill, seeds: u64) -> Result<(bool, Value), Stop> {
    let next = AtomicU64::new(0);
    let failed: Mutex<Vec<Run>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= seeds {
                return;
            }
            let run = mainstay_sim::run(drill, drill.seed.wrapping_add(nth));
            if !run.passed() {
                failed.lock().expect("adding does not panic").push(run);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut failed = failed.into_inner().expect("adding does not panic");
    failed.sort_by_key(|run| run.seed);
    if global.format == Format::Human {
        let mut out = format!("{}: {seeds} seeds, {} failed\n", drill.name, failed.len());
        for run in failed.iter().take(SHOWN_MAX) {
            let wrong = run.verdicts.iter().filter(|verdict| verdict.held == Held::No);
            let wrong: Vec<String> = wrong.map(|verdict| format!("{}: {}", verdict.name, verdict.measured)).collect();
            writeln!(out, "seed {} + commit {}: {}", run.seed, commit(), wrong.join("; ")).expect("a string takes it");
            writeln!(out, "    mainstay simulate {} --seed {}", file.display(), run.seed).expect("a string takes it");
        }
        output::data(out)?;
    }
    let answer = json!({
        "drill": drill.name, "seeds": seeds, "passed": failed.is_empty(), "commit": commit(),
        "failed": failed.iter().map(|run| run.seed).collect::<Vec<_>>(),
    });
    Ok((failed.is_empty(), answer))
}

/// What was built: the commit where the build was told it, else the version.
fn commit() -> &'static str {
    version::commit().unwrap_or(concat!("of version ", env!("CARGO_PKG_VERSION")))
}
