//! What leaves the machine: kept requests and metrics, to files and to collectors of OpenTelemetry.
//!
//! ```text
//! Telemetry::send ──bounded queue──> one thread ──> files (JSON lines, Parquet)
//!      never waits; what does not fit is counted └──> OTLP over HTTP: spans, log records, metrics
//! ```
//!
//! What must not leave was taken out before it came here. A disk that is full and a collector that hangs cost what was meant for them, and
//! nothing else.

mod files;
mod genai;
mod otlp;
#[cfg(feature = "parquet")]
mod parquet;
mod post;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mainstay_core::event::{Event, EventKind};
use mainstay_core::metric::Family;
use mainstay_core::plan;
use mainstay_core::time::Time;

#[cfg(feature = "parquet")]
pub use parquet::{BadFile, requests as read_parquet};

use files::Writer;
use otlp::Exporter;

/// Events that may wait.
const QUEUE_MAX: usize = 8_192;
/// How long a batch gathers.
const BATCH_TIME: Duration = Duration::from_secs(1);
/// Most events of a batch.
const BATCH_MAX: usize = 512;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// Where metrics come from.
pub type Metrics = Box<dyn Fn() -> Vec<Family> + Send>;

/// Where kept requests and metrics go.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The service's name.
    pub service: String,
    /// Files.
    pub files: Option<plan::Files>,
    /// A collector; its secrets are resolved.
    pub otlp: Option<plan::Otlp>,
}

/// What did not get where it was meant for.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    queue: AtomicU64,
    file: AtomicU64,
    collector: AtomicU64,
}

/// What a thread is told.
enum Told {
    Event(Box<Event>),
    Settings(Box<Settings>),
}

/// The outside: cheap to share, never waits.
#[derive(Debug)]
pub struct Telemetry {
    sender: Mutex<Option<SyncSender<Told>>>,
    lost: Arc<Lost>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Telemetry {
    /// Starts the thread. `seed` makes spans' ids where requests have none; `metrics` is asked as often as the settings say.
    pub fn start(settings: Settings, clock: Clock, seed: u64, metrics: Metrics) -> std::io::Result<Telemetry> {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let lost = Arc::new(Lost::default());
        let counted = Arc::clone(&lost);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            let exporter = Exporter::new(settings.otlp.clone(), &settings.service, seed);
            let writer = settings.files.clone().map(Writer::new);
            let loops = Loop { receiver, clock, metrics, lost: counted, runtime, exporter, writer, told: None };
            loops.run();
        };
        let thread = thread::Builder::new().name("telemetry".to_owned()).spawn(run)?;
        Ok(Telemetry { sender: Mutex::new(Some(sender)), lost, thread: Mutex::new(Some(thread)) })
    }

    /// Hands an event over; others than requests that ended are not for here.
    pub fn send(&self, event: &Event) {
        if matches!(event.kind, EventKind::RequestFinished(_)) {
            self.tell(Told::Event(Box::new(event.clone())));
        }
    }

    /// Goes on with other settings.
    pub fn set(&self, settings: Settings) {
        self.tell(Told::Settings(Box::new(settings)));
    }

    fn tell(&self, told: Told) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = &*sender else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = sender.try_send(told) {
            self.lost.queue.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that did not get where they were meant for, by reason.
    pub fn dropped(&self) -> [(&'static str, u64); 3] {
        [
            ("telemetry_full", self.lost.queue.load(Ordering::Relaxed)),
            ("file_failed", self.lost.file.load(Ordering::Relaxed)),
            ("collector_failed", self.lost.collector.load(Ordering::Relaxed)),
        ]
    }

    /// Sends what waits and ends; what takes longer than a collector's timeout is given up.
    pub fn stop(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the telemetry's thread panicked");
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The inside.
struct Loop {
    receiver: Receiver<Told>,
    clock: Clock,
    metrics: Metrics,
    lost: Arc<Lost>,
    runtime: tokio::runtime::Runtime,
    exporter: Exporter,
    writer: Option<Writer>,
    /// When metrics were sent last.
    told: Option<Time>,
}

impl Loop {
    fn run(mut self) {
        let mut batch: Vec<Event> = Vec::new();
        let mut began = (self.clock)();
        loop {
            let patience = (began + BATCH_TIME).since((self.clock)()).max(Duration::from_millis(1));
            let more = match self.receiver.recv_timeout(patience) {
                Ok(Told::Event(event)) => {
                    batch.push(*event);
                    true
                }
                Ok(Told::Settings(settings)) => {
                    self.flush(&mut batch);
                    self.change(&settings);
                    true
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            let now = (self.clock)();
            if !more || batch.len() >= BATCH_MAX || now >= began + BATCH_TIME {
                self.flush(&mut batch);
                self.tell_metrics(now, !more);
                began = now;
            }
            if !more {
                if let Some(writer) = &mut self.writer {
                    writer.finish(&self.lost);
                }
                return;
            }
        }
    }

    fn change(&mut self, settings: &Settings) {
        self.exporter.change(settings.otlp.clone(), &settings.service);
        let same = self.writer.as_ref().map(Writer::settings) == settings.files.as_ref();
        if !same {
            if let Some(mut old) = self.writer.take() {
                old.finish(&self.lost);
            }
            self.writer = settings.files.clone().map(Writer::new);
        }
    }

    fn flush(&mut self, batch: &mut Vec<Event>) {
        let now = (self.clock)();
        if let Some(writer) = &mut self.writer {
            writer.write(batch, now, &self.lost);
        }
        self.runtime.block_on(self.exporter.events(batch, &self.lost));
        batch.clear();
    }

    fn tell_metrics(&mut self, now: Time, last: bool) {
        let Some(every) = self.exporter.metrics_every() else { return };
        if last || self.told.is_none_or(|told| now >= told + every) {
            self.told = Some(now);
            let families = (self.metrics)();
            self.runtime.block_on(self.exporter.metrics(&families, now));
        }
    }
}

impl Lost {
    pub(crate) fn file(&self, count: usize) {
        self.file.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn collector(&self, count: usize) {
        self.collector.fetch_add(count as u64, Ordering::Relaxed);
    }
}
