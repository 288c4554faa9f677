//! The thread that appends a queue's records: one write and one sync for all that came in the meantime.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use mainstay_core::answer::review::{Held, Line, Record};
use tokio::sync::oneshot;

use super::log;

/// Most records that wait for the disk; what comes on top is told to be slow.
const BACKLOG: usize = 4096;
/// Most records of one write.
const BATCH: usize = 512;
/// A file is written anew from this length on, where most of it is of requests that are long decided.
const COMPACT_FROM: u64 = 4 << 20;

/// Whether a record is durable.
pub(super) type Written = oneshot::Receiver<bool>;

/// The thread's outside.
#[derive(Debug)]
pub(super) struct Writer {
    orders: Option<SyncSender<Order>>,
    /// A write failed, and none since was done.
    is_broken: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A record to append, and who waits for it.
struct Order {
    record: Record,
    reply: oneshot::Sender<bool>,
}

impl Writer {
    pub(super) fn start(name: &str, path: PathBuf, file: File, line: Arc<Mutex<Line>>) -> std::io::Result<Writer> {
        let (orders, inbox) = sync_channel(BACKLOG);
        let length = file.metadata()?.len();
        let is_broken = Arc::new(AtomicBool::new(false));
        let desk = Desk { path, file, length, compacted: length, is_broken: Arc::clone(&is_broken), line };
        let thread = std::thread::Builder::new().name(format!("queue-{name}")).spawn(move || desk.run(&inbox))?;
        Ok(Writer { orders: Some(orders), is_broken, thread: Some(thread) })
    }

    /// Whether the file could not be written when it was last tried.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Appends a request; `None` where too many wait for the disk.
    pub(super) fn hold(&self, id: u64, held: Held) -> Option<Written> {
        self.note(Record::Held(id, held))
    }

    /// Appends a record; `None` where too many wait for the disk.
    pub(super) fn note(&self, record: Record) -> Option<Written> {
        let (reply, written) = oneshot::channel();
        self.orders.as_ref()?.try_send(Order { record, reply }).ok()?;
        Some(written)
    }
}

impl Drop for Writer {
    /// What was ordered is written before the thread ends.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's inside.
struct Desk {
    path: PathBuf,
    file: File,
    length: u64,
    /// Its length after it was last written anew.
    compacted: u64,
    /// A write failed: what the file holds after `length` is unknown.
    is_broken: Arc<AtomicBool>,
    line: Arc<Mutex<Line>>,
}

impl Desk {
    fn run(mut self, inbox: &Receiver<Order>) {
        while let Ok(first) = inbox.recv() {
            let mut batch = vec![first];
            batch.extend(inbox.try_iter().take(BATCH - 1));
            self.write(batch);
            self.compact_if_worth_it();
        }
    }

    fn write(&mut self, batch: Vec<Order>) {
        // Nobody waits for these any more, so they are not written at all.
        let (gone, batch): (Vec<Order>, Vec<Order>) = batch.into_iter().partition(|order| order.reply.is_closed());
        for order in &gone {
            self.withdraw(order);
        }
        let mut bytes = Vec::new();
        for order in &batch {
            log::write(&order.record, &mut bytes);
        }
        if batch.is_empty() {
            return;
        }
        if let Err(error) = self.append(&bytes) {
            tracing::error!(%error, file = %self.path.display(), "a queue's file cannot be written");
            self.is_broken.store(true, Ordering::Relaxed);
            for order in batch {
                self.withdraw(&order);
                let _ = order.reply.send(false);
            }
            return;
        }
        self.tell(batch);
    }

    /// Those who wait are told; for those who left meanwhile, the record is taken back.
    fn tell(&mut self, batch: Vec<Order>) {
        let mut taken_back = Vec::new();
        for Order { record, reply } in batch {
            // The line knows before the caller does, so that who was told finds it, and a compaction has it.
            match record {
                Record::Held(id, _) => {
                    self.lock().handle_durable(id);
                    if reply.send(true).is_err() {
                        self.lock().handle_withdrawn(id);
                        log::write(&Record::Withdrawn(id), &mut taken_back);
                    }
                }
                Record::Decided(id, decision) => {
                    // Where another decision came first, that one holds, and the caller sees it.
                    let _ = self.lock().handle_decided(id, decision);
                    let _ = reply.send(true);
                }
                Record::Withdrawn(_) => drop(reply.send(true)),
            }
        }
        if !taken_back.is_empty()
            && let Err(error) = self.append(&taken_back)
        {
            tracing::error!(%error, file = %self.path.display(), "a queue's file cannot be written");
            self.is_broken.store(true, Ordering::Relaxed);
        }
    }

    fn withdraw(&self, order: &Order) {
        if let Record::Held(id, _) = order.record {
            self.lock().handle_withdrawn(id);
        }
    }

    /// After a failed write or sync it is unknown what the disk has, so the file is written anew first.
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.is_broken.load(Ordering::Relaxed) {
            self.compact()?;
        }
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn compact_if_worth_it(&mut self) {
        if self.length < COMPACT_FROM.max(self.compacted.saturating_mul(2)) {
            return;
        }
        if let Err(error) = self.compact() {
            tracing::error!(%error, file = %self.path.display(), "a queue's file cannot be compacted");
            // The old file is whole and goes on; the next try is at twice the length.
            self.compacted = self.length;
        }
    }

    fn compact(&mut self) -> std::io::Result<()> {
        let records = self.lock().records();
        let (file, length) = log::replace(&self.path, &records)?;
        (self.file, self.length, self.compacted) = (file, length, length);
        self.is_broken.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Line> {
        self.line.lock().expect("looking at a line does not panic")
    }
}
