//! What experiments go by: parts of the plan.

use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::gates::{Rigour, Safety, Terms};
use mainstay_core::plan::{Environment, Plan};
use ring::digest::{SHA256, digest};

/// What a runner goes by.
pub(super) fn of(plan: &Plan) -> Terms {
    let chaos = &plan.chaos;
    let rigour = match plan.environment {
        Environment::Production => Rigour::Production,
        Environment::Staging => Rigour::Staging,
        Environment::Demo => Rigour::Demo,
    };
    let safety = Safety {
        windows: chaos.windows.clone(),
        approval: chaos.approval,
        approval_for: chaos.approval_for,
        lease: chaos.lease,
        min_budget: chaos.min_budget,
    };
    Terms { rigour, safety }
}

/// Whether somebody has to agree to an experiment.
pub(super) fn needs_approval(terms: &Terms, experiment: &Experiment) -> bool {
    terms.rigour != Rigour::Demo && terms.safety.approval.is_some_and(|from| experiment.blast >= from)
}

/// What tells one plan of an experiment from another: SHA-256 of its canonical text, in hexadecimal digits.
pub fn plan_hash(experiment: &Experiment) -> String {
    let hash = digest(&SHA256, experiment.canonical().as_bytes());
    hash.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).expect("four bits are a digit");
        text.extend([digit(byte >> 4), digit(byte & 15)]);
        text
    })
}
