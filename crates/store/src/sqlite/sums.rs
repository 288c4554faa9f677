//! Counts that a source added up, each exactly once.

use mainstay_core::time::Time;

use super::failure;
use super::insert::{Counts, nanos};
use super::records::{put_sketch, put_state};
use super::writer::{Doing, Session, Write};
use crate::item::{Counted, Sums};

pub(super) struct AddSums {
    pub(super) sums: Sums,
    pub(super) now: Time,
}

impl Write for AddSums {
    type Output = Counted;

    fn apply<'a>(&'a self, session: &'a mut Session) -> Doing<'a, Counted> {
        Box::pin(async move {
            let query = sqlx::query(
                "INSERT INTO source (name, sequence, at) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE \
                 SET sequence = excluded.sequence, at = excluded.at WHERE source.sequence < excluded.sequence",
            );
            let query = query.bind(&self.sums.source).bind(self.sums.sequence as i64).bind(nanos(self.now));
            let done = query.execute(&mut session.connection).await.map_err(failure::store)?;
            if done.rows_affected() == 0 {
                return Ok(Counted::Duplicate);
            }
            let mut counts = Counts::default();
            self.sums.deltas.iter().for_each(|delta| counts.add(delta));
            counts.store(session).await?;
            for state in &self.sums.states {
                put_state(state, self.now, session).await?;
            }
            for sketch in &self.sums.sketches {
                put_sketch(sketch, session).await?;
            }
            Ok(Counted::New)
        })
    }

    fn bytes(&self) -> usize {
        let deltas = self.sums.deltas.iter().map(|delta| 48 + delta.objective.len()).sum::<usize>();
        let states = self.sums.states.iter().map(|state| 64 + state.key.len() + state.data.len()).sum::<usize>();
        let sketches = self.sums.sketches.iter().map(|sketch| 80 + sketch.series.len() + sketch.data.len());
        64 + self.sums.source.len() + deltas + states + sketches.sum::<usize>()
    }
}
