//! What expectations say of what was measured.

use std::time::Duration;

use mainstay_core::drill::{Expectation, facts};
use serde_json::Value;

/// Whether an expectation held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// It did.
    Yes,
    /// It did not.
    No,
    /// It did not, as is known.
    Known,
}

/// What an expectation said.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    /// What it is about.
    pub name: String,
    /// The condition.
    pub holds: String,
    /// Facts counted from here on.
    pub from: Duration,
    /// And up to here.
    pub to: Duration,
    /// Whether it held.
    pub held: Held,
    /// The facts that it names, as measured.
    pub measured: String,
    /// All facts of its time.
    pub facts: Value,
    /// Why it is known not to hold.
    pub known: Option<String>,
}

pub(crate) fn judge(expectation: &Expectation, facts_of: &Value) -> Verdict {
    let (held, measured) = match facts::compile(&expectation.holds) {
        Ok(compiled) => {
            let said = compiled.ask(facts_of);
            (said.held, said.measured)
        }
        Err(error) => (false, error.message),
    };
    let held = match (held, &expectation.known) {
        (true, _) => Held::Yes,
        (false, Some(_)) => Held::Known,
        (false, None) => Held::No,
    };
    let Expectation { name, holds, from, to, known } = expectation.clone();
    Verdict { name, holds, from, to, held, measured, facts: facts_of.clone(), known }
}
