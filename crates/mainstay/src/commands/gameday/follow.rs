//! `mainstay gameday run`: a game day, and what happens on it as it happens.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{PATH, id_of, one, scenario, summary};
use crate::cli::{GamedayRun, Global};
use crate::client;
use crate::commands::chaos::Signals;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::words::{array, when, word};

/// How often is looked at what happens.
const EVERY: Duration = Duration::from_secs(1);
/// How long a service that does not answer is asked again.
const SILENT_MAX: Duration = Duration::from_mins(2);

pub(super) fn run(global: &Global, options: &GamedayRun) -> Result<Exit, Stop> {
    let file = Path::new(&options.scenario);
    let body = if file.exists() { json!({ "scenario": scenario(file)? }) } else { json!({ "name": options.scenario }) };
    if !options.yes {
        agree(global, &options.scenario)?;
    }
    if options.detach {
        let record = client::call(global, Method::POST, PATH, Some(&body))?;
        match global.format {
            Format::Json => output::json(&record)?,
            Format::Human => output::data(word(&record["id"]))?,
        }
        return Ok(Exit::Fine);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::bug)?;
    let record = runtime.block_on(async {
        // Listened to before anything starts, so that nothing is left behind.
        let mut signals = Signals::listen()?;
        let record = client::ask(global, Method::POST, PATH, Some(&body)).await?;
        follow(global, record, &mut signals).await
    })?;
    match global.format {
        Format::Json => output::json(&record)?,
        Format::Human => {
            output::data(summary(&record))?;
            output::say(format_args!("mainstay gameday report {} tells more", word(&record["id"])));
        }
    }
    Ok(if record["passed"] == true { Exit::Fine } else { Exit::No })
}

fn agree(global: &Global, name: &str) -> Result<(), Stop> {
    if !io::stdin().is_terminal() {
        return Err(Stop::usage(anyhow!("nobody is here to be asked whether this is meant: --yes")));
    }
    output::say(format_args!("the experiments of {name} are run at {}. Go on? [y/N]", global.url));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot ask").map_err(Stop::usage)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Stop::no(anyhow!("nothing was started"))),
    }
}

/// Tells each line of the timeline once. The first signal stops the game day, another one ends this command.
async fn follow(global: &Global, mut record: Value, signals: &mut Signals) -> Result<Value, Stop> {
    let id = id_of(&record)?.to_owned();
    output::say(format_args!("{id} begins"));
    let (mut told, mut heard, mut stopping) = (0, Instant::now(), false);
    loop {
        for line in array(&record["timeline"]).iter().skip(told) {
            output::say(format_args!("{} {}: {}", when(&line["at"]), word(&line["what"]), word(&line["text"])));
            told += 1;
        }
        if record["phase"] != "running" {
            return Ok(record);
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = signals.next() => {
                if std::mem::replace(&mut stopping, true) {
                    return Err(Stop::no(anyhow!("{id} is left alone: it is being stopped")));
                }
                output::say(format_args!("stopping {id}"));
                let body = json!({ "reason": "the command that ran it was interrupted" });
                client::ask(global, Method::POST, &format!("{}/stop", one(&id)), Some(&body)).await?;
            }
        }
        match client::ask(global, Method::GET, &one(&id), None).await {
            Ok(seen) => (record, heard) = (seen, Instant::now()),
            Err(error) if !error.is_unreachable() || heard.elapsed() > SILENT_MAX => return Err(error),
            Err(_) => {}
        }
    }
}
