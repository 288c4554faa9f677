//! Ratios that another system counts.

use super::Engine;
use super::settle::Settling;

/// When each source was last asked.
#[derive(Default)]
pub(super) struct External;

impl External {
    /// Asks the sources whose time has come.
    pub(super) async fn read(&mut self, _engine: &Engine, _settling: &mut Settling) {}
}
