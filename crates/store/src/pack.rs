//! Many buckets of one width as one blob.
//!
//! ```text
//! 1 byte    version of the format: 1
//! varint    number of buckets
//! each      varint: start in widths since 1970, less the one before; varint: good; varint: bad
//! 8 bytes   the first of the SHA-256 of everything before
//! ```
//!
//! Varints are LEB128. Starts grow strictly. A month of hours takes 3 to 8 KiB.

use mainstay_core::time::Time;
use ring::digest::{SHA256, digest};

use crate::bucket::Bucket;

const VERSION: u8 = 1;
const SUM: usize = 8;
/// Smallest number of bytes that a bucket takes.
const BUCKET_MIN: usize = 3;
/// The last second that a `Time` can be.
const SECS_MAX: u64 = u64::MAX / 1_000_000_000;

/// Why a blob is not what [`pack`] made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnpackError {
    /// Bytes changed or are missing.
    #[error("its checksum differs")]
    Checksum,
    /// A format that this build does not know.
    #[error("its format is version {0}")]
    Version(u8),
    /// The checksum holds and the content makes no sense.
    #[error("its content ends early, goes on too long, or does not grow")]
    Malformed,
}

/// Packs buckets of `width_secs`, whose starts grow strictly and are multiples of it.
pub fn pack(buckets: &[Bucket], width_secs: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + 6 * buckets.len());
    bytes.push(VERSION);
    put(&mut bytes, buckets.len() as u64);
    let mut before = 0;
    for bucket in buckets {
        let index = bucket.start.as_nanos() / 1_000_000_000 / width_secs;
        put(&mut bytes, index - before);
        put(&mut bytes, bucket.good);
        put(&mut bytes, bucket.bad);
        before = index;
    }
    seal(bytes)
}

/// Content with its checksum.
pub fn seal(mut content: Vec<u8>) -> Vec<u8> {
    let sum = digest(&SHA256, &content);
    content.extend_from_slice(&sum.as_ref()[..SUM]);
    content
}

/// The buckets of a blob of [`pack`] with the same width.
pub fn unpack(bytes: &[u8], width_secs: u64) -> Result<Vec<Bucket>, UnpackError> {
    let (content, sum) = bytes.split_last_chunk::<SUM>().ok_or(UnpackError::Checksum)?;
    if digest(&SHA256, content).as_ref()[..SUM] != sum[..] {
        return Err(UnpackError::Checksum);
    }
    let (version, mut rest) = content.split_first().ok_or(UnpackError::Malformed)?;
    if *version != VERSION {
        return Err(UnpackError::Version(*version));
    }
    let count = take(&mut rest)?;
    let mut buckets = Vec::with_capacity(usize::try_from(count).unwrap_or(usize::MAX).min(rest.len() / BUCKET_MIN));
    let mut index = 0_u64;
    for n in 0..count {
        let step = take(&mut rest)?;
        if step == 0 && n > 0 {
            return Err(UnpackError::Malformed);
        }
        index = index.checked_add(step).ok_or(UnpackError::Malformed)?;
        let secs = index.checked_mul(width_secs).filter(|secs| *secs <= SECS_MAX).ok_or(UnpackError::Malformed)?;
        buckets.push(Bucket { start: Time::from_secs(secs), good: take(&mut rest)?, bad: take(&mut rest)? });
    }
    if rest.is_empty() { Ok(buckets) } else { Err(UnpackError::Malformed) }
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Result<u64, UnpackError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(UnpackError::Malformed)?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return Err(UnpackError::Malformed);
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(UnpackError::Malformed)
}
