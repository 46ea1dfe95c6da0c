//! Pre-decoding: takes date, host name and program name off the front of a line.
//!
//! `Nov 14 22:13:20 host1 sshd[100]: Failed password` has the host `host1`, the program `sshd`, the log `Failed password`.
//! Byte positions only, as the original does it: text of the right shape counts as a header, whatever its words say.
//! The first family whose shape fits wins; what fits none is all log.

use std::ops::Range;

/// Where the parts of a line lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) log: Range<usize>,
    pub(crate) hostname: Option<Range<usize>>,
    pub(crate) program_name: Option<Range<usize>>,
}

/// Takes the header of `line` apart.
pub(crate) fn predecode(line: &[u8]) -> Header {
    let shape = Shape::of(line);
    match family(&shape) {
        Family::Named { at } => names(line, at),
        Family::Bare { at } => bare(line.len(), at),
        Family::Bracketed => bracketed(line),
        Family::Squid => {
            let rest = line.get(14..).unwrap_or_default();
            let blanks = rest.iter().take_while(|&&byte| byte == b' ').count();
            bare(line.len(), 14 + blanks)
        }
    }
}

fn bare(len: usize, at: usize) -> Header {
    Header { log: at.min(len)..len, hostname: None, program_name: None }
}

/// What kind of header there is, and where it ends.
enum Family {
    /// Host and program follow.
    Named { at: usize },
    /// Only a date.
    Bare { at: usize },
    /// `[Time ...] [Sender ...] [Message ...]`
    Bracketed,
    /// Seconds with milliseconds, then blanks.
    Squid,
}

/// A line as position tests see it: a German `Mär` counts as `Mar`.
struct Shape<'a> {
    line: &'a [u8],
    umlaut: bool,
}

impl<'a> Shape<'a> {
    fn of(line: &'a [u8]) -> Self {
        Self { line, umlaut: line.get(1..3) == Some(&[0xc3, 0xa4]) }
    }

    fn byte(&self, index: usize) -> u8 {
        let index = match (self.umlaut, index) {
            (true, 1) => return b'a',
            (true, 2..) => index + 1,
            _ => index,
        };
        self.line.get(index).copied().unwrap_or(0)
    }

    /// More than `length` bytes, the closing NUL of the original counted.
    fn longer(&self, length: usize) -> bool {
        self.line.len() - usize::from(self.umlaut) >= length
    }

    fn has(&self, wanted: u8, indices: &[usize]) -> bool {
        indices.iter().all(|&index| self.byte(index) == wanted)
    }

    fn digit(&self, index: usize) -> bool {
        self.byte(index).is_ascii_digit()
    }
}

fn family(line: &Shape<'_>) -> Family {
    if line.longer(17) && line.has(b' ', &[3, 6, 15]) && line.has(b':', &[9, 12]) {
        return Family::Named { at: 16 };
    }
    if line.longer(24)
        && line.has(b'-', &[4, 7])
        && line.has(b' ', &[10])
        && line.has(b':', &[13, 16])
        && line.has(b',', &[19])
    {
        return Family::Named { at: 23 };
    }
    if let Some(at) = iso(line) {
        return Family::Named { at };
    }
    if line.longer(21)
        && line.digit(0)
        && line.has(b' ', &[4, 8, 11, 20])
        && line.has(b':', &[14, 17])
    {
        return Family::Named { at: 21 };
    }
    if line.longer(20) && line.digit(0) && line.has(b':', &[4, 7, 13, 16]) && line.has(b'-', &[10])
    {
        return Family::Named { at: 20 };
    }
    dated(line)
}

/// `2023-11-14T22:13:20+01:00 `, also with a fraction of a second.
fn iso(line: &Shape<'_>) -> Option<usize> {
    let date = line.longer(33)
        && line.has(b'-', &[4, 7])
        && line.has(b'T', &[10])
        && line.has(b':', &[13, 16]);
    if !date {
        return None;
    }
    if line.has(b':', &[22]) && line.has(b' ', &[25]) {
        return Some(26);
    }
    if !matches!(line.byte(19), b'.' | b',') {
        return None;
    }
    (24..=29).find(|&index| line.byte(index) == b':').map(|colon| colon + 3)
}

/// The families without names.
fn dated(line: &Shape<'_>) -> Family {
    let xferlog =
        line.longer(28) && line.has(b' ', &[3, 7, 10, 19, 24, 26]) && line.has(b':', &[13, 16]);
    if xferlog {
        return Family::Bare { at: 24 };
    }
    let snort = line.longer(24)
        && line.has(b'/', &[2])
        && line.has(b'-', &[5])
        && line.has(b':', &[8, 11])
        && line.has(b'.', &[14])
        && line.has(b' ', &[21]);
    if snort {
        return Family::Bare { at: 23 };
    }
    let suricata = line.longer(26)
        && line.has(b'/', &[2, 5])
        && line.has(b'-', &[10])
        && line.has(b':', &[13, 16])
        && line.has(b'.', &[19])
        && line.has(b' ', &[26]);
    if suricata {
        return Family::Bare { at: 28 };
    }
    let opens = line.longer(27) && line.has(b'[', &[0]);
    if opens
        && line.has(b' ', &[4, 8, 11, 20])
        && line.has(b':', &[14, 17])
        && line.has(b']', &[25])
    {
        return Family::Bare { at: 27 };
    }
    let osx = line.longer(26)
        && line.has(b'[', &[0])
        && line.has(b'T', &[1])
        && line.has(b' ', &[5, 16])
        && line.has(b'.', &[10, 13])
        && line.has(b':', &[19]);
    if osx {
        return Family::Bracketed;
    }
    let squid = line.longer(32)
        && line.has(b'1', &[0])
        && [1, 2, 3, 13].into_iter().all(|index| line.digit(index))
        && line.has(b'.', &[10])
        && line.has(b' ', &[14])
        && (line.has(b' ', &[21]) || line.has(b' ', &[22]));
    if squid { Family::Squid } else { Family::Bare { at: 0 } }
}

/// Reads host and program, which begin at `at` or one blank later.
pub(crate) fn names(line: &[u8], at: usize) -> Header {
    let at = at.min(line.len());
    let at = if line.get(at) == Some(&b' ') { at + 1 } else { at };
    let first = name_run(line, at);
    let mut header = bare(line.len(), at);
    match (line.get(first.end), line.get(first.end + 1)) {
        (Some(b':'), Some(b' ')) => {
            header.log.start = behind_message_id(line, first.end + 2);
            header.program_name = Some(first);
        }
        (Some(b' '), _) => {
            header.log.start = first.end + 1;
            header.hostname = Some(first);
            if let Some((program, log)) = program(line, header.log.start) {
                header.log.start = behind_message_id(line, log);
                header.program_name = Some(program);
            }
        }
        _ => {}
    }
    header
}

/// A program name at `at`, and where the log behind it begins.
fn program(line: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let name = name_run(line, at);
    if let Some(log) = behind_program(line, name.end) {
        return Some((name, log));
    }
    let inner = behind_facility(line, name.end)?;
    let name = name_run(line, inner);
    let log = behind_program(line, name.end)?;
    Some((name, log))
}

/// Past `: `, `[123]: ` or `[123] `.
fn behind_program(line: &[u8], at: usize) -> Option<usize> {
    let rest = line.get(at..)?;
    if rest.starts_with(b": ") {
        return Some(at + 2);
    }
    let digits = rest.strip_prefix(b"[")?;
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let close = digits.get(count..)?;
    match count {
        0 => None,
        _ if close.starts_with(b"]: ") => Some(at + count + 4),
        _ if close.starts_with(b"] ") => Some(at + count + 3),
        _ => None,
    }
}

/// Past the rest of AIX's `auth|security:info `.
fn behind_facility(line: &[u8], at: usize) -> Option<usize> {
    let rest = line.get(at..)?.strip_prefix(b"|")?;
    if !rest.first()?.is_ascii_lowercase() {
        return None;
    }
    let words = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let severity = rest.get(words..)?.strip_prefix(b":")?;
    let letters = severity.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    (severity.get(letters) == Some(&b' ')).then_some(at + 1 + words + 1 + letters + 1)
}

/// Past Solaris's `[ID 702911 auth.info] `.
fn behind_message_id(line: &[u8], at: usize) -> usize {
    let rest = line.get(at..).unwrap_or_default();
    if !rest.starts_with(b"[ID ") {
        return at;
    }
    rest.windows(2).position(|pair| pair == b"] ").map_or(at, |close| at + close + 2)
}

fn name_run(line: &[u8], at: usize) -> Range<usize> {
    let rest = line.get(at..).unwrap_or_default();
    at..at + rest.iter().take_while(|&&byte| is_name_byte(byte)).count()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"()-./@_".contains(&byte)
}

/// Walks the groups of an OSX line; later groups of a kind are ignored, the host ends the walk.
fn bracketed(line: &[u8]) -> Header {
    let mut header = bare(line.len(), 25);
    let mut message = false;
    let mut at = 25;
    while let Some(open) = find(line, at, b'[') {
        let inner = open + 1;
        let Some(close) = find(line, inner, b']') else { break };
        let group = line.get(inner..close).unwrap_or_default();
        if group.starts_with(b"Sender ") && header.program_name.is_none() {
            header.program_name = Some(inner + 7..close);
        } else if group.starts_with(b"Message ") && !message {
            header.log = inner + 8..close;
            message = true;
        } else if group.starts_with(b"Host ") {
            header.hostname = Some(inner + 5..close);
            break;
        }
        at = close + 1;
    }
    header
}

fn find(line: &[u8], from: usize, byte: u8) -> Option<usize> {
    memchr::memchr(byte, line.get(from..)?).map(|found| from + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> (Option<&str>, Option<&str>, &str) {
        let header = predecode(line.as_bytes());
        (
            header.hostname.map(|r| &line[r]),
            header.program_name.map(|r| &line[r]),
            &line[header.log],
        )
    }

    #[test]
    fn a_syslog_header_names_host_and_program() {
        assert_eq!(
            parts("Nov 14 22:13:20 host1 sshd[100]: Failed password"),
            (Some("host1"), Some("sshd"), "Failed password")
        );
        assert_eq!(parts("Nov 14 22:13:20  h su: x y"), (Some("h"), Some("su"), "x y"));
    }

    #[test]
    fn other_dates_lead_to_the_same_names() {
        for date in [
            "2023-11-14T22:13:20+01:00 ",
            "2023-11-14T22:13:20.123456+01:00 ",
            "2023 Nov 14 22:13:20 ",
            "2023-11-14 22:13:20,123 ",
        ] {
            let line = format!("{date}host1 sshd[1]: some words");
            assert_eq!(parts(&line), (Some("host1"), Some("sshd"), "some words"), "{date}");
        }
    }

    #[test]
    fn a_solaris_message_id_is_no_part_of_the_log() {
        assert_eq!(
            parts("Nov 14 22:13:20 h sshd[1]: [ID 702911 auth.info] hello"),
            (Some("h"), Some("sshd"), "hello")
        );
    }

    #[test]
    fn aix_names_the_program_behind_the_facility() {
        assert_eq!(
            parts("Nov 14 22:13:20 h auth|security:info sshd[1]: hello"),
            (Some("h"), Some("sshd"), "hello")
        );
    }

    #[test]
    fn cut_lines_and_random_bytes_never_panic() {
        let lines: [&[u8]; 4] = [
            b"Nov 14 22:13:20 h auth|security:info sshd[1]: [ID 1 x] hello",
            b"[Time 2006.12.28 15:53:55 UTC] [Sender sshd] [Message m] [Host h] x",
            b"1140804070.368  11623 192.168.1.102 TCP_MISS/304",
            "M\u{e4}r 14 22:13:20 h sshd[1]: hello hello".as_bytes(),
        ];
        let mut seed = 1_u32;
        for line in lines {
            for end in 0..=line.len() {
                predecode(&line[..end]);
            }
            for _ in 0..5000 {
                let mut line = line.to_vec();
                for _ in 0..4 {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let at = (seed >> 8) as usize % line.len();
                    line[at] = b" :[]-.,|Ta1\xff"[(seed >> 24) as usize % 12];
                }
                let header = predecode(&line);
                assert!(header.log.start <= header.log.end && header.log.end <= line.len());
            }
        }
    }
}
