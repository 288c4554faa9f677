//! Words and characters as they are compared.
