use mainstay_core::answer::review::Line;
use mainstay_core::time::Time;
use mainstay_gateway::reviews::log::{restore, write};

/// A queue's file, torn and damaged: what is read is written the same way, and makes a line.
pub fn queue_file(bytes: &[u8]) {
    let read = restore(bytes);
    assert_eq!(read.length + read.torn, bytes.len() as u64);
    let mut again = Vec::new();
    read.records.iter().for_each(|record| write(record, &mut again));
    let twice = restore(&again);
    assert_eq!((&twice.records, twice.torn, twice.damaged), (&read.records, 0, 0));
    let line = Line::restore(10, read.records);
    let now = Time::from_secs(1_795_000_000);
    let copy = Line::restore(10, line.records());
    assert_eq!(copy.list(None, 0, 1000, now), line.list(None, 0, 1000, now));
}
