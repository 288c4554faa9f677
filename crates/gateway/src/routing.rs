//! Which route takes a path.

use std::collections::HashMap;

use mainstay_core::plan::{PathMatch, Plan};

/// Exact paths first, then the longest prefix.
#[derive(Debug)]
pub(crate) struct Routing {
    exact: HashMap<String, usize>,
    /// Longest first.
    prefixes: Vec<(String, usize)>,
}

impl Routing {
    pub(crate) fn new(plan: &Plan) -> Routing {
        let mut exact = HashMap::new();
        let mut prefixes = Vec::new();
        for (index, route) in plan.routes.iter().enumerate() {
            match &route.path {
                PathMatch::Exact(path) => {
                    exact.insert(path.clone(), index);
                }
                PathMatch::Prefix(prefix) => prefixes.push((prefix.clone(), index)),
            }
        }
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Routing { exact, prefixes }
    }

    /// The index of the route that takes `path`.
    pub(crate) fn find(&self, path: &str) -> Option<usize> {
        let by_prefix = || self.prefixes.iter().find(|(prefix, _)| path.starts_with(prefix.as_str())).map(|(_, i)| *i);
        self.exact.get(path).copied().or_else(by_prefix)
    }
}
