//! An answered request as monitors and labels see it: what the data plane hands to the engine, in batches.

use crate::rng::Rng;
use crate::route::{Class, Level};
use crate::time::Time;

/// Most values of an embedding.
pub const EMBEDDING_MAX: usize = 4_096;
/// Longest word, in bytes; longer ones are cut.
pub const WORD_MAX: usize = 128;

/// A request that was answered, and what was looked at in it.
#[derive(Clone, PartialEq, Debug)]
pub struct Observed {
    /// When the answer was there.
    pub at: Time,
    /// The request's id.
    pub request_id: Box<str>,
    /// Its client; empty where it has no name.
    pub client: Box<str>,
    /// Index of its route into the plan's routes.
    pub route: u32,
    /// Its class.
    pub class: Class,
    /// The level that answered.
    pub level: Level,
    /// Index of the backend whose model answered into the plan's backends.
    pub backend: Option<u32>,
    /// Whether it is remembered for labels.
    pub for_labels: bool,
    /// What was predicted.
    pub prediction: Option<Value>,
    /// The answer's confidence.
    pub confidence: Option<f64>,
    /// By index into the plan's monitors: the values that they look at. Empty where monitors leave this request out.
    pub values: Vec<(u32, Value)>,
}

/// A value that was found.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing was found, or what is no value of its kind.
    Missing,
    /// A number, finite.
    Number(f64),
    /// A word.
    Word(Box<str>),
    /// A vector.
    Vector(Box<[f32]>),
}

impl Value {
    /// A word, cut to [`WORD_MAX`].
    pub fn word(text: &str) -> Value {
        let mut end = text.len().min(WORD_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Value::Word(text[..end].into())
    }
}

/// Whether a prediction is among the share that is remembered for labels: by its client and id alone, so that whoever gets its label
/// can tell.
pub fn is_remembered(client: &str, id: &str, share: f64) -> bool {
    if share >= 1.0 {
        return true;
    }
    // FNV-1a, then mixed: the low bits of short texts that are alike are alike.
    let bytes = client.bytes().chain([0xff]).chain(id.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Rng::new(hash).unit() < share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_kept_by_any_kind_of_id() {
        for ids in [|n: u32| n.to_string(), |n: u32| format!("request-{n:012}"), |n: u32| format!("{:x}", n << 12)] {
            let kept = (0..20_000).filter(|n| is_remembered("checkout", &ids(*n), 0.1)).count();
            assert!((1_830..=2_170).contains(&kept), "four deviations around 2,000: {kept}");
        }
        assert!(is_remembered("", "", 1.0));
        assert!(!is_remembered("", "a", 0.0));
    }

    #[test]
    fn words_are_cut_between_characters() {
        let long = "\u{e9}".repeat(100);
        assert_eq!(Value::word(&long), Value::Word("\u{e9}".repeat(64).into()));
    }
}
