use mainstay_core::answer::keywords::{Boundaries, Matcher, parse};

/// A file of keywords: refused with lines, or each of its keywords finds itself.
pub fn keywords(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let list = match parse(bytes) {
        Ok(list) => list,
        Err(faults) => {
            assert!(!faults.is_empty() && faults.iter().all(|fault| (1..=lines).contains(&fault.line)));
            return;
        }
    };
    for boundaries in [Boundaries::Word, Boundaries::None] {
        let matcher = Matcher::new(list.clone(), boundaries).expect("a short list has a matcher");
        for keyword in list.iter().take(50) {
            assert!(matcher.find(&keyword.keyword).is_some(), "{keyword:?}");
        }
    }
}
