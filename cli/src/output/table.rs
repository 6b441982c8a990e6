//! Aligned columns: Go's tabwriter as Docker uses it (minimum width 10, padding 3, spaces).
//!
//! Cells end at tabs; a column is a run of lines that all have a cell there, and only within
//! such a run is the width shared. The text after the last tab belongs to no column.

/// Least width of a column, padding included.
const MIN_WIDTH: usize = 10;
/// Spaces after the widest cell of a column.
const PADDING: usize = 3;

/// Aligns `text` with Docker's widths.
pub(crate) fn align(text: &str) -> String {
    align_with(text, MIN_WIDTH, PADDING)
}

/// Aligns `text` in columns of at least `min_width`, `padding` included.
pub(crate) fn align_with(text: &str, min_width: usize, padding: usize) -> String {
    let mut aligner = Aligner {
        lines: text.split('\n').map(|line| line.split('\t').collect()).collect(),
        widths: Vec::new(),
        min_width,
        padding,
        out: String::with_capacity(text.len() * 2),
    };
    let end = aligner.lines.len();
    aligner.block(0, end);
    aligner.out
}

struct Aligner<'a> {
    lines: Vec<Vec<&'a str>>,
    widths: Vec<usize>,
    min_width: usize,
    padding: usize,
    out: String,
}

impl Aligner<'_> {
    /// Writes the lines of `start..end`, whose first `widths.len()` columns are settled.
    fn block(&mut self, start: usize, end: usize) {
        let column = self.widths.len();
        let mut written = start;
        let mut line = start;
        while line < end {
            if column + 1 >= self.lines[line].len() {
                line += 1;
                continue;
            }
            self.write(written, line);
            let first = line;
            let mut width = self.min_width;
            while line < end && column + 1 < self.lines[line].len() {
                width = width.max(self.lines[line][column].chars().count() + self.padding);
                line += 1;
            }
            self.widths.push(width);
            self.block(first, line);
            self.widths.pop();
            written = line;
        }
        self.write(written, end);
    }

    fn write(&mut self, start: usize, end: usize) {
        for index in start..end {
            if index > 0 {
                self.out.push('\n');
            }
            let cells = &self.lines[index];
            for (column, cell) in cells.iter().enumerate() {
                self.out.push_str(cell);
                if let Some(width) = self.widths.get(column).filter(|_| column + 1 < cells.len()) {
                    let fill = width.saturating_sub(cell.chars().count());
                    self.out.extend(std::iter::repeat_n(' ', fill));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn columns_share_a_width() {
        assert_eq!(
            align("ID\tNAME\tSTATE\nabc\ta very long name\tup\n"),
            "ID        NAME               STATE\nabc       a very long name   up\n"
        );
    }

    #[test]
    fn a_line_without_cells_ends_the_block() {
        assert_eq!(align("a\tb\nplain\nlonger than ten\tb\n"), "a         b\nplain\nlonger than ten   b\n");
    }

    #[test]
    fn empty_cells_keep_their_place() {
        assert_eq!(align("A\tB\tC\nx\t\ty"), "A         B         C\nx                   y");
    }
}
