//! Whether all is well again after a fault.

use crate::chaos::arms::Beat;
use crate::chaos::record::Phase;
use crate::stats::binomial;
use crate::time::Time;

use super::slices;
use super::watched::Watched;

/// Requests that would have come by now; fewer may fail to come by chance.
const EXPECTED_LEAST: f64 = 10.0;
/// How sure it is that a share is above what it was.
const SURE: f64 = 0.95;

impl Watched {
    /// Takes in what the injector says after it was told that the fault ends.
    pub(super) fn listen(&mut self, beats: &[&Beat], now: Time) {
        let ended = self.recovery.began;
        if now <= ended || beats.iter().any(|beat| beat.at <= ended) {
            return;
        }
        let fault = self.recovery.withdrawn;
        let moves =
            |beat: &&Beat| beat.injects || beat.arms[1].injected > 0 || (beat.stands && beat.generation <= fault);
        if beats.iter().any(moves) {
            if self.run.quiet.take().is_some() {
                self.note("note", "requests met the fault after it was taken away", now);
            }
        } else if self.run.quiet.is_none() {
            let text = match beats {
                [_, ..] => "the injector says that nothing is injected any more",
                // Silence says nothing, but by then no order stands that was not renewed.
                [] if now > ended + self.ttl => "nothing is heard of the injector, and the lease has run out",
                [] => return,
            };
            self.run.quiet = Some(now);
            self.note("quiet", text, now);
        }
    }

    /// What is not well, first of all; `None`: all is.
    pub(super) fn not_well(&mut self, now: Time) -> Option<String> {
        if self.run.quiet.is_none() {
            return Some("the injector does not say that nothing is injected any more".to_owned());
        }
        let silent = self.run.experiment.stop.silent;
        if !self.recovery.told || now.since(self.told) >= silent {
            return Some("nothing is heard of how the service is".to_owned());
        }
        self.recovery.wrong.clone().or_else(|| self.arms_wrong(now))
    }

    /// What is wrong with the former arms.
    fn arms_wrong(&mut self, now: Time) -> Option<String> {
        if !self.recovery.watched {
            return None;
        }
        let window = self.well_for();
        let lately = &mut self.recovery.lately;
        while lately.front().is_some_and(|(at, _)| *at + window <= now) {
            lately.pop_front();
        }
        let sum = |arm: usize| lately.iter().fold((0, 0), |sum, (_, arms)| (sum.0 + arms[arm].0, sum.1 + arms[arm].1));
        let sums = [sum(0), sum(1)];
        let (lead_in, injecting) =
            (slices::shares(&self.run, Phase::LeadIn), slices::shares(&self.run, Phase::Injecting));
        let all = |arms: &[(u64, u64); 2]| (arms[0].0 + arms[1].0, arms[0].1 + arms[1].1);
        let watched = self.run.withdrawn?.since(self.run.started).as_secs_f64();
        let expected = (all(&lead_in).1 + all(&injecting).1) as f64 / watched.max(1.0) * window.as_secs_f64();
        if all(&sums).1 == 0 && expected >= EXPECTED_LEAST {
            return Some("no request of its arms ends".to_owned());
        }
        // Before the fault both arms were alike; where nothing was seen then, what the control was.
        let before = [all(&lead_in), injecting[0]].into_iter().find(|(_, requests)| *requests > 0)?;
        let bound = before.0 as f64 / before.1 as f64 + self.run.experiment.margin.errors;
        let names = ["control", "experiment's arm"];
        // Where so few ask that chance explains anything, an arm of which most go unanswered is not well.
        let is_worse = |(unanswered, requests): (u64, u64)| {
            let is_most = 2 * unanswered > requests && unanswered as f64 > bound * requests as f64;
            requests > 0 && (is_most || binomial::lower(unanswered, requests, SURE) > bound)
        };
        let worse = (0..2).find(|arm| is_worse(sums[*arm]))?;
        let (unanswered, requests) = sums[worse];
        Some(format!("{unanswered} of the last {requests} requests of the former {} were unanswered", names[worse]))
    }
}
