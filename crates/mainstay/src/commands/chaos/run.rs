//! `mainstay chaos run`: a run that is held for as long as this command is there.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use hyper::Method;
use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::record::{Phase, Run};
use mainstay_core::chaos::verdict::Verdict;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::document::Asked;
use super::progress::Progress;
use super::{PATH, one, report, run_of};
use crate::cli::{ChaosRun, Global};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::words::word;

/// How long this command may be silent before the run is stopped, in seconds.
const HOLD_S: u32 = 20;
/// How often the run is looked at and held.
const EVERY: Duration = Duration::from_secs(2);
/// How long a service that does not answer is asked again. The fault is long gone by then.
const SILENT_MAX: Duration = Duration::from_mins(2);

pub(super) fn run(global: &Global, options: &ChaosRun) -> Result<Exit, Stop> {
    let asked = Asked::read(global, &options.experiment)?;
    if !options.yes {
        agree(global, &asked.experiment(global)?)?;
    }
    let mut body = asked.body();
    if options.detach {
        let answer = client::call(global, Method::POST, PATH, Some(&body))?;
        match global.format {
            Format::Json => output::json(&answer)?,
            Format::Human => output::data(word(&answer["run"]["id"]))?,
        }
        return Ok(Exit::Fine);
    }
    body["hold_s"] = HOLD_S.into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::bug)?;
    let run = runtime.block_on(async {
        // Listened to before anything starts, so that nothing is left behind.
        let mut signals = Signals::listen()?;
        let answer = client::ask(global, Method::POST, PATH, Some(&body)).await?;
        hold(global, run_of(&answer)?, &mut signals).await
    })?;
    match global.format {
        Format::Json => output::json(&json!(run))?,
        Format::Human => output::data(report::table(&run))?,
    }
    let verdict = run.assessment.as_ref().map(|assessment| assessment.verdict);
    Ok(if matches!(verdict, Some(Verdict::Tolerated | Verdict::Degraded)) { Exit::Fine } else { Exit::No })
}

/// Asks whether it is meant; where nobody can be asked, `--yes` says so.
fn agree(global: &Global, experiment: &Experiment) -> Result<(), Stop> {
    if !io::stdin().is_terminal() {
        return Err(Stop::usage(anyhow!("nobody is here to be asked whether this is meant: --yes")));
    }
    let share = mainstay_core::chaos::written::format_share(experiment.cohort.share);
    let length = mainstay_core::chaos::written::format_duration(experiment.duration);
    let (fault, route) = (experiment.fault.name(), &experiment.route);
    let question = format!("{fault} for {length} to {share} of route {route} at {}. Go on? [y/N] ", global.url);
    let answered = (|| {
        let mut err = io::stderr().lock();
        err.write_all(question.as_bytes())?;
        err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map(|_| answer)
    })();
    match answered.context("cannot ask").map_err(Stop::usage)?.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Stop::no(anyhow!("nothing was started"))),
    }
}

/// Holds a run until it has ended. The first signal stops it, another one ends this command at once.
async fn hold(global: &Global, run: Run, signals: &mut Signals) -> Result<Run, Stop> {
    let progress = Progress::start(&run);
    let outcome = follow(global, run, signals, &progress).await;
    progress.end();
    outcome
}

async fn follow(global: &Global, mut run: Run, signals: &mut Signals, progress: &Progress) -> Result<Run, Stop> {
    let (mut heard, mut stopping) = (Instant::now(), false);
    while run.phase != Phase::Ended {
        progress.show(&run);
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = signals.next() => {
                if std::mem::replace(&mut stopping, true) {
                    return Err(Stop::no(anyhow!("{} is left alone: it is being stopped", run.id)));
                }
                progress.say(&format!("stopping {}", run.id));
                stop(global, &run.id, progress).await;
            }
        }
        match look(global, &run.id, run.phase < Phase::Recovering && !stopping).await {
            Ok(seen) => (run, heard) = (seen, Instant::now()),
            Err(error) if !error.is_unreachable() || heard.elapsed() > SILENT_MAX => return Err(error),
            Err(_) => progress.say("mainstay does not answer: a fault that nobody renews ends by itself"),
        }
    }
    Ok(run)
}

/// The run as it is. Holding it says so too; a run that is no longer held, or over, is read.
async fn look(global: &Global, id: &str, holds: bool) -> Result<Run, Stop> {
    if holds {
        match client::ask(global, Method::POST, &format!("{}/hold", one(id)), None).await {
            Ok(answer) => return run_of(&answer),
            Err(error) if error.is_unreachable() => return Err(error),
            Err(_) => {}
        }
    }
    run_of(&client::ask(global, Method::GET, &one(id), None).await?)
}

/// Where it does not succeed, the silence does.
async fn stop(global: &Global, id: &str, progress: &Progress) {
    let body = json!({ "reason": "the command that held it was interrupted" });
    if let Err(Stop::Failed(_, error)) =
        client::ask(global, Method::POST, &format!("{}/stop", one(id)), Some(&body)).await
    {
        progress.say(&format!("it could not be stopped: {error:#}; it is no longer held and ends within {HOLD_S} s"));
    }
}

/// SIGINT and SIGTERM.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Signals, Stop> {
        let listen = |kind| signal(kind).context("cannot listen for signals").map_err(Stop::unreachable);
        Ok(Signals { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
