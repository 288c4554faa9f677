//! Leases of a rate that a fleet shares, over messages that are late, lost, or come twice.

use std::time::Duration;

use mainstay_core::resilience::lease::{Allotment, Ask, Config, Grant, Holder};
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

const CONFIG: Config =
    Config { rate: 1_000.0, lease: Duration::from_secs(4), renew: Duration::from_secs(1), reserve: 0.1 };

/// Whatever is lost, late or twice: what holders may spend under their leases is never more than was there.
#[test]
fn leases_together_never_exceed_the_rate() {
    for seed in 0..20 {
        let (mut rng, start) = (Rng::new(seed), Time::from_secs(1_000));
        let mut allotment = Allotment::new(CONFIG);
        let mut holders: Vec<Holder> = (0..12).map(|id| Holder::new(CONFIG, id, start)).collect();
        let (mut asks, mut grants): (Vec<Ask>, Vec<(u32, Grant)>) = (Vec::new(), Vec::new());
        for tick in 0..4_000u64 {
            let now = start + Duration::from_millis(tick * 10);
            for holder in &mut holders {
                for _ in 0..rng.below(9) {
                    holder.handle_spend(1.0, now);
                }
                asks.extend(holder.handle_timeout(now));
            }
            // Some arrive in any order, some twice, some never.
            for _ in 0..rng.below(4).min(asks.len() as u64) {
                let ask = asks.swap_remove(rng.below(asks.len() as u64) as usize);
                let grant = allotment.handle_ask(ask, now).map(|grant| (ask.holder, grant));
                grants.extend(grant.filter(|_| rng.unit() < 0.7));
            }
            for _ in 0..rng.below(4).min(grants.len() as u64) {
                let at = rng.below(grants.len() as u64) as usize;
                let (id, grant) = if rng.unit() < 0.1 { grants[at] } else { grants.swap_remove(at) };
                holders[id as usize].handle_grant(grant, now);
            }
            let leased = |holder: &&Holder| holder.staleness(now).is_some_and(|age| age < CONFIG.lease);
            let sum: f64 = holders.iter().filter(leased).map(|holder| holder.rate(now)).sum();
            assert!(sum <= 900.0 + 1e-6, "seed {seed}, tick {tick}: {sum}");
            assert!(allotment.promised() <= 900.0 + 1e-6, "seed {seed}, tick {tick}");
        }
    }
}

#[test]
fn the_least_demands_are_met_first() {
    let mut allotment = Allotment::new(CONFIG);
    let mut ask = |holder, number, holds, demand| {
        allotment.handle_ask(Ask { holder, number, demand, holds }, Time::from_secs(1)).map(|grant| grant.rate)
    };
    assert_eq!(ask(1, 1, 0, 5_000.0), Some(900.0));
    assert_eq!(ask(2, 1, 0, 100.0), Some(0.0), "all is promised until the first one asks anew");
    assert_eq!(ask(1, 2, 1, 5_000.0), Some(800.0));
    assert_eq!(ask(2, 2, 1, 100.0), Some(0.0), "the first one may still hold the greater one");
    assert_eq!(ask(1, 3, 2, 5_000.0), Some(800.0));
    assert_eq!(ask(2, 3, 2, 100.0), Some(100.0));
    assert_eq!(ask(2, 3, 2, 100.0), None, "it came twice");
}
