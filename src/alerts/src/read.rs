//! Reads `alerts.log` back, record by record, for mail, reports and other outputs.
//!
//! A record begins with `** Alert <id>:` and ends with an empty line after at least one line of log. Lines that fit no
//! known label are log text. Bytes that form no record are skipped.

use std::ops::ControlFlow;

/// Lines of log kept per record.
pub const MAX_LOG_LINES: usize = 20;
/// Bytes kept of each line of log.
pub const MAX_LOG_LINE: usize = 2047;

/// One record of `alerts.log`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record<'a> {
    /// `<epoch>.<number>`.
    pub id: &'a [u8],
    /// The mail flag.
    pub mail: bool,
    /// Group string, with its leading space, as readers have always had it.
    pub groups: &'a [u8],
    /// `2023 Nov 14 22:13:20`.
    pub date: &'a [u8],
    /// What stands after the date: `host1->/var/log/auth.log`.
    pub location: &'a [u8],
    /// Rule number.
    pub rule: u32,
    /// Rule level.
    pub level: u8,
    /// Description without its quotes.
    pub comment: &'a [u8],
    /// `Src IP`.
    pub srcip: Option<&'a [u8]>,
    /// `Src Port`.
    pub srcport: Option<&'a [u8]>,
    /// `Dst IP`.
    pub dstip: Option<&'a [u8]>,
    /// `Dst Port`.
    pub dstport: Option<&'a [u8]>,
    /// `User`.
    pub user: Option<&'a [u8]>,
    /// The changed file that an integrity record is about.
    pub filename: Option<&'a [u8]>,
    /// Lines of an integrity record with their label: `("Old md5sum", "'d41d...'")`.
    pub changes: Vec<(&'static str, &'a [u8])>,
    /// The log lines, each cut to [`MAX_LOG_LINE`].
    pub log: Vec<&'a [u8]>,
}

/// Reads the first complete record of `text`; with it the number of bytes that are done with.
///
/// `None` when `text` holds no complete record yet: read more and call again.
pub fn next(text: &[u8]) -> Option<(Record<'_>, usize)> {
    let mut rest = text;
    loop {
        let line = next_line(&mut rest)?;
        let Some(mut record) = header(line) else { continue };
        if let Some(used) = body(&mut record, rest, text.len()) {
            return used.map(|used| (record, used));
        }
    }
}

/// Fills `record`; outer `None`: it is broken, look on; inner `None`: it is not complete yet.
fn body<'a>(record: &mut Record<'a>, mut rest: &'a [u8], total: usize) -> Option<Option<usize>> {
    let Some(place) = next_line(&mut rest) else { return Some(None) };
    (record.date, record.location) = place.split_at_checked(20)?;
    record.location = record.location.strip_prefix(b" ")?;
    let Some(rule) = next_line(&mut rest) else { return Some(None) };
    rule_line(record, rule)?;
    loop {
        let Some(line) = next_line(&mut rest) else { return Some(None) };
        if line.is_empty() {
            if !record.log.is_empty() {
                return Some(Some(total - rest.len()));
            }
        } else if detail(record, line).is_continue() && record.log.len() < MAX_LOG_LINES {
            record.log.push(line.get(..MAX_LOG_LINE).unwrap_or(line));
        }
    }
}

/// Takes one line with its newline; `None` when no whole line is left.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    Some(line)
}

fn header(line: &[u8]) -> Option<Record<'_>> {
    let rest = line.strip_prefix(b"** Alert ")?;
    let colon = rest.iter().position(|&byte| byte == b':')?;
    let (id, rest) = rest.split_at(colon);
    let rest = rest.get(1..)?;
    let dash = rest.iter().position(|&byte| byte == b'-')?;
    Some(Record {
        id,
        mail: rest.starts_with(b" mail"),
        groups: rest.get(dash + 1..)?,
        ..Record::default()
    })
}

/// `Rule: 5712 (level 10) -> 'description'`
fn rule_line<'a>(record: &mut Record<'a>, line: &'a [u8]) -> Option<()> {
    let rest = line.strip_prefix(b"Rule: ")?;
    let (id, rest) = number(rest)?;
    let rest = rest.strip_prefix(b" (level ")?;
    let (level, rest) = number(rest)?;
    record.rule = id;
    record.level = u8::try_from(level).ok()?;
    let comment = rest.strip_prefix(b") -> ")?;
    let comment = comment.strip_prefix(b"'").unwrap_or(comment);
    record.comment = comment.strip_suffix(b"'").unwrap_or(comment);
    Some(())
}

fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// Takes a labelled line into its field; `Continue` when the line is log text (too).
fn detail<'a>(record: &mut Record<'a>, line: &'a [u8]) -> ControlFlow<()> {
    const CHANGES: [(&str, &str); 8] = [
        ("Old md5sum", "Old md5sum was: "),
        ("New md5sum", "New md5sum is : "),
        ("Old sha1sum", "Old sha1sum was: "),
        ("New sha1sum", "New sha1sum is : "),
        ("Size", "Size changed from "),
        ("Ownership", "Ownership was "),
        ("Group ownership", "Group ownership was "),
        ("Permissions", "Permissions changed from "),
    ];
    if record.log.is_empty() {
        for (label, slot) in [
            (&b"Src IP: "[..], &mut record.srcip),
            (b"Src Port: ", &mut record.srcport),
            (b"Dst IP: ", &mut record.dstip),
            (b"Dst Port: ", &mut record.dstport),
            (b"User: ", &mut record.user),
        ] {
            if let Some(value) = line.strip_prefix(label) {
                *slot = Some(value);
                return ControlFlow::Break(());
            }
        }
    }
    for (name, label) in CHANGES {
        if let Some(value) = line.strip_prefix(label.as_bytes()) {
            record.changes.push((name, value));
            return ControlFlow::Break(());
        }
    }
    if record.groups.windows(8).any(|word| word == b"syscheck")
        && let Some(path) = line.strip_prefix(b"Integrity checksum changed for: '")
    {
        record.filename = Some(path.strip_suffix(b"'").unwrap_or(path));
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"junk\n** Alert 1700000007.8: mail  - syslog,sshd,\n\
        2023 Nov 14 22:13:27 host1->/var/log/auth.log\nRule: 5712 (level 10) -> 'SSHD brute 'force'.'\n\
        Src IP: 10.1.2.3\nUser: bob\nline one\nUser: later is log\n\n\
        ** Alert 1700000031.24: - ossec,syscheck,\n2023 Nov 14 22:13:51 h->syscheck\nRule: 550 (level 7) -> 'c'\n\
        Integrity checksum changed for: '/etc/hosts'\nSize changed from '1' to '2'\nOld md5sum was: 'x'\n\n\n";

    #[test]
    fn records_are_read_one_after_the_other() {
        let (first, used) = next(FILE).unwrap();
        assert_eq!(
            (first.id, first.mail, first.groups),
            (&b"1700000007.8"[..], true, &b" syslog,sshd,"[..])
        );
        assert_eq!(
            (first.rule, first.level, first.comment),
            (5712, 10, &b"SSHD brute 'force'."[..])
        );
        assert_eq!(
            (first.date, first.location),
            (&b"2023 Nov 14 22:13:27"[..], &b"host1->/var/log/auth.log"[..])
        );
        assert_eq!((first.srcip, first.user), (Some(&b"10.1.2.3"[..]), Some(&b"bob"[..])));
        assert_eq!(first.log, [&b"line one"[..], b"User: later is log"]);
        let (second, rest) = next(&FILE[used..]).unwrap();
        assert_eq!(second.filename, Some(&b"/etc/hosts"[..]));
        assert_eq!(second.changes, [("Size", &b"'1' to '2'"[..]), ("Old md5sum", b"'x'")]);
        assert_eq!(next(&FILE[used + rest..]), None);
    }

    #[test]
    fn a_file_cut_anywhere_never_yields_half_a_record() {
        let whole = next(FILE).unwrap().0;
        for end in 0..FILE.len() {
            if let Some((record, used)) = next(&FILE[..end]) {
                assert!(used <= end);
                assert_eq!(record, whole);
            }
        }
    }

    #[test]
    fn mutated_files_never_panic() {
        let mut seed = 7_u32;
        for _ in 0..20_000 {
            let mut file = FILE.to_vec();
            for _ in 0..3 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (seed >> 8) as usize % file.len();
                file[at] = (seed >> 24) as u8;
            }
            let mut rest = &file[..];
            while let Some((_, used)) = next(rest) {
                rest = &rest[used..];
            }
        }
    }
}
