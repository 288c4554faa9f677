//! The starting file that `init` writes.

/// A commented config to start from: five levels in front of one model. `check` accepts it and `serve` runs it.
///
/// ```
/// let (plan, findings) = mainstay_config::load(mainstay_config::template());
/// assert!(plan.is_some(), "{findings:?}");
/// ```
pub const fn template() -> &'static str {
    include_str!("template.yaml")
}
