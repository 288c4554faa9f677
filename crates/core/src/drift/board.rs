//! The monitors of one route: their windows end together, so that what is asked of them all is corrected together.
//!
//! ```text
//! handle(values, about, now) ──> windows, alarms ──window full or old──> verdicts ──> poll_effect: verdict changed, alarm, learned
//! ```
//!
//! False alarms share one budget: half of it is spent by verdicts about windows, half by alarms that look at every value. A window that
//! took `t` may be wrong with a chance of `t` out of twice [`Settings::false_alarm_every`], over all names and methods together (Benjamini
//! and Hochberg 1995: where nothing drifts that is the chance of any alarm). Evidence of all detectors is averaged, which keeps its bound
//! however they hang together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::alarm::{self, Alarms};
use super::reference::{Builder, Reference, Values, hour_of_week};
use super::verdict::{LEAST_VALUES, Method, Status};
use super::window::{About, Outcome, Places, Window};
use crate::observed::Value;
use crate::rng::Rng;
use crate::stats::multiple::{Correction, correct};
use crate::stats::sequential::Evidence;
use crate::time::Time;

/// Windows without drift after which an alarm is taken back.
const QUIET_WINDOWS: u32 = 2;
/// Most effects that wait; the oldest gives way.
const EFFECTS_MAX: usize = 10_000;

/// How monitors of a route judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// A window ends with so many requests.
    pub window_values: u64,
    /// Or when it is so old.
    pub window_time: Duration,
    /// All alarms of the route together are false no more often than this, on average.
    pub false_alarm_every: Duration,
    /// Most requests in a second, on average: what the alarms' budget is counted in.
    pub rate: f64,
}

/// What a monitored name is compared with.
#[derive(Clone, Debug)]
pub enum Compared {
    /// A reference.
    With(Arc<Reference>),
    /// Nothing yet: one is learned from so many values.
    Learning(Builder, u64),
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A verdict is another.
    StatusChanged {
        /// When.
        at: Time,
        /// The name.
        name: String,
        /// The verdict until then.
        from: Status,
        /// The verdict from then on.
        to: Status,
        /// The method that found most, and its figure.
        most: Option<(&'static str, f64)>,
    },
    /// An alarm was raised.
    Alarm {
        /// When.
        at: Time,
        /// The name whose evidence is strongest.
        name: String,
        /// The detector.
        detector: &'static str,
        /// Requests between two false ones, at least, on average.
        run_length: f64,
    },
    /// A reference was learned.
    Learned(Arc<Reference>),
}

/// A monitored name.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// Its name.
    pub name: String,
    compared: Compared,
    seed: u64,
    live: Option<Live>,
}

/// What a monitor holds once it has a reference.
#[derive(Clone, Debug)]
struct Live {
    reference: Arc<Reference>,
    places: Places,
    window: Window,
    last: Option<(Window, Outcome)>,
    status: Status,
    alarms: Alarms,
    alarm: Option<(&'static str, Time)>,
    quiet: u32,
}

impl Monitor {
    /// A monitor of a name.
    pub fn new(name: &str, compared: Compared, seed: u64) -> Monitor {
        Monitor { name: name.to_owned(), compared, seed, live: None }
    }

    /// What it is compared with, where that is known.
    pub fn reference(&self) -> Option<&Arc<Reference>> {
        self.live.as_ref().map(|live| &live.reference)
    }

    /// Values that a reference was learned from so far, and how many it takes.
    pub fn learning(&self) -> Option<(u64, u64)> {
        match &self.compared {
            Compared::Learning(builder, of) if self.live.is_none() => Some((builder.count(), *of)),
            Compared::Learning(..) | Compared::With(_) => None,
        }
    }

    /// The verdict about the last window.
    pub fn status(&self) -> Status {
        self.live.as_ref().map_or(Status::NoData, |live| live.status)
    }

    /// The detector that raised an alarm that holds, and when.
    pub fn alarm(&self) -> Option<(&'static str, Time)> {
        self.live.as_ref().and_then(|live| live.alarm)
    }

    /// The last window that ended, and what it came to.
    pub fn last(&self) -> Option<(&Window, &Outcome)> {
        self.live.as_ref()?.last.as_ref().map(|(window, outcome)| (window, outcome))
    }

    /// The window that is open.
    pub fn window(&self) -> Option<&Window> {
        self.live.as_ref().map(|live| &live.window)
    }

    /// Evidence of each detector.
    pub fn evidence(&self) -> Vec<(&'static str, Evidence)> {
        self.live.as_ref().map_or_else(Vec::new, |live| live.alarms.evidence().collect())
    }
}

/// The monitors of one route.
#[derive(Clone, Debug)]
pub struct Board {
    settings: Settings,
    monitors: Vec<Monitor>,
    /// When the open window began, and how many requests it saw.
    began: Option<Time>,
    seen: u64,
    /// All evidence together, and how many detectors there are.
    evidence: (f64, u32),
    effects: VecDeque<Effect>,
    rng: Rng,
    latest: Time,
}

impl Board {
    /// A board of monitors.
    pub fn new(settings: Settings, monitors: Vec<Monitor>, seed: u64) -> Board {
        let mut board = Board {
            settings,
            monitors,
            began: None,
            seen: 0,
            evidence: (0.0, 0),
            effects: VecDeque::new(),
            rng: Rng::new(seed),
            latest: Time::ZERO,
        };
        for at in 0..board.monitors.len() {
            if let Compared::With(reference) = &board.monitors[at].compared {
                let reference = Arc::clone(reference);
                board.begin(at, reference);
            }
        }
        board.add_up();
        board
    }

    /// Its monitors.
    pub fn monitors(&self) -> &[Monitor] {
        &self.monitors
    }

    /// Compares a name with another reference from now on; its window and evidence begin anew, and an alarm is taken back.
    pub fn set_reference(&mut self, name: &str, reference: Arc<Reference>) -> bool {
        let Some(at) = self.monitors.iter().position(|monitor| monitor.name == name) else { return false };
        self.begin(at, reference);
        self.add_up();
        true
    }

    /// Learns a name's reference anew: what its values are like has another cause from now on.
    pub fn learn_anew(&mut self, name: &str, builder: Builder, of: u64) -> bool {
        let Some(monitor) = self.monitors.iter_mut().find(|monitor| monitor.name == name) else { return false };
        monitor.compared = Compared::Learning(builder, of);
        monitor.live = None;
        self.add_up();
        true
    }

    /// Values of a request: each with the place of its monitor.
    pub fn handle(&mut self, values: &[(usize, &Value)], about: &About<'_>, now: Time) {
        let now = self.advance(now);
        self.began.get_or_insert(now);
        self.seen += 1;
        for &(at, value) in values {
            let Some(monitor) = self.monitors.get_mut(at) else { continue };
            match &mut monitor.live {
                Some(live) => {
                    let before = live.evidence();
                    live.handle(value, about, &mut self.rng);
                    self.evidence.0 += live.evidence() - before;
                }
                None => {
                    if let Compared::Learning(builder, of) = &mut monitor.compared {
                        builder.push(value, about.at);
                        if builder.count() >= *of {
                            self.learn(at);
                        }
                    }
                }
            }
        }
        self.look(now);
        if self.seen >= self.settings.window_values {
            self.judge(now);
        }
    }

    /// When the open window began.
    pub fn began(&self) -> Option<Time> {
        self.began
    }

    /// When [`Board::handle_timeout`] is due; `None`: nothing waits.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.began.map(|began| began + self.settings.window_time)
    }

    /// Ends the window where it is old enough.
    pub fn handle_timeout(&mut self, now: Time) {
        let now = self.advance(now);
        if self.poll_timeout().is_some_and(|due| now >= due) {
            self.judge(now);
        }
    }

    /// The next thing that somebody should hear of.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Puts a window back that was open when the last process ended; false where its bins are others.
    pub fn restore(&mut self, name: &str, window: Window, status: Status, began: Option<Time>) -> bool {
        let live = self.monitors.iter_mut().find(|monitor| monitor.name == name).and_then(|m| m.live.as_mut());
        let Some(live) = live.filter(|live| window.fits(&live.reference, &live.places)) else { return false };
        self.seen = self.seen.max(window.total());
        self.began = [self.began, began.or(window.from)].into_iter().flatten().min();
        live.window = window;
        live.status = status;
        true
    }

    /// The chance of any false verdict about a window that took so long.
    pub fn alpha(&self, took: Duration) -> f64 {
        (took.as_secs_f64() / (2.0 * self.settings.false_alarm_every.as_secs_f64())).clamp(1e-12, 0.05)
    }

    /// Requests between two false alarms, at least, on average.
    fn run_length(&self) -> f64 {
        (2.0 * self.settings.rate * self.settings.false_alarm_every.as_secs_f64()).max(1.0)
    }

    fn begin(&mut self, at: usize, reference: Arc<Reference>) {
        let alarms = Alarms::new(&reference, self.run_length());
        let places = Places::new(&reference);
        let window = Window::new(&reference, &places);
        let (status, last) = (Status::NoData, None);
        self.monitors[at].live = Some(Live { reference, places, window, last, status, alarms, alarm: None, quiet: 0 });
    }

    fn add_up(&mut self) {
        let live = || self.monitors.iter().filter_map(|monitor| monitor.live.as_ref());
        let detectors = live().map(|live| live.alarms.evidence().count() as u32).sum();
        self.evidence = (live().map(Live::evidence).sum(), detectors);
    }

    fn learn(&mut self, at: usize) {
        let monitor = &mut self.monitors[at];
        let anew = Builder::numbers(false, monitor.seed);
        let Compared::Learning(builder, _) = std::mem::replace(&mut monitor.compared, Compared::Learning(anew, 0))
        else {
            return;
        };
        if let Some(reference) = builder.finish(&monitor.name, None, None) {
            let reference = Arc::new(reference);
            self.begin(at, Arc::clone(&reference));
            self.add_up();
            self.emit(Effect::Learned(reference));
        }
    }

    /// Looks at the evidence of all detectors.
    fn look(&mut self, now: Time) {
        let bound = self.run_length();
        let enough = |(sum, detectors): (f64, u32)| detectors > 0 && sum >= bound * f64::from(detectors);
        if !enough(self.evidence) {
            return;
        }
        // The running sum is rounded at each step: what counts is the sum itself.
        self.add_up();
        if !enough(self.evidence) {
            return;
        }
        let named = self.monitors.iter().enumerate().filter_map(|(at, monitor)| {
            let evidence = monitor.live.as_ref()?.alarms.evidence();
            let (detector, most) = evidence.max_by(|a, b| a.1.value.total_cmp(&b.1.value))?;
            Some((at, detector, most.value))
        });
        let Some((at, detector, _)) = named.max_by(|a, b| a.2.total_cmp(&b.2)) else { return };
        for live in self.monitors.iter_mut().filter_map(|monitor| monitor.live.as_mut()) {
            live.alarms.restart();
        }
        self.add_up();
        let monitor = &mut self.monitors[at];
        let is_news = monitor.live.as_mut().is_some_and(|live| {
            live.quiet = 0;
            live.alarm.replace((detector, now)).is_none()
        });
        if is_news {
            let name = monitor.name.clone();
            self.emit(Effect::Alarm { at: now, name, detector, run_length: bound });
        }
    }

    fn judge(&mut self, now: Time) {
        let took = self.began.map_or(Duration::ZERO, |began| now.since(began));
        let alpha = self.alpha(took);
        (self.began, self.seen) = (None, 0);
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(self.monitors.len());
        for monitor in &self.monitors {
            outcomes.push(monitor.live.as_ref().map(|live| live.window.outcome(&live.reference, &mut self.rng)));
        }
        let is_large = |outcome: &Outcome| outcome.count >= LEAST_VALUES;
        let asked = outcomes.iter().flatten().filter(|outcome| is_large(outcome));
        let p_values: Vec<f64> = asked.flat_map(Outcome::p_values).collect();
        let mut corrected = correct(&p_values, Correction::BenjaminiHochberg).into_iter();
        for (at, outcome) in outcomes.into_iter().enumerate() {
            let Some(mut outcome) = outcome else { continue };
            if is_large(&outcome) {
                outcome.judge(&mut corrected, alpha);
            }
            self.settle(at, outcome, now);
        }
    }

    /// Takes over what a window came to, and begins the next one.
    fn settle(&mut self, at: usize, outcome: Outcome, now: Time) {
        let monitor = &mut self.monitors[at];
        let Some(live) = &mut monitor.live else { return };
        let status = status(live.reference.count(), &outcome);
        let most = most(&outcome);
        let from = std::mem::replace(&mut live.status, status);
        let fresh = Window::new(&live.reference, &live.places);
        live.last = Some((std::mem::replace(&mut live.window, fresh), outcome));
        live.quiet = if status == Status::Ok { live.quiet + 1 } else { 0 };
        if live.quiet >= QUIET_WINDOWS {
            live.alarm = None;
        }
        if from != status {
            let name = monitor.name.clone();
            self.emit(Effect::StatusChanged { at: now, name, from, to: status, most });
        }
    }

    fn emit(&mut self, effect: Effect) {
        if self.effects.len() >= EFFECTS_MAX {
            self.effects.pop_front();
        }
        self.effects.push_back(effect);
    }

    fn advance(&mut self, now: Time) -> Time {
        self.latest = self.latest.max(now);
        self.latest
    }
}

impl Live {
    /// The evidence of all its detectors together.
    fn evidence(&self) -> f64 {
        self.alarms.evidence().map(|(_, evidence)| evidence.value).sum()
    }

    fn handle(&mut self, value: &Value, about: &About<'_>, rng: &mut Rng) {
        let (missing, outside) = (self.window.missing, self.window.outside);
        self.window.handle(value, about, (&self.reference, &self.places), rng);
        if self.window.missing > missing {
            self.alarms.missing();
            return;
        }
        let is_outside = self.window.outside > outside;
        match (value, &self.reference.values) {
            (Value::Number(number), Values::Number(numbers)) if !numbers.hours.is_empty() => {
                match alarm::place(numbers, hour_of_week(about.at), *number, rng) {
                    Some(place) => self.alarms.number(place, is_outside, rng),
                    None => self.alarms.there(is_outside),
                }
            }
            (Value::Number(number), _) => self.alarms.number(*number, is_outside, rng),
            _ => self.alarms.there(is_outside),
        }
    }
}

/// What is said of a window.
fn status(reference: u64, outcome: &Outcome) -> Status {
    let by_methods = Status::of(reference, outcome.count, &outcome.scores);
    let others = outcome.rates.iter().any(|rate| rate.drifted) || outcome.apart.is_some_and(|apart| apart.drifted);
    if by_methods == Status::Ok && others { Status::DriftDetected } else { by_methods }
}

/// The method that found most, in multiples of what matters.
fn most(outcome: &Outcome) -> Option<(&'static str, f64)> {
    let drifted = outcome.scores.iter().filter(|score| score.drifted);
    let strongest = drifted.max_by(|a, b| (a.effect / a.limit).total_cmp(&(b.effect / b.limit)));
    let by_rate = || outcome.rates.iter().find(|rate| rate.drifted).map(|rate| (rate.name, rate.current));
    let by_vectors = || outcome.apart.filter(|apart| apart.drifted).map(|apart| ("mmd2", apart.mmd2));
    let named = |method: Method| method.name();
    strongest.map(|score| (named(score.method), score.value)).or_else(by_rate).or_else(by_vectors)
}
