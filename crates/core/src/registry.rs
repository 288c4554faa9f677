//! Models that are served: which version may become the champion, and how the change is made so that it either holds
//! everywhere or is taken back.
//!
//! ```text
//! check: is there such a version, did its gates pass, is the champion the expected one, does the budget allow it?
//!    |
//!    v        moved             told                 reads the new version
//! [move] ----------> [tell] ----------> [read back] ----------> promoted
//!    | refused          | fails              | reads another
//!    v                  v                    v
//! failed             [move back] --> [tell of the old one] --> [read back] --> rolled back
//!                       | refused                                  | reads another
//!                       v                                          v
//!                    rollback failed  <-----------------------------
//! ```
//!
//! Invariants: the pointer moves before anybody is told; *rolled back* is said only after the pointer was read and stands
//! where it stood before.

pub mod switch;

pub use switch::{Effect, Outcome, Switch};

/// The pointer that says which version is served.
pub const CHAMPION: &str = "champion";

/// What a version's gates said, about exactly the files that its digest names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gates {
    /// All passed.
    Passed,
    /// At least one did not.
    Failed,
    /// None was run.
    NotRun,
}

impl Gates {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Gates::Passed => "passed",
            Gates::Failed => "failed",
            Gates::NotRun => "not_run",
        }
    }

    /// The verdict of a word.
    pub fn from_word(word: &str) -> Option<Gates> {
        [Gates::Passed, Gates::Failed, Gates::NotRun].into_iter().find(|gates| gates.as_str() == word)
    }
}

/// What somebody asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The version that is to be served.
    pub version: String,
    /// The champion that the asker knows of; `None`: whatever it is. `Some("")`: there is none yet.
    pub expect: Option<String>,
    /// Whether gates and budget policy may be passed over; who does so says why, and it is recorded.
    pub force: bool,
    /// Whether it is the way back: to a version that was champion before. Neither gates nor budget stand in the way of
    /// that.
    pub rollback: bool,
}

/// What is known when somebody asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// The version that is served.
    pub champion: Option<String>,
    /// The gates of the asked version; `None`: there is no such version.
    pub gates: Option<Gates>,
    /// Why the error budget's policy refuses changes at this moment.
    pub budget_refuses: Option<String>,
}

/// Why a version does not become champion. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody registered it.
    #[error("there is no version `{0}`")]
    UnknownVersion(String),
    /// It is the champion.
    #[error("version `{0}` is the champion already")]
    AlreadyChampion(String),
    /// Somebody else moved the pointer.
    #[error("the champion is {}, not {}", named(.found), named(.expected))]
    ChampionMoved {
        /// What the asker expected.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Its gates failed, or none was run.
    #[error("the gates of version `{version}` {}", match .gates { Gates::Failed => "failed", Gates::NotRun | Gates::Passed => "were not run" })]
    Gates {
        /// The version.
        version: String,
        /// What they said.
        gates: Gates,
    },
    /// The budget's policy.
    #[error("the error budget's policy refuses a promotion: {0}")]
    Budget(String),
    /// There is nothing to go back to.
    #[error("there is no earlier champion to go back to")]
    NoEarlier,
}

fn named(version: &str) -> String {
    if version.is_empty() { "nothing yet".to_owned() } else { format!("`{version}`") }
}

/// Whether the asked change may be tried.
pub fn check(request: &Request, view: &View) -> Result<(), Refusal> {
    let Some(gates) = view.gates else { return Err(Refusal::UnknownVersion(request.version.clone())) };
    let champion = view.champion.as_deref().unwrap_or_default();
    if let Some(expected) = request.expect.as_deref().filter(|expected| *expected != champion) {
        return Err(Refusal::ChampionMoved { expected: expected.to_owned(), found: champion.to_owned() });
    }
    if champion == request.version {
        return Err(Refusal::AlreadyChampion(request.version.clone()));
    }
    if request.force || request.rollback {
        return Ok(());
    }
    match gates {
        Gates::Passed => {}
        Gates::Failed | Gates::NotRun => {
            return Err(Refusal::Gates { version: request.version.clone(), gates });
        }
    }
    view.budget_refuses.clone().map_or(Ok(()), |why| Err(Refusal::Budget(why)))
}

/// The champion before the current one, from all moves of the pointer, the oldest first. Going back twice goes back two
/// versions, not back and forth: a move to an earlier champion forgets what came after it.
pub fn earlier<'a>(moves: impl IntoIterator<Item = &'a str>) -> Result<&'a str, Refusal> {
    let mut champions: Vec<&str> = Vec::new();
    for version in moves {
        match champions.iter().position(|earlier| *earlier == version) {
            Some(at) => champions.truncate(at + 1),
            None if version.is_empty() => champions.clear(),
            None => champions.push(version),
        }
    }
    let count = champions.len();
    if count < 2 { Err(Refusal::NoEarlier) } else { Ok(champions[count - 2]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(version: &str) -> Request {
        Request { version: version.to_owned(), expect: None, force: false, rollback: false }
    }

    fn known() -> View {
        View { champion: Some("1".to_owned()), gates: Some(Gates::Passed), budget_refuses: None }
    }

    #[test]
    fn what_passed_its_gates_may_be_promoted() {
        assert_eq!(check(&asked("2"), &known()), Ok(()));
        assert_eq!(check(&Request { expect: Some("1".to_owned()), ..asked("2") }, &known()), Ok(()));
        assert_eq!(
            check(&Request { expect: Some(String::new()), ..asked("2") }, &View { champion: None, ..known() }),
            Ok(())
        );
    }

    #[test]
    fn each_refusal_names_its_reason() {
        let refusal = |request: &Request, view: &View| check(request, view).unwrap_err().to_string();
        assert_eq!(refusal(&asked("9"), &View { gates: None, ..known() }), "there is no version `9`");
        assert_eq!(refusal(&asked("1"), &known()), "version `1` is the champion already");
        let expecting = Request { expect: Some(String::new()), ..asked("2") };
        assert_eq!(refusal(&expecting, &known()), "the champion is `1`, not nothing yet");
        let failed = View { gates: Some(Gates::Failed), ..known() };
        assert_eq!(refusal(&asked("2"), &failed), "the gates of version `2` failed");
        let not_run = View { gates: Some(Gates::NotRun), ..known() };
        assert_eq!(refusal(&asked("2"), &not_run), "the gates of version `2` were not run");
        let spent = View { budget_refuses: Some("availability is exhausted".to_owned()), ..known() };
        assert!(refusal(&asked("2"), &spent).ends_with("availability is exhausted"));
    }

    #[test]
    fn force_passes_over_gates_and_budget_but_not_over_a_moved_champion() {
        let view = View { gates: Some(Gates::Failed), budget_refuses: Some("spent".to_owned()), ..known() };
        let forced = Request { force: true, ..asked("2") };
        assert_eq!(check(&forced, &view), Ok(()));
        assert!(check(&Request { expect: Some("7".to_owned()), ..forced }, &view).is_err());
        assert_eq!(check(&Request { rollback: true, ..asked("0") }, &view), Ok(()));
    }

    #[test]
    fn going_back_twice_goes_back_two_versions() {
        assert_eq!(earlier(["1", "2", "3"]), Ok("2"));
        assert_eq!(earlier(["1", "2", "3", "2"]), Ok("1"));
        assert_eq!(earlier(["1", "2", "3", "2", "4"]), Ok("2"));
        assert_eq!(earlier(["1", "2", "1"]), Err(Refusal::NoEarlier));
        assert_eq!(earlier(["1", "", "2"]), Err(Refusal::NoEarlier));
        assert_eq!(earlier([]), Err(Refusal::NoEarlier));
    }
}
