//! Packed buckets come back as they were, and nothing else is taken for them.

use mainstay_core::time::Time;
use mainstay_store::bucket::{Bucket, HOUR};
use mainstay_store::pack::{UnpackError, pack, seal, unpack};
use proptest::prelude::*;

fn buckets() -> impl Strategy<Value = Vec<Bucket>> {
    let count = prop_oneof![0..3_u64, 0..1000_u64, any::<u64>()];
    let bucket = (0..3_000_000_u64, count.clone(), count);
    proptest::collection::btree_map(0..2_000_000_u64, bucket, 0..200).prop_map(|map| {
        let bucket = |(index, (_, good, bad))| Bucket { start: Time::from_secs(index * HOUR), good, bad };
        map.into_iter().map(bucket).collect()
    })
}

proptest! {
    #[test]
    fn what_is_packed_comes_back(buckets in buckets()) {
        prop_assert_eq!(unpack(&pack(&buckets, HOUR), HOUR), Ok(buckets));
    }

    #[test]
    fn a_changed_byte_is_found(buckets in buckets(), at in any::<prop::sample::Index>(), with in 1..=255_u8) {
        let mut bytes = pack(&buckets, HOUR);
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        prop_assert!(unpack(&bytes, HOUR).is_err());
    }

    #[test]
    fn any_bytes_are_an_error_or_buckets(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(unpack(&bytes, HOUR).is_err());
    }

    /// The checksum of anybody who can compute one: what comes out is in order and comes back from another packing.
    #[test]
    fn any_content_under_a_right_checksum_is_an_error_or_buckets(content in content()) {
        if let Ok(buckets) = unpack(&seal(content), HOUR) {
            prop_assert!(buckets.is_sorted_by(|a, b| a.start < b.start));
            prop_assert_eq!(unpack(&pack(&buckets, HOUR), HOUR), Ok(buckets));
        }
    }
}

/// Mostly of the right version and with a small count.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let any = proptest::collection::vec(any::<u8>(), 0..100);
    let close = (0..20_u8, proptest::collection::vec(0..140_u8, 0..60));
    prop_oneof![any, close.prop_map(|(count, rest)| [vec![1, count], rest].concat())]
}

#[test]
fn a_month_of_hours_takes_a_few_kilobytes() {
    let bucket =
        |hour: u64| Bucket { start: Time::from_secs((490_000 + hour) * HOUR), good: 3_600_000, bad: hour % 500 };
    let packed = pack(&(0..720).map(bucket).collect::<Vec<_>>(), HOUR);
    assert!((4000..6000).contains(&packed.len()), "{} bytes", packed.len());
}

#[test]
fn another_version_says_so() {
    assert_eq!(unpack(&[], HOUR), Err(UnpackError::Checksum));
}
