//! What this binary is made from, as `build.rs` found it.

/// The version, and in brackets the commit and its day where they are known.
pub(crate) const SHOWN: &str = env!("MAINSTAY_BUILT_VERSION");

/// The commit's first twelve digits; `None`: nobody told the build.
pub(crate) fn commit() -> Option<&'static str> {
    Some(env!("MAINSTAY_BUILT_COMMIT")).filter(|commit| !commit.is_empty())
}

/// The day on which that commit was made, as 2026-03-01.
pub(crate) fn day() -> Option<&'static str> {
    Some(env!("MAINSTAY_BUILT_DAY")).filter(|day| !day.is_empty())
}
