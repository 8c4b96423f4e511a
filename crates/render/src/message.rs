//! What is told beside the data: errors, their causes, warnings and hints.

use crate::Style;
use crate::page::Page;
use crate::paint::Paint;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Something went wrong.
    Error,
    /// Why.
    Cause,
    /// Something may be wrong.
    Warning,
    /// What to do.
    Hint,
}

/// A message with what it is in front, wrapped to below its first word. What stands between
/// backquotes is a command or a name, and stays on one line if it fits on one.
pub fn message_text(message: Message, text: &str, style: Style) -> String {
    let (indent, paint, label) = match message {
        Message::Error => (0, Paint::Error, "error:"),
        Message::Cause => (2, Paint::Plain, "caused by:"),
        Message::Warning => (0, Paint::Warning, "warning:"),
        Message::Hint => (0, Paint::Hint, "hint:"),
    };
    let mut page = Page::new(style);
    page.line(indent, indent + label.len() + 1).put(paint, label).space(1).hang_here();
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            let hang = indent + label.len() + 1;
            page.line(hang, hang);
        }
        for (position, piece) in pieces(line).iter().enumerate() {
            page.space(usize::from(position > 0)).put(Paint::Plain, piece);
        }
    }
    page.finish()
}

/// The words of a line; those between backquotes are one.
fn pieces(line: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut quoted = false;
    for word in line.split_whitespace() {
        match pieces.last_mut() {
            Some(last) if quoted => {
                last.push(' ');
                last.push_str(word);
            }
            _ => pieces.push(word.to_owned()),
        }
        quoted ^= word.matches('`').count() % 2 == 1;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "the clusters have moved since plan 7f3a91c04be2 was made, so nothing was \
                        done; `refit plan -o next.plan` makes another";

    #[test]
    fn a_message_wraps_to_below_its_first_word_and_keeps_commands_whole() {
        let style = Style { color: false, width: 60, ..Style::default() };
        let all = [Message::Error, Message::Cause, Message::Warning, Message::Hint];
        let text: String = all.iter().map(|message| message_text(*message, TEXT, style)).collect();
        insta::assert_snapshot!(text, @"
        error: the clusters have moved since plan 7f3a91c04be2 was
               made, so nothing was done; `refit plan -o next.plan`
               makes another
          caused by: the clusters have moved since plan 7f3a91c04be2
                     was made, so nothing was done;
                     `refit plan -o next.plan` makes another
        warning: the clusters have moved since plan 7f3a91c04be2 was
                 made, so nothing was done;
                 `refit plan -o next.plan` makes another
        hint: the clusters have moved since plan 7f3a91c04be2 was
              made, so nothing was done; `refit plan -o next.plan`
              makes another
        ");
    }

    #[test]
    fn an_open_backquote_and_lines_of_their_own_are_kept() {
        let style = Style { color: false, width: 40, ..Style::default() };
        let text = message_text(Message::Error, &format!("it`s {TEXT}\nand  more"), style);
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.ends_with("\n       and more\n"), "{text}");
    }

    #[test]
    fn without_a_width_it_stays_on_a_line() {
        let style = Style { color: false, width: Style::UNBOUNDED, ..Style::default() };
        let text = message_text(Message::Hint, &TEXT.repeat(50), style);
        assert_eq!(text.lines().count(), 1);
    }
}
