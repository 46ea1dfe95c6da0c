//! Recognises the timestamps with which entries of server logs begin.

/// Whether `text` begins with something of the shape of `pattern`, in which `0` stands for any digit, `_` for a digit or
/// a space, `a` for any letter, and everything else for itself.
pub(super) fn has_shape(text: &[u8], pattern: &[u8]) -> bool {
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'_' => byte.is_ascii_digit() || *byte == b' ',
        b'a' => byte.is_ascii_alphabetic(),
        other => byte == other,
    };
    text.len() >= pattern.len() && text.iter().zip(pattern).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_compared_byte_by_byte() {
        assert!(has_shape(b"2026-11-21 rest", b"0000-00-00 "));
        assert!(has_shape(b"Nov  1", b"aaa _0"));
        assert!(!has_shape(b"2026-11", b"0000-00-00"));
        assert!(!has_shape(b"2026/11/21", b"0000-00-00"));
    }
}
