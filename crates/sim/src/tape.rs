//! A recording that is played: who asked when, and how long calls took.

use std::time::Duration;

use mainstay_core::rng::Rng;
use mainstay_core::route::{Class, Level};

/// Of so many calls around a moment one is drawn.
const NEAR: usize = 64;

/// A request of a recording.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Taped {
    /// From the start.
    pub(crate) at: Duration,
    pub(crate) route: usize,
    pub(crate) class: Class,
    pub(crate) confidence: Option<f64>,
}

/// A call that was recorded.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Took {
    /// From the start.
    pub(crate) at: Duration,
    pub(crate) time: Duration,
    pub(crate) failed: bool,
}

/// The calls of a backend, in order of time.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Calls(pub(crate) Vec<Took>);

/// What is played.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Tape {
    /// In order of time.
    pub(crate) requests: Vec<Taped>,
    /// By backend.
    pub(crate) calls: Vec<Calls>,
}

/// How a played request ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Done {
    pub(crate) route: usize,
    pub(crate) class: Class,
    pub(crate) confidence: Option<f64>,
    /// The level that answered.
    pub(crate) level: Option<Level>,
    /// The backend that answered.
    pub(crate) backend: Option<usize>,
    pub(crate) shed: bool,
    pub(crate) duration: Duration,
    /// The call that answered.
    pub(crate) inference: Option<Duration>,
}

impl Calls {
    /// A call as they were around that moment; `None`: there is none.
    pub(crate) fn draw(&self, at: Duration, rng: &mut Rng) -> Option<Took> {
        let middle = self.0.partition_point(|took| took.at < at);
        let from = middle.saturating_sub(NEAR / 2).min(self.0.len().saturating_sub(NEAR));
        let near = &self.0[from..self.0.len().min(from + NEAR)];
        (!near.is_empty()).then(|| near[rng.below(near.len() as u64) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_drawn_from_around_their_moment() {
        let took = |n: u64| Took { at: Duration::from_secs(n), time: Duration::from_millis(n), failed: false };
        let calls = Calls((0..1_000).map(took).collect());
        let mut rng = Rng::new(1);
        for (at, within) in [(0, 0..64), (500, 468..532), (5_000, 936..1_000)] {
            let drawn = |rng: &mut Rng| calls.draw(Duration::from_secs(at), rng).map(|it| it.time.as_millis());
            assert!((0..100).all(|_| drawn(&mut rng).is_some_and(|it| within.contains(&it))), "{at}");
        }
        assert_eq!(Calls::default().draw(Duration::ZERO, &mut rng), None);
    }
}
