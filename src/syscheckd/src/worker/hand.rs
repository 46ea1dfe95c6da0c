//! The thread itself: takes jobs one after the other, and squeezes looks at single paths into long ones.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, select};
use settings::IoClass;
use sys::process::DiskTurn;

use super::pool::{Pool, Seen};
use super::walk::{Pace, Walk};
use super::{Job, NEWS, News, Pacing, Progress, Scan, Scope, pieces};
use crate::hash;
use crate::pace::Budget;
use crate::plan::{Plan, is_below};
use crate::realtime::WatchTable;

/// How often a paused scan asks whether it may go on.
const PAUSE_TICK: Duration = Duration::from_millis(100);
/// News of a scan that the owner is woken for; far fewer than the channel holds.
const TOGETHER: u64 = 64;

/// The owner is gone or wants us to stop.
pub(super) struct Stopped;

/// A file that is being looked at.
struct LookingAt {
    path: Vec<u8>,
    /// A nested look at that very file was told meanwhile: this one is out of date.
    superseded: bool,
}

/// The worker's own side.
pub(super) struct Hand {
    jobs: Receiver<Job>,
    news: SyncSender<News>,
    texts: SyncSender<()>,
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    pub(super) progress: Arc<Progress>,
    pub(super) plan: Arc<Plan>,
    table: Option<WatchTable>,
    pacing: Pacing,
    /// Jobs that came while another one was being done.
    backlog: VecDeque<Job>,
    /// Looking at a path in the middle of another job.
    nested: bool,
    /// The running job is to be given up: there is another plan.
    abandoned: bool,
    /// The files that the outer job looks at; what was seen of the first is told first.
    looking_at: VecDeque<LookingAt>,
    /// News that were told.
    told: u64,
    /// The last files among them, with their numbers: as many as may not have been taken.
    recent: VecDeque<(u64, Vec<u8>)>,
    /// News that the owner was not woken for.
    unsaid: u64,
    /// A scan is going on: its news can wait for each other.
    scanning: bool,
    /// Files looked at since the last rest.
    files: u64,
    budget: Budget,
    /// Of the bytes read, those that the budget knows of.
    accounted: u64,
}

impl Hand {
    pub(super) fn new(
        (jobs, news, texts): (Receiver<Job>, SyncSender<News>, SyncSender<()>),
        wake: Arc<OwnedFd>,
        stop: Arc<AtomicBool>,
        progress: Arc<Progress>,
        pacing: Pacing,
    ) -> Self {
        Self {
            jobs,
            news,
            texts,
            wake,
            stop,
            progress,
            plan: Arc::default(),
            table: None,
            pacing,
            backlog: VecDeque::new(),
            nested: false,
            abandoned: false,
            looking_at: VecDeque::new(),
            told: 0,
            recent: VecDeque::new(),
            unsaid: 0,
            scanning: false,
            files: 0,
            budget: Budget::new(0, 0),
            accounted: 0,
        }
    }

    pub(super) fn work(mut self) -> Result<(), Stopped> {
        loop {
            let job = match self.backlog.pop_front() {
                Some(job) => job,
                None => self.jobs.recv().map_err(|_| Stopped)?,
            };
            self.abandoned = false;
            match job {
                Job::Plan { plan, table } => {
                    self.budget = Budget::new(plan.max_cpu, plan.max_mbps);
                    set_disk_turn(plan.io_class);
                    (self.plan, self.table) = (plan, table);
                }
                Job::Watch => Walk::plain(&mut self, Pace::WatchOnly).entries(Scope::Realtime)?,
                Job::Scan(scan) => self.scan(*scan)?,
                Job::Look(path) => self.look_anew(&path, None)?,
                Job::Growth(path, size) => self.look_anew(&path, Some(size))?,
                Job::Gone(folder) => self.say_gone(folder)?,
            }
        }
    }

    fn scan(&mut self, scan: Scan) -> Result<(), Stopped> {
        self.files = 0;
        self.budget.start();
        self.accounted = self.progress.bytes.load(Ordering::Relaxed);
        self.scanning = true;
        let (id, scope, taken) = (scan.id, scan.scope, scan.taken);
        let mut also = scan.also.clone();
        also.extend(
            self.recent.drain(..).filter(|(number, _)| *number > taken).map(|(_, path)| path),
        );
        let mut walk = Walk::of_scan(self, scan);
        walk.entries(scope)?;
        walk.what_was_not_met(scope)?;
        for path in &also {
            walk.look_anew(path)?;
        }
        // The snapshot is given back before the owner goes on.
        drop(walk);
        self.looking_at.clear();
        self.scanning = false;
        self.tell(News::ScanEnded { id, complete: !self.abandoned })
    }

    /// Looks at a path again: after an event, or because a scan missed it.
    fn look_anew(&mut self, path: &[u8], size_before: Option<u64>) -> Result<(), Stopped> {
        self.supersede(path);
        let mut walk = Walk::plain(self, Pace::Brisk);
        walk.size_before = size_before;
        walk.look_anew(path)?;
        self.progress.looks.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn say_gone(&mut self, folder: Vec<u8>) -> Result<(), Stopped> {
        self.supersede(&folder);
        self.tell(News::FolderGone(folder))?;
        self.progress.looks.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// What is said of this path now is newer than what the outer job is about to say of it, or of what is below it.
    pub(super) fn supersede(&mut self, path: &[u8]) {
        if self.nested {
            for file in &mut self.looking_at {
                file.superseded |= file.path == path || is_below(path, &file.path);
            }
        }
    }

    /// Whether the running job is to be given up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned && !self.nested
    }

    /// To be called before a file is looked at.
    pub(super) fn begins(&mut self, path: &[u8]) {
        if !self.nested {
            self.looking_at.push_back(LookingAt { path: path.to_vec(), superseded: false });
        }
    }

    /// To be called when the file that was begun last was looked at; whether a nested job looked at it meanwhile.
    pub(super) fn ended_last(&mut self) -> bool {
        !self.nested && self.looking_at.pop_back().is_some_and(|file| file.superseded)
    }

    /// The path of the file that was begun first, which was looked at; `None` when a nested job looked at it meanwhile.
    pub(super) fn ended_first(&mut self) -> Option<Vec<u8>> {
        let file = self.looking_at.pop_front()?;
        (!file.superseded).then_some(file.path)
    }

    /// Waits for what the threads have seen, and looks meanwhile at what events name. Nothing was seen when the job was given up.
    pub(super) fn wait_for(&mut self, pool: &Pool) -> Result<Vec<Seen>, Stopped> {
        self.wake();
        while !self.abandoned {
            select! {
                recv(pool.seen()) -> seen => return seen.map_err(|_| Stopped),
                recv(self.jobs) -> job => self.squeeze_in(job.map_err(|_| Stopped)?)?,
            }
        }
        Ok(Vec::new())
    }

    /// How many threads a scan of this pace may have besides this one; 0 when it has to spare the machine.
    pub(super) fn threads(&self, pace: Pace) -> usize {
        let rests = self.plan.max_cpu > 0 || self.plan.max_mbps > 0 || !self.pacing.rest.is_zero();
        match self.pacing.threads {
            0 | 1 => 0,
            _ if rests && pace == Pace::Rests => 0,
            threads => threads,
        }
    }

    /// Looks at what events named meanwhile; in the middle of another job.
    pub(super) fn breathe(&mut self) -> Result<(), Stopped> {
        self.check_stop()?;
        if self.nested {
            return Ok(());
        }
        while let Ok(job) = self.jobs.try_recv() {
            self.squeeze_in(job)?;
        }
        Ok(())
    }

    /// After so many files of a scan, does nothing but serve events for a while.
    pub(super) fn rest_if_due(&mut self, pace: Pace) -> Result<(), Stopped> {
        self.breathe()?;
        while self.progress.paused.load(Ordering::Relaxed) && !self.nested && !self.abandoned {
            self.check_stop()?;
            self.serve_until(Instant::now() + PAUSE_TICK)?;
        }
        if pace != Pace::Rests || self.nested {
            return Ok(());
        }
        let read = self.progress.bytes.load(Ordering::Relaxed);
        let bytes = read.saturating_sub(self.accounted);
        self.accounted += bytes;
        self.pay(bytes)?;
        if self.plan.max_cpu > 0 {
            return Ok(());
        }
        self.files += 1;
        if self.files < self.pacing.files || self.pacing.rest.is_zero() {
            return Ok(());
        }
        self.files = 0;
        self.serve_until(Instant::now() + self.pacing.rest)
    }

    /// In the middle of a large file, after a piece of it.
    pub(super) fn rest_within_file(&mut self, pace: Pace) -> Result<(), Stopped> {
        self.wake();
        self.breathe()?;
        if pace != Pace::Rests || self.nested {
            return Ok(());
        }
        let piece = hash::CHUNK as u64;
        self.accounted += piece;
        self.pay(piece)
    }

    fn pay(&mut self, bytes: u64) -> Result<(), Stopped> {
        match self.budget.spent(bytes) {
            Some(rest) => self.serve_until(Instant::now() + rest),
            None => Ok(()),
        }
    }

    /// Does nothing but look at what events name.
    fn serve_until(&mut self, end: Instant) -> Result<(), Stopped> {
        self.wake();
        while !self.abandoned {
            match self.jobs.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(job) => self.squeeze_in(job)?,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Err(Stopped),
            }
        }
        Ok(())
    }

    fn squeeze_in(&mut self, job: Job) -> Result<(), Stopped> {
        match job {
            Job::Look(path) => self.nested(|hand| hand.look_anew(&path, None)),
            Job::Growth(path, size) => self.nested(|hand| hand.look_anew(&path, Some(size))),
            Job::Gone(folder) => self.nested(|hand| hand.say_gone(folder)),
            job => {
                self.abandoned |= matches!(job, Job::Plan { .. });
                self.backlog.push_back(job);
                Ok(())
            }
        }
    }

    fn nested(
        &mut self,
        job: impl FnOnce(&mut Self) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        self.nested = true;
        let done = job(self);
        self.nested = false;
        done
    }

    pub(super) fn watch(&self, folder: &[u8]) {
        if let Some(table) = &self.table {
            table.watch(folder);
        }
    }

    pub(super) fn tell(&mut self, news: News) -> Result<(), Stopped> {
        self.check_stop()?;
        self.told += 1;
        if let News::File { path, .. } = &news {
            if self.recent.len() > NEWS {
                self.recent.pop_front();
            }
            self.recent.push_back((self.told, path.clone()));
        }
        let pieces = pieces(&news);
        if pieces > 0 {
            self.wake();
        }
        for _ in 0..pieces {
            self.texts.send(()).map_err(|_| Stopped)?;
        }
        self.news.send(news).map_err(|_| Stopped)?;
        self.unsaid += 1;
        if self.nested || !self.scanning || pieces > 0 || self.unsaid >= TOGETHER {
            self.wake();
        }
        Ok(())
    }

    /// Says that there are news.
    fn wake(&mut self) {
        if std::mem::take(&mut self.unsaid) > 0 {
            // It can only fail when it is due to be read already.
            let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        }
    }

    fn check_stop(&self) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }
}

fn set_disk_turn(class: IoClass) {
    let turn = match class {
        IoClass::Normal => DiskTurn::Normal,
        IoClass::Low => DiskTurn::Low,
        IoClass::Idle => DiskTurn::Idle,
    };
    if let Err(error) = sys::process::set_disk_turn(turn) {
        log::warn!("<io_class> has no effect here: {error}. Scans read as everybody else does.");
    }
}
