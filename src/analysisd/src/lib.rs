//! `ossec-analysisd`: decodes what the collectors saw, judges it by the rules, writes alerts.
//!
//! Four tasks: the [`intake`] (main thread) takes events from both queues, the workers of the [`pipeline`] decode them, the
//! [`judge`] applies what has a memory, in order, and writes the [`output`]s. See `docs/architecture.md`.

mod accounts;
mod batch;
mod fim_store;
mod finding_store;
#[cfg(test)]
mod golden;
mod host_store;
mod intake;
mod judge;
mod numbering;
mod often;
#[cfg(test)]
mod order;
mod output;
mod pipeline;
mod questions;
mod response;
mod setup;
mod statistics;
mod storm;
#[cfg(test)]
mod storm_judged;
#[cfg(test)]
mod testing;
mod world;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ipc::{Ended, Receiver};
use mio::{Poll, Waker};
use rules::State;
use runtime::{Daemon, Failure, Privilege, Program, Sandbox, Start};
use settings::InternalOptions;

use crate::accounts::Accounts;
use crate::fim_store::FimStore;
use crate::finding_store::FindingStore;
use crate::host_store::HostStore;
use crate::intake::{Inlets, Intake, Wish};
use crate::judge::Judge;
use crate::numbering::Numbering;
use crate::often::Often;
use crate::output::Outputs;
use crate::questions::Questions;
use crate::response::{Responder, write_ar_conf};
use crate::setup::{Setup, Trouble};
use crate::statistics::Statistics;
use crate::storm::Storms;
use crate::world::Files;

static PROGRAM: Program = Program {
    name: "ossec-analysisd",
    about: "decodes and judges events, writes alerts",
    debug_option: Some("analysisd.debug"),
    privilege: Privilege::User { user: "ossec", group: "ossec" },
};

/// Folders that must be writable for the daemon's user.
const WRITABLE: &[&str] = &[
    "logs/alerts",
    "logs/archives",
    "logs/firewall",
    "queue/ossec",
    "queue/syscheck",
    "queue/rootcheck",
    "queue/fts",
    "queue/diff",
    "stats",
];

/// Memory pools of all threads together: the common path of an event allocates nothing.
const POOLS: u8 = 2;

/// Runs the daemon.
pub fn main() -> ExitCode {
    runtime::main(&PROGRAM, run)
}

fn run(start: Start) -> Result<(), Failure> {
    sys::memory::share_pools(POOLS);
    let setup = load(start.root(), start.config(), start.options()).map_err(|trouble| {
        trouble.log();
        Failure::new(None, trouble.to_string())
    })?;
    if start.test_only() {
        return Ok(());
    }
    let config = start.config().to_owned();
    let mut daemon = start.enter()?;
    daemon.require_writable(WRITABLE)?;
    daemon.confine(&Sandbox {
        read: &["etc", "rules", "/etc/localtime", "/usr/share/zoneinfo"],
        write: &["logs", "queue", "stats", "var/run", "etc/shared"],
        network: false,
        bind: false,
        exec: &[],
    })?;
    // Not as root: remoted, of the same group, reads it and hands it to the agents.
    let ar_conf = daemon.root().join("etc/shared/ar.conf");
    if let Err(error) = write_ar_conf(&ar_conf, &setup.settings) {
        log::error!(
            "(1103) Could not open file 'etc/shared/ar.conf' due to [{}]; execd knows no responses.",
            runtime::errno(&error)
        );
    }
    let parts = Parts::open(&mut daemon, setup).map_err(|(what, error)| failure(&what, &error))?;
    sys::memory::give_back();
    log::info!("{} rules; {} threads decode.", parts.setup.engine.rules().len(), parts.workers);
    parts.serve(&mut daemon, &config)
}

/// Everything that is open before the first event.
struct Parts {
    inlets: Inlets,
    judge: Judge,
    setup: Arc<Setup>,
    accounts: Arc<Accounts>,
    stopping: Arc<AtomicBool>,
    workers: usize,
}

impl Parts {
    fn open(daemon: &mut Daemon, setup: Setup) -> Result<Self, (String, io::Error)> {
        let root = daemon.root().to_owned();
        let at = |name: &str| root.join(name);
        let named = |name: &str| {
            let name = name.to_owned();
            move |error| (name, error)
        };
        let setup = Arc::new(setup);
        let files = Files::new(&root);
        let mut state = State::new(&setup.engine);
        files
            .known_keys()
            .split(|&b| b == b'\n')
            .filter(|key| !key.is_empty())
            .for_each(|key| state.load_first_seen(key));
        files
            .known_ignored()
            .split(|&b| b == b'\n')
            .filter(|entry| !entry.is_empty())
            .for_each(|entry| state.load_ignored(entry));

        let poll = Poll::new().map_err(named("event loop"))?;
        let waker = Waker::new(poll.registry(), intake::WAKE).map_err(named("event loop"))?;
        let ended = Ended::open(&at(ipc::paths::ENDED)).map_err(named(ipc::paths::ENDED))?;
        let in_doubt = say_what_is_in_doubt(&ended);
        let before = Ended::open(&at(ipc::paths::ENDED)).map_err(named(ipc::paths::ENDED))?;
        let receiver =
            Receiver::bind(&at(ipc::paths::EVENTS), before, poll.registry(), intake::QUEUE)
                .map_err(named(ipc::paths::EVENTS))?;
        let datagrams =
            ipc::datagram::bind(&at(ipc::paths::QUEUE)).map_err(named(ipc::paths::QUEUE))?;
        let fim = FimStore::open(&at("queue/syscheck"), setup.fim.clone())
            .map_err(|error| ("queue/syscheck".to_owned(), io::Error::other(error.to_string())))?;
        let numbering = Numbering::open(&at("queue/ossec/alert-number"))
            .map_err(named("queue/ossec/alert-number"))?;
        let accounts = Arc::new(Accounts::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let judge = Judge {
            state,
            setup: Arc::clone(&setup),
            outputs: Outputs::new(&root),
            files,
            fim,
            findings: FindingStore::new(&at("queue/rootcheck")),
            hosts: HostStore::open(&at("queue/fts/hostinfo")),
            storms: Storms::default(),
            often: Often::default(),
            questions: Questions::new(&root),
            responder: Responder::new(at(ipc::paths::EXECQ)),
            numbering,
            statistics: Statistics::open(&at("stats")),
            ended,
            accounts: Arc::clone(&accounts),
            stopping: Arc::clone(&stopping),
            now: intake::moment,
            wake: Box::new(move || {
                // A loop that cannot be woken looks by itself soon.
                let _ = waker.wake();
            }),
        };
        let workers = worker_count(daemon.options());
        let inlets = Inlets { poll, receiver, datagrams, in_doubt };
        Ok(Self { inlets, judge, setup, accounts, stopping, workers })
    }

    /// Serves until the daemon is told to stop; everything that was read reaches its end before it returns.
    fn serve(self, daemon: &mut Daemon, config: &Path) -> Result<(), Failure> {
        let pipeline =
            pipeline::start(self.workers).map_err(|error| failure("worker threads", &error))?;
        let (output, used, judge) = (pipeline.output, pipeline.used, self.judge);
        let judge = thread::Builder::new()
            .name("judge".to_owned())
            .spawn(move || judge.run(&output, &used));
        let judge = judge.map_err(|error| failure("the judge's thread", &error))?;
        let intake = Intake::new(self.inlets, pipeline.input, self.setup, self.accounts, daemon);
        let mut intake = intake.map_err(|error| failure("event loop", &error))?;
        daemon.ready();
        loop {
            match intake.run(daemon).map_err(|error| failure("event loop", &error))? {
                Wish::Stop => break,
                Wish::Reload => reload(&mut intake, daemon, config),
            }
        }
        self.stopping.store(true, Ordering::Release);
        judge.thread().unpark();
        let ending = intake.finish();
        let ended_well = judge.join().is_ok();
        ending.close(daemon);
        if ended_well {
            Ok(())
        } else {
            Err(Failure::new(
                None,
                "the judge's thread ended early; what was not acknowledged comes again",
            ))
        }
    }
}

fn load(root: &Path, config: &Path, options: &InternalOptions) -> Result<Setup, Trouble> {
    Setup::load(root, config, options, &sys::host::short_name())
}

/// Reads the configuration again; a bad one is said, and the old one stays in force.
fn reload(intake: &mut Intake, daemon: &Daemon, config: &Path) {
    match load(daemon.root(), config, daemon.options()) {
        Ok(setup) => {
            if let Err(error) =
                write_ar_conf(&daemon.root().join("etc/shared/ar.conf"), &setup.settings)
            {
                log::warn!(
                    "'etc/shared/ar.conf' could not be written: {error}; execd keeps its list of responses."
                );
            }
            log::info!("Configuration read again: {} rules.", setup.engine.rules().len());
            intake.renew(Arc::new(setup));
            sys::memory::give_back();
        }
        Err(trouble) => {
            trouble.log();
            log::error!("{trouble} The rules and settings from before stay in force.");
        }
    }
}

fn say_what_is_in_doubt(ended: &Ended) -> u64 {
    if let Some(damage) = &ended.damage {
        log::warn!(
            "'{}' is damaged ({damage}): producers go on with their own numbers, some events may appear twice.",
            ipc::paths::ENDED
        );
    }
    let doubtful = ended.in_doubt();
    for (name, count) in &doubtful {
        log::warn!("killed while it wrote: up to {count} events of {name} may appear twice.");
    }
    doubtful.iter().map(|(_, count)| count).sum()
}

fn worker_count(options: &InternalOptions) -> usize {
    match options.number("analysisd.event_threads") {
        0 => thread::available_parallelism().map_or(1, usize::from).min(32),
        n => usize::try_from(n).unwrap_or(1),
    }
}

fn failure(what: &str, error: &io::Error) -> Failure {
    Failure::new(
        None,
        format!(
            "'{what}' could not be opened: {error}. Check that it exists and that this daemon's user may write there."
        ),
    )
}
