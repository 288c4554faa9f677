//! What is around a service besides its backends and its users: feature stores, the day, deploys, people.

use std::time::Duration;

use crate::time::Time;

/// When drills begin in civil time, unless they say otherwise: a Monday at nine, 2026-03-02T09:00:00Z.
pub const STARTS: Time = Time::from_secs(1_772_442_000);
/// Most points of a day's curve.
pub const HOURS_MAX: usize = 96;
/// A day as that of many services for people: multiples of the mean by hour, from midnight.
pub const HOURS: [f64; 24] = [
    0.5, 0.4, 0.35, 0.3, 0.3, 0.4, 0.6, 0.9, 1.2, 1.35, 1.4, 1.4, 1.35, 1.3, 1.35, 1.35, 1.3, 1.3, 1.4, 1.5, 1.45, 1.2,
    0.9, 0.7,
];
/// Points at which a day is looked at for a mean.
const POINTS: u32 = 480;

/// What is around a service.
#[derive(Clone, PartialEq, Debug)]
pub struct Around {
    /// How the store of each feature set of the plan behaves; `None`: it is well, takes no time and has every value.
    pub stores: Vec<Option<Store>>,
    /// Whether objectives are counted, incidents opened and people paged.
    pub watched: bool,
    /// Who reacts to pages.
    pub people: Vec<Reaction>,
    /// For so long before the drill all requests were answered as was promised.
    pub before: Duration,
    /// The civil time at which it begins.
    pub starts: Time,
}

impl Default for Around {
    fn default() -> Around {
        Around { stores: Vec::new(), watched: false, people: Vec::new(), before: Duration::ZERO, starts: STARTS }
    }
}

/// A feature store, as far as one feature set sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Store {
    /// The mean time of a retrieval.
    pub mean: Duration,
    /// Sigma of the log-normal law of that time; 0: constant.
    pub spread: f64,
    /// How many entities requests are about, each as likely as the others.
    pub entities: u32,
    /// Of which share of them the store knows nothing.
    pub gaps: f64,
    /// How old its values are.
    pub age: Duration,
}

/// A log-normal law of times.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Law {
    /// Half of all are no longer.
    pub median: Duration,
    /// Sigma of the logarithm; 0: all are the median.
    pub spread: f64,
}

/// How somebody reacts to pages.
#[derive(Clone, PartialEq, Debug)]
pub struct Reaction {
    /// A person of the plan, or a channel and whoever reads it.
    pub name: String,
    /// How long they take to say that they have it.
    pub acknowledges: Law,
    /// How long they then take to carry out what the runbook says; `None`: they do not.
    pub mitigates: Option<Law>,
    /// The share of pages that they do not notice.
    pub misses: f64,
}

/// How the load goes up and down through a day, again and again.
#[derive(Clone, PartialEq, Debug)]
pub struct Day {
    /// How long a day is in the drill.
    pub lasts: Duration,
    /// Multiples of the users' rate at equal distances from midnight; straight lines between them.
    pub hours: Vec<f64>,
}

/// A new version comes to a backend's parts, one after the other.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Deploy {
    /// How long a part is gone.
    pub restart: Duration,
    /// How long it is cold when it is back; the next one goes then.
    pub cold: Duration,
    /// How many times as long requests take while it is cold.
    pub slow: f64,
    /// Whether it ends what it works on before it goes; otherwise that breaks off.
    pub drains: bool,
    /// How the new version is; `None`: the parts are as they were.
    pub version: Option<Version>,
}

/// How a version of a model is, compared with the one that the world describes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Version {
    /// It takes so many times as long.
    pub slow: f64,
    /// It fails this share of calls.
    pub fail: f64,
}

impl Default for Version {
    fn default() -> Version {
        Version { slow: 1.0, fail: 0.0 }
    }
}

impl Version {
    /// The share of a well version's capacity that it has.
    pub fn share(&self) -> f64 {
        (1.0 - self.fail) / self.slow
    }
}

impl Store {
    /// The median of its time, in seconds.
    pub fn median_s(&self) -> f64 {
        self.mean.as_secs_f64() * (-self.spread * self.spread / 2.0).exp()
    }
}

impl Law {
    /// The time of which a standard normal number is `z`.
    pub fn at(&self, z: f64) -> Duration {
        Duration::from_secs_f64((self.median.as_secs_f64() * (self.spread * z).exp()).min(1e9))
    }
}

impl Day {
    /// The multiple of the users' rate so long after the drill's start, which is midnight.
    pub fn at(&self, since: Duration) -> f64 {
        let points = self.hours.len();
        let turn = (since.as_secs_f64() / self.lasts.as_secs_f64()).fract() * points as f64;
        let before = (turn as usize).min(points - 1);
        let (low, high) = (self.hours[before], self.hours[(before + 1) % points]);
        low + (high - low) * (turn - before as f64)
    }

    /// The greatest multiple.
    pub fn most(&self) -> f64 {
        self.hours.iter().copied().fold(0.0, f64::max)
    }

    /// The mean multiple between two moments of the drill, at 480 points.
    pub fn mean(&self, from: Duration, to: Duration) -> f64 {
        let step = to.saturating_sub(from) / POINTS;
        (0..POINTS).map(|point| self.at(from + step * point + step / 2)).sum::<f64>() / f64::from(POINTS)
    }
}

impl Deploy {
    /// How long it takes with so many parts.
    pub fn lasts(&self, parts: u32) -> Duration {
        (self.restart + self.cold) * parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_goes_on_where_it_began() {
        let day = Day { lasts: Duration::from_secs(40), hours: vec![0.0, 1.0, 2.0, 1.0] };
        let at = |s: u64| day.at(Duration::from_secs(s));
        assert_eq!([at(0), at(5), at(10), at(20), at(35), at(40), at(50)], [0.0, 0.5, 1.0, 2.0, 0.5, 0.0, 1.0]);
        assert_eq!(day.most(), 2.0);
        assert!((day.mean(Duration::ZERO, Duration::from_secs(40)) - 1.0).abs() < 1e-6);
        assert!((day.mean(Duration::ZERO, Duration::from_secs(10)) - 0.5).abs() < 1e-6);
        let mean = HOURS.iter().sum::<f64>() / 24.0;
        assert!((mean - 1.0).abs() < 0.02, "multiples of the mean: {mean}");
    }
}
