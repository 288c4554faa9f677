//! A model of a batching language-model engine: 64 sequences at once, a key-value cache of 76,800 tokens, prefill at
//! 60 us a token. Tokens count as good when the first came within 2 s and the others every 60 ms or faster.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_core::resilience::limiter::{Config, Limiter, Sample, Slice};
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

const SEQUENCES: usize = 64;
const CACHE_TOKENS: f64 = 76_800.0;
const STEP_TOKENS: f64 = 2048.0;
/// What the engine answers per second of this mix of prompts, about.
const CAPACITY: f64 = 7.7;
const WARM_UP_S: f64 = 120.0;
const END_S: f64 = 420.0;

/// What an engine did.
pub(crate) struct Seen {
    pub(crate) good_tokens_per_s: f64,
    pub(crate) first_token_p99_s: f64,
}

struct Request {
    arrived: f64,
    prompt: f64,
    output: f64,
    produced: f64,
    to_prefill: f64,
    first: Option<f64>,
}

impl Request {
    fn tokens(&self) -> f64 {
        self.prompt + self.produced
    }
}

struct Engine {
    rng: Rng,
    limiter: Limiter,
    slice: Slice,
    in_flight: u32,
    requests: Vec<Request>,
    waiting: VecDeque<usize>,
    running: Vec<usize>,
    good_tokens: f64,
    first_tokens: Vec<f64>,
}

/// Plays `load` times the capacity.
pub(crate) fn play(config: Config, load: f64, seed: u64) -> Seen {
    let mut engine = Engine {
        rng: Rng::new(seed),
        limiter: Limiter::new(config, Time::ZERO),
        slice: Slice::new(),
        in_flight: 0,
        requests: Vec::new(),
        waiting: VecDeque::new(),
        running: Vec::new(),
        good_tokens: 0.0,
        first_tokens: Vec::new(),
    };
    let (mut now, mut next_arrival) = (0.0, 0.0);
    while now < END_S {
        while next_arrival <= now {
            engine.arrive(next_arrival);
            next_arrival += engine.rng.exponential(1.0 / (CAPACITY * load));
        }
        engine.admit();
        now = if engine.running.is_empty() { next_arrival } else { engine.step(now) };
        engine.slice.in_flight = engine.in_flight;
        let begun = engine.running.iter().filter(|i| engine.requests[**i].first.is_some()).count();
        engine.slice.begun = begun as u32;
        engine.slice.in_flight_max = engine.slice.in_flight_max.max(engine.in_flight);
        engine.limiter.handle_window(&engine.slice, Time::ZERO + Duration::from_secs_f64(now));
        engine.slice.clear();
    }
    engine.first_tokens.sort_by(f64::total_cmp);
    let p99 = (engine.first_tokens.len() - 1) * 99 / 100;
    Seen { good_tokens_per_s: engine.good_tokens / (END_S - WARM_UP_S), first_token_p99_s: engine.first_tokens[p99] }
}

impl Engine {
    fn arrive(&mut self, now: f64) {
        let prompt = self.log_normal(400.0, 0.8).clamp(16.0, 8000.0);
        let output = self.log_normal(150.0, 1.0).clamp(4.0, 2048.0).floor();
        if self.in_flight >= self.limiter.limit() {
            self.slice.limited = true;
            return;
        }
        self.in_flight += 1;
        let request = Request { arrived: now, prompt, output, produced: 0.0, to_prefill: prompt, first: None };
        self.requests.push(request);
        self.waiting.push_back(self.requests.len() - 1);
    }

    fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let normal = (-2.0 * (1.0 - self.rng.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.rng.unit()).cos();
        median * (sigma * normal).exp()
    }

    /// Fills the batch; a cache that has grown too full puts the latest sequence back to prefill again.
    fn admit(&mut self) {
        let mut used: f64 = self.running.iter().map(|i| self.requests[*i].tokens()).sum();
        while let Some(&next) = self.waiting.front() {
            let need = self.requests[next].tokens();
            if self.running.len() >= SEQUENCES || used + need > CACHE_TOKENS && !self.running.is_empty() {
                break;
            }
            self.waiting.pop_front();
            self.running.push(next);
            used += need;
        }
        while used > CACHE_TOKENS && self.running.len() > 1 {
            let out = self.running.pop().expect("more than one runs");
            used -= self.requests[out].tokens();
            self.requests[out].to_prefill = self.requests[out].tokens();
            self.waiting.push_front(out);
        }
    }

    /// One step of the batch: a token for each sequence that has its prompt behind it. Returns when it ends.
    fn step(&mut self, now: f64) -> f64 {
        let (mut budget, mut decoding, mut produced) = (STEP_TOKENS, 0.0, Vec::new());
        for &i in &self.running {
            let request = &mut self.requests[i];
            if request.to_prefill <= 0.0 {
                decoding += 1.0;
                produced.push(i);
                continue;
            }
            let part = request.to_prefill.min(budget);
            budget -= part;
            request.to_prefill -= part;
            if part > 0.0 && request.to_prefill <= 0.0 {
                produced.push(i);
            }
        }
        let end = now + 0.012 + 0.0002 * decoding + 0.00006 * (STEP_TOKENS - budget);
        for i in produced {
            self.token(i, end);
        }
        end
    }

    fn token(&mut self, i: usize, now: f64) {
        let request = &mut self.requests[i];
        request.produced += 1.0;
        let waited = now - request.arrived;
        if request.first.is_none() {
            request.first = Some(now);
            self.slice.record_first_byte(Duration::from_secs_f64(waited), self.limiter.signal());
        }
        if request.produced >= request.output {
            self.finish(i, now);
        }
    }

    fn finish(&mut self, i: usize, now: f64) {
        self.running.retain(|running| *running != i);
        self.in_flight -= 1;
        let Request { arrived, output, first, .. } = self.requests[i];
        let sample = Sample::answered(Duration::from_secs_f64(now - arrived));
        self.slice.record(&sample, self.in_flight + 1, self.limiter.signal());
        let first = first.unwrap_or(now);
        if now > WARM_UP_S {
            self.first_tokens.push(first - arrived);
            if first - arrived <= 2.0 && (now - first) / output <= 0.06 {
                self.good_tokens += output;
            }
        }
    }
}
