//! The one answer that every model of the wall gives: sixty words, so that a cut is seen to the word.

/// What is answered. A token is a word with the space before it.
pub(super) const ANSWER: &str = "A bridge is trusted because somebody loaded it with sand before the first train came. Every bolt was \
counted, every crack was written down, and the engineer slept beneath the span on opening day. Nobody asked the river for \
its opinion, yet the river spoke each spring, and those who listened built the next long bridge a little higher still.";

/// How many tokens `ANSWER` has.
pub(super) const TOKENS: usize = 60;

/// The answer's tokens that come after `prefix`; all of them where it is no prefix of the answer.
pub(super) fn tokens_after(prefix: &str) -> Vec<&'static str> {
    let rest = ANSWER.strip_prefix(prefix).unwrap_or(ANSWER);
    let mut starts: Vec<usize> = rest.match_indices(' ').map(|(at, _)| at).collect();
    if !rest.is_empty() && starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([rest.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &rest[start..end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_sixty_tokens_and_goes_on_from_anywhere() {
        assert_eq!(tokens_after("").len(), TOKENS);
        for at in 0..=ANSWER.len() {
            assert_eq!(tokens_after(&ANSWER[..at]).concat(), ANSWER[at..]);
        }
        assert_eq!(tokens_after("Something else").concat(), ANSWER);
    }
}
