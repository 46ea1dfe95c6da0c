//! Lint: rules and decoders that load, and yet do something else than their author is likely to think.
//!
//! A finding is said only where it is true of this engine. A [`Severity::Warning`] is a mistake in all likelihood; a
//! [`Severity::Note`] tells of a rule of the language that surprises many. Classes and what to do are in `docs/rule-tests.md`.

mod decoders;
mod patterns;
mod rules;
mod tree;

use crate::engine::Engine;
use crate::load::Source;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Short name of the kind of finding, `unreachable` for instance.
    pub class: &'static str,
    /// How sure it is that something is wrong.
    pub severity: Severity,
    /// Source that it stands in.
    pub file: String,
    /// Line in that source, from 1.
    pub line: usize,
    /// Number of the rule, for findings about rules.
    pub rule: Option<u32>,
    /// What is odd, and what to do about it.
    pub text: String,
}

/// How sure it is that something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// Not what its author is likely to want.
    Warning,
}

/// Looks through the files of an engine; findings come in the order of the files.
pub fn lint(decoders: &[Source<'_>], rules: &[Source<'_>], engine: &Engine) -> Vec<Finding> {
    let mut found = Vec::new();
    decoders::look(decoders, &mut found);
    rules::look(rules, engine, &mut found);
    tree::look(engine, &mut found);
    let place = |finding: &Finding| {
        let files = decoders.iter().chain(rules);
        files.map(|file| file.name).position(|name| name == finding.file)
    };
    found.sort_by_key(|finding| (place(finding), finding.line));
    found
}

/// One sentence if there are kinds of file events that no rule takes: they come, and nobody hears of them.
pub fn unheard_file_events(engine: &Engine) -> Option<String> {
    let unheard = tree::unheard(engine);
    let kinds: Vec<&str> = unheard.iter().map(|(kind, _)| *kind).collect();
    let why = unheard.iter().find_map(|(_, beyond)| beyond.as_ref()).map_or_else(
        || "no rule is made for them".to_owned(),
        |(rule, why)| match engine.rules().get(*rule) {
            Some(rule) => {
                format!("rule {} ({}:{}) is out of reach: {why}", rule.id, rule.file, rule.line)
            }
            None => why.clone(),
        },
    );
    (!kinds.is_empty()).then(|| {
        format!(
            "file integrity events never alert ({}): {why}; <rules> should include rules_config.xml first and ossec_rules.xml behind it, or rules of your own with <category>ossec</category> and <decoded_as>",
            kinds.join(", ")
        )
    })
}

/// Collects what is found in one file.
struct Findings<'f> {
    found: &'f mut Vec<Finding>,
    file: &'f str,
    rule: Option<u32>,
}

impl Findings<'_> {
    fn warn(&mut self, class: &'static str, line: usize, text: impl Into<String>) {
        self.add(Severity::Warning, class, line, text.into());
    }

    fn note(&mut self, class: &'static str, line: usize, text: impl Into<String>) {
        self.add(Severity::Note, class, line, text.into());
    }

    fn add(&mut self, severity: Severity, class: &'static str, line: usize, text: String) {
        let (file, rule) = (self.file.to_owned(), self.rule);
        self.found.push(Finding { class, severity, file, line, rule, text });
    }
}

/// A tag's content for a sentence.
fn short(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut short: String = text.trim().chars().take(60).collect();
    if short.len() < text.trim().len() {
        short.push_str("...");
    }
    short
}
