//! The change of a champion, step by step; see the [module](super) for the states.

/// What a shell is to do next. Each asks for exactly one input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Move the pointer, only if it stands at `expect` ("" is nowhere): [`Switch::handle_moved`].
    Move {
        /// Where it must stand.
        expect: String,
        /// Where it goes; "" is nowhere.
        to: String,
    },
    /// Tell whoever serves the model that this version is the champion: [`Switch::handle_told`].
    Tell {
        /// The version; "" is none.
        version: String,
    },
    /// Read where the pointer stands: [`Switch::handle_read`].
    Read,
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The version is the champion: it was read back, and who serves it knows.
    Promoted,
    /// Nothing changed.
    Failed {
        /// Why.
        reason: String,
    },
    /// The change was made and taken back: the pointer was read and stands where it stood.
    RolledBack {
        /// Why.
        reason: String,
        /// What the server said when it was told of the old version again, where it failed at that too.
        server: Option<String>,
    },
    /// The change was made, and taking it back failed: somebody must look.
    RollbackFailed {
        /// Why it was to be taken back.
        reason: String,
        /// Why that failed.
        because: String,
    },
}

impl Outcome {
    /// The word on the wire.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Outcome::Promoted => "promoted",
            Outcome::Failed { .. } => "failed",
            Outcome::RolledBack { .. } => "rolled_back",
            Outcome::RollbackFailed { .. } => "rollback_failed",
        }
    }
}

/// A change of champion that is under way.
#[derive(Clone, Debug)]
pub struct Switch {
    from: String,
    to: String,
    state: State,
    due: Option<Effect>,
}

#[derive(Clone, Debug)]
enum State {
    Moving,
    Telling,
    Reading,
    MovingBack { reason: String },
    TellingBack { reason: String },
    ReadingBack { reason: String, server: Option<String> },
    Ended(Outcome),
}

impl Switch {
    /// From one version to another; "" is none.
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Switch {
        let (from, to) = (from.into(), to.into());
        let first = Effect::Move { expect: from.clone(), to: to.clone() };
        Switch { from, to, state: State::Moving, due: Some(first) }
    }

    /// One that was interrupted after its pointer had moved: whether anybody was told is not known, so it is taken back.
    pub fn interrupted(from: impl Into<String>, to: impl Into<String>) -> Switch {
        let mut switch = Switch::new(from, to);
        switch.back("interrupted".to_owned());
        switch
    }

    /// What to do next, once; `None`: an input is awaited, or it ended.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.due.take()
    }

    /// How it ended.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            State::Ended(outcome) => Some(outcome),
            State::Moving
            | State::Telling
            | State::Reading
            | State::MovingBack { .. }
            | State::TellingBack { .. }
            | State::ReadingBack { .. } => None,
        }
    }

    /// The pointer moved, or not and why.
    pub fn handle_moved(&mut self, moved: Result<(), String>) {
        match (&self.state, moved) {
            (State::Moving, Ok(())) => self.go(State::Telling, Effect::Tell { version: self.to.clone() }),
            (State::Moving, Err(reason)) => self.end(Outcome::Failed { reason }),
            (State::MovingBack { reason }, Ok(())) => {
                let back = State::TellingBack { reason: reason.clone() };
                self.go(back, Effect::Tell { version: self.from.clone() });
            }
            (State::MovingBack { reason }, Err(because)) => {
                self.end(Outcome::RollbackFailed { reason: reason.clone(), because });
            }
            // Asked for a move in no other state: late or twice, it changes nothing.
            (
                State::Telling
                | State::Reading
                | State::TellingBack { .. }
                | State::ReadingBack { .. }
                | State::Ended(_),
                _,
            ) => {}
        }
    }

    /// The server was told, or could not be.
    pub fn handle_told(&mut self, told: Result<(), String>) {
        match (&self.state, told) {
            (State::Telling, Ok(())) => self.go(State::Reading, Effect::Read),
            (State::Telling, Err(reason)) => self.back(reason),
            // The pointer is what counts: it is read in either case.
            (State::TellingBack { reason }, told) => {
                let back = State::ReadingBack { reason: reason.clone(), server: told.err() };
                self.go(back, Effect::Read);
            }
            (
                State::Moving | State::Reading | State::MovingBack { .. } | State::ReadingBack { .. } | State::Ended(_),
                _,
            ) => {}
        }
    }

    /// Where the pointer stands ("" is nowhere), or why it cannot be read.
    pub fn handle_read(&mut self, read: Result<String, String>) {
        match (&self.state, read) {
            (State::Reading, Ok(version)) if version == self.to => self.end(Outcome::Promoted),
            (State::Reading, Ok(version)) => self.back(format!("the pointer reads `{version}`")),
            (State::Reading, Err(reason)) => self.back(reason),
            (State::ReadingBack { reason, server }, Ok(version)) if version == self.from => {
                self.end(Outcome::RolledBack { reason: reason.clone(), server: server.clone() });
            }
            (State::ReadingBack { reason, .. }, Ok(version)) => {
                let because = format!("the pointer reads `{version}`");
                self.end(Outcome::RollbackFailed { reason: reason.clone(), because });
            }
            (State::ReadingBack { reason, .. }, Err(because)) => {
                self.end(Outcome::RollbackFailed { reason: reason.clone(), because });
            }
            (
                State::Moving | State::Telling | State::MovingBack { .. } | State::TellingBack { .. } | State::Ended(_),
                _,
            ) => {}
        }
    }

    fn back(&mut self, reason: String) {
        let back = Effect::Move { expect: self.to.clone(), to: self.from.clone() };
        self.go(State::MovingBack { reason }, back);
    }

    fn go(&mut self, state: State, effect: Effect) {
        self.state = state;
        self.due = Some(effect);
    }

    fn end(&mut self, outcome: Outcome) {
        self.state = State::Ended(outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// A registry whose steps fail as told.
    struct World {
        pointer: String,
        fails: VecDeque<bool>,
    }

    fn run(world: &mut World) -> Outcome {
        let mut switch = Switch::new("1", "2");
        for _ in 0..8 {
            if let Some(outcome) = switch.outcome() {
                return outcome.clone();
            }
            let effect = switch.poll_effect().expect("a switch that has not ended asks for something");
            let answer = if world.fails.pop_front().unwrap_or(false) { Err("broken".to_owned()) } else { Ok(()) };
            match effect {
                Effect::Move { expect, to } => {
                    assert_eq!(world.pointer, expect);
                    if answer.is_ok() {
                        world.pointer = to;
                    }
                    switch.handle_moved(answer);
                }
                Effect::Tell { version } => {
                    assert_eq!(version, world.pointer, "the pointer moves before anybody is told");
                    switch.handle_told(answer);
                }
                Effect::Read => switch.handle_read(answer.map(|()| world.pointer.clone())),
            }
        }
        panic!("does not end");
    }

    #[test]
    fn a_hook_that_fails_puts_the_old_version_back() {
        let mut world = World { pointer: "1".to_owned(), fails: [false, true].into() };
        let ended = run(&mut world);
        assert_eq!(ended, Outcome::RolledBack { reason: "broken".to_owned(), server: None });
        assert_eq!(world.pointer, "1");
    }

    #[test]
    fn what_was_interrupted_is_taken_back() {
        let mut switch = Switch::interrupted("", "1");
        assert_eq!(switch.poll_effect(), Some(Effect::Move { expect: "1".to_owned(), to: String::new() }));
        switch.handle_moved(Ok(()));
        switch.handle_told(Err("gone".to_owned()));
        switch.handle_read(Ok(String::new()));
        let (reason, server) = ("interrupted".to_owned(), Some("gone".to_owned()));
        assert_eq!(switch.outcome(), Some(&Outcome::RolledBack { reason, server }));
    }

    proptest! {
        /// Whatever fails: the words are true.
        #[test]
        fn outcomes_are_true(fails in prop::collection::vec(any::<bool>(), 0..8)) {
            let mut world = World { pointer: "1".to_owned(), fails: fails.into() };
            match run(&mut world) {
                Outcome::Promoted => prop_assert_eq!(world.pointer, "2"),
                Outcome::Failed { .. } | Outcome::RolledBack { .. } => prop_assert_eq!(world.pointer, "1"),
                Outcome::RollbackFailed { because, .. } => prop_assert_eq!(because, "broken"),
            }
        }

        /// Late and repeated inputs neither panic nor revive what has ended.
        #[test]
        fn any_inputs_are_taken(inputs in prop::collection::vec((0..3u8, any::<bool>()), 0..20)) {
            let mut switch = Switch::new("", "2");
            let mut ended = None;
            for (input, well) in inputs {
                let answer = if well { Ok(()) } else { Err("x".to_owned()) };
                match input {
                    0 => switch.handle_moved(answer),
                    1 => switch.handle_told(answer),
                    _ => switch.handle_read(answer.map(|()| "2".to_owned())),
                }
                if ended.is_some() {
                    prop_assert_eq!(switch.outcome(), ended.as_ref());
                }
                ended = switch.outcome().cloned();
            }
        }
    }
}
