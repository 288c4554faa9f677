//! What counts as kept: one request's facts against one objective.

use std::time::Duration;

use crate::route::{Class, Level};

use super::objective::{Kind, LatencyOf, Objective, Scope};

/// What is known of a request that ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Facts<'a> {
    /// The route, or what the caller of the API names as one.
    pub route: &'a str,
    /// The request's class.
    pub class: Class,
    /// The model that answered, where one did.
    pub model: Option<&'a str>,
    /// The level that answered; `None` where none did.
    pub level: Option<Level>,
    /// The status that the caller got; 0 where the connection broke before one was sent.
    pub code: u16,
    /// From the request's head to the answer's end.
    pub duration: Duration,
    /// The model's part of it; `None` where no model answered.
    pub inference: Option<Duration>,
    /// Until the first token, of a streamed answer that completed.
    pub first_token: Option<Duration>,
    /// Mean time between tokens, of a streamed answer that completed.
    pub per_token: Option<Duration>,
    /// The answer's confidence, where it reports one. NaN counts as 0.
    pub confidence: Option<f64>,
    /// The features that it was answered with; `None` where it used none.
    pub features: Option<Features<'a>>,
    /// Checks of its answer have not told whether it did harm.
    pub unjudged: bool,
    /// Who brought it to its end.
    pub origin: Origin,
}

/// The features that a request was answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features<'a> {
    /// The feature set.
    pub view: &'a str,
    /// The age of the oldest value, where it is known.
    pub oldest: Option<Duration>,
    /// Whether the feature stage called a value stale.
    pub stale: bool,
}

/// Whose request it was, and whether its caller stayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A caller who waited for the end.
    Caller,
    /// A caller who left before the end.
    Cancelled,
    /// Traffic of our own: probes, experiments, load.
    Synthetic,
}

/// What a request is to an objective.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It keeps the promise.
    Good,
    /// It breaks it.
    Bad,
    /// It is none of the objective's business.
    Ignored,
}

impl Scope {
    /// Whether a request is within the scope, its filter aside.
    pub fn covers(&self, facts: &Facts<'_>) -> bool {
        self.route.as_deref().is_none_or(|route| route == facts.route)
            && self.class.is_none_or(|class| class == facts.class)
            && self.model.as_deref().is_none_or(|model| facts.model == Some(model))
    }
}

/// Judges a request that is within an objective's scope, or not: allocates nothing.
///
/// The caller's own errors (4xx but 429), cancelled requests and synthetic traffic are ignored. To a safety objective every answer
/// is good until it is flagged, except for those that checks were to judge and did not: they are ignored. Quality is judged by labels, model freshness by the clock, external ratios by their source:
/// requests are ignored there.
pub fn judge(objective: &Objective, facts: &Facts<'_>) -> Verdict {
    if facts.origin != Origin::Caller || is_callers_fault(facts.code) || !objective.scope.covers(facts) {
        return Verdict::Ignored;
    }
    let good = match &objective.kind {
        Kind::Availability { min_confidence, confidence_required, good_levels, .. } => {
            let confident = match facts.confidence {
                // A NaN is not at least anything.
                Some(confidence) => confidence >= *min_confidence,
                None => !confidence_required,
            };
            is_answered(facts) && confident && facts.level.is_none_or(|level| level <= *good_levels)
        }
        Kind::Latency { threshold, of, .. } => {
            let Some(time) = timed(facts, *of) else { return untimed(facts) };
            is_answered(facts) && time <= *threshold
        }
        Kind::FeatureFreshness { max_age, view, .. } => {
            let Some(features) = facts.features else { return Verdict::Ignored };
            if view.as_deref().is_some_and(|view| view != features.view) {
                return Verdict::Ignored;
            }
            features.oldest.map_or(!features.stale, |oldest| oldest <= *max_age)
        }
        // An answer is harmless until somebody flags it, unless somebody was to look at it and did not tell.
        Kind::Safety { .. } if is_answered(facts) && !facts.unjudged => true,
        Kind::Safety { .. }
        | Kind::Quality { .. }
        | Kind::ModelFreshness { .. }
        | Kind::ReviewAge { .. }
        | Kind::External { .. } => {
            return Verdict::Ignored;
        }
    };
    if good { Verdict::Good } else { Verdict::Bad }
}

/// 4xx, but for 429: that is our own doing.
fn is_callers_fault(code: u16) -> bool {
    (400..500).contains(&code) && code != 429
}

fn is_answered(facts: &Facts<'_>) -> bool {
    (200..300).contains(&facts.code)
}

fn timed(facts: &Facts<'_>, of: LatencyOf) -> Option<Duration> {
    match of {
        LatencyOf::EndToEnd => Some(facts.duration),
        LatencyOf::InferenceOnly => facts.inference,
        LatencyOf::FirstToken => facts.first_token,
        LatencyOf::PerToken => facts.per_token,
    }
}

/// A request without the time in question: failures are slow; an answer that no model gave has no inference to time.
fn untimed(facts: &Facts<'_>) -> Verdict {
    if is_answered(facts) { Verdict::Ignored } else { Verdict::Bad }
}
