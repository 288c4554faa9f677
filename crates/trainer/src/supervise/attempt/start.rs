//! How an attempt's process starts: its environment, its limits.

use std::fs;
use std::path::PathBuf;

use crate::limits;
use crate::options::Error;
use crate::place::replace;
use crate::process::{self, Identity, Worker};
use crate::supervise::Run;

/// Longest path of a socket, with its end (`man 7 unix`).
const SOCKET_PATH_MAX: usize = 107;

impl Run<'_> {
    pub(super) fn spawn(
        &mut self,
        log: &std::path::Path,
        socket: &std::path::Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<Worker, Error> {
        let environment = self.environment(socket).map_err(Error::place(self.place.root()))?;
        let command = &self.options.command;
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

    pub(super) fn socket_path(&self) -> PathBuf {
        let path = self.place.own("socket");
        if path.as_os_str().len() <= SOCKET_PATH_MAX {
            path
        } else {
            PathBuf::from(format!("/tmp/mainstay-{}", self.record.run))
        }
    }
}
