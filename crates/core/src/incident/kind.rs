//! How bad an incident is, and where it stands.

use serde::{Deserialize, Serialize};

/// How bad. The first is the worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Harm, or most users are without a good answer.
    Sev1,
    /// Many users notice, or a budget is gone within days.
    Sev2,
    /// Some users notice, or it will become worse.
    Sev3,
    /// Nobody notices yet.
    Sev4,
}

impl Severity {
    /// Every severity, the worst first.
    pub const ALL: [Severity; 4] = [Severity::Sev1, Severity::Sev2, Severity::Sev3, Severity::Sev4];

    /// The word at rest, in the config and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Sev1 => "sev1",
            Severity::Sev2 => "sev2",
            Severity::Sev3 => "sev3",
            Severity::Sev4 => "sev4",
        }
    }

    /// The severity of a word.
    pub fn from_word(word: &str) -> Option<Severity> {
        Severity::ALL.into_iter().find(|it| it.as_str().eq_ignore_ascii_case(word))
    }
}

/// Where an incident stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was found; nobody has taken it.
    Detected,
    /// Somebody looks for the cause.
    Investigating,
    /// Its effect is being ended.
    Mitigating,
    /// Its effect has ended.
    Resolved,
    /// It is reviewed and closed.
    PostMortem,
    /// It was none.
    Cancelled,
    /// It is part of another.
    Merged,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 7] = [
        Status::Detected,
        Status::Investigating,
        Status::Mitigating,
        Status::Resolved,
        Status::PostMortem,
        Status::Cancelled,
        Status::Merged,
    ];

    /// The word at rest and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Detected => "detected",
            Status::Investigating => "investigating",
            Status::Mitigating => "mitigating",
            Status::Resolved => "resolved",
            Status::PostMortem => "post_mortem",
            Status::Cancelled => "cancelled",
            Status::Merged => "merged",
        }
    }

    /// The status of a word.
    pub fn from_word(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// Where an incident may go from here.
    pub const fn next(self) -> &'static [Status] {
        use Status::{Cancelled, Investigating, Merged, Mitigating, PostMortem, Resolved};
        match self {
            Status::Detected => &[Investigating, Mitigating, Resolved, Cancelled, Merged],
            Status::Investigating => &[Mitigating, Resolved, Cancelled, Merged],
            Status::Mitigating => &[Investigating, Resolved, Cancelled, Merged],
            Status::Resolved => &[Investigating, PostMortem],
            Status::PostMortem | Status::Cancelled | Status::Merged => &[],
        }
    }

    /// Whether it goes on: what belongs to it joins it.
    pub const fn is_open(self) -> bool {
        matches!(self, Status::Detected | Status::Investigating | Status::Mitigating)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for severity in Severity::ALL {
            assert_eq!(Severity::from_word(severity.as_str()), Some(severity));
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.as_str());
        }
        for status in Status::ALL {
            assert_eq!(Status::from_word(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }

    #[test]
    fn what_is_open_can_be_resolved_and_what_has_ended_goes_nowhere() {
        for status in Status::ALL {
            assert_eq!(status.is_open(), status.next().contains(&Status::Resolved), "{status:?}");
            assert!(!status.next().contains(&status));
            assert!(!status.next().contains(&Status::Detected));
        }
        assert!(Status::PostMortem.next().is_empty());
    }
}
