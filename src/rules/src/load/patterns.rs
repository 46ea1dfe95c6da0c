//! Patterns while a file is read: the contents of equal tags are joined, then compiled.

use super::Notes;
use crate::text::{Language, Text};

/// Joined contents of one tag, with the line of the first.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    pub(super) text: Vec<u8>,
    pub(super) line: usize,
    given: bool,
    /// Of the first of them; equal tags agree.
    negated: bool,
}

impl Pieces {
    /// Appends one content; nothing comes between it and the last one.
    pub(super) fn add(&mut self, element: &xml::Element, limit: usize, notes: &mut Notes) {
        if element.content.len() > limit || self.text.len() > limit {
            notes.error(
                element.line,
                format!("<{}> is longer than {limit} bytes; split the rule", element.name),
            );
            return;
        }
        if !self.given {
            self.line = element.line;
        }
        self.given = true;
        self.text.extend_from_slice(&element.content);
    }

    pub(super) fn is_given(&self) -> bool {
        self.given
    }

    /// As [`add`](Self::add), for a tag that knows `negate`.
    pub(super) fn add_negatable(
        &mut self,
        element: &xml::Element,
        negated: bool,
        limit: usize,
        notes: &mut Notes,
    ) {
        if self.given && self.negated != negated {
            notes.error(
                element.line,
                format!(
                    "equal tags are one pattern: all <{}> of a rule have negate=\"yes\", or none",
                    element.name
                ),
            );
        }
        self.negated = negated;
        self.add(element, limit, notes);
    }

    /// Compiles what is given.
    pub(super) fn compile(&self, language: Language, tag: &str, notes: &mut Notes) -> Option<Text> {
        if !self.given {
            return None;
        }
        match Text::with_negation(language, &self.text, self.negated) {
            Ok(text) => Some(text),
            Err(error) => {
                let pattern = String::from_utf8_lossy(&self.text);
                let short: String = pattern.chars().take(100).collect();
                notes.error(self.line, format!("<{tag}>{short}</{tag}> is no pattern: {error}"));
                None
            }
        }
    }
}
