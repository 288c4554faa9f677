//! What was measured over time.

use std::time::Duration;

use mainstay_core::route::Class;
use mainstay_core::time::Time;

use crate::world::START;

/// Points of a curve, about.
const POINTS: u32 = 240;
/// The least time between two points.
const STEP_MIN: Duration = Duration::from_millis(100);

/// A figure over virtual time.
#[derive(Clone, PartialEq, Debug)]
pub struct Curve {
    /// What it is, with its unit.
    pub name: String,
    /// Seconds from the start, and values.
    pub points: Vec<(f64, f64)>,
}

/// The curves while they grow.
pub(crate) struct Curves {
    pub(crate) step: Duration,
    drawn: Vec<Curve>,
    came: u64,
    good: [u64; Class::COUNT],
}

/// What is read at a point.
pub(crate) struct Point {
    pub(crate) limit: f64,
    pub(crate) level: f64,
    pub(crate) budget: f64,
    /// The share that is left of each objective's budget, in the order of their names.
    pub(crate) objectives: Vec<f64>,
}

impl Curves {
    /// One also for each of the objectives that are watched.
    pub(crate) fn new<'a>(length: Duration, objectives: impl Iterator<Item = &'a str>) -> Curves {
        let classes = (0..Class::COUNT).map(|class| format!("good answers per second, class {class}"));
        let names = std::iter::once("requests per second".to_owned()).chain(classes).chain([
            "limit of the first backend".to_owned(),
            "level of the first route".to_owned(),
            "retry budget of the first route".to_owned(),
        ]);
        let budgets = objectives.map(|name| format!("share of the budget of {name} that is left"));
        let drawn = names.chain(budgets).map(|name| Curve { name, points: Vec::new() }).collect();
        Curves { step: (length / POINTS).max(STEP_MIN), drawn, came: 0, good: [0; Class::COUNT] }
    }

    pub(crate) fn came(&mut self) {
        self.came += 1;
    }

    pub(crate) fn good(&mut self, class: Class) {
        self.good[class.index()] += 1;
    }

    pub(crate) fn sample(&mut self, point: &Point, now: Time) {
        let step = self.step.as_secs_f64();
        let good = std::mem::take(&mut self.good).map(|count| count as f64 / step);
        let came = std::mem::take(&mut self.came) as f64 / step;
        let values = std::iter::once(came).chain(good).chain([point.limit, point.level, point.budget]);
        let values = values.chain(point.objectives.iter().copied());
        let at = now.since(START).as_secs_f64();
        for (curve, value) in self.drawn.iter_mut().zip(values) {
            curve.points.push((at, value));
        }
    }

    pub(crate) fn into_curves(self) -> Vec<Curve> {
        self.drawn
    }
}
