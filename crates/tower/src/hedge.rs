//! hedge
