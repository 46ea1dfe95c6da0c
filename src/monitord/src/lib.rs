//! `ossec-monitord`: closes past days' logs, keeps the size of all logs in bounds, tells of agents that fell silent.
//!
//! Two threads. The main one ([`watch`]) wakes every few seconds: it sets aside logs that have grown too large ([`parts`],
//! [`program_logs`]), calls the roll of the agents ([`roll_call`]) and hands over what it has to say to analysisd. The
//! [`keeper`] works on large files: what is to be done is planned ([`closing`], [`retention`]: pure), then done ([`seal`],
//! [`pack`]).

pub mod closing;
pub mod daily;
pub mod date;
pub mod keeper;
pub mod memory;
pub mod pack;
pub mod parts;
pub mod program_logs;
pub mod registered;
pub mod retention;
pub mod roll_call;
pub mod seal;
pub mod stop;
pub mod tree;
pub mod voice;
pub mod watch;
pub mod whole;
pub mod wishes;

use std::process::ExitCode;

use runtime::{Daemon, Failure, Privilege, Program, Sandbox, Signal, Start};

use crate::watch::Watch;

static PROGRAM: Program = Program {
    name: "ossec-monitord",
    about: "closes past days' logs, keeps their size in bounds, misses silent agents",
    debug_option: Some("monitord.debug"),
    privilege: Privilege::User { user: "ossec", group: "ossec" },
};

/// Folders that must be writable for the daemon's user.
const WRITABLE: &[&str] =
    &["logs", "logs/alerts", "logs/archives", "logs/firewall", memory::FOLDER];

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
    daemon.require_writable(WRITABLE)?;
    daemon.confine(&Sandbox {
        read: &["etc", agents::info::FOLDER],
        write: &["logs", "queue/ossec", memory::FOLDER],
        network: false,
        bind: false,
        exec: &[],
    })?;
    let mut watch = Watch::start(&daemon)?;
    daemon.ready();
    serve(&mut daemon, &mut watch)
}

/// Until a signal asks for the end.
fn serve(daemon: &mut Daemon, watch: &mut Watch) -> Result<(), Failure> {
    loop {
        watch.turn(daemon);
        watch.wait(daemon)?;
        for signal in daemon.signals().take() {
            match signal {
                Signal::Stop(_) => {
                    watch.end(daemon);
                    return Ok(());
                }
                Signal::Reload => reload(daemon, watch),
                Signal::Child => {}
            }
        }
    }
}

/// Reads the options again; bad ones change nothing.
fn reload(daemon: &mut Daemon, watch: &mut Watch) {
    match daemon.reload_options() {
        Ok(()) => {
            watch.reload(daemon);
            log::info!("Configuration reloaded.");
        }
        Err(failure) => {
            log::error!("{failure}");
            log::error!("Configuration not reloaded: going on with the old one.");
        }
    }
}
