//! What to do about what failed: a table of signs, faults and texts.

use crate::chaos::verdict::{Compared, Verdict};

use super::checks::Facts;

/// Most recommendations of a run.
const ADVICE_MOST: usize = 8;

/// What was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sign {
    /// Too many unanswered requests, and no answer from a deeper level.
    Unanswered,
    /// Too many unanswered requests, though some were answered from a deeper level.
    StillUnanswered,
    /// The latency's tail is too long.
    Slow,
    /// Answers from deeper levels than expected.
    TooDeep,
    /// Requests met the fault, and nothing shows it: neither errors nor levels nor latency.
    Unnoticed,
    /// The control got worse too.
    Spilled,
    /// All was not well again.
    NotRecovered,
    /// Too little was seen.
    Few,
    /// The caps spared many.
    Spared,
    /// The dose is wrong for another reason.
    WrongDose,
    /// The arms' sizes are wrong.
    Uneven,
    /// The arms were unlike before the fault.
    Unlike,
}

/// The signs, the faults that a text is for (none: all that no other text of the sign is for), and the text.
const ADVICE: &[(Sign, &[&str], &str)] = &[
    (
        Sign::Unanswered,
        &["model_error", "wrong_version", "malformed_answer"],
        "route `{route}`: nothing answered what `{fault}` failed: add an entry to `ladder` that does not use `{target}`, such as `rules` or `respond`, and shorten the `timeout` of the entry that does so that the deadline leaves time for it",
    ),
    (
        Sign::Unanswered,
        &["model_latency", "slow_first_token"],
        "route `{route}`: the deadline passed while `{target}` was waited for: give its entry of `ladder` a `timeout` well below the route's `deadline`, and add an entry after it that does not use `{target}`",
    ),
    (
        Sign::Unanswered,
        &["feature_latency", "feature_error"],
        "route `{route}`: requests failed without the features of `{target}`: add an entry with `features: {mode: cached}` to `ladder`, set `cache` and `defaults` of `features.{target}`, and a `store.timeout` well below the entry's `timeout`",
    ),
    (
        Sign::Unanswered,
        &["data_quality", "stale_features"],
        "route `{route}`: requests failed for values of `{target}`: set `defaults` of `features.{target}`, and add an entry to `ladder` that does without them",
    ),
    (
        Sign::Unanswered,
        &["stalled_stream", "truncated_stream"],
        "route `{route}`: streams broke and nothing took over: set `stream.gap` and `stream.buffer`, `after_commit: continue` or `restart`, and a second entry in `ladder` for `{target}`",
    ),
    (
        Sign::Unanswered,
        &["overload"],
        "route `{route}`: requests were turned away under more load: add a cheaper entry to `ladder` (`simpler_model`, `cache`, `rules`), bound `queue.wait`, and let `shed_before` allow deeper levels before a 429",
    ),
    (
        Sign::StillUnanswered,
        &["model_error", "malformed_answer", "wrong_version"],
        "route `{route}`: the fallback came too late or failed for some: shorten the `timeout` of the entry of `{target}`, let its `breaker` open sooner (`consecutive`, `failure_share`), and check that the next entries have the capacity (`limit`)",
    ),
    (
        Sign::StillUnanswered,
        &["feature_latency", "feature_error", "model_latency", "slow_first_token"],
        "route `{route}`: for some requests no time was left to fall back: shorten the `timeout` of what waits for `{target}`; the `deadline` is one for all entries of `ladder`",
    ),
    (
        Sign::StillUnanswered,
        &["overload"],
        "route `{route}`: deeper levels answered, and not all: give the next entries more capacity (`limit`), or end `ladder` with a local answer (`respond`) that needs none",
    ),
    (
        Sign::StillUnanswered,
        &[],
        "route `{route}`: a fallback answered `{fault}`, and not for all: end `ladder` with a local answer (`respond`), and leave it time within `deadline`",
    ),
    (
        Sign::Slow,
        &["model_latency"],
        "route `{route}`: the tail waits for `{target}`: shorten its entry's `timeout`, and let its `breaker` count slow calls (`slow_after`, `slow_share`)",
    ),
    (
        Sign::Slow,
        &["feature_latency"],
        "route `{route}`: the tail waits for features of `{target}`: shorten `features.{target}.store.timeout`, and answer from `mode: cached`",
    ),
    (
        Sign::Slow,
        &["slow_first_token", "stalled_stream"],
        "route `{route}`: streams are waited for: shorten `stream.first_token` and `stream.gap`, and set `stream.min_tokens`",
    ),
    (
        Sign::Slow,
        &["overload"],
        "route `{route}`: requests wait in the queue: shorten `queue.wait` and `queue.max`, and set a `limit` with a latency target on the backend",
    ),
    (
        Sign::Slow,
        &["model_error", "feature_error", "malformed_answer", "truncated_stream"],
        "route `{route}`: failures are found out slowly or tried again for long: lower `retry.attempts` of `{target}`, and let its `breaker` open sooner",
    ),
    (
        Sign::Slow,
        &[],
        "route `{route}`: `{fault}` lengthens the tail beyond what is tolerated: shorten the `timeout` of the entry that uses `{target}`",
    ),
    (
        Sign::TooDeep,
        &[],
        "route `{route}`: `{fault}` was answered from a deeper level than is expected: look at why the entries between failed or had no permit (`limit`, `timeout`), or correct `expect.level`",
    ),
    (
        Sign::Unnoticed,
        &["stale_features"],
        "route `{route}`: old features were used as if they were new: set `features.{target}.max_age` below the age of the fault, and an objective of `freshness`",
    ),
    (
        Sign::Unnoticed,
        &["data_quality"],
        "route `{route}`: spoiled values went to the model unnoticed: watch these features for drift (`drift`), and answer by `rules` where values are out of range",
    ),
    (
        Sign::Unnoticed,
        &["wrong_version"],
        "route `{route}`: another version answered unnoticed: pin `version` of backend `{target}`, and watch `quality` and `drift` of predictions by version",
    ),
    (
        Sign::Unnoticed,
        &["malformed_answer"],
        "route `{route}`: answers that cannot be read went to callers: set `protocol` of backend `{target}` and the route's `prediction.pointer`, so that an answer without it counts as failed",
    ),
    (
        Sign::Spilled,
        &[],
        "route `{route}`: the control got worse as well, so the arms share what broke (breaker, limit, pool): repeat `{fault}` with a smaller `dose`, or with blocks of time (`cohort.share` above 50%)",
    ),
    (
        Sign::NotRecovered,
        &[],
        "route `{route}`: after `{fault}` was taken away not all came back: look at the breaker of `{target}` (`open_max`, `successes`), at `hysteresis.up`, and at retries that keep the load up; a longer `recovery` only if this is meant",
    ),
    (
        Sign::Few,
        &[],
        "too little was seen: repeat `{fault}` with a longer `duration` or a larger `cohort.share`; a dry run tells the smallest increase that would be found",
    ),
    (
        Sign::Spared,
        &[],
        "the caps spared requests that were to meet `{fault}`: raise `caps.concurrent` or `caps.total`, or lower `dose`",
    ),
    (
        Sign::WrongDose,
        &[],
        "requests of route `{route}` did not meet `{fault}` as often as planned: check that `{target}` is what its best entry uses, and that no cache answers before it",
    ),
    (
        Sign::Uneven,
        &[],
        "the arms of route `{route}` are of unequal size: assign by request (`cohort.by: request`), or look for retries and heavy callers",
    ),
    (
        Sign::Unlike,
        &[],
        "the arms of route `{route}` differed before the fault came: assign by request, or by a unit of which there are more",
    ),
];

/// What is recommended.
pub(super) fn advice(facts: &Facts, verdict: Verdict, split_held: bool) -> Vec<String> {
    let experiment = &facts.run.experiment;
    let fault = experiment.fault.name();
    let target = experiment.target.as_deref().unwrap_or("the target");
    let fill =
        |text: &str| text.replace("{route}", &experiment.route).replace("{target}", target).replace("{fault}", fault);
    let texts = signs(facts, verdict, split_held).into_iter().flat_map(|sign| {
        let of = |named: bool| {
            let rows = ADVICE.iter().filter(move |(of, faults, _)| {
                *of == sign && if named { faults.contains(&fault) } else { faults.is_empty() }
            });
            rows.map(|(_, _, text)| *text).collect::<Vec<_>>()
        };
        let own = of(true);
        if own.is_empty() { of(false) } else { own }
    });
    texts.map(fill).take(ADVICE_MOST).collect()
}

fn signs(facts: &Facts, verdict: Verdict, split_held: bool) -> Vec<Sign> {
    let beyond = |figure: Option<Compared>| figure.is_some_and(|it| it.low > it.margin);
    let failed = facts.errors_held() == Some(false) || beyond(facts.errors);
    let slow = facts.p99_held() == Some(false) || beyond(facts.p99);
    let fell_back = facts.fell_back();
    let met = fell_back.is_some();
    let judged = matches!(verdict, Verdict::Tolerated | Verdict::Degraded | Verdict::Violated);
    [
        (Sign::NotRecovered, facts.recovered == Some(false)),
        (Sign::Unanswered, met && failed && fell_back == Some(false)),
        (Sign::StillUnanswered, met && failed && fell_back == Some(true)),
        (Sign::Slow, met && slow),
        (Sign::TooDeep, facts.level_held() == Some(false) && !failed),
        (Sign::Unnoticed, judged && met && !failed && !slow && fell_back == Some(false)),
        (Sign::Spilled, facts.lead.spilled == Some(true)),
        (Sign::Few, verdict == Verdict::Inconclusive && facts.lead.struck != Some(true)),
        (Sign::Spared, facts.dose.is_some_and(|dose| !dose.held && dose.spared > 0)),
        (Sign::WrongDose, facts.dose.is_some_and(|dose| !dose.held && dose.spared == 0)),
        (Sign::Uneven, !split_held),
        (Sign::Unlike, facts.lead.alike == Some(false)),
    ]
    .into_iter()
    .filter_map(|(sign, seen)| seen.then_some(sign))
    .collect()
}
