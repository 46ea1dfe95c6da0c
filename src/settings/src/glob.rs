//! File name patterns: `*`, `?` and `[...]` within each part of a path.
//!
//! As in a shell, no wildcard matches a `/`, nor the dot at the beginning of a name.

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// More files than this are not looked for: a pattern is a slip then.
pub const MAX_FILES: usize = 100_000;

/// Whether the path has a wildcard.
pub fn is_pattern(path: &str) -> bool {
    path.bytes().any(|b| matches!(b, b'*' | b'?' | b'['))
}

/// The existing paths that match, sorted by their bytes; folders that can't be read count as empty.
pub fn expand(pattern: &str) -> Vec<PathBuf> {
    let start = if pattern.starts_with('/') { PathBuf::from("/") } else { PathBuf::new() };
    let mut found = vec![start];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = if is_pattern(part) {
            found.iter().flat_map(|folder| entries(folder, part)).take(MAX_FILES).collect()
        } else {
            found.into_iter().map(|folder| folder.join(part)).filter(|path| exists(path)).collect()
        };
    }
    found.retain(|path| !path.as_os_str().is_empty());
    found.sort();
    found
}

fn entries(folder: &Path, part: &str) -> Vec<PathBuf> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = fs::read_dir(listed) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter(|name| matches(part.as_bytes(), name.as_bytes()))
        .map(|name| folder.join(std::ffi::OsString::from_vec(name.into_vec())))
        .collect()
}

/// A link that leads nowhere exists, too.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether one name (no `/`) matches one part of a pattern. Takes time in proportion to the product of both lengths.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut pattern, mut name) = (pattern, name);
    // Where to go on when the last star has to take one byte more.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix(b"*") {
            retry = Some((rest, name));
            pattern = rest;
            continue;
        }
        if pattern.is_empty() && name.is_empty() {
            return true;
        }
        if let Some((&byte, after)) = name.split_first()
            && let Some(rest) = match_one(pattern, byte)
        {
            (pattern, name) = (rest, after);
            continue;
        }
        match retry {
            Some((rest, from)) if !from.is_empty() => {
                let from = from.get(1..).unwrap_or_default();
                retry = Some((rest, from));
                (pattern, name) = (rest, from);
            }
            _ => return false,
        }
    }
}

/// What is left of the pattern behind the part that takes this byte.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (&first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some(rest),
        b'[' => match set(rest) {
            Some((members, rest)) => members.contains(byte).then_some(rest),
            None => (byte == b'[').then_some(rest),
        },
        b'\\' => match rest.split_first() {
            Some((&quoted, rest)) => (byte == quoted).then_some(rest),
            None => (byte == b'\\').then_some(rest),
        },
        _ => (byte == first).then_some(rest),
    }
}

struct Set<'a> {
    negated: bool,
    members: &'a [u8],
}

impl Set<'_> {
    fn contains(&self, byte: u8) -> bool {
        let mut members = self.members;
        let mut found = false;
        while let Some((&first, rest)) = members.split_first() {
            if let [b'-', last, after @ ..] = rest {
                found |= (first..=*last).contains(&byte);
                members = after;
            } else {
                found |= first == byte;
                members = rest;
            }
        }
        found != self.negated
    }
}

/// The set behind a `[`, and what follows its `]`; a `]` at the very beginning is a member.
fn set(text: &[u8]) -> Option<(Set<'_>, &[u8])> {
    let (negated, text) = match text {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let end = 1 + text.iter().skip(1).position(|&b| b == b']')?;
    let members = text.get(..end)?;
    Some((Set { negated, members }, text.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_a_shell() {
        let yes = [
            "*|a.log",
            "*.log|a.log",
            "?.log|a.log",
            "[a-c].log|b.log",
            "[!x]*|auth",
            "a*b*c|axxbyyc",
        ];
        let no =
            ["*|.hidden", "*.log|a.txt", "?|", "[a-c]|d", "[!a]|a", "a*b*c|axxbyy", "a|ab", "ab|a"];
        for case in yes {
            let (pattern, name) = case.split_once('|').unwrap();
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{case}");
        }
        for case in no {
            let (pattern, name) = case.split_once('|').unwrap();
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{case}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = b"a*".repeat(200);
        assert!(!matches(&[pattern.as_slice(), b"b"].concat(), &b"a".repeat(5_000)));
    }

    #[test]
    fn a_pattern_expands_in_each_part_sorted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/x.log", "a/y.log", "a/z.txt", "c/.w.log"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = expand(&format!("{}/*/*.log", folder.path().display()));
        let names: Vec<_> = found.iter().map(|p| p.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(names, [Path::new("a/y.log"), Path::new("b/x.log")]);
        assert!(expand("/no/such/*").is_empty());
    }
}
