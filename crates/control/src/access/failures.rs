//! Wrong tokens by peer: twenty at once, then one in three seconds.
//!
//! A peer that has none left is not even compared, right token or not: otherwise it could go on guessing. An IPv6 peer
//! is its /64, which is what one customer has.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Wrong tokens that a peer may show at once.
const BURST: u32 = 20;
/// How long until one more is allowed.
const REFILL: Duration = Duration::from_secs(3);
/// Most peers that are remembered. Beyond them, whoever is closest to being forgiven is forgotten.
const PEERS_MAX: usize = 4096;

/// Who showed wrong tokens. For each peer, when all of it will be forgiven: each failure moves that by one refill.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<IpAddr, Instant>);

impl Failures {
    /// How long the peer has to wait before it may try again.
    pub(super) fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let forgiven_at = *self.0.get(&network(peer))?;
        let owed = forgiven_at.saturating_duration_since(now);
        let allowed = REFILL * (BURST - 1);
        (owed > allowed).then(|| owed.saturating_sub(allowed))
    }

    /// Counts one failure.
    pub(super) fn count(&mut self, peer: IpAddr, now: Instant) {
        let peer = network(peer);
        if self.0.len() >= PEERS_MAX && !self.0.contains_key(&peer) {
            self.forget(now);
        }
        let forgiven_at = self.0.entry(peer).or_insert(now);
        *forgiven_at = (*forgiven_at).max(now) + REFILL;
    }

    /// Makes room.
    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, forgiven_at| *forgiven_at > now);
        if self.0.len() >= PEERS_MAX
            && let Some(first) = self.0.iter().min_by_key(|(_, at)| **at).map(|(peer, _)| *peer)
        {
            self.0.remove(&first);
        }
    }
}

/// What failures are counted by.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn a_peer_has_twenty_failures_and_gets_one_back_in_three_seconds() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let (peer, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..BURST {
            assert_eq!(failures.wait(peer, start), None);
            failures.count(peer, start);
        }
        assert_eq!(failures.wait(peer, start), Some(REFILL));
        assert_eq!(failures.wait(other, start), None);
        assert_eq!(failures.wait(peer, start + Duration::from_secs(2)), Some(Duration::from_secs(1)));
        assert_eq!(failures.wait(peer, start + REFILL), None);
        failures.count(peer, start + REFILL);
        assert_eq!(failures.wait(peer, start + REFILL), Some(REFILL));
        assert_eq!(failures.wait(peer, start + REFILL * BURST * 2), None);
    }

    #[test]
    fn an_address_of_the_same_network_is_the_same_peer() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let [a, b, c] = ["2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        (0..BURST).for_each(|_| failures.count(a, start));
        assert!(failures.wait(b, start).is_some());
        assert_eq!(failures.wait(c, start), None);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(network(mapped), "192.0.2.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_remembered() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let worst = "192.0.2.1".parse().unwrap();
        (0..BURST).for_each(|_| failures.count(worst, start));
        for n in 0..2 * PEERS_MAX as u128 {
            failures.count(IpAddr::V6(Ipv6Addr::from(n << 64)), start);
        }
        assert_eq!(failures.0.len(), PEERS_MAX);
        assert!(failures.wait(worst, start).is_some());
    }
}
