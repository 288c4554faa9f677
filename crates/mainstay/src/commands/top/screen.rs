//! From the model to lines on a screen of any size.
//!
//! ```text
//! head            who it is, when, and what everybody should know
//! (lost)          since when it does not answer, where it does not
//! tables          routes, backends, budgets, incidents, what is under way; in two columns where there is room
//! foot            keys
//! ```

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::columns::{self, Cell, Tone};
use super::model::{Lost, Model, Over, Pane, Row};
use super::{rows, text};
use crate::words;

/// From this width on tables stand in two columns.
const WIDE: u16 = 150;
/// Columns that a row is moved in, for the mark of the chosen one.
const MARK: usize = 2;

const KEYS: [(&str, &str); 9] = [
    ("q, Ctrl-C", "quit"),
    ("Tab, Shift-Tab", "the next table, the one before"),
    ("j k, arrows", "choose a row, or move in its details"),
    ("PgDn PgUp, g G", "ten rows, the first and the last"),
    ("Enter", "all that is known of the row; again: back"),
    ("Esc", "back to the tables"),
    ("p", "keep what is shown; again: go on"),
    ("?", "this page"),
    (
        "",
        "Rates are per second over 10 s, p50 and p99 over a minute. It is asked every 2 s, and when something changes.",
    ),
];

/// Draws everything. Where tables begin is kept in the model.
pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, now: Timestamp) {
    let area = frame.area();
    let mut head = vec![head(model, area.width)];
    head.extend(model.lost.as_ref().map(|lost| lost_line(lost, model.colours, area.width, now)));
    let above = (head.len() as u16).min(area.height);
    let below = u16::from(area.height >= 4);
    put(frame, Rect { height: above, ..area }, head);
    let body = Rect { y: area.y + above, height: area.height.saturating_sub(above + below), ..area };
    match model.over {
        Over::Nothing => tables(frame, model, body),
        Over::Details(from) => {
            let lines = model.chosen().map(|row| details(row, body.width)).unwrap_or_default();
            model.over = Over::Details(scrolled(frame, body, lines, from));
        }
        Over::Help(from) => model.over = Over::Help(scrolled(frame, body, help(body.width), from)),
    }
    if below > 0 {
        put(frame, Rect { y: area.bottom() - 1, height: 1, ..area }, vec![foot(model, area.width)]);
    }
}

fn put(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
    frame.render_widget(Paragraph::new(lines), area);
}

/// Lines from one of them on; no further than their end. Says from which.
fn scrolled(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>, from: usize) -> usize {
    let from = from.min(lines.len().saturating_sub(usize::from(area.height)));
    put(frame, area, lines.into_iter().skip(from).take(usize::from(area.height)).collect());
    from
}

fn head(model: &Model, width: u16) -> Line<'static> {
    let Snapshotted { service, at } = Snapshotted::of(model);
    let mut notes = model.shown.notes.clone();
    if model.is_paused {
        notes.insert(0, "PAUSED".to_owned());
    }
    let notes = notes.iter().map(|note| format!("[{note}]")).collect::<Vec<_>>().join(" ");
    let left = format!("mainstay top  {service}  {at}");
    let notes_width = text::width(&notes);
    let room = usize::from(width).saturating_sub(notes_width + usize::from(notes_width > 0));
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut spans = vec![Span::styled(text::fit(&left, room, false), bold)];
    if notes_width > 0 {
        spans.push(Span::raw(" "));
        spans.push(Span::styled(notes, style(Tone::Warn, model.colours)));
    }
    Line::from(spans)
}

struct Snapshotted<'a> {
    service: &'a str,
    at: String,
}

impl Snapshotted<'_> {
    fn of(model: &Model) -> Snapshotted<'_> {
        let at = words::when(&model.shown.at.as_str().into());
        Snapshotted { service: &model.shown.service, at: format!("{at} UTC") }
    }
}

fn lost_line(lost: &Lost, colours: bool, width: u16, now: Timestamp) -> Line<'static> {
    let since = lost.since.strftime("%H:%M:%S");
    let ago = words::between(Some(lost.since), Some(now));
    let why = text::harmless(&lost.why, 400);
    let said = format!("LOST since {since} UTC ({ago}), trying again: {why}");
    let mark = style(Tone::Bad, colours).add_modifier(Modifier::REVERSED);
    Line::styled(text::fit(&said, usize::from(width), false), mark)
}

fn foot(model: &Model, width: u16) -> Line<'static> {
    let pause = if model.is_paused { "p go on" } else { "p pause" };
    let said = match model.over {
        Over::Nothing => format!("q quit  Tab table  j k row  Enter details  {pause}  ? help"),
        Over::Details(_) | Over::Help(_) => format!("q quit  j k move  Esc back  {pause}"),
    };
    Line::styled(text::fit(&said, usize::from(width), false), style(Tone::Dim, model.colours))
}

fn tables(frame: &mut Frame<'_>, model: &mut Model, area: Rect) {
    if area.width >= WIDE {
        let left = Rect { width: area.width * 11 / 20, ..area };
        let right = Rect { x: left.right() + 2, width: area.width - left.width - 2, ..area };
        column(frame, model, &[Pane::Routes, Pane::Backends], left);
        column(frame, model, &[Pane::Budgets, Pane::Incidents, Pane::Running], right);
    } else {
        column(frame, model, &Pane::ALL, area);
    }
}

fn column(frame: &mut Frame<'_>, model: &mut Model, panes: &[Pane], area: Rect) {
    let wanted: Vec<usize> = panes.iter().map(|pane| model.shown.panes[pane.index()].len().max(1) + 1).collect();
    let focus = panes.iter().position(|pane| *pane == model.pane);
    let heights = heights(&wanted, focus, usize::from(area.height));
    let spare = usize::from(area.height) - heights.iter().sum::<usize>();
    let gap = u16::from(spare + 1 >= panes.len());
    let mut y = area.y;
    for (pane, height) in panes.iter().zip(heights) {
        let place = Rect { y, height: height as u16, ..area };
        let lines = table(model, *pane, usize::from(area.width), height);
        put(frame, place, lines);
        y += height as u16 + gap;
    }
}

/// How many lines each table gets, its heading among them. Each has a row where that is possible; what is left goes to the one in focus first.
/// Where it is not possible, that one has it all.
fn heights(wanted: &[usize], focus: Option<usize>, room: usize) -> Vec<usize> {
    const LEAST: usize = 2;
    let mut heights = vec![0; wanted.len()];
    if room < LEAST * wanted.len() {
        heights[focus.unwrap_or(0)] = room;
        return heights;
    }
    heights.fill(LEAST);
    let mut left = room - LEAST * wanted.len();
    if let Some(focus) = focus {
        let more = wanted[focus].saturating_sub(LEAST).min(left);
        heights[focus] += more;
        left -= more;
    }
    while left > 0 {
        let Some(at) = (0..wanted.len()).filter(|at| heights[*at] < wanted[*at]).min_by_key(|at| heights[*at]) else {
            break;
        };
        heights[at] += 1;
        left -= 1;
    }
    heights
}

fn table(model: &mut Model, pane: Pane, width: usize, height: usize) -> Vec<Line<'static>> {
    if height == 0 {
        return Vec::new();
    }
    let rows = &model.shown.panes[pane.index()];
    let choice = &mut model.choices[pane.index()];
    let visible = height - 1;
    choice.top = first_visible(choice.top, choice.at, rows.len(), visible);
    let (top, at, is_focused) = (choice.top, choice.at, pane == model.pane);
    let until = (top + visible).min(rows.len());
    let count =
        if visible >= rows.len() { rows.len().to_string() } else { format!("{}-{until}/{}", top + 1, rows.len()) };
    let columns = rows::columns(pane);
    let titles: Vec<String> = columns.iter().map(|column| column.title.to_owned()).collect();
    let titles: Vec<String> =
        titles.into_iter().enumerate().map(|(n, it)| if n == 0 { format!("{it} ({count})") } else { it }).collect();
    let widest: Vec<usize> = titles
        .iter()
        .enumerate()
        .map(|(n, title)| {
            let cells = rows.iter().filter_map(|row| row.cells.get(n)).map(|cell| cell.width);
            cells.max().unwrap_or(0).max(text::width(title))
        })
        .collect();
    let widths = columns::widths(columns, &widest, width.saturating_sub(MARK));
    let heading = columns.iter().zip(&titles).zip(&widths).filter(|(_, width)| **width > 0);
    let heading: Vec<String> =
        heading.map(|((column, title), width)| text::fit(title, *width, column.is_right)).collect();
    let mut lines = vec![heading_line(&heading.join(" "), is_focused, width, model.colours)];
    if rows.is_empty() {
        let said = text::fit(rows::nothing(pane), width.saturating_sub(MARK), false);
        lines.push(Line::styled(format!("  {said}"), style(Tone::Dim, model.colours)));
    }
    for (n, row) in rows.iter().enumerate().take(until).skip(top) {
        lines.push(row_line(row, &widths, pane, is_focused && n == at, model.colours));
    }
    lines.truncate(height);
    lines
}

/// The first row that is drawn, so that the chosen one is among them.
fn first_visible(top: usize, at: usize, rows: usize, visible: usize) -> usize {
    let top = top.min(rows.saturating_sub(visible));
    if at < top { at } else { top.max((at + 1).saturating_sub(visible.max(1))) }
}

fn heading_line(text: &str, is_focused: bool, width: usize, colours: bool) -> Line<'static> {
    let mark = if is_focused { "» " } else { "  " };
    let base = Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
    let style = if is_focused && colours { base.fg(Color::Cyan) } else { base };
    Line::styled(text::fit(&format!("{mark}{text}"), width, false), style)
}

fn row_line(row: &Row, widths: &[usize], pane: Pane, is_chosen: bool, colours: bool) -> Line<'static> {
    let columns = rows::columns(pane);
    let chosen = if is_chosen { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
    let mut spans = vec![Span::styled(if is_chosen { "> " } else { "  " }, chosen)];
    let empty = Cell::default();
    for (n, (column, width)) in columns.iter().zip(widths).enumerate().filter(|(_, (_, width))| **width > 0) {
        let cell = row.cells.get(n).unwrap_or(&empty);
        if n > 0 {
            spans.push(Span::styled(" ", chosen));
        }
        spans.push(Span::styled(
            text::fit(&cell.text, *width, column.is_right),
            chosen.patch(style(cell.tone, colours)),
        ));
    }
    Line::from(spans)
}

/// Words say everything; colours only help to find it.
const fn style(tone: Tone, colours: bool) -> Style {
    let plain = Style::new();
    match (tone, colours) {
        (Tone::Plain, _) | (Tone::Good | Tone::Warn | Tone::Dim, false) => plain,
        (Tone::Bad, false) => plain.add_modifier(Modifier::BOLD),
        (Tone::Good, true) => plain.fg(Color::Green),
        (Tone::Warn, true) => plain.fg(Color::Yellow),
        (Tone::Bad, true) => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
        (Tone::Dim, true) => plain.add_modifier(Modifier::DIM),
    }
}

fn details(row: &Row, width: u16) -> Vec<Line<'static>> {
    let pairs: Vec<(&str, &str)> = row.details.iter().map(|(name, text)| (*name, text.as_str())).collect();
    listed(&pairs, usize::from(width))
}

fn help(width: u16) -> Vec<Line<'static>> {
    listed(&KEYS, usize::from(width))
}

/// Names on the left, what they are on the right, in as many lines as that takes.
fn listed(pairs: &[(&str, &str)], width: usize) -> Vec<Line<'static>> {
    let names = pairs.iter().map(|(name, _)| text::width(name)).max().unwrap_or(0).min(width / 2);
    let room = width.saturating_sub(names + 2);
    let mut lines = Vec::new();
    for (name, what) in pairs {
        for (n, part) in text::wrapped(what, room).into_iter().enumerate() {
            let name = text::fit(if n == 0 { name } else { "" }, names, false);
            let bold = Style::new().add_modifier(Modifier::BOLD);
            lines.push(Line::from(vec![Span::styled(name, bold), Span::raw("  "), Span::raw(part)]));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_has_a_row_and_the_one_in_focus_the_rest() {
        assert_eq!(heights(&[4, 3, 9, 2, 2], Some(0), 22), [4, 3, 9, 2, 2]);
        assert_eq!(heights(&[40, 3, 9, 2, 2], Some(0), 22), [14, 2, 2, 2, 2]);
        assert_eq!(heights(&[40, 3, 9, 2, 2], Some(2), 22), [6, 3, 9, 2, 2]);
        assert_eq!(heights(&[40, 3, 9, 2, 2], Some(2), 9), [0, 0, 9, 0, 0]);
        assert_eq!(heights(&[40, 3], None, 1), [1, 0]);
        for room in 0..60 {
            for focus in 0..5 {
                assert!(heights(&[40, 3, 9, 2, 2], Some(focus), room).iter().sum::<usize>() <= room);
            }
        }
    }

    #[test]
    fn the_chosen_row_is_seen() {
        assert_eq!([first_visible(0, 9, 10, 4), first_visible(6, 2, 10, 4), first_visible(6, 7, 10, 4)], [6, 2, 6]);
        assert_eq!([first_visible(8, 9, 10, 4), first_visible(3, 0, 0, 4), first_visible(0, 3, 10, 0)], [6, 0, 3]);
    }
}
