//! A ladder's last step up.

use crate::route::Level;
use crate::time::Time;

/// A step up, since the parts of a better level had recovered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Climb {
    /// When.
    pub at: Time,
    /// From which level.
    pub from: Level,
}

impl Climb {
    /// Since when requests come to this level again, if it was this step that brought them.
    pub fn back_at(&self, level: Level) -> Option<Time> {
        (level < self.from).then_some(self.at)
    }
}
