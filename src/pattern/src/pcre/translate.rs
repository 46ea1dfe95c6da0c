//! PCRE2 syntax into that of the `regex` crate, or of its backtracking relative.
//!
//! One pass, left to right. Options such as `(?i)` are resolved here: what is written out carries no options, each class is a
//! plain set of bytes, and each name is a number.

use super::class::ByteSet;
use crate::error::PatternError;

/// Groups inside each other; deeper ones are refused, as PCRE2 does.
const MAX_DEPTH: usize = 250;

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
struct Options {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    extended: bool,
    no_auto_capture: bool,
    swap_greed: bool,
}

struct Translator<'p> {
    pattern: &'p [u8],
    at: usize,
    dollar: Dollar,
    out: String,
    options: Options,
    /// The options outside each open group.
    open: Vec<Options>,
    names: Vec<(&'p [u8], u32)>,
    groups: u32,
    /// Whether what was written last can be repeated.
    repeatable: bool,
    needs_backtracking: bool,
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
                self.options =
                    self.open.pop().ok_or_else(|| PatternError::syntax("a ')' without its '('"))?;
                self.atom(")");
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
                self.atom(match self.dollar {
                    Dollar::EndOnly => "(?m:^)",
                    // Not behind a newline that ends the text.
                    Dollar::BeforeFinalNewline => r"(?:\A|(?m:^)(?!\z))",
                });
                Ok(())
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

    fn literal(&mut self, byte: u8) -> Result<(), PatternError> {
        self.set(ByteSet::one(byte))
    }

    fn set(&mut self, mut set: ByteSet) -> Result<(), PatternError> {
        if self.options.ignore_case {
            set.fold();
        }
        set.write(&mut self.out);
        self.repeatable = true;
        Ok(())
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeatable = true;
    }

    fn anchor(&mut self, text: &str) -> Result<(), PatternError> {
        self.atom(text);
        Ok(())
    }

    fn end_of_text(&mut self) -> Result<(), PatternError> {
        self.minds_final_newline = true;
        self.anchor(match self.dollar {
            Dollar::EndOnly => r"\z",
            Dollar::BeforeFinalNewline => r"(?=\n?\z)",
        })
    }

    /// Writes a repetition with the `?` or `+` that may follow it.
    fn repeat(&mut self, mark: String) -> Result<(), PatternError> {
        if !self.repeatable {
            return Err(PatternError::syntax(format!("'{mark}' has nothing to repeat")));
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

    fn escape(&mut self) -> Result<(), PatternError> {
        let at = self.at - 1;
        let letter = self.next().ok_or(PatternError::TrailingBackslash)?;
        if let Some(set) = ByteSet::of_escape(letter) {
            return self.set(set);
        }
        match letter {
            b'N' => self.set(ByteSet::one(b'\n').inverse()),
            b'C' => self.set(ByteSet::empty().inverse()),
            b'b' => self.anchor(r"\b"),
            b'B' => self.anchor(r"\B"),
            // The search begins at the start of the text, so \G is there, too.
            b'A' | b'G' => self.anchor(r"\A"),
            b'z' => self.anchor(r"\z"),
            b'Z' => self.end_of_text(),
            b'R' => {
                self.needs_backtracking = true;
                self.atom(r"(?>\r\n|[\n\x0B\x0C\r\x85])");
                Ok(())
            }
            b'K' => {
                self.needs_backtracking = true;
                self.anchor(r"\K")
            }
            b'Q' => self.quoted(),
            b'E' => Ok(()),
            b'1'..=b'9' => self.back_reference_or_octal(letter),
            b'k' | b'g' => self.named_reference(letter, at),
            b'p' | b'P' => Err(PatternError::Unsupported { what: "a Unicode property", at }),
            b'X' => Err(PatternError::Unsupported { what: "a grapheme (\\X)", at }),
            other => {
                let byte = self.character_escape(other, at)?;
                self.literal(byte)
            }
        }
    }

    /// The byte of an escape that stands for one, inside a class and outside.
    fn character_escape(&mut self, letter: u8, at: usize) -> Result<u8, PatternError> {
        Ok(match letter {
            b'a' => 0x07,
            b'e' => 0x1B,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => return self.hexadecimal(at),
            b'o' => return self.braced_octal(at),
            b'c' => self.next().ok_or(PatternError::TrailingBackslash)?.to_ascii_uppercase() ^ 0x40,
            b'0'..=b'7' => {
                self.at -= 1;
                return Ok(self.octal(3));
            }
            other if other.is_ascii_alphanumeric() => {
                return Err(PatternError::UnknownEscape { escape: other, at });
            }
            other => other,
        })
    }

    /// Behind `\x`: `{hh}`, or up to two digits.
    fn hexadecimal(&mut self, at: usize) -> Result<u8, PatternError> {
        let bad = || PatternError::syntax(format!("the number of '\\x' at offset {at} is no byte"));
        if self.take(b'{') {
            let digits = self.until(b'}').ok_or_else(bad)?;
            return parse_number(digits, 16)
                .and_then(|value| u8::try_from(value).ok())
                .ok_or_else(bad);
        }
        let len = self.rest().iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let digits = self.rest().get(..len).unwrap_or_default();
        self.at += len;
        Ok(parse_number(digits, 16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0))
    }

    fn braced_octal(&mut self, at: usize) -> Result<u8, PatternError> {
        let bad = || PatternError::syntax(format!("the number of '\\o' at offset {at} is no byte"));
        let digits = self.take(b'{').then(|| self.until(b'}')).flatten().ok_or_else(bad)?;
        parse_number(digits, 8).and_then(|value| u8::try_from(value).ok()).ok_or_else(bad)
    }

    /// Up to `len` octal digits; of a number beyond a byte, its low byte.
    fn octal(&mut self, len: usize) -> u8 {
        let len =
            self.rest().iter().take(len).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
        let digits = self.rest().get(..len).unwrap_or_default();
        self.at += len;
        parse_number(digits, 8).map_or(0, |value| (value & 0xFF) as u8)
    }

    /// `\1` to `\9` are always references; longer numbers are when there are so many groups, else octal.
    fn back_reference_or_octal(&mut self, first: u8) -> Result<(), PatternError> {
        let len = self.rest().iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let digits = self.pattern.get(self.at - 1..self.at + len).unwrap_or_default();
        match parse_number(digits, 10) {
            Some(number) if len == 0 || number <= self.groups => {
                self.at += len;
                self.reference(number)
            }
            _ if first <= b'7' => {
                self.at -= 1;
                let byte = self.octal(3);
                self.literal(byte)
            }
            _ => self.literal(first),
        }
    }

    /// Behind `\k` or `\g`: a name or number in brackets, or a bare number.
    fn named_reference(&mut self, letter: u8, at: usize) -> Result<(), PatternError> {
        let bad = || PatternError::syntax(format!("the reference at offset {at} is incomplete"));
        let close = match self.peek() {
            Some(b'{') => b'}',
            Some(b'<') if letter == b'g' => {
                return Err(PatternError::Unsupported { what: "a call of a group", at });
            }
            Some(b'\'') if letter == b'g' => {
                return Err(PatternError::Unsupported { what: "a call of a group", at });
            }
            Some(b'<') => b'>',
            Some(b'\'') => b'\'',
            _ if letter == b'g' => {
                let len = self
                    .rest()
                    .iter()
                    .enumerate()
                    .take_while(|(at, byte)| byte.is_ascii_digit() || *at == 0 && **byte == b'-')
                    .count();
                let number = self.rest().get(..len).unwrap_or_default();
                self.at += len;
                let number = self.group_number(number).ok_or_else(bad)?;
                return self.reference(number);
            }
            _ => return Err(bad()),
        };
        self.at += 1;
        let name = self.until(close).ok_or_else(bad)?;
        let number = self.group_number(name).ok_or_else(bad)?;
        self.reference(number)
    }

    /// The group that a name, a number or a relative number (`-1` is the last one) means.
    fn group_number(&self, text: &[u8]) -> Option<u32> {
        if let Some(back) = text.strip_prefix(b"-") {
            return (self.groups + 1).checked_sub(parse_number(back, 10)?);
        }
        if text.iter().all(u8::is_ascii_digit) {
            return parse_number(text, 10);
        }
        self.names.iter().find(|(name, _)| *name == text).map(|&(_, number)| number)
    }

    fn reference(&mut self, number: u32) -> Result<(), PatternError> {
        self.needs_backtracking = true;
        let text = if self.options.ignore_case {
            format!("(?i:\\{number})")
        } else {
            format!("(?:\\{number})")
        };
        self.atom(&text);
        Ok(())
    }

    /// Behind `\Q`: everything up to `\E` stands for itself.
    fn quoted(&mut self) -> Result<(), PatternError> {
        while let Some(byte) = self.next() {
            if byte == b'\\' && self.take(b'E') {
                break;
            }
            self.literal(byte)?;
        }
        Ok(())
    }

    fn group(&mut self) -> Result<(), PatternError> {
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
        self.open.push(self.options);
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

    /// Behind `[`.
    fn class(&mut self) -> Result<(), PatternError> {
        let at = self.at - 1;
        let negated = self.take(b'^');
        let mut set = ByteSet::empty();
        let mut first = true;
        loop {
            let byte = self.next().ok_or_else(|| {
                PatternError::syntax(format!("the class at offset {at} is not closed"))
            })?;
            if byte == b']' && !first {
                break;
            }
            first = false;
            match self.class_item(byte)? {
                Some(ClassItem::Set(other)) => set.add(other),
                Some(ClassItem::Byte(low)) => set.add(self.class_range(low)?),
                None => {}
            }
        }
        if self.options.ignore_case {
            set.fold();
        }
        self.set(if negated { set.inverse() } else { set })
    }

    /// One member of a class, whose first byte has been read; `None` for `\Q`, `\E`, which stand for nothing.
    fn class_item(&mut self, byte: u8) -> Result<Option<ClassItem>, PatternError> {
        if byte == b'['
            && let Some(set) = self.posix_class()?
        {
            return Ok(Some(ClassItem::Set(set)));
        }
        if byte != b'\\' {
            return Ok(Some(ClassItem::Byte(byte)));
        }
        let at = self.at - 1;
        let letter = self.next().ok_or(PatternError::TrailingBackslash)?;
        if let Some(set) = ByteSet::of_escape(letter) {
            return Ok(Some(ClassItem::Set(set)));
        }
        Ok(Some(match letter {
            b'b' => ClassItem::Byte(0x08),
            b'E' => return Ok(None),
            b'Q' => {
                let mut set = ByteSet::empty();
                while let Some(byte) = self.next() {
                    if byte == b'\\' && self.take(b'E') {
                        break;
                    }
                    set.add(ByteSet::one(byte));
                }
                ClassItem::Set(set)
            }
            b'p' | b'P' => {
                return Err(PatternError::Unsupported { what: "a Unicode property", at });
            }
            other => ClassItem::Byte(self.character_escape(other, at)?),
        }))
    }

    /// `low`, or `low-high` when that follows.
    fn class_range(&mut self, low: u8) -> Result<ByteSet, PatternError> {
        let begin = self.at;
        if !self.take(b'-') {
            return Ok(ByteSet::one(low));
        }
        let next = self.next();
        let high = match next {
            Some(b']') | None => None,
            Some(byte) => match self.class_item(byte)? {
                Some(ClassItem::Byte(high)) => Some(high),
                _ => None,
            },
        };
        match high {
            Some(high) if high < low => Err(PatternError::syntax(format!(
                "the range '{}-{}' counts downwards",
                low.escape_ascii(),
                high.escape_ascii()
            ))),
            Some(high) => Ok(ByteSet::of(|byte| (low..=high).contains(&byte))),
            // `[a-]` and `[a-\d]`: the hyphen stands for itself, and what follows is read again.
            None => {
                self.at = begin + 1;
                Ok(ByteSet::of(|byte| byte == low || byte == b'-'))
            }
        }
    }

    /// Behind the inner bracket of `[[:alpha:]]`; `None`, and nothing read, if it is only a bracket.
    fn posix_class(&mut self) -> Result<Option<ByteSet>, PatternError> {
        let Some(rest) = self.rest().strip_prefix(b":") else { return Ok(None) };
        let Some(len) = rest.windows(2).position(|pair| pair == b":]") else { return Ok(None) };
        let name = rest.get(..len).unwrap_or_default();
        if !name.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'^') {
            return Ok(None);
        }
        let set = ByteSet::of_posix(name).ok_or_else(|| {
            PatternError::syntax(format!("unknown class '[:{}:]'", name.escape_ascii()))
        })?;
        self.at += len + 3;
        Ok(Some(set))
    }

    fn rest(&self) -> &'p [u8] {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// What lies before `close`, which is read too; `None`, and nothing read, if it does not come.
    fn until(&mut self, close: u8) -> Option<&'p [u8]> {
        let len = self.rest().iter().position(|&byte| byte == close)?;
        let inside = self.rest().get(..len)?;
        self.at += len + 1;
        Some(inside)
    }
}

enum ClassItem {
    Byte(u8),
    Set(ByteSet),
}

fn repeat_count(digits: &[u8]) -> Result<u32, PatternError> {
    parse_number(digits, 10).filter(|&count| count <= MAX_COUNT).ok_or_else(|| {
        PatternError::syntax(format!("'{}' is too large a count", digits.escape_ascii()))
    })
}

fn parse_number(digits: &[u8], radix: u32) -> Option<u32> {
    u32::from_str_radix(str::from_utf8(digits).ok()?, radix).ok()
}
