//! `command` and `full_command`: a command's output as events, every so often.
//!
//! `command`: one event a line, `ossec: output: 'LABEL': LINE`. `full_command`: one event, `ossec: output: 'LABEL':` and a
//! newline, then the whole output, at most 5632 bytes, without carriage returns, runs of newlines made one, the last one gone. The
//! label is the alias or the command. (host-daemons 8.4.)
//!
//! A command runs beside everything else; one that takes too long is killed with all that it started.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::process::Command;
use std::time::{Duration, Instant};

use ipc::Full;
use settings::{LocalFile, LogFormat};
use wire::{Event, Kind};

use crate::child::{Output, Running};
use crate::format::MAX_LINE;
use crate::outbox::{Outbox, location_field};

const MAX_LABEL: usize = 255;
const MAX_FULL_OUTPUT: usize = 5632;
/// No command is killed sooner than this.
const LEAST_LIMIT: Duration = Duration::from_secs(30);
/// Events of one run that are kept at the most; while so many wait, the output is not read further.
const MAX_READY: usize = 1024;

/// A command of the configuration.
#[derive(Debug)]
pub(crate) struct CommandSource {
    command: String,
    label: Vec<u8>,
    location: Vec<u8>,
    full: bool,
    frequency: Duration,
    limit: Duration,
    due: Instant,
    running: Option<Run>,
    ready: VecDeque<Vec<u8>>,
}

#[derive(Debug)]
struct Run {
    program: Running,
    started: Instant,
    text: Vec<u8>,
    closed: bool,
    late: bool,
}

impl CommandSource {
    /// Runs one period from now, and every period after that. `None` without a command.
    pub(crate) fn new(entry: &LocalFile, now: Instant) -> Option<Self> {
        let command = entry.command.clone()?;
        let label = match &entry.alias {
            Some(alias) => location_field(alias.as_bytes()),
            None => command.clone().into_bytes(),
        };
        let frequency = entry.frequency;
        Some(Self {
            location: location_field(&label),
            label: label[..label.len().min(MAX_LABEL)].to_vec(),
            command,
            full: entry.format == LogFormat::FullCommand,
            frequency,
            limit: frequency.max(LEAST_LIMIT),
            due: now + frequency,
            running: None,
            ready: VecDeque::new(),
        })
    }

    /// As the start-up line has it.
    pub(crate) fn description(&self) -> String {
        let what = if self.full { "full output" } else { "output" };
        format!("Monitoring {what} of command({}): {}", self.frequency.as_secs(), self.command)
    }

    /// When something is to be done at the latest.
    pub(crate) fn deadline(&self) -> Instant {
        match &self.running {
            // Asked again soon: its output is closed, but it has not ended yet, and that is not signalled here.
            Some(run) if run.closed || run.late => Instant::now() + Duration::from_millis(100),
            Some(run) => run.started + self.limit,
            None => self.due,
        }
    }

    /// Its output, while we want to read it.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        let wants = self.ready.len() < MAX_READY;
        self.running.as_ref().filter(|_| wants).and_then(|run| run.program.fd())
    }

    /// Events that are not handed over.
    pub(crate) fn pending(&self) -> u64 {
        self.ready.len() as u64
    }

    /// Starts it when it is due, reads its output, kills it when it is late.
    pub(crate) fn work(
        &mut self,
        buffer: &mut [u8],
        now: Instant,
        outbox: &mut Outbox,
    ) -> Result<(), Full> {
        if self.running.is_none() && self.ready.is_empty() && now >= self.due {
            self.start(now);
        }
        self.watch_time(now);
        self.read(buffer, outbox);
        self.reap(outbox);
        while let Some(payload) = self.ready.front() {
            outbox
                .hand_over(&Event { kind: Kind::Log, location: &self.location, payload }, None)?;
            self.ready.pop_front();
        }
        Ok(())
    }

    fn start(&mut self, now: Instant) {
        self.due = now + self.frequency;
        log::debug!("running '{}'", self.command);
        match Running::start(Command::new("sh").arg("-c").arg(&self.command)) {
            Ok(program) => {
                self.running = Some(Run {
                    program,
                    started: now,
                    text: Vec::new(),
                    closed: false,
                    late: false,
                });
            }
            Err(error) => log::error!("Unable to execute command: '{}'. ({error})", self.command),
        }
    }

    fn watch_time(&mut self, now: Instant) {
        let limit = self.limit;
        let Some(run) = self.running.as_mut().filter(|run| !run.late && now >= run.started + limit)
        else {
            return;
        };
        run.late = true;
        run.program.kill();
        log::warn!(
            "command '{}' did not end within {} s and was killed; its output up to then is kept",
            self.command,
            limit.as_secs()
        );
    }

    fn read(&mut self, buffer: &mut [u8], outbox: &mut Outbox) {
        while self.ready.len() < MAX_READY {
            let Some(run) = &mut self.running else { return };
            match run.program.read(buffer) {
                Output::Some(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    if self.full {
                        run.add_to_text(bytes);
                    } else {
                        run.text.extend_from_slice(bytes);
                        self.take_lines(outbox);
                    }
                }
                Output::None => return,
                Output::End => {
                    run.closed = true;
                    return;
                }
            }
        }
    }

    fn take_lines(&mut self, outbox: &mut Outbox) {
        let Some(run) = &mut self.running else { return };
        let mut start = 0;
        loop {
            let rest = run.text.get(start..).unwrap_or_default();
            let (end, next) = match memchr::memchr(b'\n', rest.get(..MAX_LINE + 1).unwrap_or(rest))
            {
                Some(at) => (at, at + 1),
                None if rest.len() > MAX_LINE => (MAX_LINE, MAX_LINE),
                None => break,
            };
            self.ready.push_back(with_label(&self.label, b" ", &rest[..end]));
            outbox.counts.received += 1;
            start += next;
        }
        run.text.drain(..start);
    }

    /// Gives out what is left when the command has ended.
    fn reap(&mut self, outbox: &mut Outbox) {
        let Some(run) = self.running.as_mut().filter(|run| run.closed || run.late) else { return };
        if !run.program.has_ended() {
            return;
        }
        let text = std::mem::take(&mut run.text);
        self.running = None;
        let last = if self.full { full_text(&text) } else { text };
        if !last.is_empty() {
            let separator: &[u8] = if self.full { b"\n" } else { b" " };
            self.ready.push_back(with_label(&self.label, separator, &last));
            outbox.counts.received += 1;
        }
    }
}

impl Run {
    /// What counts for a whole output; carriage returns and doubled newlines are gone before the limit applies.
    fn add_to_text(&mut self, bytes: &[u8]) {
        for &b in bytes {
            let is_doubled = b == b'\n' && self.text.last() == Some(&b'\n');
            if b != b'\r' && !is_doubled && self.text.len() < MAX_FULL_OUTPUT {
                self.text.push(b);
            }
        }
    }
}

fn full_text(text: &[u8]) -> Vec<u8> {
    text.strip_suffix(b"\n").unwrap_or(text).to_vec()
}

fn with_label(label: &[u8], separator: &[u8], text: &[u8]) -> Vec<u8> {
    [b"ossec: output: '", label, b"':", separator, text].concat()
}
