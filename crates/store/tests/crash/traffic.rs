//! What is written: all of it follows from a number, so that whoever knows the number knows what must rest.

use std::time::Duration;

use mainstay_core::time::Time;
use mainstay_store::item::{Delta, Item, Kind, Sums};

pub(crate) const NOON: Time = Time::from_secs(1_767_268_800);
pub(crate) const OBJECTIVES: u64 = 5;

pub(crate) fn objective(n: u64) -> String {
    format!("objective-{}", n % OBJECTIVES)
}

fn delta(n: u64) -> Delta {
    Delta { objective: objective(n), start: NOON + Duration::from_secs(n * 7 % 9000), good: n % 3, bad: n % 2 }
}

pub(crate) fn item(n: u64) -> Item {
    let kinds = Kind::ALL.len() as u64;
    Item {
        kind: Kind::ALL[usize::try_from(n % kinds).unwrap()],
        client: format!("client-{}", n % 3),
        id: n.to_string(),
        about: n.is_multiple_of(4).then(|| format!("request-{n}")),
        at: NOON,
        body: format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(usize::try_from(n % 200).unwrap())),
        deltas: vec![delta(n), delta(n + 1)],
    }
}

pub(crate) fn source(round: u64, writer: u64) -> String {
    format!("round-{round}-writer-{writer}")
}

pub(crate) fn sums(round: u64, writer: u64, sequence: u64) -> Sums {
    let deltas = (0..sequence % 7).map(|n| delta(sequence + n)).collect();
    Sums { source: source(round, writer), sequence, deltas, ..Sums::default() }
}
