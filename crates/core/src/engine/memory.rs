//! What a restart must keep of an objective besides its buckets, as JSON.

use serde::{Deserialize, Serialize};

/// The state of one objective that buckets do not hold. Unknown fields are ignored, absent ones are as new.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The events of the window that are not tolerated, oldest first: what they were, and when in nanoseconds.
    pub named: Vec<(String, u64)>,
    /// The safety evidence: logarithms, good, bad, peak, and when it began.
    pub evidence: Option<([f64; 6], u64, u64, f64, u64)>,
    /// The trickle detector's logarithms.
    pub trickle: Option<Vec<f64>>,
    /// The status that was last told.
    pub status: Option<String>,
    /// The last moment at which the clock was judged, in nanoseconds.
    pub aged: Option<u64>,
    /// The start of the first slice that was not judged, in nanoseconds.
    pub sliced: Option<u64>,
    /// Slices of a metric that were measured, and what they count as: start in nanoseconds, good, bad.
    pub measured: Vec<(u64, u64, u64)>,
}

/// A memory that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read an objective's state")]
pub struct BadMemory(#[from] serde_json::Error);

impl Memory {
    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("finite numbers and strings")
    }

    /// From what [`Memory::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<Memory, BadMemory> {
        Ok(serde_json::from_str(text)?)
    }
}
