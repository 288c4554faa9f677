//! One attempt: from its process's start until nothing of it is left.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use mainstay_core::time::Time;
use mainstay_core::training::State;
use mainstay_core::training::class::{Class, Ending, classify};
use mainstay_core::training::ledger::Bucket;
use mainstay_core::training::numeric::{Guard, Settings, Trouble};
use mainstay_core::training::wire::{Message, Reject};
use rustix::process::{Resource, Signal};
use serde_json::json;

use super::Run;
use crate::options::Error;
use crate::place::replace;
use crate::process::{self, Ended, Identity, Worker};
use crate::wire::{Events, Heard, Tail, Wire};

/// Lines that wait to be looked at; more wait in the socket.
const HEARD_MAX: usize = 4096;
const TICK: Duration = Duration::from_millis(50);
const MEMORY_TICK: Duration = Duration::from_millis(200);
const STATUS_TICK: Duration = Duration::from_secs(1);
/// Bytes of the output's end that are looked at for a reason.
const OUTPUT_END: usize = 16 * 1024;
/// An output file is begun anew beyond this.
const LOG_MAX: u64 = 256 << 20;
/// Longest path of a socket, with its end (`man 7 unix`).
const SOCKET_PATH_MAX: usize = 107;

/// What is known of the attempt that runs.
pub(super) struct Attempt {
    worker: Worker,
    wire: Wire,
    heard: Receiver<Heard>,
    events: Events,
    log: PathBuf,
    tail: Tail,
    output: Vec<u8>,
    guard: Guard,
    spoke: bool,
    done: Option<u64>,
    error: Option<(String, bool)>,
    ended_for: Option<Class>,
    out_of_memory: bool,
    peak: u64,
    kill_at: Option<Time>,
    memory_at: Time,
    status_at: Time,
}

impl Run<'_> {
    /// Runs the command once; how it failed, if it did, and the memory that it had reached.
    pub(super) fn attempt(&mut self, say: &mut dyn FnMut(&str)) -> Result<Option<(Class, u64)>, Error> {
        let mut attempt = self.begin(say)?;
        let ended = loop {
            self.listen(&mut attempt, say);
            if let Some(ended) = attempt.worker.poll().map_err(Error::place("the worker"))? {
                break ended;
            }
            self.look(&mut attempt, say);
        };
        self.ledger.switch(Bucket::Shutdown, self.now());
        if !process::end_tree(&self.record.run, attempt.worker.pid()) {
            say("some processes of the run cannot be ended");
        }
        self.drain(&mut attempt, say);
        let _ = fs::remove_file(self.place.own("worker.json"));
        let class = self.classify(&attempt, ended);
        self.note(
            "attempt_ended",
            json!({ "code": ended.code, "signal": ended.signal, "class": class, "step": self.step }),
        );
        if class.is_some() {
            // How far above its limit a look finds it is chance: what it ran into is the limit.
            let peak = self.options.memory.map_or(attempt.peak, |most| attempt.peak.min(most));
            return Ok(class.map(|class| (class, peak)));
        }
        drop(attempt);
        self.finish(say);
        Ok(None)
    }

    fn begin(&mut self, say: &mut dyn FnMut(&str)) -> Result<Attempt, Error> {
        let now = self.now();
        let survivor = self.survivor();
        self.ledger.switch(Bucket::Startup, now);
        self.state = State::Starting;
        if survivor.is_none() {
            // Whatever a supervisor that is gone left behind must not write beside the new attempt.
            process::end_tree(&self.record.run, 0);
            self.sweep(say)?;
            self.record.attempt += 1;
            self.save_record()?;
        }
        self.watch.handle_start(now);
        self.step = self.chain.head().map(|head| head.step);
        let (sender, heard) = sync_channel(HEARD_MAX);
        let socket = self.socket_path();
        let wire = Wire::open(&socket, self.record.run.clone(), sender).map_err(Error::place(&socket))?;
        let log = self.place.own(&format!("logs/attempt-{}.log", self.record.attempt));
        let tail = Tail::at_end(&log);
        let worker = match survivor {
            Some(identity) => {
                say(&format!("process {} goes on", identity.pid));
                Worker::Found(identity)
            }
            None => self.spawn(&log, &socket, say)?,
        };
        let what = if survivor.is_some() { "attached" } else { "attempt_started" };
        self.note(what, json!({ "pid": worker.pid(), "resume": self.chain.head().map(|head| &head.id) }));
        Ok(Attempt {
            worker,
            wire,
            heard,
            events: Events::default(),
            log,
            tail,
            output: Vec::new(),
            guard: Guard::new(Settings::default()),
            spoke: false,
            done: None,
            error: None,
            ended_for: None,
            out_of_memory: false,
            peak: 0,
            kill_at: None,
            memory_at: now,
            status_at: now,
        })
    }

    fn spawn(
        &mut self,
        log: &std::path::Path,
        socket: &std::path::Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<Worker, Error> {
        let environment = self.environment(socket).map_err(Error::place(self.place.root()))?;
        let command = &self.options.command;
        let start = |source| Error::Start { command: command.first().cloned().unwrap_or_default(), source };
        let child = process::spawn(command, log, &environment).map_err(start)?;
        let pid = child.id() as i32;
        if let Some(identity) = Identity::of(pid) {
            let path = self.place.own("worker.json");
            let text = serde_json::to_vec(&identity).expect("an identity is JSON");
            if let Err(source) = replace(&path, &text) {
                // A script that the next supervisor could not find again must not go on by itself.
                process::end_tree(&self.record.run, pid);
                return Err(Error::place(path)(source));
            }
        }
        let limits = [("cpu", Resource::Cpu, self.options.cpu), ("files", Resource::Nofile, self.options.files)];
        for (name, resource, most) in limits {
            let Some(most) = most else { continue };
            match process::limit(pid, resource, most) {
                Ok(()) => drop(self.limits.insert(name, "rlimit")),
                Err(_) if Identity::of(pid).is_none() => {}
                Err(source) => {
                    process::end_tree(&self.record.run, pid);
                    return Err(Error::Limit { limit: name, source });
                }
            }
        }
        if self.options.memory.is_some() && self.limits.insert("memory", "poll").is_none() {
            say("memory is limited by looking every 200 ms: a process may exceed it for that long");
        }
        if self.options.timeout.is_some() {
            self.limits.insert("wall", "supervisor");
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
            ("SEED", (self.options.seed & 0x7fff_ffff).to_string()),
        ];
        all.extend(self.options.every.map(|every| ("CKPT_EVERY", every.to_string())));
        if let Some(most) = self.options.timeout {
            let end = Time::from_millis(self.record.started) + most;
            all.push(("DEADLINE_UNIX", end.as_secs_f64().to_string()));
        }
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

    /// Takes lines for a tick at most.
    fn listen(&mut self, attempt: &mut Attempt, say: &mut dyn FnMut(&str)) {
        let mut wait = TICK;
        for _ in 0..HEARD_MAX {
            match attempt.heard.recv_timeout(wait) {
                Ok(heard) => self.hear(attempt, heard, say),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(wait);
                    break;
                }
            }
            wait = Duration::ZERO;
        }
        for heard in attempt.events.read(&self.place.own("events")) {
            self.hear(attempt, heard, say);
        }
        for line in attempt.tail.read(&attempt.log) {
            if let Some(told) = line.strip_prefix(b"mstp/1 ") {
                self.hear(attempt, Message::parse(told), say);
                continue;
            }
            say(&String::from_utf8_lossy(&line));
            attempt.output.extend_from_slice(&line);
            attempt.output.push(b'\n');
            let much = attempt.output.len().saturating_sub(OUTPUT_END);
            attempt.output.drain(..much);
        }
    }

    /// What was said before the end may still be on its way through the socket's threads.
    fn drain(&mut self, attempt: &mut Attempt, say: &mut dyn FnMut(&str)) {
        for _ in 0..3 {
            self.listen(attempt, say);
        }
    }

    fn hear(&mut self, attempt: &mut Attempt, heard: Heard, say: &mut dyn FnMut(&str)) {
        let now = self.now();
        match heard {
            Err(reject) => self.ignore(reject),
            Ok(message) => {
                attempt.spoke = true;
                self.obey(attempt, message, now, say);
            }
        }
    }

    fn obey(&mut self, attempt: &mut Attempt, message: Message, now: Time, say: &mut dyn FnMut(&str)) {
        match message {
            Message::Hello { attempt: of, .. } => {
                if of.is_some_and(|of| of != u64::from(self.record.attempt)) {
                    self.ignore(Reject::WrongProcess);
                }
                attempt.wire.say(&json!({ "type": "welcome", "v": 1 }));
            }
            Message::Phase { name, budget_s } => {
                self.watch.handle_phase(&name, budget_s.map(Duration::from_secs_f64), now);
                let bucket = match name.as_str() {
                    "step" => Bucket::Productive,
                    "eval" => Bucket::Eval,
                    "save" => Bucket::Saving,
                    _ => Bucket::Startup,
                };
                self.ledger.switch(bucket, now);
            }
            Message::Progress { step, total } => self.progress(step, total, now),
            Message::Metric { step, values } => self.measure(attempt, step, values, say),
            Message::CheckpointReady { step, .. } if attempt.ended_for == Some(Class::Numeric) || self.invalid => {
                // What is saved after the numbers exploded, or after a gate failed, is not worth going on from.
                self.note("commit_refused", json!({ "step": step }));
            }
            Message::CheckpointReady { step, directory, cursor, metrics, blocking_s } => {
                let blocking = Duration::from_secs_f64(blocking_s.unwrap_or(0.0));
                self.commit(attempt, &directory, (step, cursor, metrics), blocking, say);
            }
            Message::Eval { metrics, .. } => self.metrics.extend(metrics),
            Message::Error { kind, retryable, message } => {
                say(&format!("the script says: {kind}: {message}"));
                attempt.error = Some((kind, retryable));
            }
            Message::Done { step } => attempt.done = Some(step),
            Message::CheckpointBegin { .. } | Message::Heartbeat | Message::Other => {}
        }
    }

    fn progress(&mut self, step: u64, total: Option<u64>, now: Time) {
        if self.state != State::Running {
            self.state = State::Running;
            self.ledger.switch(Bucket::Productive, now);
        }
        if self.step.is_some_and(|before| step < before) {
            self.ignore(Reject::OutOfOrder);
            return;
        }
        (self.step, self.total) = (Some(step), total.or(self.total));
        self.watch.handle_step(step, now);
    }

    fn measure(
        &mut self,
        attempt: &mut Attempt,
        step: u64,
        values: Vec<(String, Option<f64>)>,
        say: &mut dyn FnMut(&str),
    ) {
        for (name, value) in values {
            let watched = matches!(name.as_str(), "loss" | "grad_norm");
            let trouble = match (name.as_str(), value) {
                ("loss", value) => attempt.guard.handle_loss(step, value.unwrap_or(f64::NAN)).map(Trouble::onset),
                (_, None) if watched => Some(step),
                _ => None,
            };
            if let Some(onset) = trouble.filter(|_| attempt.ended_for.is_none()) {
                say(&format!("{name} went wrong at step {onset}: going back to before it"));
                self.go_back(onset, step);
                self.stop_attempt(attempt, Class::Numeric, Duration::ZERO);
            }
            self.metrics.insert(name, value.map_or(serde_json::Value::Null, Into::into));
        }
    }

    /// What a tick looks at: requests to end, time, hangs, memory.
    fn look(&mut self, attempt: &mut Attempt, say: &mut dyn FnMut(&str)) {
        let now = self.now();
        if attempt.kill_at.is_some_and(|at| now >= at) {
            process::end_tree(&self.record.run, attempt.worker.pid());
        }
        if attempt.kill_at.is_none() && (self.stopped() || self.out_of_time()) {
            say("ending the script, which may save before");
            self.stop_attempt(attempt, Class::Preempted, self.options.grace);
        }
        // Of a command that never spoke nothing is known: it may well be at work.
        if attempt.kill_at.is_none()
            && attempt.spoke
            && let Some((phase, quiet)) = self.watch.hang(now).map(|(phase, quiet)| (phase.to_owned(), quiet))
        {
            say(&format!("no progress in phase `{phase}` for {quiet:.0?}: a hang"));
            self.note("hang", json!({ "phase": phase, "seconds": quiet.as_secs_f64() }));
            self.ledger.handle_hang(quiet, now);
            // A process that is stopped cannot obey.
            process::signal_group(attempt.worker.pid(), Signal::CONT);
            self.stop_attempt(attempt, Class::Hang, self.options.grace.min(Duration::from_secs(5)));
        }
        if let Some(most) = self.options.memory.filter(|_| now >= attempt.memory_at) {
            attempt.memory_at = now + MEMORY_TICK;
            let used = process::memory(&process::tree(&self.record.run));
            attempt.peak = attempt.peak.max(used);
            if used > most && !attempt.out_of_memory {
                say(&format!("{used} bytes of memory, more than the {most} allowed"));
                attempt.out_of_memory = true;
                self.stop_attempt(attempt, Class::Oom, Duration::ZERO);
            }
        }
        if now >= attempt.status_at {
            attempt.status_at = now + STATUS_TICK;
            if fs::metadata(&attempt.log).is_ok_and(|data| data.len() > LOG_MAX) {
                // Both ends append: what comes next is written at the new end.
                let _ = fs::OpenOptions::new().write(true).truncate(true).open(&attempt.log);
                attempt.tail = Tail::default();
            }
            self.tell();
        }
    }

    pub(super) fn stop_attempt(&mut self, attempt: &mut Attempt, class: Class, grace: Duration) {
        let now = self.now();
        attempt.ended_for = attempt.ended_for.or(Some(class));
        attempt.kill_at = Some(now + grace);
        self.state = State::Stopping;
        if !grace.is_zero() {
            let deadline = (now + grace).as_secs_f64();
            attempt.wire.say(&json!({ "type": "stop", "deadline": deadline, "reason": class.as_str() }));
            process::signal_group(attempt.worker.pid(), Signal::TERM);
        }
    }

    fn classify(&self, attempt: &Attempt, ended: Ended) -> Option<Class> {
        // How a process that was not our child ended is not known; what it said is.
        let found = matches!(attempt.worker, Worker::Found(_));
        let code = if found && attempt.done.is_some() { Some(0) } else { ended.code };
        let reached = attempt.done.is_some() && code == Some(0);
        classify(&Ending {
            code,
            signal: ended.signal,
            ended_for: attempt.ended_for.filter(|_| !reached),
            oom_killed: attempt.out_of_memory,
            done: attempt.done,
            step: if attempt.spoke { self.step } else { None },
            total: self.total,
            spoke: attempt.spoke,
            error: attempt.error.as_ref().map(|(kind, retryable)| (kind.as_str(), *retryable)),
            output: &String::from_utf8_lossy(&attempt.output),
        })
    }

    fn ignore(&mut self, reject: Reject) {
        *self.ignored.entry(reject.to_string()).or_default() += 1;
    }
}

impl Attempt {
    /// Tells the script that its checkpoint is safe.
    pub(super) fn say_committed(&self, step: u64, id: &str) {
        self.wire.say(&json!({ "type": "ckpt_committed", "step": step, "id": id }));
    }
}
