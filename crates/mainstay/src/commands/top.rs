//! `mainstay top`: `mainstay status`, live.
//!
//! ```text
//! feed (a thread) --what was heard--> model --lines--> terminal
//!                 |      keys ---------^
//!                 `--format json--> lines
//! ```
//!
//! What is shown is decided by `model` and `screen`, which are pure; `feed` asks, `terminal` holds the terminal.

mod columns;
mod feed;
mod figures;
mod lines;
mod model;
mod rows;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::feed::{Feed, News};
use self::model::{Flow, Input, Model};
use self::terminal::Held;
use crate::cli::Global;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};

/// How long a key is waited for before it is looked whether something was heard.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// Shows the running service until somebody has seen enough. Nobody at the other end at the start is an error; later it is shown.
pub(crate) fn run(global: &Global) -> Result<Exit, Stop> {
    if global.format == Format::Json {
        let (feed, first) = Feed::start(global)?;
        return lines::write(&feed, &first);
    }
    refuse_what_is_no_screen()?;
    let (feed, first) = Feed::start(global)?;
    let mut model = Model::new(output::stdout_has_colours());
    model.hear(&first);
    let mut held = Held::take().context("cannot take the terminal over").map_err(Stop::unreachable)?;
    let shown = show(&mut held, &mut model, &feed);
    drop(held);
    shown.context("the terminal is gone").map_err(Stop::unreachable)?;
    Ok(Exit::Fine)
}

fn refuse_what_is_no_screen() -> Result<(), Stop> {
    if io::stdout().is_terminal() {
        return Ok(());
    }
    let hint = "`mainstay top --format json` writes a line for each look, `mainstay status --format json` says it once";
    Err(Stop::usage(anyhow!("top needs a terminal, and stdout is none; {hint}")))
}

/// Draws, and waits for what makes it draw again.
fn show(held: &mut Held, model: &mut Model, feed: &Feed) -> io::Result<()> {
    loop {
        let drawn = Timestamp::now();
        held.draw(model, drawn)?;
        loop {
            if event::poll(KEY_WAIT)? {
                if let Some(input) = input(&event::read()?)
                    && model.handle(input) == Flow::End
                {
                    return Ok(());
                }
                break;
            }
            let mut is_news = false;
            for news in feed.news() {
                is_news = true;
                match news {
                    News::Heard(heard) => model.hear(&heard),
                    News::Lost(why) => model.lose(why, Timestamp::now()),
                    News::End => return Ok(()),
                }
            }
            let ages = model.ages() && Timestamp::now().as_second() != drawn.as_second();
            if is_news || ages {
                break;
            }
        }
    }
}

/// What an event of the terminal asks for; `None`: it is only drawn again, as after a change of its size.
fn input(event: &Event) -> Option<Input> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) = event else {
        return None;
    };
    if modifiers.contains(KeyModifiers::CONTROL) {
        return (*code == KeyCode::Char('c')).then_some(Input::Quit);
    }
    Some(match code {
        KeyCode::Char('q') => Input::Quit,
        KeyCode::Char('j') | KeyCode::Down => Input::Down(1),
        KeyCode::Char('k') | KeyCode::Up => Input::Up(1),
        KeyCode::PageDown => Input::Down(10),
        KeyCode::PageUp => Input::Up(10),
        KeyCode::Char('g') | KeyCode::Home => Input::Up(usize::MAX),
        KeyCode::Char('G') | KeyCode::End => Input::Down(usize::MAX),
        KeyCode::Tab | KeyCode::Right => Input::NextPane,
        KeyCode::BackTab | KeyCode::Left => Input::PreviousPane,
        KeyCode::Enter => Input::Open,
        KeyCode::Esc | KeyCode::Backspace => Input::Close,
        KeyCode::Char('p') => Input::Pause,
        KeyCode::Char('?' | 'h') => Input::Help,
        _ => return None,
    })
}
