//! Random changes to known inputs: a poor man's fuzzer, which needs no nightly compiler.

use mainstay_core::rng::Rng;

/// No input grows beyond this.
pub const MAX_BYTES: usize = 8 * 1024;

/// Changes to one input, at most.
const MAX_CHANGES: u64 = 8;

/// What is worth putting anywhere: what opens, closes, separates, escapes or overflows.
const TOKENS: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b":",
    b",",
    b"\n",
    b"\0",
    b"~1",
    b"-",
    b"1e999",
    b"-0",
    b"18446744073709551616",
    b"null",
    b"true",
    b"*a",
    b"&a ",
    b"<<: ",
    b"\\ud800",
    b"\xff",
    "\u{1F600}".as_bytes(),
    b"((((((((",
];

/// A changed copy of one of `corpus`; empty of an empty one.
pub fn mutate(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = pick(corpus, rng).to_vec();
    for _ in 0..=rng.below(MAX_CHANGES) {
        change(&mut input, corpus, rng);
    }
    input.truncate(MAX_BYTES);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    let at = below(input.len() + 1, rng);
    let end = (at + 1 + below(32, rng)).min(input.len());
    match rng.below(6) {
        0 => drop(input.drain(at..end)),
        1 => insert(input, at, TOKENS[below(TOKENS.len(), rng)]),
        2 => insert(input, at, &[rng.next_u64() as u8]),
        3 => {
            let copy = input[at..end].to_vec();
            insert(input, below(input.len() + 1, rng), &copy);
        }
        4 => {
            let other = pick(corpus, rng);
            insert(input, at, &other[below(other.len() + 1, rng)..]);
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

fn pick<'a>(corpus: &'a [Vec<u8>], rng: &mut Rng) -> &'a [u8] {
    corpus.get(below(corpus.len(), rng)).map_or(&[], Vec::as_slice)
}

fn below(n: usize, rng: &mut Rng) -> usize {
    rng.below(n as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_differ_stay_bounded_and_follow_from_the_seed() {
        let corpus = [b"{\"a\": 1}".to_vec(), vec![b'x'; MAX_BYTES]];
        let run = |seed| {
            let mut rng = Rng::new(seed);
            (0..200).map(|_| mutate(&corpus, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert!(run(1).iter().all(|input| input.len() <= MAX_BYTES));
        assert!(mutate(&[], &mut Rng::new(3)).len() <= MAX_BYTES);
    }
}
