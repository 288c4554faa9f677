//! Requests that wait for a person.

use std::time::Duration;

use mainstay_core::answer::review::{Review as Held, State, TEXT_MAX};
use mainstay_core::event::format_time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;

/// Most requests of one page.
const PAGE_MAX: usize = 1000;
/// Longest lease.
const LEASE_MAX: Duration = Duration::from_hours(24);

/// The parameters of `GET /api/v1/reviews`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewsQuery {
    pub(crate) queue: Option<String>,
    pub(crate) state: Option<String>,
    #[serde(default)]
    pub(crate) after: u64,
    #[serde(default = "usual_page")]
    pub(crate) limit: usize,
}

const fn usual_page() -> usize {
    100
}

impl ReviewsQuery {
    /// The same, where it asks for something possible.
    pub(crate) fn checked(self) -> Result<ReviewsQuery, String> {
        if self.state.as_deref().is_some_and(|state| !["waiting", "claimed", "decided"].contains(&state)) {
            return Err("`state` is waiting, claimed or decided".to_owned());
        }
        if !(1..=PAGE_MAX).contains(&self.limit) {
            return Err(format!("`limit` is 1 to {PAGE_MAX}"));
        }
        Ok(self)
    }
}

/// `GET /api/v1/reviews`.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the names are the API's")]
pub(crate) struct Reviews {
    /// The queue.
    pub(crate) queue: String,
    /// Requests in the order of their numbers.
    pub(crate) reviews: Vec<Review>,
    /// What to give as `after` for the next page; null: this is the last.
    pub(crate) next: Option<u64>,
}

/// A request that waits for a person, or was decided.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Review {
    /// Its number in the queue.
    pub(crate) id: u64,
    /// `waiting`, `claimed` or `decided`.
    state: &'static str,
    /// When it was held.
    held_at: String,
    /// The route that took it.
    route: String,
    /// Who sent it; empty where the caller is no client.
    client: String,
    /// Its id.
    request_id: String,
    /// Why it went down the ladder.
    reason: String,
    /// Its body.
    body: String,
    /// Who claimed or decided it.
    by: Option<String>,
    /// When a claim ends.
    claimed_until: Option<String>,
    /// What was decided.
    decision: Option<String>,
    /// Why.
    note: Option<String>,
    /// When.
    decided_at: Option<String>,
}

/// The body of `POST /api/v1/reviews`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewRequest {
    /// `claim` or `decide`.
    pub(crate) action: ReviewAction,
    /// The queue; absent: the only one.
    #[serde(default)]
    pub(crate) queue: Option<String>,
    /// The request's number; absent in a claim: the oldest that waits.
    #[serde(default)]
    pub(crate) id: Option<u64>,
    /// Who.
    pub(crate) by: String,
    /// How long a claim holds, as `90s`, `30m` or `2h`, at most 24 hours. Default: 15m.
    #[serde(default)]
    pub(crate) lease: Option<String>,
    /// What is decided, in a word such as `allow` or `block`.
    #[serde(default)]
    pub(crate) decision: Option<String>,
    /// Why.
    #[serde(default)]
    pub(crate) note: String,
}

/// What is done with a request.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReviewAction {
    /// Take it for a while.
    Claim,
    /// Decide about it.
    Decide,
}

impl ReviewRequest {
    /// How long a claim holds, or what is impossible about the request.
    pub(crate) fn checked_lease(&self) -> Result<Duration, String> {
        self.check_texts()?;
        let Some(text) = &self.lease else { return Ok(Duration::from_mins(15)) };
        let lease = duration(text).filter(|lease| !lease.is_zero() && *lease <= LEASE_MAX);
        lease.ok_or_else(|| format!("`lease` {text} is not a duration such as 30m, of at most 24 hours"))
    }

    /// The number and the decision, or what is impossible about the request.
    pub(crate) fn checked_decision(&self) -> Result<(u64, String), String> {
        self.check_texts()?;
        let id = self.id.ok_or("`id` is missing: which request is decided?")?;
        let decision = self.decision.clone().filter(|decision| !decision.trim().is_empty());
        Ok((id, decision.ok_or("`decision` is missing: a word such as allow or block")?))
    }

    fn check_texts(&self) -> Result<(), String> {
        if self.by.trim().is_empty() {
            return Err("`by` is empty: who is it?".to_owned());
        }
        let texts = [Some(&self.by), self.decision.as_ref(), Some(&self.note)];
        match texts.into_iter().flatten().find(|text| text.len() > TEXT_MAX) {
            Some(_) => Err(format!("a text is longer than {TEXT_MAX} bytes")),
            None => Ok(()),
        }
    }
}

impl From<Held> for Review {
    fn from(from: Held) -> Review {
        let mut review = Review {
            id: from.id,
            state: from.state.name(),
            held_at: format_time(from.held.at),
            route: from.held.route,
            client: from.held.client,
            request_id: from.held.request_id,
            reason: from.held.reason,
            body: from.held.body,
            by: None,
            claimed_until: None,
            decision: None,
            note: None,
            decided_at: None,
        };
        match from.state {
            State::Waiting => {}
            State::Claimed { by, until } => {
                review.by = Some(by);
                review.claimed_until = Some(format_time(until));
            }
            State::Decided(made) => {
                review.by = Some(made.by);
                review.decision = Some(made.decision);
                review.note = Some(made.note).filter(|note| !note.is_empty());
                review.decided_at = Some(format_time(made.at));
            }
        }
        review
    }
}
