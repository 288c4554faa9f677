//! Ratios that another system counts: each is asked for the stretch of time since it last answered.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::engine::Signal;
use mainstay_core::slo::objective::{Counted, Kind, Source};
use mainstay_core::slo::series::Counts;
use mainstay_core::time::Time;
use tokio::task::JoinSet;

use super::Engine;
use super::settle::Settling;
use crate::source::{Counters, Prometheus, Reading, UrlError};

/// Queries that are under way at once; further ones wait for the next look.
const ASKING_MAX: usize = 16;
/// Longest stretch that one answer is for: what lies before it, while a source was down, is left out.
const STRETCH_MAX: Duration = Duration::from_hours(1);

/// The sources, and what is under way.
#[derive(Default)]
pub(super) struct External {
    places: BTreeMap<String, Place>,
    asking: JoinSet<Told>,
}

/// Where an objective's source stands.
struct Place {
    source: Source,
    /// The end of the last stretch that was answered.
    told: Time,
    /// When it is asked next.
    next: Time,
    asking: bool,
    /// Fractions of events that are not counted yet.
    rest: Rest,
}

/// What was told of a stretch.
struct Told {
    objective: String,
    source: Source,
    to: Time,
    reading: Result<Reading, UrlError>,
}

impl External {
    /// Takes the answers that have come, and asks the sources whose time has come. Never waits.
    pub(super) fn read(&mut self, engine: &Engine, settling: &mut Settling) {
        while let Some(told) = self.asking.try_join_next() {
            match told {
                Ok(told) => self.hear(told, engine, settling),
                Err(error) => tracing::error!(%error, "a source was asked in vain"),
            }
        }
        let now = engine.now();
        self.keep_to(engine, now);
        for (objective, place) in &mut self.places {
            if place.asking || now < place.next || self.asking.len() >= ASKING_MAX {
                continue;
            }
            place.asking = true;
            place.next = now + place.source.every;
            let stretch = now.since(place.told).min(STRETCH_MAX);
            self.asking.spawn(ask(objective.clone(), place.source.clone(), stretch, now));
        }
    }

    /// The sources of the objectives in force. One that is new here is asked for one stretch of its own right away.
    fn keep_to(&mut self, engine: &Engine, now: Time) {
        let budgets = engine.budgets();
        let mut places = BTreeMap::new();
        for (_, slo) in budgets.core.objectives() {
            let Kind::External { source, .. } = &slo.kind else { continue };
            let known = self.places.remove(&slo.name).filter(|place| place.source == *source);
            let new = || Place {
                source: source.clone(),
                told: now - source.every,
                next: now,
                asking: false,
                rest: Rest::default(),
            };
            places.insert(slo.name.clone(), known.unwrap_or_else(new));
        }
        self.places = places;
    }

    fn hear(&mut self, told: Told, engine: &Engine, settling: &mut Settling) {
        let Some(place) = self.places.get_mut(&told.objective).filter(|place| place.source == told.source) else {
            return;
        };
        place.asking = false;
        let signal = match told.reading {
            Ok(Reading::Events { good, total }) => {
                let counts = place.rest.whole(good, total - good);
                place.told = told.to;
                if engine.budgets().record(&told.objective, told.to, counts, engine.now()) {
                    settling.add(told.objective.clone(), told.to, counts);
                }
                Signal::Present
            }
            Ok(Reading::NoTraffic) => {
                place.told = told.to;
                Signal::NoTraffic
            }
            Ok(Reading::NoSignal) => {
                place.told = told.to;
                Signal::Absent
            }
            // The next answer is for this stretch as well.
            Ok(Reading::Failed(error)) => failed(&told.objective, &error),
            Err(error) => failed(&told.objective, &error),
        };
        let mut budgets = engine.budgets();
        if let Some(id) = budgets.core.id(&told.objective) {
            budgets.core.handle_signal(id, signal, engine.now());
        }
    }
}

fn failed(objective: &str, error: &impl std::error::Error) -> Signal {
    tracing::warn!(objective, %error, "a source did not tell");
    Signal::Failed
}

async fn ask(objective: String, source: Source, stretch: Duration, to: Time) -> Told {
    let counters = match &source.counted {
        Counted::Good(good) => Counters::good(good, &source.total),
        Counted::Bad(bad) => Counters::bad(bad, &source.total),
    };
    let reading = match Prometheus::new(&source.prometheus) {
        Ok(prometheus) => Ok(prometheus.read(&counters, stretch, to).await),
        Err(error) => Err(error),
    };
    Told { objective, source, to, reading }
}

/// Fractions of events that wait until they are whole ones.
#[derive(Clone, Copy, Default, Debug)]
struct Rest {
    good: f64,
    bad: f64,
}

impl Rest {
    /// The whole events; what is left of them is carried over. Both are finite and not below zero.
    fn whole(&mut self, good: f64, bad: f64) -> Counts {
        Counts { good: whole(&mut self.good, good), bad: whole(&mut self.bad, bad) }
    }
}

fn whole(rest: &mut f64, more: f64) -> u64 {
    let sum = *rest + more.max(0.0);
    *rest = sum.fract();
    // A float becomes the nearest integer that there is.
    sum.trunc() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_events_are_carried_over() {
        let mut rest = Rest::default();
        let counts: Vec<Counts> = (0..4).map(|_| rest.whole(2.5, 0.25)).collect();
        assert_eq!(counts.iter().map(|counts| counts.good).collect::<Vec<_>>(), [2, 3, 2, 3]);
        assert_eq!(counts.iter().map(|counts| counts.bad).collect::<Vec<_>>(), [0, 0, 0, 1]);
    }
}
