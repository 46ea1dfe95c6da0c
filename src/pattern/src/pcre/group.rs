//! What begins with a parenthesis in PCRE2: groups, options, assertions, comments.

use super::translate::{Options, Translator};
use crate::error::PatternError;

/// Groups inside each other; deeper ones are refused, as PCRE2 does.
const MAX_DEPTH: usize = 250;

impl<'p> Translator<'p> {
    /// Behind `(`.
    pub(super) fn group(&mut self) -> Result<(), PatternError> {
        let at = self.at - 1;
        if self.open.len() >= MAX_DEPTH {
            return Err(PatternError::syntax(format!(
                "more than {MAX_DEPTH} groups inside each other"
            )));
        }
        if self.peek() == Some(b'*') {
            return Err(PatternError::Unsupported { what: "a verb such as (*UTF)", at });
        }
        if !self.take(b'?') {
            if self.options.no_auto_capture {
                self.begin("(?:")
            } else {
                self.begin_capture(None)
            }
            return Ok(());
        }
        let kind =
            self.next().ok_or_else(|| PatternError::syntax("a parenthesis is not closed"))?;
        match (kind, self.peek()) {
            (b'#', _) => {
                self.until(b')').ok_or_else(|| PatternError::syntax("a comment is not closed"))?;
            }
            (b':', _) => self.begin("(?:"),
            (b'=', _) => self.begin_assertion("(?="),
            (b'!', _) => self.begin_assertion("(?!"),
            (b'>', _) => self.begin_assertion("(?>"),
            (b'<', Some(b'=')) => {
                self.at += 1;
                self.begin_assertion("(?<=");
            }
            (b'<', Some(b'!')) => {
                self.at += 1;
                self.begin_assertion("(?<!");
            }
            (b'P', Some(b'=')) => {
                self.at += 1;
                let name = self.until(b')').unwrap_or_default();
                let number = self.group_number(name).ok_or_else(|| {
                    PatternError::syntax(format!("no group is named at offset {at}"))
                })?;
                self.reference(number)?;
            }
            (b'P', Some(b'<')) => {
                self.at += 1;
                self.begin_named(b'>')?;
            }
            (b'<', _) => self.begin_named(b'>')?,
            (b'\'', _) => self.begin_named(b'\'')?,
            (b'(', _) => self.begin_condition(at)?,
            (b'|', _) => return Err(PatternError::Unsupported { what: "a branch reset (?|", at }),
            (b'P' | b'R' | b'&' | b'C' | b'0'..=b'9' | b'+', _) => {
                return Err(PatternError::Unsupported { what: "a call of a group", at });
            }
            _ => {
                self.at -= 1;
                self.options_group(at)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, text: &str) {
        self.open.push((self.options, self.out.len()));
        self.out.push_str(text);
        self.repeatable = false;
    }

    fn begin_assertion(&mut self, text: &str) {
        self.needs_backtracking = true;
        self.begin(text);
    }

    fn begin_capture(&mut self, name: Option<&'p [u8]>) {
        self.groups += 1;
        if let Some(name) = name {
            self.names.push((name, self.groups));
        }
        self.begin("(");
    }

    fn begin_named(&mut self, close: u8) -> Result<(), PatternError> {
        let name = self.until(close).unwrap_or_default();
        let starts_well = name.first().is_some_and(|byte| !byte.is_ascii_digit());
        if !starts_well || !name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(PatternError::syntax(format!(
                "'{}' is no name for a group",
                name.escape_ascii()
            )));
        }
        if self.names.iter().any(|(other, _)| *other == name) {
            return Err(PatternError::syntax(format!(
                "two groups are named '{}'",
                name.escape_ascii()
            )));
        }
        self.begin_capture(Some(name));
        Ok(())
    }

    /// Behind `(?(`: the number or name of a group.
    fn begin_condition(&mut self, at: usize) -> Result<(), PatternError> {
        let condition = self.until(b')').unwrap_or_default();
        let bare = condition.strip_prefix(b"<").and_then(|name| name.strip_suffix(b">"));
        let bare =
            bare.or_else(|| condition.strip_prefix(b"'").and_then(|name| name.strip_suffix(b"'")));
        let number = self
            .group_number(bare.unwrap_or(condition))
            .ok_or(PatternError::Unsupported { what: "this condition", at })?;
        self.begin_assertion(&format!("(?({number})"));
        Ok(())
    }

    /// `(?i)`, `(?s-m:...)`, `(?^x)`: options for the rest of the group, or for one of their own.
    fn options_group(&mut self, at: usize) -> Result<(), PatternError> {
        let mut options = self.options;
        let mut value = true;
        loop {
            let byte =
                self.next().ok_or_else(|| PatternError::syntax("a parenthesis is not closed"))?;
            match byte {
                b'-' => value = false,
                b'^' => options = Options { swap_greed: options.swap_greed, ..Options::default() },
                b'i' => options.ignore_case = value,
                b'm' => options.multi_line = value,
                b's' => options.dot_all = value,
                b'x' => options.extended = value,
                b'n' => options.no_auto_capture = value,
                b'U' => options.swap_greed = value,
                b'J' => {}
                b')' => {
                    self.options = options;
                    self.repeatable = false;
                    return Ok(());
                }
                b':' => {
                    self.begin("(?:");
                    self.options = options;
                    return Ok(());
                }
                _ => {
                    return Err(PatternError::syntax(format!(
                        "unknown option '{}' at offset {at}",
                        byte.escape_ascii()
                    )));
                }
            }
        }
    }
}
