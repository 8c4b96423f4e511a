//! A page of text that keeps to its width: lines with a hanging indent, columns, and words
//! that wrap. Everything that this crate writes in columns goes through it.

use crate::paint::{Paint, Style};
use crate::words::{clean, shorten, width};

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

    /// Whether so many columns are left on the line.
    pub(crate) fn fits(&self, columns: usize) -> bool {
        self.used + self.gap + columns <= self.columns()
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

    /// Names with commas between them, as many as go into `lines` lines, then how many more;
    /// `end` follows without a space.
    pub(crate) fn names<'n>(
        &mut self,
        paint: Paint,
        names: impl ExactSizeIterator<Item = &'n str>,
        lines: usize,
        end: &str,
    ) -> &mut Self {
        let total = names.len();
        let room = self.columns().saturating_sub(self.hang);
        // What "and 1000000 more" takes.
        let reserve = 18 + width(end);
        let most = room.saturating_sub(reserve).max(room / 2);
        let mut line = 1;
        let mut column = self.used + self.gap;
        for (position, name) in names.enumerate() {
            let last = position + 1 == total;
            let name = clean(name);
            let mut piece = shorten(name.trim(), most);
            piece.push_str(if last { end } else { "," });
            let gap = usize::from(position > 0);
            let here = width(&piece);
            let wraps = column + gap + here > self.columns();
            let full = line >= lines && column + gap + here + reserve > self.columns();
            if position > 0 && ((wraps && line >= lines) || (full && !last)) {
                let more = format!("and {} more{end}", total - position);
                self.space(1).put(paint, &more);
                return self;
            }
            if wraps {
                line += 1;
                column = self.hang;
            } else {
                column += gap;
            }
            column += here;
            self.space(gap).put(paint, &piece);
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
        let mut page = Page::new(Style { color: false, width: 40 });
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
    fn many_names_end_in_a_count() {
        let names: Vec<String> = (1..=1000).map(|n| format!("cluster-{n:04}")).collect();
        let mut page = Page::new(Style { color: false, width: 60 });
        page.line(4, 4).names(Paint::Plain, names.iter().map(String::as_str), 2, "");
        insta::assert_snapshot!(page.finish(), @"
            cluster-0001, cluster-0002, cluster-0003, cluster-0004,
            cluster-0005, cluster-0006, and 994 more
        ");
    }
}
