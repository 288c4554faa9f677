//! What is done for incidents, by whoever can.

use std::pin::Pin;

use mainstay_core::incident::record::Act;
use mainstay_core::response::desk::Doing;
use mainstay_core::time::Time;
use serde_json::Value;

/// What came of an action: what undoes it, or why it was not done.
pub type Done<'a> = Pin<Box<dyn Future<Output = Result<Option<Value>, String>> + Send + 'a>>;

/// Acts for the desk. Doing what is done already is no error.
pub trait Acting: Send + Sync + 'static {
    /// Does something, until a time where there is one; `why` goes with it.
    fn act<'a>(&'a self, act: &'a Act, until: Option<Time>, why: &'a str) -> Done<'a>;
    /// Undoes it, by what [`Acting::act`] gave.
    fn undo<'a>(&'a self, act: &'a Act, undo: Option<&'a Value>, why: &'a str) -> Done<'a>;
}

pub(super) async fn perform(acting: &dyn Acting, doing: &Doing) -> Result<Option<Value>, String> {
    let why = format!("incident {} action {}", doing.incident, doing.action);
    if doing.back {
        acting.undo(&doing.act, doing.undo.as_ref(), &why).await
    } else {
        acting.act(&doing.act, doing.until, &why).await
    }
}
