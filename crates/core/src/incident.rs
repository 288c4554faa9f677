//! Incidents, and who is told of them: what they are, not what is done about them.

pub mod kind;
pub mod escalation;
pub mod oncall;
pub mod notice;
pub mod record;
pub mod metrics;
