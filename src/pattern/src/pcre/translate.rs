//! PCRE2 syntax into that of the `regex` crate, or of its backtracking relative.
//!
//! One pass, left to right. Options such as `(?i)` are resolved here: what is written out carries no options, each class is a
//! plain set of bytes, and each name is a number.

use super::class::ByteSet;
use crate::error::PatternError;

/// Largest number in a counted repetition.
const MAX_COUNT: u32 = 65_535;

/// How `$` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dollar {
    /// As the end of the text: exact for texts that do not end with a newline, and linear.
    EndOnly,
    /// As PCRE2 means it: the end, or before a newline that ends the text.
    BeforeFinalNewline,
}

/// A translated pattern.
pub(super) struct Translation {
    pub(super) text: String,
    /// It has a form that only a backtracking matcher knows.
    pub(super) needs_backtracking: bool,
    /// It has a `$` or the like, so a text that ends with a newline is special.
    pub(super) minds_final_newline: bool,
}

/// Translates `pattern`, which ignores case unless it says otherwise.
pub(super) fn translate(pattern: &[u8], dollar: Dollar) -> Result<Translation, PatternError> {
    let translator = Translator {
        pattern,
        at: 0,
        dollar,
        out: String::with_capacity(pattern.len() * 2),
        options: Options { ignore_case: true, ..Options::default() },
        open: Vec::new(),
        atom_start: 0,
        names: Vec::new(),
        groups: 0,
        repeatable: false,
        needs_backtracking: false,
        minds_final_newline: false,
    };
    translator.run()
}

/// What `(?imsxnU)` switch on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) ignore_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_all: bool,
    pub(super) extended: bool,
    pub(super) no_auto_capture: bool,
    pub(super) swap_greed: bool,
}

pub(super) struct Translator<'p> {
    pub(super) pattern: &'p [u8],
    pub(super) at: usize,
    dollar: Dollar,
    pub(super) out: String,
    pub(super) options: Options,
    /// The options outside each open group, and where it begins in `out`.
    pub(super) open: Vec<(Options, usize)>,
    pub(super) names: Vec<(&'p [u8], u32)>,
    pub(super) groups: u32,
    /// Whether what was written last can be repeated.
    pub(super) repeatable: bool,
    /// Where that begins in `out`.
    atom_start: usize,
    pub(super) needs_backtracking: bool,
    minds_final_newline: bool,
}

impl<'p> Translator<'p> {
    fn run(mut self) -> Result<Translation, PatternError> {
        while let Some(byte) = self.next() {
            self.item(byte)?;
        }
        if !self.open.is_empty() {
            return Err(PatternError::syntax("a parenthesis is not closed"));
        }
        Ok(Translation {
            text: self.out,
            needs_backtracking: self.needs_backtracking,
            minds_final_newline: self.minds_final_newline,
        })
    }

    fn item(&mut self, byte: u8) -> Result<(), PatternError> {
        match byte {
            b'\\' => self.escape(),
            b'[' => self.class(),
            b'(' => self.group(),
            b')' => {
                let unopened = || PatternError::syntax("a ')' without its '('");
                let (options, start) = self.open.pop().ok_or_else(unopened)?;
                self.options = options;
                self.atom(")");
                self.atom_start = start;
                Ok(())
            }
            b'|' => {
                self.out.push('|');
                self.repeatable = false;
                Ok(())
            }
            b'.' if self.options.dot_all => self.set(ByteSet::empty().inverse()),
            b'.' => self.set(ByteSet::one(b'\n').inverse()),
            b'^' if self.options.multi_line => {
                self.minds_final_newline = true;
                self.anchor(match self.dollar {
                    Dollar::EndOnly => "(?m:^)",
                    // Not behind a newline that ends the text.
                    Dollar::BeforeFinalNewline => r"(?:\A|(?m:^)(?!\z))",
                })
            }
            b'^' => self.anchor(r"\A"),
            b'$' if self.options.multi_line => self.anchor("(?m:$)"),
            b'$' => self.end_of_text(),
            b'*' | b'+' | b'?' => self.repeat(char::from(byte).to_string()),
            b'{' => match self.count()? {
                Some(count) => self.repeat(count),
                None => self.literal(byte),
            },
            b' ' | b'\t' | b'\n' | b'\x0B' | b'\x0C' | b'\r' if self.options.extended => Ok(()),
            b'#' if self.options.extended => {
                while self.next().is_some_and(|byte| byte != b'\n') {}
                Ok(())
            }
            other => self.literal(other),
        }
    }

    pub(super) fn literal(&mut self, byte: u8) -> Result<(), PatternError> {
        self.set(ByteSet::one(byte))
    }

    pub(super) fn set(&mut self, mut set: ByteSet) -> Result<(), PatternError> {
        if self.options.ignore_case {
            set.fold();
        }
        self.atom_start = self.out.len();
        set.write(&mut self.out);
        self.repeatable = true;
        Ok(())
    }

    pub(super) fn atom(&mut self, text: &str) {
        self.atom_start = self.out.len();
        self.out.push_str(text);
        self.repeatable = true;
    }

    /// Something that takes no text, and so is not repeated.
    pub(super) fn anchor(&mut self, text: &str) -> Result<(), PatternError> {
        self.out.push_str(text);
        self.repeatable = false;
        Ok(())
    }

    pub(super) fn end_of_text(&mut self) -> Result<(), PatternError> {
        self.minds_final_newline = true;
        self.anchor(match self.dollar {
            Dollar::EndOnly => r"\z",
            Dollar::BeforeFinalNewline => r"(?=\n?\z)",
        })
    }

    /// Writes a repetition with the `?` or `+` that may follow it.
    fn repeat(&mut self, mut mark: String) -> Result<(), PatternError> {
        if !self.repeatable {
            return Err(PatternError::syntax(format!("'{mark}' has nothing to repeat")));
        }
        self.repeatable = false;
        if matches!(mark.as_str(), "{0}" | "{0,0}") {
            // Something optional that is never there: unlike "{0}", it keeps the numbers of the groups inside.
            self.out.insert_str(self.atom_start, r"(?:[^\x00-\xFF]");
            mark = ")?".to_owned();
        }
        self.out.push_str(&mark);
        if self.take(b'+') {
            self.out.push('+');
            self.needs_backtracking = true;
        } else if self.take(b'?') != self.options.swap_greed {
            self.out.push('?');
        }
        Ok(())
    }

    /// Reads `{n}`, `{n,}` or `{n,m}`, behind its brace; anything else is no repetition, and nothing is read.
    fn count(&mut self) -> Result<Option<String>, PatternError> {
        let rest = self.rest();
        let Some(len) = rest.iter().position(|&byte| byte == b'}') else { return Ok(None) };
        let inside = rest.get(..len).unwrap_or_default();
        let (least, most) = match inside.iter().position(|&byte| byte == b',') {
            Some(comma) => (inside.get(..comma), inside.get(comma + 1..)),
            None => (Some(inside), None),
        };
        let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let least = least.unwrap_or_default();
        if !is_number(least) || !most.is_none_or(|most| most.is_empty() || is_number(most)) {
            return Ok(None);
        }
        let least = repeat_count(least)?;
        let mark = match most {
            None => format!("{{{least}}}"),
            Some([]) => format!("{{{least},}}"),
            Some(most) => {
                let most = repeat_count(most)?;
                if most < least {
                    return Err(PatternError::syntax(format!(
                        "'{{{least},{most}}}' counts downwards"
                    )));
                }
                format!("{{{least},{most}}}")
            }
        };
        self.at += len + 1;
        Ok(Some(mark))
    }

    pub(super) fn rest(&self) -> &'p [u8] {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    pub(super) fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// What lies before `close`, which is read too; `None`, and nothing read, if it does not come.
    pub(super) fn until(&mut self, close: u8) -> Option<&'p [u8]> {
        let len = self.rest().iter().position(|&byte| byte == close)?;
        let inside = self.rest().get(..len)?;
        self.at += len + 1;
        Some(inside)
    }
}

fn repeat_count(digits: &[u8]) -> Result<u32, PatternError> {
    parse_number(digits, 10).filter(|&count| count <= MAX_COUNT).ok_or_else(|| {
        PatternError::syntax(format!("'{}' is too large a count", digits.escape_ascii()))
    })
}

pub(super) fn parse_number(digits: &[u8], radix: u32) -> Option<u32> {
    u32::from_str_radix(str::from_utf8(digits).ok()?, radix).ok()
}
