//! One daemon in the care of the supervisor: started or adopted, ready or not, ended, waiting to be started again.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use runtime::instance;
use rustix::event::{PollFd, PollFlags};
use sys::process::Handle;

use crate::control::backoff::Backoff;

/// How long a daemon may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
const KILL: i32 = 9;
const TERM: i32 = 15;

/// A daemon and how it fares.
#[derive(Debug)]
pub(crate) struct Ward {
    /// Its program below `bin`.
    pub(crate) name: &'static str,
    /// How it fares.
    pub(crate) phase: Phase,
    /// The last line that it told us itself: why it has ended, if it knew.
    pub(crate) last_words: String,
    /// How often it was started again.
    pub(crate) restarts: u64,
    process: Option<Process>,
    /// Where it says that it is ready; open as long as it has not.
    notify: Option<UnixDatagram>,
    began: Instant,
    backoff: Backoff,
}

/// What a daemon is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not started yet, or stopped on purpose.
    Idle,
    /// Started, but has not said that it is ready.
    Starting,
    /// Works.
    Running,
    /// Has died and will be started again then.
    Waiting(Instant),
    /// Has ended by itself before it was ready, without an error: the configuration does not want it.
    NotWanted,
}

/// What has happened to a daemon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It said that it is ready.
    Ready,
    /// It has ended.
    Ended {
        /// In words: `by signal 9`.
        how: String,
        /// By itself and without an error.
        good: bool,
    },
}

#[derive(Debug)]
struct Process {
    pid: u32,
    handle: Handle,
    /// Only of those that we have started.
    child: Option<Child>,
}

impl Ward {
    /// One that is not started yet.
    pub(crate) fn new(name: &'static str) -> Self {
        let backoff = Backoff::default();
        Self {
            name,
            phase: Phase::Idle,
            restarts: 0,
            last_words: String::new(),
            process: None,
            notify: None,
            began: Instant::now(),
            backoff,
        }
    }

    /// Takes over one that runs already, whoever has started it; says whether there is one.
    pub(crate) fn adopt(&mut self, root: &Path) -> bool {
        let running = instance::running(root, self.name);
        let Some((pid, handle)) = running.and_then(|pid| Some((pid, Handle::open(pid).ok()?)))
        else {
            return false;
        };
        self.process = Some(Process { pid, handle, child: None });
        self.phase = Phase::Running;
        self.began = Instant::now();
        true
    }

    /// Starts it.
    ///
    /// # Errors
    /// The program or its notify socket is missing or not usable.
    pub(crate) fn start(&mut self, root: &Path, debug: bool) -> io::Result<()> {
        let socket = notify_path(root, self.name);
        let notify = ipc::datagram::bind(&socket)?;
        let mut command = Command::new(root.join("bin").join(self.name));
        command
            .args(["-f", "-D"])
            .arg(root)
            .args(debug.then_some("-d"))
            .env("NOTIFY_SOCKET", &socket);
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let pid = child.id();
        let handle = Handle::open(pid).inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })?;
        self.process = Some(Process { pid, handle, child: Some(child) });
        self.notify = Some(notify);
        self.phase = Phase::Starting;
        self.began = Instant::now();
        Ok(())
    }

    /// The descriptors to wait on for [`Ward::event`].
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let process = self.process.as_ref().map(|process| process.handle.as_fd());
        let notify = self.notify.as_ref().map(AsFd::as_fd);
        process.into_iter().chain(notify).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
    }

    /// When [`Ward::event`] or [`Ward::is_due`] is to be asked at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Starting => Some(self.began + READY_WITHIN),
            Phase::Waiting(until) => Some(until),
            Phase::Idle | Phase::Running | Phase::NotWanted => None,
        }
    }

    /// Whether its wait is over and it is to be started again.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Waiting(until) if now >= until)
    }

    /// What has happened, without waiting. After `Ended` the phase is up to the caller.
    pub(crate) fn event(&mut self, root: &Path, now: Instant) -> Option<Event> {
        let says_ready = self.listen();
        if self.phase == Phase::Starting && says_ready {
            self.close_notify(root);
            self.phase = Phase::Running;
            return Some(Event::Ready);
        }
        let process = self.process.as_mut()?;
        if process.handle.ended_within(Duration::ZERO).unwrap_or(false) {
            let (how, good) = how_it_ended(process.child.as_mut());
            self.clear(root);
            return Some(Event::Ended { how, good });
        }
        if self.phase == Phase::Starting && now >= self.began + READY_WITHIN {
            let _ = process.handle.signal(KILL);
            if let Some(child) = process.child.as_mut() {
                let _ = child.wait();
            }
            self.clear(root);
            let how = format!("by our hand: it was not ready after {} s", READY_WITHIN.as_secs());
            return Some(Event::Ended { how, good: false });
        }
        None
    }

    /// Lets it wait before the next start; gives the wait.
    pub(crate) fn back_off(&mut self, now: Instant) -> Duration {
        let wait = self.backoff.after_death(now.saturating_duration_since(self.began));
        self.restarts += 1;
        self.phase = Phase::Waiting(now + wait);
        wait
    }

    /// How long it has lived, or did live.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// The process, while there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid)
    }

    /// Sends a signal, if it runs.
    pub(crate) fn signal(&self, number: i32) {
        if let Some(process) = &self.process {
            // It may have ended in this moment.
            let _ = process.handle.signal(number);
        }
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(TERM);
    }

    /// Waits for its end, `limit` at most; says whether it has ended.
    pub(crate) fn ended_within(&mut self, root: &Path, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let Some(process) = self.process.as_mut() else { return true };
            let left = deadline.saturating_duration_since(Instant::now());
            if process.handle.ended_within(left).unwrap_or(false) {
                how_it_ended(process.child.as_mut());
                self.clear(root);
                return true;
            }
            if left.is_zero() {
                return false;
            }
        }
    }

    /// Ends it without asking.
    pub(crate) fn kill(&mut self, root: &Path) {
        self.signal(KILL);
        self.ended_within(root, Duration::from_secs(5));
    }

    /// Takes what it has told; says whether it was that it is ready.
    fn listen(&mut self) -> bool {
        let Some(notify) = &self.notify else { return false };
        let mut buffer = [0; 4096];
        let mut ready = false;
        while let Ok(len) = notify.recv(&mut buffer) {
            for line in String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).lines() {
                match line.strip_prefix("STATUS=") {
                    Some(words) => self.last_words = words.to_owned(),
                    None => ready |= line == "READY=1",
                }
            }
        }
        ready
    }

    fn clear(&mut self, root: &Path) {
        self.process = None;
        self.close_notify(root);
    }

    fn close_notify(&mut self, root: &Path) {
        if self.notify.take().is_some() {
            let _ = fs::remove_file(notify_path(root, self.name));
        }
    }
}

fn notify_path(root: &Path, name: &str) -> PathBuf {
    root.join("var/run").join(format!("{name}.notify"))
}

/// Collects the status, so that no zombie stays, and puts it into words; the second part says whether it was a good end.
fn how_it_ended(child: Option<&mut Child>) -> (String, bool) {
    let Some(child) = child else {
        return ("in an unknown way (another supervisor had started it)".to_owned(), false);
    };
    match child.wait() {
        Ok(status) => (in_words(status), status.success()),
        Err(error) => (format!("in an unknown way ({error})"), false),
    }
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("with exit status {code}"),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => "in an unknown way".to_owned(),
    }
}
