//! Columns of a table: as many as there is room for, the most important ones first.

use super::text;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Columns of the screen that it takes at least, where its cells are as wide.
    pub(super) least: usize,
    /// What it takes at most.
    pub(super) most: usize,
    pub(super) is_right: bool,
    /// The greater, the sooner it is left out.
    pub(super) rank: u8,
}

impl Column {
    /// Words, flush left.
    pub(super) const fn words(title: &'static str, least: usize, most: usize, rank: u8) -> Column {
        Column { title, least, most, is_right: false, rank }
    }

    /// Numbers, flush right, never cut.
    pub(super) const fn number(title: &'static str, rank: u8) -> Column {
        Column { title, least: 20, most: 20, is_right: true, rank }
    }
}

/// How a cell is meant, beside what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Tone {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
}

/// A cell of a table.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) width: usize,
    pub(super) tone: Tone,
}

impl Cell {
    /// Harmless text. The cell is no longer than a screen is wide.
    pub(super) fn new(words: &str, tone: Tone) -> Cell {
        /// Most characters that are kept of a cell.
        const CHARS_MAX: usize = 200;
        let text = text::harmless(words, CHARS_MAX);
        Cell { width: text::width(&text), text, tone }
    }

    pub(super) fn plain(words: &str) -> Cell {
        Cell::new(words, Tone::Plain)
    }
}

/// How wide each column is drawn, with one space between them; 0: it is left out. `widest` is the width of the widest cell of each, and `room`
/// that of the screen.
pub(super) fn widths(columns: &[Column], widest: &[usize], room: usize) -> Vec<usize> {
    let wanted: Vec<usize> =
        columns.iter().zip(widest).map(|(column, widest)| column.most.min(*widest).max(1)).collect();
    let least: Vec<usize> = columns.iter().zip(&wanted).map(|(column, wanted)| column.least.min(*wanted)).collect();
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|at| columns[*at].rank);
    let mut widths = vec![0; columns.len()];
    let mut left = room + 1;
    for at in &order {
        if least[*at] < left {
            widths[*at] = least[*at];
            left -= least[*at] + 1;
        } else {
            break;
        }
    }
    for at in order {
        if widths[at] > 0 {
            let more = (wanted[at] - widths[at]).min(left);
            widths[at] += more;
            left -= more;
        }
    }
    if widths.iter().all(|width| *width == 0)
        && let Some(first) = widths.first_mut()
    {
        *first = room;
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] =
        [Column::words("name", 4, 30, 0), Column::number("count", 2), Column::words("why", 3, 20, 1)];

    #[test]
    fn what_matters_least_is_left_out_first() {
        assert_eq!(widths(&COLUMNS, &[10, 5, 8], 80), [10, 5, 8]);
        assert_eq!(widths(&COLUMNS, &[10, 5, 8], 20), [10, 5, 3]);
        assert_eq!(widths(&COLUMNS, &[10, 5, 8], 14), [4, 5, 3]);
        assert_eq!(widths(&COLUMNS, &[10, 5, 8], 13), [9, 0, 3]);
        assert_eq!(widths(&COLUMNS, &[10, 5, 8], 7), [7, 0, 0]);
        assert_eq!(widths(&COLUMNS, &[10, 5, 8], 3), [3, 0, 0]);
        for room in 0..60 {
            let widths = widths(&COLUMNS, &[30, 20, 20], room);
            let gaps = widths.iter().filter(|width| **width > 0).count().saturating_sub(1);
            assert!(widths.iter().sum::<usize>() + gaps <= room, "{widths:?} in {room}");
        }
    }
}
