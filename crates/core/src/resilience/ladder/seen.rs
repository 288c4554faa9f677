//! What is seen of a component at one moment.

use crate::resilience::breaker::Phase;

/// What is seen of a component.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// What its last health check said.
    pub health: Option<bool>,
    /// What its breaker, and that of its group, let pass.
    pub phase: Phase,
    /// Whether what passes is answered well.
    pub carries: bool,
    /// Whether it has no room for the best class.
    pub collapsed: bool,
}

impl Seen {
    /// Of which nothing is known but what a health check said.
    pub const fn checked(health: Option<bool>) -> Seen {
        Seen { health, phase: Phase::Closed, carries: true, collapsed: false }
    }

    /// Behind one more breaker.
    #[must_use]
    pub const fn behind(self, phase: Phase, carries: bool) -> Seen {
        Seen { phase: self.phase.and(phase), carries: self.carries && carries, ..self }
    }
}
