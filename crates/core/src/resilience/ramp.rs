//! What comes back takes part slowly: its share of the load grows from a tenth to the whole.
//!
//! ```
//! use mainstay_core::resilience::ramp;
//! use mainstay_core::time::Time;
//! use std::time::Duration;
//!
//! let (back, over) = (Time::from_secs(100), Duration::from_secs(10));
//! assert_eq!(ramp::share(back, over, back), 0.1);
//! assert_eq!(ramp::share(back, over, Time::from_secs(105)), 0.55);
//! assert_eq!(ramp::share(back, over, Time::from_secs(110)), 1.0);
//! // Its route came back two seconds after it: of the requests that begin there, the lower part is sent on to it.
//! let (since, now) = ([Some(back), Some(Time::from_secs(102)), None], Time::from_secs(105));
//! assert!(ramp::takes_part(since, over, || 0.36, now));
//! assert!(!ramp::takes_part(since, over, || 0.38, now));
//! ```

use std::time::Duration;

use crate::time::Time;

/// The share of what has just come back.
const AT_RETURN: f64 = 0.1;

/// The share of its load that something has which came back at `since` and takes part in whole `over` so long.
pub fn share(since: Time, over: Duration, now: Time) -> f64 {
    let progress = now.since(since).as_secs_f64() / over.as_secs_f64().max(f64::MIN_POSITIVE);
    (AT_RETURN + (1.0 - AT_RETURN) * progress).min(1.0)
}

/// Whether a request goes to a backend that takes part in whole `over` so long. `since`: when each thing that it depends on came back last;
/// `None`: that was never away. `draw` is a random number from 0 to 1, which is drawn only where it decides.
pub fn takes_part(since: [Option<Time>; 3], over: Duration, draw: impl FnOnce() -> f64, now: Time) -> bool {
    let Some(since) = since.into_iter().flatten().max().filter(|_| !over.is_zero()) else { return true };
    let share = share(since, over, now);
    share >= 1.0 || draw() < share
}
