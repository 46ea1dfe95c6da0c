//! `syslog-pipe`: a named pipe into which a syslog daemon writes lines.
//!
//! A pipe has no positions: what was read from it and not yet sent when we are killed is lost. While the queue is full it is
//! not read, and its writer waits.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use ipc::Full;
use settings::LogFormat;
use wire::Event;

use crate::format::{About, Record, Records, for_file};
use crate::line::LineBuffer;
use crate::outbox::{Outbox, location_field};

const RETRY: Duration = Duration::from_secs(5);

/// A named pipe.
#[derive(Debug)]
pub(crate) struct PipeSource {
    path: String,
    field: Vec<u8>,
    file: Option<File>,
    retry_at: Option<Instant>,
    complained: bool,
    lines: LineBuffer,
    ready: VecDeque<Record>,
}

impl PipeSource {
    /// A pipe at this path, to be opened.
    pub(crate) fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            field: location_field(path.as_bytes()),
            file: None,
            retry_at: None,
            complained: false,
            lines: LineBuffer::at(0),
            ready: VecDeque::new(),
        }
    }

    /// When something is to be done at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// The pipe, while we want to read it.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().filter(|_| self.ready.is_empty()).map(AsFd::as_fd)
    }

    /// Lines that are not handed over.
    pub(crate) fn pending(&self) -> u64 {
        self.ready.len() as u64
    }

    /// Opens the pipe when it is not open, and takes what is in it.
    pub(crate) fn work(
        &mut self,
        buffer: &mut [u8],
        now: Instant,
        outbox: &mut Outbox,
    ) -> Result<(), Full> {
        if self.file.is_none() && self.retry_at.is_none_or(|at| at <= now) {
            self.open(now);
        }
        self.hand_over(outbox)?;
        let count = match self.file.as_mut().map(|file| file.read(buffer)) {
            Some(Ok(count)) => count,
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                self.file = None;
                return Ok(());
            }
            _ => return Ok(()),
        };
        let about = About { path: self.path.as_bytes(), host: b"" };
        let Ok(Some(mut format)) = for_file(LogFormat::SyslogPipe, about) else { return Ok(()) };
        let mut out = Records::default();
        self.lines.feed(buffer.get(..count).unwrap_or_default(), format.as_mut(), &mut out);
        outbox.counts.received += out.ready.len() as u64 + out.filtered;
        outbox.counts.filtered += out.filtered;
        self.ready.extend(out.ready);
        self.hand_over(outbox)
    }

    fn hand_over(&mut self, outbox: &mut Outbox) -> Result<(), Full> {
        while let Some(record) = self.ready.front() {
            let event =
                Event { kind: record.kind, location: &self.field, payload: &record.payload };
            outbox.hand_over(&event, None)?;
            self.ready.pop_front();
        }
        Ok(())
    }

    fn open(&mut self, now: Instant) {
        match open(&self.path) {
            Ok(file) => {
                (self.file, self.retry_at, self.complained) = (Some(file), None, false);
            }
            Err(error) => {
                self.retry_at = Some(now + RETRY);
                if !self.complained {
                    self.complained = true;
                    log::error!(
                        "(1103) Could not open file '{}' due to [{}].",
                        self.path,
                        runtime::errno(&error)
                    );
                }
            }
        }
    }
}

/// Opened for writing too, so that there is always a writer and the pipe never ends.
fn open(path: &str) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        Ok(file)
    } else {
        Err(io::Error::other("not a named pipe"))
    }
}
