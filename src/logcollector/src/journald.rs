//! `journald`: the system's journal, through `journalctl -o export --follow`, from where we left off.
//!
//! The location says what to read: `all`, an identifier (`sshd`), or the folder of a journal (`/var/log/journal/remote`). An
//! event is `2026-11-21T00:10:34+01:00 host identifier: message` with location `journald`. (The original writes minutes of the
//! zone as `00` always, and a newline at the end; we write the zone as it is, and no newline.)

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::process::Command;
use std::time::{Duration, Instant};

use ipc::Full;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::strtime};
use wire::{Event, Kind};

use crate::child::{Output, Running};
use crate::export::{Entry, Reader};
use crate::journal::Key;
use crate::ledger::Place;
use crate::outbox::Outbox;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LAST_DELAY: Duration = Duration::from_secs(60);
/// A journalctl that lived so long was well: the next one may start soon.
const WELL_AFTER: Duration = Duration::from_secs(60);
const MAX_READY: usize = 1024;
const NAME: &[u8] = b"journald";

/// A journal of the configuration.
#[derive(Debug)]
pub(crate) struct JournalSource {
    location: String,
    key: Key,
    cursor: String,
    zone: TimeZone,
    reader: Reader,
    running: Option<(Running, Instant)>,
    start_at: Instant,
    delay: Duration,
    complained: bool,
    ready: VecDeque<Entry>,
}

impl JournalSource {
    /// Reads on after `cursor`; an empty one means only what is new.
    pub(crate) fn new(location: &str, key: Key, cursor: String, now: Instant) -> Self {
        Self {
            location: location.to_owned(),
            key,
            cursor,
            zone: TimeZone::system(),
            reader: Reader::default(),
            running: None,
            start_at: now,
            delay: FIRST_DELAY,
            complained: false,
            ready: VecDeque::new(),
        }
    }

    /// The location of the configuration.
    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// The positions' key.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// When something is to be done at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.running.is_none().then_some(self.start_at)
    }

    /// Its output, while we want to read it.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        let wants = self.ready.len() < MAX_READY;
        self.running.as_ref().filter(|_| wants).and_then(|(program, _)| program.fd())
    }

    /// Entries that are not handed over.
    pub(crate) fn pending(&self) -> u64 {
        self.ready.len() as u64
    }

    /// Starts journalctl when it does not run, and takes what it says.
    pub(crate) fn work(
        &mut self,
        buffer: &mut [u8],
        now: Instant,
        outbox: &mut Outbox,
    ) -> Result<(), Full> {
        if self.running.is_none() && now >= self.start_at && self.ready.is_empty() {
            self.start(now);
        }
        self.read(buffer, now, outbox);
        while let Some(entry) = self.ready.front() {
            let place = Place::Cursor(String::from_utf8_lossy(&entry.cursor).into_owned());
            match text(entry, &self.zone) {
                Some(payload) => {
                    let event = Event { kind: Kind::Log, location: NAME, payload: &payload };
                    outbox.hand_over(&event, Some((self.key, place.clone())))?;
                }
                None => outbox.counts.filtered += 1,
            }
            if let Place::Cursor(cursor) = place
                && !cursor.is_empty()
            {
                self.cursor = cursor;
            }
            self.ready.pop_front();
        }
        Ok(())
    }

    fn start(&mut self, now: Instant) {
        self.reader = Reader::default();
        match Running::start(&mut journalctl(&self.location, &self.cursor)) {
            Ok(program) => self.running = Some((program, now)),
            Err(error) => self.retry(&format!("journalctl cannot be started ({error})"), now),
        }
    }

    fn read(&mut self, buffer: &mut [u8], now: Instant, outbox: &mut Outbox) {
        while self.ready.len() < MAX_READY {
            let Some((program, since)) = &mut self.running else { return };
            match program.read(buffer) {
                Output::Some(count) => {
                    let mut entries = Vec::new();
                    self.reader.feed(buffer.get(..count).unwrap_or_default(), &mut entries);
                    outbox.counts.received += entries.len() as u64;
                    self.ready.extend(entries);
                }
                Output::None => return,
                Output::End => {
                    if now.duration_since(*since) >= WELL_AFTER {
                        self.delay = FIRST_DELAY;
                        self.complained = false;
                    }
                    self.running = None;
                    return self.retry("journalctl ended", now);
                }
            }
        }
    }

    fn retry(&mut self, why: &str, now: Instant) {
        if !self.complained {
            self.complained = true;
            log::warn!(
                "journald '{}': {why}; it is tried again, after {} s at the most (said once)",
                self.location,
                LAST_DELAY.as_secs()
            );
        }
        self.start_at = now + self.delay;
        self.delay = (self.delay * 2).min(LAST_DELAY);
    }
}

fn journalctl(location: &str, cursor: &str) -> Command {
    let mut command = Command::new("journalctl");
    command.args(["--output=export", "--follow", "--quiet"]);
    if location.starts_with('/') {
        command.arg(format!("--directory={location}"));
    } else if location != "all" {
        command.arg(format!("--identifier={location}"));
    }
    if cursor.is_empty() {
        command.arg("--lines=0");
    } else {
        command.args(["--no-tail", &format!("--after-cursor={cursor}")]);
    }
    command
}

/// The event's text; `None` for an entry without a message.
fn text(entry: &Entry, zone: &TimeZone) -> Option<Vec<u8>> {
    let message = entry.message.as_ref()?;
    let micros: i64 = std::str::from_utf8(&entry.time).ok()?.parse().ok()?;
    let time = Timestamp::from_microsecond(micros).ok()?.to_zoned(zone.clone());
    let time = strtime::format("%Y-%m-%dT%H:%M:%S%:z", &time).ok()?;
    let program = [&entry.identifier, &entry.command].into_iter().find(|name| !name.is_empty());
    let program = program.map_or(&b"unknown"[..], Vec::as_slice);
    Some([time.as_bytes(), b" ", &entry.host, b" ", program, b": ", message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_becomes_a_line_with_an_iso_time() {
        let entry = Entry {
            cursor: b"s=1".to_vec(),
            time: b"1795219834000000".to_vec(),
            host: b"web01".to_vec(),
            identifier: b"sshd".to_vec(),
            command: b"ignored".to_vec(),
            message: Some(b"Failed password".to_vec()),
        };
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let line = text(&entry, &zone).unwrap();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "2026-11-21T01:10:34+01:00 web01 sshd: Failed password"
        );
        assert_eq!(text(&Entry { message: None, ..entry }, &zone), None);
    }

    #[test]
    fn the_location_says_what_journalctl_reads() {
        let arguments = |location, cursor| {
            let command = journalctl(location, cursor);
            command.get_args().map(|a| a.to_str().unwrap().to_owned()).skip(3).collect::<Vec<_>>()
        };
        assert_eq!(arguments("all", ""), ["--lines=0"]);
        assert_eq!(
            arguments("sshd", "s=1"),
            ["--identifier=sshd", "--no-tail", "--after-cursor=s=1"]
        );
        assert_eq!(
            arguments("/var/log/journal", ""),
            ["--directory=/var/log/journal", "--lines=0"]
        );
    }
}
