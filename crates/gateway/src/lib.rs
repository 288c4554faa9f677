//! The request path: protocols, features, the stack of layers.

pub mod json;
pub mod protocol;
pub mod features;
pub mod answers;
