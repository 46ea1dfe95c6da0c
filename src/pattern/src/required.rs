//! Literals that every matching text contains: for a first look at a text with many patterns at once.

use regex_syntax::hir::{Class, Hir, HirKind};
use regex_syntax::{Parser, ParserBuilder};

/// Shorter literals are in nearly every text.
const MIN_LITERAL: usize = 2;

/// More alternatives than this cost more than they save.
const MAX_LITERALS: usize = 128;

/// Whether `required_literals` hold for `text`.
///
/// Two characters beyond ASCII are letters of ASCII to those who ignore case: the Kelvin sign is a `k`, the long s an `s`.
/// A text with one of them can match without containing the literal.
pub fn literals_apply(text: &[u8]) -> bool {
    text.is_ascii()
        || !text.windows(3).any(|window| window == "\u{212A}".as_bytes())
            && !text.windows(2).any(|window| window == "\u{17F}".as_bytes())
}

/// For an anchored literal.
pub(crate) fn of_literal(literal: &[u8]) -> Option<Vec<Vec<u8>>> {
    literal
        .split(|byte| !byte.is_ascii())
        .max_by_key(|piece| piece.len())
        .filter(|piece| piece.len() >= MIN_LITERAL)
        .map(|piece| vec![piece.to_ascii_lowercase()])
}

/// For a translated text whose case is ignored.
pub(crate) fn of_folding(text: &str) -> Option<Vec<Vec<u8>>> {
    of_parsed(ParserBuilder::new().utf8(false).unicode(false).case_insensitive(true).build(), text)
}

/// For a translated text that spells out its cases.
pub(crate) fn of_bytes(text: &str) -> Option<Vec<Vec<u8>>> {
    of_parsed(ParserBuilder::new().utf8(false).unicode(false).build(), text)
}

fn of_parsed(mut parser: Parser, text: &str) -> Option<Vec<Vec<u8>>> {
    let hir = parser.parse(text).ok()?;
    needed(&hir).filter(|set| score(set).0 >= MIN_LITERAL)
}

/// The best set of literals of which one is needed; `None` if nothing is known.
fn needed(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    if let Some(text) = spelled(hir) {
        return (!text.is_empty()).then(|| vec![text]);
    }
    match hir.kind() {
        HirKind::Capture(capture) => needed(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => needed(&repetition.sub),
        HirKind::Concat(parts) => needed_of_sequence(parts),
        HirKind::Alternation(parts) => needed_of_alternatives(parts),
        _ => None,
    }
}

fn needed_of_sequence(parts: &[Hir]) -> Option<Vec<Vec<u8>>> {
    let mut best = None;
    let mut run = Vec::new();
    for part in parts {
        match spelled(part) {
            Some(text) => run.extend(text),
            None => {
                keep_better(&mut best, vec![std::mem::take(&mut run)]);
                if let Some(set) = needed(part) {
                    keep_better(&mut best, set);
                }
            }
        }
    }
    keep_better(&mut best, vec![run]);
    best
}

fn needed_of_alternatives(parts: &[Hir]) -> Option<Vec<Vec<u8>>> {
    let mut union = Vec::new();
    for part in parts {
        union.extend(needed(part)?);
        if union.len() > MAX_LITERALS {
            return None;
        }
    }
    union.sort();
    union.dedup();
    Some(union)
}

fn keep_better(best: &mut Option<Vec<Vec<u8>>>, set: Vec<Vec<u8>>) {
    if set.iter().any(Vec::is_empty) {
        return;
    }
    if best.as_ref().is_none_or(|best| score(&set) > score(best)) {
        *best = Some(set);
    }
}

/// Long literals first (up to 8 bytes: enough to be rare), then few of them.
fn score(set: &[Vec<u8>]) -> (usize, usize) {
    let shortest = set.iter().map(|literal| literal.len().min(8)).min().unwrap_or(0);
    (shortest, MAX_LITERALS.saturating_sub(set.len()))
}

/// The one text, in lower case, that this part matches; `None` if there are several, or bytes beyond ASCII.
fn spelled(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(Vec::new()),
        HirKind::Literal(literal) => literal.0.is_ascii().then(|| literal.0.to_ascii_lowercase()),
        HirKind::Class(Class::Bytes(class)) => {
            let mut bytes = class.iter().flat_map(|range| range.start()..=range.end());
            let first = bytes.next()?;
            let same = |byte: u8| byte.eq_ignore_ascii_case(&first);
            (first.is_ascii() && bytes.by_ref().take(2).all(same))
                .then(|| vec![first.to_ascii_lowercase()])
        }
        HirKind::Capture(capture) => spelled(&capture.sub),
        HirKind::Concat(parts) => {
            let mut text = Vec::new();
            for part in parts {
                text.extend(spelled(part)?);
            }
            Some(text)
        }
        _ => None,
    }
}
