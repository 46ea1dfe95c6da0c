//! Automata: how translated patterns are compiled and run.

use std::sync::OnceLock;

use regex_automata::Input;
use regex_automata::meta;
use regex_automata::util::syntax;
use regex_syntax::ParserBuilder;

use crate::captures::Captures;
use crate::error::PatternError;

/// Memory that one compiled pattern may take.
const MAX_PROGRAM_BYTES: usize = 16 << 20;

/// A pattern over bytes; each byte is a character. Checked at once, compiled at its first use: most patterns of a rule set
/// never meet a line that has their literals.
#[derive(Debug)]
pub(crate) struct Automaton {
    text: Box<str>,
    characters: Characters,
    groups: usize,
    regex: OnceLock<Option<meta::Regex>>,
}

impl Automaton {
    /// `text` is in the syntax of the `regex` crate; see [`syntax_of`].
    pub(crate) fn new(text: &str, characters: Characters) -> Result<Self, PatternError> {
        let hir = ParserBuilder::new()
            .utf8(false)
            .unicode(characters == Characters::Unicode)
            .case_insensitive(characters != Characters::Bytes)
            .build()
            .parse(text)
            .map_err(|error| PatternError::syntax(last_line(&error.to_string())))?;
        let groups = hir.properties().explicit_captures_len();
        let automaton = Self { text: text.into(), characters, groups, regex: OnceLock::new() };
        if text.contains('{') {
            // Only counted repetitions make a program larger than its text: those are compiled now, to refuse them now.
            let regex = build(text, characters)?;
            automaton.regex.get_or_init(|| Some(regex));
        }
        Ok(automaton)
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(Input::new(text).earliest(true)))
    }

    pub(crate) fn find_captures(&self, text: &[u8], captures: &mut Captures) -> Option<usize> {
        let input = Input::new(text);
        let regex = self.regex()?;
        if self.groups == 0 {
            captures.clear();
            return regex.search_half(&input).map(|half| half.offset());
        }
        let slots = captures.slots((self.groups + 1) * 2);
        regex.search_slots(&input, slots);
        captures.take_slots()
    }

    /// How many groups the pattern has.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    fn regex(&self) -> Option<&meta::Regex> {
        self.regex.get_or_init(|| build(&self.text, self.characters).ok()).as_ref()
    }
}

fn build(text: &str, characters: Characters) -> Result<meta::Regex, PatternError> {
    let config = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(MAX_PROGRAM_BYTES));
    meta::Builder::new().configure(config).syntax(syntax_of(characters)).build(text).map_err(
        |err| match err.syntax_error() {
            Some(syntax) => PatternError::syntax(last_line(&syntax.to_string())),
            None => PatternError::syntax(err.to_string()),
        },
    )
}

/// What a pattern takes as one character, and what it knows of upper and lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Characters {
    /// Bytes, case as written in the translated text.
    Bytes,
    /// Bytes, ASCII case ignored.
    Ascii,
    /// Code points, case of all letters ignored (simple folding).
    Unicode,
}

/// How the `regex` crate is to read a translated text.
pub(crate) fn syntax_of(characters: Characters) -> syntax::Config {
    syntax::Config::new()
        .utf8(false)
        .unicode(characters == Characters::Unicode)
        .case_insensitive(characters != Characters::Bytes)
}

/// A pattern over code points: an automaton over bytes for ASCII texts (nearly all), others built when first needed.
#[derive(Debug)]
pub(crate) struct Folding {
    ascii: Automaton,
    /// For valid UTF-8.
    wide: Later,
    /// For anything else: a byte that is no character counts as one.
    tolerant: Later,
}

/// An automaton that is built at its first use.
#[derive(Debug)]
struct Later {
    text: Box<str>,
    built: OnceLock<Option<Automaton>>,
}

/// The three translated texts of a [`Folding`].
pub(crate) struct Texts {
    pub(crate) ascii: String,
    pub(crate) wide: String,
    pub(crate) tolerant: String,
}

impl Folding {
    pub(crate) fn new(texts: Texts) -> Result<Self, PatternError> {
        Ok(Self {
            ascii: Automaton::new(&texts.ascii, Characters::Ascii)?,
            wide: Later::new(texts.wide),
            tolerant: Later::new(texts.tolerant),
        })
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.automaton_for(text).is_some_and(|automaton| automaton.is_match(text))
    }

    pub(crate) fn find_captures(&self, text: &[u8], captures: &mut Captures) -> Option<usize> {
        captures.clear();
        self.automaton_for(text)?.find_captures(text, captures)
    }

    pub(crate) fn groups(&self) -> usize {
        self.ascii.groups()
    }

    fn automaton_for(&self, text: &[u8]) -> Option<&Automaton> {
        if text.is_ascii() {
            Some(&self.ascii)
        } else if str::from_utf8(text).is_ok() {
            self.wide.get()
        } else {
            self.tolerant.get()
        }
    }
}

impl Later {
    fn new(text: String) -> Self {
        Self { text: text.into(), built: OnceLock::new() }
    }

    /// `None` when it grows beyond the memory limit, though its ASCII form did not: then nothing matches, as with the
    /// internal limits of PCRE2.
    fn get(&self) -> Option<&Automaton> {
        self.built.get_or_init(|| Automaton::new(&self.text, Characters::Unicode).ok()).as_ref()
    }
}

/// Syntax errors are drawings over several lines; the last one says what is wrong.
fn last_line(drawing: &str) -> String {
    let line = drawing.trim_end().lines().next_back().unwrap_or(drawing).trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
