//! OpenAI's moderation endpoint: what is asked, and what the answer means.
//!
//! ```text
//! POST /v1/moderations {"input": "...", "model": "..."}
//! 200 {"results": [{"flagged": true, "categories": {"violence": true, "hate": false}}]}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Finding, Why, word};
use crate::plan::Moderation;

/// Where it is asked, below the server's base URL.
pub const PATH: &str = "/v1/moderations";

/// Longest answer, in bytes.
pub const ANSWER_MAX: usize = 256 << 10;

#[derive(Serialize)]
struct Request<'a> {
    input: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Judged>,
}

#[derive(Deserialize)]
struct Judged {
    flagged: bool,
    #[serde(default)]
    categories: BTreeMap<String, bool>,
}

/// The body that asks about a text.
pub fn request(server: &Moderation, text: &str) -> Vec<u8> {
    let request = Request { input: text, model: server.model.as_deref() };
    serde_json::to_vec(&request).expect("texts are always JSON")
}

/// What an answer says. An answer that is not in this shape says nothing, and neither does one that leaves out a category which
/// counts.
///
/// ```
/// use mainstay_core::safety::{Finding, Why, moderation};
///
/// let found = |status, body: &str| moderation::read(&[], status, body.as_bytes());
/// assert_eq!(found(200, r#"{"results": [{"flagged": false}]}"#), Finding::Clear);
/// assert_eq!(found(200, r#"{"results": []}"#), Finding::Unknown(Why::BadAnswer));
/// assert_eq!(found(503, r#"{"results": [{"flagged": false}]}"#), Finding::Unknown(Why::Status));
/// ```
pub fn read(categories: &[String], status: u16, body: &[u8]) -> Finding {
    if !(200..300).contains(&status) {
        return Finding::Unknown(Why::Status);
    }
    let Ok(Answer { results }) = serde_json::from_slice(body) else { return Finding::Unknown(Why::BadAnswer) };
    if results.is_empty() {
        return Finding::Unknown(Why::BadAnswer);
    }
    let mut unknown = false;
    for judged in &results {
        if categories.is_empty() {
            if judged.flagged {
                let kind = judged.categories.iter().find(|(_, holds)| **holds);
                return Finding::Flagged { kind: kind.map(|(name, _)| word(name)) };
            }
            continue;
        }
        for category in categories {
            match judged.categories.get(category) {
                Some(true) => return Finding::Flagged { kind: Some(word(category)) },
                Some(false) => {}
                None => unknown = true,
            }
        }
    }
    if unknown { Finding::Unknown(Why::BadAnswer) } else { Finding::Clear }
}
