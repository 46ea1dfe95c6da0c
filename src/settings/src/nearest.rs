//! The known name that a mistyped one was probably meant to be.

/// The closest of the known names, if it is close enough to be a slip.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(name);
    let allowed = 1 + wanted.len() / 4;
    known
        .into_iter()
        .map(|candidate| (distance(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed.min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case and `-` for `_` are no difference. Long names are cut: they are no slip of a known one.
fn plain(name: &str) -> Vec<u8> {
    let same = |b: u8| if b == b'-' { b'_' } else { b.to_ascii_lowercase() };
    name.bytes().take(64).map(same).collect()
}

/// Insertions, deletions and replacements that lead from one to the other.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, byte) in from.iter().enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        let mut next = vec![left];
        for (other, &above) in to.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(other != byte)).min(above + 1).min(left + 1);
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (from, to, expected) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(from.as_bytes(), to.as_bytes()), expected, "{from} {to}");
        }
    }

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_none() {
        let known = ["log_format", "location", "frequency"];
        assert_eq!(nearest("log-fromat", known), Some("log_format"));
        assert_eq!(nearest("Location", known), Some("location"));
        assert_eq!(nearest("bogus", known), None);
        assert_eq!(nearest("", known), None);
    }
}
