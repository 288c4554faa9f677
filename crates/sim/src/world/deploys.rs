//! Deploys: a backend's parts restart one after the other, and are cold when they are back.

use mainstay_core::drill::{Deploy, What};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};

use super::World;
use crate::agenda::Event;
use crate::gateway::At;
use crate::servers::Owner;

impl World<'_> {
    /// The next step of a deploy, by its place in the script: a part goes, or is there again.
    pub(super) fn deploy_goes_on(&mut self, index: usize, step: u32) {
        let What::Deploy { backend, deploy } = self.drill.script[index].what else { return };
        self.count_time();
        let part = step as usize / 2;
        let after = if step.is_multiple_of(2) {
            if self.part_goes(backend, part, &deploy) {
                return;
            }
            deploy.restart
        } else {
            self.part_comes(backend, part, &deploy);
            deploy.cold
        };
        self.agenda.add(self.now + after, Event::Deploy(index as u32, step + 1));
    }

    /// A part goes, where the one before is warm; `true`: there is none left.
    fn part_goes(&mut self, at: usize, part: usize, deploy: &Deploy) -> bool {
        let Some(servers) = &mut self.servers[at] else { return true };
        let name = &self.drill.plan.backends[at].name;
        if let Some(before) = part.checked_sub(1) {
            servers.part_is_warm(before);
        }
        let parts = servers.parts();
        if part >= parts {
            self.transcript.tell(self.now, format!("* backend {name}: the new version is everywhere"));
            return true;
        }
        let broken = servers.part_goes(part, deploy.drains);
        self.transcript.tell(self.now, format!("* backend {name}: part {} of {parts} restarts", part + 1));
        self.break_off(&broken);
        false
    }

    fn part_comes(&mut self, at: usize, part: usize, deploy: &Deploy) {
        let visits = &self.visits;
        let is_wanted = |owner: &Owner| visits[owner.visit as usize].turn == owner.turn;
        let Some(servers) = &mut self.servers[at] else { return };
        for (call, end) in servers.part_comes(part, deploy.slow, self.now, is_wanted) {
            self.agenda.add(end, Event::Served { backend: at as u32, call });
        }
        self.begin_step(at);
    }

    /// Calls break off.
    fn break_off(&mut self, calls: &[Owner]) {
        for Owner { visit, turn } in calls {
            let on = &self.visits[*visit as usize];
            if on.turn == *turn && matches!(on.at, At::Call { .. }) {
                self.call_ended(*visit, Outcome::failure(FailureKind::Transport));
            }
        }
    }
}
