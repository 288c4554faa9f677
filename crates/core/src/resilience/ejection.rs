//! Which endpoint of a backend is called: the less busy of two, leaving out those that fail.
//!
//! Invariants: no more than half of the endpoints are ejected, counted after the ejection; the last one never is; an
//! endpoint that returns takes part slowly, until it has answered well.

use crate::resilience::outcome::Outcome;
use crate::resilience::ramp;
use crate::rng::Rng;
use crate::time::Time;
use std::time::Duration;

/// When an endpoint is left out, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Hard failures in a row. Default 5.
    pub consecutive: u32,
    /// The first time out; it doubles with each further one. Default 10 s.
    pub base: Duration,
    /// The longest time out. Default 300 s.
    pub max: Duration,
    /// An endpoint that returns has its share grow from a tenth to the whole over this time. Default 10 s.
    pub slow_start: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            consecutive: 5,
            base: Duration::from_secs(10),
            max: Duration::from_mins(5),
            slow_start: Duration::from_secs(10),
        }
    }
}

/// What happened to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is left out until then.
    Ejected {
        /// Which one.
        endpoint: usize,
        /// Until when.
        until: Time,
    },
    /// It takes part again.
    Returned {
        /// Which one.
        endpoint: usize,
    },
}

/// The endpoints of one backend, by index.
///
/// ```
/// use mainstay_core::resilience::ejection::{Config, Endpoints};
/// use mainstay_core::resilience::outcome::{FailureKind, Outcome};
/// use mainstay_core::rng::Rng;
/// use mainstay_core::time::Time;
///
/// let (now, mut rng) = (Time::from_secs(100), Rng::new(7));
/// let mut endpoints = Endpoints::new(Config::default(), 2);
/// while !endpoints.is_ejected(0) {
///     let endpoint = endpoints.handle_pick(&mut rng, now);
///     let broken = endpoint == 0;
///     let outcome = if broken { Outcome::failure(FailureKind::Transport) } else { Outcome::Success };
///     endpoints.handle_outcome(endpoint, outcome, now);
/// }
/// assert_eq!(endpoints.handle_pick(&mut rng, now), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Endpoints {
    config: Config,
    states: Vec<Endpoint>,
    /// At most two per endpoint wait to be polled.
    effects: std::collections::VecDeque<Effect>,
}

#[derive(Clone, Debug, Default)]
struct Endpoint {
    in_flight: u32,
    failures: u32,
    /// How often it was ejected of late.
    ejections: u32,
    ejected_until: Option<Time>,
    returned_at: Option<Time>,
}

impl Endpoints {
    /// `count` endpoints that are well; at least one.
    pub fn new(config: Config, count: usize) -> Endpoints {
        let states = vec![Endpoint::default(); count.max(1)];
        Endpoints { config, states, effects: std::collections::VecDeque::new() }
    }

    /// Chooses an endpoint for a call: of two drawn at random, the one with fewer calls under way.
    pub fn handle_pick(&mut self, rng: &mut Rng, now: Time) -> usize {
        self.handle_pick_but(None, rng, now)
    }

    /// As [`Endpoints::handle_pick`], but another one than `avoid` if there is one: for retries and hedges.
    pub fn handle_pick_but(&mut self, avoid: Option<usize>, rng: &mut Rng, now: Time) -> usize {
        self.handle_timeout(now);
        let well = |other: usize| self.states[other].ejected_until.is_none();
        let count = (0..self.states.len()).filter(|&i| well(i) && Some(i) != avoid).count();
        let chosen = if count == 0 { avoid.unwrap_or(0) } else { self.less_busy(avoid, count, rng, now) };
        self.states[chosen].in_flight += 1;
        chosen
    }

    /// A call to that endpoint has ended.
    pub fn handle_outcome(&mut self, endpoint: usize, outcome: Outcome, now: Time) {
        self.handle_timeout(now);
        let Some(seen) = self.states.get_mut(endpoint) else { return };
        seen.in_flight = seen.in_flight.saturating_sub(1);
        match outcome {
            Outcome::Success => {
                seen.failures = 0;
                if seen.returned_at.is_none() && seen.ejected_until.is_none() {
                    seen.ejections = 0;
                }
            }
            Outcome::Failure { .. } => {
                seen.failures = seen.failures.saturating_add(1);
                if seen.failures >= self.config.consecutive && seen.ejected_until.is_none() {
                    self.eject(endpoint, now);
                }
            }
            // The endpoint is well, or nothing is known of it.
            Outcome::Throttled { .. } | Outcome::Caller { .. } | Outcome::Cancelled => {}
        }
    }

    /// Lets endpoints return whose time is over.
    pub fn handle_timeout(&mut self, now: Time) {
        for (endpoint, state) in self.states.iter_mut().enumerate() {
            if state.ejected_until.is_some_and(|until| until <= now) {
                state.ejected_until = None;
                state.failures = 0;
                state.returned_at = Some(now);
                push(&mut self.effects, Effect::Returned { endpoint });
            }
            if state.returned_at.is_some_and(|at| now.since(at) >= self.config.slow_start) {
                state.returned_at = None;
            }
        }
    }

    /// When [`Endpoints::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.states.iter().filter_map(|endpoint| endpoint.ejected_until).min()
    }

    /// What the world should know, oldest first.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether the endpoint is left out.
    pub fn is_ejected(&self, endpoint: usize) -> bool {
        self.states.get(endpoint).is_some_and(|state| state.ejected_until.is_some())
    }

    /// Calls under way at the endpoint.
    pub fn in_flight(&self, endpoint: usize) -> u32 {
        self.states.get(endpoint).map_or(0, |state| state.in_flight)
    }

    fn less_busy(&self, avoid: Option<usize>, count: usize, rng: &mut Rng, now: Time) -> usize {
        let (one, other) = (self.draw(avoid, count, rng), self.draw(avoid, count, rng));
        let load = |i: usize| (f64::from(self.states[i].in_flight) + 1.0) / self.share(i, now);
        // A lone call finds no endpoint busy; the shares alone would then always send it to the elder.
        let (one, other) = if load(other) < load(one) { (other, one) } else { (one, other) };
        if rng.unit() < self.share(one, now) { one } else { other }
    }

    /// One of the `count` endpoints that are well and not `avoid`.
    fn draw(&self, avoid: Option<usize>, count: usize, rng: &mut Rng) -> usize {
        let mut well = (0..self.states.len()).filter(|&i| self.states[i].ejected_until.is_none() && Some(i) != avoid);
        well.nth(rng.below(count as u64) as usize).unwrap_or(0)
    }

    /// The share of its fair load that an endpoint gets.
    fn share(&self, endpoint: usize, now: Time) -> f64 {
        self.states[endpoint].returned_at.map_or(1.0, |at| ramp::share(at, self.config.slow_start, now))
    }

    /// Checked with the endpoint already added: of three, one may go; of two, one; of one, none.
    fn eject(&mut self, endpoint: usize, now: Time) {
        let out = 1 + self.states.iter().filter(|state| state.ejected_until.is_some()).count();
        if out * 2 > self.states.len() {
            return;
        }
        let state = &mut self.states[endpoint];
        let length = self.config.base.saturating_mul(1 << state.ejections.min(16)).min(self.config.max);
        let until = now + length;
        state.ejections += 1;
        state.ejected_until = Some(until);
        state.returned_at = None;
        push(&mut self.effects, Effect::Ejected { endpoint, until });
    }
}

/// Keeps the newest effects when nobody polls.
fn push(effects: &mut std::collections::VecDeque<Effect>, effect: Effect) {
    const EFFECTS_MAX: usize = 64;
    if effects.len() == EFFECTS_MAX {
        effects.pop_front();
    }
    effects.push_back(effect);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resilience::outcome::FailureKind;

    const START: Time = Time::from_secs(1_000);
    const DOWN: Outcome = Outcome::failure(FailureKind::Transport);

    fn fail_all(endpoints: &mut Endpoints, count: usize, now: Time) {
        for endpoint in 0..count {
            for _ in 0..20 {
                endpoints.handle_outcome(endpoint, DOWN, now);
            }
        }
    }

    #[test]
    fn at_most_half_are_ejected_and_never_the_last() {
        for count in 1..9 {
            let mut endpoints = Endpoints::new(Config::default(), count);
            fail_all(&mut endpoints, count, START);
            assert_eq!((0..count).filter(|&i| endpoints.is_ejected(i)).count(), count / 2, "of {count}");
        }
    }

    #[test]
    fn time_out_doubles_to_its_bound_and_success_resets_it() {
        let (mut endpoints, mut now) = (Endpoints::new(Config::default(), 2), START);
        let mut lengths = Vec::new();
        for _ in 0..7 {
            for _ in 0..5 {
                endpoints.handle_outcome(0, DOWN, now);
            }
            let until = endpoints.poll_timeout().unwrap();
            lengths.push(until.since(now).as_secs());
            now = until;
            endpoints.handle_timeout(now);
        }
        assert_eq!(lengths, [10, 20, 40, 80, 160, 300, 300]);
        now = now + Duration::from_secs(10);
        endpoints.handle_outcome(0, Outcome::Success, now);
        for _ in 0..5 {
            endpoints.handle_outcome(0, DOWN, now);
        }
        assert_eq!(endpoints.poll_timeout(), Some(now + Duration::from_secs(10)));
    }

    #[test]
    fn load_is_even_and_returns_slowly() {
        let (mut rng, mut now) = (Rng::new(5), START);
        let mut endpoints = Endpoints::new(Config::default(), 4);
        let mut share_of_first = |endpoints: &mut Endpoints, now| {
            let picks = (0..4_000).filter(|_| {
                let chosen = endpoints.handle_pick(&mut rng, now);
                endpoints.handle_outcome(chosen, Outcome::Caller { status: 400 }, now);
                chosen == 0
            });
            picks.count() as f64 / 4_000.0
        };
        assert!((share_of_first(&mut endpoints, now) - 0.25).abs() < 0.03);
        for _ in 0..5 {
            endpoints.handle_outcome(0, DOWN, now);
        }
        assert_eq!(share_of_first(&mut endpoints, now), 0.0);
        now = now + Duration::from_secs(10);
        let early = share_of_first(&mut endpoints, now);
        assert!(early > 0.0 && early < 0.1, "{early}");
        assert!((share_of_first(&mut endpoints, now + Duration::from_secs(10)) - 0.25).abs() < 0.03);
    }

    #[test]
    fn the_busier_of_two_is_spared_and_a_retry_goes_elsewhere() {
        let (mut rng, mut endpoints) = (Rng::new(9), Endpoints::new(Config::default(), 8));
        for _ in 0..800 {
            endpoints.handle_pick(&mut rng, START);
        }
        let busiest = (0..8).map(|i| endpoints.in_flight(i)).max().unwrap();
        assert!(busiest <= 104, "{busiest} of 800 calls at one of eight");
        for _ in 0..100 {
            assert_ne!(endpoints.handle_pick_but(Some(3), &mut rng, START), 3);
        }
        let mut lonely = Endpoints::new(Config::default(), 1);
        assert_eq!(lonely.handle_pick_but(Some(0), &mut rng, START), 0);
    }
}
