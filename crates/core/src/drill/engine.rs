//! An engine that serves a language model: it takes new requests into its batch at every step.

use std::time::Duration;

use crate::stats::law;

/// Points at which a law of lengths is looked at for its means.
const POINTS: u32 = 400;

/// An engine that batches continuously.
///
/// A step takes `step`, `decode` for each sequence that gets its next token, and `prefill` for each token of a prompt that
/// is read; at most `chunk` tokens of prompts are read in a step. A sequence holds a place in the cache for each token of
/// its prompt and its answer. Where the cache is full, the sequence that came last loses its place and is read anew later.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Engine {
    /// Most sequences at once.
    pub sequences: u32,
    /// Tokens that the cache holds.
    pub cache: u32,
    /// Most tokens of prompts in a step.
    pub chunk: u32,
    /// What every step takes.
    pub step: Duration,
    /// What a step takes longer for each sequence that gets a token.
    pub decode: Duration,
    /// What a step takes longer for each token of a prompt.
    pub prefill: Duration,
    /// How long prompts are.
    pub prompt: Lengths,
    /// How long answers are.
    pub output: Lengths,
    /// Prompts of another kind.
    pub long: Long,
    /// What callers were promised.
    pub promise: Promise,
}

/// A log-normal law of numbers of tokens, cut off at `max`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Lengths {
    /// Half of all have no more.
    pub median: f64,
    /// Sigma of the logarithm; 0: all have the median.
    pub spread: f64,
    /// None has more.
    pub max: u32,
}

/// Prompts that are much longer than the others.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Long {
    /// How many of all prompts are.
    pub share: f64,
    /// How many tokens they have.
    pub prompt: u32,
}

/// When an answer is a good one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Promise {
    /// Its first token comes by then, counted from the request.
    pub first_token: Duration,
    /// The first token may take so much longer for each token of the prompt.
    pub prompt_token: Duration,
    /// Each further token takes no longer in the mean.
    pub token: Duration,
}

impl Lengths {
    /// The length of which a standard normal number is `z`.
    pub fn at(&self, z: f64) -> u32 {
        ((self.median * (self.spread * z).exp()) as u32).clamp(1, self.max.max(1))
    }

    /// The mean, and the mean of the squares.
    fn means(&self) -> (f64, f64) {
        let lengths = (0..POINTS).map(|point| {
            let above = (f64::from(point) + 0.5) / f64::from(POINTS);
            f64::from(self.at(law::normal_quantile_above(above)))
        });
        let (sum, squares) = lengths.fold((0.0, 0.0), |(sum, squares), it| (sum + it, squares + it * it));
        (sum / f64::from(POINTS), squares / f64::from(POINTS))
    }
}

impl Promise {
    /// Whether an answer of `tokens` to a prompt was a good one.
    pub fn is_kept(&self, prompt: u32, first: Duration, tokens: u32, rest: Duration) -> bool {
        let first_by = self.first_token + self.prompt_token * prompt;
        first <= first_by && rest <= self.token * tokens
    }
}

impl Engine {
    /// Requests per second that a full batch answers in the steady state.
    ///
    /// With `B` sequences, `P` tokens per prompt and `O` per answer, a step takes `s = step + decode B + prefill P r s`
    /// at `r` requests per second, and `r O s = B`: hence `r = B / (O (step + decode B) + prefill P B)`. `B` is what the
    /// cache allows at the mean size of a sequence while it runs, and at most `sequences`.
    pub fn capacity(&self) -> f64 {
        let (output, squares) = self.output.means();
        let prompt = self.prompt_mean();
        let size = prompt + squares / (2.0 * output);
        let batch = f64::from(self.sequences).min((f64::from(self.cache) / size).max(1.0));
        let decode = output * (self.step.as_secs_f64() + self.decode.as_secs_f64() * batch);
        batch / (decode + self.prefill.as_secs_f64() * prompt * batch)
    }

    /// The mean of all prompts.
    pub fn prompt_mean(&self) -> f64 {
        self.prompt.means().0 * (1.0 - self.long.share) + f64::from(self.long.prompt) * self.long.share
    }

    /// The time to the first token of a prompt that meets no other.
    pub fn unloaded_first_s(&self, prompt: u32) -> f64 {
        let steps = f64::from(prompt.div_ceil(self.chunk.max(1)));
        steps * self.step.as_secs_f64() + f64::from(prompt) * self.prefill.as_secs_f64()
    }
}
