//! `mainstay level`: holds a route at a level, or lets it go.

use hyper::Method;
use serde_json::json;

use crate::cli::{Global, LevelCommand};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};

/// Pins or releases a route's level.
pub(crate) fn run(global: &Global, command: &LevelCommand) -> Result<Exit, Stop> {
    let (route, answer) = match command {
        LevelCommand::Pin { route, level, duration, reason } => {
            let body = json!({ "level": level, "for": duration, "reason": reason });
            (route, client::call(global, Method::PUT, &path(route), Some(&client::without_nulls(body)))?)
        }
        LevelCommand::Auto { route } => (route, client::call(global, Method::DELETE, &path(route), None)?),
    };
    match (global.format, command) {
        (Format::Json, _) => output::json(&answer)?,
        (Format::Human, LevelCommand::Pin { level, duration, .. }) => {
            let length =
                duration.as_deref().map_or("until `level auto`".to_owned(), |duration| format!("for {duration}"));
            output::say(format_args!("{route} is held at level {level} {length}"));
        }
        (Format::Human, LevelCommand::Auto { .. }) => output::say(format_args!("{route} follows its health again")),
    }
    Ok(Exit::Fine)
}

fn path(route: &str) -> String {
    format!("/api/v1/levels/{}", client::segment(route))
}
