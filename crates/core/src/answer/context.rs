//! The turns of a chat that fit.
