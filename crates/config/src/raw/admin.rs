//! The admin API.

use mainstay_core::plan::{Role, Secret, Token};
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::read::{Kind, List, Reader, Text, choice, section};
use crate::span::At;
use crate::tree::{Node, Value};
use crate::values::{Listen, SecretRef};

section! {
    /// The admin API.
    Admin = "`admin`" {
        /// Where it listens. Default: 127.0.0.1:8090.
        listen: Listen,
        /// Bearer tokens that are accepted. Default: none, which a loopback address alone may have.
        tokens: List<TokenRef>,
    }
}

section! {
    /// A bearer token and what its holder may do.
    TokenMap = "a token" {
        /// The token, by reference.
        token (required): SecretRef,
        /// What its holder may do: viewer sees, responder also handles what happens, operator also changes what is.
        /// Default: operator.
        role: RoleName,
        /// Whose it is, as audit trails name it. Default: the reference.
        name: Text,
    }
}

choice! {
    /// What somebody may do.
    RoleName = "a role" {
        "viewer" => Role::Viewer,
        "responder" => Role::Responder,
        "operator" => Role::Operator,
    } -> Role
}

/// A bearer token: a reference, which has the role operator, or a map that says more.
pub(crate) struct TokenRef;

/// What was written of a token.
#[derive(Debug)]
pub(crate) struct WrittenToken {
    pub(crate) name: Option<At<String>>,
    role: Role,
    secret: Secret,
}

impl WrittenToken {
    pub(crate) fn into_plan(self) -> Token {
        let name = self.name.map_or_else(|| self.secret.source.to_string(), |name| name.value);
        Token { name, role: self.role, secret: self.secret }
    }
}

impl Kind for TokenRef {
    type Out = WrittenToken;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<WrittenToken> {
        if let Value::Map(_) = node.value {
            let map = TokenMap::read(node, reader)?;
            let role = map.role.map_or(Role::Operator, |role| role.value);
            return Some(WrittenToken { name: map.name, role, secret: map.token?.value });
        }
        let secret = SecretRef::read(node, reader)?;
        Some(WrittenToken { name: None, role: Role::Operator, secret })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [SecretRef::schema(generator), TokenMap::schema(generator)] })
    }
}
