//! `ossec-execd`: runs active responses, and takes them back.
//!
//! analysisd (on an agent: agentd) sends an order as one datagram to `queue/alerts/execq`; execd looks it up in
//! `etc/shared/ar.conf`, runs the script below `active-response/bin` with `add`, and later with `delete`. What is in force
//! is kept in `queue/execd/pending`, so that neither a crash nor a reboot leaves a block behind.
//!
//! It stays root with all of its power: what confines it would confine its scripts, one of which restarts the suite. In
//! return it reads very little: datagrams that only the suite's group can send, and two small files.

pub mod complaints;
pub mod journal;
pub mod ledger;
pub mod message;
pub mod responder;
pub mod runner;
pub mod table;

use std::io;
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use runtime::{Daemon, Failure, Privilege, Program, Signal, Start, errno};
use rustix::event::{PollFd, PollFlags, Timespec};
use settings::Settings;

use crate::message::MAX_MESSAGE;
use crate::responder::Responder;
use crate::runner::TIME_LIMIT;

static PROGRAM: Program = Program {
    name: "ossec-execd",
    about: "runs active responses, and takes them back",
    debug_option: Some("execd.debug"),
    privilege: Privilege::Root { group: "ossec", keep: &[] },
};

/// How long the end waits for the scripts that take responses back; ossec-control waits a little longer.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);
/// How old the accounts on disk may be.
const STATE_INTERVAL: Duration = Duration::from_secs(5);
/// Datagrams that are taken in a row before scripts and signals get their turn.
const BURST: usize = 64;

/// The program.
pub fn main() -> ExitCode {
    runtime::main(&PROGRAM, run)
}

fn run(start: Start) -> Result<(), Failure> {
    let settings = settings::load(start.config())?;
    if start.test_only() {
        return Ok(());
    }
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    let mut daemon = start.enter()?;
    daemon.require_writable(&["queue/alerts", "queue/execd"])?;
    daemon.join_group()?;
    watch_children(&mut daemon)?;
    let mut responder = open_responder(&daemon)?;
    if settings.responses.disabled {
        log::info!("(1350) Active response disabled. Exiting.");
        take_all_back(&mut daemon, &mut responder);
        return Ok(());
    }
    responder.set_repeated_offenders(&settings.responses.repeated_offenders);
    let socket = bind(&daemon)?;
    daemon.ready();
    serve(&mut daemon, &socket, &mut responder)?;
    log::info!("(1314) Shutdown received. Deleting responses.");
    take_all_back(&mut daemon, &mut responder);
    write_accounts(&daemon, &responder);
    Ok(())
}

/// Until a signal asks for the end, or the configuration says that active response is off.
fn serve(
    daemon: &mut Daemon,
    socket: &UnixDatagram,
    responder: &mut Responder,
) -> Result<(), Failure> {
    let mut buffer = vec![0; MAX_MESSAGE + 1];
    let mut state_due = Instant::now();
    loop {
        let waiting = receive_burst(socket, &mut buffer, responder);
        responder.turn();
        if Instant::now() >= state_due {
            write_accounts(daemon, responder);
            state_due = Instant::now() + STATE_INTERVAL;
        }
        let timeout = match responder.time_to_next_turn() {
            _ if waiting => Duration::ZERO,
            Some(turn) => turn.min(STATE_INTERVAL),
            None => STATE_INTERVAL,
        };
        wait(daemon, socket, timeout)?;
        for signal in daemon.signals().take() {
            match signal {
                Signal::Stop(_) => return Ok(()),
                Signal::Reload if is_disabled_now(daemon, responder) => return Ok(()),
                Signal::Reload | Signal::Child => {}
            }
        }
    }
}

/// Takes what has come; says whether more may wait.
fn receive_burst(socket: &UnixDatagram, buffer: &mut [u8], responder: &mut Responder) -> bool {
    for _ in 0..BURST {
        match socket.recv(buffer) {
            Ok(len) => responder.receive(buffer.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                log::warn!(
                    "(1214) Problem receiving message from '{}'. [{}]",
                    ipc::paths::EXECQ,
                    errno(&error)
                );
                return false;
            }
        }
    }
    true
}

/// Reads the configuration again; a bad one changes nothing.
fn is_disabled_now(daemon: &Daemon, responder: &mut Responder) -> bool {
    match settings::load(daemon.config()) {
        Ok(Settings { responses, .. }) => {
            if responses.disabled {
                log::info!("(1350) Active response disabled. Exiting.");
            } else {
                responder.set_repeated_offenders(&responses.repeated_offenders);
                log::info!("configuration read again");
            }
            responses.disabled
        }
        Err(errors) => {
            log::error!(
                "the configuration was not read again, the old one stays in use:\n{errors}"
            );
            false
        }
    }
}

/// Undoes all that is in force, for a bounded time; what is left then stays in the journal for the next start.
/// Scripts that still run with `add` are not waited for: one of them may be what stops us.
fn take_all_back(daemon: &mut Daemon, responder: &mut Responder) {
    let deadline = Instant::now() + SHUTDOWN_LIMIT;
    loop {
        responder.begin_to_take_all_back();
        responder.turn();
        if !responder.takes_back() {
            return;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            log::error!(
                "Not all active responses could be taken back within {} s: the next start of execd goes on with it.",
                SHUTDOWN_LIMIT.as_secs()
            );
            return;
        }
        // Wakes when a script ends; a signal to stop changes nothing any more.
        let next = responder.time_to_next_turn().unwrap_or(left).min(left);
        let _ = daemon.signals().wait(Some(next));
        daemon.signals().take();
    }
}

fn open_responder(daemon: &Daemon) -> Result<Responder, Failure> {
    Responder::open(daemon.root(), TIME_LIMIT).map_err(|error| {
        let path = daemon.root().join(responder::JOURNAL);
        let (path, why) = (path.display(), errno(&error));
        Failure::new(
            Some(1103),
            format!("Could not open file '{path}' due to [{why}]. Without it a response could stay in force for ever."),
        )
    })
}

fn bind(daemon: &Daemon) -> Result<UnixDatagram, Failure> {
    let path = daemon.root().join(ipc::paths::EXECQ);
    ipc::datagram::bind(&path).map_err(|error| {
        let why = error.to_string();
        Failure::new(Some(1210), format!("Queue '{}' not accessible: '{why}'.", path.display()))
    })
}

fn watch_children(daemon: &mut Daemon) -> Result<(), Failure> {
    daemon.signals().watch_children().map_err(|error| {
        Failure::new(
            None,
            format!("the end of scripts cannot be noticed due to [{}]", errno(&error)),
        )
    })
}

fn write_accounts(daemon: &Daemon, responder: &Responder) {
    if let Err(error) = daemon.write_state(&responder.accounts().lines()) {
        log::debug!("the accounts cannot be written: {error}");
    }
}

fn wait(daemon: &mut Daemon, socket: &UnixDatagram, timeout: Duration) -> Result<(), Failure> {
    let timeout = Timespec::try_from(timeout).ok();
    let signals = daemon.signals();
    let mut fds = [PollFd::new(&*signals, PollFlags::IN), PollFd::new(socket, PollFlags::IN)];
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => {
            let error = io::Error::from(error);
            Err(Failure::new(
                Some(1114),
                format!("Error during select()-call due to [{}].", errno(&error)),
            ))
        }
    }
}
