//! Dockets against what they promise, whatever checks find.

use proptest::prelude::*;

use super::*;
use crate::plan::{Block, Patterns};

fn check(name: &str, when: CheckWhen, block: Option<Block>, confirmed: bool) -> Check {
    let by = CheckBy::Patterns(Patterns::new(&["bad"]).unwrap());
    Check { name: name.to_owned(), routes: vec![0], by, when, block, confirmed, longest: 100 }
}

fn any_finding() -> impl Strategy<Value = Finding> {
    prop_oneof![
        Just(Finding::Clear),
        Just(Finding::Flagged { kind: Some("k".to_owned()) }),
        Just(Finding::Unknown(Why::Timeout)),
    ]
}

fn any_check() -> impl Strategy<Value = Check> {
    let when = prop_oneof![
        Just(CheckWhen::Inline),
        Just(CheckWhen::After { share: 1.0 }),
        Just(CheckWhen::After { share: 0.0 })
    ];
    let level = prop_oneof![Just(None), (1_u8..5).prop_map(Level::new)];
    let block = prop::option::of((level, any::<bool>()).prop_map(|(level, unknown)| Block { level, unknown }));
    (when, block, any::<bool>()).prop_map(|(when, block, confirmed)| check("c", when, block, confirmed))
}

proptest! {
    /// An answer is judged only where every check of it said so, or one is certain of harm; whatever blocks was found, and whatever was
    /// found and blocks does.
    #[test]
    fn nothing_is_safe_that_nobody_found_safe(
        checks in prop::collection::vec((any_check(), any_finding(), any_finding()), 0..5), is_begun in any::<bool>(),
    ) {
        let plan: Vec<Check> = checks.iter().map(|(check, ..)| check.clone()).collect();
        let mut docket = Docket::new(&plan, 0, "client", "r-1");
        let mut found: Vec<Option<&Finding>> = vec![None; plan.len()];
        while let Some(at) = docket.next_before() {
            let finding = &checks[at].1;
            found[at] = Some(finding);
            if is_begun {
                docket.handle_beginning(at, finding.clone());
            } else {
                docket.handle_finding(at, finding.clone());
            }
        }
        let flags = |at: usize| matches!(found[at], Some(Finding::Flagged { .. }));
        let unknown = |at: usize| matches!(found[at], Some(Finding::Unknown(_)));
        let blocking = |at: usize| plan[at].block.is_some_and(|block| flags(at) || (unknown(at) && block.unknown));
        let blocked = docket.block(&plan);
        prop_assert_eq!(blocked.is_some(), (0..plan.len()).any(blocking));
        if let Some(blocked) = blocked {
            let is_flagged = (0..plan.len()).any(|at| blocking(at) && flags(at));
            prop_assert_eq!(blocked.reason == "flagged", is_flagged);
            let deepest = (0..plan.len()).filter(|at| blocking(*at)).map(|at| plan[at].block.unwrap().level).max().unwrap();
            prop_assert_eq!(blocked.level, deepest);
        }
        let fine = found.iter().flatten().all(|finding| **finding == Finding::Clear);
        prop_assert_eq!(docket.is_fine_so_far(), fine);

        while let Some(at) = docket.next_after() {
            found[at] = Some(&checks[at].2);
            docket.handle_finding(at, checks[at].2.clone());
        }
        let Conclusion { judged, flag } = docket.conclusion(&plan);
        let flagged = |at: &usize| matches!(found[*at], Some(Finding::Flagged { .. }));
        let certain = (0..plan.len()).filter(flagged).any(|at| plan[at].confirmed);
        let all_clear = found.iter().all(|finding| *finding == Some(&Finding::Clear));
        prop_assert_eq!(judged, certain || all_clear);
        prop_assert_eq!(flag.map(|(.., confirmed)| confirmed), (0..plan.len()).any(|at| flagged(&at)).then_some(certain));
    }

    /// No answer of a moderation server is read as harmless unless it says so of every category that counts.
    #[test]
    fn a_moderation_answer_is_clear_only_if_it_says_so(
        flags in prop::collection::vec((any::<bool>(), prop::option::of(any::<bool>())), 0..3), named in any::<bool>(), junk in any::<bool>(),
    ) {
        let results: Vec<serde_json::Value> = flags
            .iter()
            .map(|(flagged, hate)| match hate {
                Some(hate) => serde_json::json!({ "flagged": flagged, "categories": { "hate": hate, "other": true } }),
                None => serde_json::json!({ "flagged": flagged }),
            })
            .collect();
        let mut body = serde_json::json!({ "results": results }).to_string();
        if junk {
            body.pop();
        }
        let categories = if named { vec!["hate".to_owned()] } else { Vec::new() };
        let found = moderation::read(&categories, 200, body.as_bytes());
        let harm = if named { flags.iter().any(|(_, hate)| *hate == Some(true)) } else { flags.iter().any(|(flagged, _)| *flagged) };
        let tells = !flags.is_empty() && (!named || flags.iter().all(|(_, hate)| hate.is_some()));
        let expected = match (junk, harm, tells) {
            (true, ..) | (false, false, false) => "unknown",
            (false, true, _) => "flagged",
            (false, false, true) => "clear",
        };
        prop_assert_eq!(found.word(), expected);
    }
}

#[test]
fn a_share_of_answers_is_looked_at_and_two_checks_look_at_different_ones() {
    let after = |name| check(name, CheckWhen::After { share: 0.25 }, None, true);
    let plan = [after("a"), after("b")];
    let (mut of_a, mut of_both) = (0, 0);
    for n in 0..4_000 {
        let mut docket = Docket::new(&plan, 0, "", &n.to_string());
        let first = docket.next_after();
        if first == Some(0) {
            of_a += 1;
            docket.handle_finding(0, Finding::Clear);
            of_both += u32::from(docket.next_after() == Some(1));
        }
        assert!(!docket.conclusion(&plan).judged || first.is_some(), "what nobody looked at is not judged");
    }
    assert!((850..1_150).contains(&of_a) && (150..350).contains(&of_both), "{of_a} {of_both}");
    assert_eq!(Docket::new(&plan, 1, "", "1").next_after(), None, "another route has no checks");
}

#[test]
fn what_is_too_long_is_unknown() {
    let by_pattern = check("c", CheckWhen::Inline, None, true);
    let facts = NoFacts;
    assert_eq!(find(&by_pattern, "bad", &facts), Some(Finding::Flagged { kind: None }));
    assert_eq!(find(&by_pattern, "good", &facts), Some(Finding::Clear));
    assert_eq!(find(&by_pattern, &"bad".repeat(40), &facts), Some(Finding::Unknown(Why::TooLong)));
}

struct NoFacts;

impl Facts for NoFacts {
    fn header(&self, _: &str) -> Option<&str> {
        None
    }
    fn headers(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    fn request(&self) -> Option<&serde_json::Value> {
        None
    }
    fn feature(&self, _: &str) -> Option<serde_json::Value> {
        None
    }
    fn features(&self) -> Vec<(String, serde_json::Value)> {
        Vec::new()
    }
    fn route(&self) -> &'static str {
        ""
    }
    fn client(&self) -> &'static str {
        ""
    }
}
