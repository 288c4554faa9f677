//! Sends what load generators say is due, through workers, on the path of real requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_core::time::Time;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::load::{Due, Generator, Place};
use super::mix::Recorded;
use super::standing::Standing;
use super::{Asking, Injector, clock};
use crate::worker::Command;

/// How often it looks at what is due at the least.
const TICK: Duration = Duration::from_millis(50);
/// How often it looks at the most: timers are no finer.
const TICK_MIN: Duration = Duration::from_millis(1);

/// A request that a worker is to send.
pub(crate) struct Sending {
    pub(crate) standing: Arc<Standing>,
    pub(crate) request: Arc<Recorded>,
    due_at: Time,
    _place: Place,
}

impl Sending {
    /// How long ago it was due.
    pub(crate) fn late_by(&self) -> Duration {
        clock::now().since(self.due_at)
    }
}

impl Standing {
    /// Requests were sent on top of the real ones, or could not be.
    pub(crate) fn count_sent(&self, sent: u64, missed: u64) {
        for (count, more) in self.sent.iter().zip([sent, missed]) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }
}

impl Injector {
    /// Notes a real request for those that send it again; `recorded` makes what they keep of it.
    pub(crate) fn note(&self, asking: &Asking<'_>, recorded: impl Fn() -> Option<Recorded>) {
        let now = clock::now();
        self.loads(asking).iter().for_each(|load| load.note(recorded(), now));
    }
}

/// Sends what is due until `stop` says so. Workers take turns.
pub(crate) async fn send(
    injector: Arc<Injector>,
    workers: Vec<UnboundedSender<Command>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut changes = injector.changes();
    let mut generators: Vec<(Arc<Standing>, Generator)> = Vec::new();
    let mut turns = workers.iter().cycle();
    loop {
        changes.mark_unchanged();
        let now = clock::now();
        follow(&mut generators, &injector, now);
        let mut pause = if generators.is_empty() { Duration::MAX } else { TICK };
        for (standing, generator) in &mut generators {
            if !standing.injects_at(now) {
                generator.rest(now);
                continue;
            }
            let dues = generator.due(now);
            standing.count_sent(0, dues.missed);
            pause = pause.min(dues.next_in);
            for Due { at, request, place } in dues.due {
                let sending = Sending { standing: Arc::clone(standing), request, due_at: at, _place: place };
                let sent = turns.next().is_some_and(|worker| worker.send(Command::Send(Box::new(sending))).is_ok());
                standing.count_sent(0, u64::from(!sent));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause.max(TICK_MIN)), if !generators.is_empty() => {}
            changed = changes.changed() => if changed.is_err() { return },
            _ = stop.changed() => return,
        }
    }
}

/// One generator for each order in force that asks for more traffic.
fn follow(generators: &mut Vec<(Arc<Standing>, Generator)>, injector: &Injector, now: Time) {
    let table = injector.table();
    generators.retain(|(standing, _)| table.iter().any(|stands| Arc::ptr_eq(stands, standing)));
    for standing in table.iter() {
        let Some(load) = &standing.load else { continue };
        if !generators.iter().any(|(of, _)| Arc::ptr_eq(of, standing)) {
            let generator = Generator::new(Arc::clone(load), standing.order.seed, now);
            generators.push((Arc::clone(standing), generator));
        }
    }
}
