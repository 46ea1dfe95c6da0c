//! Patterns that cost more, or match other things, than they seem to.

use super::{Findings, short};
use pattern::Pcre;

/// Looks at a PCRE2 pattern; `joined` are the contents of equal tags.
pub(super) fn pcre(tag: &str, joined: &[u8], line: usize, found: &mut Findings<'_>) {
    if Pcre::new(joined).is_ok_and(|pattern| pattern.needs_backtracking()) {
        found.warn(
            "backtracking",
            line,
            format!(
                "<{tag}>{}</{tag}> looks around or back: it is matched step by step with a limit, slower than others, \
                 and gives up on lines that need more steps",
                short(joined)
            ),
        );
    }
    tab(tag, joined, line, found);
}

/// Looks at an OS_Regex pattern.
pub(super) fn regex(tag: &str, joined: &[u8], line: usize, found: &mut Findings<'_>) {
    tab(tag, joined, line, found);
}

/// Tabs are taken out of a line before anybody sees it.
fn tab(tag: &str, joined: &[u8], line: usize, found: &mut Findings<'_>) {
    if has_escape(joined, b't') {
        found.warn(
            "control-bytes",
            line,
            format!("<{tag}> has \\t, which matches nothing: tabs are taken out of lines before decoders and rules see them"),
        );
    }
}

/// Whether the pattern has this letter behind a backslash that is not escaped itself.
fn has_escape(pattern: &[u8], letter: u8) -> bool {
    let mut bytes = pattern.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'\\' && bytes.next() == Some(&letter) {
            return true;
        }
    }
    false
}

/// Groups in each branch of the pattern's outermost `|`.
pub(super) fn groups_by_branch(pattern: &[u8]) -> Vec<usize> {
    let mut branches = vec![0];
    let (mut depth, mut in_class) = (0_usize, false);
    let mut at = 0;
    while let Some(&byte) = pattern.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' if !in_class => in_class = true,
            b']' => in_class = false,
            _ if in_class => {}
            b'(' => {
                depth += 1;
                let captures = pattern.get(at + 1) != Some(&b'?');
                if let (true, Some(last)) = (captures, branches.last_mut()) {
                    *last += 1;
                }
            }
            b')' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => branches.push(0),
            _ => {}
        }
        at += 1;
    }
    branches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_counted_by_branch() {
        assert_eq!(groups_by_branch(br"from (\S+)|user (\S+) at (\S+)"), [1, 2]);
        assert_eq!(groups_by_branch(br"((a)|(b)) (?:x|y)"), [3]);
        assert_eq!(groups_by_branch(br"\(a\)|[(|]b"), [0, 0]);
    }

    #[test]
    fn an_escaped_backslash_escapes_nothing() {
        assert!(has_escape(br"a\tb", b't'));
        assert!(!has_escape(br"C:\\temp", b't'));
        assert!(!has_escape(b"\\", b't'));
    }
}
