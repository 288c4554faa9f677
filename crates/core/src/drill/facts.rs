//! What expectations of a drill may ask for, and expectations that contradict each other.

use crate::chaos::gameday::criterion::Compiled;
use crate::expr::CompileError;

/// Facts of a span of time, with what each is.
pub const FACTS: &[(&str, &str)] = &[
    ("requests", "requests that came, retries of callers included"),
    ("asked", "what callers wanted answered: requests without retries of callers"),
    ("good", "requests answered by a backend at the best level within the deadline"),
    ("degraded", "requests answered at another level"),
    ("shed", "requests turned away for lack of room"),
    ("failed", "requests that no level answered"),
    (
        "goodput",
        "`good` as a share of what could have been: the lesser of what came and what the route's first backend could carry",
    ),
    ("goodput_min", "the same of the worst whole second"),
    (
        "success_class",
        "of those that came, the share that had a good answer, whenever it came; by class, a list of four",
    ),
    ("requests_class", "requests that came by class, a list of four"),
    ("p50_ms", "the median of the time to a good answer, in milliseconds"),
    ("p99_ms", "the 99 % quantile of the same"),
    ("p999_ms", "the 99.9 % quantile of the same"),
    ("call_p99_ms", "the same of calls to backends that went well: without the wait for a place"),
    ("unloaded_p99_ms", "the 99 % quantile of the first backend's time for one request that meets no other"),
    ("late_ms", "the longest time after its deadline at which a request was answered, in milliseconds"),
    ("ttft_p50_ms", "language models: the median of the time from the request to the first token, in milliseconds"),
    ("ttft_p99_ms", "the 99 % quantile of the same"),
    ("ttft_p999_ms", "the 99.9 % quantile of the same"),
    ("tokens_good", "tokens of good answers of language models"),
    (
        "token_goodput",
        "`tokens_good` as a share of what could have been: the lesser of what was asked for and what the engine gives under the best constant number of calls",
    ),
    ("preempted", "of the answers of language models, the share that lost its place in the cache on the way"),
    ("levels", "answers by level, a list of five"),
    ("deepest", "the deepest level at which requests started"),
    ("attempts", "calls to backends"),
    ("amplification", "calls to backends per thing that callers wanted answered"),
    ("hedges", "calls that were made beside one that was late"),
    ("hedges_won", "those of them that answered first"),
    ("backend_failures", "calls to backends that failed"),
    ("opened", "how often a breaker opened"),
    ("opened_s", "seconds from the beginning until a breaker opened; -1: none did"),
    ("failures_before_open", "calls that failed before a breaker opened for the first time; -1: none did"),
    ("probes_max", "the most calls at once that tested a half-open backend"),
    ("stale", "results of calls that began before the breaker's state did"),
    ("moved_by_stale", "changes of a breaker's state that such a result caused"),
    ("limit_min", "the least limit of the first backend"),
    ("limit_max", "the greatest limit of the first backend"),
    (
        "inversions",
        "requests turned away though one of a worse class that came later had a place, 200 ms or more after they came",
    ),
    ("retrievals", "retrievals from feature stores"),
    ("retrieval_failures", "retrievals from feature stores that failed"),
    ("cached_answers", "answers with features of which one came from the cache"),
    ("stale_answers", "answers with features of which one was stale"),
    ("alerts", "alerts of objectives that fired"),
    (
        "budget_left",
        "the share of its budget that each objective has left at the end, by its name: `budget_left[\"web_availability\"]`",
    ),
    ("incidents", "incidents that were opened"),
    ("incidents_open", "incidents that are open at the end"),
    ("incident_types", "the types of the incidents that were opened, as they are at the end, a list"),
    (
        "incident_opened_s",
        "seconds until the first incident was opened; null: none was, and no comparison with it holds",
    ),
    ("pages", "pages that arrived"),
    ("paged_s", "seconds until the first page arrived, or null"),
    ("acknowledged_s", "seconds until somebody took an incident, or null"),
    ("mitigated_s", "seconds until an incident's effect began to be ended, or null"),
    ("resolved_s", "seconds until an incident was resolved, or null"),
];

/// Facts of those who watch the service: there are none where nobody does.
pub const WATCHED: [&str; 11] = [
    "alerts",
    "budget_left",
    "incidents",
    "incidents_open",
    "incident_types",
    "incident_opened_s",
    "pages",
    "paged_s",
    "acknowledged_s",
    "mitigated_s",
    "resolved_s",
];

/// The names of all facts.
pub fn names() -> Vec<&'static str> {
    FACTS.iter().map(|(name, _)| *name).collect()
}

/// Compiles an expectation.
pub fn compile(text: &str) -> Result<Compiled, CompileError> {
    Compiled::of_facts(text, &names())
}

/// Objectives whose budgets an expectation asks for, with where their names stand: `budget_left["NAME"]` or `budget_left.NAME`.
pub fn budgets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, fact) in text.match_indices("budget_left") {
        let rest = &text[at + fact.len()..];
        let opened = ["[\"", "['", "."].iter().find_map(|open| rest.strip_prefix(open));
        let Some(rest) = opened else { continue };
        let is_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '/' | '.');
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        found.push((text.len() - rest.len(), rest[..end].to_owned()));
    }
    found
}

/// A bound that an expectation sets on a fact, where it says so in plain words: `FACT OP NUMBER`, joined by `&&`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bounds {
    /// At least this.
    pub low: f64,
    /// At most this.
    pub high: f64,
}

/// The plain bounds of an expectation, by fact. What is not plain is left out.
pub fn bounds(text: &str) -> Vec<(String, Bounds)> {
    text.split("&&").filter_map(|part| bound(part.trim())).collect()
}

/// Two bounds of which no value keeps both.
pub fn contradict(one: Bounds, other: Bounds) -> bool {
    one.low.max(other.low) > one.high.min(other.high)
}

fn bound(part: &str) -> Option<(String, Bounds)> {
    let (at, op) = ["<=", ">=", "==", "<", ">"].iter().find_map(|op| part.find(op).map(|at| (at, *op)))?;
    let fact = part[..at].trim();
    let number: f64 = part[at + op.len()..].trim().parse().ok()?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '[' | ']');
    if fact.is_empty() || !fact.chars().all(plain) {
        return None;
    }
    let bounds = match op {
        "<=" => Bounds { low: f64::NEG_INFINITY, high: number },
        "<" => Bounds { low: f64::NEG_INFINITY, high: number.next_down() },
        ">=" => Bounds { low: number, high: f64::INFINITY },
        ">" => Bounds { low: number.next_up(), high: f64::INFINITY },
        _ => Bounds { low: number, high: number },
    };
    Some((fact.to_owned(), bounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_bounds_are_compared() {
        let of = |text: &str| bounds(text)[0].clone();
        assert!(contradict(of("shed > 0").1, of("shed == 0").1));
        assert!(!contradict(of("goodput >= 0.98").1, of("goodput >= 0.9").1));
        assert!(contradict(of("goodput < 0.9").1, of("goodput >= 0.9").1));
        assert_eq!(bounds("p99_ms <= 1.3 * unloaded_p99_ms"), Vec::new());
        assert_eq!(bounds("success_class[0] >= 0.999 && shed > 2").len(), 2);
    }

    #[test]
    fn budgets_are_found_by_their_objectives() {
        let text = r#"budget_left["web_availability"] >= 0.5 && budget_left.chat > 0.0 && shed == 0"#;
        assert_eq!(budgets(text), [(13, "web_availability".to_owned()), (54, "chat".to_owned())]);
        assert_eq!(&text[54..58], "chat");
        assert!(compile(text).is_ok());
        assert!(WATCHED.iter().all(|name| names().contains(name)));
    }

    #[test]
    fn an_unknown_fact_is_named() {
        let error = compile("goodputt > 0.5").unwrap_err();
        assert!(error.message.contains("goodputt") && error.message.contains("goodput_min"), "{}", error.message);
        assert!(compile("p99_ms <= 1.3 * unloaded_p99_ms").is_ok());
    }
}
