//! `ossec-remoted`: the manager's door. Agents over UDP, syslog over UDP and TCP, requests to agents.
//!
//! One thread. A datagram becomes an authentic message ([`agents_table`], [`intake`]: pure but for the numbers on disk), a
//! message becomes an event for analysisd ([`outbox`]) or is answered ([`post`]). When analysisd can't keep up, nothing is
//! read any more: the sockets' buffers fill, and only what exceeds them is lost, counted by the kernel and by the gaps in
//! the agents' numbers ([`accounts`]).

pub mod accounts;
pub mod agents_table;
pub mod complaints;
pub mod doors;
pub mod doubts;
pub mod holder;
pub mod intake;
pub mod lookups;
pub mod names;
pub mod orders;
pub mod outbox;
pub mod policy;
pub mod post;
pub mod presence;
pub mod remedy;
pub mod server;
pub mod shared;
pub mod syslog;
pub mod wait;

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use runtime::{Daemon, Failure, Privilege, Program, Sandbox, Signal, Start, errno};
use rustix::process::{Resource, Rlimit};
use rustix::rand::{GetRandomFlags, getrandom};
use settings::{CryptoAccept, Remote};
use wire::datagram::Accept;

use crate::doors::Doors;
use crate::intake::Strictness;
use crate::policy::{Policy, Seen};
use crate::server::{Parts, Server};

static PROGRAM: Program = Program {
    name: "ossec-remoted",
    about: "hears agents and syslog from the network, and sends to agents",
    debug_option: Some("remoted.debug"),
    privilege: Privilege::User { user: "ossecr", group: "ossec" },
};

/// The socket of requests to agents.
pub const REQUESTS: &str = ipc::paths::AR;

/// Folders that must be writable for the daemon's user.
const WRITABLE: &[&str] = &["queue/rids", "queue/agent-info", "queue/alerts", "etc/shared"];

const KEYS_INTERVAL: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);
const SHARED_INTERVAL: Duration = Duration::from_secs(5);
const STATE_INTERVAL: Duration = Duration::from_secs(5);
/// How long the end waits for analysisd.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// The program.
pub fn main() -> ExitCode {
    runtime::main(&PROGRAM, run)
}

fn run(start: Start) -> Result<(), Failure> {
    let settings = settings::load(start.config())?;
    let policy = Policy::of(&settings.remotes)?;
    if start.test_only() {
        return Ok(());
    }
    if settings.remotes.is_empty() {
        log::debug!("no <remote> in the configuration");
        return Ok(());
    }
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    let mut daemon = start.enter()?;
    daemon.require_writable(WRITABLE)?;
    raise_open_files();
    let doors = Doors::open(&settings.remotes)?;
    daemon.confine(&Sandbox {
        read: &["etc"],
        write: &["queue/ossec", "queue/rids", "queue/agent-info", "queue/alerts", "etc/shared"],
        network: true,
        bind: false,
        exec: &[],
    })?;
    let requests = ipc::datagram::bind(&daemon.root().join(REQUESTS)).map_err(|error| {
        Failure::new(Some(1210), format!("Queue '{REQUESTS}' not accessible: '{error}'."))
    })?;
    let how = Strictness {
        accept: accept(&settings.remotes),
        pin_methods: settings.remotes.iter().rev().find_map(|remote| remote.pin_crypto)
            == Some(true),
        verify_numbers: daemon.options().flag("remoted.verify_msg_id"),
    };
    let stream = random().map_err(|error| {
        Failure::new(None, format!("the system gives no random number due to [{}]", errno(&error)))
    })?;
    let mut server = Server::open(&daemon, Parts { doors, requests, how, policy, stream })?;
    daemon.ready();
    serve(&mut daemon, &mut server)?;
    server.close(&daemon, Instant::now() + SHUTDOWN_LIMIT);
    Ok(())
}

/// Until a signal asks for the end.
fn serve(daemon: &mut Daemon, server: &mut Server) -> Result<(), Failure> {
    let start = Instant::now();
    let mut config = Seen::of(daemon.config()).ok();
    let (mut keys, mut second, mut shared, mut state) =
        (start, start, start + SHARED_INTERVAL, start);
    loop {
        let now = Instant::now();
        let more = server.turn(now);
        if is_due(&mut keys, now, KEYS_INTERVAL) {
            server.keep_keys(now);
        }
        if is_due(&mut second, now, SECOND) {
            server.each_second(now);
        }
        if is_due(&mut shared, now, SHARED_INTERVAL) {
            server.look_at_shared();
            let seen = Seen::of(daemon.config()).ok();
            // A file that is gone for a moment is being replaced.
            if seen.is_some() && seen != config {
                config = seen;
                reload(daemon, server);
            }
        }
        if is_due(&mut state, now, STATE_INTERVAL) {
            server.write_accounts(daemon);
        }
        wait(daemon, server, if more { now } else { keys.min(second) });
        for signal in daemon.signals().take() {
            match signal {
                Signal::Stop(_) => return Ok(()),
                Signal::Reload => reload(daemon, server),
                Signal::Child => {}
            }
        }
    }
}

fn wait(daemon: &mut Daemon, server: &Server, until: Instant) {
    let (mut watched, deadline) = server.watched();
    let until = deadline.map_or(until, |deadline| deadline.min(until));
    let signals = &*daemon.signals();
    watched.push(wait::Watched { fd: std::os::fd::AsFd::as_fd(signals), write: false });
    wait::wait(&watched, until.saturating_duration_since(Instant::now()));
}

fn is_due(at: &mut Instant, now: Instant, interval: Duration) -> bool {
    let due = now >= *at;
    if due {
        *at = now + interval;
    }
    due
}

/// Takes over who may speak, what is done about names, and counters that were replaced; ports need a restart.
fn reload(daemon: &mut Daemon, server: &mut Server) {
    server.look_at_numbers();
    match settings::load(daemon.config())
        .map_err(Failure::from)
        .and_then(|read| Policy::of(&read.remotes))
    {
        Ok(policy) => {
            server.set_policy(policy);
            log::info!("configuration read again (ports and ciphers stay until a restart)");
        }
        Err(error) => {
            log::error!("the configuration was not read again, the old one stays in use:\n{error}")
        }
    }
}

/// What the blocks say about ciphers; the last one that says something counts.
fn accept(remotes: &[Remote]) -> Accept {
    match remotes.iter().rev().find_map(|remote| remote.crypto_accept) {
        Some(CryptoAccept::Aes) => Accept::Aes,
        Some(CryptoAccept::Blowfish) => Accept::Blowfish,
        Some(CryptoAccept::Both) | None => Accept::Both,
    }
}

/// Each connection of syslog needs a descriptor.
fn raise_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if let Err(error) =
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        log::debug!("the limit of open files stays: {error}");
    }
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(u64::from_le_bytes(bytes))
}
