//! What happens to the service, and when.

use std::time::Duration;

use super::inference::Capacity;

/// Requests per second while nothing is wrong: half of what the primary model can do.
pub(super) const RATE: f64 = 100.0;

/// Requests that may wait inside a model server. As with most of them, overload shows as latency long before it shows
/// as errors: to keep the line short is the gateway's work.
const WAITING_MAX: usize = 512;

/// The primary model: 4 slots of 20 ms each are 200 requests per second.
pub(super) const PRIMARY: Capacity =
    Capacity { slots: 4, service_time: Duration::from_millis(20), waiting_max: WAITING_MAX };

/// The simpler model: 4 slots of 4 ms each are 1,000 requests per second.
pub(super) const SMALL: Capacity =
    Capacity { slots: 4, service_time: Duration::from_millis(4), waiting_max: WAITING_MAX };

/// What the slow feature store takes longer: more than the time limits of retrievals and of health checks.
pub(super) const STORE_DELAY: Duration = Duration::from_secs(1);

/// Of all requests, the share of classes 0 to 3.
pub(super) const MIX: [f64; 4] = [0.10, 0.20, 0.40, 0.30];

/// One stretch of the demo.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Phase {
    /// What the summary calls it.
    pub(super) name: &'static str,
    /// Its part of the whole duration; the parts add up to one.
    pub(super) share: f64,
    /// Requests per second, as a multiple of [`RATE`].
    pub(super) load: f64,
    /// What is wrong meanwhile.
    pub(super) fault: Option<Fault>,
}

/// What can be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// The feature store answers late.
    StoreSlow,
    /// The primary model's process is gone.
    PrimaryKilled,
    /// Both models' processes are gone.
    ModelsKilled,
    /// Twice as many requests as the primary model can serve.
    Overload,
}

/// The demo from beginning to end. Faults may follow upon each other; in the end comes a recovery.
pub(super) const PHASES: [Phase; 8] = [
    Phase { name: "warm-up", share: 0.08, load: 1.0, fault: None },
    Phase { name: "feature store slow", share: 0.12, load: 1.0, fault: Some(Fault::StoreSlow) },
    Phase { name: "recovery 1", share: 0.12, load: 1.0, fault: None },
    Phase { name: "primary killed", share: 0.12, load: 1.0, fault: Some(Fault::PrimaryKilled) },
    Phase { name: "both models killed", share: 0.10, load: 1.0, fault: Some(Fault::ModelsKilled) },
    Phase { name: "recovery 2", share: 0.18, load: 1.0, fault: None },
    Phase { name: "2x overload", share: 0.16, load: 4.0, fault: Some(Fault::Overload) },
    Phase { name: "recovery 3", share: 0.12, load: 1.0, fault: None },
];

/// Index of the recovery that ends what is wrong in a phase; the phase itself where nothing is.
pub(super) fn recovery_of(phase: usize) -> usize {
    let well = |(_, later): &(usize, &Phase)| later.fault.is_none();
    PHASES.iter().enumerate().skip(phase).find(well).map_or(phase, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_adds_up() {
        let whole: f64 = PHASES.iter().map(|phase| phase.share).sum();
        assert!((whole - 1.0).abs() < 1e-9 && (MIX.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let capacity = PRIMARY.slots as f64 / PRIMARY.service_time.as_secs_f64();
        for phase in PHASES {
            let twice = (phase.load * RATE - 2.0 * capacity).abs() < 1e-9;
            assert_eq!(twice, phase.fault == Some(Fault::Overload), "{}", phase.name);
        }
    }

    #[test]
    fn each_fault_ends_in_a_recovery() {
        for (index, phase) in PHASES.iter().enumerate() {
            let recovery = recovery_of(index);
            assert_eq!(PHASES[recovery].fault, None, "{}", phase.name);
            assert_eq!(recovery == index, phase.fault.is_none(), "{}", phase.name);
        }
    }
}
