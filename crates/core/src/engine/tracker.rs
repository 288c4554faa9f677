//! One objective, and what was counted for it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::slo::budget::{Budget, Status, forecast};
use crate::slo::burn::{self, Pair, Severity};
use crate::slo::objective::{Budgeting, Kind, Objective};
use crate::slo::safety::Evidence;
use crate::slo::series::{Counts, GRAIN, Recorded, Series, bucket_of};
use crate::slo::sketch::Sketches;
use crate::slo::slices::{Change, REMEMBERED, Slices, quality_verdict};
use crate::slo::window::{Stretch, written};
use crate::stats::{Interval, LogHistogram, binomial};
use crate::time::Time;

use super::answer::{Answer, Burn, Claim, PERCENTILES, Percentile};
use super::effect::{Alert, Effect, Why};
use super::memory::Memory;

/// The chance that the safety alarm ever comes at a rate that is kept, per restart of the evidence.
const SAFETY_ALPHA: f64 = 0.05;
/// The evidence starts afresh this often: good history delays an alarm.
const EVIDENCE_LASTS: Duration = Duration::from_hours(7 * 24);
/// The confidence of claims.
const CONFIDENCE: f64 = 0.95;
/// A trickle alarms at this much evidence: at exactly the objective no more often than once in so many events (Shin, Ramdas and
/// Rinaldo 2022: an e-detector's average run length is at least its threshold).
const TRICKLE: f64 = 1e7;
/// Rates that a trickle is weighed against, as multiples of what is allowed.
const TRICKLE_TIMES: [f64; 3] = [1.5, 3.0, 10.0];
/// No detector rises above this much evidence: it must be able to fall again soon after what it told of is over.
const TRICKLE_MOST: f64 = 1e8;
/// Most events that are named where nothing is tolerated; of more the first ones and the latest two.
const NAMED_MAX: usize = 32;
/// Longest stretch without a tick that a clock-driven objective is judged for afterwards.
const AGED_MAX: u64 = 8_640;
/// Most slices whose change waits to be taken.
const CHANGES_MAX: usize = 2 * REMEMBERED;
/// A pair that fired goes on until its long window burns slower than this share of its factor.
const RESOLVE: f64 = 0.9;

/// Why there may be nothing to count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Events come, or would if there were any.
    Present,
    /// The source answers and nothing happened.
    NoTraffic,
    /// There is nothing to measure: a metric that is absent, a model that nobody has named.
    Absent,
    /// The source did not tell.
    Failed,
}

impl Signal {
    /// The name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Present => "present",
            Signal::NoTraffic => "no_traffic",
            Signal::Absent => "no_signal",
            Signal::Failed => "query_failed",
        }
    }
}

/// The event that spent a budget which tolerates none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FirstBad {
    /// What it was: a request id, a model.
    pub event: String,
    /// When it happened.
    pub at: Time,
}

/// One objective, and what was counted for it.
#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) objective: Objective,
    pub(super) series: Series,
    pub(super) signal: Signal,
    slices: Option<Slices>,
    /// Slices that count otherwise since this was last asked, by their start.
    changes: BTreeMap<Time, Change>,
    pairs: Vec<Pair>,
    firing: Vec<Alert>,
    status: Status,
    /// Events that are not tolerated, oldest first: those of the window, and not yet removed ones from before it.
    named: Vec<FirstBad>,
    evidence: Option<(Evidence, Time)>,
    /// Logarithms of the trickle detector's statistics.
    trickle: Vec<f64>,
    aged: Option<Time>,
    /// The first slice that an earlier process had not judged.
    sliced: Option<Time>,
}

impl Tracker {
    pub(super) fn new(objective: Objective, now: Time) -> Tracker {
        let longest = objective.window.longest();
        let evidence = match objective.kind {
            Kind::Safety { max_rate } => Some((Evidence::new(max_rate), now)),
            Kind::Availability { .. }
            | Kind::Latency { .. }
            | Kind::Quality { .. }
            | Kind::ModelFreshness { .. }
            | Kind::ReviewAge { .. }
            | Kind::FeatureFreshness { .. }
            | Kind::External { .. } => None,
        };
        let signal = match objective.kind {
            Kind::ModelFreshness { .. } | Kind::ReviewAge { .. } | Kind::External { .. } | Kind::Quality { .. } => {
                Signal::Absent
            }
            Kind::Availability { .. } | Kind::Latency { .. } | Kind::FeatureFreshness { .. } | Kind::Safety { .. } => {
                Signal::Present
            }
        };
        // Nothing is judged by burn where nothing is allowed.
        let pairs = if objective.kind.allowed_bad() > 0.0 { burn::pairs(longest) } else { Vec::new() };
        let pairs: Vec<Pair> = pairs.into_iter().filter(|p| p.is_reachable(objective.kind.allowed_bad())).collect();
        // The slowest pairs look back three days, whatever the window.
        let kept = pairs.iter().map(|pair| pair.long).max().unwrap_or_default().max(longest);
        Tracker {
            series: Series::new(kept),
            slices: Slices::new(objective.budgeting),
            changes: BTreeMap::new(),
            pairs,
            firing: Vec::new(),
            status: Status::NoData,
            named: Vec::new(),
            evidence,
            trickle: vec![f64::NEG_INFINITY; TRICKLE_TIMES.len()],
            aged: None,
            sliced: None,
            signal,
            objective,
        }
    }

    /// The same objective as another config has it.
    pub(super) fn under(self, objective: Objective, now: Time) -> Tracker {
        let same_count = self.objective.budgeting == objective.budgeting
            && std::mem::discriminant(&self.objective.kind) == std::mem::discriminant(&objective.kind);
        if !same_count {
            return Tracker::new(objective, now);
        }
        let mut fresh = Tracker::new(objective, now);
        for ring in 0..3 {
            for (start, counts) in self.series.buckets(ring) {
                fresh.series.replace(ring, start, counts);
            }
        }
        fresh.slices = self.slices;
        fresh.changes = self.changes;
        fresh.signal = self.signal;
        fresh.status = self.status;
        fresh.named = self.named;
        fresh.aged = self.aged;
        if self.objective.kind == fresh.objective.kind {
            fresh.evidence = self.evidence;
            fresh.trickle = self.trickle;
        }
        fresh.firing = self.firing.into_iter().filter(|alert| fresh.knows(alert)).collect();
        fresh
    }

    fn knows(&self, alert: &Alert) -> bool {
        match alert.why {
            Why::Burn { long, short, .. } => self.pairs.iter().any(|p| p.long == long && p.short == short),
            Why::Trickle | Why::Rate | Why::Harm => true,
        }
    }

    pub(super) fn count(&mut self, at: Time, counts: Counts) -> Recorded {
        if let Some((evidence, _)) = &mut self.evidence {
            evidence.handle(counts);
        }
        if counts.total() > 0 && self.signal == Signal::Absent {
            self.signal = Signal::Present;
        }
        match &mut self.slices {
            None => {
                self.weigh_trickle(counts);
                self.series.record(at, counts)
            }
            Some(slices) => {
                let change = slices.record(at, counts);
                self.apply(change);
                Recorded::Counted
            }
        }
    }

    pub(super) fn harm(&mut self, event: &str, at: Time, now: Time) -> Recorded {
        self.name(event.to_owned(), at, now);
        if let Some((evidence, _)) = &mut self.evidence {
            evidence.handle(Counts::BAD);
        }
        self.series.record(at, Counts::BAD)
    }

    /// Names harm that the series holds, where a restart has lost its name, and with the name its weight as evidence.
    pub(super) fn harm_again(&mut self, event: &str, at: Time, now: Time) {
        let there = self.named.iter().any(|bad| bad.event == event && bad.at == at);
        if there || self.named.len() >= NAMED_MAX || at < self.series.edge(self.objective.window.to_date(now)) {
            return;
        }
        self.name(event.to_owned(), at, now);
        if let Some((evidence, _)) = &mut self.evidence {
            evidence.handle(Counts::BAD);
        }
    }

    /// Remembers what an event that is not tolerated was, for as long as it is within the window.
    fn name(&mut self, event: String, at: Time, now: Time) {
        let from = self.series.edge(self.objective.window.to_date(now));
        self.named.retain(|bad| bad.at >= from);
        if at < from {
            return;
        }
        if self.named.len() >= NAMED_MAX {
            self.named.remove(NAMED_MAX - 2);
        }
        let place = self.named.partition_point(|bad| bad.at <= at);
        self.named.insert(place, FirstBad { event, at });
    }

    pub(super) fn quality(&mut self, slice: Time, metric: Interval, labels: u64) {
        let (Kind::Quality { direction, .. }, Some(target)) =
            (&self.objective.kind, self.objective.kind.quality_target())
        else {
            return;
        };
        let least = match self.objective.budgeting {
            Budgeting::TimeSlices { events_least, .. } => events_least,
            Budgeting::Occurrences | Budgeting::RatioTimeSlices { .. } => 1,
        };
        let verdict = quality_verdict(metric, *direction, target, labels, least);
        self.signal = Signal::Present;
        if let Some(slices) = &mut self.slices {
            let change = slices.set(slice, verdict);
            self.apply(change);
        }
    }

    /// Counts one event for each grain of time that has passed: good while what ages is young enough. `born`: its beginning,
    /// `None` where that is not known; `what`: what is said of it when it is too old.
    pub(super) fn age(&mut self, what: &str, born: Option<Time>, max_age: Duration, now: Time) {
        let Some(born) = born else {
            self.signal = Signal::Absent;
            return;
        };
        self.signal = Signal::Present;
        let current = bucket_of(now);
        let earliest = Time::from_nanos(current.as_nanos().saturating_sub(AGED_MAX * GRAIN.as_nanos() as u64));
        let mut at = self.aged.map_or(current, |aged| (aged + GRAIN).max(earliest));
        while at <= current {
            let is_old = at.since(born) > max_age;
            let from = self.series.edge(self.objective.window.to_date(now));
            if is_old && self.named.iter().all(|bad| bad.at < from) {
                self.name(format!("{what} than {}", written(max_age)), at, now);
            }
            self.series.record(at, if is_old { Counts::BAD } else { Counts::GOOD });
            at = at + GRAIN;
        }
        self.aged = Some(current);
    }

    /// Judges slices that have ended.
    pub(super) fn settle(&mut self, now: Time) {
        let changes = match (&self.objective.kind, &mut self.slices) {
            // Whoever measures the metric sets these.
            (Kind::Quality { .. }, _) | (_, None) => Vec::new(),
            (_, Some(slices)) => slices.settle(now),
        };
        for change in changes {
            self.apply(Some(change));
        }
        if let Some((evidence, since)) = &mut self.evidence
            && now.since(*since) >= EVIDENCE_LASTS
        {
            evidence.restart();
            *since = now;
        }
    }

    fn apply(&mut self, change: Option<Change>) {
        let Some(change) = change else { return };
        let before = self.changes.get(&change.at).map_or(change.before, |earlier| earlier.before);
        self.changes.insert(change.at, Change { before, ..change });
        if self.changes.len() > CHANGES_MAX {
            self.changes.pop_first();
        }
        self.series.take_back(change.at, change.before);
        self.series.record(change.at, change.after);
        if change.before == Counts::default() {
            self.weigh_trickle(change.after);
        }
    }

    /// A CUSUM of likelihood ratios for each alternative: evidence starts again from nothing whenever it runs out.
    fn weigh_trickle(&mut self, counts: Counts) {
        let allowed = self.objective.kind.allowed_bad();
        if allowed <= 0.0 {
            return;
        }
        for (log, times) in self.trickle.iter_mut().zip(TRICKLE_TIMES) {
            let p1 = times * allowed;
            if p1 < 1.0 {
                let gain = counts.bad as f64 * times.ln() + counts.good as f64 * ((1.0 - p1) / (1.0 - allowed)).ln();
                *log = (log.max(0.0) + gain).min(TRICKLE_MOST.ln());
            }
        }
    }

    fn trickles(&self) -> bool {
        let mean = self.trickle.iter().map(|log| log.exp()).sum::<f64>() / TRICKLE_TIMES.len() as f64;
        mean >= TRICKLE
    }

    pub(super) fn counts(&self, stretch: Stretch, cut: &[Stretch]) -> Counts {
        let mut counts = self.series.within(stretch);
        for out in cut {
            let clipped = Stretch { from: out.from.max(stretch.from), to: out.to.min(stretch.to) };
            if clipped.from < clipped.to {
                counts.subtract(self.series.excluded(clipped, stretch));
            }
        }
        match self.objective.kind {
            // An answer that did harm was counted as an answer when it was given.
            Kind::Safety { .. } => Counts { good: counts.good.saturating_sub(counts.bad), ..counts },
            Kind::Availability { .. }
            | Kind::Latency { .. }
            | Kind::Quality { .. }
            | Kind::ModelFreshness { .. }
            | Kind::ReviewAge { .. }
            | Kind::FeatureFreshness { .. }
            | Kind::External { .. } => counts,
        }
    }

    /// Judges status and alerts.
    pub(super) fn judge(&mut self, cut: &[Stretch], now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let budget = self.budget(cut, now).1;
        if budget.status != self.status {
            let from = std::mem::replace(&mut self.status, budget.status);
            effects.push(Effect::StatusChanged {
                at: now,
                objective: self.objective.name.clone(),
                from,
                to: budget.status,
                remaining: budget.remaining,
                event: self.first_bad(cut, now).map(|first| first.event),
            });
        }
        let firing = self.alerts(cut, now);
        for alert in &firing {
            if !self.firing.iter().any(|before| before.why == alert.why) {
                effects.push(Effect::AlertFired { at: now, alert: alert.clone() });
            }
        }
        for alert in std::mem::replace(&mut self.firing, firing) {
            if !self.firing.iter().any(|after| after.why == alert.why) {
                effects.push(Effect::AlertResolved { at: now, alert });
            }
        }
        effects
    }

    fn alerts(&self, cut: &[Stretch], now: Time) -> Vec<Alert> {
        let allowed = self.objective.kind.allowed_bad();
        let alert = |severity, why, burn| Alert { objective: self.objective.name.clone(), severity, why, burn };
        let mut firing = Vec::new();
        for pair in &self.pairs {
            let last = |length| self.counts(Stretch { from: now - length, to: now }, cut);
            let (long, short) = (last(pair.long), last(pair.short));
            let why = Why::Burn { long: pair.long, short: pair.short, factor: pair.factor };
            let fires_already = self.firing.iter().any(|alert| alert.why == why);
            let rate = |counts| burn::rate(counts, allowed).unwrap_or(0.0);
            let still = fires_already && rate(long).min(rate(short)) > RESOLVE * pair.factor;
            if still || pair.fires(long, short, allowed) {
                firing.push(alert(pair.severity, why, burn::rate(long, allowed)));
            }
        }
        if self.trickles() && !firing.iter().any(|alert: &Alert| matches!(alert.why, Why::Burn { .. })) {
            let window = self.counts(self.objective.window.to_date(now), cut);
            firing.push(alert(Severity::Ticket, Why::Trickle, burn::rate(window, allowed)));
        }
        if self.evidence.as_ref().is_some_and(|(evidence, _)| evidence.alarms(SAFETY_ALPHA)) {
            firing.push(alert(Severity::Page, Why::Rate, None));
        }
        if self.objective.kind.tolerates_none() && self.counts(self.objective.window.to_date(now), cut).bad > 0 {
            let severity = match self.objective.kind {
                Kind::ModelFreshness { .. } => Severity::Ticket,
                Kind::Availability { .. }
                | Kind::Latency { .. }
                | Kind::Quality { .. }
                | Kind::ReviewAge { .. }
                | Kind::FeatureFreshness { .. }
                | Kind::Safety { .. }
                | Kind::External { .. } => Severity::Page,
            };
            firing.push(alert(severity, Why::Harm, None));
        }
        firing
    }

    /// The first event of the window that is not tolerated, other than those that are cut out.
    fn first_bad(&self, cut: &[Stretch], now: Time) -> Option<FirstBad> {
        let from = self.series.edge(self.objective.window.to_date(now));
        let counts = |bad: &&FirstBad| bad.at >= from && !cut.iter().any(|out| out.holds(bad.at));
        self.named.iter().find(counts).cloned()
    }

    pub(super) fn budget(&self, cut: &[Stretch], now: Time) -> (Counts, Budget) {
        let counts = self.counts(self.objective.window.to_date(now), cut);
        let mut budget = Budget::of(counts, self.objective.kind.allowed_bad());
        let alarms = self.evidence.as_ref().is_some_and(|(evidence, _)| evidence.alarms(SAFETY_ALPHA));
        if alarms && budget.status != Status::Exhausted {
            budget.status = Status::Exhausted;
            budget.remaining = budget.remaining.min(0.0);
        }
        (counts, budget)
    }

    pub(super) fn answer<'a>(
        &self,
        cut: &[Stretch],
        sketches: impl Iterator<Item = &'a Sketches>,
        now: Time,
    ) -> Answer {
        let window = self.objective.window.to_date(now);
        let allowed = self.objective.kind.allowed_bad();
        let (counts, budget) = self.budget(cut, now);
        let pending = self.pending(now);
        let mut burns: Vec<Burn> = Vec::new();
        for length in self.pairs.iter().flat_map(|pair| [pair.short, pair.long]) {
            if !burns.iter().any(|burn| burn.window == length) {
                let rate = burn::rate(self.counts(Stretch { from: now - length, to: now }, cut), allowed);
                burns.push(Burn { window: length, rate });
            }
        }
        burns.sort_by_key(|burn| burn.window);
        // The faster ticket's eye: long enough to be steady, short enough to follow.
        let lately = self.pairs.iter().find(|pair| pair.budget >= 0.05).map(|pair| pair.long);
        let lately = lately.and_then(|long| burns.iter().find(|burn| burn.window == long)).and_then(|burn| burn.rate);
        let percentiles = match self.objective.kind {
            Kind::Latency { .. } => percentiles(sketches, window),
            Kind::Availability { .. }
            | Kind::Quality { .. }
            | Kind::ModelFreshness { .. }
            | Kind::ReviewAge { .. }
            | Kind::FeatureFreshness { .. }
            | Kind::Safety { .. }
            | Kind::External { .. } => Vec::new(),
        };
        Answer {
            objective: self.objective.name.clone(),
            window,
            counted_from: self.series.edge(window),
            counts,
            sli: counts.bad_share().map(|share| 1.0 - share),
            budget,
            forecast: forecast(counts, allowed, lately, &self.objective.window, now),
            burn: burns,
            alerts: self.firing.clone(),
            signal: self.signal,
            first_bad: self.first_bad(cut, now),
            claim: self.claim(counts),
            pending,
            bounds: bounds(counts, pending, allowed),
            percentiles,
        }
    }

    fn pending(&self, now: Time) -> usize {
        let delay = match self.objective.kind {
            Kind::Quality { label_delay, .. } => Some(label_delay),
            Kind::Availability { .. }
            | Kind::Latency { .. }
            | Kind::ModelFreshness { .. }
            | Kind::ReviewAge { .. }
            | Kind::FeatureFreshness { .. }
            | Kind::Safety { .. }
            | Kind::External { .. } => None,
        };
        self.slices.as_ref().map_or(0, |slices| slices.pending(delay, now))
    }

    fn claim(&self, counts: Counts) -> Option<Claim> {
        let (evidence, _) = self.evidence.as_ref()?;
        Some(Claim {
            point: counts.bad_share(),
            at_most: binomial::upper(counts.bad, counts.total(), CONFIDENCE),
            evidence: evidence.value(),
            alarms: evidence.alarms(SAFETY_ALPHA),
        })
    }

    pub(super) fn memory(&self) -> Memory {
        let evidence = self.evidence.as_ref().map(|(evidence, since)| {
            let (logs, seen, peak) = evidence.memory();
            (logs, seen.good, seen.bad, peak, since.as_nanos())
        });
        let finite = self.trickle.iter().all(|log| log.is_finite());
        Memory {
            named: self.named.iter().map(|bad| (bad.event.clone(), bad.at.as_nanos())).collect(),
            evidence,
            trickle: finite.then(|| self.trickle.clone()),
            status: Some(self.status.name().to_owned()),
            aged: self.aged.map(Time::as_nanos),
            sliced: self.slices.as_ref().and_then(Slices::next).map(Time::as_nanos),
            measured: self.measured(),
        }
    }

    /// What slices of a metric count as: nothing that rests says it, while one slice may be measured again and again.
    fn measured(&self) -> Vec<(u64, u64, u64)> {
        let slices = self.slices.iter().filter(|_| matches!(self.objective.kind, Kind::Quality { .. }));
        slices.flat_map(Slices::measured).map(|(at, counts)| (at.as_nanos(), counts.good, counts.bad)).collect()
    }

    /// Slices that count otherwise since this was last asked.
    pub(super) fn take_changes(&mut self) -> impl Iterator<Item = Change> {
        std::mem::take(&mut self.changes).into_values()
    }

    /// Puts events of slices back.
    pub(super) fn refill(&mut self, grain: Duration, start: Time, counts: Counts) {
        if let Some(slices) = &mut self.slices {
            slices.refill(grain, start, counts);
        }
    }

    /// Slices go on from what was put back.
    pub(super) fn resume(&mut self) {
        let Some(slices) = &mut self.slices else { return };
        let (series, width) = (&self.series, slices.width());
        let changes = match self.objective.kind {
            Kind::Quality { .. } => Vec::new(),
            Kind::Availability { .. }
            | Kind::Latency { .. }
            | Kind::ModelFreshness { .. }
            | Kind::ReviewAge { .. }
            | Kind::FeatureFreshness { .. }
            | Kind::Safety { .. }
            | Kind::External { .. } => slices.resume(self.sliced.take(), |at| series.at(at, width)),
        };
        for change in changes {
            self.apply(Some(change));
        }
    }

    pub(super) fn restore(&mut self, memory: Memory) {
        let named = memory.named.into_iter().take(NAMED_MAX);
        self.named = named.map(|(event, at)| FirstBad { event, at: Time::from_nanos(at) }).collect();
        if let (Some((evidence, since)), Some((logs, good, bad, peak, began))) = (&mut self.evidence, memory.evidence) {
            let Kind::Safety { max_rate } = self.objective.kind else { return };
            *evidence = Evidence::restore(max_rate, (logs, Counts { good, bad }, peak));
            *since = Time::from_nanos(began);
        }
        if let Some(trickle) = memory.trickle.filter(|logs| logs.len() == TRICKLE_TIMES.len()) {
            self.trickle = trickle;
        }
        self.status = memory.status.and_then(|name| Status::of_name(&name)).unwrap_or(Status::NoData);
        self.aged = memory.aged.map(Time::from_nanos);
        for (at, good, bad) in memory.measured {
            if let Some(slices) = &mut self.slices {
                slices.remember(Time::from_nanos(at), Counts { good, bad });
            }
        }
        self.sliced = memory.sliced.map(Time::from_nanos);
    }
}

/// What is left if all pending slices are bad, and if all are good.
fn bounds(counts: Counts, pending: usize, allowed: f64) -> Option<Interval> {
    let more = pending as u64;
    let left =
        |good: u64, bad: u64| Budget::of(Counts { good: counts.good + good, bad: counts.bad + bad }, allowed).remaining;
    (more > 0).then(|| Interval { low: left(0, more), high: left(more, 0) })
}

fn percentiles<'a>(sketches: impl Iterator<Item = &'a Sketches>, window: Stretch) -> Vec<Percentile> {
    let mut whole = LogHistogram::new();
    sketches.for_each(|sketch| sketch.merge_into(&mut whole, window));
    PERCENTILES.iter().filter_map(|q| Some(Percentile { q: *q, value: whole.quantile(*q)? })).collect()
}
