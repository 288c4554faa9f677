//! One answer that is checked, from its first check to what is said of it in the end.

use std::rc::Rc;

use mainstay_core::safety::{Blocked, Conclusion, Docket, Flag, Why};
use mainstay_core::time::Time;

use super::{Subject, ask, server};
use crate::answers::RequestKey;
use crate::counters::Ended;
use crate::shared::Server;
use crate::until::Until;
use crate::worker::State;

/// One answer that is checked.
#[derive(Debug)]
pub(crate) struct Case {
    docket: Docket,
    subject: Subject,
    /// What the answer says, as far as it is known.
    said: Result<String, Why>,
    /// It is shown as it comes, and what is known of it is its beginning.
    is_beginning: bool,
    about: About,
}

/// What a flag is to say, and who is to learn of it.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) model: Option<String>,
    pub(crate) request_id: String,
    /// The run of the experiment that touched the request.
    pub(crate) experiment: Option<String>,
    /// Nobody is to learn of it: a probe of our own, or touched on purpose.
    pub(crate) is_left_out: bool,
    /// Where the answer may be in the cache.
    pub(crate) cached: Option<RequestKey>,
}

impl Case {
    pub(crate) fn new(
        docket: Docket,
        subject: Subject,
        said: Result<String, Why>,
        is_beginning: bool,
        about: About,
    ) -> Case {
        Case { docket, subject, said, is_beginning, about }
    }

    /// Asks the checks that look before an answer is shown; whether it is to be kept from its caller.
    pub(crate) async fn before(&mut self, state: &Rc<State>, until: Until) -> Option<Blocked> {
        while let Some(check) = self.docket.next_before() {
            let finding = ask(state, check, &self.subject, &self.said, until).await;
            if self.is_beginning {
                self.docket.handle_beginning(check, finding);
            } else {
                self.docket.handle_finding(check, finding);
            }
            let blocked = self.docket.block(&state.shared.plan.checks);
            if blocked.is_some() {
                return blocked;
            }
        }
        None
    }

    /// Whether nothing was found that speaks against giving the answer once more.
    pub(crate) fn is_fine_so_far(&self) -> bool {
        self.docket.is_fine_so_far()
    }

    /// Whether it is known if the answer did harm.
    pub(crate) fn is_judged(&self, state: &State) -> bool {
        let Conclusion { judged, flag } = self.docket.conclusion(&state.shared.plan.checks);
        self.docket.next_after().is_none() && judged && !self.is_hushed(flag.is_some())
    }

    /// Whether a flag of which nobody is to learn was raised: then the answer is not to be taken for a harmless one either.
    fn is_hushed(&self, is_flagged: bool) -> bool {
        is_flagged && self.about.is_left_out
    }

    /// All that was shown of a stream is known.
    pub(crate) fn hear(&mut self, said: Result<String, Why>) {
        self.said = said;
    }

    /// The answer was shown and its request counted, `ended.unjudged` where it is not known yet if it did harm. What is left to ask is
    /// asked beside the requests that follow.
    pub(crate) fn close(self: Box<Self>, state: &Rc<State>, ended: Ended) {
        if self.docket.next_after().is_none() {
            return self.conclude(state, ended);
        }
        let state = Rc::clone(state);
        tokio::task::spawn_local(async move { self.after(&state, ended).await });
    }

    async fn after(mut self: Box<Self>, state: &Rc<State>, ended: Ended) {
        while let Some(check) = self.docket.next_after() {
            let finding = match server(state, check).map(Server::wait) {
                Some(None) => {
                    let busy = Err(Why::Busy);
                    ask(state, check, &self.subject, &busy, Until::of(Time::MAX)).await
                }
                Some(Some(_)) | None => ask(state, check, &self.subject, &self.said, Until::of(Time::MAX)).await,
            };
            self.docket.handle_finding(check, finding);
        }
        self.conclude(state, ended);
    }

    fn conclude(self: Box<Self>, state: &Rc<State>, ended: Ended) {
        let Conclusion { judged, flag } = self.docket.conclusion(&state.shared.plan.checks);
        if judged && ended.unjudged && !self.is_hushed(flag.is_some()) {
            state.judged(self.subject.route, &ended);
        }
        let Some((by, kind, confirmed)) = flag else { return };
        if let Some(key) = self.about.cached {
            state.shared.answers.forget(key);
        }
        if self.about.is_left_out {
            return;
        }
        state.flag(Flag {
            at: ended.at,
            route: state.shared.plan.routes[self.subject.route].name.clone(),
            model: self.about.model,
            client: self.subject.client,
            request_id: self.about.request_id,
            by,
            kind,
            confirmed,
            experiment: self.about.experiment,
        });
    }
}
