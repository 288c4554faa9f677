//! `docs/systems.md` maps each of the nineteen systems to its home.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Finding;

const SYSTEMS: [&str; 19] = [
    "SLO framework",
    "Error budget tracker",
    "Quality metrics",
    "Degradation controller",
    "Circuit breaker",
    "Fallback executor",
    "Incident signatures",
    "Incident manager",
    "Post-incident review",
    "Incident metrics",
    "Training pipeline",
    "Load shedding",
    "Adaptive limiter",
    "Serving pipeline",
    "Observability pipeline",
    "Distribution monitor",
    "Experiments",
    "Runner",
    "Game day",
];

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let path = root.join("docs/systems.md");
    let text = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
    Ok(missing(&text)
        .into_iter()
        .map(|name| Finding::new(&path, 0, format!("does not list the system `{name}`")))
        .collect())
}

fn missing(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    SYSTEMS.into_iter().filter(|name| !text.contains(&name.to_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_is_not_listed_is_named() {
        let all = SYSTEMS.join("\n");
        assert_eq!(missing(&all), Vec::<&str>::new());
        assert_eq!(missing(&all.replace("Circuit breaker", "Fuse")), ["Circuit breaker"]);
    }
}
