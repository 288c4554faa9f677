//! `mainstay.yaml` to a plan, or findings with places.
//!
//! ```text
//! text --YAML--> tree --read--> sections --lower--> Plan
//!                  `-------------+----------`-----> findings: code, place, words, help
//! ```
//!
//! Everything that is wrong is reported at once, in the order of the file. Pure: no files, no environment; secrets
//! stay references that the binary resolves.
//!
//! ```
//! let (plan, findings) = mainstay_config::load("service: fraud\nroutes: []\n");
//! assert!(plan.is_none());
//! assert_eq!(findings[0].code.as_str(), "E0303");
//! println!("{}", mainstay_config::render(&findings, "mainstay.yaml", "service: fraud\nroutes: []\n", false));
//! ```

mod cel;
mod code;
mod finding;
mod lower;
pub mod openslo;
mod raw;
mod read;
mod render;
mod rules;
mod schema;
mod span;
mod suggest;
mod template;
mod tree;
mod values;

use mainstay_core::plan::Plan;

pub use code::{Code, explain};
pub use finding::{Finding, Severity};
pub use render::{render, to_json};
pub use rules::{grafana_dashboard, prometheus_rules};
pub use schema::schema;
pub use span::Span;
pub use template::template;
pub use tree::MAX_BYTES;

use read::{Kind, Reader};

/// Reads a config: the plan, unless an error was found, and all findings in the order of the text.
///
/// Every text is answered in bounded time and memory; see [`MAX_BYTES`].
pub fn load(text: &str) -> (Option<Plan>, Vec<Finding>) {
    let node = match tree::parse(text) {
        Ok(node) => node,
        Err(finding) => return (None, vec![finding]),
    };
    let mut reader = Reader::new(text);
    let plan = raw::Root::read(&node, &mut reader).and_then(|root| lower::plan(root, &mut reader));
    (plan.filter(|_| !reader.refused()), reader.into_findings())
}
