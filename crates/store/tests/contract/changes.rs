use mainstay_core::time::Time;
use mainstay_store::StoreError;
use mainstay_store::audit::{Entry, GENESIS};
use mainstay_store::change::Change;
use mainstay_store::item::{Sketch, State};
use mainstay_store::record::{Event, EventQuery, Expect, Run, RunQuery};

use crate::Place;
use crate::place::{NOON, after};

fn document(id: &str, expect: Expect, body: &str) -> Change {
    Change::Document { kind: "correction".to_owned(), id: id.to_owned(), expect, body: body.to_owned() }
}

fn event(kind: &str, at: Time) -> Change {
    Change::Event(Event { seq: 0, at, kind: kind.to_owned(), body: "{}".to_owned() })
}

fn entry(reason: &str) -> Entry {
    Entry {
        actor: "ann".to_owned(),
        source: "api".to_owned(),
        action: "level.pin".to_owned(),
        subject: "score".to_owned(),
        before: None,
        after: Some("{\"level\":2}".to_owned()),
        reason: reason.to_owned(),
    }
}

pub(crate) async fn all_or_none(place: &dyn Place) {
    let store = place.open().await;
    let changes = vec![
        document("a", Expect::Absent, "1"),
        event("x", NOON),
        Change::Audit(entry("")),
        document("a", Expect::Revision(7), "2"),
    ];
    let refused = store.change(changes, NOON).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    assert_eq!(store.document("correction", "a").await.unwrap(), None);
    assert_eq!(store.events(EventQuery::default()).await.unwrap(), []);
    assert_eq!(store.audit(0, 10).await.unwrap(), []);
    let changes = vec![document("a", Expect::Absent, "1"), document("a", Expect::Revision(1), "2"), event("x", NOON)];
    assert_eq!(store.change(changes, NOON).await.unwrap()[..2], [1, 2]);
}

pub(crate) async fn documents_are_compared_and_set(place: &dyn Place) {
    let store = place.open().await;
    store.change(vec![document("b", Expect::Any, "1"), document("a", Expect::Any, "1")], NOON).await.unwrap();
    assert_eq!(store.change(vec![document("a", Expect::Any, "2")], after(1)).await.unwrap(), [2]);
    for stale in [Expect::Absent, Expect::Revision(1), Expect::Revision(3)] {
        let refused = store.change(vec![document("a", stale, "3")], after(2)).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{stale:?}: {refused:?}");
    }
    let a = store.document("correction", "a").await.unwrap().unwrap();
    assert_eq!((a.revision, a.body.as_str(), a.at), (2, "2", after(1)));
    let ids =
        |documents: Vec<mainstay_store::record::Document>| documents.into_iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(ids(store.documents("correction", "").await.unwrap()), ["a", "b"]);
    assert_eq!(ids(store.documents("correction", "a").await.unwrap()), ["b"]);
    assert_eq!(ids(store.documents("other", "").await.unwrap()), Vec::<String>::new());
    for (skip, limit, listed) in
        [(0, 9, &["b", "a"][..]), (0, 1, &["b"]), (1, 1, &["a"]), (2, 9, &[]), (usize::MAX, 9, &[])]
    {
        let (page, total) = store.documents_page("correction", skip, limit).await.unwrap();
        assert_eq!((ids(page), total), (listed.iter().map(|id| (*id).to_owned()).collect(), 2));
    }
    assert_eq!(store.documents_page("other", 0, 9).await.unwrap(), (Vec::new(), 0));
    let delete = |expect| Change::DeleteDocument { kind: "correction".to_owned(), id: "a".to_owned(), expect };
    assert!(matches!(store.change(vec![delete(Expect::Revision(1))], NOON).await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.change(vec![delete(Expect::Revision(2))], NOON).await.unwrap(), [2]);
    assert!(matches!(store.change(vec![delete(Expect::Any)], NOON).await, Err(StoreError::Unknown(_))));
}

pub(crate) async fn states_and_sketches(place: &dyn Place) {
    let state = |key: &str, data: &[u8]| State { key: key.to_owned(), data: data.to_vec() };
    let sketch = |start| Sketch { series: "score".to_owned(), start, width_secs: 10, data: vec![0, 255] };
    let store = place.open().await;
    let changes = vec![
        Change::State(state("alert/b", &[0, 1])),
        Change::State(state("alert/a", &[])),
        Change::State(state("alerts%", &[2])),
        Change::State(state("alert/b", &[3])),
        Change::Sketch(sketch(NOON)),
        Change::Sketch(sketch(after(10))),
    ];
    store.change(changes, NOON).await.unwrap();
    store.close().await.unwrap();
    let store = place.open().await;
    assert_eq!(store.states("alert/").await.unwrap(), [state("alert/a", &[]), state("alert/b", &[3])]);
    assert_eq!(store.states("").await.unwrap().len(), 3);
    assert_eq!(store.states("alert%").await.unwrap(), []);
    assert_eq!(store.sketches(after(10)).await.unwrap(), [sketch(after(10))]);
    let forget = |key: &str| Change::ForgetState(key.to_owned());
    assert_eq!(store.change(vec![forget("alert/a"), forget("none")], NOON).await.unwrap(), [0, 0]);
    assert_eq!(store.states("alert/").await.unwrap(), [state("alert/b", &[3])]);
}

pub(crate) async fn events_page_by_kind_and_time(place: &dyn Place) {
    let store = place.open().await;
    let kinds = ["budget.changed", "level.changed", "budget.spent", "budgets", "budget"];
    let events = (0..).zip(kinds).map(|(n, kind)| event(kind, after(n))).collect();
    let numbers = store.change(events, NOON).await.unwrap();
    assert!(numbers.is_sorted());
    let found =
        async |query: EventQuery| store.events(query).await.unwrap().into_iter().map(|it| it.kind).collect::<Vec<_>>();
    let all = EventQuery::default();
    assert_eq!(found(all.clone()).await, kinds);
    let of = |kind: &str| EventQuery { kind: Some(kind.to_owned()), ..EventQuery::default() };
    assert_eq!(found(of("budget.")).await, ["budget.changed", "budget.spent"]);
    assert_eq!(found(of("budget")).await, ["budget"]);
    assert_eq!(found(EventQuery { from: after(1), until: after(3), ..all.clone() }).await, kinds[1..3]);
    assert_eq!(found(EventQuery { after: numbers[1], limit: 2, ..all }).await, kinds[2..4]);
}

pub(crate) async fn runs_list_the_last_changed_first(place: &dyn Place) {
    let store = place.open().await;
    let run = |id: &str, state: &str| Run {
        id: id.to_owned(),
        name: "fraud".to_owned(),
        state: state.to_owned(),
        body: "{}".to_owned(),
        created: Time::ZERO,
        updated: Time::ZERO,
    };
    let put = async |id, state, at| store.change(vec![Change::Run(run(id, state))], at).await.unwrap();
    assert_eq!(put("1", "running", NOON).await, [1]);
    assert_eq!(put("2", "running", after(1)).await, [1]);
    assert_eq!(put("1", "done", after(2)).await, [0]);
    let found = store.runs(RunQuery::default()).await.unwrap();
    let found: Vec<_> = found.iter().map(|run| (run.id.as_str(), run.created, run.updated)).collect();
    assert_eq!(found, [("1", NOON, after(2)), ("2", after(1), after(1))]);
    let running = RunQuery { state: Some("running".to_owned()), ..RunQuery::default() };
    assert_eq!(store.runs(running).await.unwrap().len(), 1);
    assert_eq!(store.run("1").await.unwrap().unwrap().state, "done");
    assert_eq!(store.run("3").await.unwrap(), None);
}

pub(crate) async fn the_audit_log_is_a_chain(place: &dyn Place) {
    let store = place.open().await;
    for n in 0..3 {
        let done = store.change(vec![Change::Audit(entry(&n.to_string())), Change::Audit(entry("x"))], after(n)).await;
        assert_eq!(done.unwrap(), [2 * n + 1, 2 * n + 2]);
    }
    store.close().await.unwrap();
    let store = place.open().await;
    store.change(vec![Change::Audit(entry("last"))], after(9)).await.unwrap();
    assert_eq!(store.verify_audit().await.unwrap(), 7);
    let mut hash = GENESIS;
    for recorded in store.audit(0, 100).await.unwrap() {
        hash = recorded.entry.hash(hash, recorded.at);
        assert_eq!(recorded.hash, hash);
    }
    let page = store.audit(5, 1).await.unwrap();
    assert_eq!((page.len(), page[0].seq, page[0].entry.reason.as_str()), (1, 6, "x"));
}
