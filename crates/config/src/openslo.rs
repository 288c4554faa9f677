//! OpenSLO in and out: what `docs/openslo.md` says of each field, as code.
//!
//! ```text
//! text --YAML--> documents --translate--> items of `slos:` --lower--> objectives
//!                    `------------+------------`---------------> findings, with places in the OpenSLO text
//! ```
//!
//! An item that a document becomes is the same that a config would hold, and goes through the same checks.

mod alerts;
mod alpha;
mod documents;
mod duration;
mod export;
mod item;
mod metric;
mod translate;
mod wire;

use mainstay_core::slo::objective::Objective;

use crate::finding::Finding;
use crate::lower::slo::{Known, lower};
use crate::raw::slo::Slo;
use crate::read::{Kind, Reader};
use crate::span::At;
use crate::tree::{self, Node};

use documents::Documents;
pub use export::{Exported, export};
pub(crate) use item::percent;

/// The annotation that keeps what OpenSLO has no field for.
const ITEM_KEY: &str = "mainstay.dev/indicator";

/// The annotation that keeps a name that OpenSLO does not allow.
const NAME_KEY: &str = "mainstay.dev/name";

/// What an import needs to know that documents do not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Into<'a> {
    /// The service that the objectives become part of.
    pub service: &'a str,
    /// Its routes, if names are to be checked.
    pub routes: Option<&'a [&'a str]>,
    /// Its feature sets, if names are to be checked.
    pub views: Option<&'a [&'a str]>,
    /// Where Prometheus is if no document says it.
    pub prometheus: Option<&'a str>,
}

/// What an import made of a text.
#[derive(Debug)]
pub struct Imported {
    /// The objectives; none if there is an error among the findings.
    pub objectives: Vec<Objective>,
    /// The same as items of `slos:`, to be put into a config.
    pub items: String,
    /// What was found, in the order of the text.
    pub findings: Vec<Finding>,
}

/// Reads OpenSLO v1 and v1alpha documents.
///
/// ```
/// use mainstay_config::openslo;
///
/// let text = "apiVersion: openslo/v1\nkind: Service\nmetadata: { name: a, colour: red }\nspec: {}\n";
/// let imported = openslo::import(text, &openslo::Into::default());
/// assert_eq!(imported.findings[0].code.as_str(), "E0104");
/// assert!(imported.objectives.is_empty());
/// ```
pub fn import(text: &str, into: &Into<'_>) -> Imported {
    let nodes = match tree::parse_all(text) {
        Ok(nodes) => nodes,
        Err(finding) => return Imported { objectives: Vec::new(), items: String::new(), findings: vec![finding] },
    };
    let mut reader = Reader::new(text);
    let documents = Documents::read(&nodes, into.prometheus, &mut reader);
    let items = translate::items(&documents, &mut reader);
    let known = Known { service: into.service, routes: into.routes, views: into.views, queues: None };
    let objectives = lower_items(&items, &known, &mut reader);
    if reader.refused() {
        return Imported { objectives: Vec::new(), items: String::new(), findings: reader.into_findings() };
    }
    let json: Vec<serde_json::Value> = items.iter().map(|item| item.value.to_json()).collect();
    let written = serde_json::json!({ "slos": json });
    let items = serde_saphyr::to_string(&written).expect("JSON values are YAML");
    Imported { objectives, items, findings: reader.into_findings() }
}

fn lower_items(items: &[Node], known: &Known<'_>, reader: &mut Reader<'_>) -> Vec<Objective> {
    let raw: Vec<At<Slo>> =
        items.iter().filter_map(|item| Slo::read(item, reader).map(|slo| At::new(slo, item.span))).collect();
    lower(&raw, known, reader).into_iter().map(|(_, objective)| objective).collect()
}
