//! Incidents: from what is wrong to who is told, what is done, and what was learned.

pub mod escalation;
pub mod kind;
pub mod notice;
pub mod oncall;
pub mod record;
pub mod metrics;
