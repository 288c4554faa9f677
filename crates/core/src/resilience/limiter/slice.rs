//! What workers count and a limiter reads.

use std::time::Duration;

use crate::stats::LogHistogram;

/// One answer of a backend, as its limiter sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// From the call's start to its end.
    pub latency: Duration,
    /// From the call's start to the first byte (token) of the answer, if one came and was not counted before.
    pub first_byte: Option<Duration>,
    /// No answer in time, or one that says "too much" (429, 503). Its latency is not a measurement.
    pub dropped: bool,
}

impl Sample {
    /// A whole answer whose beginning was not timed.
    pub const fn answered(latency: Duration) -> Sample {
        Sample { latency, first_byte: None, dropped: false }
    }

    /// A call that got no answer within `latency`.
    pub const fn dropped(latency: Duration) -> Sample {
        Sample { latency, first_byte: None, dropped: true }
    }
}

/// Which durations a [`Slice`] keeps a histogram of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// None: the sums suffice.
    None,
    /// The whole answer.
    Latency,
    /// The time to the first byte.
    FirstByte,
}

/// What happened at one backend in a short time. Plain sums: any two can be merged, in any order.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// Answers.
    pub answered: u64,
    /// Sum of the answers' latencies in nanoseconds.
    pub latency_ns_sum: u64,
    /// Most calls seen in flight.
    pub in_flight_max: u32,
    /// Calls in flight when the slice was closed; of a merge, that of the later slice.
    pub in_flight: u32,
    /// How many of these have had their first byte.
    pub begun: u32,
    /// A caller found the backend at its limit.
    pub limited: bool,
    /// Calls without an answer in time, or turned away by the backend.
    pub dropped: u64,
    /// What [`Signal`] says.
    pub signal: LogHistogram,
}

impl Slice {
    /// A slice in which nothing happened.
    pub const fn new() -> Slice {
        Slice {
            answered: 0,
            latency_ns_sum: 0,
            in_flight_max: 0,
            in_flight: 0,
            begun: 0,
            limited: false,
            dropped: 0,
            signal: LogHistogram::new(),
        }
    }

    /// Counts one finished call, `in_flight` calls being in flight, itself included.
    pub fn record(&mut self, sample: &Sample, in_flight: u32, signal: Signal) {
        self.in_flight_max = self.in_flight_max.max(in_flight);
        self.in_flight = in_flight.saturating_sub(1);
        if sample.dropped {
            self.dropped += 1;
            return;
        }
        self.answered += 1;
        let nanos = u64::try_from(sample.latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency_ns_sum = self.latency_ns_sum.saturating_add(nanos);
        match signal {
            Signal::None => {}
            Signal::Latency => self.signal.record(sample.latency),
            Signal::FirstByte => {
                if let Some(first_byte) = sample.first_byte {
                    self.signal.record(first_byte);
                }
            }
        }
    }

    /// Counts a first byte at once, where the answer's end is far: its [`Sample`] then has none.
    pub fn record_first_byte(&mut self, elapsed: Duration, signal: Signal) {
        match signal {
            Signal::None | Signal::Latency => {}
            Signal::FirstByte => self.signal.record(elapsed),
        }
    }

    /// Adds a later slice.
    pub fn merge(&mut self, later: &Slice) {
        self.answered += later.answered;
        self.latency_ns_sum = self.latency_ns_sum.saturating_add(later.latency_ns_sum);
        self.in_flight_max = self.in_flight_max.max(later.in_flight_max);
        (self.in_flight, self.begun) = (later.in_flight, later.begun);
        self.limited |= later.limited;
        self.dropped += later.dropped;
        self.signal.merge(&later.signal);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.signal.clear();
        (self.answered, self.latency_ns_sum, self.dropped) = (0, 0, 0);
        (self.in_flight_max, self.in_flight, self.begun, self.limited) = (0, 0, 0, false);
    }

    /// Finished calls of either kind.
    pub const fn finished(&self) -> u64 {
        self.answered + self.dropped
    }

    /// Mean latency of the answers in seconds; `None` without an answer.
    pub fn latency_mean_s(&self) -> Option<f64> {
        (self.answered > 0).then(|| self.latency_ns_sum as f64 / self.answered as f64 / 1e9)
    }

    /// Share of the finished calls that were dropped; 0 if none finished.
    pub fn dropped_share(&self) -> f64 {
        self.dropped as f64 / self.finished().max(1) as f64
    }
}
