//! What the tests of runs share: shell functions that speak mstp/1, a supervisor in this process, and one that can be killed.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mainstay_core::time::Time;
use mainstay_core::training::{policy, progress};
use mainstay_trainer::{Guards, Options, Summary};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

#[expect(clippy::disallowed_methods, reason = "the binary's part, in a test")]
pub(crate) fn now() -> Time {
    Time::ZERO + SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970")
}

/// Tells things on stdout, and saves a step into a checkpoint.
pub(crate) const HELPERS: &str = r#"
tell() { echo "mstp/1 $1"; }
save() {
  d="$MAINSTAY_CKPT_DIR/.tmp-$MAINSTAY_ATTEMPT-$1"; mkdir -p "$d"; echo "weights of $1" > "$d/weights"
  tell "{\"type\":\"ckpt_ready\",\"step\":$1,\"tmp\":\"$d\",\"cursor\":{\"at\":$1},\"metrics\":{\"accuracy\":${2:-0.9}}}"
}
step() { tell "{\"type\":\"progress\",\"step\":$1,\"total\":${2:-10}}"; }
saved() { while [ ! -e "$MAINSTAY_CKPT_DIR/$(printf 'step-%010d-a%d' "$1" "$MAINSTAY_ATTEMPT")/STATE.json" ]; do sleep 0.01; done; }
at="${MAINSTAY_RESUME_STEP:-0}"
"#;

pub(crate) fn options(directory: &Path, script: &str) -> Options {
    let quick = Duration::from_millis(5);
    Options {
        name: "test".to_owned(),
        directory: directory.to_owned(),
        command: vec!["sh".to_owned(), "-c".to_owned(), format!("{HELPERS}\n{script}")],
        seed: now().as_nanos(),
        every: None,
        validate_every: 10,
        policy: policy::Settings { backoff: quick, backoff_max: quick, ..policy::Settings::default() },
        progress: progress::Settings { floor: Duration::from_secs(20), ..progress::Settings::default() },
        timeout: None,
        grace: Duration::from_secs(2),
        memory: None,
        cpu: None,
        files: None,
        keep: 3,
        gates: Vec::new(),
        rollback: false,
        guards: Guards::default(),
        now,
    }
}

/// Supervises in this process.
pub(crate) fn run(options: &Options) -> Summary {
    mainstay_trainer::run(options, &mut |line| eprintln!("  | {line}")).expect("the run can be supervised")
}

/// Not a test of its own: the supervisor, which the tests start and kill.
#[test]
fn supervisor() {
    let Some(directory) = std::env::var_os("SUPERVISED_DIRECTORY") else { return };
    let directory = Path::new(&directory);
    let asked: Value = serde_json::from_slice(&fs::read(directory.join("asked.json")).unwrap()).unwrap();
    let seconds = |name: &str| asked[name].as_f64().map(Duration::from_secs_f64);
    let mut options = options(directory, asked["script"].as_str().unwrap());
    options.now = now;
    options.timeout = seconds("timeout");
    options.grace = seconds("grace").unwrap_or(options.grace);
    options.memory = asked["memory"].as_u64();
    if let Some(pause) = seconds("backoff") {
        (options.policy.backoff, options.policy.backoff_max) = (pause, pause);
    }
    let summary = run(&options);
    fs::write(directory.join("summary.json"), serde_json::to_string(&summary).unwrap()).unwrap();
}

/// Not a test of its own: a script that speaks through the socket. It says the lines of `says.jsonl`, notes what it is told in
/// `told.jsonl`, saves when it is asked to, and ends when it is asked to.
#[test]
fn script() {
    let (Some(socket), Some(directory)) = (std::env::var_os("MAINSTAY_SOCKET"), std::env::var_os("MAINSTAY_CKPT_DIR"))
    else {
        return;
    };
    let asked_to_end = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, asked_to_end).unwrap();
    let directory = Path::new(&directory);
    let mut wire = UnixStream::connect(socket).unwrap();
    let attempt = std::env::var_os("MAINSTAY_ATTEMPT").unwrap().into_string().unwrap();
    let temporary = directory.join(format!(".tmp-{attempt}-7"));
    let says = fs::read_to_string(directory.join("says.jsonl")).unwrap().replace("$TMP", temporary.to_str().unwrap());
    let save = || {
        fs::create_dir_all(&temporary).unwrap();
        fs::write(temporary.join("weights"), "seven").unwrap();
    };
    if says.contains("ckpt_ready") {
        save();
    }
    wire.write_all(says.as_bytes()).unwrap();
    if says.contains("mute") {
        // Connected, alive and silent.
        std::thread::park();
    }
    let mut told = fs::OpenOptions::new().create(true).append(true).open(directory.join("told.jsonl")).unwrap();
    for line in BufReader::new(wire.try_clone().unwrap()).lines() {
        let line = line.unwrap();
        writeln!(told, "{line}").unwrap();
        let message: Value = serde_json::from_str(&line).unwrap();
        if message["type"] == "save_now" && !temporary.exists() && !directory.join("latest").exists() {
            save();
            writeln!(wire, "{}", json!({ "type": "ckpt_ready", "step": 7, "tmp": temporary })).unwrap();
        } else if message["type"] == "stop"
            || (message["type"] == "welcome" && says.contains("until_welcome"))
            || (message["type"] == "set" && says.contains("until_set"))
        {
            std::process::exit(0);
        }
    }
}

/// Options for [`script`], with what it says.
pub(crate) fn socket_options(directory: &Path, says: &[Value]) -> Options {
    let lines: Vec<String> = says.iter().map(Value::to_string).chain([String::new()]).collect();
    fs::write(directory.join("says.jsonl"), lines.join("\n")).expect("the directory can be written");
    let exe = std::env::current_exe().expect("this program has a path").to_string_lossy().into_owned();
    let command = [&exe, "--exact", "support::script", "--nocapture"].map(str::to_owned);
    Options { command: command.to_vec(), ..options(directory, "") }
}

/// What [`script`] was told.
pub(crate) fn told(directory: &Path) -> Vec<Value> {
    let text = fs::read_to_string(directory.join("told.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a message is JSON")).collect()
}

/// A supervisor in a process of its own: this test's program, started again.
pub(crate) struct Supervisor(Child);

impl Supervisor {
    /// `asked`: `timeout`, `grace` and `backoff` in seconds, `memory` in bytes.
    pub(crate) fn start(directory: &Path, script: &str, mut asked: Value) -> Supervisor {
        asked["script"] = json!(script);
        fs::write(directory.join("asked.json"), asked.to_string()).expect("the directory can be written");
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args(["--exact", "support::supervisor", "--nocapture"]).stdout(Stdio::null());
        command.env("SUPERVISED_DIRECTORY", directory).env("SCRIPT", std::env::current_exe().expect("it has a path"));
        Supervisor(command.spawn().expect("this program can be started"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Its open files and its threads.
    pub(crate) fn holds(&self) -> (usize, usize) {
        let count = |what: &str| fs::read_dir(format!("/proc/{}/{what}", self.0.id())).map_or(0, Iterator::count);
        (count("fd"), count("task"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id() as i32).expect("a process has a number");
        kill_process(pid, signal).expect("it runs");
    }

    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.0.wait().expect("it is our child");
    }

    /// Its summary.
    pub(crate) fn end(mut self, directory: &Path) -> Value {
        let mut ended = None;
        until("the supervisor ends", || {
            ended = self.0.try_wait().expect("it is our child");
            ended.is_some()
        });
        assert!(ended.is_some_and(|status| status.success()), "the supervisor ended well");
        serde_json::from_slice(&fs::read(directory.join("summary.json")).expect("it left one")).expect("it is JSON")
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something holds, a minute at most.
#[expect(clippy::disallowed_methods, reason = "a bound of what is awaited")]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed().as_secs() < 60, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `status.json` as it stands; null where there is none.
pub(crate) fn status(directory: &Path) -> Value {
    let text = fs::read(directory.join("status.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// How often the journal says something.
pub(crate) fn count(directory: &Path, what: &str) -> usize {
    let journal = fs::read_to_string(directory.join("journal.jsonl")).unwrap_or_default();
    journal.matches(&format!("\"what\":\"{what}\"")).count()
}
