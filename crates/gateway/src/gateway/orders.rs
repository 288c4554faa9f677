//! What is ordered of a route at run time, and holds until it ends by itself or is taken back.

use mainstay_core::time::Time;

use super::{Gateway, UnknownRoute, find};
use crate::shared::BlockError;

impl Gateway {
    /// Keeps every request of a route that ends, until `until` or until [`Gateway::lower_sampling`]: for the reason `raised`, with
    /// chance 1, beside all other reasons and within the same bounds. Takes the place of an earlier order.
    ///
    /// Like what [`Gateway::block`] orders it outlives a reload after which there is a route of this name, and no restart.
    pub fn raise_sampling(&self, route: &str, until: Option<Time>) -> Result<(), UnknownRoute> {
        find(&self.current.load(), route)?.orders.raise(until);
        Ok(())
    }

    /// Keeps requests of a route as before [`Gateway::raise_sampling`].
    pub fn lower_sampling(&self, route: &str) -> Result<(), UnknownRoute> {
        find(&self.current.load(), route)?.orders.lower();
        Ok(())
    }

    /// Answers 403 to requests of a route whose body holds `pattern`, until `until` or until [`Gateway::unblock`]. The pattern is a
    /// plain text of 1 to 200 characters, its case does not matter; a route has at most 100. The same pattern again has another end.
    ///
    /// It is looked for in the bytes of the body, and in what they are once `\u0061` and the other escapes of JSON are resolved. While
    /// any pattern is in force, the route takes no body that cannot be looked through in whole: 413 where it is longer than
    /// `limits.replay`, 415 where it is compressed or not UTF-8. Requests that were let through before go on.
    pub fn block(&self, route: &str, pattern: &str, until: Option<Time>) -> Result<(), BlockError> {
        let shared = self.current.load();
        find(&shared, route)?.orders.block(pattern, until, shared.clock.now())
    }

    /// Lets requests with this pattern through again. It is no error that it was not blocked.
    pub fn unblock(&self, route: &str, pattern: &str) -> Result<(), UnknownRoute> {
        let shared = self.current.load();
        find(&shared, route)?.orders.unblock(pattern, shared.clock.now());
        Ok(())
    }
}
