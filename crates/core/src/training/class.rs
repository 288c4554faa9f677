//! How an attempt ended.

use serde::{Deserialize, Serialize};

/// The class of an ending; each has a budget of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The command is wrong: an import, the syntax, an argument. Another attempt ends the same way.
    UserFatal,
    /// It fell over.
    Crash,
    /// It used more memory than it may.
    Oom,
    /// It stopped moving.
    Hang,
    /// Somebody needed its machine.
    Preempted,
    /// Its loss is no number, or jumped.
    Numeric,
    /// A piece of the data cannot be read.
    Data,
    /// The disk is full or broken.
    Storage,
    /// It ended with code 0 before its last step.
    Incomplete,
    /// An attempt or a phase took longer than it may.
    TimedOut,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 10] = [
        Class::UserFatal,
        Class::Crash,
        Class::Oom,
        Class::Hang,
        Class::Preempted,
        Class::Numeric,
        Class::Data,
        Class::Storage,
        Class::Incomplete,
        Class::TimedOut,
    ];

    /// Whether it says that something failed: a machine that was needed elsewhere, or time that was up, does not.
    pub const fn is_failure(self) -> bool {
        match self {
            Class::Preempted | Class::TimedOut => false,
            Class::UserFatal
            | Class::Crash
            | Class::Oom
            | Class::Hang
            | Class::Numeric
            | Class::Data
            | Class::Storage
            | Class::Incomplete => true,
        }
    }

    /// The word for people and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::UserFatal => "user_fatal",
            Class::Crash => "crash",
            Class::Oom => "oom",
            Class::Hang => "hang",
            Class::Preempted => "preempted",
            Class::Numeric => "numeric",
            Class::Data => "data",
            Class::Storage => "storage",
            Class::Incomplete => "incomplete",
            Class::TimedOut => "timed_out",
        }
    }
}

/// What is known of an ending.
#[derive(Clone, Debug, Default)]
pub struct Ending<'a> {
    /// Exit code, where the process ended by itself.
    pub code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// Why the supervisor ended it, where it did.
    pub ended_for: Option<Class>,
    /// Whether a memory limit killed it.
    pub oom_killed: bool,
    /// Whether memory was short when it ended: near its limit, or the kernel killed something for want of it.
    pub memory_was_short: bool,
    /// Whether `done` was said, and with which step.
    pub done: Option<u64>,
    /// The last step that was told.
    pub step: Option<u64>,
    /// All steps, where the script told.
    pub total: Option<u64>,
    /// Whether the script spoke the protocol at all.
    pub spoke: bool,
    /// What it said was wrong: the kind, and whether another attempt may help.
    pub error: Option<(&'a str, bool)>,
    /// The end of its output.
    pub output: &'a str,
}

/// The end of a Python program whose next attempt ends the same way.
const HOPELESS: &[&str] = &[
    "ImportError:",
    "ModuleNotFoundError:",
    "SyntaxError:",
    "IndentationError:",
    "NameError:",
    "command not found",
    "error: unrecognized arguments",
    "error: the following arguments are required",
    "can't open file",
];

const NO_MEMORY: &[&str] = &["CUDA out of memory", "OutOfMemoryError", "MemoryError", "Cannot allocate memory"];
const NO_ROOM: &[&str] = &["No space left on device", "Disk quota exceeded", "Input/output error"];

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// The class of an ending; `None`: it succeeded.
pub fn classify(ending: &Ending<'_>) -> Option<Class> {
    if ending.oom_killed {
        return Some(Class::Oom);
    }
    if let Some(class) = ending.ended_for {
        return Some(class);
    }
    if ending.code == Some(0) {
        return incomplete(ending).then_some(Class::Incomplete);
    }
    if let Some((kind, retryable)) = ending.error {
        let said = match kind {
            "data" => Some(Class::Data),
            "storage" => Some(Class::Storage),
            "oom" => Some(Class::Oom),
            "numeric" => Some(Class::Numeric),
            _ if !retryable => Some(Class::UserFatal),
            _ => None,
        };
        if said.is_some() {
            return said;
        }
    }
    Some(by_traces(ending))
}

/// Code 0 is a success where `done` was said, or where the last step was reached, or where nothing was said at all.
fn incomplete(ending: &Ending<'_>) -> bool {
    let reached = match (ending.done.or(ending.step), ending.total) {
        (Some(step), Some(total)) => step >= total,
        _ => true,
    };
    !reached || (ending.spoke && ending.done.is_none() && ending.total.is_none())
}

fn by_traces(ending: &Ending<'_>) -> Class {
    let has = |texts: &[&str]| texts.iter().any(|text| ending.output.contains(text));
    match (ending.code, ending.signal) {
        (Some(2 | 126 | 127), _) => Class::UserFatal,
        (Some(137), _) | (_, Some(SIGKILL)) if ending.memory_was_short => Class::Oom,
        (Some(143), _) | (_, Some(SIGTERM)) => Class::Preempted,
        (Some(_), _) | (_, Some(SIGKILL)) if has(NO_MEMORY) => Class::Oom,
        (Some(_), _) if has(NO_ROOM) => Class::Storage,
        (Some(_), _) if ending.step.is_none() && has(HOPELESS) => Class::UserFatal,
        _ => Class::Crash,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_have_their_class() {
        let code = |code| Ending { code: Some(code), ..Ending::default() };
        assert_eq!(classify(&code(0)), None);
        assert_eq!(classify(&code(1)), Some(Class::Crash));
        assert_eq!(classify(&code(2)), Some(Class::UserFatal));
        assert_eq!(classify(&code(127)), Some(Class::UserFatal));
        assert_eq!(classify(&code(143)), Some(Class::Preempted));
        let import = Ending { output: "ModuleNotFoundError: No module named 'x'", ..code(1) };
        assert_eq!(classify(&import), Some(Class::UserFatal));
        assert_eq!(
            classify(&Ending { step: Some(9), ..import }),
            Some(Class::Crash),
            "it got further than its imports"
        );
        assert_eq!(classify(&Ending { output: "No space left on device", ..code(1) }), Some(Class::Storage));
        assert_eq!(classify(&Ending { signal: Some(9), oom_killed: true, ..Ending::default() }), Some(Class::Oom));
        let killed = Ending { signal: Some(9), ..Ending::default() };
        assert_eq!(classify(&killed), Some(Class::Crash), "somebody killed it");
        assert_eq!(classify(&Ending { memory_was_short: true, ..killed }), Some(Class::Oom));
        assert_eq!(classify(&Ending { memory_was_short: true, ..code(137) }), Some(Class::Oom));
        assert_eq!(classify(&Ending { memory_was_short: true, ..code(1) }), Some(Class::Crash));
        assert_eq!(classify(&Ending { output: "RuntimeError: CUDA out of memory.", ..code(1) }), Some(Class::Oom));
        assert_eq!(classify(&Ending { signal: Some(11), ..Ending::default() }), Some(Class::Crash));
        let hang = Ending { signal: Some(9), ended_for: Some(Class::Hang), ..Ending::default() };
        assert_eq!(classify(&hang), Some(Class::Hang));
        assert_eq!(classify(&Ending { error: Some(("data", true)), ..code(1) }), Some(Class::Data));
        assert_eq!(classify(&Ending { error: Some(("user", false)), ..code(1) }), Some(Class::UserFatal));
    }

    #[test]
    fn code_0_before_the_last_step_is_no_success() {
        let ended = Ending { code: Some(0), spoke: true, step: Some(50), total: Some(100), ..Ending::default() };
        assert_eq!(classify(&ended), Some(Class::Incomplete));
        assert_eq!(classify(&Ending { step: Some(100), ..ended.clone() }), None);
        assert_eq!(classify(&Ending { done: Some(60), ..ended.clone() }), Some(Class::Incomplete));
        assert_eq!(classify(&Ending { total: None, ..ended }), Some(Class::Incomplete));
    }
}
