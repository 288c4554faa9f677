//! Users: how often they ask, as what class, and when they come back.

use std::time::Duration;

use mainstay_core::drill::{Day, Users};
use mainstay_core::rng::Rng;
use mainstay_core::route::Class;
use mainstay_core::time::Time;

use crate::world::START;

/// The first wait of a client that was told none.
const BACKOFF: Duration = Duration::from_millis(500);
/// The longest.
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// A group of users.
pub(crate) struct Group {
    pub(crate) route: usize,
    pub(crate) retries: u32,
    /// Counts changes of the rate: an arrival of an old one does not happen.
    pub(crate) turn: u32,
    per_second: f64,
    day: Option<Day>,
    /// Sums of the shares.
    up_to: [f64; Class::COUNT],
    rng: Rng,
}

impl Group {
    pub(crate) fn new(users: &Users, per_second: f64, rng: Rng) -> Group {
        let up_to = sums(&users.classes);
        Group { route: users.route, retries: users.retries, turn: 0, per_second, day: users.day.clone(), up_to, rng }
    }

    pub(crate) fn set_rate(&mut self, per_second: f64) {
        self.per_second = per_second;
        self.turn += 1;
    }

    pub(crate) fn set_classes(&mut self, classes: &[f64; Class::COUNT]) {
        self.up_to = sums(classes);
    }

    /// When somebody asks next; `None`: nobody does.
    pub(crate) fn next(&mut self, now: Time) -> Option<Time> {
        if self.day.is_some() {
            return self.next_of_day(now);
        }
        (self.per_second > 0.0).then(|| now + self.wait(self.per_second))
    }

    /// The same where the rate goes up and down: drawn at its highest, and left out as often as it is lower (Lewis and Shedler).
    fn next_of_day(&mut self, now: Time) -> Option<Time> {
        let most = self.day.as_ref().map_or(0.0, Day::most);
        if self.per_second * most <= 0.0 {
            return None;
        }
        let mut at = now;
        loop {
            at = at + self.wait(self.per_second * most);
            let share = self.day.as_ref().map_or(1.0, |day| day.at(at.since(START)) / most);
            if self.rng.unit() < share {
                return Some(at);
            }
        }
    }

    fn wait(&mut self, per_second: f64) -> Duration {
        Duration::from_nanos((self.rng.exponential(1.0 / per_second) * 1e9) as u64)
    }

    /// The class of the one who asks.
    pub(crate) fn class(&mut self) -> Class {
        let drawn = self.rng.unit();
        let index = self.up_to.iter().position(|up_to| drawn < *up_to).unwrap_or(Class::COUNT - 1);
        Class::new(index as u8).unwrap_or(Class::WORST)
    }

    /// When a client comes back that was turned away for the `nth` time: after what it was told, or by itself.
    pub(crate) fn comes_back(&mut self, nth: u32, told: Option<Duration>, now: Time) -> Time {
        let own = BACKOFF.saturating_mul(1 << nth.min(8)).min(BACKOFF_MAX).mul_f64(self.rng.between(0.75, 1.0));
        now + told.unwrap_or(own)
    }
}

fn sums(shares: &[f64; Class::COUNT]) -> [f64; Class::COUNT] {
    let mut sum = 0.0;
    std::array::from_fn(|class| {
        sum += shares[class];
        sum
    })
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use mainstay_core::drill::Rate;

    use super::*;

    #[test]
    fn a_day_has_the_load_of_its_hours() {
        let day = Day { lasts: Duration::from_secs(100), hours: vec![0.0, 2.0] };
        let users = Users {
            name: "all".to_owned(),
            route: 0,
            rate: Rate::PerSecond(1_000.0),
            classes: [0.0, 0.0, 0.0, 1.0],
            retries: 0,
            day: Some(day),
        };
        let mut group = Group::new(&users, 1_000.0, Rng::new(3));
        let mut at = START;
        let mut came = Vec::new();
        while at < START + Duration::from_secs(100) {
            at = group.next(at).expect("somebody asks");
            came.push(at.since(START).as_secs());
        }
        let within = |seconds: Range<u64>| came.iter().filter(|second| seconds.contains(second)).count() as f64;
        // Straight lines from 0 to 2,000 per second and back.
        for (seconds, expected) in [(0..10, 2_000.0), (45..55, 19_000.0), (90..100, 2_000.0), (0..100, 100_000.0)] {
            let came = within(seconds.clone());
            assert!((came / expected - 1.0).abs() < 0.1, "{seconds:?}: {came}, not {expected}");
        }
    }
}
