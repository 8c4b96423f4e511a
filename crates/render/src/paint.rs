//! Colours: the one place that knows of them.

use anstyle::{AnsiColor, Style as Ansi};

/// How to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI escapes may be written.
    pub color: bool,
    /// How many columns a line may have; fewer than 40 count as 40.
    pub width: usize,
    /// Whether long lists are written in full. Without it they are shortened, with the count of the rest.
    pub in_full: bool,
}

impl Style {
    /// Below this, columns leave no room for what stands in them.
    const WIDTH_MIN: usize = 40;

    /// For text that nobody looks at in a terminal, such as a log's: lines never wrap.
    pub const UNBOUNDED: usize = usize::MAX / 4;

    /// The columns that a line may have.
    pub(crate) fn columns(self) -> usize {
        self.width.max(Self::WIDTH_MIN)
    }
}

impl Default for Style {
    fn default() -> Self {
        Self { color: false, width: 80, in_full: false }
    }
}

/// What a piece of text is, as far as its colour goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Heading,
    Dim,
    Good,
    Change,
    Bad,
    Special,
    Error,
    Warning,
    Hint,
}

impl Paint {
    fn ansi(self) -> Ansi {
        let color = |color: AnsiColor| color.on_default();
        match self {
            Self::Plain => Ansi::new(),
            Self::Heading => Ansi::new().bold(),
            Self::Dim => Ansi::new().dimmed(),
            Self::Good => color(AnsiColor::Green),
            Self::Change => color(AnsiColor::Yellow),
            Self::Bad => color(AnsiColor::Red),
            Self::Special => color(AnsiColor::Magenta),
            Self::Error => color(AnsiColor::Red).bold(),
            Self::Warning => color(AnsiColor::Yellow).bold(),
            Self::Hint => color(AnsiColor::Cyan).bold(),
        }
    }

    /// Appends the text to `out`, in colour where the style wants it.
    pub(crate) fn write(self, text: &str, style: Style, out: &mut String) {
        if style.color && self != Self::Plain {
            let ansi = self.ansi();
            out.push_str(&format!("{ansi}{text}{ansi:#}"));
        } else {
            out.push_str(text);
        }
    }
}
