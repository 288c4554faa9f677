//! What an engine gives at best when a constant number of calls is kept in flight: what limits are compared with.

use std::time::Duration;

use mainstay_core::drill;
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

use super::{Engine, Progress, Work};
use crate::servers::Owner;

/// Numbers of calls that are tried, in shares of the sequences at once.
const TRIED: [f64; 13] = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.0625, 1.125, 1.1875, 1.25, 1.5];
/// Virtual time before anything counts, and that counts.
const WARM: Duration = Duration::from_mins(1);
const MEASURED: Duration = Duration::from_mins(5);
/// Steps beyond which a model is not looked at further: its steps are very short.
const STEPS_MAX: u32 = 200_000;

/// An engine at its best.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Oracle {
    /// Calls in flight.
    pub(crate) calls: u32,
    /// Requests per second with a good answer.
    pub(crate) requests_s: f64,
    /// Their tokens per second.
    pub(crate) tokens_s: f64,
}

/// The best constant number of calls in flight, each replaced at once when it ends.
pub(crate) fn oracle(model: &drill::Engine, seed: u64) -> Oracle {
    let tried = TRIED.map(|share| ((f64::from(model.sequences) * share) as u32).max(1));
    let all = tried.into_iter().map(|calls| measure(model, calls, seed));
    all.fold(Oracle::default(), |best, it| if it.tokens_s > best.tokens_s { it } else { best })
}

struct Call {
    work: Work,
    sent: Time,
    first: Time,
}

fn measure(model: &drill::Engine, calls: u32, seed: u64) -> Oracle {
    let (mut rng, mut engine) = (Rng::new(seed), Engine::new(*model));
    let (mut now, mut good, mut tokens) = (Time::ZERO, 0u64, 0u64);
    let mut send = |engine: &mut Engine, visit: u32, now: Time| {
        let work = Work::of(model, rng.next_u64());
        engine.send(Owner { visit, turn: 0 }, work);
        Call { work, sent: now, first: now }
    };
    let mut open: Vec<Call> = (0..calls).map(|visit| send(&mut engine, visit, now)).collect();
    let (from, to) = (Time::ZERO + WARM, Time::ZERO + WARM + MEASURED);
    let mut progress = Vec::new();
    for _ in 0..STEPS_MAX {
        let Some(end) = engine.begin_step(now, |_| true).filter(|end| *end < to) else { break };
        now = end;
        engine.end_step(&mut progress);
        for it in progress.drain(..) {
            match it {
                Progress::First(owner) => open[owner.visit as usize].first = now,
                Progress::Done { owner, .. } => {
                    let call = &mut open[owner.visit as usize];
                    let (first, rest) = (call.first.since(call.sent), now.since(call.first));
                    let kept = model.promise.is_kept(call.work.prompt, first, call.work.output, rest);
                    if kept && now >= from {
                        good += 1;
                        tokens += u64::from(call.work.output);
                    }
                    *call = send(&mut engine, owner.visit, now);
                }
            }
        }
    }
    let seconds = now.since(from).as_secs_f64();
    if seconds <= 0.0 {
        return Oracle { calls, ..Oracle::default() };
    }
    Oracle { calls, requests_s: good as f64 / seconds, tokens_s: tokens as f64 / seconds }
}
