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
