//! The main thread: what is looked at every few seconds, and when the keeper is called.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runtime::{Daemon, Failure, clock, errno};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::date::Date;
use crate::keeper::{self, Keeper, Order};
use crate::memory::Memory;
use crate::registered::Registered;
use crate::roll_call::{Now, RollCall};
use crate::voice::Voice;
use crate::wishes::Options;
use crate::{parts, program_logs};

/// Between two looks.
const TICK: Duration = Duration::from_secs(2);
/// Between two passes of the keeper when nothing else calls for one.
const PASS_INTERVAL: Duration = Duration::from_secs(600);
/// Between two passes while too little of the disk is free.
const URGENT_INTERVAL: Duration = Duration::from_secs(60);
/// How far the note of being alive may lie back.
const NOTE_INTERVAL: Duration = Duration::from_secs(60);
/// How long the end waits for the last words to be heard.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// All that the main thread looks after.
#[derive(Debug)]
pub struct Watch {
    root: PathBuf,
    options: Options,
    started: Instant,
    next_tick: Instant,
    keeper: Keeper,
    last_pass: Option<(Instant, Date)>,
    voice: Voice,
    registered: Registered,
    roll: RollCall,
    noted: Option<Instant>,
    rotated: u64,
    /// Troubles that were said and go on.
    complained: Complaints,
}

#[derive(Debug, Default)]
struct Complaints {
    keys: bool,
    note: bool,
}

impl Watch {
    /// Starts the keeper; the first words are said, the first looks come with the first turn.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(daemon: &Daemon) -> Result<Self, Failure> {
        let root = daemon.root().to_owned();
        let options = Options::of(daemon.options());
        let memory = Memory::load(&root);
        let limit = options.silence.unwrap_or(Duration::MAX);
        let keeper = Keeper::start(root.clone()).map_err(|error| {
            let why = errno(&error);
            Failure::new(None, format!("The thread that closes logs cannot be started: [{why}]."))
        })?;
        let mut voice = Voice::new(&root);
        voice.started();
        Ok(Self {
            registered: Registered::new(&root),
            roll: RollCall::new(limit, memory.reported, memory.alive),
            root,
            options,
            started: Instant::now(),
            next_tick: Instant::now(),
            keeper,
            last_pass: None,
            voice,
            noted: None,
            rotated: 0,
            complained: Complaints::default(),
        })
    }

    /// Does what is due.
    pub fn turn(&mut self, daemon: &Daemon) {
        if Instant::now() >= self.next_tick {
            self.rotate();
            self.call_keeper();
            self.call_roll();
            self.note();
            self.write_accounts(daemon);
            self.next_tick = Instant::now() + TICK;
        }
        self.voice.turn();
    }

    /// Waits for the next turn, or a signal.
    ///
    /// # Errors
    /// poll(2) failed.
    pub fn wait(&self, daemon: &mut Daemon) -> Result<(), Failure> {
        let voice = self.voice.deadline().filter(|_| self.voice.pending() > 0);
        let until = voice.map_or(self.next_tick, |deadline| deadline.min(self.next_tick));
        let timeout = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
        let signals = daemon.signals();
        let mut fds = vec![PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
        fds.extend(self.voice.fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => {
                let why = errno(&io::Error::from(error));
                Err(Failure::new(Some(1114), format!("Error during select()-call due to [{why}].")))
            }
        }
    }

    /// The options have changed.
    pub fn reload(&mut self, daemon: &Daemon) {
        self.options = Options::of(daemon.options());
        self.roll.set_limit(self.options.silence.unwrap_or(Duration::MAX));
        self.last_pass = None;
        self.next_tick = Instant::now();
    }

    /// Says the last words and notes what is to be remembered.
    pub fn end(&mut self, daemon: &Daemon) {
        self.voice.finish(LAST_WORDS);
        self.noted = None;
        self.note();
        self.write_accounts(daemon);
    }

    fn rotate(&mut self) {
        let now = clock::local(clock::now());
        if let (Some(most), Some(today)) = (self.options.rotate_at, date(now)) {
            self.rotated += parts::rotate(&self.root, today, most);
        }
        if let Some(most) = self.options.rotate_programs_at {
            self.rotated += program_logs::rotate(&self.root, most, now);
        }
    }

    /// After each midnight, and now and then: a limit may be crossed, or something may have failed.
    fn call_keeper(&mut self) {
        let now = clock::local(clock::now());
        let Some(today) = date(now) else { return };
        let since_midnight = Duration::from_secs(
            u64::from(now.hour) * 3600 + u64::from(now.minute) * 60 + u64::from(now.second),
        );
        let yesterday = today.yesterday();
        let is_over = since_midnight >= self.options.day_wait;
        let last_closed = if is_over { yesterday } else { yesterday.yesterday() };
        if !self.is_pass_due(last_closed) {
            return;
        }
        let order = Order {
            today,
            last_closed,
            wishes: self.options.closing,
            limits: self.options.limits,
            keep_rotated: self.options.keep_rotated,
        };
        if self.keeper.order(order) {
            self.last_pass = Some((Instant::now(), last_closed));
        }
    }

    fn is_pass_due(&self, last_closed: Date) -> bool {
        let Some((at, closed)) = self.last_pass else { return true };
        let is_scarce = || {
            let percent = self.options.limits.min_free_percent;
            let space = keeper::space(&self.root).ok();
            space.zip(percent).is_some_and(|(space, percent)| space.missing(percent) > 0)
        };
        closed != last_closed
            || at.elapsed() >= PASS_INTERVAL
            || at.elapsed() >= URGENT_INTERVAL && is_scarce()
    }

    fn call_roll(&mut self) {
        if self.options.silence.is_none() {
            return;
        }
        let mut gone = match self.registered.changed() {
            Ok(Some(names)) => self.roll.register(names),
            Ok(None) => Vec::new(),
            Err(error) => {
                if !std::mem::replace(&mut self.complained.keys, true) {
                    log::error!(
                        "(1103) Could not open file 'etc/client.keys' due to [{}]. Silent agents are not noticed.",
                        errno(&error)
                    );
                }
                return;
            }
        };
        self.complained.keys = false;
        let folder = self.root.join(agents::info::FOLDER);
        let now = Now { epoch: clock::now(), uptime: self.started.elapsed() };
        let silent = self.roll.call(now, &mut |name| last_sign(&folder, name));
        gone.extend(silent.into_iter().filter(|name| !is_suspended(&folder, name)));
        for agent in &gone {
            log::debug!("agent '{agent}' has fallen silent");
            self.voice.disconnected(agent);
        }
        if !gone.is_empty() {
            // First said, then noted: a kill between the two says it again.
            self.voice.finish(LAST_WORDS);
            self.noted = None;
        }
    }

    fn note(&mut self) {
        if self.noted.is_some_and(|at| at.elapsed() < NOTE_INTERVAL) || self.voice.pending() > 0 {
            return;
        }
        let reported = self.roll.reported().map(|(name, sign)| (name.to_owned(), sign)).collect();
        let memory = Memory { alive: Some(clock::now()), reported };
        match memory.store(&self.root) {
            Ok(()) => self.complained.note = false,
            Err(error) => {
                if !std::mem::replace(&mut self.complained.note, true) {
                    log::error!(
                        "What is known of silent agents cannot be written due to [{}]: after a restart they are reported again.",
                        errno(&error)
                    );
                }
            }
        }
        self.noted = Some(Instant::now());
    }

    fn write_accounts(&self, daemon: &Daemon) {
        let (agents, silent) = self.roll.counts();
        let mut accounts = self.voice.accounts().to_vec();
        accounts.extend([
            keeper::SIGNED.line(),
            keeper::COMPRESSED.line(),
            keeper::DELETED.line(),
            keeper::INCOMPLETE.line(),
            ("rotated", self.rotated),
            ("agents", agents),
            ("agents_silent", silent),
        ]);
        if let Err(error) = daemon.write_state(&accounts) {
            log::debug!("accounts not written: {error}");
        }
    }
}

fn date(now: clock::Local) -> Option<Date> {
    Date::new(u16::try_from(now.year).ok()?, now.month, now.day)
}

/// Whether the agent has said that it will be silent.
fn is_suspended(folder: &Path, name: &str) -> bool {
    let is_so = agents::info::state(&folder.join(name)) == Some(wire::ours::State::Suspended);
    if is_so {
        log::info!("Agent '{name}' is silent since it was suspended; it is not reported.");
    }
    is_so
}

/// When an agent's file was last written.
fn last_sign(folder: &Path, name: &str) -> Option<i64> {
    let metadata = fs::symlink_metadata(folder.join(name)).ok()?;
    metadata.is_file().then(|| metadata.mtime())
}
