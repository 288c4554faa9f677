//! The admin API: where it listens, and who may do what there.

use std::net::SocketAddr;

use super::Secret;

/// The admin API.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Bearer tokens that are accepted; empty on a loopback address means open.
    pub tokens: Vec<Token>,
}

/// A bearer token of the admin API.
#[derive(Clone, Debug)]
pub struct Token {
    /// Whose it is, as audit trails name it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// The token itself.
    pub secret: Secret,
}

/// What somebody may do. Each role may do what those before it may.
///
/// ```
/// use mainstay_core::plan::Role;
///
/// assert!(Role::Operator > Role::Responder && Role::Responder > Role::Viewer);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Sees everything, changes nothing.
    Viewer,
    /// Handles what happens: acknowledges, notes, pins, reports events, labels and flags.
    Responder,
    /// Changes what is: config, objectives, models, experiments.
    Operator,
}

impl Role {
    /// All roles, from the least.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Responder, Role::Operator];

    /// The name that the config uses.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Responder => "responder",
            Role::Operator => "operator",
        }
    }
}
