//! Who is told, in which order, and that it ends.

use std::time::Duration;

use mainstay_core::incident::kind::Status;
use mainstay_core::incident::oncall::Override;
use mainstay_core::plan::Incidents;
use mainstay_core::response::delivery::{Outcome, wait};
use mainstay_core::response::desk::{Asked, Desk, Silence};
use mainstay_core::rng::Rng;

use crate::{Play, at, burn, channel, desk, terms};

fn later() -> Outcome {
    Outcome::Later { after: None, why: "503".to_owned() }
}

fn refused() -> Outcome {
    Outcome::Refused { why: "404".to_owned() }
}

/// The ids of what waits, of a purpose.
fn ids(desk: &Desk, purpose: &str) -> Vec<String> {
    let of = desk.deliveries().values().filter(|it| it.notice.purpose.as_str() == purpose);
    of.map(|it| it.id.clone()).collect()
}

#[test]
fn steps_follow_each_other_until_somebody_has_it() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    assert_eq!(desk.waiting(), ["notify team", "page pager ada"]);
    desk.deliver(1);
    desk.pass(299);
    assert!(desk.waiting().is_empty());
    desk.pass(300);
    assert_eq!(desk.waiting(), ["page mail cleo"]);
    desk.deliver(300);
    // The second round, after a minute.
    desk.pass(360);
    assert_eq!(desk.waiting(), ["page pager ada"]);
    desk.deliver(360);
    desk.handle_asked(&desk.only().id.clone(), Asked::Acknowledge, "ada", at(400)).unwrap();
    let mut told = desk.waiting();
    told.sort();
    assert_eq!(told, ["acknowledged mail cleo", "acknowledged pager ada", "acknowledged team"]);
    desk.deliver(400);
    desk.pass(10_000);
    assert!(desk.waiting().is_empty());
    assert_eq!((desk.only().status, desk.only().acknowledged_by.as_deref()), (Status::Investigating, Some("ada")));
}

#[test]
fn nobody_is_paged_more_often_than_the_policy_says() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    let mut pages = 0;
    for second in 0..7_200 {
        desk.pass(second);
        pages += desk.deliver(second).iter().filter(|it| it.notice.purpose.as_str() == "page").count();
    }
    assert_eq!(pages, 4, "two steps, twice");
    assert!(desk.only().timeline.iter().any(|it| it.text.contains("as often as the policy says")));
}

#[test]
fn who_has_it_is_not_paged_even_by_what_was_on_its_way() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    let pages = ids(&desk, "page");
    assert_eq!(pages.len(), 1);
    desk.handle_asked(&desk.only().id.clone(), Asked::Acknowledge, "ada", at(1)).unwrap();
    assert!(ids(&desk, "page").is_empty());
    let ended = desk.take_changes().deliveries;
    assert!(ended.iter().any(|it| it.id == pages[0] && it.state.as_str() == "cancelled"));
    // What came of the try is too late to matter.
    desk.handle_sent(&pages[0], later(), at(2));
    assert!(ids(&desk, "page").is_empty());
}

#[test]
fn the_schedule_is_asked_at_the_moment_of_the_step() {
    let mut desk = desk();
    let (from, until) = (at(100), at(1_000));
    let over = Override { id: "o".to_owned(), schedule: "ml".to_owned(), person: "bob".to_owned(), from, until };
    desk.set_overrides(vec![over]);
    desk.hear(0, burn("latency", "page"));
    assert_eq!(desk.waiting()[1], "page pager ada");
    desk.deliver(0);
    desk.pass(300);
    desk.deliver(300);
    desk.pass(360);
    assert_eq!(desk.waiting(), ["page pager bob"]);
}

#[test]
fn a_silence_holds_until_its_end_and_no_longer() {
    let mut desk = desk();
    let silence = Silence {
        id: "s".to_owned(),
        kind: None,
        route: Some("score".to_owned()),
        incident: None,
        from: at(0),
        until: at(500),
        by: "ada".to_owned(),
        reason: "a known test".to_owned(),
    };
    desk.set_silences(vec![silence]);
    desk.hear(0, burn("latency", "page"));
    desk.hear(0, burn("chat_latency", "page"));
    let pages = || "page pager ada".to_owned();
    assert_eq!(desk.waiting().iter().filter(|it| **it == pages()).count(), 1, "the other route is not silenced");
    desk.deliver(0);
    desk.pass(499);
    desk.deliver(499);
    let silenced = desk.incidents().values().find(|it| it.routes == ["score"]).unwrap();
    assert!(silenced.timeline.iter().any(|it| it.what == "silenced"));
    let id = silenced.id.clone();
    desk.pass(500);
    assert!(desk.deliveries().values().any(|it| it.notice.incident == id && it.notice.purpose.as_str() == "page"));
}

#[test]
fn a_failing_channel_is_tried_again_then_another_then_everybody_hears_of_it() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    let notify = ids(&desk, "notify").remove(0);
    desk.handle_sent(&notify, Outcome::Delivered { provider: None }, at(0));
    let page = ids(&desk, "page").remove(0);
    let (mut now, mut tries) = (0, 0);
    while desk.deliveries().contains_key(&page) {
        let next = desk.deliveries()[&page].next;
        now = now.max(next.since(at(0)).as_secs());
        desk.handle_sent(&page, later(), at(now));
        tries += 1;
        assert!(tries < 100);
    }
    assert!(tries > 3, "{tries} tries until its deadline");
    // Ada's other channel.
    assert!(desk.waiting().contains(&"page mail ada".to_owned()), "{:?}", desk.waiting());
    let second = desk.deliveries().values().find(|it| it.instead_of.as_deref() == Some("pager")).unwrap().id.clone();
    desk.handle_sent(&second, refused(), at(now));
    assert_eq!(ids(&desk, "undelivered").len(), 1);
    let dead = ids(&desk, "undelivered").remove(0);
    desk.handle_sent(&dead, refused(), at(now));
    assert!(ids(&desk, "undelivered").is_empty(), "what is undelivered does not tell of itself for ever");
}

#[test]
fn a_fallback_that_leads_back_ends() {
    let mut terms = terms();
    terms.incidents = Incidents {
        channels: vec![channel("a", Some("b")), channel("b", Some("a"))],
        notify: vec!["a".to_owned()],
        policy: None,
        policies: Vec::new(),
        people: Vec::new(),
        schedules: Vec::new(),
        ..terms.incidents
    };
    let mut desk = Desk::new(terms, 3);
    desk.hear(0, burn("latency", "page"));
    for _ in 0..20 {
        for delivery in desk.due(at(0)) {
            desk.handle_sent(&delivery.id, refused(), at(0));
        }
    }
    assert!(desk.deliveries().is_empty(), "{:?}", desk.waiting());
}

#[test]
fn without_a_policy_the_types_own_path_is_gone() {
    let mut terms = terms();
    terms.incidents.policy = None;
    terms.incidents.schedules[0].name = "engineering-on-call".to_owned();
    terms.incidents.people[2].name = "engineering manager".to_owned();
    let mut desk = Desk::new(terms, 3);
    desk.hear(0, burn("latency", "page"));
    assert_eq!(desk.waiting(), ["notify team", "page pager ada"]);
    desk.deliver(0);
    desk.pass(15 * 60);
    assert_eq!(desk.waiting(), ["page mail engineering manager"]);
}

#[test]
fn a_step_that_reaches_nobody_is_passed_over_at_once() {
    let mut terms = terms();
    terms.incidents.schedules[0].layers[0].until = Some("2026-02-01T00:00".parse().unwrap());
    let mut desk = Desk::new(terms, 3);
    desk.hear(0, burn("latency", "page"));
    assert_eq!(desk.waiting(), ["notify team", "page mail cleo"]);
    assert!(desk.only().timeline.iter().any(|it| it.text == "nobody is on call by ml"));
}

#[test]
fn waits_double_up_to_a_bound_and_heed_what_is_asked() {
    let mut rng = Rng::new(1);
    let mut longest = Duration::ZERO;
    for attempts in 1..=40 {
        let bound =
            Duration::from_secs(2).saturating_mul(2_u32.saturating_pow(attempts - 1)).min(Duration::from_mins(5));
        for _ in 0..100 {
            let waited = wait(attempts, None, &mut rng);
            assert!(waited <= bound);
            longest = longest.max(waited);
        }
    }
    assert!(longest > Duration::from_mins(4));
    assert_eq!(wait(1, Some(Duration::from_secs(77)), &mut rng), Duration::from_secs(77));
}

#[test]
fn a_silence_that_does_not_hold_any_more_is_not_waited_for() {
    let mut desk = desk();
    let silence = Silence {
        id: "s".to_owned(),
        kind: Some("serving_latency".to_owned()),
        route: None,
        incident: None,
        from: at(0),
        until: at(86_400),
        by: "ada".to_owned(),
        reason: "a known test".to_owned(),
    };
    desk.set_silences(vec![silence]);
    desk.hear(0, burn("latency", "page"));
    assert_eq!(desk.waiting(), ["notify team"]);
    desk.deliver(0);
    let id = desk.only().id.clone();
    let to = Asked::Type { kind: "model_degradation".to_owned(), reason: String::new() };
    desk.handle_asked(&id, to, "ada", at(10)).unwrap();
    desk.pass(11);
    assert_eq!(desk.waiting(), ["page pager ada"]);
}

#[test]
fn each_channel_is_tried_before_a_page_is_given_up() {
    let mut terms = terms();
    terms.incidents.people[0].channels = vec!["pager".to_owned(), "sms".to_owned(), "mail".to_owned()];
    terms.incidents.channels[0].fallback = Some("sms".to_owned());
    terms.incidents.channels.push(channel("sms", None));
    terms.incidents.notify.clear();
    let mut desk = Desk::new(terms, 3);
    desk.hear(0, burn("latency", "page"));
    let mut tried = Vec::new();
    while let Some(delivery) = desk.due(at(0)).pop() {
        tried.push(delivery.channel.clone());
        desk.handle_sent(&delivery.id, refused(), at(0));
    }
    assert_eq!(tried, ["pager", "sms", "mail"]);
}

#[test]
fn what_was_never_tried_or_is_being_tried_is_not_given_up() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    let page = ids(&desk, "page").remove(0);
    // Everything stood still for a day.
    desk.handle_timeout(at(86_400));
    assert!(desk.due(at(86_400)).iter().any(|it| it.id == page));
    desk.handle_trying(&page);
    desk.handle_timeout(at(86_401));
    assert!(desk.deliveries().contains_key(&page) && desk.due(at(86_401)).iter().all(|it| it.id != page));
    desk.handle_sent(&page, Outcome::Delivered { provider: None }, at(86_402));
    assert!(!desk.deliveries().contains_key(&page));
}

#[test]
fn a_page_says_what_raised_it() {
    let mut desk = desk();
    let labels = [("alertname", "DiskFull"), ("severity", "critical")];
    desk.handle_fact(crate::outside("disk of db7", "DiskFull", &labels), at(0), at(0));
    let page = desk.deliveries().values().find(|it| it.notice.purpose.as_str() == "page").unwrap();
    assert_eq!(page.notice.signals, ["disk of db7 fires"]);
}

#[test]
fn who_has_it_already_is_told_nothing_again() {
    let mut desk = desk();
    desk.hear(0, burn("latency", "page"));
    desk.deliver(0);
    let id = desk.only().id.clone();
    desk.handle_asked(&id, Asked::Acknowledge, "ada", at(1)).unwrap();
    desk.deliver(1);
    desk.handle_asked(&id, Asked::Acknowledge, "ada", at(2)).unwrap();
    assert!(desk.waiting().is_empty());
    desk.handle_asked(&id, Asked::Acknowledge, "bob", at(3)).unwrap();
    assert_eq!(desk.only().acknowledged_by.as_deref(), Some("bob"));
}
