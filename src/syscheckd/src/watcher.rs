//! The owner of it all: what is known, what is told, when to scan. One thread, which never touches a watched file.
//!
//! ```text
//! inotify --> Settling --\                                /--> known (journal)
//! schedule, .syscheck_run --> jobs --> worker --> news --+
//!                                                         \--> queue (kinds 8 and 9)
//! ```
//!
//! What the worker saw is compared with what the manager was told; a difference becomes an event. The event's number and sum are
//! journalled, then it is sent. When the queue is full no more news are taken, so the worker waits. A scan ends with a second look at
//! every known file that it did not see: what is really gone is told as deleted.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fim::{Attributes, Sum, message};
use ipc::Sender;
use pattern::PatternError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use settings::Syscheck;
use wire::{Event, Kind};

use crate::known::Known;
use crate::plan::Plan;
use crate::realtime::{Realtime, Settling, Touched};
use crate::schedule::{Moment, Schedule};
use crate::worker::{Job, News, Pacing, Scope, Worker};

/// A file that asks for a scan at once; removed when it is seen.
const RUN_NOW: &str = "var/run/.syscheck_run";

/// News that are taken before the other descriptors get their turn.
const NEWS_PER_TURN: usize = 512;

/// How often the schedule and [`RUN_NOW`] are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Everything that syscheckd does while it runs.
pub struct Watcher {
    root: PathBuf,
    plan: Arc<Plan>,
    known: Known,
    sender: Sender,
    worker: Worker,
    realtime: Option<Realtime>,
    settling: Settling,
    schedule: Schedule,
    scan: Scan,
    /// Number of the last scan that was begun.
    scans: u64,
    /// When the scan that follows the start is due.
    first_scan: Option<Instant>,
    /// A scan was asked for.
    requested: bool,
    /// [`RUN_NOW`] was there: rootcheck is to search as well.
    run_asked: bool,
    /// Events were lost: realtime folders are to be scanned.
    events_lost: bool,
    jobs: VecDeque<Job>,
    outbox: VecDeque<Message>,
    next_tick: Instant,
    journal_failed: bool,
    counts: Counts,
}

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scan {
    Idle,
    /// The worker walks.
    Walking {
        scope: Scope,
        first: bool,
    },
    /// The worker looks again at what it did not see.
    Checking {
        scope: Scope,
        first: bool,
    },
}

/// What is told.
#[derive(Debug)]
enum Message {
    /// A file's sum, `-1` when it is gone.
    File { path: Vec<u8>, sum: Vec<u8> },
    /// The end of a scan, for the manager's database.
    Completed,
    /// A line on rootcheck's channel.
    Note(Cow<'static, [u8]>),
}

/// The accounts. `received = filtered + forwarded + pending`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Files looked at, files gone, and own messages.
    pub received: u64,
    /// Nothing new about them.
    pub filtered: u64,
    /// Reached their end at the manager.
    pub forwarded: u64,
    /// On their way there.
    pub pending: u64,
    /// Whole scans.
    pub scans: u64,
    /// Files whose content could not be read.
    pub unreadable: u64,
    /// Times that the kernel lost realtime events.
    pub overflows: u64,
    /// Files that are known.
    pub files: u64,
    /// Folders that are watched in realtime.
    pub watched: u64,
    /// Folders that could not be watched.
    pub unwatched: u64,
}

impl Counts {
    /// For [`runtime::Daemon::write_state`].
    pub fn lines(&self) -> [(&'static str, u64); 10] {
        [
            ("received", self.received),
            ("filtered", self.filtered),
            ("forwarded", self.forwarded),
            ("pending", self.pending),
            ("scans", self.scans),
            ("unreadable", self.unreadable),
            ("overflows", self.overflows),
            ("files", self.files),
            ("watched", self.watched),
            ("unwatched", self.unwatched),
        ]
    }
}

impl Watcher {
    /// Starts the worker and gives it the plan. The first scan begins after `delay`, if the settings want one at start.
    ///
    /// # Errors
    /// When the system has no more threads, descriptors or event queues.
    pub fn start(
        root: &Path,
        syscheck: &Syscheck,
        pacing: Pacing,
        delay: Duration,
        (known, sender): (Known, Sender),
        now: &Moment,
    ) -> io::Result<Self> {
        let mut watcher = Self {
            root: root.to_owned(),
            plan: Arc::default(),
            known,
            sender,
            worker: Worker::start(pacing)?,
            realtime: None,
            settling: Settling::default(),
            schedule: Schedule::new(syscheck, now),
            scan: Scan::Idle,
            scans: 0,
            first_scan: syscheck.scan_on_start.then(|| now.instant + delay),
            requested: false,
            run_asked: false,
            events_lost: false,
            jobs: VecDeque::new(),
            outbox: VecDeque::new(),
            next_tick: now.instant,
            journal_failed: false,
            counts: Counts::default(),
        };
        watcher.take_settings(syscheck)?;
        Ok(watcher)
    }

    /// Goes by other settings from now on, and scans by them at once.
    ///
    /// # Errors
    /// When there are no more event queues; the old settings go on.
    pub fn reload(&mut self, syscheck: &Syscheck, now: &Moment) -> io::Result<()> {
        self.take_settings(syscheck)?;
        self.schedule = Schedule::new(syscheck, now);
        // A running scan is given up, and its number with it: what it still says is of no interest.
        self.scan = Scan::Idle;
        self.scans += 1;
        self.requested = true;
        Ok(())
    }

    /// Does what is to be done now, without waiting. `false` when the worker is dead.
    pub fn turn(&mut self, now: &Moment) -> bool {
        self.read_events(now.instant);
        self.look_at_settled(now.instant);
        self.begin_scan_if_due(now);
        self.give_jobs();
        self.take_news(now.instant);
        self.give_jobs();
        self.transmit(now.instant);
        !self.worker.is_dead()
    }

    /// Waits until there is something to do, or `other` is readable; a tick at the most.
    pub fn wait(&self, other: Option<BorrowedFd<'_>>) {
        let now = Instant::now();
        let wakes = [self.sender.deadline(), self.settling.next_due(), Some(self.next_tick)];
        let until = wakes.into_iter().flatten().min().unwrap_or(now + TICK);
        let timeout = until.saturating_duration_since(now).min(TICK);
        let timeout = Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(1),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut ready = Vec::with_capacity(4);
        ready.extend(other.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        if let Some(fd) = self.sender.fd() {
            let out = if self.sender.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
            ready.push(PollFd::from_borrowed_fd(fd, PollFlags::IN | out));
        }
        if let Some(realtime) = &self.realtime {
            ready.push(PollFd::from_borrowed_fd(realtime.as_fd(), PollFlags::IN));
        }
        // With a full queue the news wait, however many there be.
        if self.outbox.is_empty() {
            ready.push(PollFd::new(self.worker.wake_fd(), PollFlags::IN));
        }
        // An interrupted poll only means that we look earlier.
        let _ = poll(&mut ready, Some(&timeout));
    }

    /// Whether there is room for [`note`](Self::note).
    pub fn takes_notes(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Tells the manager a line on rootcheck's channel.
    pub fn note(&mut self, text: Vec<u8>) {
        self.say(Message::Note(Cow::Owned(text)));
    }

    /// Whether a run of everything was asked for since the last call.
    pub fn take_run_asked(&mut self) -> bool {
        std::mem::take(&mut self.run_asked)
    }

    /// The accounts now.
    pub fn counts(&self) -> Counts {
        let (watched, unwatched) =
            self.realtime.as_ref().map_or((0, 0), |realtime| realtime.table().counts());
        Counts {
            pending: (self.sender.pending() + self.outbox.len()) as u64,
            forwarded: self.counts.forwarded - self.sender.pending() as u64,
            files: self.known.len() as u64,
            watched,
            unwatched,
            ..self.counts
        }
    }

    /// Whether no scan is going on, and all that was found is at the manager's.
    pub fn is_idle(&self) -> bool {
        let told = self.sender.pending() == 0 && self.outbox.is_empty();
        self.scan == Scan::Idle && told && self.jobs.is_empty() && self.settling.is_empty()
    }

    fn take_settings(&mut self, syscheck: &Syscheck) -> io::Result<()> {
        let plan = Plan::new(syscheck).map_err(too_long)?;
        let realtime = if plan.has_realtime() { Some(Realtime::new(None)?) } else { None };
        let table = realtime.as_ref().map(Realtime::table);
        self.plan = Arc::new(plan);
        self.realtime = realtime;
        self.settling.clear();
        self.jobs.clear();
        self.jobs.push_back(Job::Plan { plan: self.plan.clone(), table });
        self.jobs.push_back(Job::Watch);
        Ok(())
    }

    fn read_events(&mut self, now: Instant) {
        let Some(realtime) = &mut self.realtime else { return };
        for touched in realtime.read(|_, _| {}) {
            let noted = match touched {
                Touched::Path { path, busy } => {
                    let entry = self.plan.entry_for(&path);
                    let wanted = entry.is_some_and(|entry| entry.options.realtime);
                    !wanted || self.settling.touch(path, busy, now)
                }
                Touched::FolderGone(folder) => {
                    let below = self.known.below(&folder);
                    self.jobs.extend(below.into_iter().map(Job::Look));
                    true
                }
                Touched::Overflow => false,
            };
            if !noted {
                self.settling.clear();
                self.events_lost = true;
                self.counts.overflows += 1;
                log::warn!("Real time events were lost: too many at once. Scanning again.");
            }
        }
    }

    fn look_at_settled(&mut self, now: Instant) {
        while let Some(path) = self.settling.take(now) {
            self.jobs.push_back(Job::Look(path));
        }
    }

    fn begin_scan_if_due(&mut self, now: &Moment) {
        if self.first_scan.is_some_and(|at| now.instant >= at) {
            self.first_scan = None;
            self.requested = true;
        }
        if now.instant >= self.next_tick {
            self.next_tick = now.instant + TICK;
            let asked = std::fs::remove_file(self.root.join(RUN_NOW)).is_ok();
            self.run_asked |= asked;
            self.requested |= asked;
            self.requested |= self.scan == Scan::Idle && self.schedule.is_due(now);
        }
        if self.scan != Scan::Idle || self.plan.entries().is_empty() {
            return;
        }
        if std::mem::take(&mut self.requested) {
            // It makes up for lost events too.
            self.events_lost = false;
            self.schedule.scanned(now.instant);
            self.begin_scan(Scope::All);
        } else if std::mem::take(&mut self.events_lost) {
            self.begin_scan(Scope::Realtime);
        }
    }

    fn begin_scan(&mut self, scope: Scope) {
        let first = self.counts.scans == 0 && self.known.is_empty();
        self.scans += 1;
        self.scan = Scan::Walking { scope, first };
        if scope == Scope::All {
            self.say(Message::Note(Cow::Borrowed(b"Starting syscheck scan.")));
            if first {
                log::info!("Starting syscheck scan (forwarding database).");
                log::info!("Starting syscheck database (pre-scan).");
            } else {
                log::info!("Starting syscheck scan.");
            }
        }
        // Until a file was seen once no change of it can be noticed: the first scan makes haste.
        let rests = scope == Scope::All && !first;
        self.jobs.push_back(Job::Scan { id: self.scans, scope, rests });
    }

    fn give_jobs(&mut self) {
        while let Some(job) = self.jobs.pop_front() {
            if let Err(job) = self.worker.offer(job) {
                self.jobs.push_front(job);
                break;
            }
        }
    }

    fn take_news(&mut self, now: Instant) {
        self.worker.woken();
        self.empty_outbox();
        for _ in 0..NEWS_PER_TURN {
            if !self.outbox.is_empty() {
                return;
            }
            let Some(news) = self.worker.news() else { return };
            self.digest(news, now);
        }
        // There may be more: do not sleep on them.
        self.next_tick = now;
    }

    fn digest(&mut self, news: News, now: Instant) {
        match news {
            News::File { path, attributes, unreadable } => {
                self.compare(path, &attributes, unreadable);
            }
            News::Gone(path) => {
                if self.known.sum(&path).is_some() {
                    self.say(Message::File { path, sum: b"-1".to_vec() });
                }
            }
            News::Unwanted(path) => self.known.forget(&path),
            News::Unclear(path) => self.known.saw(&path, self.scans),
            News::ScanEnded { id, complete } if id == self.scans => self.check_unseen(complete),
            News::Mark(id) if id == self.scans => self.end_scan(now),
            // Of a scan that was given up.
            News::ScanEnded { .. } | News::Mark(_) => {}
        }
    }

    fn compare(&mut self, path: Vec<u8>, attributes: &Attributes, unreadable: bool) {
        let known = self.known.sum(&path);
        let mut sum = attributes.encode();
        if unreadable {
            self.counts.unreadable += 1;
            // What could not be read has not changed, as far as we know.
            sum = with_hashes_of(sum, known);
        }
        if known == Some(sum.as_slice()) {
            self.known.saw(&path, self.scans);
            self.counts.received += 1;
            self.counts.filtered += 1;
        } else {
            self.say(Message::File { path, sum });
        }
    }

    /// Has the worker look again at known files that the scan did not see.
    fn check_unseen(&mut self, complete: bool) {
        let Scan::Walking { scope, first } = self.scan else { return };
        if !complete {
            self.scan = Scan::Idle;
            self.requested |= scope == Scope::All;
            self.events_lost |= scope == Scope::Realtime;
            return;
        }
        for path in self.known.unseen(self.scans) {
            match self.plan.entry_for(&path) {
                Some(entry) if scope == Scope::All || entry.options.realtime => {
                    self.jobs.push_back(Job::Look(path));
                }
                Some(_) => {}
                None => self.known.forget(&path),
            }
        }
        self.jobs.push_back(Job::Mark(self.scans));
        self.scan = Scan::Checking { scope, first };
    }

    fn end_scan(&mut self, now: Instant) {
        let Scan::Checking { scope, first } = self.scan else { return };
        self.scan = Scan::Idle;
        if scope == Scope::Realtime {
            return;
        }
        self.counts.scans += 1;
        self.schedule.scanned(now);
        self.say(Message::Note(Cow::Borrowed(b"Ending syscheck scan.")));
        self.say(Message::Completed);
        if first {
            log::info!("Finished creating syscheck database (pre-scan completed).");
            log::info!("Ending syscheck scan (forwarding database).");
        } else {
            log::info!("Ending syscheck scan.");
        }
        if self.counts.scans == 1 && self.realtime.is_some() {
            log::info!("Real time file monitoring started.");
        }
    }

    fn say(&mut self, message: Message) {
        self.counts.received += 1;
        self.outbox.push_back(message);
        self.empty_outbox();
    }

    fn empty_outbox(&mut self) {
        while let Some(message) = self.outbox.front() {
            let Ok(number) = self.sender.offer(&message.event(&message.payload())) else { return };
            if let Message::File { path, sum } = message {
                self.known.tell(number, path, sum, self.scans);
            }
            self.outbox.pop_front();
            self.counts.forwarded += 1;
        }
    }

    /// Journals first, sends then.
    fn transmit(&mut self, now: Instant) {
        let acknowledged = self.known.acknowledged(self.sender.acked());
        match acknowledged.and_then(|()| self.known.flush()) {
            Ok(()) => self.journal_failed = false,
            Err(error) if !self.journal_failed => {
                self.journal_failed = true;
                log::error!(
                    "Unable to write 'queue/syscheckd/known': {error}. Events are sent all the \
                     same; after a restart they are sent again."
                );
            }
            Err(_) => {}
        }
        self.sender.drive(now);
    }
}

impl Message {
    fn payload(&self) -> Vec<u8> {
        match self {
            Self::File { path, sum } => message::write(sum, &fim::path::escape(path), None),
            Self::Completed => message::COMPLETED.to_vec(),
            Self::Note(text) => text.to_vec(),
        }
    }

    fn event<'a>(&self, payload: &'a [u8]) -> Event<'a> {
        match self {
            Self::File { .. } | Self::Completed => {
                Event { kind: Kind::FileIntegrity, location: b"syscheck", payload }
            }
            Self::Note(_) => Event { kind: Kind::Rootcheck, location: b"rootcheck", payload },
        }
    }
}

/// The new sum, with the known hashes in place of those that could not be computed.
fn with_hashes_of(sum: Vec<u8>, known: Option<&[u8]>) -> Vec<u8> {
    let (Ok(Sum::Present(now)), Some(Ok(Sum::Present(before)))) =
        (Sum::parse(&sum), known.map(Sum::parse))
    else {
        return sum;
    };
    let before256 = before.sha256.unwrap_or(fim::sum::PLACEHOLDER);
    let numbers = [now.size, now.mode, now.uid, now.gid];
    [numbers.as_slice(), &[before.md5, before.sha1, before256]].concat().join(&b':')
}

fn too_long(error: PatternError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_keeps_its_known_hashes() {
        let kept = |now: &[u8], known| with_hashes_of(now.to_vec(), known);
        let now = b"9:33152:1:2:xxx:xxx:xxx";
        assert_eq!(kept(now, Some(b"1:33188:0:0:a:b:c")), b"9:33152:1:2:a:b:c");
        assert_eq!(kept(now, Some(b"1:33188:0:0:a:b")), b"9:33152:1:2:a:b:xxx");
        assert_eq!(kept(now, None), now);
    }
}
