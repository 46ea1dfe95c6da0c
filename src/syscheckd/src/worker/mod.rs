//! The worker: the thread that goes through the watched files. It walks, watches folders, reads, and reports what it saw.
//!
//! One thread, so that what it says of a path is in order: of two looks at a file the later one is told later. A scan in haste has other
//! threads read for it ([`pool`]), and tells what they saw in the order of its walk. Between two files of a scan, while
//! it rests, and between two pieces of a large file it looks at the paths that realtime events name, so that these never wait
//! for a scan. It knows nothing of sums or of the queue: the owner compares. The channels are bounded, texts by their length too; when
//! the owner does not come along, the worker waits.
//!
//! A scan goes folder by folder through what is there and what is remembered side by side ([`walk`]): a file whose stamp is the
//! remembered one is not read, one that is remembered and not there is told as gone. [`hand`] takes the jobs.

mod course;
mod hand;
mod pool;
mod walk;

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError, bounded};
use fim::Attributes;

use crate::baseline::{Mark, Reader};
use crate::hash::Digests;
use crate::plan::Plan;
use crate::realtime::WatchTable;
use hand::Hand;

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
    Scan(Box<Scan>),
    /// Looks at a path, and, if it is a folder, at all below it.
    Look(Vec<u8>),
    /// Looks at a growing file, and makes the digests of its first bytes, so many, too.
    Growth(Vec<u8>, u64),
    /// Says [`News::FolderGone`], behind all that was said before.
    Gone(Vec<u8>),
}

/// A scan to be made.
pub struct Scan {
    /// Comes back in [`News::ScanEnded`].
    pub id: u64,
    /// What "everything" is.
    pub scope: Scope,
    /// Whether it rests now and then.
    pub rests: bool,
    /// What is remembered of the files.
    pub remembered: Reader,
    /// Files that were told of, and are not remembered yet.
    pub also: Vec<Vec<u8>>,
    /// News that had been taken when this was put together; what was told in later ones is not remembered either.
    pub taken: u64,
    /// A scan of everything that was cut short goes on where it was.
    pub from: Option<Place>,
}

/// How far a scan is: a folder of an entry, whose files are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The entry's path.
    pub entry: Vec<u8>,
    /// The folder.
    pub folder: Vec<u8>,
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
        /// By which a later look knows it again.
        mark: Mark,
        /// Its content could not be read.
        unreadable: bool,
        /// The digests of its first bytes, so many: of a file that may grow.
        prefix: Option<(u64, Box<Digests>)>,
        /// The bytes that were hashed, of a small file whose changes are reported.
        content: Option<Vec<u8>>,
    },
    /// No file (any more).
    Gone(Vec<u8>),
    /// A folder was deleted or moved away: what is known below it is to be looked at.
    FolderGone(Vec<u8>),
    /// A file that the plan does not want.
    Unwanted(Vec<u8>),
    /// The scan has come so far.
    Reached(Place),
    /// The scan is through, or was given up.
    ScanEnded {
        /// As in the job.
        id: u64,
        /// Not given up.
        complete: bool,
    },
}

/// What was done so far; shared with the owner, for its accounts.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files looked at.
    pub files: AtomicU64,
    /// Of these, files that were as remembered and not read.
    pub unchanged: AtomicU64,
    /// Bytes read.
    pub bytes: AtomicU64,
    /// Folders gone through.
    pub folders: AtomicU64,
    /// Looks at single paths that were done.
    looks: AtomicU64,
    /// Scans rest by request.
    paused: AtomicBool,
}

impl Progress {
    fn add(&self, what: &AtomicU64, count: u64) {
        what.fetch_add(count, Ordering::Relaxed);
    }
}

/// How a scan spares the machine.
#[derive(Debug, Clone, Copy)]
pub struct Pacing {
    /// Files between two rests.
    pub files: u64,
    /// Length of a rest.
    pub rest: Duration,
    /// Threads that look at files in a scan without rests; 0 is as many as suit the machine, 1 is none besides the worker.
    pub threads: usize,
}

/// The owner's end. Dropping it stops the worker, also in the middle of a file, and waits for its end.
pub struct Worker {
    jobs: Option<Sender<Job>>,
    news: Option<Receiver<News>>,
    /// A piece for each that a text among the news has.
    texts: Option<Receiver<()>>,
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
    /// Looks at single paths that were asked for.
    looks: u64,
    taken: Cell<u64>,
    thread: Option<JoinHandle<()>>,
}

/// News that may wait; a few of the queue's packets.
const NEWS: usize = 1024;
/// Pieces of texts ([`News::File`]'s content) that may wait: 16 MiB.
const PIECES: usize = 256;
/// Length of a piece.
const PIECE: usize = 64 << 10;
/// Jobs that may wait in the channel; more wait with the owner.
const JOBS: usize = 1024;

impl Worker {
    /// Starts the thread. It does nothing until it is given a plan.
    ///
    /// # Errors
    /// When the system has no more threads or descriptors.
    pub fn start(pacing: Pacing) -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (jobs, jobs_in) = bounded(JOBS);
        let (news_out, news) = sync_channel(NEWS);
        let (texts_out, texts) = sync_channel(PIECES);
        let progress = Arc::new(Progress::default());
        let ends = (jobs_in, news_out, texts_out);
        let pacing = Pacing { threads: pool::threads(pacing.threads), ..pacing };
        let hand = Hand::new(ends, wake.clone(), stop.clone(), progress.clone(), pacing);
        let thread = std::thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || drop(hand.work()))?;
        Ok(Self {
            jobs: Some(jobs),
            news: Some(news),
            texts: Some(texts),
            wake,
            stop,
            progress,
            looks: 0,
            taken: Cell::new(0),
            thread: Some(thread),
        })
    }

    /// Gives a job, or gives it back when too many wait.
    ///
    /// # Errors
    /// The job itself.
    pub fn offer(&mut self, job: Job) -> Result<(), Job> {
        let is_look = matches!(job, Job::Look(_) | Job::Growth(..) | Job::Gone(_));
        match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            None | Some(Ok(())) => {
                self.looks += u64::from(is_look);
                Ok(())
            }
            Some(Err(TrySendError::Full(job) | TrySendError::Disconnected(job))) => Err(job),
        }
    }

    /// Whether all single paths were looked at; what was seen there is among the news.
    pub fn has_looked(&self) -> bool {
        self.looked() == self.looks
    }

    /// How many single paths were looked at; what was seen there is among the news.
    pub fn looked(&self) -> u64 {
        self.progress.looks.load(Ordering::Acquire)
    }

    /// The next news, if there is one.
    pub fn news(&self) -> Option<News> {
        let news = self.news.as_ref()?.try_recv().ok()?;
        self.taken.set(self.taken.get() + 1);
        if let Some(texts) = &self.texts {
            // They were there before the news.
            texts.try_iter().take(pieces(&news)).for_each(drop);
        }
        Some(news)
    }

    /// How many news were taken.
    pub fn taken(&self) -> u64 {
        self.taken.get()
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

    /// Lets scans rest, or go on. Looks at single paths go on.
    pub fn pause(&self, pause: bool) {
        self.progress.paused.store(pause, Ordering::Relaxed);
    }

    /// Whether scans rest by request.
    pub fn is_paused(&self) -> bool {
        self.progress.paused.load(Ordering::Relaxed)
    }

    /// What was done so far.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether the thread has come to an end by itself: a bug, since it goes on until it is told to stop.
    pub fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

/// How many pieces the text among the news has.
fn pieces(news: &News) -> usize {
    match news {
        News::File { content: Some(content), .. } => content.len().div_ceil(PIECE).min(PIECES),
        _ => 0,
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Waiting for any channel ends with an error once our ends are gone.
        (self.jobs, self.news, self.texts) = (None, None, None);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::{CheckOptions, Directory, Syscheck};

    #[test]
    fn large_texts_wait_only_so_many_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let text = vec![b'x'; 1 << 20];
        for n in 0..40 {
            std::fs::write(folder.path().join(format!("f{n:02}")), &text).unwrap();
        }
        let options = CheckOptions { md5: true, report_changes: true, ..CheckOptions::default() };
        let directory = Directory { path: folder.path().to_owned(), options, restrict: None };
        let syscheck = Syscheck { directories: vec![directory], ..Syscheck::default() };
        let plan = Arc::new(Plan::new(&syscheck).unwrap());
        let pacing = Pacing { files: 1, rest: Duration::ZERO, threads: 1 };
        let mut worker = Worker::start(pacing).unwrap();
        let path = folder.path().to_str().unwrap().as_bytes().to_vec();
        assert!(worker.offer(Job::Plan { plan, table: None }).is_ok());
        assert!(worker.offer(Job::Look(path)).is_ok());

        // Nobody takes the pieces: the worker waits for room until the channel is closed.
        let news = worker.news.take().unwrap();
        let is_text = |news: &News| matches!(news, News::File { content: Some(_), .. });
        assert_eq!(news.iter().filter(is_text).take(16).count(), 16);
        assert!(news.recv_timeout(Duration::from_millis(500)).is_err());
        worker.texts = None;
        assert_eq!(news.iter().filter(is_text).count(), 0);
    }
}
