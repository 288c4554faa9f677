//! What is done about what is wrong: facts become incidents, incidents become notices and actions.

pub mod reach;
pub mod fact;
pub mod bound;
pub mod signature;
pub mod severity;
pub mod delivery;
pub mod desk;
