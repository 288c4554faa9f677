//! Users: how often they ask, as what class, and when they come back.

use std::time::Duration;

use mainstay_core::drill::Users;
use mainstay_core::rng::Rng;
use mainstay_core::route::Class;
use mainstay_core::time::Time;

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
    /// Sums of the shares.
    up_to: [f64; Class::COUNT],
    rng: Rng,
}

impl Group {
    pub(crate) fn new(users: &Users, per_second: f64, rng: Rng) -> Group {
        let up_to = sums(&users.classes);
        Group { route: users.route, retries: users.retries, turn: 0, per_second, up_to, rng }
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
        (self.per_second > 0.0)
            .then(|| now + Duration::from_nanos((self.rng.exponential(1.0 / self.per_second) * 1e9) as u64))
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
