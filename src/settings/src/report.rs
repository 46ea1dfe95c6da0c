//! Collects what is wrong while sections are read; reads the simple kinds of values.
//!
//! Reading goes on behind an error, so that an operator sees all of them at once.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use xml::Element;

use crate::error::{ConfigError, ConfigErrors};
use crate::nearest::nearest;

/// The errors and warnings of one file so far.
pub(crate) struct Report {
    file: PathBuf,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
}

impl Report {
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), errors: Vec::new(), warnings: Vec::new() }
    }

    /// The warnings, if there is no error.
    pub(crate) fn finish(mut self) -> Result<Vec<ConfigError>, ConfigErrors> {
        self.errors.sort_by_key(|error| error.line);
        self.warnings.sort_by_key(|warning| warning.line);
        if self.errors.is_empty() {
            Ok(self.warnings)
        } else {
            Err(ConfigErrors::new(&self.file, self.errors))
        }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// To see whether a section brought errors: completeness is asked of sound sections only.
    pub(crate) fn error_count(&self) -> usize {
        self.errors.len()
    }

    pub(crate) fn error(
        &mut self,
        number: impl Into<Option<u16>>,
        at: &Element,
        text: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let error = self.complaint(number.into(), at, text.into(), hint.into());
        self.errors.push(error);
    }

    pub(crate) fn warning(
        &mut self,
        number: impl Into<Option<u16>>,
        at: &Element,
        text: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let warning = self.complaint(number.into(), at, text.into(), hint.into());
        self.warnings.push(warning);
    }

    fn complaint(
        &self,
        number: Option<u16>,
        at: &Element,
        text: String,
        hint: String,
    ) -> ConfigError {
        ConfigError { number, text, file: self.file.clone(), line: at.line, hint }
    }

    /// `(1230)`, with the nearest of the names that may stand there.
    pub(crate) fn unknown(&mut self, element: &Element, known: &[&str]) {
        let text = format!("Invalid element in the configuration: '{}'.", shown(&element.name));
        self.error(1230, element, text, expected_names(&element.name, known));
    }

    /// `(1235)` for a value, with what was expected.
    pub(crate) fn invalid(&mut self, element: &Element, expected: impl Into<String>) {
        self.error(1235, element, invalid_text(element), format!("expected {}", expected.into()));
    }

    /// `(1235)` as a warning, for values that OSSEC lets pass.
    pub(crate) fn doubtful(&mut self, element: &Element, expected: impl Into<String>) {
        self.warning(1235, element, invalid_text(element), format!("expected {}", expected.into()));
    }

    /// `(1243)` for each attribute that is not among the known ones.
    pub(crate) fn only_attributes(&mut self, element: &Element, known: &[&str]) {
        for attribute in &element.attributes {
            if !known.contains(&attribute.name.as_str()) {
                let name = shown(&attribute.name);
                let text = format!(
                    "Invalid attribute '{name}' in the configuration: '{}'.",
                    shown(&element.name)
                );
                let hint = if known.is_empty() {
                    format!("expected no attribute on <{}>", shown(&element.name))
                } else {
                    expected_names(&attribute.name, known)
                };
                self.error(1243, element, text, hint);
            }
        }
    }

    /// The children with a known name; complains about the others, about attributes (but on those of `attributed`)
    /// and about elements below.
    pub(crate) fn leaves<'a>(
        &mut self,
        section: &'a Element,
        known: &[&str],
        attributed: &[&str],
    ) -> Vec<&'a Element> {
        self.only_attributes(section, &[]);
        let mut leaves = Vec::with_capacity(section.children.len());
        for child in &section.children {
            if !known.contains(&child.name.as_str()) {
                self.unknown(child, known);
                continue;
            }
            if !attributed.contains(&child.name.as_str()) {
                self.only_attributes(child, &[]);
            }
            for below in &child.children {
                self.unknown(below, &[]);
            }
            leaves.push(child);
        }
        leaves
    }

    pub(crate) fn yes_no(&mut self, element: &Element, slot: &mut bool) {
        match element.content.as_slice() {
            b"yes" => *slot = true,
            b"no" => *slot = false,
            _ => self.invalid(element, "'yes' or 'no'"),
        }
    }

    /// Digits only, within the range.
    pub(crate) fn number<T: TryFrom<u64>>(
        &mut self,
        element: &Element,
        range: RangeInclusive<u64>,
        slot: &mut T,
    ) {
        let number = digits(&element.content).filter(|n| range.contains(n));
        match number.and_then(|n| T::try_from(n).ok()) {
            Some(number) => *slot = number,
            None => self.invalid(
                element,
                format!("a number of digits only, {} to {}", range.start(), range.end()),
            ),
        }
    }

    /// Any UTF-8 text.
    pub(crate) fn text(&mut self, element: &Element) -> Option<String> {
        let text = String::from_utf8(element.content.clone()).ok();
        if text.is_none() {
            self.invalid(element, "UTF-8 text");
        }
        text
    }

    /// Complains about bytes that are no OS_Match pattern.
    pub(crate) fn os_match(&mut self, element: &Element, pattern: &[u8]) {
        if let Err(error) = pattern::Match::new(pattern) {
            self.bad_pattern(element, pattern, &error);
        }
    }

    /// Complains about bytes that are no OS_Regex pattern.
    pub(crate) fn os_regex(&mut self, element: &Element, pattern: &[u8]) {
        if let Err(error) = pattern::Regex::new(pattern) {
            self.bad_pattern(element, pattern, &error);
        }
    }

    fn bad_pattern(&mut self, element: &Element, pattern: &[u8], error: &pattern::PatternError) {
        let pattern = shown(&String::from_utf8_lossy(pattern));
        let text = format!("Syntax error on regex: '{pattern}': {}.", error.code());
        self.error(1450, element, text, error.to_string());
    }

    /// UTF-8 text that is not empty.
    pub(crate) fn filled(&mut self, element: &Element) -> Option<String> {
        if self.filled_bytes(element) { self.text(element) } else { None }
    }

    /// Whether there is more than white space; `(1234)` otherwise.
    pub(crate) fn filled_bytes(&mut self, element: &Element) -> bool {
        let filled = !element.content.trim_ascii().is_empty();
        if !filled {
            let sentence = format!("Invalid NULL content for element: {}.", shown(&element.name));
            self.error(1234, element, sentence, "expected a text that is not empty");
        }
        filled
    }
}

/// A number in plain digits.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    let all_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| all_digits)?.parse().ok()
}

/// A foreign text for a message: control characters escaped, shortened.
pub(crate) fn shown(text: &str) -> String {
    const LIMIT: usize = 256;
    let mut out = String::with_capacity(text.len().min(LIMIT));
    for character in text.chars() {
        if out.len() >= LIMIT {
            out.push_str("...");
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

fn invalid_text(element: &Element) -> String {
    let (name, value) = (shown(&element.name), shown(&element.text()));
    format!("Invalid value for element '{name}': {value}.")
}

/// Few names are listed; of many the nearest is enough.
pub(crate) fn expected_names(name: &str, known: &[&str]) -> String {
    let list = match known {
        [] => "expected text, no element".to_owned(),
        [only] => format!("expected {only}"),
        few if few.len() <= 10 => format!("expected one of {}", few.join(", ")),
        many => format!("expected one of the {} names of this section", many.len()),
    };
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("{list}; did you mean '{near}'?"),
        None => list,
    }
}
