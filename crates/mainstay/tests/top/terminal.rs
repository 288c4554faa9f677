//! A pseudo-terminal with a process in it, and the screen that its output makes.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Columns and rows.
type Size = (u16, u16);

pub(crate) struct Terminal {
    /// The side of whoever sits in front of it.
    front: File,
    /// The side of the process, kept open to ask how it stands.
    back: File,
    child: Child,
    output: Vec<u8>,
    screen: Screen,
    /// Bytes of the output that the screen has seen.
    seen: usize,
    modes: LocalModes,
}

impl Terminal {
    /// Starts mainstay in a terminal of its own.
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)], size: Size) -> Terminal {
        let front = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&front).unwrap();
        unlockpt(&front).unwrap();
        let name = ptsname(&front, Vec::new()).unwrap().into_string().unwrap();
        let open = || File::options().read(true).write(true).open(&name).unwrap();
        let back = open();
        tcsetwinsize(&back, winsize(size)).unwrap();
        let flags = fcntl_getfl(&front).unwrap();
        fcntl_setfl(&front, flags | OFlags::NONBLOCK).unwrap();
        let modes = tcgetattr(&back).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO));
        // `setsid` makes the pseudo-terminal the one that signals and sizes come from, as a shell's is.
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_mainstay")]).args(arguments);
        command.env_remove("MAINSTAY_TOKEN").env_remove("NO_COLOR").env("TERM", "xterm-256color");
        command.envs(variables.iter().copied());
        command.stdin(Stdio::from(open())).stdout(Stdio::from(open())).stderr(Stdio::from(open()));
        let child = command.spawn().expect("setsid of util-linux");
        let screen = Screen::new(size);
        Terminal { front: File::from(front), back, child, output: Vec::new(), screen, seen: 0, modes }
    }

    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.front.write_all(keys).unwrap();
    }

    /// Changes the size, as a window's owner does. What was on the screen is forgotten: it is drawn anew.
    pub(crate) fn resize(&mut self, size: Size) {
        self.read();
        self.screen = Screen::new(size);
        tcsetwinsize(&self.back, winsize(size)).unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until the screen shows the text; answers with all of it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    pub(crate) fn wait_until(&mut self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            self.read();
            let shown = self.screen.text();
            if holds(&shown) {
                return shown;
            }
            assert!(began.elapsed() < PATIENCE, "in vain waited for: {what}\n{shown}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the end of the process.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            self.read();
            if let Some(status) = self.child.try_wait().unwrap() {
                self.read();
                return ExitStatus::code(&status);
            }
            assert!(began.elapsed() < PATIENCE, "it does not end\n{}", self.screen.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the second screen was ever asked for.
    pub(crate) fn was_taken(&self) -> bool {
        self.last(b"\x1b[?1049h").is_some()
    }

    /// The first screen, the cursor and the terminal's modes are as they were.
    pub(crate) fn assert_given_back(&self) {
        let (taken, given) = (self.last(b"\x1b[?1049h").unwrap(), self.last(b"\x1b[?1049l").unwrap());
        assert!(taken < given, "the first screen is back");
        assert!(self.last(b"\x1b[?25l").unwrap() < self.last(b"\x1b[?25h").unwrap(), "the cursor is back");
        assert_eq!(tcgetattr(&self.back).unwrap().local_modes, self.modes);
    }

    /// Whether a colour was ever set.
    pub(crate) fn has_colours(&self) -> bool {
        let text = String::from_utf8_lossy(&self.output).into_owned();
        let sequences =
            text.split("\x1b[").filter_map(|rest| rest.split_once('m')).map(|(inside, _)| inside.to_owned());
        let is_colour = |code: &str| code.parse::<u16>().is_ok_and(|code| matches!(code, 30..=38 | 40..=48 | 90..=107));
        sequences
            .filter(|inside| inside.chars().all(|c| c.is_ascii_digit() || c == ';'))
            .any(|inside| inside.split(';').next().is_some_and(is_colour))
    }

    fn last(&self, bytes: &[u8]) -> Option<usize> {
        self.output.windows(bytes.len()).rposition(|window| window == bytes)
    }

    fn read(&mut self) {
        let mut chunk = [0; 8_192];
        loop {
            match self.front.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => self.output.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("cannot read the terminal: {error}"),
            }
        }
        self.seen += self.screen.write(&self.output[self.seen..]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const fn winsize((columns, rows): Size) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// As much of a terminal as is written for: places, text, and what clears.
struct Screen {
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    fn new((columns, rows): Size) -> Screen {
        Screen { cells: vec![vec![' '; columns.into()]; rows.into()], row: 0, column: 0 }
    }

    fn text(&self) -> String {
        let lines = self.cells.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Takes bytes in; answers with how many. A sequence or a character that is not whole waits for the rest of it.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let whole = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                assert!(error.error_len().is_none(), "it writes UTF-8");
                std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap()
            }
        };
        let mut rest = whole;
        while let Some(c) = rest.chars().next() {
            if let Some(sequence) = rest.strip_prefix("\x1b[") {
                let Some(end) = sequence.find(|c: char| c.is_ascii_alphabetic()) else { break };
                self.obey(&sequence[..end], &sequence[end..=end]);
                rest = &sequence[end + 1..];
                continue;
            }
            if rest == "\x1b" {
                break;
            }
            self.put(c);
            rest = &rest[c.len_utf8()..];
        }
        whole.len() - rest.len()
    }

    fn obey(&mut self, parameters: &str, command: &str) {
        let numbers: Vec<usize> = parameters.split(';').map(|number| number.parse().unwrap_or(1)).collect();
        match command {
            "H" => {
                self.row = numbers.first().map_or(0, |row| row.saturating_sub(1));
                self.column = numbers.get(1).map_or(0, |column| column.saturating_sub(1));
            }
            "J" => self.cells.iter_mut().for_each(|row| row.fill(' ')),
            _ => {}
        }
    }

    fn put(&mut self, c: char) {
        match c {
            '\r' => self.column = 0,
            '\n' => self.row += 1,
            _ => {
                if let Some(cell) = self.cells.get_mut(self.row).and_then(|row| row.get_mut(self.column)) {
                    *cell = c;
                }
                self.column += 1;
            }
        }
    }
}
