//! What threads write side by side without sharing a cache line.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many shards a counter has; threads beyond share them.
pub(crate) const SHARDS: usize = 16;

/// A value alone on its cache lines (two, as processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// The shard of this thread, below [`SHARDS`].
#[inline]
pub(crate) fn index() -> usize {
    thread_local! {
        static INDEX: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    INDEX.with(|index| {
        if index.get() == usize::MAX {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            index.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        index.get()
    })
}

/// A number that no other call of this process got, while threads stay below 2^16 and calls of each below 2^48.
pub(crate) fn unique() -> u64 {
    thread_local! {
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }
    static THREADS: AtomicUsize = AtomicUsize::new(1);
    COUNT.with(|count| {
        if count.get() == 0 {
            count.set((THREADS.fetch_add(1, Ordering::Relaxed) as u64) << 48);
        }
        count.set(count.get().wrapping_add(1));
        count.get()
    })
}
