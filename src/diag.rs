//! What is said to the user when something is wrong: where, what, both values, and a hint.
//!
//! A user's mistake becomes a [`Diag`]; a stage collects as many as it can find and fails with all
//! of them at once. Mistakes of ours are panics with the invariant in words.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A text that positions refer to: a config file, a `--set` argument, or one line of a data file.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub text: String,
    /// Line number of the first line of `text`, from 1.
    pub first_line: usize,
}

impl Source {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Source> {
        Arc::new(Source { name: name.into(), text: text.into(), first_line: 1 })
    }
}

/// A position: byte range in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    pub source: Arc<Source>,
    pub span: Range<usize>,
}

impl At {
    pub fn new(source: &Arc<Source>, span: Range<usize>) -> At {
        At { source: source.clone(), span }
    }

    /// Line and column of the start, both from 1; the column counts characters.
    pub fn line_column(&self) -> (usize, usize) {
        let start = self.span.start.min(self.source.text.len());
        let before = &self.source.text.as_bytes()[..start];
        let line = before.iter().filter(|&&b| b == b'\n').count();
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |p| p + 1);
        let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
        (self.source.first_line + line, column)
    }

    /// One line of a data file: `line` from 1, the span given in bytes of `text`.
    pub fn in_line(file: &Path, line: usize, text: &str, span: Range<usize>) -> At {
        let source = Source { name: file.display().to_string(), text: text.to_string(), first_line: line };
        At { source: Arc::new(source), span }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source.name)
    }
}

/// One mistake, ready to be shown.
#[derive(Clone, Debug)]
pub struct Diag {
    pub message: String,
    pub at: Option<At>,
    /// Written under the marked text.
    pub label: String,
    /// Other places that matter, each with what to say there.
    pub also: Vec<(At, String)>,
    pub notes: Vec<String>,
    pub hint: Option<String>,
}

impl Diag {
    pub fn new(message: impl Into<String>) -> Diag {
        Diag {
            message: message.into(),
            at: None,
            label: String::new(),
            also: vec![],
            notes: vec![],
            hint: None,
        }
    }

    pub fn at(mut self, at: &At) -> Diag {
        self.at = Some(at.clone());
        self
    }

    pub fn label(mut self, label: impl Into<String>) -> Diag {
        self.label = label.into();
        self
    }

    pub fn also(mut self, at: &At, label: impl Into<String>) -> Diag {
        self.also.push((at.clone(), label.into()));
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Diag {
        self.notes.push(note.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Diag {
        self.hint = Some(hint.into());
        self
    }

    pub fn maybe_hint(mut self, hint: Option<String>) -> Diag {
        self.hint = hint.or(self.hint);
        self
    }

    /// The diagnostic as it is printed: message, `file:line:column`, source lines, notes, hint.
    pub fn render(&self, colour: bool) -> String {
        let mut group = Group::with_title(Level::ERROR.primary_title(&*self.message));
        // Places in one source share a snippet, so that both lines stand under one another.
        let mut places: Vec<(&At, &str, AnnotationKind)> = Vec::new();
        if let Some(at) = &self.at {
            places.push((at, &self.label, AnnotationKind::Primary));
        }
        places.extend(self.also.iter().map(|(at, label)| (at, label.as_str(), AnnotationKind::Context)));
        let mut shown: Vec<&Arc<Source>> = Vec::new();
        for (at, _, _) in &places {
            if shown.iter().any(|s| Arc::ptr_eq(s, &at.source)) {
                continue;
            }
            shown.push(&at.source);
            let mut snippet =
                Snippet::source(&*at.source.text).line_start(at.source.first_line).path(&*at.source.name);
            for (other, label, kind) in places.iter().filter(|p| Arc::ptr_eq(&p.0.source, &at.source)) {
                let span = clamp(&other.span, &other.source.text);
                let label = Some(*label).filter(|l| !l.is_empty());
                snippet = snippet.annotation(kind.span(span).label(label));
            }
            group = group.element(snippet);
        }
        for note in &self.notes {
            group = group.element(Level::NOTE.message(&**note));
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.with_name("hint").message(&**hint));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }
}

/// A span that lies inside the text, on character boundaries, and never runs over a line's end.
fn clamp(span: &Range<usize>, text: &str) -> Range<usize> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let line_end = text[start..].find('\n').map_or(text.len(), |p| start + p);
    let mut end = span.end.clamp(start, line_end);
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

impl fmt::Display for Diag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Why a command did not do what it was asked; each variant has its exit code.
#[derive(Debug)]
pub enum Failure {
    /// Bad usage, config or data: exit code 2.
    Input(Vec<Diag>),
    /// Failed while running (disk full, network down): exit code 1.
    Run(Diag),
    /// The loss became NaN or infinite: exit code 3.
    Diverged(Diag),
    /// Interrupted by the user after saving: exit code 130.
    Interrupted(String),
}

impl Failure {
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Run(_) => 1,
            Failure::Input(_) => 2,
            Failure::Diverged(_) => 3,
            Failure::Interrupted(_) => 130,
        }
    }

    pub fn run(message: impl Into<String>) -> Failure {
        Failure::Run(Diag::new(message))
    }

    pub fn diags(&self) -> &[Diag] {
        match self {
            Failure::Input(diags) => diags,
            Failure::Run(diag) | Failure::Diverged(diag) => std::slice::from_ref(diag),
            Failure::Interrupted(_) => &[],
        }
    }
}

impl From<Diag> for Failure {
    fn from(diag: Diag) -> Failure {
        Failure::Input(vec![diag])
    }
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The known name that the user most likely meant, if one is close enough to be worth saying.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// `did you mean ...?` with the nearest name, else the names there are (all, if they are few).
pub fn suggest(wrong: &str, known: &[&str]) -> Option<String> {
    if let Some(name) = nearest(wrong, known.iter().copied()) {
        return Some(format!("did you mean `{name}`?"));
    }
    if known.is_empty() {
        return None;
    }
    let shown: Vec<String> = known.iter().take(12).map(|n| format!("`{n}`")).collect();
    let rest = if known.len() > shown.len() {
        format!(" and {} more", known.len() - shown.len())
    } else {
        String::new()
    };
    Some(format!("known here: {}{rest}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_and_column_count_characters() {
        let source = Source::new("a.toml", "x = 1\nñy = 2\n");
        assert_eq!(At::new(&source, 8..9).line_column(), (2, 2));
        assert_eq!(At::new(&source, 8..9).to_string(), "a.toml:2:2");
    }

    #[test]
    fn rendering_shows_place_line_and_hint() {
        let source = Source::new("a.toml", "a = 1\nunist = 10\n");
        let text = Diag::new("unknown key `unist`")
            .at(&At::new(&source, 6..11))
            .hint("did you mean `units`?")
            .render(false);
        for part in
            ["error: unknown key `unist`", "a.toml:2:1", "unist = 10", "^^^^^", "hint: did you mean `units`?"]
        {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
    }

    #[test]
    fn spans_outside_the_text_do_not_panic() {
        let source = Source::new("a.toml", "é");
        for span in [0..100, 1..1, 5..9] {
            Diag::new("m").at(&At::new(&source, span)).render(false);
        }
    }

    #[test]
    fn nearest_names() {
        assert_eq!(nearest("unist", ["units", "use_bias"]), Some("units"));
        assert_eq!(nearest("zzz", ["units"]), None);
    }
}
