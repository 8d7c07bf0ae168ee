//! A table in Markdown that is as readable as text: its columns align. The last one is left ragged, so that a long sentence pads no other.

/// A table under way.
pub(super) struct Table {
    /// The first is the head.
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()],
        }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        // A bar would end the cell, also inside of code.
        self.rows.push(cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect());
    }

    /// Ends in a line break.
    pub(super) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns)
            .map(|column| if column + 1 == columns { 0 } else { width(column) })
            .collect();
        let line = |row: &[String]| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} |"));
            format!("|{}\n", cells.collect::<String>())
        };
        let rules = widths.iter().map(|width| "-".repeat((width + 2).max(3)));
        let rule = rules.collect::<Vec<_>>().join("|");
        let mut rows = self.rows.iter();
        let head = rows.next().map(|head| line(head)).unwrap_or_default();
        format!("{head}|{rule}|\n{}", rows.map(|row| line(row)).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whatever_they_hold() {
        let mut table = Table::new(&["A", "Longer", "Last"]);
        table.row(vec!["für".to_owned(), "a|b".to_owned(), "a sentence of its own length".to_owned()]);
        table.row(vec![String::new(), "x".to_owned(), String::new()]);
        let expected =
            "| A   | Longer | Last |\n|-----|--------|---|\n| für | a\\|b   | a sentence of its own length |\n|     | x      |  |\n";
        assert_eq!(table.render(), expected);
    }
}
