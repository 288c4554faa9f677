//! Checks of answers: what a check finds, what that keeps from the caller, and what it says of an answer in the end.
//!
//! A check that is down, late or not to be understood has not found an answer harmless: it is *unknown*, which is a finding of its
//! own from the first step to the last.
//!
//! ```text
//! answer ──text──> each check ──Finding──> Docket ──block()──> the next level, or a given one
//!                                                `──conclusion()──> judged or not, and at most one flag
//! ```

pub mod moderation;
mod text;
#[cfg(test)]
mod tests;

use crate::expr::Facts;
use crate::observed::is_remembered;
use crate::plan::{Check, CheckBy, CheckWhen};
use crate::route::Level;
use crate::time::Time;

pub use text::said;

/// Longest word that names what was found, in characters.
const KIND_MAX: usize = 64;

/// What a check finds of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Nothing.
    Clear,
    /// What it looks for.
    Flagged {
        /// What kind of harm that is, where the check tells.
        kind: Option<String>,
    },
    /// It cannot tell.
    Unknown(Why),
}

impl Finding {
    /// In one word, for metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Finding::Clear => "clear",
            Finding::Flagged { .. } => "flagged",
            Finding::Unknown(_) => "unknown",
        }
    }
}

/// Why a check cannot tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Why {
    /// It took too long.
    Timeout,
    /// It could not be reached, or broke off.
    Unreachable,
    /// It answered with an error.
    Status,
    /// Its answer cannot be understood.
    BadAnswer,
    /// It has too much to do already.
    Busy,
    /// It failed so often that it is not asked for a while.
    BreakerOpen,
    /// The text is longer than it looks at.
    TooLong,
    /// The answer is no text, or none in the shape of its protocol.
    Unreadable,
    /// The answer is passed on as it comes, and is not held anywhere.
    NotHeld,
    /// The expression has no value for it.
    RuleFailed,
}

impl Why {
    /// In one word, for metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Why::Timeout => "timeout",
            Why::Unreachable => "unreachable",
            Why::Status => "status",
            Why::BadAnswer => "bad_answer",
            Why::Busy => "busy",
            Why::BreakerOpen => "breaker_open",
            Why::TooLong => "too_long",
            Why::Unreadable => "unreadable",
            Why::NotHeld => "not_held",
            Why::RuleFailed => "rule_failed",
        }
    }
}

/// An answer that was shown and that a check flagged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flag {
    /// When the answer was given.
    pub at: Time,
    /// Its route.
    pub route: String,
    /// The model that gave it.
    pub model: Option<String>,
    /// The client that asked.
    pub client: String,
    /// The request.
    pub request_id: String,
    /// The checks that flagged it.
    pub by: String,
    /// What kind of harm it is.
    pub kind: Option<String>,
    /// Whether that is certain.
    pub confirmed: bool,
    /// The run of an experiment that touched the request.
    pub experiment: Option<String>,
}

/// Why an answer is kept from its caller, and where its request goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blocked {
    /// In one word: `flagged` or `unchecked`.
    pub reason: &'static str,
    /// The level at which the request goes on; `None`: the next entry.
    pub level: Option<Level>,
}

/// What is to be said of an answer that was shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conclusion {
    /// Whether it is known if it did harm: every check of its route told, or one flagged it for certain.
    pub judged: bool,
    /// Whom it is flagged by, for what, and whether that is certain.
    pub flag: Option<(String, Option<String>, bool)>,
}

/// The checks of one answer.
#[derive(Clone, Debug)]
pub struct Docket {
    /// By check that applies: its index into the plan's checks, and where it stands.
    checks: Vec<(usize, Standing)>,
}

/// Where one check of an answer stands.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Standing {
    /// To be asked before the answer is shown.
    Before,
    /// To be asked once it was shown.
    After,
    /// It looked at the beginning of the answer only.
    Begun(Finding),
    /// It is not asked about this answer.
    LeftOut,
    /// It has told.
    Told(Finding),
}

impl Docket {
    /// The checks of an answer on the route at index `route`. Which share of answers is looked at afterwards is decided by the request
    /// alone.
    pub fn new(checks: &[Check], route: usize, client: &str, request_id: &str) -> Docket {
        let applying = checks.iter().enumerate().filter(|(_, check)| check.routes.contains(&route));
        let standing = |check: &Check| match check.when {
            CheckWhen::Inline => Standing::Before,
            // Its name takes part, so that two checks do not look at the same requests.
            CheckWhen::After { share } if is_remembered(&format!("{}\0{client}", check.name), request_id, share) => {
                Standing::After
            }
            CheckWhen::After { .. } => Standing::LeftOut,
        };
        Docket { checks: applying.map(|(at, check)| (at, standing(check))).collect() }
    }

    /// The next check to ask before the answer is shown.
    pub fn next_before(&self) -> Option<usize> {
        self.checks.iter().find(|(_, standing)| *standing == Standing::Before).map(|(at, _)| *at)
    }

    /// The next check to ask about all of the answer, once it was shown.
    pub fn next_after(&self) -> Option<usize> {
        let open = |standing: &Standing| match standing {
            Standing::Before | Standing::After | Standing::Begun(_) => true,
            Standing::LeftOut | Standing::Told(_) => false,
        };
        self.checks.iter().find(|(_, standing)| open(standing)).map(|(at, _)| *at)
    }

    /// A check told of the beginning of an answer that is shown as it comes. What is flagged there is flagged; of anything else the rest
    /// has to be seen.
    pub fn handle_beginning(&mut self, check: usize, finding: Finding) {
        let told = match finding {
            Finding::Flagged { .. } => Standing::Told(finding),
            Finding::Clear | Finding::Unknown(_) => Standing::Begun(finding),
        };
        self.set(check, told);
    }

    /// A check told of all of the answer.
    pub fn handle_finding(&mut self, check: usize, finding: Finding) {
        self.set(check, Standing::Told(finding));
    }

    fn set(&mut self, check: usize, standing: Standing) {
        if let Some((_, of)) = self.checks.iter_mut().find(|(at, _)| *at == check) {
            *of = standing;
        }
    }

    /// What was found so far.
    fn findings(&self) -> impl Iterator<Item = (usize, &Finding)> {
        self.checks.iter().filter_map(|(at, standing)| match standing {
            Standing::Begun(finding) | Standing::Told(finding) => Some((*at, finding)),
            Standing::Before | Standing::After | Standing::LeftOut => None,
        })
    }

    /// Whether the answer is kept from its caller, by what was found so far. A flag outweighs what is unknown, and of several levels the
    /// deepest is meant.
    pub fn block(&self, checks: &[Check]) -> Option<Blocked> {
        let blocked = self.findings().filter_map(|(at, finding)| {
            let block = checks.get(at)?.block?;
            match finding {
                Finding::Flagged { .. } => Some(Blocked { reason: "flagged", level: block.level }),
                Finding::Unknown(_) if block.unknown => Some(Blocked { reason: "unchecked", level: block.level }),
                Finding::Unknown(_) | Finding::Clear => None,
            }
        });
        blocked.reduce(|a, b| Blocked {
            reason: if b.reason == "flagged" { b.reason } else { a.reason },
            level: a.level.max(b.level),
        })
    }

    /// Whether nothing was found that speaks against giving the answer once more.
    pub fn is_fine_so_far(&self) -> bool {
        self.findings().all(|(_, finding)| *finding == Finding::Clear)
    }

    /// What is to be said of the answer in the end.
    pub fn conclusion(&self, checks: &[Check]) -> Conclusion {
        let mut by: Vec<&str> = Vec::new();
        let (mut kind, mut confirmed, mut suspected) = (None, false, false);
        for (at, finding) in self.findings() {
            let (Some(check), Finding::Flagged { kind: found }) = (checks.get(at), finding) else { continue };
            by.push(&check.name);
            kind = kind.or_else(|| found.clone());
            confirmed |= check.confirmed;
            suspected |= !check.confirmed;
        }
        let told = |(_, standing): &(usize, Standing)| match standing {
            Standing::Told(Finding::Clear | Finding::Flagged { .. }) => true,
            Standing::Told(Finding::Unknown(_))
            | Standing::Before
            | Standing::After
            | Standing::Begun(_)
            | Standing::LeftOut => false,
        };
        let flag = (confirmed || suspected).then(|| (by.join(","), kind, confirmed));
        Conclusion { judged: confirmed || (!suspected && self.checks.iter().all(told)), flag }
    }
}

/// What a check finds that needs nobody else; `None`: a server has to be asked.
pub fn find(check: &Check, text: &str, facts: &dyn Facts) -> Option<Finding> {
    if text.len() > check.longest {
        return Some(Finding::Unknown(Why::TooLong));
    }
    match &check.by {
        CheckBy::Moderation(_) => None,
        CheckBy::Patterns(patterns) => Some(match patterns.first_in(text) {
            Some(_) => Finding::Flagged { kind: None },
            None => Finding::Clear,
        }),
        CheckBy::Rule(program) => Some(match program.matches(facts) {
            Ok(true) => Finding::Flagged { kind: None },
            Ok(false) => Finding::Clear,
            Err(_) => Finding::Unknown(Why::RuleFailed),
        }),
    }
}

/// A word for what was found: printable, and not too long.
fn word(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(KIND_MAX).collect()
}
