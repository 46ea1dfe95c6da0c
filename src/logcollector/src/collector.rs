//! The collector's loop: waits until something happened, reads in turns, journals, sends.
//!
//! One thread owns everything. It sleeps in poll(2) on the signals, inotify, the queue, and the output of commands; files are
//! read 64 KiB at a time, in rotation, so that a huge one gives way to the others. When the queue is full nothing is read:
//! the files are the buffer.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ipc::Full;
use jiff::Zoned;
use jiff::fmt::strtime;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wire::{Event, Kind};

use crate::command::CommandSource;
use crate::journald::JournalSource;
use crate::location::concerns;
use crate::notice::{Notice, Notices, WatchId};
use crate::outbox::Outbox;
use crate::pipe::PipeSource;
use crate::sources::FileSource;
use crate::tail::CHUNK;
use crate::watch::{Desk, Former, Turn, Watch};

/// Everything is looked at this often, whatever inotify says: network file systems say nothing.
const RESCAN_EVERY: Duration = Duration::from_secs(60);
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(130);
/// Turns of reading between two looks at signals and the queue.
const TURNS: usize = 16;

/// All sources and the way out.
pub(crate) struct Collector {
    /// The way out.
    pub outbox: Outbox,
    pub(crate) notices: Notices,
    pub(crate) former: Former,
    pub(crate) files: Vec<FileSource>,
    pub(crate) watches: BTreeMap<WatchId, Watch>,
    pub(crate) by_path: HashMap<PathBuf, WatchId>,
    /// Paths that do not fit their format; said once.
    pub(crate) refused: HashSet<PathBuf>,
    pub(crate) commands: Vec<CommandSource>,
    pub(crate) journals: Vec<JournalSource>,
    pub(crate) pipes: Vec<PipeSource>,
    pub(crate) host: Vec<u8>,
    pub(crate) next_id: u32,
    /// Watches that may have something to read, in turn.
    ready: VecDeque<WatchId>,
    /// Watches whose name is to be looked at.
    to_check: BTreeSet<WatchId>,
    buffer: Vec<u8>,
    /// How much was unacknowledged when the queue was full.
    full_at: Option<u64>,
    rescan_at: Instant,
    keep_alive_at: Instant,
    date_at: Option<Instant>,
}

impl Collector {
    /// Without sources yet.
    pub(crate) fn new(outbox: Outbox, notices: Notices, host: Vec<u8>, now: Instant) -> Self {
        Self {
            outbox,
            notices,
            former: Former::default(),
            files: Vec::new(),
            watches: BTreeMap::new(),
            by_path: HashMap::new(),
            refused: HashSet::new(),
            commands: Vec::new(),
            journals: Vec::new(),
            pipes: Vec::new(),
            host,
            next_id: 1,
            ready: VecDeque::new(),
            to_check: BTreeSet::new(),
            buffer: vec![0; CHUNK],
            full_at: None,
            rescan_at: now + RESCAN_EVERY,
            keep_alive_at: now + KEEP_ALIVE_EVERY,
            date_at: None,
        }
    }

    /// Waits until there is something to do: a signal, a change, output, room in the queue, or `until`.
    pub(crate) fn wait(&self, signals: BorrowedFd<'_>, until: Instant) {
        let wake_at = self.deadline().map_or(until, |at| at.min(until));
        let timeout = wake_at.saturating_duration_since(Instant::now());
        let mut fds = vec![PollFd::new(&signals, PollFlags::IN)];
        let notices = self.notices.as_fd();
        fds.push(PollFd::new(&notices, PollFlags::IN));
        let queue = self.outbox.sender().fd();
        fds.extend(queue.as_ref().map(|fd| PollFd::new(fd, self.queue_flags())));
        let outputs = if self.is_full() { Vec::new() } else { self.outputs() };
        fds.extend(outputs.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        // An interruption is a signal, which its descriptor tells.
        let _ = poll(&mut fds, Timespec::try_from(timeout).ok().as_ref());
    }

    fn outputs(&self) -> Vec<BorrowedFd<'_>> {
        let commands = self.commands.iter().filter_map(CommandSource::fd);
        let journals = self.journals.iter().filter_map(JournalSource::fd);
        commands.chain(journals).chain(self.pipes.iter().filter_map(PipeSource::fd)).collect()
    }

    fn deadline(&self) -> Option<Instant> {
        let mut at: Vec<Instant> = vec![self.rescan_at];
        at.extend(self.date_at);
        at.extend(self.outbox.deadline());
        if !self.is_full() {
            at.push(self.keep_alive_at);
            if !self.ready.is_empty() || !self.to_check.is_empty() {
                at.push(Instant::now());
            }
            at.extend(self.watches.values().filter_map(Watch::deadline));
            at.extend(self.commands.iter().map(CommandSource::deadline));
            at.extend(self.journals.iter().filter_map(JournalSource::deadline));
            at.extend(self.pipes.iter().filter_map(PipeSource::deadline));
        }
        at.into_iter().min()
    }

    fn is_full(&self) -> bool {
        self.full_at.is_some()
    }

    /// Does what is to be done, a bounded amount of it.
    pub(crate) fn turn(&mut self, now: Instant) {
        self.hear();
        self.look_around(now);
        self.check_names();
        if self.full_at.is_some_and(|full_at| self.outbox.pending() < full_at) {
            self.full_at = None;
        }
        if !self.is_full() && self.read(now) == Err(Full) {
            self.note_full();
        }
        self.outbox.drive(now);
    }

    fn note_full(&mut self) {
        // A journal that cannot be written is tried again with the next turn, whatever was acknowledged.
        self.full_at = Some(if self.outbox.is_stuck() { u64::MAX } else { self.outbox.pending() });
    }

    /// Takes what inotify says.
    fn hear(&mut self) {
        for notice in self.notices.take() {
            match notice {
                Notice::File(id) => {
                    self.mark_ready(id);
                    self.to_check.insert(id);
                }
                Notice::Folder { path, name } => {
                    let concerned = |file: &FileSource| {
                        file.folders
                            .iter()
                            .any(|(folder, part)| *folder == path && concerns(part, &name))
                            || (name.is_empty()
                                && file.folders.iter().any(|(folder, _)| *folder == path))
                    };
                    let concerned: Vec<usize> = self
                        .files
                        .iter()
                        .enumerate()
                        .filter(|(_, file)| concerned(file))
                        .map(|(at, _)| at)
                        .collect();
                    concerned.into_iter().for_each(|at| self.rediscover(at));
                    if let Some(&id) = self.by_path.get(&path.join(&name)) {
                        self.to_check.insert(id);
                    }
                }
                Notice::Overflow => {
                    log::debug!("inotify said too much at once, everything is looked at");
                    self.rescan_at = Instant::now();
                }
            }
        }
    }

    /// Does what is done by the clock.
    fn look_around(&mut self, now: Instant) {
        if now >= self.rescan_at {
            self.rescan_at = now + RESCAN_EVERY;
            (0..self.files.len()).for_each(|at| self.rediscover(at));
            let all: Vec<WatchId> = self.watches.keys().copied().collect();
            self.to_check.extend(&all);
            all.into_iter().for_each(|id| self.mark_ready(id));
        }
        if now >= self.keep_alive_at && !self.is_full() {
            match self.keep_alive() {
                Ok(()) => self.keep_alive_at = now + KEEP_ALIVE_EVERY,
                Err(Full) => self.note_full(),
            }
        }
        self.follow_dates(now);
        let due: Vec<WatchId> = self
            .watches
            .values()
            .filter(|w| w.deadline().is_some_and(|at| at <= now))
            .map(|w| w.id)
            .collect();
        for id in due {
            self.to_check.insert(id);
            self.mark_ready(id);
        }
    }

    /// Dated names are formed anew with each minute.
    fn follow_dates(&mut self, now: Instant) {
        if !self.files.iter().any(|file| file.location.is_dated()) {
            self.date_at = None;
            return;
        }
        if self.date_at.is_none_or(|at| at <= now) {
            let dated: Vec<usize> = self
                .files
                .iter()
                .enumerate()
                .filter(|(_, f)| f.location.is_dated())
                .map(|(at, _)| at)
                .collect();
            dated.into_iter().for_each(|at| self.rediscover(at));
            let second = u64::try_from(Zoned::now().second()).unwrap_or(0);
            self.date_at = Some(now + Duration::from_secs(60 - second.min(59)));
        }
    }

    fn keep_alive(&mut self) -> Result<(), Full> {
        let event = Event {
            kind: Kind::Log,
            location: b"ossec-keepalive",
            payload: b"--MARK--: still collecting",
        };
        self.outbox.hand_over(&event, None)?;
        self.outbox.counts.received += 1;
        Ok(())
    }

    fn check_names(&mut self) {
        for id in std::mem::take(&mut self.to_check) {
            self.with(id, Watch::check);
            self.mark_ready(id);
        }
    }

    /// A turn for every command, journal and pipe, then for the files that have something.
    fn read(&mut self, now: Instant) -> Result<(), Full> {
        let (buffer, outbox) = (&mut self.buffer, &mut self.outbox);
        self.commands.iter_mut().try_for_each(|command| command.work(buffer, now, outbox))?;
        self.journals.iter_mut().try_for_each(|journal| journal.work(buffer, now, outbox))?;
        self.pipes.iter_mut().try_for_each(|pipe| pipe.work(buffer, now, outbox))?;
        for _ in 0..TURNS {
            let Some(id) = self.ready.pop_front() else { break };
            let turn = self.with(id, Watch::work).unwrap_or(Turn::Idle);
            match turn {
                Turn::Idle => self.drop_if_done(id),
                Turn::More => self.ready.push_back(id),
                Turn::Full => {
                    self.ready.push_front(id);
                    return Err(Full);
                }
            }
        }
        Ok(())
    }

    fn drop_if_done(&mut self, id: WatchId) {
        if self.watches.get(&id).is_some_and(|watch| watch.is_former && watch.is_empty()) {
            self.drop_watch(id);
        }
    }

    pub(crate) fn drop_watch(&mut self, id: WatchId) {
        let Some(watch) = self.watches.remove(&id) else { return };
        self.by_path.remove(&watch.path);
        let mut desk = desk(
            &mut self.outbox,
            &mut self.notices,
            &mut self.former,
            &mut self.buffer,
            &self.host,
            "",
        );
        watch.close(&mut desk);
    }

    pub(crate) fn mark_ready(&mut self, id: WatchId) {
        if !self.ready.contains(&id) {
            self.ready.push_back(id);
        }
    }

    /// Lets a watch do something.
    pub(crate) fn with<T>(
        &mut self,
        id: WatchId,
        work: impl FnOnce(&mut Watch, &mut Desk<'_>) -> T,
    ) -> Option<T> {
        let watch = self.watches.get_mut(&id)?;
        let stamp = strtime::format("%b %e %H:%M:%S", &Zoned::now()).unwrap_or_default();
        let mut desk = desk(
            &mut self.outbox,
            &mut self.notices,
            &mut self.former,
            &mut self.buffer,
            &self.host,
            &stamp,
        );
        Some(work(watch, &mut desk))
    }

    /// Hands nothing more over, and waits, at most until `until`, for what was sent to be acknowledged. Then puts the
    /// positions on disk.
    pub(crate) fn stop(&mut self, until: Instant) {
        self.outbox.drive(Instant::now());
        while self.outbox.pending() > 0 && Instant::now() < until {
            self.wait_for_queue(until);
            self.outbox.drive(Instant::now());
        }
        if self.outbox.pending() > 0 {
            log::info!(
                "{} events are not acknowledged; they are read again at the next start",
                self.outbox.pending()
            );
        }
        if let Err(error) = self.outbox.ledger.compact() {
            log::error!(
                "the positions in queue/logcollector could not be rewritten ({error}); the journal as it is counts"
            );
        }
    }

    fn wait_for_queue(&self, until: Instant) {
        let wake_at = self.outbox.deadline().map_or(until, |at| at.min(until));
        let timeout = wake_at.saturating_duration_since(Instant::now());
        let queue = self.outbox.sender().fd();
        let mut fds: Vec<PollFd<'_>> =
            queue.as_ref().map(|fd| PollFd::new(fd, self.queue_flags())).into_iter().collect();
        let _ = poll(&mut fds, Timespec::try_from(timeout).ok().as_ref());
    }

    fn queue_flags(&self) -> PollFlags {
        if self.outbox.sender().wants_write() {
            PollFlags::IN | PollFlags::OUT
        } else {
            PollFlags::IN
        }
    }

    /// The accounts, for the state file.
    pub(crate) fn accounts(&self) -> [(&'static str, u64); 8] {
        let counts = self.outbox.counts;
        let held: u64 = self.watches.values().map(Watch::pending).sum::<u64>()
            + self.commands.iter().map(CommandSource::pending).sum::<u64>()
            + self.journals.iter().map(JournalSource::pending).sum::<u64>()
            + self.pipes.iter().map(PipeSource::pending).sum::<u64>();
        [
            ("received", counts.received),
            ("forwarded", self.outbox.forwarded()),
            ("filtered", counts.filtered),
            ("dropped_malformed", counts.malformed),
            ("pending", held + self.outbox.pending()),
            ("bytes", counts.bytes),
            ("files", self.watches.len() as u64),
            ("waiting", u64::from(self.is_full())),
        ]
    }
}

fn desk<'a>(
    outbox: &'a mut Outbox,
    notices: &'a mut Notices,
    former: &'a mut Former,
    buffer: &'a mut [u8],
    host: &'a [u8],
    stamp: &'a str,
) -> Desk<'a> {
    Desk { outbox, notices, former, buffer, host, stamp, now: Instant::now() }
}
