//! Where an incident stands: one way in for everybody who may change it.

use super::{DESK, Desk, entry};
use crate::incident::kind::{Severity, Status};
use crate::incident::notice::Purpose;
use crate::time::Time;

use super::asked::{Refused, because};

/// Who changes something, and by what.
pub(super) type By<'a> = (&'a str, &'static str);

impl Desk {
    /// Puts an incident into another status, if it may go there.
    pub(super) fn set_status(
        &mut self,
        id: &str,
        to: Status,
        by: By<'_>,
        reason: &str,
        now: Time,
    ) -> Result<(), Refused> {
        let reopen = self.terms.incidents.reopen;
        let incident = self.incidents.get_mut(id).ok_or_else(|| Refused::Unknown(id.to_owned()))?;
        let from = incident.status;
        if from == to {
            return Ok(());
        }
        if !from.next().contains(&to) {
            return Err(Refused::Illegal { from, to });
        }
        if from == Status::Resolved && to.is_open() {
            let since = incident.resolved.map_or(reopen, |resolved| now.since(resolved));
            if since > reopen {
                return Err(Refused::TooLate { resolved: since, within: reopen });
            }
            self.reopen(id, by, reason, now);
            return Ok(());
        }
        if to == Status::PostMortem
            && incident.severity <= Severity::Sev2
            && incident.review.root_cause.trim().is_empty()
        {
            return Err(Refused::NoRootCause);
        }
        incident.status = to;
        let because = because(reason);
        incident.tell(entry(now, by, "status", format!("{} became {}{because}", from.as_str(), to.as_str())));
        match to {
            Status::Mitigating => drop(incident.mitigated.get_or_insert(now)),
            Status::Resolved => {
                incident.resolved = Some(now);
                incident.mitigated.get_or_insert(now);
            }
            Status::PostMortem | Status::Cancelled | Status::Merged => incident.closed = Some(now),
            Status::Detected | Status::Investigating => {}
        }
        if !to.is_open() {
            incident.proposed = None;
            let lasting = incident.facts.iter().filter(|held| held.until.is_none() && held.fact != "change").count();
            if lasting > 0 {
                let text = format!("{lasting} signals still last: they open nothing before they come again");
                incident.tell(entry(now, DESK, "signal", text));
            }
        }
        let news = incident.clone();
        self.changes.incident(id);
        self.changes.news(&news, false, by.0);
        if from.is_open() && !to.is_open() {
            self.stop_paging(id, now);
            self.tell_told(id, Purpose::Resolved, now);
        }
        Ok(())
    }

    /// Opens a resolved incident again: it pages again as well.
    pub(super) fn reopen(&mut self, id: &str, by: By<'_>, reason: &str, now: Time) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        incident.status = Status::Investigating;
        incident.reopened += 1;
        incident.resolved = None;
        incident.proposed = None;
        incident.quiet_since = None;
        incident.acknowledged_by = None;
        incident.tell(entry(now, by, "status", format!("resolved became investigating: {reason}")));
        let news = incident.clone();
        self.changes.incident(id);
        self.changes.news(&news, true, by.0);
        self.announce(id, now);
    }

    /// Somebody has it: nobody else is told any more.
    pub(super) fn acknowledge(&mut self, id: &str, by: By<'_>, now: Time) -> Result<(), Refused> {
        let incident = self.incidents.get_mut(id).ok_or_else(|| Refused::Unknown(id.to_owned()))?;
        if !incident.status.is_open() {
            return Err(Refused::NotOpen(incident.status));
        }
        if incident.acknowledged_by.as_deref() == Some(by.0) {
            return Ok(());
        }
        incident.acknowledged.get_or_insert(now);
        incident.acknowledged_by = Some(by.0.to_owned());
        incident.tell(entry(now, by, "acknowledged", format!("{} has it", by.0)));
        self.changes.incident(id);
        self.stop_paging(id, now);
        self.tell_told(id, Purpose::Acknowledged, now);
        if self.incidents.get(id).is_some_and(|it| it.status == Status::Detected) {
            self.set_status(id, Status::Investigating, by, "", now)?;
        }
        Ok(())
    }

    /// What is quiet for long enough is proposed to be resolved, or resolved where the config says so.
    pub(super) fn propose(&mut self, now: Time) {
        let (quiet, auto) = (self.terms.incidents.quiet, self.terms.incidents.auto_resolve);
        let due = |since: Time| now.since(since) >= quiet;
        let ready = self.incidents.values().filter(|it| {
            it.status.is_open() && it.proposed.is_none() && it.is_quiet() && it.quiet_since.is_some_and(due)
        });
        let ready: Vec<String> = ready.map(|it| it.id.clone()).collect();
        for id in ready {
            if auto {
                let resolved = self.set_status(&id, Status::Resolved, (DESK.0, "rule"), "every signal is over", now);
                debug_assert!(resolved.is_ok(), "what is open can be resolved");
                continue;
            }
            let Some(incident) = self.incidents.get_mut(&id) else { continue };
            incident.proposed = Some(now);
            let text = format!("every signal is over for {} s: it seems to be resolved", quiet.as_secs());
            incident.tell(entry(now, DESK, "proposal", text));
            self.changes.incident(&id);
            self.tell_channels(&id, Purpose::Notify, now);
        }
    }
}
