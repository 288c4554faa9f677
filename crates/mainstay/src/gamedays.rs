//! Scenarios of game days that a config names, and game days on a thread of their own.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use mainstay_config::{Code, Finding, Span};
use mainstay_control::gamedays::Setup;
use mainstay_control::{DataPlane as _, Engine, Experiments, Gamedays};
use mainstay_core::chaos::gameday::{Scenario, Wanted};
use mainstay_core::experiments::catalogue;
use mainstay_core::plan::Plan;
use mainstay_gateway::EventSink;
use tokio::sync::oneshot;

use crate::plane::Plane;
use crate::source::{Document, Refused};

/// Reads a scenario's file. Warnings come with it.
pub(crate) fn read(file: &Path) -> Result<(Scenario, Vec<Finding>, Document), Refused> {
    let document = Document::read(file).map_err(|error| Refused::Unreadable(file.to_owned(), error))?;
    match mainstay_config::scenario(&document.name, &document.text) {
        (Some(scenario), findings) => Ok((scenario, findings, document)),
        (None, findings) => Err(Refused::Findings(findings, document)),
    }
}

/// Reads all scenarios that a config names; their experiments exist, and no two have one name.
pub(crate) fn of(plan: &Plan) -> Result<Vec<Scenario>, Refused> {
    let mut all: Vec<Scenario> = Vec::new();
    for file in &plan.gamedays {
        let (scenario, _, document) = read(file)?;
        let mut wrong = astray(&scenario, plan);
        if all.iter().any(|it| it.name == scenario.name) {
            wrong.push((scenario.name.clone(), format!("two scenarios are called `{}`", scenario.name)));
        }
        if !wrong.is_empty() {
            let findings = wrong.into_iter().map(|(word, text)| finding(&document.text, &word, text)).collect();
            return Err(Refused::Findings(findings, document));
        }
        all.push(scenario);
    }
    Ok(all)
}

/// What a scenario says and a plan does not bear out, with a word that it is about.
pub(crate) fn astray(scenario: &Scenario, plan: &Plan) -> Vec<(String, String)> {
    let known = catalogue::all(plan);
    let mut wrong = Vec::new();
    for step in &scenario.steps {
        match &step.experiment {
            Wanted::Named(name) if !known.iter().any(|it| it.name == *name) => {
                wrong.push((name.clone(), format!("there is no experiment `{name}`")));
            }
            Wanted::Named(_) => {}
            Wanted::Inline(experiment) => {
                let texts = plan.check_experiment(experiment);
                wrong.extend(texts.into_iter().map(|text| (experiment.name.clone(), text)));
            }
        }
    }
    wrong
}

fn finding(text: &str, word: &str, message: String) -> Finding {
    let start = text.find(word).unwrap_or(0);
    let span = Span::new(start, (start + word.len()).min(text.len()));
    let help = Some("`mainstay chaos list` shows what there is".to_owned());
    Finding { code: Code::NoSuch, message, span, label: None, help }
}

/// The thread that looks after game days. Where this is dropped, the one that goes on is stopped.
pub(crate) struct Keeper {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Restores what rests of game days, and looks after them from then on. Who waits for it lets others go on.
pub(crate) async fn start(
    plane: &Arc<Plane>,
    engine: Engine,
    experiments: Experiments,
    events: EventSink,
) -> anyhow::Result<(Keeper, Gamedays)> {
    let seen: Weak<Plane> = Arc::downgrade(plane);
    let scenarios = of(&plane.gateway.plan()).unwrap_or_default();
    let setup = Setup {
        experiments,
        metrics: Box::new(move || seen.upgrade().map(|plane| plane.metrics()).unwrap_or_default()),
        on_event: Box::new(move |event| events.emit(event)),
        scenarios,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (opened, ready) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = thread::Builder::new().name("gamedays".to_owned()).spawn(move || {
        runtime.block_on(async {
            match Gamedays::open(&engine, setup).await {
                Ok((gamedays, running)) => {
                    if opened.send(Ok(gamedays)).is_ok() {
                        running.until(async { drop(stopped.await) }).await;
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        });
    })?;
    let keeper = Keeper { stop: Some(stop), thread: Some(thread) };
    let gamedays = ready.await.context("the thread of game days ended before it began")?;
    Ok((keeper, gamedays.context("cannot read game days")?))
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of game days panicked");
        }
    }
}
