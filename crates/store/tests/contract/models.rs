use mainstay_store::StoreError;
use mainstay_store::change::Change;
use mainstay_store::registry::{Move, Version};

use crate::Place;
use crate::place::{NOON, after};

fn version(name: &str, digest: &str) -> Version {
    Version {
        model: "fraud".to_owned(),
        version: name.to_owned(),
        stage: "candidate".to_owned(),
        digest: digest.to_owned(),
        created: NOON,
        data_max_event_time: Some(NOON),
        lineage: "{}".to_owned(),
    }
}

fn to(version: &str, expect: Option<&str>) -> Change {
    Change::Move(Move {
        model: "fraud".to_owned(),
        pointer: "champion".to_owned(),
        expect: expect.map(str::to_owned),
        version: version.to_owned(),
        actor: "ann".to_owned(),
        reason: "better".to_owned(),
    })
}

pub(crate) async fn versions_keep_their_digest(place: &dyn Place) {
    let store = place.open().await;
    let later = Version { stage: "archived".to_owned(), data_max_event_time: None, ..version("1", "sha256:a") };
    assert_eq!(store.change(vec![Change::Version(version("1", "sha256:a"))], NOON).await.unwrap(), [1]);
    assert_eq!(store.change(vec![Change::Version(later.clone())], NOON).await.unwrap(), [0]);
    let other = store.change(vec![Change::Version(version("1", "sha256:b"))], NOON).await;
    assert!(matches!(other, Err(StoreError::Conflict { .. })), "{other:?}");
    let other_model = Version { model: "chat".to_owned(), ..version("1", "c") };
    store.change(vec![Change::Version(other_model.clone())], NOON).await.unwrap();
    assert_eq!(store.versions(Some("fraud")).await.unwrap(), std::slice::from_ref(&later));
    assert_eq!(store.versions(None).await.unwrap(), [other_model, later]);
}

pub(crate) async fn pointers_move_and_remember(place: &dyn Place) {
    let store = place.open().await;
    let unknown = store.change(vec![to("1", None)], NOON).await;
    assert!(matches!(unknown, Err(StoreError::Unknown(_))), "{unknown:?}");
    let first = vec![Change::Version(version("1", "a")), to("1", Some("")), Change::Version(version("2", "b"))];
    assert_eq!(store.change(first, NOON).await.unwrap(), [1, 1, 1]);
    assert_eq!(store.change(vec![to("2", Some("1"))], after(1)).await.unwrap(), [2]);
    for stale in ["", "1"] {
        let refused = store.change(vec![to("1", Some(stale))], after(2)).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    }
    assert_eq!(store.change(vec![to("1", None)], after(3)).await.unwrap(), [3]);
    store.close().await.unwrap();
    let store = place.open().await;
    let stands = store.pointers(Some("fraud")).await.unwrap();
    assert_eq!(stands, store.pointers(None).await.unwrap());
    assert_eq!((stands[0].version.as_str(), stands[0].previous.as_deref()), ("1", Some("2")));
    let moves = store.moves("fraud", "champion", 2).await.unwrap();
    let moves: Vec<_> = moves.iter().map(|it| (it.revision, it.version.as_str(), it.at)).collect();
    assert_eq!(moves, [(3, "1", after(3)), (2, "2", after(1))]);
}
