//! CEL programs.

/// A program.
#[derive(Clone, Debug)]
pub struct Program;
