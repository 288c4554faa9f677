//! What breaks, in which order, and how answers are judged.

use super::Judged;
use super::field::Answered;
use super::quality::{self, Figure};

/// One system and its outage.
pub(super) struct System {
    pub(super) name: &'static str,
    /// The path and the name of its route.
    pub(super) path: &'static str,
    pub(super) route: &'static str,
    /// Services, each with the port that the example's config names.
    pub(super) services: &'static [(&'static str, u16)],
    /// Step n brings the ladder to level n.
    pub(super) steps: [Step; 5],
    /// Whether a level counts requests: each level is then asked by a gateway that has seen none.
    pub(super) counts: bool,
    /// What answers at each level, in words.
    pub(super) answers: [&'static str; 5],
    /// How a level's answers are judged.
    pub(super) measure: Measure,
}

/// Figures of a level's answers to the judged requests, given those of level 0.
pub(super) type Measure = fn(&[Judged], &[Answered], &[Answered]) -> Vec<Figure>;

impl System {
    /// The pin that holds where that of `level` is taken back.
    pub(super) fn pin_before(&self, level: usize) -> Option<usize> {
        (0..level).rev().find(|before| matches!(self.steps[*before], Step::Pin(_)))
    }
}

/// One more thing that is broken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Nothing,
    /// A service's process is killed.
    Kill(&'static str),
    /// Two are.
    KillBoth(&'static str, &'static str),
    /// A data file is older than its `max_age`.
    Stale(&'static str),
    /// A service turns prompts of more tokens away.
    LongPrompts(&'static str, u64),
    /// No fault but a decision: a person pins the level.
    Pin(usize),
}

impl Step {
    pub(super) fn tell(self) -> String {
        match self {
            Step::Nothing => "nothing broke".to_owned(),
            Step::Kill(service) => format!("`{service}` was killed"),
            Step::KillBoth(one, other) => format!("`{one}` and `{other}` were killed"),
            Step::Stale(file) => format!("`{file}` grew too old"),
            Step::LongPrompts(service, most) => format!("`{service}` took prompts of {most} tokens at most"),
            Step::Pin(level) => format!("a pin to level {level}"),
        }
    }
}

pub(super) const SYSTEMS: [System; 5] = [
    System {
        name: "recommendation",
        path: "/v2/models/recommend/infer",
        route: "recommend",
        services: &[("personalised", 9101), ("neighbours", 9102)],
        steps: [
            Step::Nothing,
            Step::Kill("personalised"),
            Step::Kill("neighbours"),
            Step::Stale("popularity.csv"),
            Step::Stale("category_defaults.jsonl"),
        ],
        counts: false,
        answers: [
            "personalised model (`backend`)",
            "neighbours of cached embeddings (`backend`)",
            "popularity (`rank`)",
            "category defaults (`table`)",
            "editorial picks (`respond`)",
        ],
        measure: quality::of_recommendation,
    },
    System {
        name: "search-ranking",
        path: "/v2/models/search/infer",
        route: "search",
        services: &[("ranker", 9111), ("ranker-lite", 9112), ("features", 9113)],
        steps: [
            Step::Nothing,
            Step::KillBoth("features", "ranker"),
            Step::Kill("ranker-lite"),
            Step::Stale("articles.csv"),
            Step::Stale("published.csv"),
        ],
        counts: false,
        answers: [
            "full model and reader features (`backend`)",
            "model with fewer features (`backend`)",
            "BM25 (`rank`)",
            "recency (`rank`)",
            "unranked (`rank`)",
        ],
        measure: quality::of_search,
    },
    System {
        name: "content-moderation",
        path: "/v2/models/moderation/infer",
        route: "moderate",
        services: &[("classifier", 9121), ("classifier-small", 9122)],
        steps: [
            Step::Nothing,
            Step::Kill("classifier"),
            Step::Kill("classifier-small"),
            Step::Stale("watchlist.txt"),
            Step::Pin(4),
        ],
        counts: false,
        answers: [
            "large classifier (`backend`)",
            "small classifier (`backend`)",
            "keywords (`keywords`)",
            "held for a person (`queue`)",
            "blocked (`respond`)",
        ],
        measure: quality::of_moderation,
    },
    System {
        name: "llm-chat",
        path: "/v1/chat/completions",
        route: "chat",
        services: &[("large", 9131), ("small", 9132)],
        steps: [Step::Nothing, Step::LongPrompts("large", 130), Step::Kill("large"), Step::Kill("small"), Step::Pin(4)],
        counts: false,
        answers: [
            "large stand-in, whole conversation (`backend`)",
            "large stand-in, latest turns (`backend`, `context`)",
            "small stand-in (`backend`)",
            "templates (`keywords`)",
            "apology (`respond`)",
        ],
        measure: quality::of_chat,
    },
    System {
        name: "fraud-detection",
        path: "/v2/models/fraud/infer",
        route: "score",
        services: &[("scorer", 9141), ("features", 9143)],
        steps: [Step::Nothing, Step::Kill("scorer"), Step::Stale("batch_scores.csv"), Step::Pin(3), Step::Pin(4)],
        counts: true,
        answers: [
            "real-time score (`backend`)",
            "batch scores (`table`)",
            "rules (`rules`)",
            "velocity limits (`velocity`)",
            "held for a person (`queue`)",
        ],
        measure: quality::of_fraud,
    },
];
