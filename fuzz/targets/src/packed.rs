use mainstay_store::bucket::HOUR;
use mainstay_store::pack::{pack, seal, unpack};

/// A blob of buckets from a file that anybody may have written: refused, or buckets in order that pack into the same buckets.
pub fn packed(bytes: &[u8]) {
    let _ = unpack(bytes, HOUR);
    let Ok(buckets) = unpack(&seal(bytes.to_vec()), HOUR) else { return };
    assert!(buckets.is_sorted_by(|a, b| a.start < b.start), "{buckets:?}");
    assert_eq!(unpack(&pack(&buckets, HOUR), HOUR), Ok(buckets));
}
