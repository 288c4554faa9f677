//! Experiments: what goes wrong on purpose, for whom, until when, and what it showed.
//!
//! ```text
//! Experiment --gates--> Run --Order--> Injector (in the gateway; a lease that ends by itself)
//!                        ^ `--- beats: counts by arm ---'
//!                        `--> verdict: both arms compared, dose and assignment checked
//! ```
//!
//! Documents here are what people write and what the API takes: durations are texts such as `500ms`, shares such as `5%`.

pub mod written;
pub mod fault;
pub mod experiment;
pub mod order;
pub mod lease;
pub mod arms;
pub mod verdict;
pub mod record;
pub mod evidence;
pub mod evaluate;
pub mod refusal;
pub mod window;
pub mod blocks;
mod start;
pub mod gates;
pub mod run;
pub mod gameday;
