//! One writer. What waits when it comes round shares one transaction, and is answered once that is on the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::failure;
use super::lock::Lock;
use crate::error::StoreError;
use crate::options::{Clock, Options};

/// Most writes in one transaction.
const GROUP_MAX: usize = 256;
/// No further write joins a transaction of so many bytes.
const GROUP_BYTES: usize = 4 << 20;

pub(super) type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What may be written. It may be tried more than once, each time in a transaction that does not know of the last.
pub(super) trait Write: Send + Sync + 'static {
    type Output: Send + 'static;
    /// An error that is the caller's leaves the transaction as it was; after any other it is rolled back.
    fn apply<'a>(&'a self, session: &'a mut Session) -> Doing<'a, Self::Output>;
    /// About how much memory it holds.
    fn bytes(&self) -> usize;
}

/// The writer's connection, and what it knows.
pub(super) struct Session {
    pub(super) connection: SqliteConnection,
    /// Numbers of objectives, as of the last commit and in the running transaction.
    pub(super) objectives: BTreeMap<String, i64>,
    /// The file is damaged: nothing more is written.
    damaged: Option<StoreError>,
    _lock: Arc<Lock>,
}

impl Session {
    pub(super) fn new(connection: SqliteConnection, lock: Arc<Lock>) -> Session {
        Session { connection, objectives: BTreeMap::new(), damaged: None, _lock: lock }
    }

    /// All of `group` in one transaction.
    async fn transact(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        if let Some(damaged) = &self.damaged {
            return Err(damaged.clone());
        }
        let done = self.steps(group).await;
        if let Err(error) = &done {
            // Some errors have rolled back already; then this one says so, and that is all it says.
            let _ = self.connection.execute("ROLLBACK").await;
            self.objectives.clear();
            if matches!(error, StoreError::Corrupt(_)) {
                self.damaged = Some(error.clone());
            }
        }
        done
    }

    async fn steps(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        self.connection.execute("BEGIN IMMEDIATE").await.map_err(failure::store)?;
        for job in group {
            job.run(self).await?;
        }
        self.connection.execute("COMMIT").await.map_err(failure::store)?;
        Ok(())
    }
}

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Queue {
    sender: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
    pub(super) depth_max: usize,
    pub(super) counts: Arc<Counts>,
}

/// Counted by the writer and the queue.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) commits: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) commit_nanos: AtomicU64,
    pub(super) commit_nanos_max: AtomicU64,
}

impl Queue {
    /// Puts a write into the line, at once; the receiver hears when it is durable.
    pub(super) fn write<W: Write>(
        &self,
        write: W,
    ) -> Result<oneshot::Receiver<Result<W::Output, StoreError>>, StoreError> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)?;
        let busy = || {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            StoreError::Busy
        };
        let bytes = write.bytes().min(self.bytes_max);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.bytes).try_acquire_many_owned(permits).map_err(|_| busy())?;
        let (reply, answer) = oneshot::channel();
        let task = Box::new(Task { write, bytes, answer: None, reply: Some(reply), _permit: permit });
        match sender.try_send(task) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(busy()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(StoreError::Closed),
        }
    }

    /// How many wait.
    pub(super) fn depth(&self) -> usize {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().map_or(0, |sender| self.depth_max - sender.capacity())
    }

    /// Nothing more is taken; the writer ends when it has written what waits.
    pub(super) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

pub(super) fn start(session: Session, options: &Options) -> (Queue, JoinHandle<()>) {
    let depth_max = options.queue.max(1);
    let bytes_max = options.queue_bytes.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
    let (sender, receiver) = mpsc::channel(depth_max);
    let counts = Arc::new(Counts::default());
    let writer = tokio::spawn(run(session, receiver, Arc::clone(&options.clock), Arc::clone(&counts)));
    let bytes = Arc::new(Semaphore::new(bytes_max));
    (Queue { sender: Mutex::new(Some(sender)), bytes, bytes_max, depth_max, counts }, writer)
}

async fn run(mut session: Session, mut line: mpsc::Receiver<Box<dyn Job>>, clock: Clock, counts: Arc<Counts>) {
    let mut group: Vec<Box<dyn Job>> = Vec::new();
    while let Some(first) = line.recv().await {
        let mut bytes = first.bytes();
        group.push(first);
        while group.len() < GROUP_MAX && bytes < GROUP_BYTES {
            let Ok(next) = line.try_recv() else { break };
            bytes += next.bytes();
            group.push(next);
        }
        commit(&mut session, &mut group, &clock, &counts).await;
        group.clear();
    }
    // Nothing waits for an error here; what was acknowledged is in the log.
    let _ = session.connection.close().await;
}

/// A failure of the group may be the failure of one: then each is tried alone, and hears of its own.
async fn commit(session: &mut Session, group: &mut [Box<dyn Job>], clock: &Clock, counts: &Counts) {
    let whole = timed(session, group, clock, counts).await;
    match whole {
        Ok(()) => group.iter_mut().for_each(|job| job.answer(Ok(()))),
        Err(error) if group.len() == 1 => fail(&mut group[0], error, counts),
        Err(_) => {
            for n in 0..group.len() {
                match timed(session, &mut group[n..=n], clock, counts).await {
                    Ok(()) => group[n].answer(Ok(())),
                    Err(error) => fail(&mut group[n], error, counts),
                }
            }
        }
    }
}

fn fail(job: &mut Box<dyn Job>, error: StoreError, counts: &Counts) {
    counts.failed.fetch_add(1, Ordering::Relaxed);
    job.answer(Err(error));
}

async fn timed(
    session: &mut Session,
    group: &mut [Box<dyn Job>],
    clock: &Clock,
    counts: &Counts,
) -> Result<(), StoreError> {
    let start = clock();
    session.transact(group).await?;
    let nanos = u64::try_from(clock().since(start).as_nanos()).unwrap_or(u64::MAX);
    counts.commits.fetch_add(1, Ordering::Relaxed);
    counts.writes.fetch_add(group.len() as u64, Ordering::Relaxed);
    counts.commit_nanos.fetch_add(nanos, Ordering::Relaxed);
    counts.commit_nanos_max.fetch_max(nanos, Ordering::Relaxed);
    Ok(())
}

/// A write of any kind, with whoever waits for it.
trait Job: Send {
    /// An error is one of the database.
    fn run<'a>(&'a mut self, session: &'a mut Session) -> Doing<'a, ()>;
    fn answer(&mut self, outcome: Result<(), StoreError>);
    fn bytes(&self) -> usize;
}

impl fmt::Debug for dyn Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

struct Task<W: Write> {
    write: W,
    bytes: usize,
    answer: Option<Result<W::Output, StoreError>>,
    reply: Option<oneshot::Sender<Result<W::Output, StoreError>>>,
    _permit: OwnedSemaphorePermit,
}

impl<W: Write> Job for Task<W> {
    fn run<'a>(&'a mut self, session: &'a mut Session) -> Doing<'a, ()> {
        Box::pin(async move {
            match self.write.apply(session).await {
                Err(error) if failure::is_failure(&error) => Err(error),
                answer => {
                    self.answer = Some(answer);
                    Ok(())
                }
            }
        })
    }

    fn answer(&mut self, outcome: Result<(), StoreError>) {
        let Some(reply) = self.reply.take() else { return };
        let answer = outcome.and_then(|()| self.answer.take().unwrap_or(Err(StoreError::Closed)));
        // Whoever asked may have gone; the write happened all the same.
        let _ = reply.send(answer);
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}
