//! OS_Match: alternatives of plain text with optional `^` and `$`, as in `^GET |^POST `.
//!
//! Nothing else is special, and there is no negation: `!` is an ordinary character.

use crate::anchored::Anchored;
use crate::error::PatternError;
use crate::os_regex::{MAX_PATTERN, push_literal};
use crate::program::{Folding, Texts};
use crate::required;

/// A compiled OS_Match pattern.
#[derive(Debug)]
pub struct Match {
    matcher: Matcher,
    literals: Option<Vec<Vec<u8>>>,
}

#[derive(Debug)]
enum Matcher {
    /// The empty pattern.
    Always,
    /// All alternatives contradict themselves, as `a^b` does.
    Never,
    Anchored(Anchored),
    Folding(Box<Folding>),
}

impl Match {
    /// Compiles `pattern`; only one that is too long is refused.
    pub fn new(pattern: &[u8]) -> Result<Self, PatternError> {
        if pattern.len() > MAX_PATTERN {
            return Err(PatternError::TooLong { len: pattern.len() });
        }
        if pattern.is_empty() {
            return Ok(Self { matcher: Matcher::Always, literals: None });
        }
        if let Some((anchored, literal)) = Anchored::split(pattern)
            && !literal.is_empty()
            && !literal.iter().any(|byte| b"^$|".contains(byte))
        {
            let literals = required::of_literal(literal);
            return Ok(Self { matcher: Matcher::Anchored(anchored), literals });
        }
        let alternatives: Vec<Alternative<'_>> =
            pattern.split(|&byte| byte == b'|').filter_map(Alternative::read).collect();
        if alternatives.is_empty() {
            return Ok(Self { matcher: Matcher::Never, literals: None });
        }
        let ascii = write(&alternatives, false);
        let wide = write(&alternatives, true);
        let literals = required::of_folding(&ascii);
        let folding = Folding::new(Texts { ascii, tolerant: wide.clone(), wide })?;
        Ok(Self { matcher: Matcher::Folding(Box::new(folding)), literals })
    }

    /// Whether the pattern matches somewhere in `text`.
    pub fn is_match(&self, text: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Always => true,
            Matcher::Never => false,
            Matcher::Anchored(anchored) => anchored.find_end(text).is_some(),
            Matcher::Folding(folding) => folding.is_match(text),
        }
    }

    /// Lower-case ASCII literals of which at least one is, ASCII case ignored, in every text that matches and to which
    /// [`literals_apply`](crate::literals_apply); `None` when there are no useful ones.
    pub fn required_literals(&self) -> Option<&[Vec<u8>]> {
        self.literals.as_deref()
    }
}

/// One alternative, brought to a form in which `$` is last.
struct Alternative<'p> {
    start: bool,
    literal: &'p [u8],
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Anywhere,
    /// `$`: at the end, or before a newline that ends the text.
    BeforeFinalNewline,
    /// `$` and a newline behind it in the pattern: at that newline, which ends the text.
    FinalNewline,
}

impl<'p> Alternative<'p> {
    /// `None` for one that can never match, because something lies before `^` or behind `$`.
    fn read(pattern: &'p [u8]) -> Option<Self> {
        let starts = pattern.iter().take_while(|&&byte| byte == b'^').count();
        let rest = pattern.get(starts..)?;
        let len = rest.iter().position(|byte| b"^$".contains(byte)).unwrap_or(rest.len());
        let (literal, rest) = rest.split_at_checked(len)?;
        // With nothing in between, a later `^` is as good as a leading one.
        let (start, marks) = if literal.is_empty() {
            (starts > 0 || rest.contains(&b'^'), true)
        } else {
            (starts > 0, false)
        };
        let mut tail = rest.iter().copied().filter(|&byte| !(marks && byte == b'^')).peekable();
        if tail.peek().is_none() {
            return Some(Self { start, literal, end: End::Anywhere });
        }
        let mut end = End::BeforeFinalNewline;
        while let Some(byte) = tail.next() {
            match byte {
                b'$' => {}
                b'\n' if tail.by_ref().all(|byte| byte == b'$') => end = End::FinalNewline,
                _ => return None,
            }
        }
        Some(Self { start, literal, end })
    }
}

fn write(alternatives: &[Alternative<'_>], wide: bool) -> String {
    let mut out = String::new();
    for alternative in alternatives {
        if !out.is_empty() {
            out.push('|');
        }
        out.push_str(if alternative.start { "(?:^" } else { "(?:" });
        for chunk in alternative.literal.utf8_chunks() {
            for character in chunk.valid().chars() {
                if wide || character.is_ascii() {
                    push_literal(&mut out, character);
                } else {
                    push_bytes(&mut out, character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            push_bytes(&mut out, chunk.invalid());
        }
        out.push_str(match alternative.end {
            End::Anywhere => ")",
            End::BeforeFinalNewline => r"\n?\z)",
            End::FinalNewline => r"\n\z)",
        });
    }
    out
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        out.push_str(&format!("(?-u:\\x{byte:02X})"));
    }
}
