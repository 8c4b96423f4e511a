//! What is wrong with the files: in the user's words, with the place and what to do.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};
use refit_model::Location;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// There is no fleet as long as it stands.
    Error,
    /// It is probably a mistake.
    Warning,
}

/// A place in a file, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Relative to the fleet's directory, with `/`.
    pub file: String,
    /// In bytes; none when the file as a whole is meant, or was not read.
    pub span: Option<Range<usize>>,
    /// Said at the place; may be empty.
    pub label: String,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where; none when it is nowhere, such as a file that does not exist.
    pub primary: Option<Mark>,
    /// Other places that have to do with it.
    pub secondary: Vec<Mark>,
    /// What to do.
    pub hints: Vec<String>,
}

impl Diagnostic {
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            message: message.into(),
            primary: None,
            secondary: Vec::new(),
            hints: Vec::new(),
        }
    }

    pub(crate) fn at(mut self, file: &str, span: &Range<usize>, label: impl Into<String>) -> Self {
        let label = label.into();
        self.primary = Some(Mark { file: file.to_owned(), span: place(span), label });
        self
    }

    pub(crate) fn in_file(mut self, file: &str) -> Self {
        self.primary = Some(Mark { file: file.to_owned(), span: None, label: String::new() });
        self
    }

    pub(crate) fn also(
        mut self,
        file: &str,
        span: &Range<usize>,
        label: impl Into<String>,
    ) -> Self {
        let label = label.into();
        self.secondary.push(Mark { file: file.to_owned(), span: place(span), label });
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(crate) fn hints(mut self, hints: impl IntoIterator<Item = String>) -> Self {
        self.hints.extend(hints);
        self
    }

    /// By file, then by place, then by text.
    pub(crate) fn order(&self) -> (Option<(&str, usize)>, &str) {
        let place = self
            .primary
            .as_ref()
            .map(|mark| (mark.file.as_str(), mark.span.as_ref().map_or(0, |span| span.start)));
        (place, &self.message)
    }

    /// The line, from 1, and the column in characters, from 1, of the place.
    pub fn position(&self, sources: &Sources) -> Option<(u32, u32)> {
        let mark = self.primary.as_ref()?;
        sources.position(&mark.file, mark.span.as_ref()?.start)
    }
}

/// Nothing at the very beginning stands for the file as a whole, such as for the name of an
/// add-on that its directory gives.
fn place(span: &Range<usize>) -> Option<Range<usize>> {
    (*span != (0..0)).then(|| span.clone())
}

/// The texts of the files that were read, for excerpts and line numbers.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    texts: BTreeMap<String, Source>,
}

#[derive(Clone, Debug)]
struct Source {
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Whether lines of it may be shown. Those of a Secret may not.
    open: bool,
}

impl Sources {
    pub(crate) fn insert(&mut self, file: &str, text: String, open: bool) {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        self.texts.insert(file.to_owned(), Source { text, lines, open });
    }

    /// The text of a file that was read.
    pub fn text(&self, file: &str) -> Option<&str> {
        self.texts.get(file).map(|source| source.text.as_str())
    }

    /// Line and column in characters, both from 1.
    pub fn position(&self, file: &str, offset: usize) -> Option<(u32, u32)> {
        let source = self.texts.get(file)?;
        let line = source.lines.partition_point(|start| *start <= offset).max(1);
        let start = *source.lines.get(line - 1)?;
        let column = source.text.get(start..offset).map_or(0, |text| text.chars().count()) + 1;
        Some((u32::try_from(line).ok()?, u32::try_from(column).ok()?))
    }

    pub(crate) fn location(&self, file: &str, span: &Range<usize>) -> Location {
        let line = self.position(file, span.start).map_or(1, |(line, _)| line);
        Location { file: file.into(), line }
    }

    /// The place of a line, from 1, without its indentation and its end.
    pub(crate) fn line_span(&self, file: &str, line: u64) -> Range<usize> {
        let whole = || {
            let source = self.texts.get(file)?;
            let index = usize::try_from(line).ok()?.checked_sub(1)?;
            let start = *source.lines.get(index)?;
            let end = source.lines.get(index + 1).copied().unwrap_or(source.text.len());
            let text = source.text.get(start..end)?;
            let indent = text.len() - text.trim_start().len();
            let trimmed = text.trim();
            if trimmed.is_empty() {
                return Some(start..start);
            }
            Some(start + indent..start + indent + trimmed.len())
        };
        whole().unwrap_or(0..0)
    }
}

/// The problem as people read it: `file:line:column`, the line with a mark, and what to do.
pub fn render(diagnostic: &Diagnostic, sources: &Sources, color: bool) -> String {
    let Diagnostic { severity, message, primary, secondary, hints } = diagnostic;
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group: Group<'_> = Group::with_title(level.primary_title(message.as_str()));
    let mut rest: Vec<&Mark> = secondary.iter().collect();
    if let Some(mark) = primary {
        group = show(group, mark, &mut rest, sources, AnnotationKind::Primary);
    }
    while !rest.is_empty() {
        let mark = rest.remove(0);
        group = show(group, mark, &mut rest, sources, AnnotationKind::Context);
    }
    for hint in hints {
        group = group.element(Level::HELP.message(normalize_untrusted_str(hint)));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&[group])
}

/// Adds a mark, and of the rest those in the same file.
fn show<'a>(
    group: Group<'a>,
    mark: &'a Mark,
    rest: &mut Vec<&'a Mark>,
    sources: &'a Sources,
    kind: AnnotationKind,
) -> Group<'a> {
    let source = sources.texts.get(&mark.file);
    let Some((source, span)) = source.filter(|source| source.open).zip(mark.span.as_ref()) else {
        let mut origin = Origin::path(mark.file.as_str());
        if let Some((line, column)) =
            mark.span.as_ref().and_then(|span| sources.position(&mark.file, span.start))
        {
            origin = origin.line(line as usize).char_column(column as usize);
        }
        return group.element(origin);
    };
    let mut snippet = Snippet::source(source.text.as_str())
        .path(mark.file.as_str())
        .annotation(annotation(kind, &source.text, span, &mark.label));
    rest.retain(|other| {
        let same = other.file == mark.file;
        if let (true, Some(span)) = (same, &other.span) {
            let annotation = annotation(AnnotationKind::Context, &source.text, span, &other.label);
            snippet = std::mem::replace(&mut snippet, Snippet::source("")).annotation(annotation);
        }
        !(same && other.span.is_some())
    });
    group.element(snippet)
}

/// A mark that certainly lies on characters of the text, and on one line of it.
fn annotation<'a>(
    kind: AnnotationKind,
    text: &str,
    span: &Range<usize>,
    label: &'a str,
) -> Annotation<'a> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let line_end = text[start..].find('\n').map_or(text.len(), |length| start + length);
    let mut end = span.end.clamp(start, line_end);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let annotation = kind.span(start..end);
    if label.is_empty() { annotation } else { annotation.label(label) }
}

/// A text of the user's, short enough for a message.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let short: String = text.chars().take(LONGEST).collect();
    let rest = if short.len() < text.len() { "..." } else { "" };
    format!("`{}{rest}`", printable(&short))
}

/// The text with its control characters escaped: they would be a terminal's commands. Quotation marks
/// stay as they are.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// "did you mean", when one of the candidates is close.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may differ: `relase` finds `release`, `dev` does not find `prod`.
    let close = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= close && *distance < candidate.len())
        .min_by_key(|(distance, candidate)| {
            let alike = name.chars().zip(candidate.chars()).take_while(|(a, b)| a == b).count();
            (*distance, Reverse(alike), *candidate)
        })
        .map(|(_, candidate)| candidate)
}

/// Hints for a name that is not known: the nearest one, or all of them.
pub fn known<'a>(
    name: &str,
    what: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Vec<String> {
    let near = nearest(name, candidates.clone());
    let near = near.map(|nearest| format!("did you mean {}?", quoted(nearest)));
    near.into_iter().chain([all_of(what, candidates)]).collect()
}

/// Hints for a version that is not known. Only one that differs in its last part alone is what may be
/// meant: another would be an upgrade or a downgrade.
pub(crate) fn known_version<'a>(
    version: &str,
    what: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Vec<String> {
    let line = |version: &'a str| version.rsplit_once('.').map(|(line, _)| line);
    let own = version.rsplit_once('.').map(|(line, _)| line);
    let alike = candidates.clone().into_iter().filter(|other| own.is_some() && line(other) == own);
    let near = nearest(version, alike);
    let near = near.map(|nearest| format!("did you mean {}?", quoted(nearest)));
    near.into_iter().chain([all_of(what, candidates)]).collect()
}

/// The candidates, as far as they fit into a message.
fn all_of<'a>(what: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 10;
    let all: Vec<String> = candidates.into_iter().map(quoted).collect();
    let list = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match all.len() {
        0 => format!("there are no {} yet", what.strip_prefix("its ").unwrap_or(what)),
        count if count > SHOWN => format!("{what}: {list} and {} more", count - SHOWN),
        _ => format!("{what}: {list}"),
    }
}
