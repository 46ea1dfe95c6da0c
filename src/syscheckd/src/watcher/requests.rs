//! What others ask of us: the manager for a digest or for files once more ([`fim::digest`]), tools for a scan or a pause.
//!
//! One datagram a request: `digest`, `resend 17,203`, `scan`, `pause`, `resume`. A manager that asks for a digest is one of ours, and gets
//! differences only from then on; to any other everything is told once more after each start, as OSSEC's agents do.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use fim::digest::{self, Answer, Buckets, Collector, Request};

use super::Watcher;
use super::message::Message;
use crate::baseline::Baseline;

/// Number of whole scans since the manager asked last, in the baseline.
const UNASKED: &str = "unasked";
/// After so many whole scans without a question the manager is none of ours (any more).
const PATIENCE: u8 = 3;
/// One digest in this time.
const DIGEST_EVERY: Duration = Duration::from_secs(10);
/// Files told once more in one turn.
const AT_ONCE: usize = 8192;
/// Longest request.
const MAX_REQUEST: usize = 4096;
/// Requests taken in one turn.
const PER_TURN: usize = 16;

/// Notes that the manager is one of ours, as a question of its would.
pub fn manager_is_ours(baseline: &mut Baseline) {
    baseline.remember(UNASKED, &[0]);
}

/// A path and its sum.
type Listed = (Vec<u8>, Vec<u8>);

/// What is asked and not answered yet.
#[derive(Debug, Default)]
pub(super) struct Requests {
    digest: bool,
    digest_told: Option<Instant>,
    buckets: VecDeque<u8>,
    /// Folders whose files are told once more.
    folders: VecDeque<Vec<u8>>,
}

impl Requests {
    pub(super) fn is_empty(&self) -> bool {
        !self.digest && self.buckets.is_empty() && self.folders.is_empty()
    }
}

impl Watcher {
    /// Takes the requests that have come.
    pub(super) fn hear(&mut self) {
        let Some(socket) = &self.control else { return };
        let mut heard = Vec::new();
        let mut buffer = [0; MAX_REQUEST];
        for _ in 0..PER_TURN {
            match socket.recv(&mut buffer) {
                Ok(len) => heard.push(buffer.get(..len).unwrap_or_default().to_vec()),
                Err(_) => break,
            }
        }
        for request in heard {
            self.take_request(request.trim_ascii());
        }
    }

    fn take_request(&mut self, request: &[u8]) {
        match (request, Request::parse(request)) {
            (_, Some(Request::Digest)) => {
                manager_is_ours(&mut self.baseline);
                self.requests.digest = true;
            }
            (_, Some(Request::Resend(buckets))) => self.ask_for(&buckets),
            (b"scan", _) => {
                self.requested = true;
                self.run_asked = true;
            }
            (b"pause", _) => {
                log::info!("Scans paused by request; changes in realtime are told as ever.");
                self.worker.pause(true);
            }
            (b"resume", _) => {
                log::info!("Scans go on by request.");
                self.worker.pause(false);
            }
            _ => log::warn!(
                "Request '{}' not understood: digest, resend, scan, pause and resume are.",
                String::from_utf8_lossy(&fim::path::printable(request))
            ),
        }
    }

    fn ask_for(&mut self, buckets: &Buckets) {
        for bucket in buckets.iter() {
            if !self.requests.buckets.contains(&bucket) {
                self.requests.buckets.push_back(bucket);
            }
        }
    }

    /// Whether the manager is one of ours, as far as we know.
    pub(super) fn is_managers_baseline_known(&self) -> bool {
        let unasked = self.baseline.recall(UNASKED).and_then(|count| count.first().copied());
        unasked.is_some_and(|unasked| unasked < PATIENCE)
    }

    /// A manager that is none of ours is told everything once more.
    pub(super) fn tell_all_if_classic(&mut self) {
        if self.is_managers_baseline_known() || self.baseline.is_empty() {
            return;
        }
        if let Ok(reader) = self.baseline.reader() {
            self.requests.folders = reader.folders_below(b"/").into();
        }
    }

    pub(super) fn count_scan_without_question(&mut self) {
        let unasked = self.baseline.recall(UNASKED).and_then(|count| count.first().copied());
        if let Some(unasked) = unasked {
            self.baseline.remember(UNASKED, &[unasked.saturating_add(1)]);
        }
    }

    /// Answers, as far as there is room: each answer tells of just what was sent before it.
    pub(super) fn answer(&mut self, now: Instant) {
        if self.requests.is_empty() || !self.outbox.is_empty() {
            return;
        }
        // What was told is in the baseline's file from here on.
        if let Err(error) = self.baseline.flush().and_then(|()| self.answer_one(now)) {
            log::warn!("The manager's question cannot be answered now: {error}.");
            self.requests = Requests::default();
        }
    }

    fn answer_one(&mut self, now: Instant) -> io::Result<()> {
        if let Some(folder) = self.requests.folders.pop_front() {
            self.say_folder_again(&folder)?;
        } else if !self.requests.buckets.is_empty() {
            self.say_buckets_again()?;
        } else if self.requests.digest {
            let last = self.requests.digest_told;
            if last.is_none_or(|last| now.saturating_duration_since(last) >= DIGEST_EVERY) {
                self.requests.digest = false;
                self.requests.digest_told = Some(now);
                self.say_digest()?;
            }
        }
        Ok(())
    }

    fn say_digest(&mut self) -> io::Result<()> {
        let mut collector = Collector::default();
        self.baseline.each(|path, record| {
            collector.add(&fim::path::escape(path), &record.attributes.encode());
        })?;
        self.say(Message::Word(Answer::Digest(Box::new(collector.finish())).to_message()));
        Ok(())
    }

    /// As many buckets as hold [`AT_ONCE`] files or so: each time goes through the whole baseline.
    fn say_buckets_again(&mut self) -> io::Result<()> {
        let share = AT_ONCE * digest::BUCKETS / self.baseline.len().max(1);
        let share = share.clamp(1, self.requests.buckets.len());
        let buckets = self.requests.buckets.drain(..share);
        let mut listings: BTreeMap<u8, Vec<Listed>> =
            buckets.map(|bucket| (bucket, Vec::new())).collect();
        self.baseline.each(|path, record| {
            if let Some(files) = listings.get_mut(&digest::bucket(&fim::path::escape(path))) {
                files.push((path.to_vec(), record.attributes.encode()));
            }
        })?;
        for (bucket, files) in listings {
            let count = files.len() as u64;
            self.say(Message::Word(Answer::Begin(bucket).to_message()));
            for (path, sum) in files {
                self.say_again(path, sum);
            }
            self.say(Message::Word(Answer::End { bucket, files: count }.to_message()));
        }
        Ok(())
    }

    fn say_folder_again(&mut self, folder: &[u8]) -> io::Result<()> {
        let mut names: VecDeque<Vec<u8>> = VecDeque::new();
        for (name, _) in self.baseline.reader()?.folder(folder) {
            names.push_back(name);
        }
        for name in names {
            let path = crate::plan::join(folder, &name);
            if let Some(record) = self.baseline.get(&path) {
                // It would alert of what has only grown.
                if !self.may_grow(&path) {
                    self.say(Message::Again {
                        path,
                        sum: record.attributes.encode(),
                        grown: false,
                    });
                }
            }
        }
        Ok(())
    }

    /// To a manager of ours. What may have grown since it was told last is said so.
    fn say_again(&mut self, path: Vec<u8>, sum: Vec<u8>) {
        let grown = self.may_grow(&path);
        self.say(Message::Again { path, sum, grown });
    }

    fn may_grow(&self, path: &[u8]) -> bool {
        self.plan.entry_for(path).is_some_and(|entry| entry.options.growing)
    }
}
