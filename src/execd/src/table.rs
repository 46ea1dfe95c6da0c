//! The table of responses: `etc/shared/ar.conf`, which analysisd writes from ossec.conf at its start.
//!
//! One line each: `<name> - <executable> - <timeout in seconds>`, for instance
//! `firewall-drop600 - firewall-drop.sh - 600`. The name already contains the timeout.

use std::time::Duration;

/// Most lines that are used.
pub const MAX_ENTRIES: usize = 64;

/// One response that analysisd may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What orders call it.
    pub name: Vec<u8>,
    /// File name below `active-response/bin`: no folder, no space.
    pub executable: String,
    /// After how long it is taken back; zero: never.
    pub timeout: Duration,
}

/// A line of ar.conf that is not used.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from one.
    pub line: usize,
    /// What is wrong with it.
    pub kind: FaultKind,
}

/// What can be wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Not of the shape `<name> - <executable> - <timeout>`.
    Malformed,
    /// The executable is to be found elsewhere (`..`, `/`): an attack, or a misunderstanding.
    Elsewhere(String),
    /// Beyond [`MAX_ENTRIES`].
    TooMany,
}

/// Reads the whole file. Bad lines are reported, the others count; of two with one name the first does.
pub fn parse(text: &[u8]) -> (Vec<Entry>, Vec<Fault>) {
    let mut entries: Vec<Entry> = Vec::new();
    let mut faults = Vec::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match parse_line(line) {
            Ok(entry) if entries.iter().any(|known| known.name == entry.name) => {}
            Ok(_) if entries.len() >= MAX_ENTRIES => {
                faults.push(Fault { line: index + 1, kind: FaultKind::TooMany });
                break;
            }
            Ok(entry) => entries.push(entry),
            Err(kind) => faults.push(Fault { line: index + 1, kind }),
        }
    }
    (entries, faults)
}

fn parse_line(line: &[u8]) -> Result<Entry, FaultKind> {
    let line = std::str::from_utf8(line).map_err(|_| FaultKind::Malformed)?;
    let mut parts = line.split(" - ");
    let (Some(name), Some(executable), Some(timeout), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(FaultKind::Malformed);
    };
    let is_word = |word: &str| {
        !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if !is_word(name) || !is_word(executable) {
        return Err(FaultKind::Malformed);
    }
    if executable.contains('/') || executable == ".." || executable == "." {
        return Err(FaultKind::Elsewhere(executable.to_owned()));
    }
    let seconds: u32 = timeout.trim().parse().map_err(|_| FaultKind::Malformed)?;
    Ok(Entry {
        name: name.as_bytes().to_vec(),
        executable: executable.to_owned(),
        timeout: Duration::from_secs(seconds.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] =
        b"firewall-drop600 - firewall-drop.sh - 600\nrestart-ossec0 - restart-ossec.sh - 0\n";

    #[test]
    fn lines_become_entries_in_their_order() {
        let (entries, faults) = parse(GOOD);
        assert_eq!(faults, []);
        assert_eq!(entries[0].name, b"firewall-drop600");
        assert_eq!(entries[0].executable, "firewall-drop.sh");
        assert_eq!(entries[0].timeout, Duration::from_secs(600));
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn the_first_of_two_with_one_name_counts() {
        let (entries, faults) = parse(b"r0 - r.sh - 0\nr0 - r.cmd - 0\n");
        assert_eq!((entries.len(), faults.len()), (1, 0));
        assert_eq!(entries[0].executable, "r.sh");
    }

    #[test]
    fn a_bad_line_is_reported_and_the_rest_is_used() {
        let (entries, faults) =
            parse(b"badline\na - b - x\n\nok0 - ok.sh - 0\na -  - 1\na - my script.sh - 1\n");
        assert_eq!(entries.len(), 1);
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 2, 5, 6]);
    }

    #[test]
    fn an_executable_elsewhere_is_refused() {
        for line in ["evil0 - ../../bin/sh - 0", "evil0 - /bin/sh - 0", "evil0 - .. - 0"] {
            let (entries, faults) = parse(line.as_bytes());
            assert!(entries.is_empty(), "{line}");
            assert!(matches!(faults[0].kind, FaultKind::Elsewhere(_)), "{line}");
        }
    }

    #[test]
    fn at_most_64_entries_are_used() {
        let text: String = (0..100).map(|i| format!("c{i} - c.sh - 0\n")).collect();
        let (entries, faults) = parse(text.as_bytes());
        assert_eq!(entries.len(), MAX_ENTRIES);
        assert_eq!(faults, [Fault { line: 65, kind: FaultKind::TooMany }]);
    }

    #[test]
    fn every_truncation_and_mutation_is_read_without_panic() {
        for len in 0..GOOD.len() {
            let _ = parse(&GOOD[..len]);
        }
        let mut seed = 7u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut bytes = GOOD.to_vec();
            let at = (seed >> 8) as usize % bytes.len();
            bytes[at] = (seed >> 24) as u8;
            assert!(parse(&bytes).0.iter().all(|entry| !entry.executable.contains('/')));
        }
    }
}
