//! The supervisor's process side: what outlives it, limits, time, disks, ranks.

mod disks;
mod limits;
mod outlives;
mod ranks;
mod report;
mod support;
mod times;
mod tree;
