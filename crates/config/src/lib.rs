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
mod drill;
mod explained;
mod finding;
mod gameday;
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

use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::plan::Plan;

pub use code::Code;
pub use drill::drill;
pub use explained::{Explained, explained};
pub use finding::{Finding, Severity};
pub use gameday::scenario;
pub use render::{render, to_json};
pub use rules::{grafana_dashboard, prometheus_rules};
pub use schema::schema;
pub use span::Span;
pub use template::template;
pub use tree::MAX_BYTES;

use raw::experiment::Document;
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

/// Reads the document of one experiment, in YAML or JSON: the experiment, unless an error was found, and all findings in the order of
/// the text. What it points at is checked where the plan is.
///
/// ```
/// let text = "name: a\nhypothesis: all is well\nroute: score\nfault: { model_error: {} }\nduration: 15\n";
/// let (experiment, findings) = mainstay_config::experiment(text);
/// assert!(experiment.is_none());
/// assert_eq!(findings[0].help.as_deref(), Some("write the unit: `15ms` or `15s`"));
/// ```
pub fn experiment(text: &str) -> (Option<Experiment>, Vec<Finding>) {
    let node = match tree::parse(text) {
        Ok(node) => node,
        Err(finding) => return (None, vec![finding]),
    };
    let mut reader = Reader::new(text);
    let written = Document::read(&node, &mut reader);
    let experiment = written.map(|written| written.experiment).filter(|_| !reader.refused());
    (experiment, reader.into_findings())
}

/// An experiment as a document in YAML.
pub fn experiment_yaml(experiment: &Experiment) -> String {
    serde_saphyr::to_string(experiment).expect("texts, numbers, lists and maps become YAML")
}

/// Reads YAML, or JSON, as a value of JSON; the finding says why it is neither.
pub fn document(text: &str) -> Result<serde_json::Value, Finding> {
    tree::parse(text).map(|node| node.value.to_json())
}
