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
mod item;
mod metric;
mod translate;
mod wire;

use crate::finding::Finding;
use crate::read::Reader;
use crate::tree::{self, Node};

use documents::Documents;
pub(crate) use item::percent;

/// The annotation that keeps what OpenSLO has no field for.
const ITEM_KEY: &str = "mainstay.dev/indicator";

fn items(text: &str, prometheus: Option<&str>, reader: &mut Reader<'_>) -> Result<Vec<Node>, Finding> {
    let nodes = tree::parse_all(text)?;
    let documents = Documents::read(&nodes, prometheus, reader);
    Ok(translate::items(&documents, reader))
}
