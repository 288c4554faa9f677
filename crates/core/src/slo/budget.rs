//! What is left of an allowance.

use std::time::Duration;

use super::series::Counts;
use super::window::{Stretch, Window};
use crate::time::Time;

/// How a budget stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Status {
    /// Nothing was counted.
    NoData,
    /// Half of it or more is left.
    Healthy,
    /// Less than half of it is left.
    Warning,
    /// Less than a quarter of it is left.
    Critical,
    /// Nothing is left.
    Exhausted,
}

impl Status {
    /// The name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Status::NoData => "no_data",
            Status::Healthy => "healthy",
            Status::Warning => "warning",
            Status::Critical => "critical",
            Status::Exhausted => "exhausted",
        }
    }

    /// The status of a name that [`Status::name`] gives.
    pub fn of_name(name: &str) -> Option<Status> {
        let all = [Status::NoData, Status::Healthy, Status::Warning, Status::Critical, Status::Exhausted];
        all.into_iter().find(|status| status.name() == name)
    }

    fn of_remaining(remaining: f64) -> Status {
        if remaining <= 0.0 {
            Status::Exhausted
        } else if remaining < 0.25 {
            Status::Critical
        } else if remaining < 0.5 {
            Status::Warning
        } else {
            Status::Healthy
        }
    }
}

/// A budget in events.
///
/// ```
/// use mainstay_core::slo::budget::{Budget, Status};
/// use mainstay_core::slo::series::Counts;
///
/// let budget = Budget::of(Counts { good: 99_940, bad: 60 }, 0.001);
/// assert_eq!((budget.total.round(), budget.consumed), (100.0, 60));
/// assert!((budget.remaining - 0.4).abs() < 1e-9);
/// assert_eq!(budget.status, Status::Warning);
/// // Nothing is tolerated: intact until the first bad event, then gone.
/// assert_eq!(Budget::of(Counts { good: 10, bad: 0 }, 0.0).status, Status::Healthy);
/// assert_eq!(Budget::of(Counts { good: 1_000_000, bad: 1 }, 0.0).status, Status::Exhausted);
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Budget {
    /// Bad events that are allowed among those counted: allowed share x events.
    pub total: f64,
    /// Bad events.
    pub consumed: u64,
    /// The share of the budget that is left: 1 - bad share / allowed share. Below 0 where more was spent than there was; 0 where
    /// nothing is allowed and something happened.
    pub remaining: f64,
    /// The status that this is.
    pub status: Status,
}

impl Budget {
    /// The budget of so many events at an allowed share of bad ones.
    pub fn of(counts: Counts, allowed: f64) -> Budget {
        let total = allowed * counts.total() as f64;
        let remaining = match counts.bad_share() {
            None => 1.0,
            Some(_) if allowed <= 0.0 => f64::from(u8::from(counts.bad == 0)),
            Some(share) => 1.0 - share / allowed,
        };
        let status = if counts.total() == 0 { Status::NoData } else { Status::of_remaining(remaining) };
        Budget { total, consumed: counts.bad, remaining, status }
    }
}

/// Where a budget is heading.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Forecast {
    /// How long it lasts at the present burn; `None` where nothing burns or nothing is left.
    pub exhausted_in: Option<Duration>,
    /// Of a calendar window: what it will have been at its end.
    pub projected: Option<Projected>,
}

/// A calendar window as it will have been at its end, with traffic as it was so far.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Projected {
    /// Events by then.
    pub events: f64,
    /// Bad events that are allowed by then.
    pub total: f64,
    /// The share left by then if nothing bad happens any more.
    pub remaining_at_best: f64,
    /// The share left by then at the present burn.
    pub remaining: f64,
}

/// Forecasts from the counts of the window so far and the burn rate of late.
pub fn forecast(counts: Counts, allowed: f64, lately: Option<f64>, window: &Window, now: Time) -> Forecast {
    let budget = Budget::of(counts, allowed);
    let length = window.length(now);
    let exhausted_in = lately.filter(|burn| *burn > 0.0 && budget.remaining > 0.0).and_then(|burn| {
        let seconds = budget.remaining * length.as_secs_f64() / burn;
        Duration::try_from_secs_f64(seconds).ok()
    });
    let projected = match window {
        Window::Rolling(_) => None,
        Window::Calendar(_) => projected(counts, allowed, lately, window.to_date(now), length),
    };
    Forecast { exhausted_in, projected }
}

fn projected(
    counts: Counts,
    allowed: f64,
    lately: Option<f64>,
    so_far: Stretch,
    length: Duration,
) -> Option<Projected> {
    let passed = so_far.length().as_secs_f64() / length.as_secs_f64();
    if passed <= 0.0 || counts.total() == 0 || allowed <= 0.0 {
        return None;
    }
    let events = counts.total() as f64 / passed;
    let total = allowed * events;
    let remaining_at_best = 1.0 - counts.bad as f64 / total;
    let to_come = lately.unwrap_or(0.0) * (1.0 - passed);
    Some(Projected { events, total, remaining_at_best, remaining: remaining_at_best - to_come })
}
