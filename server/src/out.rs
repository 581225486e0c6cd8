//! What goes to standard output: lines, tables, JSON. A reader that has gone away is an error
//! that `main` takes for the end.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

/// A line.
pub(crate) fn line(text: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_fmt(text)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Bytes as they are, with a line end.
pub(crate) fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.write_all(b"\n")
}

/// A line of standard error.
pub(crate) fn error(text: fmt::Arguments<'_>) {
    let mut err = io::stderr().lock();
    // Nobody is left to be told when this fails.
    let _ = err.write_fmt(text).and_then(|()| err.write_all(b"\n"));
}

/// Text on standard error, at once and without a line end.
pub(crate) fn prompt(text: fmt::Arguments<'_>) {
    let mut err = io::stderr().lock();
    // Nobody is left to be told when this fails.
    let _ = err.write_fmt(text).and_then(|()| err.flush());
}

/// A value as one JSON line.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Rows under a heading, columns as wide as their widest cell.
pub(crate) fn table<'a, const N: usize>(
    heading: &[&str; N],
    rows: impl Iterator<Item = [&'a str; N]>,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(layout(heading, rows).as_bytes())?;
    out.flush()
}

fn layout<'a, const N: usize>(
    heading: &[&str; N],
    rows: impl Iterator<Item = [&'a str; N]>,
) -> String {
    let rows: Vec<[&str; N]> = rows.collect();
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(heading).chain(&rows) {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "long cell"], ["bbb", ""]];
        assert_eq!(
            layout(&["X", "Y"], rows.into_iter()),
            "X    Y\na    long cell\nbbb\n"
        );
    }
}
