//! Progress: bars on a terminal, lines with times elsewhere, JSON events where they are asked
//! for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use refit_model::{ActionId, Plan, RunEvent, RunEventKind};
use refit_render::{BarText, Detail, ProgressLines};
use refit_runtime::Reporter;

use crate::cli::LogFormat;
use crate::disk::Output;
use crate::exit::{Exit, Failure};
use crate::output::Printer;

/// Opens the events' file. What is in it stays until a run begins.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn events_file(path: &Path) -> Result<File, Failure> {
    Output::of_events(path)?;
    File::options().create(true).append(true).open(path).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(&error)
    })
}

/// Everyone who is told of a run.
///
/// # Errors
/// When the events' file cannot be written.
pub(crate) fn reporters(
    plan: &Plan,
    events: Option<&File>,
    printer: &Printer,
) -> Result<Vec<Box<dyn Reporter>>, Failure> {
    let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
    if let Some(file) = events {
        let file = emptied(file).map_err(|error| {
            Failure::new(Exit::Failed, "cannot write the events").because(&error)
        })?;
        reporters.push(Box::new(Events { out: Box::new(BufWriter::new(file)) }));
    }
    if printer.quiet {
        return Ok(reporters);
    }
    reporters.push(if printer.draws() {
        Box::new(Bars::new(plan, printer))
    } else if printer.log_format == LogFormat::Json {
        Box::new(Events { out: Box::new(std::io::stderr()) })
    } else {
        Box::new(Lines::new(plan, printer))
    });
    Ok(reporters)
}

/// Without what an earlier run wrote. A pipe or a device has nothing to remove.
fn emptied(file: &File) -> std::io::Result<File> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    file.try_clone()
}

/// One JSON object per line, complete when it is there.
struct Events {
    out: Box<dyn Write>,
}

impl Reporter for Events {
    fn event(&mut self, event: &RunEvent) {
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            self.out.write_all(&line).and_then(|()| self.out.flush()).ok();
        }
    }
}

/// Lines with times: without `-v`, milestones.
struct Lines {
    words: ProgressLines,
    printer: Printer,
}

impl Lines {
    fn new(plan: &Plan, printer: &Printer) -> Self {
        let detail = if printer.verbose { Detail::Steps } else { Detail::Milestones };
        Self {
            words: ProgressLines::new(plan, detail, printer.log_style()),
            printer: printer.clone(),
        }
    }
}

impl Reporter for Lines {
    fn event(&mut self, event: &RunEvent) {
        if let Some(line) = self.words.line(event) {
            self.printer.say(&line);
        }
    }
}

fn show(bar: &ProgressBar, text: BarText) {
    bar.set_length(text.total);
    bar.set_position(text.done);
    bar.set_prefix(text.prefix);
    bar.set_message(text.message);
}

/// A bar per running action, and one of the whole run, below the lines of what has ended.
struct Bars {
    lines: ProgressLines,
    multi: MultiProgress,
    running: BTreeMap<ActionId, ProgressBar>,
    /// Of the run as a whole, below the others.
    overall: ProgressBar,
    style: ProgressStyle,
}

impl Bars {
    fn new(plan: &Plan, printer: &Printer) -> Self {
        let style = ProgressStyle::with_template("{prefix} {bar:12} {pos}/{len} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let multi = MultiProgress::new();
        let overall = multi.add(ProgressBar::new(1));
        overall.set_style(style.clone());
        Self {
            lines: ProgressLines::new(plan, Detail::Milestones, printer.error_style()),
            multi,
            running: BTreeMap::new(),
            overall,
            style,
        }
    }

    fn show_overall(&self) {
        show(&self.overall, self.lines.overall());
    }

    fn line(&mut self, event: &RunEvent) {
        if let Some(line) = self.lines.line(event) {
            self.multi.println(line).ok();
        }
    }
}

impl Reporter for Bars {
    fn event(&mut self, event: &RunEvent) {
        match &event.kind {
            RunEventKind::ActionStarted { action, .. } => {
                let bar = self.multi.insert_before(&self.overall, ProgressBar::new(1));
                bar.set_style(self.style.clone());
                self.running.insert(*action, bar);
                self.lines.line(event);
            }
            RunEventKind::ActionProgress { action, .. } => {
                self.lines.line(event);
                if let (Some(bar), Some(text)) = (self.running.get(action), self.lines.bar(action))
                {
                    show(bar, text);
                }
            }
            RunEventKind::ActionEnded { action, .. } => {
                if let Some(bar) = self.running.remove(action) {
                    bar.finish_and_clear();
                }
                self.line(event);
                self.show_overall();
            }
            RunEventKind::RunEnded { .. } => {
                for bar in std::mem::take(&mut self.running).into_values() {
                    bar.finish_and_clear();
                }
                self.overall.finish_and_clear();
                self.multi.clear().ok();
                self.line(event);
            }
            RunEventKind::RunStarted { .. } => {
                self.line(event);
                self.show_overall();
            }
            RunEventKind::Warning { .. } | RunEventKind::StopAsked { .. } => self.line(event),
        }
    }
}
