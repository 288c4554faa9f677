//! More traffic: the route's own recent requests again, on top of the real ones.
//!
//! The loop is open: when a request is sent was decided by chance and by the real rate alone, and never waits for an answer to an
//! earlier one. What cannot be sent at its time is counted and not made up for, and how long a request takes is measured from the
//! time that it should have been sent. So a route that slows down gets no less to do, and looks no better than it is.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_core::chaos::experiment::Caps;
use mainstay_core::chaos::fault::Fault;
use mainstay_core::chaos::order::Order;
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

use super::mix::{Mix, Recorded};

/// Most requests that are sent in a second, of one run.
const RATE_MAX: f64 = 2_000.0;
/// Most requests that are under way, whatever the order's cap.
const RUNNING_MAX: u32 = 10_000;
/// How late a request may be sent. What was due before is counted as one that could not be sent.
const LATE_MAX: Duration = Duration::from_secs(1);
/// How often it is said that there is nothing to send, in a second.
const NOTHING_RATE: f64 = 1.0;

/// The traffic of one run: what there is to send, and how much of it is under way.
#[derive(Debug)]
pub(crate) struct Load {
    factor: f64,
    caps: Caps,
    mix: Mutex<Mix>,
    running: Arc<AtomicU32>,
    total: AtomicU64,
}

impl Load {
    /// The traffic of an order's run, where it asks for any; none is known yet.
    pub(crate) fn of(order: &Order, now: Time) -> Option<Load> {
        match order.fault {
            Fault::Overload(overload) => Some(Load::new(overload.factor, order.caps, now)),
            _ => None,
        }
    }

    fn new(factor: f64, caps: Caps, now: Time) -> Load {
        let (running, total) = (Arc::default(), AtomicU64::new(0));
        Load { factor, caps, mix: Mutex::new(Mix::new(now)), running, total }
    }

    /// A real request has come; `recorded` where it can be sent again.
    pub(crate) fn note(&self, recorded: Option<Recorded>, now: Time) {
        self.mix.lock().expect("recording does not panic").note(recorded, now);
    }

    /// A place among those that are under way; `None`: a cap was reached.
    fn place(&self) -> Option<Place> {
        let most = self.caps.concurrent.min(RUNNING_MAX);
        // Only one thread takes places; all give them back.
        let (running, total) = (self.running.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        if running >= most || total >= self.caps.total {
            return None;
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
        Some(Place(Arc::clone(&self.running)))
    }
}

/// A place among the requests that are under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicU32>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that is due.
#[derive(Debug)]
pub(crate) struct Due {
    /// Since when.
    pub(crate) at: Time,
    pub(crate) request: Arc<Recorded>,
    /// It is under way until this is dropped.
    pub(crate) place: Place,
}

/// What became due over some time.
#[derive(Debug, Default)]
pub(crate) struct Dues {
    pub(crate) due: Vec<Due>,
    /// How many more were due, and cannot be sent.
    pub(crate) missed: u64,
    /// How long until the next, if nothing else comes.
    pub(crate) next_in: Duration,
}

/// Decides what of a run's traffic is sent when.
#[derive(Debug)]
pub(crate) struct Generator {
    load: Arc<Load>,
    pace: Pace,
    rng: Rng,
}

impl Generator {
    /// Sends nothing that was due before `now`; `seed` decides the rest, with what comes.
    pub(crate) fn new(load: Arc<Load>, seed: u64, now: Time) -> Generator {
        let mut rng = Rng::new(seed.rotate_left(41));
        Generator { load, pace: Pace::new(now, &mut rng), rng }
    }

    /// Time has passed without the fault.
    pub(crate) fn rest(&mut self, now: Time) {
        self.pace.skip(now);
    }

    /// What has become due by now.
    pub(crate) fn due(&mut self, now: Time) -> Dues {
        let mix = self.load.mix.lock().expect("recording does not panic");
        let wanted = (self.load.factor - 1.0) * mix.rate(now);
        let rate = if mix.is_empty() { wanted.max(NOTHING_RATE) } else { wanted }.min(RATE_MAX);
        let passed = now.since(self.pace.at).as_secs_f64();
        // What the bound on the rate holds back was due as well, and what is too late by now: about so many.
        let beyond = (wanted - RATE_MAX).max(0.0) * passed + rate * (passed - LATE_MAX.as_secs_f64()).max(0.0);
        let mut dues = Dues { missed: beyond.round() as u64, ..Dues::default() };
        for at in self.pace.due(rate, now, &mut self.rng) {
            let request = mix.pick(self.rng.unit());
            match request.and_then(|request| Some((request, self.load.place()?))) {
                Some((request, place)) => dues.due.push(Due { at, request, place }),
                None => dues.missed += 1,
            }
        }
        dues.next_in = self.pace.next_in(rate);
        dues
    }
}

/// Arrivals at random (a Poisson process) at a rate that changes: what is drawn is how much has to be due in all before the next.
#[derive(Debug)]
struct Pace {
    /// How much is left until the next arrival, in arrivals.
    left: f64,
    at: Time,
}

impl Pace {
    fn new(now: Time, rng: &mut Rng) -> Pace {
        Pace { left: rng.exponential(1.0), at: now }
    }

    /// Goes on to `now` without arrivals.
    fn skip(&mut self, now: Time) {
        self.at = self.at.max(now);
    }

    /// The arrivals until `now`, those of the last [`LATE_MAX`] at most, at so many in a second.
    fn due(&mut self, rate: f64, now: Time, rng: &mut Rng) -> Vec<Time> {
        let from = self.at.max(now - LATE_MAX);
        let due = now.since(from).as_secs_f64() * rate;
        let (mut at, mut arrivals) = (self.left, Vec::new());
        while at <= due {
            arrivals.push(from + Duration::from_secs_f64(at / rate));
            at += rng.exponential(1.0);
        }
        self.left = at - due;
        self.at = self.at.max(now);
        arrivals
    }

    /// How long until the next arrival at this rate.
    fn next_in(&self, rate: f64) -> Duration {
        Duration::try_from_secs_f64(self.left / rate).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method, Uri};
    use mainstay_core::route::Class;
    use proptest::prelude::*;

    use super::*;
    use mainstay_core::rng::Rng;

    const CAPS: Caps = Caps { concurrent: 1_000_000, total: 1_000_000 };

    fn at(seconds: f64) -> Time {
        Time::from_secs(1_000) + Duration::from_secs_f64(seconds)
    }

    fn request(client: &str) -> Recorded {
        let (method, uri) = (Method::POST, Uri::from_static("/x"));
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Recorded { method, uri, headers, body, class: Class::WORST, client: client.to_owned(), trusted: false }
    }

    /// A load of a route that has got so many requests in a second, for twenty seconds.
    fn load(factor: f64, caps: Caps, rate: u32) -> Arc<Load> {
        let load = Load::new(factor, caps, at(0.0));
        for n in 0..rate * 20 {
            load.note(Some(request("a")), at(f64::from(n) / f64::from(rate)));
        }
        Arc::new(load)
    }

    proptest! {
        #[test]
        fn arrivals_do_not_depend_on_when_it_is_looked(
            seed: u64,
            mut looks in prop::collection::vec(0.0..10.0f64, 1..200),
        ) {
            looks.sort_by(f64::total_cmp);
            looks.push(10.0);
            // No look is so late that something is left out.
            let looks: Vec<f64> = (0..20).map(|n| f64::from(n) / 2.0).chain(looks).collect();
            let mut sorted = looks;
            sorted.sort_by(f64::total_cmp);
            let arrivals = |looks: &[f64]| {
                let mut rng = Rng::new(seed);
                let mut pace = Pace::new(at(0.0), &mut rng);
                looks.iter().flat_map(|look| pace.due(20.0, at(*look), &mut rng)).collect::<Vec<_>>()
            };
            let even: Vec<f64> = (1..=100).map(|n| f64::from(n) / 10.0).collect();
            let (one, other) = (arrivals(&sorted), arrivals(&even));
            prop_assert_eq!(one.len(), other.len());
            let close = |(one, other): (&Time, &Time)| one.since(*other).max(other.since(*one)) < Duration::from_micros(1);
            prop_assert!(one.iter().zip(&other).all(close));
        }
    }

    #[test]
    fn arrivals_come_at_random_at_the_rate() {
        let mut rng = Rng::new(3);
        let mut pace = Pace::new(at(0.0), &mut rng);
        let arrivals: Vec<Time> =
            (1..=100_000).flat_map(|n| pace.due(50.0, at(f64::from(n) / 100.0), &mut rng)).collect();
        assert!((arrivals.len() as f64 - 50_000.0).abs() < 4.0 * 50_000_f64.sqrt(), "{}", arrivals.len());
        // Gaps of a Poisson process: the mean's square is the variance.
        let gaps: Vec<f64> = arrivals.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64() * 50.0).collect();
        let variance = gaps.iter().map(|gap| (gap - 1.0).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance - 1.0).abs() < 0.1, "{variance}");
    }

    #[test]
    fn the_load_is_the_real_rate_times_what_is_missing() {
        for factor in [1.5, 3.0] {
            let mut generator = Generator::new(load(factor, CAPS, 100), 1, at(20.0));
            let (mut sent, mut now) = (0, 20.0);
            for n in 1..=1000 {
                now = 20.0 + f64::from(n) / 100.0;
                generator.load.note(Some(request("a")), at(now));
                let dues = generator.due(at(now));
                assert_eq!(dues.missed, 0);
                sent += dues.due.len();
            }
            let wanted = (factor - 1.0) * 100.0 * (now - 20.0);
            assert!((sent as f64 - wanted).abs() < 5.0 * wanted.sqrt(), "{sent} of {wanted}");
        }
    }

    #[test]
    fn answers_that_do_not_come_hold_nothing_back_up_to_the_caps() {
        let caps = Caps { concurrent: 30, total: 50 };
        let mut generator = Generator::new(load(3.0, caps, 100), 1, at(20.0));
        // None of them is answered: thirty are under way, and the rest is counted.
        let held = generator.due(at(21.0));
        assert!(held.due.len() == 30 && (100..250).contains(&held.missed), "{}", held.missed);
        drop(held);
        assert_eq!(generator.load.running.load(Ordering::Relaxed), 0);
        assert_eq!(generator.due(at(22.0)).due.len(), 20, "fifty in all");
        assert_eq!(generator.due(at(23.0)).due.len(), 0);
    }

    #[test]
    fn what_is_too_late_is_counted_and_not_made_up_for() {
        let mut generator = Generator::new(load(3.0, CAPS, 100), 1, at(20.0));
        let dues = generator.due(at(25.0));
        assert!(dues.due.iter().all(|due| at(25.0).since(due.at) <= LATE_MAX));
        // The rate of the last ten seconds was 50 by then; twice of that for four seconds is too late.
        assert!((60..140).contains(&dues.due.len()) && (380..=420).contains(&dues.missed), "{}", dues.missed);
    }

    #[test]
    fn the_rate_has_a_bound() {
        let mut generator = Generator::new(load(100.0, CAPS, 1_000), 1, at(20.0));
        let dues = generator.due(at(20.1));
        assert!((120..290).contains(&dues.due.len()), "{}", dues.due.len());
        assert!(dues.missed > 9_000, "{}", dues.missed);
    }

    #[test]
    fn without_a_mix_it_says_so() {
        let mut generator = Generator::new(Arc::new(Load::new(3.0, CAPS, at(0.0))), 1, at(0.0));
        let dues: Vec<Dues> = (1..=600).map(|n| generator.due(at(f64::from(n) / 10.0))).collect();
        assert!(dues.iter().all(|dues| dues.due.is_empty()));
        let missed: u64 = dues.iter().map(|dues| dues.missed).sum();
        assert!((30..100).contains(&missed), "{missed}");
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut generator = Generator::new(load(3.0, CAPS, 100), 1, at(20.0));
        generator.rest(at(24.0));
        let dues = generator.due(at(24.1));
        assert!(dues.due.len() < 40 && dues.missed == 0, "{}", dues.due.len());
    }
}
