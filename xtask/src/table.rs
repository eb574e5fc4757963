//! Tables for terminals: columns as wide as their widest cell.

/// Rows of cells as text: the first column to the left, the others to the right, a rule below the head.
pub fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|cell| cell.to_string()).collect();
    let columns = head.len();
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells: Vec<String> =
            cells.map(|(i, (cell, &w))| if i == 0 { format!("{cell:<w$}") } else { format!("{cell:>w$}") }).collect();
        cells.join("  ").trim_end().to_string() + "\n"
    };
    let rule: Vec<String> = widths.iter().map(|&w| "-".repeat(w)).collect();
    [head, rule].iter().chain(rows).map(|row| line(row)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "10.5".into()], vec!["long".into(), "1".into()]];
        assert_eq!(super::render(&["name", "n"], &rows), "name     n\n----  ----\na     10.5\nlong     1\n");
    }
}
