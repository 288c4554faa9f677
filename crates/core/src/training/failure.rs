//! Why an attempt ended, and whether another one is worth it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rng::Rng;

/// Why an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// All steps are made.
    Success,
    /// The script itself is wrong: another attempt would end alike.
    UserFatal,
    /// The process died.
    Crash,
    /// It took more memory than it may.
    Oom,
    /// It moved no more.
    Hang,
    /// It was asked to go.
    Preempted,
    /// Numbers exploded.
    Numeric,
    /// A piece of data could not be read.
    Data,
    /// A checkpoint could not be stored.
    Storage,
    /// It ended well, but before its last step.
    Incomplete,
    /// A gate did not pass.
    ValidationFailed,
    /// Its time was up.
    TimedOut,
}

impl Class {
    /// The word in the journal and in `status.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Success => "success",
            Class::UserFatal => "user_fatal",
            Class::Crash => "crash",
            Class::Oom => "oom",
            Class::Hang => "hang",
            Class::Preempted => "preempted",
            Class::Numeric => "numeric",
            Class::Data => "data",
            Class::Storage => "storage",
            Class::Incomplete => "incomplete",
            Class::ValidationFailed => "validation_failed",
            Class::TimedOut => "timed_out",
        }
    }
}

/// What we did to a process before it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Nothing.
    ByItself,
    /// It moved no more.
    ForHang,
    /// It took too much memory.
    ForMemory,
    /// Its numbers exploded.
    ForNumbers,
    /// We were asked to go.
    ForPreemption,
    /// Its time was up.
    ForTime,
    /// A gate did not pass.
    ForGate,
}

/// How an attempt ended, as far as it can be seen from outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exit {
    /// The exit code, of a process that ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What we did before.
    pub ended: Ended,
    /// Whether the kernel or our own limit killed it for memory.
    pub out_of_memory: bool,
    /// Whether it said that all steps are made.
    pub done: bool,
    /// Whether it spoke the protocol at all: one that does not cannot say that it is done.
    pub spoke: bool,
    /// What it said went wrong: the kind, and whether another attempt may help.
    pub error: Option<(String, bool)>,
    /// The end of what it wrote to standard error.
    pub stderr: String,
    /// Whether it made a step in this attempt.
    pub moved: bool,
}

/// Signals, by number.
const SIGTERM: i32 = 15;
/// Exit codes of shells and platforms for a signal: 128 + n.
const SHELL_SIGNAL: i32 = 128;
/// Python and most command lines: wrong usage.
const USAGE: i32 = 2;
/// Shells: cannot be executed, not found.
const NOT_EXECUTABLE: [i32; 2] = [126, 127];

/// Texts of errors that another attempt would meet again.
const FATAL_TEXTS: [&str; 6] =
    ["ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError", "unrecognized arguments"];
/// Texts of frameworks that ran out of an accelerator's memory.
const OOM_TEXTS: [&str; 4] =
    ["CUDA out of memory", "OutOfMemoryError", "MemoryError", "RESOURCE_EXHAUSTED: Out of memory"];
/// Texts of a full or broken disk.
const STORAGE_TEXTS: [&str; 3] = ["No space left on device", "Input/output error", "Disk quota exceeded"];

/// Why an attempt ended, from what was seen.
pub fn classify(exit: &Exit) -> Class {
    match exit.ended {
        Ended::ForHang => return Class::Hang,
        Ended::ForMemory => return Class::Oom,
        Ended::ForNumbers => return Class::Numeric,
        Ended::ForPreemption => return Class::Preempted,
        Ended::ForTime => return Class::TimedOut,
        Ended::ForGate => return Class::ValidationFailed,
        Ended::ByItself => {}
    }
    if exit.code == Some(0) {
        return if exit.done || !exit.spoke { Class::Success } else { Class::Incomplete };
    }
    if exit.out_of_memory {
        return Class::Oom;
    }
    if let Some(class) = exit.error.as_ref().and_then(of_error) {
        return class;
    }
    let says = |texts: &[&str]| texts.iter().any(|text| exit.stderr.contains(text));
    if says(&OOM_TEXTS) {
        return Class::Oom;
    }
    if says(&STORAGE_TEXTS) {
        return Class::Storage;
    }
    if exit.signal == Some(SIGTERM) || exit.code == Some(SHELL_SIGNAL + SIGTERM) {
        return Class::Preempted;
    }
    let unusable = exit.code.is_some_and(|code| code == USAGE || NOT_EXECUTABLE.contains(&code));
    if !exit.moved && (unusable || says(&FATAL_TEXTS)) {
        return Class::UserFatal;
    }
    Class::Crash
}

fn of_error((kind, retryable): &(String, bool)) -> Option<Class> {
    match kind.as_str() {
        "oom" => Some(Class::Oom),
        "data" => Some(Class::Data),
        "storage" => Some(Class::Storage),
        "numeric" => Some(Class::Numeric),
        _ if !retryable => Some(Class::UserFatal),
        _ => None,
    }
}

/// How often each class may be tried again, and how long is waited before.
#[derive(Clone, PartialEq, Debug)]
pub struct Budgets {
    /// Attempts after a crash or an incomplete end.
    pub crash: u32,
    /// Attempts after running out of memory.
    pub oom: u32,
    /// Attempts after a hang.
    pub hang: u32,
    /// Rollbacks after numbers exploded.
    pub numeric: u32,
    /// Attempts after unreadable data.
    pub data: u32,
    /// Attempts after a disk that was full or broken.
    pub storage: u32,
    /// Attempts after a preemption; `None`: as many as come.
    pub preempted: Option<u32>,
    /// Attempts in a row, of any class but preemption, that bring no newly verified checkpoint.
    pub livelock: u32,
    /// The first pause; it doubles.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Budgets {
    /// So many retries for crashes; hangs and disks alike, memory once, rollbacks three times, preemptions without end.
    pub fn with_retries(retries: u32) -> Budgets {
        Budgets {
            crash: retries,
            oom: retries.min(1),
            hang: retries,
            numeric: retries.min(3),
            data: retries,
            storage: retries,
            preempted: None,
            livelock: retries.saturating_mul(2).saturating_add(1),
            pause: Duration::from_secs(1),
            pause_max: Duration::from_mins(5),
        }
    }

    fn of(&self, class: Class) -> Option<u32> {
        match class {
            Class::Crash | Class::Incomplete => Some(self.crash),
            Class::Oom => Some(self.oom),
            Class::Hang => Some(self.hang),
            Class::Numeric => Some(self.numeric),
            Class::Data => Some(self.data),
            Class::Storage => Some(self.storage),
            Class::Preempted => self.preempted,
            Class::Success | Class::UserFatal | Class::ValidationFailed | Class::TimedOut => Some(0),
        }
    }
}

/// What follows an attempt.
#[derive(Clone, PartialEq, Debug)]
pub enum Next {
    /// Another one, after a pause.
    Retry {
        /// How long to wait.
        after: Duration,
    },
    /// None.
    Stop {
        /// Why, in a fixed word.
        reason: &'static str,
    },
}

/// Whether another attempt is worth it.
///
/// ```
/// use mainstay_core::rng::Rng;
/// use mainstay_core::training::failure::{Budgets, Class, Next, Policy};
///
/// let mut policy = Policy::new(Budgets::with_retries(2));
/// let mut rng = Rng::new(1);
/// let mut ended = |policy: &mut Policy, class| policy.handle_exit(class, "", &mut rng);
/// assert!(matches!(ended(&mut policy, Class::Crash), Next::Retry { .. }));
/// assert!(matches!(ended(&mut policy, Class::Crash), Next::Retry { .. }));
/// policy.handle_verified(500);
/// assert!(matches!(ended(&mut policy, Class::Crash), Next::Retry { .. }), "progress was made");
/// assert_eq!(ended(&mut policy, Class::UserFatal), Next::Stop { reason: "user_fatal" });
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    budgets: Budgets,
    spent: BTreeMap<Class, u32>,
    fruitless: u32,
    best_verified: u64,
    /// What the last attempt without a step said, to know a script that fails alike twice.
    signature: Option<String>,
}

impl Policy {
    /// A policy that has seen nothing.
    pub fn new(budgets: Budgets) -> Policy {
        Policy { budgets, spent: BTreeMap::new(), fruitless: 0, best_verified: 0, signature: None }
    }

    /// A checkpoint was read back and is whole. One beyond the best so far resets what was spent.
    pub fn handle_verified(&mut self, step: u64) {
        if step > self.best_verified {
            self.best_verified = step;
            self.spent.clear();
            self.fruitless = 0;
            self.signature = None;
        }
    }

    /// An attempt ended. `signature` names an end before the first step, such as the last line of standard error; empty where
    /// steps were made.
    pub fn handle_exit(&mut self, class: Class, signature: &str, rng: &mut Rng) -> Next {
        match class {
            Class::Success => return Next::Stop { reason: "success" },
            Class::UserFatal | Class::ValidationFailed | Class::TimedOut => return Next::Stop { reason: class.name() },
            Class::Crash
            | Class::Oom
            | Class::Hang
            | Class::Preempted
            | Class::Numeric
            | Class::Data
            | Class::Storage
            | Class::Incomplete => {}
        }
        let alike = !signature.is_empty() && self.signature.as_deref() == Some(signature);
        self.signature = (!signature.is_empty()).then(|| signature.to_owned());
        if alike && class == Class::Crash {
            return Next::Stop { reason: "user_fatal" };
        }
        if class != Class::Preempted {
            self.fruitless += 1;
            if self.fruitless > self.budgets.livelock {
                return Next::Stop { reason: "no_progress" };
            }
        }
        let spent = self.spent.entry(class).or_default();
        if self.budgets.of(class).is_some_and(|allowed| *spent >= allowed) {
            return Next::Stop { reason: class.name() };
        }
        *spent += 1;
        let after = if class == Class::Preempted { Duration::ZERO } else { self.pause(rng) };
        Next::Retry { after }
    }

    /// Exponential with full jitter, by attempts in a row without progress.
    fn pause(&self, rng: &mut Rng) -> Duration {
        let doublings = self.fruitless.saturating_sub(1).min(20);
        let longest = self.budgets.pause.saturating_mul(1 << doublings).min(self.budgets.pause_max);
        longest.mul_f64(rng.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit() -> Exit {
        Exit {
            code: Some(1),
            signal: None,
            ended: Ended::ByItself,
            out_of_memory: false,
            done: false,
            spoke: true,
            error: None,
            stderr: String::new(),
            moved: true,
        }
    }

    #[test]
    fn ends_are_told_apart() {
        let cases = [
            (Exit { code: Some(0), done: true, ..exit() }, Class::Success),
            (Exit { code: Some(0), spoke: false, ..exit() }, Class::Success),
            (Exit { code: Some(0), ..exit() }, Class::Incomplete),
            (Exit { code: None, signal: Some(11), ..exit() }, Class::Crash),
            (Exit { code: None, signal: Some(9), out_of_memory: true, ..exit() }, Class::Oom),
            (Exit { stderr: "RuntimeError: CUDA out of memory.".to_owned(), ..exit() }, Class::Oom),
            (Exit { code: Some(143), ..exit() }, Class::Preempted),
            (Exit { code: Some(2), moved: false, ..exit() }, Class::UserFatal),
            (
                Exit { stderr: "ModuleNotFoundError: No module named 'x'".to_owned(), moved: false, ..exit() },
                Class::UserFatal,
            ),
            (Exit { error: Some(("data".to_owned(), true)), ..exit() }, Class::Data),
            (Exit { stderr: "OSError: [Errno 28] No space left on device".to_owned(), ..exit() }, Class::Storage),
            (Exit { ended: Ended::ForHang, signal: Some(9), ..exit() }, Class::Hang),
        ];
        for (exit, class) in cases {
            assert_eq!(classify(&exit), class, "{exit:?}");
        }
    }

    #[test]
    fn fifty_preemptions_with_progress_go_on_and_a_crash_loop_without_stops() {
        let mut rng = Rng::new(3);
        let mut policy = Policy::new(Budgets::with_retries(3));
        for n in 0..50 {
            assert_eq!(policy.handle_exit(Class::Preempted, "", &mut rng), Next::Retry { after: Duration::ZERO });
            policy.handle_verified(n + 1);
        }
        let ends: Vec<Next> = (0..4).map(|_| policy.handle_exit(Class::Crash, "", &mut rng)).collect();
        assert!(ends[..3].iter().all(|next| matches!(next, Next::Retry { .. })));
        assert_eq!(ends[3], Next::Stop { reason: "crash" });
    }

    #[test]
    fn classes_that_take_turns_are_a_livelock() {
        let mut rng = Rng::new(3);
        let mut policy = Policy::new(Budgets::with_retries(3));
        let turns = [Class::Crash, Class::Hang, Class::Storage].into_iter().cycle();
        let stopped = turns
            .take(20)
            .map(|class| policy.handle_exit(class, "", &mut rng))
            .find(|next| matches!(next, Next::Stop { .. }));
        assert_eq!(stopped, Some(Next::Stop { reason: "no_progress" }));
    }

    #[test]
    fn the_same_end_before_the_first_step_twice_is_the_scripts_fault() {
        let mut rng = Rng::new(3);
        let mut policy = Policy::new(Budgets::with_retries(9));
        assert!(matches!(policy.handle_exit(Class::Crash, "KeyError: 'lr'", &mut rng), Next::Retry { .. }));
        assert_eq!(policy.handle_exit(Class::Crash, "KeyError: 'lr'", &mut rng), Next::Stop { reason: "user_fatal" });
    }
}
