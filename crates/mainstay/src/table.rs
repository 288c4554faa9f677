//! Columns of text: the first ones flush left, numbers flush right.

use std::fmt;

/// Rows under headings, as wide as their widest cell.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
enum Row {
    Cells(Vec<String>),
    Rule,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(headings: &[&str]) -> Table {
        Table { headings: headings.iter().map(|&heading| heading.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; cells beyond the headings are not shown.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(Row::Cells(cells));
    }

    /// Adds a line across.
    pub(crate) fn rule(&mut self) {
        self.rows.push(Row::Rule);
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.headings.iter().map(|heading| heading.chars().count()).collect();
        for row in &self.rows {
            let Row::Cells(cells) = row else { continue };
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }

    /// Whether a column holds nothing but numbers and dashes.
    fn is_numeric(&self, column: usize) -> bool {
        self.rows.iter().all(|row| match row {
            Row::Cells(cells) => cells.get(column).is_none_or(|cell| cell == "-" || cell.parse::<f64>().is_ok()),
            Row::Rule => true,
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let numeric: Vec<bool> = (0..widths.len()).map(|column| self.is_numeric(column)).collect();
        let line = |cells: &[String]| {
            let padded: Vec<String> = cells
                .iter()
                .zip(&widths)
                .zip(&numeric)
                .map(
                    |((cell, &width), numeric)| {
                        if *numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                    },
                )
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        writeln!(f, "{}", line(&self.headings))?;
        writeln!(f, "{}", line(&rule))?;
        for row in &self.rows {
            match row {
                Row::Cells(cells) => writeln!(f, "{}", line(cells))?,
                Row::Rule => writeln!(f, "{}", line(&rule))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_words_left() {
        let mut table = Table::new(&["name", "count"]);
        table.row(vec!["a".to_owned(), "5".to_owned()]);
        table.rule();
        table.row(vec!["longer".to_owned(), "-".to_owned()]);
        assert_eq!(table.to_string(), "name    count\n------  -----\na           5\n------  -----\nlonger      -\n");
    }
}
