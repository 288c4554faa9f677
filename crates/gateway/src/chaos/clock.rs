//! The injector's own clock.

use mainstay_core::time::Time;
use rustix::time::{ClockId, clock_gettime};

/// Time since the machine started. It only goes forward, counts while the machine is suspended where the system can tell, and has
/// nothing to do with the wall clock.
pub(crate) fn now() -> Time {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let now = clock_gettime(CLOCK);
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    Time::from_nanos(part(now.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(now.tv_nsec)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward_as_a_stopwatch_does() {
        let (began, watch) = (now(), std::time::Instant::now());
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (passed, by_watch) = (now().since(began), watch.elapsed());
        assert!(passed >= std::time::Duration::from_millis(20), "{passed:?}");
        assert!(passed <= by_watch + std::time::Duration::from_secs(5), "{passed:?} against {by_watch:?}");
    }
}
