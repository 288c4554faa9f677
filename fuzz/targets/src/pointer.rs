use mainstay_gateway::json::{Pointer, find, fold_numbers, span};
use serde_json::Value;

/// A pointer in the first line and a document after it: what is found is a part of the document, and the pointer is
/// written as it was read.
pub fn pointer(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (text, document) = (String::from_utf8_lossy(&bytes[..end]), bytes.get(end + 1..).unwrap_or_default());
    let Ok(pointer) = Pointer::parse(&text) else { return };
    assert_eq!(Pointer::parse(&pointer.to_string()).as_ref(), Ok(&pointer));
    let Ok(Some(found)) = find(document, &pointer) else { return };
    assert_eq!(&document[span(document, found)], found.get().as_bytes());
    serde_json::from_str::<Value>(found.get()).ok();
    let mut all_finite = true;
    let numbers = fold_numbers(found, |number| all_finite &= number.is_finite());
    assert!(numbers.is_none() || all_finite, "numbers of JSON are finite");
}
