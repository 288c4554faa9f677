use mainstay_store::change::Change;
use mainstay_store::item::{Item, ItemQuery, Kind, Verdict};

use crate::Place;
use crate::place::{NOON, after, item};

fn label(id: &str, about: &str) -> Item {
    Item { about: Some(about.to_owned()), ..item(Kind::Label, "shop", id, "{\"label\":1}") }
}

pub(crate) async fn labels_wait_until_they_are_settled(place: &dyn Place) {
    let store = place.open().await;
    let verdicts = store.ingest(vec![label("l1", "r1"), label("l2", "r1"), label("l3", "r2")], NOON).await.unwrap();
    let Verdict::New(first) = verdicts[0] else { panic!("{verdicts:?}") };
    let waiting = ItemQuery { kind: Some(Kind::Label), waiting: true, ..ItemQuery::default() };
    assert_eq!(store.items(waiting.clone()).await.unwrap().len(), 3);
    assert_eq!(store.change(vec![Change::Settle(vec![first, 999])], after(1)).await.unwrap(), [1]);
    assert_eq!(store.change(vec![Change::Settle(vec![first])], after(2)).await.unwrap(), [0]);
    store.close().await.unwrap();
    let store = place.open().await;
    let ids: Vec<_> = store.items(waiting).await.unwrap().into_iter().map(|it| it.item.id).collect();
    assert_eq!(ids, ["l2", "l3"]);
    let about = store.about("shop", "r1").await.unwrap();
    let about: Vec<_> = about.iter().map(|it| (it.item.id.as_str(), it.settled)).collect();
    assert_eq!(about, [("l1", Some(after(1))), ("l2", None)]);
    assert_eq!(store.about("bank", "r1").await.unwrap(), []);
}

pub(crate) async fn items_page_in_order(place: &dyn Place) {
    let store = place.open().await;
    let batch: Vec<Item> = (0..150)
        .map(|n| item(if n % 3 == 0 { Kind::Flag } else { Kind::Signal }, "shop", &format!("{}", 150 - n), "{}"))
        .collect();
    store.ingest(batch.clone(), NOON).await.unwrap();
    let (mut read, mut after) = (Vec::new(), 0);
    loop {
        let page = store.items(ItemQuery { after, limit: 40, ..ItemQuery::default() }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        read.extend(page.into_iter().map(|it| it.item));
    }
    assert_eq!(read, batch);
    let flags = ItemQuery { kind: Some(Kind::Flag), client: Some("shop".to_owned()), ..ItemQuery::default() };
    assert_eq!(store.items(flags).await.unwrap().len(), 50);
}
