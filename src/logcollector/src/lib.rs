//! `ossec-logcollector`: watches log files, commands and the journal, and hands over what they say.
//!
//! ```text
//! file grew (notice) -> watch -> tail: bytes -> line -> format: records -> outbox: number, position (ledger), queue
//! ```
//!
//! - [`watch`] follows rotation, [`tail`] one open file, [`lineage`] tells which file beside it is which.
//! - [`ledger`] keeps the positions, exact to the event, through any crash; [`journal`] are its lines on disk.
//! - [`sources`] goes from the configuration to watches; [`collector`] is the loop.
//! - To add a format: one file in [`format`], one line in its table.
//!
//! What a compatible collector does is in the specification, host-daemons 8; what we do otherwise, and why, in
//! `docs/differences.md`.

mod child;
mod collector;
mod command;
mod export;
pub mod foreign;
pub mod format;
mod journal;
mod journald;
mod ledger;
pub mod line;
mod lineage;
mod location;
mod notice;
mod outbox;
mod pipe;
mod sources;
mod tail;
mod watch;

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agents::Central;
use agents::central::AGENT_CONF;
use ipc::Sender;
use runtime::{Capability, Daemon, Failure, Privilege, Program, Sandbox, Signal, Start};
use rustix::process::{Resource, getrlimit, setrlimit};
use settings::{LogFormat, Settings};

use crate::collector::Collector;
use crate::ledger::Ledger;
use crate::notice::Notices;
use crate::outbox::Outbox;

static PROGRAM: Program = Program {
    name: "ossec-logcollector",
    about: "watches log files and commands, and hands over what they say",
    debug_option: Some("logcollector.debug"),
    // It reads any log, and ends commands that take too long, whoever they became.
    privilege: Privilege::Root {
        group: "ossec",
        keep: &[Capability::DacReadSearch, Capability::DacOverride, Capability::Kill],
    },
};

/// Positions, relative to the install root.
const POSITIONS: &str = "queue/logcollector/positions";
const STATE_EVERY: Duration = Duration::from_secs(5);
/// How long a stop waits for acknowledgements.
const STOP_TIME: Duration = Duration::from_secs(3);

/// The program.
pub fn main() -> ExitCode {
    runtime::main(&PROGRAM, run)
}

fn run(start: Start) -> Result<(), Failure> {
    let commands = start.options().flag("logcollector.remote_commands");
    let mut central = Central::new(start.root(), start.config(), commands);
    let (settings, wrong) = central.load_at_start()?;
    settings.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    if start.test_only() {
        return wrong.map_or(Ok(()), |wrong| Err(wrong.into()));
    }
    let mut daemon = start.enter()?;
    if let Some(wrong) = wrong {
        wrong.log();
        log::error!("'{AGENT_CONF}' is not taken on: this host's own ossec.conf holds.");
    }
    daemon.require_writable(&["queue/logcollector"])?;
    raise_file_limit();
    let needs = Needs::of(&settings);
    daemon.confine(&needs.sandbox())?;
    let ledger = open_ledger(&daemon)?;
    let Some(outbox) = connect(&mut daemon, ledger) else { return Ok(()) };
    let mut collector = Collector::new(outbox, notices()?, host_name(), Instant::now());
    collector.configure(&settings.localfiles, Instant::now());
    daemon.ready();
    collect(&mut daemon, &mut collector, &mut central, needs);
    collector.stop(Instant::now() + STOP_TIME);
    write_state(&daemon, &collector);
    Ok(())
}

/// What the sources need besides reading files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    commands: bool,
    journals: bool,
    pipes: bool,
}

impl Needs {
    fn of(settings: &Settings) -> Self {
        let any = |wanted: &[LogFormat]| {
            settings.localfiles.iter().any(|entry| wanted.contains(&entry.format))
        };
        Self {
            commands: any(&[LogFormat::Command, LogFormat::FullCommand]),
            journals: any(&[LogFormat::Journald]),
            pipes: any(&[LogFormat::SyslogPipe]),
        }
    }

    /// Reads everything. Writes its positions only, unless it runs commands: those are the operator's, and may write and
    /// talk to whom they like. (A pipe is opened for writing, too, so that it never ends.)
    fn sandbox(self) -> Sandbox<'static> {
        let write: &[&str] =
            if self.commands || self.pipes { &["/"] } else { &["queue/logcollector"] };
        Sandbox {
            read: &["/"],
            write,
            network: self.commands,
            bind: false,
            exec: if self.commands || self.journals { &["/"] } else { &[] },
        }
    }

    /// Whether something is needed that the sandbox taken on at start does not allow.
    fn exceeds(self, granted: Self) -> bool {
        let exec = !self.sandbox().exec.is_empty() && granted.sandbox().exec.is_empty();
        exec || (self.commands && !granted.commands)
            || (self.pipes && granted.sandbox().write != ["/"])
    }
}

/// Each watched file is an open one: as many as the system lets us have.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log::debug!("the limit of open files stays as it is: {error}");
    }
}

fn open_ledger(daemon: &Daemon) -> Result<Ledger, Failure> {
    let path = daemon.root().join(POSITIONS);
    let stream = RandomState::new().hash_one(std::process::id());
    let ledger = Ledger::open(&path, stream).map_err(|error| {
        let why = runtime::errno(&error);
        Failure::new(
            Some(1103),
            format!(
                "Could not open file '{}' due to [{why}]. Positions are kept there.",
                path.display()
            ),
        )
    })?;
    if let Some(damage) = &ledger.damage {
        log::warn!("{}: {damage}; lines may come twice", path.display());
    }
    Ok(ledger)
}

/// Waits for the queue as long as it takes. `None`: we are to stop.
fn connect(daemon: &mut Daemon, mut ledger: Ledger) -> Option<Outbox> {
    let socket = daemon.root().join(ipc::paths::EVENTS);
    let mut sender = Sender::new(socket, "logcollector", ledger.stream());
    let mut patience = Some(Instant::now() + Duration::from_secs(5));
    loop {
        match sender.connect(Duration::from_millis(200)) {
            Ok(ended) => {
                let last = ledger.resume_after(ended);
                return Some(Outbox::new(sender, ledger, last));
            }
            Err(error) if patience.is_some_and(|at| Instant::now() >= at) => {
                patience = None;
                log::error!("{error} Nothing is read until it is there, and nothing is lost.");
            }
            Err(_) => {}
        }
        if daemon.signals().take().iter().any(|signal| matches!(signal, Signal::Stop(_))) {
            return None;
        }
    }
}

fn notices() -> Result<Notices, Failure> {
    Notices::new().map_err(|error| {
        let why = runtime::errno(&error);
        Failure::new(
            None,
            format!("inotify is not to be had due to [{why}]; raise fs.inotify.max_user_instances"),
        )
    })
}

/// As formats put it into headers of their own.
fn host_name() -> Vec<u8> {
    let name = fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim_ascii() {
        b"" => b"localhost".to_vec(),
        name => name.to_vec(),
    }
}

/// Collects until it is told to stop.
fn collect(daemon: &mut Daemon, collector: &mut Collector, central: &mut Central, needs: Needs) {
    let mut state_at = Instant::now();
    loop {
        let now = Instant::now();
        if now >= state_at {
            write_state(daemon, collector);
            state_at = now + STATE_EVERY;
            if central.has_changed() {
                log::info!("What the manager has in '{AGENT_CONF}' for this host has changed.");
                reload(daemon, collector, central, needs);
            }
        }
        collector.turn(now);
        collector.wait(daemon.signals().as_fd(), state_at);
        for signal in daemon.signals().take() {
            match signal {
                Signal::Stop(_) => return,
                Signal::Reload => reload(daemon, collector, central, needs),
                Signal::Child => {}
            }
        }
    }
}

/// Takes on the changed configuration; a bad one changes nothing.
fn reload(daemon: &mut Daemon, collector: &mut Collector, central: &mut Central, granted: Needs) {
    if let Err(failure) = daemon.reload_options() {
        log::error!("{failure}");
    }
    match central.load() {
        Ok(settings) => {
            settings.warnings.iter().for_each(|warning| log::warn!("{warning}"));
            collector.configure(&settings.localfiles, Instant::now());
            if Needs::of(&settings).exceeds(granted) {
                log::warn!(
                    "the first command, journal or pipe of a configuration needs a restart: the sandbox does not widen"
                );
            }
            log::info!("Configuration read again.");
        }
        Err(errors) => {
            errors.log();
            log::error!("The configuration was not taken on: collecting goes on as before.");
        }
    }
}

fn write_state(daemon: &Daemon, collector: &Collector) {
    if let Err(error) = daemon.write_state(&collector.accounts()) {
        log::debug!("accounts not written: {error}");
    }
}
