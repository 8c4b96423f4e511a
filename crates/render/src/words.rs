//! Widths, counts, and texts that come from outside.

use std::fmt::Display;

use unicode_width::UnicodeWidthStr;

/// How many columns of a terminal the text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The text without what could move a cursor, hide or turn other text: control characters
/// become spaces, characters without a width of their own go.
pub fn clean(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            c if c.is_control() || c.is_whitespace() => Some(' '),
            '\u{00ad}'
            | '\u{061c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}' => None,
            c => Some(c),
        })
        .collect()
}

/// The text in at most `most` columns: what does not fit goes out of its middle. Beginnings and
/// ends of names tell more than what is between them.
pub fn shorten(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub(1);
    let mut head = String::new();
    for c in text.chars() {
        head.push(c);
        if width(&head) > room.div_ceil(2) {
            head.pop();
            break;
        }
    }
    let mut tail = String::new();
    for c in text.chars().rev() {
        tail.insert(0, c);
        if width(&head) + width(&tail) > room {
            tail.remove(0);
            break;
        }
    }
    format!("{head}…{tail}")
}

/// `1 cluster`, `3 clusters`, `1,240 clusters`.
pub fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {one}s", digits(n)) }
}

/// Returns the number with commas between thousands: `1,240`.
pub(crate) fn digits(n: usize) -> String {
    let plain = n.to_string();
    let mut text = String::new();
    for (position, digit) in plain.chars().enumerate() {
        if position > 0 && (plain.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What became of an action that had nothing to do: all was already as the plan wants it.
pub(crate) const SKIPPED: &str = "skipped";
/// What became of an action that did not begin: the run ended before, or what it waits for did not
/// succeed.
pub(crate) const NOT_STARTED: &str = "not started";

/// The items with `separator` between them.
pub(crate) fn join<T: Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

/// The same as a `usize`, for counts and indexes.
pub(crate) fn size(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_both_ends() {
        assert_eq!(shorten("production-europe-west-1", 11), "produ…est-1");
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(width(&shorten("世界世界世界世界", 7)), 7);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1240, 1_000_000].map(digits), ["0", "999", "1,240", "1,000,000"]);
    }

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(clean("a\u{1b}[31mb\nc\u{202e}d"), "a [31mb cd");
    }
}
