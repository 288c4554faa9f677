//! What a closed breaker watches for: streaks, shares of failures, shares of slow calls.

use super::effect::{Evidence, Transition, Why};
use super::parts::{Parts, concerns_all};
use super::policy::{Config, fails_too_often, failure_low, is_too_slow, streak_needed};
use super::ticket::{Pace, Ticket};
use super::window::{Counts, RECENT_WINDOWS, Window};
use crate::resilience::outcome::{FailureKind, Outcome};
use crate::time::Time;

/// A reason to open.
#[derive(Clone, Debug)]
pub(super) struct Trip {
    pub(super) why: Why,
    pub(super) evidence: Evidence,
}

#[derive(Clone, Debug)]
pub(super) struct Watch {
    window: Window,
    streak: Option<Streak>,
    silence: Option<Silence>,
    /// When a call last ended well.
    answered: Time,
    /// Calls since the breaker closed.
    history: u64,
    parts: Parts,
}

/// Slow calls in a row that began after the last answer: while they waited nobody was answered.
#[derive(Clone, Copy, Debug)]
struct Silence {
    request: u64,
    several_requests: bool,
    calls: u32,
}

/// Hard failures in a row.
#[derive(Clone, Copy, Debug)]
struct Streak {
    request: u64,
    several_requests: bool,
    failures: u32,
    /// Calls that broke off which were under way when it began.
    broke_off: u32,
    /// Fixed when the streak begins, by what was known of the backend before.
    needed: u32,
    began: Time,
    last: Time,
}

impl Watch {
    pub(super) fn new(config: &Config, now: Time) -> Watch {
        let window = Window::new(config.window, now);
        Watch { window, streak: None, silence: None, answered: now, history: 0, parts: Parts::default() }
    }

    pub(super) fn handle_outcome(
        &mut self,
        config: &Config,
        ticket: &Ticket,
        outcome: Outcome,
        now: Time,
    ) -> Option<Trip> {
        match outcome {
            Outcome::Success => {
                match ticket.pace {
                    Pace::Waiting | Pace::Answering => self.handle_successes(1, now),
                    Pace::Slow(_) => self.is_answered(now),
                }
                None
            }
            Outcome::Failure { kind, .. } => self.handle_failure(config, ticket, kind, now),
            Outcome::Throttled { retry_after: Some(_) } => Some(self.evidence(Why::Throttled, now)),
            // Without a time to wait there is nothing to heed; the others say nothing about the backend.
            Outcome::Throttled { retry_after: None } | Outcome::Caller { .. } | Outcome::Cancelled => None,
        }
    }

    pub(super) fn handle_successes(&mut self, n: u64, now: Time) {
        self.is_answered(now);
        self.history += n;
        self.window.add_successes(n, now);
    }

    pub(super) fn handle_slow(&mut self, config: &Config, ticket: &Ticket, now: Time) -> Option<Trip> {
        self.history += 1;
        self.window.add_slow(now);
        // Shares of parts are for the breakers of the parts: together they are those of the part that is asked most.
        if config.is_of_parts() {
            return None;
        }
        let silent = self.extend_silence(ticket);
        let silent = silent.is_some_and(|it| it.several_requests && it.calls >= config.consecutive);
        (silent || is_too_slow(config, self.window.judged(now))).then(|| self.evidence(Why::SlowShare, now))
    }

    /// The breaker of a part changed its state.
    pub(super) fn handle_part(&mut self, config: &Config, part: u32, change: &Transition, now: Time) -> Option<Trip> {
        let together = concerns_all(change) && self.parts.handle_opened(part, config.parts, config.window, now);
        together.then(|| self.evidence(Why::PartsOpened, now))
    }

    /// Parts that there is something against.
    pub(super) fn ill_parts(&self) -> Vec<u32> {
        self.parts.ill()
    }

    /// A limit that lets in no more calls than hang would hide them among the good calls before. What begins after the
    /// last answer and waits too long is judged for itself.
    fn extend_silence(&mut self, ticket: &Ticket) -> Option<Silence> {
        if ticket.admitted_at > self.answered {
            let new = Silence { request: ticket.request, several_requests: false, calls: 0 };
            let silence = self.silence.get_or_insert(new);
            silence.calls = silence.calls.saturating_add(1);
            silence.several_requests |= silence.request != ticket.request;
        }
        self.silence
    }

    fn is_answered(&mut self, now: Time) {
        (self.streak, self.silence, self.answered) = (None, None, now);
        self.parts.begin();
    }

    pub(super) fn counts(&mut self, now: Time) -> Counts {
        self.window.judged(now)
    }

    fn handle_failure(&mut self, config: &Config, ticket: &Ticket, kind: FailureKind, now: Time) -> Option<Trip> {
        let (streak, counts) = self.extend_streak(config, ticket, kind, now);
        match ticket.pace {
            Pace::Waiting | Pace::Answering if !counts && kind != FailureKind::Timeout => {}
            Pace::Waiting | Pace::Answering => {
                self.history += 1;
                self.window.add_failure(now);
            }
            Pace::Slow(at) => self.window.fail_slow(at, now),
        }
        let by_several = !config.is_of_parts() || self.parts.fail_together();
        if streak.several_requests && by_several && streak.failures >= streak.needed {
            return Some(self.evidence(Why::Streak, now));
        }
        if config.is_of_parts() {
            return None;
        }
        fails_too_often(config, self.window.judged(now)).then(|| self.evidence(Why::FailureShare, now))
    }

    /// Failures that lie as far apart as the oldest calls that are judged are not one streak. Calls that were under way
    /// together run out of time together, as when too many were let in: those that began before the streak did are one
    /// failure in it. They break off together as well, as when one part of a backend restarts: of those every second
    /// one counts. Also says whether this one does.
    fn extend_streak(&mut self, config: &Config, ticket: &Ticket, kind: FailureKind, now: Time) -> (Streak, bool) {
        let request = ticket.request;
        let going_on = self.streak.filter(|s| now.since(s.last) < config.window * RECENT_WINDOWS);
        let mut streak = match going_on {
            Some(streak) => streak,
            None => {
                self.parts.begin();
                let needed = streak_needed(config, self.window.known(now), self.history);
                Streak { request, several_requests: false, failures: 0, broke_off: 0, needed, began: now, last: now }
            }
        };
        let was_under_way = streak.failures > 0 && ticket.admitted_at < streak.began;
        let counts = match kind {
            FailureKind::Timeout => !was_under_way,
            FailureKind::Transport | FailureKind::BrokenStream if was_under_way => {
                streak.broke_off = streak.broke_off.saturating_add(1);
                streak.broke_off.is_multiple_of(2)
            }
            FailureKind::Transport | FailureKind::BrokenStream | FailureKind::Server => true,
        };
        if counts {
            streak.failures = streak.failures.saturating_add(1);
            streak.several_requests |= request != streak.request;
            if config.is_of_parts() {
                self.parts.handle_failure(ticket.part);
            }
        }
        streak.last = now;
        self.streak = Some(streak);
        (streak, counts)
    }

    fn evidence(&mut self, why: Why, now: Time) -> Trip {
        let counts = self.window.judged(now);
        let (streak, streak_needed) = self.streak.map_or((0, 0), |s| (s.failures, s.needed));
        Trip { why, evidence: Evidence { counts, failure_low: failure_low(counts), streak, streak_needed } }
    }
}
