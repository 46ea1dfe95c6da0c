//! The word search of `<if_group>`: `a|b`, each a case-insensitive piece of the text.

use crate::anchored::starts_with_ignoring_case;

/// Whether one alternative of `pattern` lies in `text`; `^x` must lie at its beginning.
///
/// An empty alternative always does; an empty pattern never does.
pub fn has_word(pattern: &[u8], text: &[u8]) -> bool {
    if pattern.is_empty() {
        return false;
    }
    pattern.split(|&byte| byte == b'|').any(|word| match word {
        [] => true,
        [b'^', prefix @ ..] => starts_with_ignoring_case(text, prefix),
        word => text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word)),
    })
}
