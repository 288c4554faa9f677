//! What is shown, and what keys and news make of it. No terminal, no clock.

use jiff::Timestamp;
use serde_json::Value;

use super::columns::Cell;
use super::feed::Heard;
use super::figures::{History, Reading};
use super::{rows, text};
use crate::words::word;

/// What somebody at the keyboard wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Input {
    Quit,
    Up(usize),
    Down(usize),
    NextPane,
    PreviousPane,
    Open,
    Close,
    Pause,
    Help,
}

/// Whether it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    GoOn,
    End,
}

/// A table of the screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pane {
    Routes,
    Backends,
    Budgets,
    Incidents,
    Running,
}

impl Pane {
    pub(super) const COUNT: usize = 5;
    pub(super) const ALL: [Pane; Pane::COUNT] =
        [Pane::Routes, Pane::Backends, Pane::Budgets, Pane::Incidents, Pane::Running];

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    fn moved(self, by: usize) -> Pane {
        Pane::ALL[(self.index() + by) % Pane::COUNT]
    }
}

/// A row of a table, with what more is known of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Row {
    /// What it is known by from one moment to the next.
    pub(super) key: String,
    pub(super) cells: Vec<Cell>,
    /// What each is called, and what it is.
    pub(super) details: Vec<(&'static str, String)>,
}

/// The service at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) service: String,
    pub(super) at: String,
    /// What everybody should know: that it drains, that faults are halted.
    pub(super) notes: Vec<String>,
    pub(super) panes: [Vec<Row>; Pane::COUNT],
}

impl Snapshot {
    fn of(heard: &Heard, history: &History) -> Snapshot {
        let status = &heard.status;
        let mut notes = Vec::new();
        if status["draining"] == true {
            notes.push("draining".to_owned());
        }
        if status["halt"]["halted"] == true {
            notes.push("faults halted".to_owned());
        }
        let short = |value: &Value| text::harmless(&word(value), 60);
        let panes = Pane::ALL.map(|pane| rows::of(pane, heard, history));
        Snapshot { service: short(&status["service"]), at: short(&status["at"]), notes, panes }
    }
}

/// What lies over the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    Nothing,
    /// All that is known of the chosen row, from this line on.
    Details(usize),
    /// The keys, from this line on.
    Help(usize),
}

/// Which row of a table is chosen, and which is the first that is drawn.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    key: String,
    pub(super) at: usize,
    pub(super) top: usize,
}

/// Since when it does not answer, and why.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) since: Timestamp,
    pub(super) why: String,
}

/// Everything that is drawn.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) colours: bool,
    pub(super) pane: Pane,
    pub(super) choices: [Choice; Pane::COUNT],
    pub(super) over: Over,
    pub(super) lost: Option<Lost>,
    pub(super) is_paused: bool,
    pub(super) shown: Snapshot,
    history: History,
    /// What was heard last, while something else is shown.
    held: Option<Snapshot>,
}

impl Model {
    pub(super) fn new(colours: bool) -> Model {
        Model {
            colours,
            pane: Pane::Routes,
            choices: Default::default(),
            over: Over::Nothing,
            lost: None,
            is_paused: false,
            shown: Snapshot::default(),
            history: History::default(),
            held: None,
        }
    }

    /// Takes in what the service said.
    pub(super) fn hear(&mut self, heard: &Heard) {
        self.lost = None;
        self.history.push(heard.at, Reading::of(&heard.metrics));
        let snapshot = Snapshot::of(heard, &self.history);
        if self.is_paused {
            self.held = Some(snapshot);
        } else {
            self.show(snapshot);
        }
    }

    /// The service cannot be reached; what is shown stays.
    pub(super) fn lose(&mut self, why: String, now: Timestamp) {
        let since = self.lost.as_ref().map_or(now, |lost| lost.since);
        self.lost = Some(Lost { since, why });
    }

    /// Whether what is shown changes with the time alone.
    pub(super) const fn ages(&self) -> bool {
        self.lost.is_some()
    }

    /// Does what somebody wants.
    pub(super) fn handle(&mut self, input: Input) -> Flow {
        match input {
            Input::Quit => return Flow::End,
            Input::Up(by) => self.scroll(|at| at.saturating_sub(by)),
            Input::Down(by) => self.scroll(|at| at.saturating_add(by)),
            Input::NextPane => self.turn(1),
            Input::PreviousPane => self.turn(Pane::COUNT - 1),
            Input::Open => {
                self.over = match self.over {
                    Over::Nothing if self.chosen().is_some() => Over::Details(0),
                    Over::Nothing | Over::Details(_) | Over::Help(_) => Over::Nothing,
                }
            }
            Input::Close => self.over = Over::Nothing,
            Input::Help => {
                self.over = match self.over {
                    Over::Help(_) => Over::Nothing,
                    Over::Nothing | Over::Details(_) => Over::Help(0),
                }
            }
            Input::Pause => self.pause(),
        }
        Flow::GoOn
    }

    /// The row that is chosen; a table may have none.
    pub(super) fn chosen(&self) -> Option<&Row> {
        self.shown.panes[self.pane.index()].get(self.choices[self.pane.index()].at)
    }

    fn scroll(&mut self, to: impl Fn(usize) -> usize) {
        match self.over {
            Over::Nothing => {
                let rows = &self.shown.panes[self.pane.index()];
                let choice = &mut self.choices[self.pane.index()];
                choice.at = to(choice.at).min(rows.len().saturating_sub(1));
                choice.key = rows.get(choice.at).map(|row| row.key.clone()).unwrap_or_default();
            }
            // The screen knows where their ends are.
            Over::Details(at) => self.over = Over::Details(to(at)),
            Over::Help(at) => self.over = Over::Help(to(at)),
        }
    }

    fn turn(&mut self, by: usize) {
        self.pane = self.pane.moved(by);
        self.over = Over::Nothing;
    }

    fn pause(&mut self) {
        self.is_paused = !self.is_paused;
        if !self.is_paused
            && let Some(held) = self.held.take()
        {
            self.show(held);
        }
    }

    /// Shows another moment: what was chosen stays chosen, wherever it is.
    fn show(&mut self, snapshot: Snapshot) {
        self.shown = snapshot;
        for (choice, rows) in self.choices.iter_mut().zip(&self.shown.panes) {
            let found = rows.iter().position(|row| row.key == choice.key);
            if found.is_none() && !choice.key.is_empty() {
                choice.key.clear();
            }
            choice.at = found.unwrap_or(choice.at).min(rows.len().saturating_sub(1));
        }
        if self.chosen().is_none() && matches!(self.over, Over::Details(_)) {
            self.over = Over::Nothing;
        }
    }
}
