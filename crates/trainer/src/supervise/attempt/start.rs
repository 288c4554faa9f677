//! How an attempt begins: its limits, its process, its environment; or how one goes on.

use std::fs;
use std::path::PathBuf;

use mainstay_core::training::State;
use mainstay_core::training::ledger::Bucket;
use serde_json::json;

use super::Attempt;
use crate::adopt;
use crate::limits::cgroup::Group;
use crate::limits::{self, Limits};
use crate::options::Error;
use crate::place::replace;
use crate::process::{self, Identity, Worker};
use crate::supervise::Run;
use crate::wire::{Events, Tail, Wire};

/// Longest path of a socket, with its end (`man 7 unix`).
const SOCKET_PATH_MAX: usize = 107;

impl Run<'_> {
    /// Starts an attempt, or goes on with the one that is on record: also with one that is dead by now, since what it said
    /// while nobody listened is not heard yet.
    pub(super) fn begin(&mut self, say: &mut dyn FnMut(&str)) -> Result<Attempt, Error> {
        let before = self.record.worker;
        self.get_ready(before.is_some(), say)?;
        let now = self.now();
        let mut heard = self.heard_before();
        let saves = std::mem::take(&mut heard.saves);
        self.step = heard.step.or(self.chain.head().map(|head| head.step));
        self.total = heard.total.or(self.total);
        let socket = self.socket_path();
        let wire = Wire::open(&socket, self.record.run.clone()).map_err(Error::place(&socket))?;
        let log = self.place.own(&format!("logs/attempt-{}.log", self.record.attempt));
        let worker = match before {
            Some(identity) => self.attach(identity, say),
            None => self.spawn(&log, &socket, say)?,
        };
        let what = if before.is_some() { "attached" } else { "attempt_started" };
        self.note(what, json!({ "pid": worker.pid(), "resume": self.chain.head().map(|head| &head.id) }));
        let files = (Events::at(&self.place.own("events"), &heard.events), Tail::at(heard.log));
        let mut attempt = Attempt::new(worker, wire, log, files, heard, now);
        if before.is_some() {
            attempt.catching_up = true;
            self.take_up_saves(saves);
            while self.read_files(&mut attempt, say) > 0 {}
            attempt.catching_up = false;
        } else {
            // A group that was left over may have counted before; that of an attempt that goes on has counted its own.
            attempt.oom_kills.0 = self.limits.group().and_then(Group::oom_kills).unwrap_or(0);
        }
        Ok(attempt)
    }

    fn get_ready(&mut self, goes_on: bool, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
        let now = self.now();
        self.ledger.switch(Bucket::Startup, now);
        self.state = State::Starting;
        if !goes_on {
            self.record.attempt += 1;
            self.save_record()?;
        }
        let group = self.record.group.clone().filter(|_| goes_on);
        self.limits = Limits::find(self.options, &format!("mainstay-{}", self.record.run), group, say)?;
        if self.record.attempt == 1 || goes_on {
            for (limit, by) in &self.limits.enforced_by {
                say(&format!("{limit}: enforced by {by}"));
            }
        }
        self.watch.handle_start(now);
        self.pace.handle_start();
        self.interval = self.interval_in_force();
        Ok(())
    }

    fn attach(&self, identity: Identity, say: &mut dyn FnMut(&str)) -> Worker {
        let what = if identity.is_alive() { "goes on" } else { "ended while nobody watched" };
        say(&format!("process {} of attempt {} {what}", identity.pid, self.record.attempt));
        Worker::Found(identity)
    }

    fn spawn(
        &mut self,
        log: &std::path::Path,
        socket: &std::path::Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<Worker, Error> {
        let environment = self.environment(socket).map_err(Error::place(self.place.root()))?;
        let command = &adopt::with_resume(&self.options.command, self.resume_path().as_deref());
        let start = |source| Error::Start { command: command.first().cloned().unwrap_or_default(), source };
        let held = self.limits.hold(self.options);
        let mut child = process::spawn(command, log, &environment, held).map_err(start)?;
        let pid = child.id() as i32;
        self.record.worker = Identity::of(pid);
        self.record.group = self.limits.group().cloned();
        let begun = self.limits.enforce(pid, self.options, say).and_then(|()| self.save_record());
        // A script that the next supervisor could not find again must not go on by itself.
        if let Err(error) = begun.and_then(|()| limits::release(&mut child).map_err(start)) {
            process::end_tree(&self.record.run, pid);
            return Err(error);
        }
        Ok(Worker::Own(child))
    }

    fn environment(&self, socket: &std::path::Path) -> std::io::Result<Vec<(&'static str, String)>> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let root = self.place.root();
        let mut all = vec![
            ("PROTOCOL", "1".to_owned()),
            ("RUN_ID", self.record.run.clone()),
            ("ATTEMPT", self.record.attempt.to_string()),
            ("SOCKET", text(socket.to_owned())),
            ("EVENTS_DIR", text(self.place.own("events"))),
            ("CKPT_DIR", text(root.to_owned())),
            ("GRACE_S", self.options.grace.as_secs_f64().to_string()),
            ("RESUME", String::new()),
            ("SEED", (self.record.seed & 0x7fff_ffff).to_string()),
        ];
        all.extend(self.options.every.map(|every| ("CKPT_EVERY", every.to_string())));
        let now = self.now();
        if let Some((end, _)) = self.options.allowance().ends(self.ledger.at_work(now), now, now) {
            all.push(("DEADLINE_UNIX", end.as_secs_f64().to_string()));
        }
        all.extend(self.interval.map(|every| ("CKPT_INTERVAL_S", every.as_secs_f64().to_string())));
        if let Some(head) = self.chain.head() {
            let manifest: serde_json::Value =
                serde_json::from_slice(&fs::read(root.join(&head.id).join(crate::checkpoint::MANIFEST))?)?;
            replace(&self.place.own("cursor.json"), manifest["cursor"].to_string().as_bytes())?;
            all.retain(|(name, _)| *name != "RESUME");
            all.push(("RESUME", text(root.join(&head.id))));
            all.push(("RESUME_STEP", head.step.to_string()));
            all.push(("RESUME_CURSOR", text(self.place.own("cursor.json"))));
        }
        if !self.skips.is_empty() {
            replace(&self.place.own("skip.json"), &serde_json::to_vec(&self.skips)?)?;
            all.push(("SKIP_FILE", text(self.place.own("skip.json"))));
        }
        Ok(all)
    }

    fn socket_path(&self) -> PathBuf {
        let path = self.place.own("socket");
        if path.as_os_str().len() <= SOCKET_PATH_MAX {
            path
        } else {
            PathBuf::from(format!("/tmp/mainstay-{}", self.record.run))
        }
    }
}
