use http::{HeaderMap, HeaderValue};
use mainstay_core::expr::Program;
use mainstay_gateway::answers::RequestFacts;

const REQUEST: &[u8] =
    br#"{"id":"r","parameters":{"amount":12.5,"tags":["a","b"]},"inputs":[{"name":"x","shape":[1],"data":[1]}]}"#;

/// A CEL program: it compiles or says where it does not, and then has an answer or an error for a request.
pub fn expression(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let program = match Program::compile(&text) {
        Ok(program) => program,
        Err(error) => {
            assert!(error.offset <= text.len(), "{error:?} points outside of the text");
            assert!(!error.message.is_empty());
            return;
        }
    };
    for warning in program.warnings() {
        assert!(warning.offset <= text.len(), "{warning:?} points outside of the text");
    }
    let mut headers = HeaderMap::new();
    headers.insert("x-user-tier", HeaderValue::from_static("premium"));
    let facts = RequestFacts::new("score", "checkout", &headers, REQUEST);
    let again = RequestFacts::new("score", "checkout", &headers, REQUEST);
    assert_eq!(program.matches(&facts), program.matches(&again), "the same request has the same answer");
}
