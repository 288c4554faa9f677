//! `mainstay demo`: real models, real failures, and what the callers saw of them.
//!
//! Learns two models of different size, serves them and a feature store on loopback ports, puts the gateway in front
//! with a config like any other, and drives traffic of four classes through it while parts of it fail. The verdict is
//! made of the callers' own observations: see [`criteria`].

mod budgets;
mod config;
mod criteria;
mod data;
mod feast;
mod gameday;
mod incidents;
mod inference;
mod load;
mod model;
mod pager;
mod peers;
mod place;
mod report;
mod script;
mod site;
mod tally;
pub(crate) mod training;
mod watch;

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::cli::{Demo, Global};
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::service::Service;
use crate::source::{Refused, Source};

use self::budgets::Budgets;
use self::data::DataSet;
use self::load::{Load, Stretch};
use self::peers::Peers;
use self::place::Place;
use self::report::Report;
use self::script::{PHASES, Phase, RATE};
use self::tally::Tally;
use self::training::Trained;
use self::watch::Change;

/// Decides who is asked about, when, and in which class: the same in every run.
const SEED: u64 = 569;

/// Most events that are kept for the timeline; a service that flaps more than this has shown its point.
const EVENTS_MAX: usize = 512;

/// How long the gateway has to become ready.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// Runs the demo.
pub(crate) fn run(options: &Demo, global: &Global) -> Result<Exit, Stop> {
    let data = DataSet::load().map_err(Stop::bug)?;
    let place = Place::open(options.dir.as_deref()).map_err(Stop::usage)?;
    let trained = training::train(&data, place.path()).map_err(Stop::unreachable)?;
    let peers = Peers::start(&data, trained.model.clone()).map_err(Stop::unreachable)?;
    let config = place
        .write("mainstay.yaml", &config::text(peers.addresses(), place.path(), options.duration))
        .map_err(Stop::usage)?;
    let source = Source::file(&config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::unreachable)?;
    runtime.block_on(async {
        // One listener from start to end: Ctrl-C that comes between two stretches is heard by the next.
        let interrupts = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C");
        let mut interrupts = interrupts.map_err(Stop::unreachable)?;
        let mut played = tokio::select! {
            played = play((options, global), &data, &peers, trained, &place, &source) => played?,
            _ = interrupts.recv() => {
                output::say(format_args!("interrupted before the end: there is no verdict"));
                return Ok(Exit::No);
            }
        };
        if !options.once {
            output::say(format_args!("still running, for you to look around at {}/; Ctrl-C ends it", played.dashboard));
            tokio::select! {
                () = played.look_around() => {}
                _ = interrupts.recv() => {}
            }
        }
        Ok(played.end().await)
    })
}

/// What runs on after the verdict.
struct Played {
    dashboard: String,
    service: Service,
    load: Load,
    verdict: Exit,
    tasks: JoinSet<()>,
    end: oneshot::Sender<()>,
}

impl Played {
    /// Light traffic, so that there is something to see. Nobody judges these requests.
    async fn look_around(&mut self) {
        let stretch = Stretch { phase: 0, rate: RATE, length: Duration::from_secs(10) };
        loop {
            self.load.drive(stretch, &mut Tally::default(), |_, _| {}).await;
        }
    }

    async fn end(mut self) -> Exit {
        self.service.stop().await;
        drop(self.end);
        while self.tasks.join_next().await.is_some() {}
        self.verdict
    }
}

async fn play(
    (options, global): (&Demo, &Global),
    data: &DataSet,
    peers: &Peers,
    trained: Trained,
    place: &Place,
    source: &Source,
) -> Result<Played, Stop> {
    let (plan, _, _) = source.load().map_err(|refused| Stop::bug(explain(&refused)))?;
    let (sender, events) = sync_channel(EVENTS_MAX);
    let (service, admin) = Service::start(plan, source.clone(), move |event| {
        if watch::is_shown(event) {
            // A full channel: the timeline ends there.
            let _ = sender.try_send(event.clone());
        }
    })
    .await?;
    output::say(format_args!(
        "models     right for {} (primary) and {} (simpler) of the tumours they never saw",
        peers.models.primary(),
        peers.models.small()
    ));
    output::say(format_args!("gateway    http://{}{}", service.address(), load::PATH));
    let dashboard = format!("http://{}", admin.local_addr());
    output::say(format_args!("dashboard  {dashboard}/"));
    output::say(format_args!("admin API  {dashboard}/api/v1/status"));
    let global = Global { url: dashboard.clone(), token: None, ..global.clone() };
    let (end, ended) = oneshot::channel::<()>();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { admin.serve(async { drop(ended.await) }).await });

    let start = service.clock.now();
    wait_until_ready(&service).await?;
    let mut load = Load::new(service.address(), &data.held_out, SEED);
    let game_day = gameday::go_through(&global, &mut load, place).await?;
    let harmful = data.held_out.first().map_or_else(String::new, load::id_of);
    let training = trained.json();
    let mut budgets = Budgets::new(global.clone(), trained, peers.small_digest.clone(), harmful);
    budgets.register_first("1", service.clock.now()).await?;
    let tally = drive(&mut load, peers, options.duration, &mut budgets, &service).await?;
    let mut criteria = criteria::judge(&tally);
    criteria.extend(gameday::judge(&game_day));
    criteria.extend(budgets.judge_model().await?);
    let handled = incidents::handle(&global, &peers.pager, place).await?;
    criteria.extend(incidents::judge(&handled));
    let (samples, harmful) = budgets.finish();
    criteria.extend(budgets::judge(&samples, &harmful, options.duration));
    let report = Report {
        criteria,
        tally,
        budgets: samples,
        changes: collect(&events, start),
        incidents: handled,
        game_day,
        training,
        duration: options.duration,
        models: peers.models,
    };
    publish(&report, global.format, place)?;
    let verdict = if report.passed() { Exit::Fine } else { Exit::No };
    Ok(Played { dashboard, service, load, verdict, tasks, end })
}

/// The demo's own config does not load: a bug of ours, told as the finding is.
fn explain(refused: &Refused) -> anyhow::Error {
    anyhow!("the demo's config was refused\n{}", refused.paragraphs(false).join("\n"))
}

async fn wait_until_ready(service: &Service) -> Result<(), Stop> {
    let ready = async {
        while service.plane.gateway.ready().is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(READY_WITHIN, ready).await;
    waited.map_err(|_| Stop::bug(anyhow!("the gateway was not ready within {} s", READY_WITHIN.as_secs())))
}

/// Plays the script.
async fn drive(
    load: &mut Load,
    peers: &Peers,
    duration: Duration,
    budgets: &mut Budgets,
    service: &Service,
) -> Result<Tally, Stop> {
    let mut tally = Tally::default();
    let bar = progress(duration);
    let mut before = Duration::ZERO;
    for (index, phase) in PHASES.iter().enumerate() {
        peers.suffer(phase.fault);
        budgets.report(index, phase, service.clock.now()).await?;
        let stretch = stretch(index, phase, duration);
        load.drive(stretch, &mut tally, |tally, elapsed| {
            bar.set_position(millis(before + elapsed));
            bar.set_message(format!("{}: {} sent, {} unanswered", phase.name, tally.sent(), tally.unanswered()));
        })
        .await;
        budgets.sample(index).await?;
        before += stretch.length;
    }
    load.finish(&mut tally).await;
    bar.finish_and_clear();
    Ok(tally)
}

fn stretch(index: usize, phase: &Phase, duration: Duration) -> Stretch {
    Stretch { phase: index, rate: phase.load * RATE, length: duration.mul_f64(phase.share) }
}

/// A bar on stderr, if that is a terminal.
fn progress(duration: Duration) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {elapsed} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(millis(duration)).with_style(style)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn publish(report: &Report, format: Format, place: &Place) -> Result<(), Stop> {
    let json = report.json();
    if place.is_kept() {
        let path = place.write("result.json", &format!("{json:#}\n")).map_err(Stop::unreachable)?;
        output::say(format_args!("results    {}", path.display()));
    }
    match format {
        Format::Human => output::data(report.human()),
        Format::Json => output::json(&json),
    }
}

fn collect(events: &Receiver<mainstay_core::event::Event>, start: mainstay_core::time::Time) -> Vec<Change> {
    events.try_iter().filter_map(|event| Change::from_event(&event, start)).collect()
}
