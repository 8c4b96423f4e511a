//! All that refit writes passes here: data to standard output, everything else to standard
//! error, colour only where somebody looks.

use std::io::{self, IsTerminal, Write};

use refit_model::{LogLevel, LogMessage};
use refit_render::{Message, Style, message_text};
use serde::Serialize;

use crate::cli::{ColorChoice, Global, LogFormat};
use crate::exit::{Exit, Failure};

/// Writes to the user.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    color: ColorChoice,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    pub(crate) log_format: LogFormat,
}

/// The width that text is wrapped at where there is no terminal.
const WIDTH: usize = 80;
/// The width that messages are wrapped at on a terminal that is wider.
const MESSAGE_WIDTH: usize = 100;
/// Below this, wrapping would only hurt.
const WIDTH_MIN: usize = 60;

impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        let Global { chdir: _, color, quiet, verbose, log_format } = global;
        Self { color: *color, quiet: *quiet, verbose: *verbose, log_format: *log_format }
    }

    /// For what is said before the options are known.
    pub(crate) fn before_options(log_format: LogFormat) -> Self {
        Self { color: ColorChoice::Auto, quiet: false, verbose: false, log_format }
    }

    /// Says what the parser of the command line says.
    pub(crate) fn parser(&self, error: &clap::Error) {
        match self.log_format {
            LogFormat::Json if error.use_stderr() => {
                let text = error.render().to_string();
                let text = text.trim();
                self.complain(text.strip_prefix("error: ").unwrap_or(text));
            }
            LogFormat::Json | LogFormat::Text => {
                error.print().ok();
            }
        }
    }

    fn colored(&self, terminal: bool) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                terminal && !no_color && !dumb
            }
        }
    }

    /// How text for standard output looks.
    pub(crate) fn style(&self) -> Style {
        Style {
            color: self.colored(io::stdout().is_terminal()),
            width: text_width(terminal_columns(&io::stdout())),
            in_full: self.verbose,
        }
    }

    /// How a table for standard output looks: as wide as it is where no terminal wraps it, for
    /// programs that read line by line.
    pub(crate) fn table_style(&self) -> Style {
        let style = self.style();
        let width = if io::stdout().is_terminal() { style.width } else { Style::UNBOUNDED };
        Style { width, ..style }
    }

    /// How text for standard error looks.
    pub(crate) fn error_style(&self) -> Style {
        Style {
            color: self.log_format == LogFormat::Text && self.colored(io::stderr().is_terminal()),
            width: text_width(terminal_columns(&io::stderr())),
            in_full: self.verbose,
        }
    }

    /// How the lines of a log look. They wrap on a terminal only: elsewhere a line is what programs
    /// search, and whoever shows a log wraps it.
    pub(crate) fn log_style(&self) -> Style {
        let width = terminal_columns(&io::stderr())
            .map_or(Style::UNBOUNDED, |columns| text_width(Some(columns)));
        Style { width, ..self.error_style() }
    }

    /// How messages look, likewise.
    fn message_style(&self) -> Style {
        let width = terminal_columns(&io::stderr())
            .map_or(Style::UNBOUNDED, |columns| columns.clamp(WIDTH_MIN, MESSAGE_WIDTH));
        Style { width, ..self.error_style() }
    }

    /// Whether somebody sits at a terminal.
    pub(crate) fn is_interactive() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Whether progress can be drawn instead of written.
    pub(crate) fn draws(&self) -> bool {
        !self.quiet && self.log_format == LogFormat::Text && io::stderr().is_terminal()
    }

    /// Writes data to standard output. A closed pipe is no error: who reads has seen enough.
    #[expect(clippy::unused_self, reason = "who writes needs the printer")]
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(Exit::Failed, "cannot write to standard output").because(&error))
            }
            _ => Ok(()),
        }
    }

    /// Writes data as JSON to standard output.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(Exit::Failed, "cannot write JSON").because(&error))?;
        self.data(&format!("{text}\n"))
    }

    /// Says something to people, unless they asked for silence.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.log(LogLevel::Info, text, (&[], &[]), text);
        }
    }

    /// Says something to people that must be heard.
    pub(crate) fn complain(&self, text: &str) {
        self.log(LogLevel::Error, text, (&[], &[]), text);
    }

    /// Writes a message to standard error: as JSON where a log of it is wanted, else as this text.
    fn log(
        &self,
        level: LogLevel,
        message: &str,
        (causes, hints): (&[String], &[String]),
        text: &str,
    ) {
        let mut line = match self.log_format {
            LogFormat::Text => text.trim_end_matches('\n').to_owned(),
            // An empty line only sets texts apart.
            LogFormat::Json if message.trim().is_empty() => return,
            LogFormat::Json => {
                let message = LogMessage {
                    level,
                    message: message.trim().to_owned(),
                    causes: causes.to_vec(),
                    hints: hints.to_vec(),
                };
                let Ok(line) = serde_json::to_string(&message) else { return };
                line
            }
        };
        line.push('\n');
        io::stderr().lock().write_all(line.as_bytes()).ok();
    }

    /// Says what went wrong.
    pub(crate) fn failure(&self, failure: &Failure) {
        let Failure { exit: _, message, causes, hints } = failure;
        self.message(LogLevel::Error, message, causes, hints);
    }

    /// Says what may be wrong, and what to do about it.
    pub(crate) fn warning(&self, text: &str, hints: &[String]) {
        self.message(LogLevel::Warning, text, &[], hints);
    }

    /// Says what to do.
    pub(crate) fn hint(&self, text: &str) {
        self.message(LogLevel::Hint, text, &[], &[]);
    }

    fn message(&self, level: LogLevel, message: &str, causes: &[String], hints: &[String]) {
        let style = self.message_style();
        let kind = match level {
            LogLevel::Info | LogLevel::Hint => Message::Hint,
            LogLevel::Warning => Message::Warning,
            LogLevel::Error => Message::Error,
        };
        let mut lines = vec![message_text(kind, message, style)];
        lines.extend(causes.iter().map(|cause| message_text(Message::Cause, cause, style)));
        lines.extend(hints.iter().map(|hint| message_text(Message::Hint, hint, style)));
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end_matches('\n')).collect();
        self.log(level, message, (causes, hints), &lines.join("\n"));
    }
}

/// How wide the terminal is, if it is one. `COLUMNS` is taken at its word: who sets it means it.
fn terminal_columns(stream: &impl IsTerminal) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.or_else(|| {
        let (width, _) = terminal_size::terminal_size()?;
        Some(usize::from(width.0))
    })
    .or(Some(WIDTH))
}

/// Text is as wide as the terminal, and 80 columns where there is none.
fn text_width(terminal: Option<usize>) -> usize {
    terminal.unwrap_or(WIDTH).max(WIDTH_MIN)
}
