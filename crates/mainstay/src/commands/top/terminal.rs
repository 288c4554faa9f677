//! The terminal, for as long as it is held; it is given back as it was, on every way out.

use std::io;

use jiff::Timestamp;
use ratatui::DefaultTerminal;

use super::model::Model;
use super::screen;

/// A terminal in raw mode on its second screen.
pub(super) struct Held(DefaultTerminal);

impl Held {
    /// Takes it over. A panic gives it back before it is told of.
    pub(super) fn take() -> io::Result<Held> {
        ratatui::try_init().map(Held).inspect_err(|_| {
            // Half of it may have been done.
            let _ = ratatui::try_restore();
        })
    }

    pub(super) fn draw(&mut self, model: &mut Model, now: Timestamp) -> io::Result<()> {
        self.0.draw(|frame| screen::draw(frame, model, now)).map(drop)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}
