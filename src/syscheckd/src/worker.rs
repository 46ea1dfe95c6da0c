//! The worker: the one thread that touches the watched files. It walks, watches folders, reads, and reports what it saw.
//!
//! One thread, so that what it says of a path is in order: of two looks at a file the later one is told later. Between two files of a scan, while
//! it rests, and between two pieces of a large file it looks at the paths that realtime events name, so that these never wait
//! for a scan. It knows nothing of sums or of the queue: the owner compares. Both channels are bounded; when the owner
//! does not come along, the worker waits.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fim::Attributes;
use rustix::fs::{Dir, FileType};

use crate::look::{Sight, is_gone, look, open_below, open_parent, open_root};
use crate::plan::{Entry, Plan, join, split};
use crate::realtime::WatchTable;

/// What the worker is to do.
pub enum Job {
    /// Goes by this plan from now on; a running scan is given up.
    Plan {
        /// What is watched.
        plan: Arc<Plan>,
        /// Where to add realtime watches.
        table: Option<WatchTable>,
    },
    /// Watches all folders of realtime entries, without looking at files.
    Watch,
    /// Looks at everything.
    Scan {
        /// Comes back in [`News::ScanEnded`].
        id: u64,
        /// What "everything" is.
        scope: Scope,
        /// Whether it rests now and then.
        rests: bool,
    },
    /// Looks at a path, and, if it is a folder, at all below it.
    Look(Vec<u8>),
    /// Comes back after the news of all earlier jobs.
    Mark(u64),
}

/// What a scan covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All entries.
    All,
    /// Entries with realtime: events were lost.
    Realtime,
}

/// What the worker saw.
#[derive(Debug)]
pub enum News {
    /// A file or link is there.
    File {
        /// Its path.
        path: Vec<u8>,
        /// What it looks like.
        attributes: Attributes,
        /// Its content could not be read.
        unreadable: bool,
    },
    /// No file (any more).
    Gone(Vec<u8>),
    /// A file that the plan does not want.
    Unwanted(Vec<u8>),
    /// Could not be looked at: nothing new about it.
    Unclear(Vec<u8>),
    /// The scan is through, or was given up.
    ScanEnded {
        /// As in the job.
        id: u64,
        /// Not given up.
        complete: bool,
    },
    /// Answers [`Job::Mark`].
    Mark(u64),
}

/// How a scan spares the machine.
#[derive(Debug, Clone, Copy)]
pub struct Pacing {
    /// Files between two rests.
    pub files: u64,
    /// Length of a rest.
    pub rest: Duration,
}

/// The owner's end. Dropping it stops the worker, also in the middle of a file, and waits for its end.
pub struct Worker {
    jobs: Option<SyncSender<Job>>,
    news: Option<Receiver<News>>,
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// News that may wait; a few of the queue's packets.
const NEWS: usize = 1024;
/// Jobs that may wait in the channel; more wait with the owner.
const JOBS: usize = 1024;
/// Longer paths are not descended into: their messages could not be sent.
const MAX_PATH: usize = 12_000;

impl Worker {
    /// Starts the thread. It does nothing until it is given a plan.
    ///
    /// # Errors
    /// When the system has no more threads or descriptors.
    pub fn start(pacing: Pacing) -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (jobs, jobs_in) = sync_channel(JOBS);
        let (news_out, news) = sync_channel(NEWS);
        let hand = Hand {
            jobs: jobs_in,
            news: news_out,
            wake: wake.clone(),
            stop: stop.clone(),
            plan: Arc::default(),
            table: None,
            pacing,
            backlog: VecDeque::new(),
            nested: false,
            abandoned: false,
            looking_at: Vec::new(),
            superseded: false,
            files: 0,
        };
        let thread = std::thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || drop(hand.work()))?;
        Ok(Self { jobs: Some(jobs), news: Some(news), wake, stop, thread: Some(thread) })
    }

    /// Gives a job, or gives it back when too many wait.
    ///
    /// # Errors
    /// The job itself.
    pub fn offer(&self, job: Job) -> Result<(), Job> {
        use std::sync::mpsc::TrySendError;
        match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(job) | TrySendError::Disconnected(job))) => Err(job),
        }
    }

    /// The next news, if there is one.
    pub fn news(&self) -> Option<News> {
        self.news.as_ref()?.try_recv().ok()
    }

    /// Readable when there may be news; call [`Self::woken`] before looking.
    pub fn wake_fd(&self) -> &OwnedFd {
        &self.wake
    }

    /// Makes [`Self::wake_fd`] silent until there are more news.
    pub fn woken(&self) {
        // Nothing to read only means that it is silent already.
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
    }

    /// Whether the thread has come to an end by itself: a bug, since it goes on until it is told to stop.
    pub fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Waiting for either channel ends with an error once our ends are gone.
        (self.jobs, self.news) = (None, None);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed already.
            let _ = thread.join();
        }
    }
}

/// The owner is gone or wants us to stop.
struct Stopped;

/// The worker's own side.
struct Hand {
    jobs: Receiver<Job>,
    news: SyncSender<News>,
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    plan: Arc<Plan>,
    table: Option<WatchTable>,
    pacing: Pacing,
    /// Jobs that came while another one was being done.
    backlog: VecDeque<Job>,
    /// Looking at a path in the middle of another job.
    nested: bool,
    /// The running job is to be given up: there is another plan.
    abandoned: bool,
    /// The file that the outer job is reading.
    looking_at: Vec<u8>,
    /// A nested look at that very file was told meanwhile: the outer one is out of date.
    superseded: bool,
    /// Files looked at since the last rest.
    files: u64,
}

/// How a walk goes about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Watches folders only.
    WatchOnly,
    /// Without rests.
    Brisk,
    /// With rests.
    Rests,
}

impl Hand {
    fn work(mut self) -> Result<(), Stopped> {
        loop {
            let job = match self.backlog.pop_front() {
                Some(job) => job,
                None => self.jobs.recv().map_err(|_| Stopped)?,
            };
            self.abandoned = false;
            match job {
                Job::Plan { plan, table } => (self.plan, self.table) = (plan, table),
                Job::Watch => self.visit_entries(Scope::Realtime, Pace::WatchOnly)?,
                Job::Scan { id, scope, rests } => self.scan(id, scope, rests)?,
                Job::Look(path) => self.look_anew(&path)?,
                Job::Mark(id) => self.tell(News::Mark(id))?,
            }
        }
    }

    fn scan(&mut self, id: u64, scope: Scope, rests: bool) -> Result<(), Stopped> {
        let pace = if rests { Pace::Rests } else { Pace::Brisk };
        self.files = 0;
        self.visit_entries(scope, pace)?;
        self.tell(News::ScanEnded { id, complete: !self.abandoned })
    }

    fn visit_entries(&mut self, scope: Scope, pace: Pace) -> Result<(), Stopped> {
        let plan = self.plan.clone();
        for entry in plan.entries() {
            if scope == Scope::All || entry.options.realtime {
                self.visit(entry, &entry.path, pace)?;
            }
        }
        Ok(())
    }

    /// Looks at a path again: after an event, or because a scan missed it.
    fn look_anew(&mut self, path: &[u8]) -> Result<(), Stopped> {
        let plan = self.plan.clone();
        match plan.entry_for(path) {
            Some(entry) => self.visit(entry, path, Pace::Brisk),
            None => self.tell(News::Unwanted(path.to_vec())),
        }
    }

    /// Looks at a path of an entry, or at all below it.
    fn visit(&mut self, entry: &Entry, path: &[u8], pace: Pace) -> Result<(), Stopped> {
        let is_root = path == entry.path;
        if is_root && entry.options.realtime {
            // A file has no watch of its own, and a folder may be made anew: their own folder's events tell.
            self.watch(split(path).0);
        }
        // A configured link to a folder is entered, one that was found is not.
        if is_root && open_root(path).is_ok() {
            self.tell_unless(pace == Pace::WatchOnly, News::Gone(path.to_vec()))?;
            return self.walk(entry, path, pace);
        }
        if pace == Pace::WatchOnly {
            return Ok(());
        }
        match open_parent(entry, path) {
            Ok((folder, name)) => match self.look_at(entry, &folder, name, path)? {
                Found::Folder => {
                    self.tell(News::Gone(path.to_vec()))?;
                    if entry.options.no_recurse { Ok(()) } else { self.walk(entry, path, pace) }
                }
                Found::Nothing => self.tell(News::Gone(path.to_vec())),
                Found::Told => Ok(()),
            },
            Err(error) if is_gone(&error) => self.tell(News::Gone(path.to_vec())),
            Err(error) => {
                log::warn!("Error accessing '{}': {error}", String::from_utf8_lossy(path));
                self.tell(News::Unclear(path.to_vec()))
            }
        }
    }

    /// Walks through a folder and all below it. Open descriptors do not add up: a folder is opened from the entry's root each time.
    fn walk(&mut self, entry: &Entry, folder: &[u8], pace: Pace) -> Result<(), Stopped> {
        let mut folders = vec![folder.to_vec()];
        while let Some(folder) = folders.pop() {
            if self.abandoned && !self.nested {
                return Ok(());
            }
            match self.walk_folder(entry, &folder, pace, &mut folders)? {
                Ok(()) => {}
                Err(error) if is_gone(&error) => {}
                Err(error) => {
                    let folder = String::from_utf8_lossy(&folder);
                    log::warn!("Error opening directory: '{folder}': {error}");
                }
            }
        }
        Ok(())
    }

    fn walk_folder(
        &mut self,
        entry: &Entry,
        folder: &[u8],
        pace: Pace,
        folders: &mut Vec<Vec<u8>>,
    ) -> Result<io::Result<()>, Stopped> {
        let relative = crate::plan::relative(&entry.path, folder);
        let opened = open_root(&entry.path).and_then(|root| open_below(root, relative));
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error)),
        };
        let plan = self.plan.clone();
        if plan.skip_nfs && is_network(&opened) {
            return Ok(Ok(()));
        }
        if entry.options.realtime {
            self.watch(folder);
        }
        let listing = match Dir::read_from(&opened) {
            Ok(listing) => listing,
            Err(errno) => return Ok(Err(errno.into())),
        };
        for found in listing {
            let found = match found {
                Ok(found) => found,
                Err(errno) => return Ok(Err(errno.into())),
            };
            let name = found.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let path = join(folder, name);
            if !plan.takes(entry, &path) {
                continue;
            }
            let is_folder = match found.file_type() {
                FileType::Directory => true,
                FileType::RegularFile | FileType::Symlink | FileType::Unknown
                    if pace != Pace::WatchOnly =>
                {
                    let found = self.look_at(entry, &opened, name, &path)?;
                    self.rest_if_due(pace)?;
                    matches!(found, Found::Folder)
                }
                _ => false,
            };
            if is_folder && !entry.options.no_recurse {
                if path.len() > MAX_PATH {
                    let start = String::from_utf8_lossy(path.get(..200).unwrap_or_default());
                    log::warn!(
                        "Directory too deep, not entered: '{start}...' ({} bytes).",
                        path.len()
                    );
                } else {
                    folders.push(path);
                }
            }
            if self.abandoned && !self.nested {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// Looks at one name in a folder and tells what is to be told of a file.
    fn look_at(
        &mut self,
        entry: &Entry,
        folder: &OwnedFd,
        name: &[u8],
        path: &[u8],
    ) -> Result<Found, Stopped> {
        if self.nested {
            self.superseded |= self.looking_at == path;
        } else {
            self.looking_at = path.to_vec();
            self.superseded = false;
        }
        if !entry.wants(path) {
            // Only whether it is a folder matters.
            let nothing = settings::CheckOptions::default();
            return match look(folder, name, &nothing, &mut || true) {
                Ok(Sight::Folder) => Ok(Found::Folder),
                _ => self.told(News::Unwanted(path.to_vec())),
            };
        }
        let sight = look(folder, name, &entry.options, &mut || self.breathe().is_ok());
        let outdated = self.superseded && !self.nested;
        match sight {
            Ok(Sight::Stopped) => Err(Stopped),
            _ if outdated => Ok(Found::Told),
            Ok(Sight::Folder) => Ok(Found::Folder),
            Ok(Sight::Special) => Ok(Found::Nothing),
            Ok(Sight::File { attributes, unreadable }) => {
                if let Some(error) = &unreadable {
                    let path = String::from_utf8_lossy(path);
                    log::warn!("Unable to read file '{path}' for checksum: {error}");
                }
                let (path, unreadable) = (path.to_vec(), unreadable.is_some());
                self.told(News::File { path, attributes, unreadable })
            }
            Err(error) if is_gone(&error) => Ok(Found::Nothing),
            Err(error) => {
                log::warn!("Error accessing '{}': {error}", String::from_utf8_lossy(path));
                self.told(News::Unclear(path.to_vec()))
            }
        }
    }

    /// Looks at what events named meanwhile; in the middle of another job.
    fn breathe(&mut self) -> Result<(), Stopped> {
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
    fn rest_if_due(&mut self, pace: Pace) -> Result<(), Stopped> {
        self.breathe()?;
        if pace != Pace::Rests || self.nested {
            return Ok(());
        }
        self.files += 1;
        if self.files < self.pacing.files || self.pacing.rest.is_zero() {
            return Ok(());
        }
        self.files = 0;
        let end = Instant::now() + self.pacing.rest;
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
            Job::Look(path) => {
                self.nested = true;
                let done = self.look_anew(&path);
                self.nested = false;
                done
            }
            job => {
                self.abandoned |= matches!(job, Job::Plan { .. });
                self.backlog.push_back(job);
                Ok(())
            }
        }
    }

    fn watch(&self, folder: &[u8]) {
        if let Some(table) = &self.table {
            table.watch(folder);
        }
    }

    fn told(&self, news: News) -> Result<Found, Stopped> {
        self.tell(news).map(|()| Found::Told)
    }

    fn tell_unless(&self, silent: bool, news: News) -> Result<(), Stopped> {
        if silent { Ok(()) } else { self.tell(news) }
    }

    fn tell(&self, news: News) -> Result<(), Stopped> {
        self.check_stop()?;
        self.news.send(news).map_err(|_| Stopped)?;
        // It can only fail when it is due to be read already.
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        Ok(())
    }

    fn check_stop(&self) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }
}

/// What a look at a name came to.
enum Found {
    /// News were sent.
    Told,
    /// A folder.
    Folder,
    /// Nothing that counts as a file.
    Nothing,
}

/// Whether a folder lies on NFS or a Windows share (statfs(2) numbers).
fn is_network(folder: &OwnedFd) -> bool {
    const NETWORK: [u32; 3] = [0x6969, 0xFF53_4D42, 0xFE53_4D42];
    let kind = rustix::fs::fstatfs(folder).map(|stat| stat.f_type as u32);
    kind.is_ok_and(|kind| NETWORK.contains(&kind))
}
