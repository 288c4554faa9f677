//! Asks the admin API again and again, on a thread of its own: every two seconds, and at once when `/api/v1/live` says that something changed.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::cli::Global;
use crate::client;
use crate::exit::Stop;

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(2);
/// How long is waited after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How long is waited before the stream of changes is asked for again.
const AFTER_STREAM: Duration = Duration::from_secs(3);

/// What the service said, all of it asked for at one time. What it does not have is null.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// When, since the feed began.
    pub(super) at: Duration,
    pub(super) status: Value,
    pub(super) incidents: Value,
    pub(super) slos: Value,
    pub(super) runs: Value,
    pub(super) gamedays: Value,
    /// `/metrics`, in Prometheus' format.
    pub(super) metrics: String,
}

/// What the feed tells.
#[derive(Debug)]
pub(super) enum News {
    Heard(Box<Heard>),
    /// It cannot be reached, and why.
    Lost(String),
    /// A signal asked for the end.
    End,
}

/// The thread, and what it said; it ends with the handle.
pub(super) struct Feed {
    said: Receiver<News>,
    end: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Starts it once the service has answered for the first time.
    pub(super) fn start(global: &Global) -> Result<(Feed, Heard), Stop> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::bug)?;
        let began = Instant::now();
        let first = runtime.block_on(ask(global, began))?;
        // Before the terminal is taken: a signal from then on gives it back.
        let signals = {
            let _within = runtime.enter();
            Signals::listen().map_err(Stop::bug)?
        };
        let (tell, said) = channel();
        let end = Arc::new(Notify::new());
        let (global, ended) = (global.clone(), end.clone());
        let watching = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = watch(&global, began, &tell) => {}
                    () = stop(signals, &tell) => {}
                    () = ended.notified() => {}
                }
            });
            // A name that is still looked up is waited for by nobody.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("feed".to_owned()).spawn(watching).map_err(Stop::bug)?;
        Ok((Feed { said, end, thread: Some(thread) }, first))
    }

    /// Waits for what is told next; `None` where nothing comes any more.
    pub(super) fn wait(&self) -> Option<News> {
        self.said.recv().ok()
    }

    /// What was told since the last time.
    pub(super) fn news(&self) -> impl Iterator<Item = News> {
        self.said.try_iter()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.end.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there was told of where it happened.
            let _ = thread.join();
        }
    }
}

/// The signals that end it.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> io::Result<Signals> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Signals([interrupt?, terminate?, hangup?]))
    }
}

async fn stop(Signals([mut interrupt, mut terminate, mut hangup]): Signals, tell: &Sender<News>) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    let _ = tell.send(News::End);
}

async fn watch(global: &Global, began: Instant, tell: &Sender<News>) {
    let changed = Notify::new();
    tokio::select! {
        () = listen(global, &changed) => {}
        () = poll(global, began, &changed, tell) => {}
    }
}

/// Ends when nobody listens any more.
async fn poll(global: &Global, began: Instant, changed: &Notify, tell: &Sender<News>) {
    let mut wait = EVERY;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = changed.notified() => {}
        }
        let news = match ask(global, began).await {
            Ok(heard) => {
                wait = EVERY;
                News::Heard(Box::new(heard))
            }
            Err(stop) => {
                wait = AFTER_FAILURE;
                News::Lost(stop.cause())
            }
        };
        if tell.send(news).is_err() {
            return;
        }
    }
}

/// Where there is no stream, what is asked every two seconds has to do.
async fn listen(global: &Global, changed: &Notify) {
    loop {
        let each = |line: &str| {
            if line == "event: state" {
                changed.notify_one();
            }
        };
        let _ = client::follow(global, "/api/v1/live", each).await;
        tokio::time::sleep(AFTER_STREAM).await;
    }
}

async fn ask(global: &Global, began: Instant) -> Result<Heard, Stop> {
    let status = client::ask(global, Method::GET, "/api/v1/status", None).await?;
    let metrics = client::ask_text(global, "/metrics").await?;
    let at = began.elapsed();
    let optional = async |path| client::ask_if_there(global, path).await.map(Option::unwrap_or_default);
    Ok(Heard {
        at,
        status,
        metrics,
        incidents: optional("/api/v1/incidents?status=open").await?,
        slos: optional("/api/v1/slos").await?,
        runs: optional("/api/v1/runs").await?,
        gamedays: optional("/api/v1/gamedays").await?,
    })
}
