//! A program that is run for what it does, within a time: it and all that it started end with it.

use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::process;
use mainstay_core::time::Time;

/// Programs that were run, for their marks.
static COUNT: AtomicU64 = AtomicU64::new(0);
/// How often it is looked whether a program ended.
const LOOK: Duration = Duration::from_millis(10);
/// How long a program that has ended may still be heard.
const SAY: Duration = Duration::from_secs(1);
/// Most of what a program says about its failure, in bytes.
const SAID_MAX: u64 = 2_000;

/// Runs a program with these variables added to the environment, and waits for its end. The error says how it failed, with the
/// first of what it said on stderr.
pub fn run(
    command: &[String],
    environment: &[(&str, String)],
    longest: Duration,
    now: impl Fn() -> Time,
) -> Result<(), String> {
    let mark = format!("hook-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    run_marked(command, environment, &mark, longest, &AtomicBool::new(false), now)
}

/// As [`run`], with a name in the environment by which all of it is found, also what made a session of its own; `cancel` ends it
/// before its time.
pub(crate) fn run_marked(
    command: &[String],
    environment: &[(&str, String)],
    mark: &str,
    longest: Duration,
    cancel: &AtomicBool,
    now: impl Fn() -> Time,
) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("there is no command")?;
    let mut started = Command::new(program);
    started.args(arguments).envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
    started.env("MAINSTAY_RUN_ID", mark);
    started.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = process::start(&mut started).map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    let group = i32::try_from(child.id()).map_err(|_| "a process id that is none".to_owned())?;
    let mut stderr = child.stderr.take().expect("it was asked for");
    let (tell, said) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stderr.by_ref().take(SAID_MAX).read_to_end(&mut said);
        let _ = tell.send(String::from_utf8_lossy(&said).trim().to_owned());
        // The rest is read as well, so that whoever says more is not held up.
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    });
    let began = now();
    let ended = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break Some(status),
            None if now().since(began) >= longest || cancel.load(Ordering::Relaxed) => break None,
            None => std::thread::sleep(LOOK),
        }
    };
    process::end_marked(mark, group);
    if ended.is_none() {
        let _ = child.wait();
        if cancel.load(Ordering::Relaxed) {
            return Err(format!("`{program}` was ended before its time"));
        }
        return Err(format!("`{program}` did not end within {longest:?}"));
    }
    match ended.filter(|status| !status.success()) {
        None => Ok(()),
        Some(status) => {
            let how = match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, signal) => format!("signal {}", signal.unwrap_or_default()),
            };
            // Something that left the group may hold the pipe open.
            let said = said.recv_timeout(SAY).unwrap_or_default();
            Err(if said.is_empty() { format!("`{program}`: {how}") } else { format!("`{program}`: {how}: {said}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test reads the clock")]
    fn now() -> Time {
        Time::ZERO + std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
    }

    fn shell(script: &str, longest: Duration) -> Result<(), String> {
        let command = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        run(&command, &[("MAINSTAY_VERSION", "7".to_owned())], longest, now)
    }

    #[test]
    fn it_is_done_or_says_why_not() {
        let patient = Duration::from_secs(20);
        assert_eq!(shell("test \"$MAINSTAY_VERSION\" = 7", patient), Ok(()));
        assert_eq!(shell("echo no room >&2; exit 3", patient), Err("`sh`: exit code 3: no room".to_owned()));
        assert_eq!(shell("kill -9 $$", patient), Err("`sh`: signal 9".to_owned()));
        assert!(run(&["no-such-program".to_owned()], &[], patient, now).unwrap_err().contains("cannot be run"));
        assert!(run(&[], &[], patient, now).is_err());
        // More than is kept of what it says does not hold it up.
        assert!(shell("head -c 300000 /dev/zero >&2; exit 1", patient).is_err());
    }

    #[test]
    fn what_takes_too_long_ends_with_all_that_it_started() {
        let folder = std::env::temp_dir().join(format!("mainstay-hook-{}", std::process::id()));
        let script = format!("setsid sh -c 'sleep 30; touch {}' & sleep 30", folder.display());
        let began = now();
        assert!(shell(&script, Duration::from_millis(200)).unwrap_err().contains("did not end"));
        assert!(now().since(began) < Duration::from_secs(20) && !folder.exists());
        let left = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            command.contains(&*folder.to_string_lossy())
        });
        assert_eq!(left.count(), 0, "also what left the group is ended");
    }
}
