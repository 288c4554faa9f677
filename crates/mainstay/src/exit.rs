//! How a command ends: exit codes, and errors that carry one.

use std::io;
use std::process::ExitCode;

/// The exit codes, the same for every command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Fine.
    Fine = 0,
    /// The command worked and its answer is no: a criterion did not hold.
    No = 1,
    /// Wrong usage or a wrong config.
    Usage = 2,
    /// Something that is needed cannot be reached.
    Unreachable = 3,
    /// A bug of ours.
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command stopped before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed, and says so.
    Failed(Exit, anyhow::Error),
    /// It failed, and has said so already.
    Said(Exit),
    /// Whoever read stdout has seen enough. That is no failure.
    PipeClosed,
}

impl Stop {
    /// Wrong usage or config.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Stop {
        Stop::Failed(Exit::Usage, error.into())
    }

    /// Something that is needed cannot be reached.
    pub(crate) fn unreachable(error: impl Into<anyhow::Error>) -> Stop {
        Stop::Failed(Exit::Unreachable, error.into())
    }

    /// Whether something that is needed could not be reached: it may be another time.
    pub(crate) const fn is_unreachable(&self) -> bool {
        matches!(self, Stop::Failed(Exit::Unreachable, _))
    }

    /// It worked, and the answer is no.
    pub(crate) fn no(error: impl Into<anyhow::Error>) -> Stop {
        Stop::Failed(Exit::No, error.into())
    }

    /// What cannot happen, happened.
    pub(crate) fn bug(error: impl Into<anyhow::Error>) -> Stop {
        Stop::Failed(Exit::Bug, error.into())
    }

    /// A write to stdout went wrong.
    pub(crate) fn from_stdout(error: io::Error) -> Stop {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Stop::PipeClosed
        } else {
            Stop::unreachable(anyhow::Error::new(error).context("cannot write to stdout"))
        }
    }

    /// What is at the bottom of it, in a few words.
    pub(crate) fn cause(&self) -> String {
        match self {
            Stop::Failed(_, error) => error.root_cause().to_string(),
            Stop::Said(_) | Stop::PipeClosed => String::new(),
        }
    }

    /// Says what there is to say on stderr.
    pub(crate) fn report(self) -> Exit {
        match self {
            Stop::Failed(exit, error) => {
                crate::output::say(format_args!("error: {error:#}"));
                exit
            }
            Stop::Said(exit) => exit,
            Stop::PipeClosed => Exit::Fine,
        }
    }
}

/// Runs a command; a panic is a bug of ours and ends with [`Exit::Bug`].
pub(crate) fn guarded(command: impl FnOnce() -> Exit) -> Exit {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(command)) {
        Ok(exit) => exit,
        Err(_) => {
            crate::output::say(format_args!("this is a bug in mainstay; please report it with the lines above"));
            Exit::Bug
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_bug_and_a_closed_pipe_is_fine() {
        assert_eq!(guarded(|| panic!("on purpose")), Exit::Bug);
        assert_eq!(Stop::from_stdout(io::ErrorKind::BrokenPipe.into()).report(), Exit::Fine);
        assert_eq!(Stop::from_stdout(io::ErrorKind::StorageFull.into()).report(), Exit::Unreachable);
    }
}
