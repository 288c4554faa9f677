//! What the registry of models needs of the rest: the log of events, the budgets' policies, the age of what is served.

use std::pin::Pin;

use mainstay_control::{Champion, Engine, Serving};
use mainstay_core::event::{Event, EventKind};
use mainstay_core::slo::policy::Action;
use mainstay_core::time::Time;
use mainstay_gateway::EventSink;
use mainstay_tower::clock::Clock;

/// A service that nobody needs to be told of a champion: its model servers read the registry themselves.
pub(crate) struct Served {
    pub(crate) engine: Engine,
    pub(crate) events: EventSink,
    pub(crate) clock: Clock,
}

impl Serving for Served {
    fn tell<'a>(&'a self, _: &'a Champion) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async { Ok(()) })
    }

    fn refuses_promotion(&self, _: &str) -> Option<String> {
        self.engine.allows(Action::Promotion, None).err().map(|refusal| refusal.to_string())
    }

    fn registered(&self) {
        if let Err(error) = self.engine.models_changed() {
            tracing::warn!(%error, "the age of what is served is looked at after the next start");
        }
    }

    fn note(&self, event: Event) {
        let is_promotion = matches!(event.kind, EventKind::ModelPromoted(_));
        self.events.emit(event);
        if is_promotion {
            self.registered();
        }
    }

    fn now(&self) -> Time {
        self.clock.now()
    }
}
