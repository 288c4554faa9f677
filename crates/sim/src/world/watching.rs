//! What those who watch see of the world, and what they do to it.

use std::time::Duration;

use mainstay_core::incident::record::Act;
use mainstay_core::plan::Plan;
use mainstay_core::resilience::ladder::Pin;
use mainstay_core::response::desk::Doing;
use mainstay_core::route::Level;
use mainstay_core::slo::sli::{Facts, Features, Origin};
use mainstay_core::time::Time;

use super::World;
use crate::agenda::Event;
use crate::figures::Ending;
use crate::store::Used;
use crate::watch::{LOOK, News, Watch};

/// The level of cached features.
const CACHED_FEATURES: u8 = 1;

impl World<'_> {
    /// Those who watch look up.
    pub(super) fn look(&mut self) {
        let Some(mut watch) = self.watch.take() else { return };
        watch.look(self.now);
        loop {
            let mut done = false;
            for news in watch.news(self.now) {
                self.active.iter().for_each(|span| self.spans[*span].watched.hear(&news, self.now));
                match news {
                    News::Line(line) => self.transcript.tell(self.now, line),
                    News::Do(doing) => {
                        if let Some(result) = self.perform(&mut watch, &doing) {
                            watch.done(&doing, result, self.now);
                        }
                        done = true;
                    }
                    News::Alert => self.active.iter().for_each(|span| self.spans[*span].noticed(self.now)),
                    News::Opened { .. } | News::Paged | News::Acknowledged | News::Mitigated | News::Resolved => {}
                }
            }
            if !done {
                break;
            }
        }
        self.watch = Some(watch);
        self.agenda.add(self.now + LOOK, Event::Look);
    }

    /// Does what an incident's action asks for, or takes it back; `None`: it is under way.
    fn perform(&mut self, watch: &mut Watch<'_>, doing: &Doing) -> Option<Result<(), String>> {
        let done = match &doing.act {
            Act::PinLevel { route, level } => self.pin(watch, doing, route, *level),
            Act::CachedFeatures { route } => self.pin(watch, doing, route, CACHED_FEATURES),
            Act::PreviousModel { .. } if doing.back => Err("nobody goes forward to what was left".to_owned()),
            Act::PreviousModel { model } => return self.go_back(model, doing).err().map(Err),
            // Nobody looks at kept requests here.
            Act::RaiseSampling { .. } => Ok(()),
            Act::BlockPattern { .. } | Act::StopExperiment { .. } => {
                Err("virtual time has no patterns and experiments".to_owned())
            }
        };
        Some(done)
    }

    fn pin(&mut self, watch: &mut Watch<'_>, doing: &Doing, route: &str, level: u8) -> Result<(), String> {
        let at = self.drill.plan.routes.iter().position(|it| it.name == *route);
        let at = at.ok_or_else(|| format!("there is no route `{route}`"))?;
        let level = Level::new(level).ok_or_else(|| format!("there is no level {level}"))?;
        let ladder = &mut self.routes[at].ladder;
        if doing.back {
            ladder.handle_unpin(self.now);
        } else {
            let until = doing.until.map(|until| watch.in_world(until));
            let reason = format!("incident {} action {}", doing.incident, doing.action);
            ladder.handle_pin(Pin { level, until, reason: reason.into() }, self.now);
        }
        let effects: Vec<_> = std::iter::from_fn(|| self.routes[at].ladder.poll_effect()).collect();
        for effect in &effects {
            watch.level_changed(route, effect);
            self.tell_level(at, effect);
        }
        Ok(())
    }

    /// A request has ended: its objectives count it.
    pub(super) fn watch_ended(&mut self, index: u32, ending: Ending) {
        let visit = &self.visits[index as usize];
        let plan = &self.drill.plan;
        let (level, code) = match ending {
            Ending::Answered { level, .. } => (Some(level), 200),
            Ending::Shed => (None, 429),
            Ending::Failed => (None, 503),
        };
        let backend = level.and_then(|level| self.answered_by(index, level));
        let model = backend.map(|at| &plan.backends[at]);
        let duration = self.now.since(visit.began);
        let first_token = visit.first.filter(|_| backend.is_some());
        let facts = Facts {
            route: &plan.routes[visit.route as usize].name,
            class: visit.class,
            model: model.map(|backend| backend.model.as_deref().unwrap_or(&backend.name)),
            level,
            code,
            duration,
            inference: backend.map(|_| visit.took),
            first_token,
            per_token: first_token.and_then(|first| per_token(duration, first, visit.work.output)),
            confidence: None,
            features: visit.used.as_ref().map(|used| features(plan, used, self.now)),
            unjudged: false,
            origin: Origin::Caller,
        };
        let route = visit.route as usize;
        if let Some(watch) = &mut self.watch {
            watch.ended(route, &facts);
        }
    }

    /// Spans that end now know how things stand.
    pub(super) fn watch_spans_end(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        for span in self.spans.iter_mut().filter(|span| span.to == self.now) {
            let (budgets, open) = (watch.budgets(self.now), watch.open_incidents());
            span.watched.ends(budgets, open, |id| watch.type_of(id).map(str::to_owned));
        }
    }
}

/// What an objective about the age of features is told.
fn features<'a>(plan: &'a Plan, used: &Used, now: Time) -> Features<'a> {
    let oldest = used.oldest.map(|oldest| now.since(oldest));
    Features { view: &plan.features[used.set].name, oldest, stale: used.stale }
}

/// The time after the first token, shared among the tokens after it.
fn per_token(whole: Duration, first: Duration, tokens: u32) -> Option<Duration> {
    whole.checked_sub(first)?.checked_div(tokens.checked_sub(1)?)
}
