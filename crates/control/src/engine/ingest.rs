//! What comes from outside: stored with what it adds to budgets, in one transaction; then counted.

use mainstay_core::slo::series::{Counts, bucket_of};
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::item::{Delta, Item, Kind, Verdict};

use super::{Budgets, Engine, EngineError};
use crate::ingest::Meaning;

/// Something to store, and what it means.
pub(crate) struct Entry {
    pub(crate) item: Item,
    pub(crate) meaning: Meaning,
}

/// What became of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// It is stored, and counted.
    New,
    /// It was there already.
    Duplicate,
    /// Its key is taken by other content, which stays.
    Conflict,
}

/// Something that was judged and waits to be stored.
struct Judged {
    added: Vec<(String, Time, Counts)>,
    /// What names it, where it is harm.
    harm: Option<Harm>,
}

/// The name of harm: the request, and the flag's key.
struct Harm {
    request: String,
    client: String,
    id: String,
}

pub(super) async fn ingest(engine: &Engine, entries: Vec<Entry>) -> Result<Vec<Taken>, EngineError> {
    let (items, judged): (Vec<Item>, Vec<Judged>) = {
        let budgets = engine.budgets();
        entries.into_iter().map(|entry| judge(&budgets, entry)).unzip()
    };
    let kinds: Vec<Kind> = items.iter().map(|item| item.kind).collect();
    let kept: Vec<Item> = items.iter().filter(|item| concerns_quality(item.kind)).cloned().collect();
    let verdicts = engine.store().ingest(items, engine.now()).await?;
    {
        let of_quality = kinds.iter().zip(&verdicts).filter(|(kind, _)| concerns_quality(**kind));
        let mut quality = engine.quality();
        for (item, (_, verdict)) in kept.iter().zip(of_quality) {
            let Verdict::New(seq) = verdict else { continue };
            match item.kind {
                Kind::Prediction => quality.made(item),
                Kind::Label => quality.came(item),
                Kind::Signal => quality.signalled(item, *seq),
                Kind::Request | Kind::Features | Kind::Flag => {}
            }
        }
    }
    let repeated = verdicts.iter().zip(&judged).filter(|(verdict, _)| **verdict == Verdict::Duplicate);
    let repeated = repeated.filter_map(|(_, judged)| judged.harm.as_ref().map(|harm| (harm, &judged.added)));
    let mut again = Vec::new();
    for (harm, added) in repeated {
        // Its first report may have been cut off between its counts and its name.
        let stored = engine.store().item(Kind::Flag, &harm.client, &harm.id).await?;
        again.extend(stored.map(|stored| (harm, added, stored.item.at)));
    }
    let harmed = {
        let mut budgets = engine.budgets();
        for (harm, added, at) in &again {
            added.iter().for_each(|(objective, ..)| budgets.name_harm(objective, &harm.request, *at, engine.now()));
        }
        let news = verdicts.iter().zip(&judged).filter(|(verdict, _)| matches!(verdict, Verdict::New(_)));
        news.fold(!again.is_empty(), |harmed, (_, judged)| count(&mut budgets, judged, engine.now()) || harmed)
    };
    if harmed {
        // Which event it was rests before it is acknowledged.
        let states = engine.budgets().memories().into_iter().map(Change::State).collect();
        engine.store().change(states, engine.now()).await?;
    }
    let taken = |verdict: &Verdict| match verdict {
        Verdict::New(_) => Taken::New,
        Verdict::Duplicate => Taken::Duplicate,
        Verdict::Conflict => Taken::Conflict,
    };
    Ok(verdicts.iter().map(taken).collect())
}

const fn concerns_quality(kind: Kind) -> bool {
    matches!(kind, Kind::Prediction | Kind::Label | Kind::Signal)
}

fn judge(budgets: &Budgets, entry: Entry) -> (Item, Judged) {
    let added = budgets.judge(&entry.meaning);
    let deltas = added.iter().map(|(objective, at, counts)| Delta {
        objective: objective.clone(),
        start: bucket_of(*at),
        good: counts.good,
        bad: counts.bad,
    });
    let harm = match entry.meaning {
        Meaning::Harm { request, .. } => {
            Some(Harm { request, client: entry.item.client.clone(), id: entry.item.id.clone() })
        }
        Meaning::Observed(_) | Meaning::Nothing => None,
    };
    (Item { deltas: deltas.collect(), ..entry.item }, Judged { added, harm })
}

/// Counts what is stored; whether it was harm.
fn count(budgets: &mut Budgets, judged: &Judged, now: Time) -> bool {
    for (objective, at, counts) in &judged.added {
        match &judged.harm {
            Some(harm) => budgets.record_harm(objective, &harm.request, *at, now),
            None => drop(budgets.record(objective, *at, *counts, now)),
        }
    }
    judged.harm.is_some() && !judged.added.is_empty()
}
