//! The responses in force, on disk: `queue/execd/pending`. What execd has done outlives it, so what must be undone does too.
//!
//! Text, one change a line, the last one about a number counts:
//! `hold <number> <due, seconds since 1970> <timeout in seconds> <executable> <arguments>` and `done <number>`, for instance
//! `hold 17 1795219844 10 firewall-drop.sh - 10.1.1.1 1795219834.1 5716 web->/var/log/auth.log -`.
//! Lines are appended and synced before a script runs; a last line without its newline was never acted upon and is
//! ignored. At each start, and when it has grown, the file is written anew and renamed into place.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file longer than this is not ours.
const MAX_BYTES: u64 = 64 << 20;

/// The file is written anew when this much has been appended.
const COMPACT_AFTER_BYTES: u64 = 1 << 20;

/// One response in force, with its end on the calendar's clock (the other one does not outlive a reboot).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Name of the response; never used twice.
    pub number: u64,
    /// When it is to be taken back, in seconds since 1970.
    pub due_epoch: u64,
    /// How long it was to last.
    pub timeout: Duration,
    /// Script below `active-response/bin`; no space inside.
    pub executable: String,
    /// Arguments; no space or control byte inside.
    pub arguments: Vec<Vec<u8>>,
}

/// The open file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    appended_bytes: u64,
}

impl Journal {
    /// Reads what an earlier run has left behind (with the count of unreadable lines) and starts a fresh file with it.
    ///
    /// # Errors
    /// When the file can be neither read nor written.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Line>, usize)> {
        let (lines, unreadable) = match File::open(path) {
            Ok(file) => {
                let mut text = Vec::new();
                file.take(MAX_BYTES).read_to_end(&mut text)?;
                parse(&text)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), 0),
            Err(error) => return Err(error),
        };
        let file = write_anew(path, &lines)?;
        Ok((Self { path: path.to_owned(), file, appended_bytes: 0 }, lines, unreadable))
    }

    /// Notes that this response is in force, or that its end has moved; on disk when this returns.
    pub fn hold(&mut self, line: &Line) -> io::Result<()> {
        let mut text = Vec::new();
        render(line, &mut text);
        self.append(&text)
    }

    /// Notes that the response has been taken back.
    pub fn done(&mut self, number: u64) -> io::Result<()> {
        self.append(format!("done {number}\n").as_bytes())
    }

    /// Whether [`Journal::compact`] is worth its while.
    pub fn has_grown(&self) -> bool {
        self.appended_bytes > COMPACT_AFTER_BYTES
    }

    /// Writes the file anew with these responses alone.
    pub fn compact(&mut self, in_force: &[Line]) -> io::Result<()> {
        self.file = write_anew(&self.path, in_force)?;
        self.appended_bytes = 0;
        Ok(())
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        // A write cut short by a full disk would swallow the next line: begin each on a line of its own.
        if let Err(error) = self.file.write_all(text) {
            let _ = self.file.write_all(b"\n");
            return Err(error);
        }
        self.appended_bytes += text.len() as u64;
        self.file.sync_data()
    }
}

fn write_anew(path: &Path, lines: &[Line]) -> io::Result<File> {
    let mut text = Vec::new();
    for line in lines {
        render(line, &mut text);
    }
    let fresh = path.with_extension("new");
    let mut file =
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o640).open(&fresh)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    OpenOptions::new().append(true).open(path)
}

fn render(line: &Line, out: &mut Vec<u8>) {
    let head = format!(
        "hold {} {} {} {}",
        line.number,
        line.due_epoch,
        line.timeout.as_secs(),
        line.executable
    );
    out.extend_from_slice(head.as_bytes());
    for argument in &line.arguments {
        out.push(b' ');
        out.extend_from_slice(argument);
    }
    out.push(b'\n');
}

/// Reads the text of the file: what is still in force, in the order of the numbers, and how many lines made no sense.
pub fn parse(text: &[u8]) -> (Vec<Line>, usize) {
    let mut in_force = BTreeMap::new();
    let mut unreadable = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { continue };
        match parse_line(line) {
            Some(Change::Hold(held)) => {
                in_force.insert(held.number, held);
            }
            Some(Change::Done(number)) => {
                in_force.remove(&number);
            }
            None if line.is_empty() => {}
            None => unreadable += 1,
        }
    }
    (in_force.into_values().collect(), unreadable)
}

enum Change {
    Hold(Line),
    Done(u64),
}

fn parse_line(line: &[u8]) -> Option<Change> {
    let mut words = line.split(|&byte| byte == b' ');
    let kind = words.next()?;
    let number = decimal(words.next()?)?;
    match kind {
        b"done" if words.next().is_none() => Some(Change::Done(number)),
        b"hold" => {
            let due_epoch = decimal(words.next()?)?;
            let timeout = Duration::from_secs(decimal(words.next()?)?);
            let executable = std::str::from_utf8(words.next()?).ok()?.to_owned();
            let arguments: Vec<Vec<u8>> = words.map(<[u8]>::to_vec).collect();
            let usable =
                !executable.is_empty() && !executable.contains('/') && arguments.len() >= 2;
            let clean = !arguments.iter().flatten().any(u8::is_ascii_control);
            (usable && clean).then_some(Change::Hold(Line {
                number,
                due_epoch,
                timeout,
                executable,
                arguments,
            }))
        }
        _ => None,
    }
}

/// A plain decimal number, small enough that adding two of them never overflows.
fn decimal(word: &[u8]) -> Option<u64> {
    let number: u64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    (number <= u64::MAX / 4 && word.first()?.is_ascii_digit()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> Line {
        Line {
            number,
            due_epoch: 1_795_219_844,
            timeout: Duration::from_secs(10),
            executable: "firewall-drop.sh".into(),
            arguments: vec![
                b"-".to_vec(),
                b"10.1.1.1".to_vec(),
                b"".to_vec(),
                b"\xff\xfe".to_vec(),
            ],
        }
    }

    #[test]
    fn what_is_held_survives_and_what_is_done_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pending");
        let (mut journal, lines, _) = Journal::open(&path).unwrap();
        assert_eq!(lines, []);
        journal.hold(&line(1)).unwrap();
        journal.hold(&line(2)).unwrap();
        journal.done(1).unwrap();
        drop(journal);
        let (_, lines, unreadable) = Journal::open(&path).unwrap();
        assert_eq!((lines, unreadable), (vec![line(2)], 0));
    }

    #[test]
    fn a_restarted_timer_replaces_the_earlier_one() {
        let mut text = Vec::new();
        render(&line(5), &mut text);
        render(&Line { due_epoch: 9, ..line(5) }, &mut text);
        assert_eq!(parse(&text).0, [Line { due_epoch: 9, ..line(5) }]);
    }

    #[test]
    fn compacting_keeps_what_is_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pending");
        let (mut journal, ..) = Journal::open(&path).unwrap();
        for number in 0..100 {
            journal.hold(&line(number)).unwrap();
        }
        journal.compact(&[line(7)]).unwrap();
        journal.hold(&line(101)).unwrap();
        assert_eq!(Journal::open(&path).unwrap().1, [line(7), line(101)]);
    }

    #[test]
    fn every_truncation_keeps_the_whole_lines() {
        let mut text = Vec::new();
        render(&line(1), &mut text);
        let first = text.len();
        render(&line(2), &mut text);
        for len in 0..text.len() {
            let (lines, unreadable) = parse(&text[..len]);
            assert_eq!((lines.len(), unreadable), (usize::from(len >= first), 0), "{len}");
        }
    }

    #[test]
    fn mutations_never_panic_and_never_lead_elsewhere() {
        let mut text = Vec::new();
        render(&line(1), &mut text);
        text.extend_from_slice(b"done 3\n");
        let mut seed = 3u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut bytes = text.clone();
            let at = (seed >> 8) as usize % bytes.len();
            bytes[at] = (seed >> 24) as u8;
            assert!(parse(&bytes).0.iter().all(|line| !line.executable.contains('/')));
        }
    }
}
