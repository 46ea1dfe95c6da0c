//! OS_Regex: the small pattern language of `<regex>` and `<prematch>`.
//!
//! Only escapes can be repeated (`\d+`, never `a+`), `.` and brackets are themselves, and a repetition is greedy only at the
//! end of an alternative. The language is defined by its translation into an ordinary regular expression; this module
//! does that translation, with tokens between reading and writing.

use crate::anchored::Anchored;
use crate::captures::Captures;
use crate::error::PatternError;
use crate::program::{Folding, Texts};
use crate::required;

/// Longest pattern, in bytes.
pub(crate) const MAX_PATTERN: usize = 2048;

/// A compiled OS_Regex pattern.
#[derive(Debug)]
pub struct Regex {
    matcher: Matcher,
    literals: Option<Vec<Vec<u8>>>,
}

#[derive(Debug)]
enum Matcher {
    Anchored(Anchored),
    Folding(Box<Folding>),
}

impl Regex {
    /// Compiles `pattern`.
    pub fn new(pattern: &[u8]) -> Result<Self, PatternError> {
        if pattern.is_empty() {
            return Err(PatternError::Empty);
        }
        if pattern.len() > MAX_PATTERN {
            return Err(PatternError::TooLong { len: pattern.len() });
        }
        if let Some(anchored) = Anchored::of_regex(pattern) {
            let literals = required::of_literal(anchored.literal());
            return Ok(Self { matcher: Matcher::Anchored(anchored), literals });
        }
        let tokens = read(pattern)?;
        let texts = Texts {
            ascii: write(&tokens, Dialect::Ascii),
            wide: write(&tokens, Dialect::Wide),
            tolerant: write(&tokens, Dialect::Tolerant),
        };
        let literals = required::of_folding(&texts.ascii);
        let folding = Folding::new(texts)?;
        Ok(Self { matcher: Matcher::Folding(Box::new(folding)), literals })
    }

    /// Whether the pattern matches somewhere in `text`.
    pub fn is_match(&self, text: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Anchored(anchored) => anchored.find_end(text).is_some(),
            Matcher::Folding(folding) => folding.is_match(text),
        }
    }

    /// The leftmost match: fills `captures`, gives the offset just behind the match.
    pub fn find_captures(&self, text: &[u8], captures: &mut Captures) -> Option<usize> {
        match &self.matcher {
            Matcher::Anchored(anchored) => {
                captures.clear();
                anchored.find_end(text)
            }
            Matcher::Folding(folding) => folding.find_captures(text, captures),
        }
    }

    /// How many groups the pattern has; 0 for one that is compared as a literal.
    pub fn groups(&self) -> usize {
        match &self.matcher {
            Matcher::Anchored(_) => 0,
            Matcher::Folding(folding) => folding.groups(),
        }
    }

    /// Whether the pattern is compared as an anchored literal; a decoder's `<regex>` must not be.
    pub fn is_literal(&self) -> bool {
        matches!(self.matcher, Matcher::Anchored(_))
    }

    /// Lower-case ASCII literals of which at least one is, ASCII case ignored, in every text that matches and to which
    /// [`literals_apply`](crate::literals_apply); `None` when there are no useful ones.
    pub fn required_literals(&self) -> Option<&[Vec<u8>]> {
        self.literals.as_deref()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// A byte that stands for itself.
    Byte(u8),
    /// `\\`: apart from [`Token::Byte`], for a repetition after it is always lazy.
    Backslash,
    Open,
    Close,
    Or,
    Start,
    End,
    Set(Set),
    Repeat {
        mark: u8,
        lazy: bool,
    },
}

/// The classes that escapes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Punctuation,
    Space,
    NotSpace,
    Word,
    NotWord,
    Digit,
    NotDigit,
    Any,
}

fn read(pattern: &[u8]) -> Result<Vec<Token>, PatternError> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut at = 0;
    while let Some(&byte) = pattern.get(at) {
        let token = match byte {
            b'*' | b'+' if is_backslash(pattern, at.checked_sub(2)) => {
                repetition(byte, tokens.last(), at)?
            }
            b'\\' => {
                at += 1;
                let &escape = pattern.get(at).ok_or(PatternError::TrailingBackslash)?;
                escaped(escape).ok_or(PatternError::UnknownEscape { escape, at: at - 1 })?
            }
            b'$' => Token::End,
            b'^' => Token::Start,
            b'(' => Token::Open,
            b')' => Token::Close,
            b'|' => Token::Or,
            other => Token::Byte(other),
        };
        tokens.push(token);
        at += 1;
    }
    make_last_repetitions_greedy(&mut tokens);
    Ok(tokens)
}

fn repetition(mark: u8, before: Option<&Token>, at: usize) -> Result<Token, PatternError> {
    match before {
        Some(Token::Byte(_) | Token::Backslash | Token::Set(_) | Token::Close) => {
            Ok(Token::Repeat { mark, lazy: true })
        }
        _ => Err(PatternError::syntax(format!(
            "the repetition at offset {at} has nothing to repeat"
        ))),
    }
}

/// The language decides by what is written two characters earlier, even when that backslash is itself escaped.
fn is_backslash(pattern: &[u8], at: Option<usize>) -> bool {
    at.and_then(|at| pattern.get(at)) == Some(&b'\\')
}

fn escaped(escape: u8) -> Option<Token> {
    Some(match escape {
        b'p' => Token::Set(Set::Punctuation),
        b's' => Token::Set(Set::Space),
        b'S' => Token::Set(Set::NotSpace),
        b'w' => Token::Set(Set::Word),
        b'W' => Token::Set(Set::NotWord),
        b'd' => Token::Set(Set::Digit),
        b'D' => Token::Set(Set::NotDigit),
        b'.' => Token::Set(Set::Any),
        b't' => Token::Byte(b'\t'),
        b'\\' => Token::Backslash,
        b'$' | b'(' | b')' | b'{' | b'}' | b'[' | b']' | b'|' | b'<' => Token::Byte(escape),
        _ => return None,
    })
}

/// A repetition is greedy when only closing parentheses lie between it and the end of its alternative. Before `$` it
/// stays lazy, and so does one of an escaped backslash.
fn make_last_repetitions_greedy(tokens: &mut [Token]) {
    let mut last_in_alternative = true;
    for at in (0..tokens.len()).rev() {
        let after_backslash =
            at.checked_sub(1).and_then(|before| tokens.get(before)) == Some(&Token::Backslash);
        match tokens.get_mut(at) {
            Some(Token::Or) => last_in_alternative = true,
            Some(Token::Close) => {}
            Some(Token::Repeat { lazy, .. }) => {
                *lazy = !last_in_alternative || after_backslash;
                last_in_alternative = false;
            }
            _ => last_in_alternative = false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// For ASCII texts: a byte is a character.
    Ascii,
    /// For valid UTF-8.
    Wide,
    /// For everything else: bytes above 127 that are not part of a character count as one.
    Tolerant,
}

fn write(tokens: &[Token], dialect: Dialect) -> String {
    let mut out = String::with_capacity(tokens.len() * 2);
    let mut rest = tokens;
    while let Some((token, tail)) = rest.split_first() {
        rest = tail;
        match token {
            Token::Byte(byte) if byte.is_ascii() => push_literal(&mut out, char::from(*byte)),
            Token::Byte(byte) => match wide_char(*byte, tail).filter(|_| dialect != Dialect::Ascii)
            {
                Some(character) => {
                    out.push(character);
                    rest = tail.get(character.len_utf8() - 1..).unwrap_or_default();
                }
                None => out.push_str(&format!("(?-u:\\x{byte:02X})")),
            },
            Token::Backslash => out.push_str(r"\\"),
            Token::Open => out.push('('),
            Token::Close => out.push(')'),
            Token::Or => out.push('|'),
            Token::Start => out.push('^'),
            Token::End => out.push_str(r"\z"),
            Token::Set(set) => push_set(&mut out, *set, dialect),
            Token::Repeat { mark, lazy } => {
                out.push(char::from(*mark));
                if *lazy {
                    out.push('?');
                }
            }
        }
    }
    out
}

/// Writes `character` so that it stands for itself.
pub(crate) fn push_literal(out: &mut String, character: char) {
    if regex_syntax::is_meta_character(character) {
        out.push('\\');
    }
    out.push(character);
}

/// The character that begins with `first`, if the tokens behind it complete one.
fn wide_char(first: u8, tail: &[Token]) -> Option<char> {
    let mut bytes = [first, 0, 0, 0];
    for len in 2..=4 {
        let Some(Token::Byte(byte)) = tail.get(len - 2) else { return None };
        *bytes.get_mut(len - 1)? = *byte;
        if let Ok(text) = str::from_utf8(bytes.get(..len)?) {
            return text.chars().next();
        }
    }
    None
}

fn push_set(out: &mut String, set: Set, dialect: Dialect) {
    let class = match set {
        Set::Punctuation => r##"[()*+,.:;<=>?\[\]!"'#%\&$|{}\-]"##,
        Set::Space => "[ ]",
        Set::NotSpace => "[^ ]",
        Set::Word => r"[A-Za-z0-9@_\-]",
        Set::NotWord => r"[^A-Za-z0-9@_\-]",
        Set::Digit => "[0-9]",
        Set::NotDigit => "[^0-9]",
        Set::Any => "(?s:.)",
    };
    let takes_any_character =
        matches!(set, Set::NotSpace | Set::NotWord | Set::NotDigit | Set::Any);
    if takes_any_character && dialect == Dialect::Tolerant {
        out.push_str("(?:");
        out.push_str(class);
        out.push_str(r"|(?-u:[\x80-\xFF]))");
    } else {
        out.push_str(class);
    }
}
