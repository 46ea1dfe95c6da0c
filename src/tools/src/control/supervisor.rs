//! The supervisor: starts the daemons one after the other, each when the one before is ready, starts again what has died, stops
//! all in good order. It is `ossec-control` itself, run in the background by `start`, or in the foreground by a service manager.
//!
//! What it reports goes as `STATUS=` and `READY=1` to `$NOTIFY_SOCKET`: to the `start` that waits, or to systemd.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use runtime::{Daemon, Failure, Privilege, Program, Signal, Start, errno};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::control::check;
use crate::control::daemons::{self, InstallType};
use crate::control::log_tail::LogTail;
use crate::control::process_list;
use crate::control::report::Report;
use crate::control::stop;
use crate::control::ward::{Event, Phase, Ward};

/// Its name in `var/run` and in the log.
pub(crate) const NAME: &str = "ossec-control";

static PROGRAM: Program = Program {
    name: NAME,
    about: "starts the daemons, starts them again when they die, stops them",
    debug_option: None,
    privilege: Privilege::Root { group: "ossec", keep: &[] },
};

/// Where a front of ours waits for reports, below the install root.
pub(crate) const NOTIFY: &str = "var/run/ossec-control.notify";

const HANGUP: i32 = 1;

/// The program, when it is called with flags only: `ossec-control -f -D /var/ossec`.
pub(crate) fn main() -> ExitCode {
    runtime::main(&PROGRAM, run)
}

fn run(start: Start) -> Result<(), Failure> {
    let install = InstallType::of(start.root());
    if start.test_only() {
        return check::all(start.root(), install)
            .map_err(|broken| Failure::new(None, broken.to_string()));
    }
    let mut daemon = start.enter()?;
    // It gives up nothing else: the daemons do so themselves, each as it can.
    daemon.join_group()?;
    let mut supervisor = Supervisor::new(&daemon, install);
    let outcome = supervisor.start_all(&mut daemon);
    if let Ok(Begun::AllReady) = outcome {
        daemon.ready();
        supervisor.watch(&mut daemon)?;
    }
    supervisor.stop_all();
    outcome.map(drop)
}

struct Supervisor {
    root: PathBuf,
    debug: bool,
    /// In the order in which they start.
    wards: Vec<Ward>,
    install: InstallType,
    report: Report,
}

/// How the start went.
enum Begun {
    AllReady,
    /// A signal asked for the end meanwhile.
    ToldToStop,
}

impl Supervisor {
    fn new(daemon: &Daemon, install: InstallType) -> Self {
        let root = daemon.root().to_owned();
        let debug = process_list::debug_is_on(&root);
        let wards =
            daemons::start_order(install).into_iter().map(|line| Ward::new(line.name)).collect();
        Self { root, debug, wards, install, report: Report::from_environment() }
    }

    fn start_all(&mut self, daemon: &mut Daemon) -> Result<Begun, Failure> {
        for index in 0..self.wards.len() {
            if let Begun::ToldToStop = self.start_one(index, daemon)? {
                return Ok(Begun::ToldToStop);
            }
        }
        Ok(Begun::AllReady)
    }

    /// Starts one and waits until it is ready; the others are cared for meanwhile.
    fn start_one(&mut self, index: usize, daemon: &mut Daemon) -> Result<Begun, Failure> {
        let Some(ward) = self.wards.get_mut(index) else { return Ok(Begun::AllReady) };
        let name = ward.name;
        if ward.adopt(&self.root) {
            self.report.line(&format!("{name} already running..."));
            return Ok(Begun::AllReady);
        }
        let log = LogTail::from_now(&self.root);
        if let Err(error) = ward.start(&self.root, self.debug) {
            return Err(self.no_start(name, &format!("it cannot be run: {}", errno(&error)), &log));
        }
        loop {
            self.wait(daemon)?;
            if self.obey(daemon) {
                return Ok(Begun::ToldToStop);
            }
            let (own, others): (Vec<_>, Vec<_>) =
                self.events().into_iter().partition(|(who, _)| *who == index);
            for (who, event) in others {
                self.settle(who, event);
            }
            // Of one daemon there is one event at a time.
            if let Some((_, event)) = own.into_iter().next() {
                match event {
                    Event::Ready => self.report.line(&format!("Started {name}...")),
                    Event::Ended { good: true, .. } => {
                        self.not_wanted(index);
                        self.report.line(&format!("{name} not needed by this configuration..."));
                    }
                    Event::Ended { how, .. } => {
                        return Err(self.no_start(name, &format!("it ended {how}"), &log));
                    }
                }
                self.write_state(daemon);
                return Ok(Begun::AllReady);
            }
            self.start_what_is_due();
        }
    }

    /// Cares for all until a signal asks for the end.
    fn watch(&mut self, daemon: &mut Daemon) -> Result<(), Failure> {
        loop {
            self.wait(daemon)?;
            if self.obey(daemon) {
                return Ok(());
            }
            let events = self.events();
            let changed = !events.is_empty();
            for (who, event) in events {
                self.settle(who, event);
            }
            self.start_what_is_due();
            if changed {
                self.write_state(daemon);
            }
        }
    }

    /// In the order in which they stop: each is asked and waited for before the next; what is left after the time for all of
    /// them is killed.
    fn stop_all(&mut self) {
        self.report.reach(&self.root.join(NOTIFY));
        let mut wards: Vec<Ward> = Vec::new();
        for line in daemons::stop_order(self.install) {
            if let Some(at) = self.wards.iter().position(|ward| ward.name == line.name) {
                wards.push(self.wards.remove(at));
            }
        }
        stop::in_order(&self.root, &mut wards, &mut |text| {
            self.report.line(text);
            log::warn!("{text}");
        });
    }

    fn events(&mut self) -> Vec<(usize, Event)> {
        let now = Instant::now();
        let root = &self.root;
        let events = self
            .wards
            .iter_mut()
            .enumerate()
            .filter_map(|(who, ward)| Some((who, ward.event(root, now)?)));
        events.collect()
    }

    fn settle(&mut self, who: usize, event: Event) {
        let Some(ward) = self.wards.get_mut(who) else { return };
        let name = ward.name;
        match event {
            Event::Ready => {
                log::info!("{name} is ready again (pid: {}).", ward.pid().unwrap_or_default())
            }
            Event::Ended { good: true, .. } if ward.phase == Phase::Starting => {
                self.not_wanted(who);
                log::info!("{name} is not needed by this configuration any more.");
            }
            Event::Ended { how, .. } => {
                let lived = ward.age().as_secs();
                let wait = ward.back_off(Instant::now()).as_secs();
                log::warn!("{name} ended {how} after {lived} s: it is started again in {wait} s.");
            }
        }
    }

    fn not_wanted(&mut self, who: usize) {
        if let Some(ward) = self.wards.get_mut(who) {
            ward.phase = Phase::NotWanted;
        }
    }

    fn start_what_is_due(&mut self) {
        let now = Instant::now();
        for ward in self.wards.iter_mut().filter(|ward| ward.is_due(now)) {
            // Somebody may have started it by hand meanwhile.
            if ward.adopt(&self.root) {
                log::info!(
                    "{} was started by somebody else (pid: {}).",
                    ward.name,
                    ward.pid().unwrap_or_default()
                );
            } else if let Err(error) = ward.start(&self.root, self.debug) {
                let wait = ward.back_off(now).as_secs();
                log::error!(
                    "{} cannot be run: [{}]; tried again in {wait} s.",
                    ward.name,
                    errno(&error)
                );
            }
        }
    }

    /// Takes the signals that have come; says whether the end was asked for.
    fn obey(&mut self, daemon: &mut Daemon) -> bool {
        let mut stop = false;
        for signal in daemon.signals().take() {
            match signal {
                Signal::Stop(_) => stop = true,
                Signal::Reload => self.reload(),
                Signal::Child => {}
            }
        }
        stop
    }

    /// Passes the wish on; whom the old configuration did not want is asked again.
    fn reload(&mut self) {
        self.debug = process_list::debug_is_on(&self.root);
        for ward in &mut self.wards {
            match ward.phase {
                Phase::NotWanted => ward.phase = Phase::Waiting(Instant::now()),
                _ => ward.signal(HANGUP),
            }
        }
    }

    fn wait(&mut self, daemon: &mut Daemon) -> Result<(), Failure> {
        let next = self.wards.iter().filter_map(Ward::deadline).min();
        let timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout: Duration| Timespec::try_from(timeout).ok());
        let signals = daemon.signals();
        let mut fds = vec![PollFd::new(&*signals, PollFlags::IN)];
        fds.extend(self.wards.iter().flat_map(Ward::poll_fds));
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => {
                let error = std::io::Error::from(error);
                Err(Failure::new(
                    Some(1114),
                    format!("Error during select()-call due to [{}].", errno(&error)),
                ))
            }
        }
    }

    fn no_start(&self, name: &str, why: &str, log: &LogTail) -> Failure {
        self.report.line(&format!("{name} did not start correctly."));
        self.report.line(&format!("  {why}."));
        let mut reasons = log.last_lines_of(name);
        if reasons.is_empty() {
            // Its log may be what is broken.
            reasons.extend(
                self.wards
                    .iter()
                    .find(|ward| ward.name == name)
                    .map(|ward| ward.last_words.clone()),
            );
        }
        for line in reasons.iter().filter(|line| !line.is_empty()) {
            self.report.line(&format!("  {line}"));
        }
        let program = self.root.join("bin").join(name);
        self.report.line(&format!(
            "  Remove the cause, check with '{} -t', then start again.",
            program.display()
        ));
        Failure::new(None, format!("all daemons are stopped again: {name} did not start, {why}"))
    }

    /// For `ossec-control status`: who was started again how often, and who is not wanted.
    fn write_state(&self, daemon: &Daemon) {
        let mut lines = Vec::new();
        for ward in &self.wards {
            lines.push((format!("restarts_{}", ward.name), ward.restarts));
            lines.push((
                format!("not_wanted_{}", ward.name),
                u64::from(ward.phase == Phase::NotWanted),
            ));
        }
        let lines: Vec<(&str, u64)> =
            lines.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        if let Err(error) = daemon.write_state(&lines) {
            log::debug!("the state of the daemons cannot be written: {error}");
        }
    }
}
