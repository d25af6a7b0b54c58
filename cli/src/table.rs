//! Tables for people: columns as wide as their widest field. Every command that prints a table prints it with this.

/// Between two columns.
const GAP: &str = "  ";

/// Lines of columns, the header first; the last column is not padded. Each row has as many fields as the header.
pub fn aligned(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let header_row = header.iter().map(|name| (*name).to_string()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header_row).chain(rows).collect();
    lines(&rows, GAP)
}

/// Lines of columns without a header, `gap` between them; the last column is not padded.
pub fn lines(rows: &[Vec<String>], gap: &str) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|field| width(field)).max();
    let widths: Vec<usize> = (0..columns).map(|column| width_of(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        for (column, (field, width)) in row.iter().zip(&widths).enumerate() {
            if column + 1 == row.len() {
                text.push_str(field);
            } else {
                text.push_str(&format!("{field:width$}{gap}"));
            }
        }
        text.push('\n');
    }
    text
}

fn width(field: &str) -> usize {
    field.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_field() {
        let row = |fields: [&str; 3]| fields.map(String::from).to_vec();
        let table = aligned(&["Name", "A", "Last"], [row(["é", "10.0.0.1", "x"]), row(["longer", "", "y"])]);
        assert_eq!(table, "Name    A         Last\né       10.0.0.1  x\nlonger            y\n");
        assert_eq!(aligned(&["Name", "DC"], []), "Name  DC\n");
        assert_eq!(lines(&[], "  "), "");
    }
}
