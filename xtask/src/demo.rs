//! The demo as README.md starts it: its dashboard live in the middle and at the end, its verdict, Ctrl-C.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use crate::shell;

/// Between one line that is waited for and the next; the first waits for the build of a release on a busy machine, where there is one.
const PATIENCE: Duration = Duration::from_hours(3);
/// What its overview shows: the route and its level, a backend, the features, who asks.
const SHOWN: [&str; 5] = ["tumour", "full service", "primary", "history", "Traffic by class"];
/// Criteria that its verdict has at least.
const CRITERIA_MIN: usize = 19;

/// What the development build does.
pub(crate) fn of_development() -> Result<()> {
    shell::quiet(&mut shell::cargo(&["build", "--quiet", "--package", "mainstay", "--bin", "mainstay"]))?;
    let place = tempfile::tempdir()?;
    let mut command = Command::new(shell::target().join("debug/mainstay"));
    command.args(["demo", "--duration", "40s", "--dir"]).arg(place.path());
    let printed = look(&mut command)?;
    let result = std::fs::read(place.path().join("result.json")).context("the demo kept no result.json")?;
    compare(&printed, &serde_json::from_slice(&result)?)
}

/// Starts it, looks at it twice, ends it by Ctrl-C; what it printed. An error says what was not as it should be.
pub(crate) fn look(command: &mut Command) -> Result<String> {
    let demo = Demo::start(command)?;
    let dashboard = demo.wait_for("dashboard ")?;
    let overview = page(&dashboard)?;
    for shown in SHOWN {
        ensure!(overview.contains(shown), "no `{shown}` on the dashboard\n{overview}");
    }
    demo.wait_for("still running")?;
    let incidents = page(&format!("{dashboard}incidents"))?;
    ensure!(incidents.contains("/incidents/AI-"), "no incident on the dashboard\n{incidents}");
    demo.interrupt()
}

/// Every criterion held, in the table for people as in the result for programs.
fn compare(printed: &str, result: &Value) -> Result<()> {
    let criteria = result["criteria"].as_array().context("a result without criteria")?;
    ensure!(criteria.len() >= CRITERIA_MIN, "{} criteria were judged", criteria.len());
    for criterion in criteria {
        let [name, measured] = ["name", "measured"].map(|key| criterion[key].as_str().unwrap_or_default());
        ensure!(criterion["held"] == true, "{name}: {measured}");
        let row = printed.lines().find(|line| line.starts_with("yes") && line.contains(name));
        ensure!(row.is_some_and(|row| row.contains(measured)), "`{name}` is not in the table\n{printed}");
    }
    let verdict = format!("passed ({0} of {0} criteria held)", criteria.len());
    ensure!(printed.lines().last() == Some(verdict.as_str()) && result["passed"] == true, "not `{verdict}`\n{printed}");
    Ok(())
}

/// A running demo, and what it says.
struct Demo {
    child: Child,
    said: Receiver<String>,
    printed: Option<JoinHandle<std::io::Result<String>>>,
}

impl Demo {
    fn start(command: &mut Command) -> Result<Demo> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stderr = BufReader::new(child.stderr.take().context("standard error is piped")?);
        let mut stdout = child.stdout.take().context("standard output is piped")?;
        let (sender, said) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let printed = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        Ok(Demo { child, said, printed: Some(printed) })
    }

    /// The address in the next line that begins so.
    fn wait_for(&self, start: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.said.recv_timeout(left).map_err(|_| anyhow!("no `{start}`\n{}", before.join("\n")))?;
            if line.starts_with(start) {
                let address = line.split([' ', ';']).find(|word| word.starts_with("http://"));
                return Ok(address.context("a line without an address")?.to_owned());
            }
            before.push(line);
        }
    }

    fn interrupt(mut self) -> Result<String> {
        shell::quiet(Command::new("kill").args(["-INT", &self.child.id().to_string()]))?;
        let printed = self.printed.take().context("it is read once")?;
        let printed = printed.join().map_err(|_| anyhow!("a thread panicked"))??;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status} after Ctrl-C\n{printed}");
        Ok(printed)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Gone already, where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The page at an address such as `http://127.0.0.1:8090/`.
fn page(url: &str) -> Result<String> {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).context("no address")?;
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{url} answered\n{answer}");
    Ok(answer)
}

/// The first command of a page of Markdown: the first line of its first block of shell.
pub(crate) fn first_command(page: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let mut lines = text.lines().skip_while(|line| *line != "```sh");
    let line = lines.nth(1).with_context(|| format!("no block of shell in {}", page.display()))?;
    Ok(line.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_command_of_the_readme_leads_to_a_live_dashboard() {
        let words = first_command(&shell::root().join("README.md")).unwrap();
        assert_eq!(words, ["cargo", "run", "--release", "--", "demo"]);
    }

    #[test]
    fn a_verdict_needs_every_criterion_in_both_forms() {
        let criterion = |n: usize, held: bool| json!({ "name": format!("c{n}."), "measured": "1 of 1", "held": held });
        let all = |last: bool| (0..CRITERIA_MIN).map(|n| criterion(n, n > 0 || last)).collect::<Vec<_>>();
        let rows = |skipped: usize| {
            (skipped..CRITERIA_MIN).map(|n| format!("yes   c{n}.  1 of 1\n")).collect::<Vec<_>>().concat()
                + "\npassed (19 of 19 criteria held)\n"
        };
        let result = json!({ "criteria": all(true), "passed": true });
        assert!(compare(&rows(0), &result).is_ok());
        assert!(compare(&rows(1), &result).is_err(), "a row is missing");
        assert!(compare(&rows(0), &json!({ "criteria": all(false), "passed": true })).is_err());
        assert!(
            compare(&rows(0), &json!({ "criteria": all(true)[1..], "passed": true })).is_err(),
            "one was not judged"
        );
    }
}
