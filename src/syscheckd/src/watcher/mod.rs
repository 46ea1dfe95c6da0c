//! The owner of it all: what is known, what is told, when to scan. One thread, which never looks at a watched file by itself.
//!
//! ```text
//! fanotify, inotify --> Settling --\                     /--> gate (packages) --\
//! schedule, requests ------> jobs --> worker --> news --+------------------------+--> baseline --> queue (kinds 8, 9 and 1)
//! ```
//!
//! What the worker saw is compared with what the manager was told ([`news`]); a difference becomes an event. What the event tells is written
//! to the baseline, then it is sent. When the queue is full no more news are taken, so the worker waits. [`scans`] begins and ends
//! scans, [`requests`] answers what the manager and the tools ask.

mod counts;
mod growing;
mod looks;
mod message;
mod news;
mod options;
mod requests;
mod scans;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ipc::Sender;
use pattern::PatternError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use settings::Syscheck;
use sys::fanotify::Fanotify;

use crate::baseline::Baseline;
use crate::changes::Store;
use crate::packages::Gate;
use crate::plan::{Plan, is_below, join};
use crate::realtime::{Realtime, Settling, Touched};
use crate::schedule::{Moment, Schedule};
use crate::whodata::audit::Audit;
use crate::whodata::{Step, WhoData};
use crate::worker::{Job, Pacing, Progress, Scope, Worker};

pub use counts::Counts;
use looks::Looks;
use message::Message;
pub use news::Change;
use requests::Requests;
pub use requests::manager_is_ours;

/// A file that asks for a scan at once; removed when it is seen.
const RUN_NOW: &str = "var/run/.syscheck_run";

/// How often the schedule and [`RUN_NOW`] are looked at.
const TICK: Duration = Duration::from_secs(1);

/// What a scan finds in this time is written and sent together: each writing waits for the disk. Where the disk is slow, in as much time as
/// the last writing took, up to the longer one.
const TOGETHER: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(200)];
/// Changes that wait for being written.
const MOST_WAITING: usize = 4096;

/// Everything that syscheckd does while it runs.
pub struct Watcher {
    root: PathBuf,
    plan: Arc<Plan>,
    baseline: Baseline,
    sender: Sender,
    worker: Worker,
    group: Option<Arc<Fanotify>>,
    realtime: Option<Realtime>,
    settling: Settling,
    who: WhoData,
    changes: Option<Store>,
    gate: Gate<Change>,
    control: Option<UnixDatagram>,
    requests: Requests,
    schedule: Schedule,
    scan: Option<ScanState>,
    /// The running scan is the first one ever: what it finds is no change.
    first: bool,
    /// Number of the last scan that was begun.
    scans: u64,
    /// When the scan that follows the start is due.
    first_scan: Option<Instant>,
    /// A scan was asked for.
    requested: bool,
    /// [`RUN_NOW`] was there, or the time of day has come: rootcheck is to search as well.
    run_asked: bool,
    /// Entries that no scan has been through: what it finds there is new to us only.
    fresh: Vec<Vec<u8>>,
    /// Events were lost: realtime folders are to be scanned.
    events_lost: bool,
    /// The baseline's file is to be made smaller when there is time.
    compact_asked: bool,
    jobs: VecDeque<Job>,
    /// Those that the worker has, of single paths.
    looks: Looks,
    outbox: VecDeque<Message>,
    next_tick: Instant,
    next_flush: Instant,
    /// How long the last one took.
    last_flush: Duration,
    /// Until then what was told waits for more, and is written and sent together with it.
    together_until: Option<Instant>,
    write_failed: bool,
    counts: Counts,
}

/// What a watcher is given of the outside.
pub struct Parts {
    /// What is known.
    pub baseline: Baseline,
    /// Connected, its numbers begun.
    pub sender: Sender,
    /// Opened while privileged.
    pub group: Option<Arc<Fanotify>>,
    /// Opened while privileged.
    pub audit: Option<Audit>,
    /// Where `report_changes` keeps contents.
    pub changes: Option<Store>,
    /// Which packages vouch.
    pub gate: Gate<Change>,
    /// Where requests come in.
    pub control: Option<UnixDatagram>,
}

/// A scan that goes on.
struct ScanState {
    scope: Scope,
    /// It went on where an earlier one was cut short.
    resumed: bool,
    begun: Instant,
    cpu: Duration,
    files: u64,
    bytes: u64,
}

impl ScanState {
    fn begin(scope: Scope, resumed: bool, now: Instant, progress: &Progress) -> Self {
        Self {
            scope,
            resumed,
            begun: now,
            cpu: cpu_time(),
            files: progress.files.load(Ordering::Relaxed),
            bytes: progress.bytes.load(Ordering::Relaxed),
        }
    }

    /// The achieved figures.
    fn account(&self, now: Instant, progress: &Progress, counts: &mut Counts) {
        let millis = now.saturating_duration_since(self.begun).as_millis().max(1);
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let files = progress.files.load(Ordering::Relaxed).saturating_sub(self.files);
        let bytes = progress.bytes.load(Ordering::Relaxed).saturating_sub(self.bytes);
        let cpu = cpu_time().saturating_sub(self.cpu).as_millis();
        counts.scan_ms = millis;
        counts.scan_files_per_s = files.saturating_mul(1000) / millis;
        counts.scan_kb_per_s = bytes / millis;
        counts.scan_cpu_permille = u64::try_from(cpu).unwrap_or(0).saturating_mul(1000) / millis;
    }
}

/// Of the whole process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
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
        parts: Parts,
        now: &Moment,
    ) -> io::Result<Self> {
        let Parts { baseline, sender, group, audit, changes, gate, control } = parts;
        let mut watcher = Self {
            root: root.to_owned(),
            plan: Arc::default(),
            baseline,
            sender,
            worker: Worker::start(pacing)?,
            who: WhoData::new(group.is_some(), audit),
            group,
            realtime: None,
            settling: Settling::default(),
            changes,
            gate,
            control,
            requests: Requests::default(),
            schedule: Schedule::new(syscheck, now),
            scan: None,
            first: false,
            scans: 0,
            first_scan: syscheck.scan_on_start.then(|| now.instant + delay),
            requested: false,
            run_asked: false,
            fresh: Vec::new(),
            events_lost: false,
            compact_asked: false,
            jobs: VecDeque::new(),
            looks: Looks::default(),
            outbox: VecDeque::new(),
            next_tick: now.instant,
            next_flush: now.instant,
            last_flush: Duration::ZERO,
            together_until: None,
            write_failed: false,
            counts: Counts::default(),
        };
        watcher.take_settings(syscheck)?;
        watcher.tell_all_if_classic();
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
        self.scan = None;
        self.scans += 1;
        self.forget_place();
        self.requested = true;
        Ok(())
    }

    /// Does what is to be done now, without waiting. `false` when the worker is dead.
    pub fn turn(&mut self, now: &Moment) -> bool {
        self.read_events(now.instant);
        self.hear();
        self.look_at_settled(now.instant);
        self.begin_scan_if_due(now);
        self.give_jobs();
        self.answer(now.instant);
        self.take_news(now.instant);
        self.give_jobs();
        self.open_gate(now.instant);
        self.transmit(now.instant);
        !self.worker.is_dead()
    }

    /// Waits until there is something to do, or `other` is readable; a tick at the most.
    pub fn wait(&self, other: Option<BorrowedFd<'_>>) {
        let now = Instant::now();
        let answer = (!self.requests.is_empty()).then(|| now + TICK / 10);
        let wakes = [
            self.sender.deadline(),
            self.settling.next_due(),
            self.gate.next_due(now),
            answer.filter(|_| self.outbox.is_empty()),
            self.together_until,
            Some(self.next_tick),
        ];
        let until = wakes.into_iter().flatten().min().unwrap_or(now + TICK);
        let timeout = until.saturating_duration_since(now).min(TICK);
        let timeout = Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(1),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let reads = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut ready = Vec::with_capacity(6);
        ready.extend(other.map(reads));
        // While events wait for others the queue is not listened to.
        if let Some(fd) = self.sender.fd().filter(|_| self.together_until.is_none()) {
            let out = if self.sender.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
            ready.push(PollFd::from_borrowed_fd(fd, PollFlags::IN | out));
        }
        ready.extend(self.realtime.iter().flat_map(Realtime::fds).map(reads));
        ready.extend(self.who.audit_fd().map(reads));
        ready.extend(self.control.as_ref().map(|control| reads(control.as_fd())));
        // With a full queue the news wait, however many there be.
        if self.outbox.is_empty() {
            ready.push(reads(self.worker.wake_fd().as_fd()));
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

    /// Whether a run of everything was asked for, or due by the calendar, since the last call.
    pub fn take_run_asked(&mut self) -> bool {
        std::mem::take(&mut self.run_asked)
    }

    /// Where the names of users and processes come from.
    pub fn who(&self) -> Step {
        self.who.step()
    }

    /// The accounts now.
    pub fn counts(&self) -> Counts {
        let (watched, unwatched) =
            self.realtime.as_ref().map_or((0, 0), |realtime| realtime.table().counts());
        let progress = self.worker.progress();
        Counts {
            pending: (self.sender.pending() + self.outbox.len()) as u64,
            forwarded: self.counts.forwarded - self.sender.pending() as u64,
            held: self.gate.held() as u64,
            files: self.baseline.len() as u64,
            watched,
            unwatched,
            looked_at: progress.files.load(Ordering::Relaxed),
            unchanged: progress.unchanged.load(Ordering::Relaxed),
            bytes_read: progress.bytes.load(Ordering::Relaxed),
            scanning: match (self.worker.is_paused(), &self.scan) {
                (true, _) => 2,
                (false, Some(_)) => 1,
                (false, None) => 0,
            },
            who: match self.who.step() {
                Step::Fanotify => 2,
                Step::Audit => 1,
                Step::None => 0,
            },
            ..self.counts
        }
    }

    /// Whether no scan is going on, and all that was found is at the manager's.
    pub fn is_idle(&self) -> bool {
        let told = self.sender.pending() == 0 && self.outbox.is_empty() && !self.gate.holds();
        let asked = !self.requests.is_empty() || !self.jobs.is_empty();
        let looked = self.settling.is_empty() && self.worker.has_looked();
        self.scan.is_none() && told && !asked && looked
    }

    fn take_settings(&mut self, syscheck: &Syscheck) -> io::Result<()> {
        let plan = Plan::new(syscheck).map_err(too_long)?;
        self.realtime = match plan.has_realtime() {
            true => Some(Realtime::new(self.group.as_ref())?),
            false => None,
        };
        let table = self.realtime.as_ref().map(Realtime::table);
        self.plan = Arc::new(plan);
        self.find_fresh();
        self.settling.clear();
        self.jobs.clear();
        self.jobs.push_back(Job::Plan { plan: self.plan.clone(), table });
        self.jobs.push_back(Job::Watch);
        Ok(())
    }

    fn read_events(&mut self, now: Instant) {
        self.who.read_audit(now);
        let Some(realtime) = &mut self.realtime else { return };
        let (plan, who) = (&self.plan, &mut self.who);
        let wanted = |path: &[u8]| plan.entry_for(path).is_some_and(|entry| entry.options.realtime);
        let touched = realtime.read(|path, pid| {
            if wanted(path) {
                who.touched(path, pid, now);
            }
        });
        for touched in touched {
            let noted = match touched {
                Touched::Path { path, busy } => {
                    let wanted = self.plan.entry_for(&path);
                    match wanted.map(|entry| entry.options).filter(|options| options.realtime) {
                        Some(options) if options.growing => {
                            // Each line that is written to a log would be a reading of all of it.
                            busy || self.settling.touch_rarely(path, now)
                        }
                        Some(_) => self.settling.touch(path, busy, now),
                        None => true,
                    }
                }
                Touched::FolderGone(folder) => {
                    // It comes back behind what the worker has said by then.
                    self.jobs.push_back(Job::Gone(folder));
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

    /// The files below a folder that were told of, or are about to be.
    fn known_below(&mut self, folder: &[u8]) -> Vec<Vec<u8>> {
        let mut known = Vec::new();
        if let Err(error) = self.baseline.flush() {
            log::debug!("a folder is gone, and the baseline cannot be written: {error}");
        }
        if let Ok(reader) = self.baseline.reader() {
            for folder in reader.folders_below(folder) {
                let names = reader.folder(&folder);
                known.extend(names.into_iter().map(|(name, _)| join(&folder, &name)));
            }
        }
        known.extend(self.on_their_way().filter(|path| is_below(folder, path)).cloned());
        known
    }

    /// Files that are not in the baseline's file as they are told: not written, not sent, or held back.
    fn on_their_way(&self) -> impl Iterator<Item = &Vec<u8>> {
        let unsent = self.outbox.iter().filter_map(|message| match message {
            Message::File { path, .. } => Some(path),
            _ => None,
        });
        self.baseline.unwritten().chain(unsent).chain(self.gate.paths())
    }

    fn look_at_settled(&mut self, now: Instant) {
        while let Some(path) = self.settling.take(now) {
            self.jobs.push_back(Job::Look(path));
        }
    }

    fn give_jobs(&mut self) {
        while let Some(job) = self.jobs.pop_front() {
            let path = match &job {
                Job::Look(path) | Job::Growth(path, _) | Job::Gone(path) => Some(path.clone()),
                Job::Plan { .. } | Job::Watch | Job::Scan(_) => None,
            };
            if let Err(job) = self.worker.offer(job) {
                self.jobs.push_front(job);
                break;
            }
            path.into_iter().for_each(|path| self.looks.ask(path));
        }
    }

    /// Writes first, sends then.
    fn transmit(&mut self, now: Instant) {
        if self.waits_for_more(now) {
            return;
        }
        self.baseline.acknowledged(self.sender.acked());
        // What nobody is told need not be on disk at once; a disk that is full is tried again later.
        let is_urgent = self.baseline.told() > 0 || self.baseline.waiting() >= MOST_WAITING;
        if (is_urgent && !self.write_failed) || now >= self.next_flush {
            self.next_flush = now + TICK;
            let begun = Instant::now();
            let flushed = self.baseline.flush();
            self.last_flush = begun.elapsed();
            match flushed {
                Ok(()) => {
                    if std::mem::take(&mut self.write_failed) {
                        log::info!("'queue/syscheckd/baseline.redb' can be written again.");
                        // A scan meanwhile had nothing to compare with.
                        self.requested = true;
                    }
                }
                Err(error) if !self.write_failed => {
                    self.write_failed = true;
                    log::error!(
                        "Unable to write 'queue/syscheckd/baseline.redb': {error}. Events are sent \
                         all the same; after a restart they are sent again."
                    );
                }
                Err(_) => {}
            }
        }
        self.sender.drive(now);
        if self.compact_asked && self.is_idle() {
            self.compact_asked = false;
            self.baseline.compact();
        }
    }

    /// Whether the events that are to be written and sent wait for others: while a scan goes on, which finds more at once.
    fn waits_for_more(&mut self, now: Instant) -> bool {
        let few = (1..MOST_WAITING).contains(&self.baseline.told());
        if !few || self.scan.is_none() || !self.outbox.is_empty() || self.write_failed {
            self.together_until = None;
            return false;
        }
        let [least, most] = TOGETHER;
        let wait = self.last_flush.clamp(least, most);
        let until = *self.together_until.get_or_insert(now + wait);
        if now >= until {
            self.together_until = None;
        }
        now < until
    }
}

fn too_long(error: PatternError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
