//! The history of a host's files: one line for each change, told or not.
//!
//! ```text
//! 1795220196 alert 4:33188:0:0:c193... 12:33188:0:0:07a8... /etc/motd %40who%20uid=0%0a1c1%0a<%20one%0a
//! 1795220299 maintenance 12:33188:0:0:07a8... -1 /etc/motd
//! ```
//! Epoch seconds, what became of it, the sum before (`-` for a file that was not known) and now (`-1`: gone), the path, and what the message brought
//! besides (notes and diff, see [`crate::note`]); path and that as words of [`crate::percent`]. The analysis daemon appends, `syscheck_control --timeline` reads.

use crate::percent;

/// Longest line, in bytes, newline included; a diff is cut to it.
pub const MAX_LINE: usize = 16 * 1024;

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The rules judged it.
    Alert,
    /// The host was in maintenance.
    Maintenance,
    /// It belonged to a package transaction.
    Package,
    /// The file changes too often.
    AutoIgnored,
    /// A new file, about which nothing is said as configured.
    NewFile,
}

const WORDS: [(Told, &str); 5] = [
    (Told::Alert, "alert"),
    (Told::Maintenance, "maintenance"),
    (Told::Package, "package"),
    (Told::AutoIgnored, "auto_ignore"),
    (Told::NewFile, "new_file"),
];

impl Told {
    /// Its word in a line.
    pub fn word(self) -> &'static str {
        WORDS.iter().find(|(told, _)| *told == self).map_or("alert", |(_, word)| word)
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Epoch seconds.
    pub at: i64,
    /// What became of it.
    pub told: Told,
    /// The known sum; `None` when the file was not known.
    pub before: Option<Vec<u8>>,
    /// The sum now; `-1` when it is gone.
    pub after: Vec<u8>,
    /// As baselines have it: control bytes escaped.
    pub path: Vec<u8>,
    /// Notes and diff as the message brought them.
    pub data: Vec<u8>,
}

impl Record {
    /// Appends the line with its newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let begin = format!("{} {} ", self.at, self.told.word());
        let before = self.before.as_deref().unwrap_or(b"-");
        for part in [begin.as_bytes(), before, b" ", &self.after, b" "] {
            out.extend_from_slice(part);
        }
        percent::escape(&self.path, MAX_LINE / 2, out);
        if !self.data.is_empty() {
            out.push(b' ');
            let left = MAX_LINE.saturating_sub(out.len() - start + 1);
            percent::escape(&self.data, left, out);
        }
        out.push(b'\n');
    }

    /// Reads a line without its newline; `None` when it is none.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|&b| b == b' ');
        let at = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let told = words.next()?;
        let (told, _) = WORDS.iter().find(|(_, word)| word.as_bytes() == told)?;
        let before = words.next()?;
        let after = words.next().filter(|sum| !sum.is_empty())?.to_vec();
        let path = words.next().filter(|path| !path.is_empty()).map(percent::unescape)?;
        let data = words.next().map(percent::unescape).unwrap_or_default();
        let before = (before != b"-").then(|| before.to_vec());
        words.next().is_none().then_some(Self { at, told: *told, before, after, path, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            at: 1_795_220_196,
            told: Told::Alert,
            before: Some(b"4:33188:0:0:a:b:c".to_vec()),
            after: b"-1".to_vec(),
            path: b"/etc/a b\xff%".to_vec(),
            data: b"@who uid=0\n1c1\n< one\n".to_vec(),
        }
    }

    #[test]
    fn a_record_survives_the_round_trip() {
        let mut line = Vec::new();
        record().write(&mut line);
        let text = "1795220196 alert 4:33188:0:0:a:b:c -1 /etc/a%20b%ff%25 @who%20uid=0%0a1c1%0a<%20one%0a\n";
        assert_eq!(String::from_utf8_lossy(&line), text);
        assert_eq!(Record::parse(line.strip_suffix(b"\n").unwrap()), Some(record()));
        for (told, _) in WORDS {
            let plain = Record { told, before: None, data: Vec::new(), ..record() };
            let mut line = Vec::new();
            plain.write(&mut line);
            assert_eq!(Record::parse(line.strip_suffix(b"\n").unwrap()), Some(plain));
        }
    }

    #[test]
    fn a_long_diff_is_cut_to_the_lines_limit() {
        let mut line = Vec::new();
        Record { data: vec![b' '; 100_000], ..record() }.write(&mut line);
        assert!(line.len() <= MAX_LINE && line.len() > MAX_LINE - 3, "{}", line.len());
        assert!(Record::parse(line.strip_suffix(b"\n").unwrap()).is_some());
    }

    #[test]
    fn other_lines_are_refused_and_no_truncation_panics() {
        let mut line = Vec::new();
        record().write(&mut line);
        for len in 0..line.len() {
            let _ = Record::parse(&line[..len]);
        }
        for text in ["", "1 alert - ", "x alert - -1 /a", "1 told - -1 /a", "1 alert - -1 /a b c"] {
            assert_eq!(Record::parse(text.as_bytes()), None, "{text}");
        }
    }
}
