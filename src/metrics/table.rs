//! Narrow text tables: a column of names, then numbers to the right.

use std::fmt;

/// Names are cut to this many characters.
const NAME: usize = 20;

/// Rows of cells under a head; as wide as their contents.
pub struct TextTable {
    rows: Vec<Vec<String>>,
}

impl TextTable {
    pub fn new(head: &[&str]) -> Self {
        TextTable { rows: vec![head.iter().map(ToString::to_string).collect()] }
    }

    pub fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        self.rows.push(std::iter::once(cut(name)).chain(cells).collect());
    }

    /// Characters of its widest line.
    pub fn width(&self) -> usize {
        self.widths().iter().sum::<usize>() + 2 * self.widths().len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| self.rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        (0..columns).map(width).collect()
    }
}

impl fmt::Display for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (i, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate();
            let line = cells.map(|(c, (cell, &width))| if c == 0 { format!("{cell:width$}") } else { format!("  {cell:>width$}") });
            let line = line.collect::<String>();
            write!(f, "{}{}", if i > 0 { "\n" } else { "" }, line.trim_end())?;
        }
        Ok(())
    }
}

/// At most as many characters as a name may have.
pub fn cut(name: &str) -> String {
    if name.chars().count() <= NAME { name.into() } else { name.chars().take(NAME - 1).chain(['…']).collect() }
}

/// A share in percent, two digits behind the point; a dash where it is not defined.
pub fn percent(share: impl Into<Option<f64>>) -> String {
    share.into().map_or_else(|| "-".into(), |share| format!("{:.2}", 100.0 * share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = TextTable::new(&["class", "f1"]);
        table.row("ä", [percent(0.5)]);
        table.row("a name that is much too long", [percent(None)]);
        assert_eq!(table.to_string(), "class                    f1\nä                     50.00\na name that is much…      -");
        assert_eq!(table.width(), 27);
    }
}
