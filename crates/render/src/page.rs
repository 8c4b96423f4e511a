//! A page of text that keeps to its width: lines with a hanging indent, columns, and words
//! that wrap. Everything that this crate writes in columns goes through it.

use crate::paint::{Paint, Style};
use crate::words::{clean, digits, shorten, width};

/// Lists of at most so many names are always written in full.
const NAMES_MAX: usize = 8;
/// How many names of a longer list are written.
const NAMES_SHOWN: usize = 3;

/// Returns how many things of a list are not written, and how to see them.
pub(crate) fn more(rest: usize) -> String {
    format!("and {} more; -v lists them", digits(rest))
}

/// Text under way. What is put on it is cleaned, and breaks rather than being cut.
pub(crate) struct Page {
    style: Style,
    out: String,
    /// Columns used on the current line.
    used: usize,
    /// Spaces to be written before the next piece; so none is left at a line's end.
    gap: usize,
    /// Where the line goes on when it wraps.
    hang: usize,
    /// Whether something stands on the current line.
    begun: bool,
}

impl Page {
    pub(crate) fn new(style: Style) -> Self {
        Self { style, out: String::new(), used: 0, gap: 0, hang: 0, begun: false }
    }

    pub(crate) fn columns(&self) -> usize {
        self.style.columns()
    }

    /// Whether long lists are written in full.
    pub(crate) fn in_full(&self) -> bool {
        self.style.in_full
    }

    /// Begins a line at this column; it goes on at `hang` when it wraps.
    pub(crate) fn line(&mut self, indent: usize, hang: usize) -> &mut Self {
        self.end();
        self.gap = indent;
        self.hang = self.bounded(hang);
        self
    }

    /// An empty line.
    pub(crate) fn blank(&mut self) {
        self.end();
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    /// This many spaces before the next piece.
    pub(crate) fn space(&mut self, columns: usize) -> &mut Self {
        self.gap += columns;
        self
    }

    /// The next piece begins at this column, or two spaces on when the line is longer already.
    pub(crate) fn column(&mut self, column: usize) -> &mut Self {
        self.gap = if self.begun { column.saturating_sub(self.used).max(2) } else { column };
        self
    }

    /// From here on the line wraps to this column.
    pub(crate) fn hang(&mut self, hang: usize) -> &mut Self {
        self.hang = self.bounded(hang);
        self
    }

    /// From here on the line wraps to where the next piece begins.
    pub(crate) fn hang_here(&mut self) -> &mut Self {
        self.hang(self.used + self.gap)
    }

    /// A piece that stays in one, unless it is wider than a line.
    pub(crate) fn put(&mut self, paint: Paint, text: &str) -> &mut Self {
        let text = clean(text);
        if self.hang + width(text.trim()) > self.columns() {
            return self.words(paint, &text);
        }
        self.place(paint, text.trim());
        self
    }

    /// A name that is shortened in its middle when it is wider than `most`.
    pub(crate) fn name(&mut self, paint: Paint, text: &str, most: usize) -> &mut Self {
        let text = clean(text);
        self.place(paint, &shorten(text.trim(), most));
        self
    }

    /// Words that wrap.
    pub(crate) fn words(&mut self, paint: Paint, text: &str) -> &mut Self {
        for (position, word) in clean(text).split_whitespace().enumerate() {
            if position > 0 {
                self.gap += 1;
            }
            self.place(paint, word);
        }
        self
    }

    /// Names with commas between them. Of a long list the first ones and how many more there are, unless
    /// lists are written in full.
    pub(crate) fn names<'n>(
        &mut self,
        paint: Paint,
        names: impl ExactSizeIterator<Item = &'n str>,
    ) -> &mut Self {
        let total = names.len();
        let is_long = total > NAMES_MAX && !self.style.in_full;
        let shown = if is_long { NAMES_SHOWN } else { total };
        let most = self.columns().saturating_sub(self.hang + 1);
        for (position, name) in names.take(shown).enumerate() {
            let mut piece = shorten(clean(name).trim(), most);
            if position + 1 < shown {
                piece.push(',');
            }
            self.space(usize::from(position > 0)).put(paint, &piece);
        }
        if shown < total {
            self.space(1).words(paint, &more(total - shown));
        }
        self
    }

    /// The page, with a newline at its end.
    pub(crate) fn finish(mut self) -> String {
        self.end();
        self.out
    }

    /// A hanging indent never takes more than two thirds of a line.
    fn bounded(&self, column: usize) -> usize {
        column.min(self.columns() * 2 / 3)
    }

    fn end(&mut self) {
        if self.begun {
            self.out.push('\n');
        }
        self.begun = false;
        self.used = 0;
        self.gap = 0;
    }

    fn wrap(&mut self) {
        let hang = self.hang;
        self.end();
        self.gap = hang;
    }

    fn place(&mut self, paint: Paint, text: &str) {
        if text.is_empty() {
            return;
        }
        let columns = self.columns();
        let fits = |page: &Self| page.used + page.gap + width(text) <= columns;
        if !fits(self) && self.begun {
            self.wrap();
        }
        if fits(self) {
            self.write(paint, text);
            return;
        }
        self.gap = self.gap.min(columns / 2);
        let mut piece = String::new();
        for c in text.chars() {
            piece.push(c);
            if self.used + self.gap + width(&piece) > columns {
                piece.pop();
                self.write(paint, piece.trim_end());
                self.wrap();
                piece = c.to_string();
            }
        }
        self.write(paint, piece.trim_end());
    }

    fn write(&mut self, paint: Paint, text: &str) {
        if text.is_empty() {
            return;
        }
        self.out.extend(std::iter::repeat_n(' ', self.gap));
        self.used += self.gap + width(text);
        self.gap = 0;
        self.begun = true;
        paint.write(text, self.style, &mut self.out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wrap_to_their_hanging_indent() {
        let mut page = Page::new(Style { color: false, width: 40, ..Style::default() });
        page.line(2, 6).put(Paint::Plain, "one").column(10);
        page.words(Paint::Plain, "several words that do not fit on one line\nof forty columns");
        page.line(0, 4).put(Paint::Plain, &"x".repeat(50));
        insta::assert_snapshot!(page.finish(), @"
          one     several words that do not fit
              on one line of forty columns
        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
            xxxxxxxxxx
        ");
    }

    #[test]
    fn a_long_list_ends_in_a_count_unless_it_is_written_in_full() {
        let names: Vec<String> = (1..=1040).map(|n| format!("cluster-{n:04}")).collect();
        let listed = |names: &[String], in_full: bool| {
            let mut page = Page::new(Style { color: false, width: 60, in_full });
            page.line(4, 4).names(Paint::Plain, names.iter().map(String::as_str));
            page.finish()
        };
        insta::assert_snapshot!(listed(&names, false), @"
            cluster-0001, cluster-0002, cluster-0003 and 1,037 more;
            -v lists them
        ");
        assert_eq!(listed(&names, true).matches("cluster-").count(), 1040);
        assert_eq!(listed(&names[..8], false), listed(&names[..8], true));
    }
}
