//! The supervisor's process side: what outlives it, limits, time, disks, ranks.

mod outlives;
mod support;
