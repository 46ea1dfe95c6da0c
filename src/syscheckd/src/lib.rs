//! Watches files for changes: `ossec-syscheckd`.
//!
//! What is watched stands in `<syscheck>` of `ossec.conf`. Scans find what is new, changed or gone, realtime events find it at once; each
//! difference to what the manager was told is one event on the acknowledged queue (`8:syscheck:<sum> <path>`).
//! Behaviour: host-daemons specification 6. Where the parts are: [`watcher`].

pub mod baseline;
pub mod changes;
pub mod extras;
pub mod hash;
pub mod look;
pub mod pace;
pub mod packages;
pub mod plan;
pub mod prefilter;
pub mod program;
pub mod realtime;
pub mod schedule;
pub mod watcher;
pub mod whodata;
pub mod worker;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agents::Central;
use agents::central::AGENT_CONF;
use ipc::{Sender, paths};
use rootcheck::{Searcher, Timing};
use runtime::{Capability, Daemon, Failure, Privilege, Program, Sandbox, Signal, Start};
use settings::{CheckOptions, Ignore, Rootcheck, Settings, Syscheck, TimeOfDay};
use sys::fanotify::Fanotify;

use crate::baseline::Baseline;
use crate::changes::{Limits, Store};
use crate::packages::rpm::Rpm;
use crate::packages::{Found, Gate};
use crate::schedule::Moment;
use crate::watcher::{Counts, Parts, Watcher};
use crate::whodata::audit::Audit;
use crate::worker::Pacing;

/// Where the baseline is kept, relative to the root.
const STATE: &str = "queue/syscheckd";
/// Where `report_changes` keeps contents.
const CONTENTS: &str = "queue/diff/local";

/// How often the manager's part of the configuration is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

static PROGRAM: Program = Program {
    name: "ossec-syscheckd",
    about: "watches files for changes",
    debug_option: Some("syscheck.debug"),
    privilege: Privilege::Root {
        group: "ossec",
        // Reading everything; trying ports for rootcheck; asking which program another user's process runs.
        keep: &[Capability::DacReadSearch, Capability::NetBindService, Capability::SysPtrace],
    },
};

/// Runs `ossec-syscheckd`.
pub fn main() -> ExitCode {
    runtime::main(&PROGRAM, run)
}

fn run(start: Start) -> Result<(), Failure> {
    let mut central = Central::new(start.root(), start.config(), false);
    let (settings, wrong) = central.load_at_start()?;
    if start.test_only() {
        return wrong.map_or(Ok(()), |wrong| Err(wrong.into()));
    }
    let mut daemon = start.enter()?;
    if let Some(wrong) = wrong {
        wrong.log();
        log::error!("'{AGENT_CONF}' is not taken on: this host's own ossec.conf holds.");
    }
    daemon.require_writable(&[STATE, CONTENTS, "var/run"])?;
    if let Err(error) = sys::process::run_as_batch() {
        log::debug!("not scheduled as a batch job: {error}");
    }
    // Hidden ports are found by trying to take each.
    let rootcheck = &settings.rootcheck;
    let bind = rootcheck.present && !rootcheck.disabled && rootcheck.checks.ports;
    let write = &[STATE, CONTENTS, "var/run"];
    let aware = daemon.options().flag("syscheck.packages");
    let sources = Sources::open(&settings.syscheck, aware);
    // Any program is run for prefilter_cmd alone.
    let any = settings.syscheck.prefilter_cmd.is_some();
    let exec: &[&str] = match (any, sources.packages.as_ref().and_then(|found| found.rpm.as_ref()))
    {
        (true, _) => &["/"],
        (false, Some(_)) => &[packages::rpm::PROGRAM],
        (false, None) => &[],
    };
    daemon.confine(&Sandbox { read: &["/"], write, bind, exec, ..Sandbox::default() })?;
    let baseline = open_baseline(daemon.root())?;
    daemon.ready();
    describe(&settings);
    // The queue's reader may come later than we: until then only signals are served.
    let Some(link) = connect(&mut daemon, baseline)? else { return Ok(()) };
    let reload_asked = link.reload_asked;
    let rpm = sources.packages.as_ref().and_then(|found| found.rpm.clone());
    let watcher = start_watcher(&daemon, &settings, link, sources)?;
    if settings.syscheck.directories.iter().any(|directory| directory.options.realtime) {
        log::info!("Who changed a file: {}.", watcher.who());
    }
    let searcher = start_rootcheck(&daemon, &settings, rpm)?;
    let mut work = Work { watcher, searcher, central, any };
    if reload_asked {
        work.reload();
    }
    watch(&mut daemon, &mut work)
}

/// What goes on until the end.
struct Work {
    watcher: Watcher,
    searcher: Searcher,
    central: Central,
    /// We may run any program.
    any: bool,
}

/// Turns until told to stop.
fn watch(daemon: &mut Daemon, work: &mut Work) -> Result<(), Failure> {
    let mut written = (Instant::now(), Counts::default());
    let mut looked = Instant::now();
    loop {
        for signal in daemon.signals().take() {
            match signal {
                Signal::Stop(_) => {
                    write_accounts(daemon, &work.watcher.counts());
                    return Ok(());
                }
                Signal::Reload => work.reload(),
                _ => {}
            }
        }
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            if work.central.has_changed() {
                log::info!("What the manager has in '{AGENT_CONF}' for this host has changed.");
                work.reload();
            }
        }
        let watcher = &mut work.watcher;
        if !watcher.turn(&now()) {
            return Err(Failure::new(
                None,
                "The thread that reads files has ended: see the log above.",
            ));
        }
        if watcher.take_run_asked() {
            work.searcher.run_now();
        }
        while watcher.takes_notes() {
            let Some(finding) = work.searcher.finding() else { break };
            watcher.note(finding);
        }
        let counts = watcher.counts();
        if written.0.elapsed() >= Duration::from_secs(1) && written.1 != counts {
            write_accounts(daemon, &counts);
            written = (Instant::now(), counts);
        }
        watcher.wait(Some(std::os::fd::AsFd::as_fd(daemon.signals())));
    }
}

impl Work {
    fn reload(&mut self) {
        let mut settings = match self.central.load() {
            Ok(settings) => settings,
            Err(errors) => {
                errors.log();
                log::error!("Configuration not reloaded: going on with the old one.");
                return;
            }
        };
        if !self.any && settings.syscheck.prefilter_cmd.take().is_some() {
            log::warn!(
                "prefilter_cmd: is run from the next start on; until then we may not run it."
            );
        }
        match self.watcher.reload(&settings.syscheck, &now()) {
            Ok(()) => {
                self.searcher.reload(&rootcheck_settings(&settings));
                log::info!("Configuration reloaded.");
                describe(&settings);
            }
            Err(error) => log::error!("Configuration not reloaded: {error}."),
        }
    }
}

/// What has to be opened while we are privileged; where it is not permitted, there is something lesser.
struct Sources {
    group: Option<Arc<Fanotify>>,
    audit: Option<Audit>,
    /// `None` when they are not to be asked.
    packages: Option<Found>,
}

impl Sources {
    fn open(settings: &Syscheck, aware: bool) -> Self {
        let said = |what: &str, error: &io::Error| log::debug!("{what} is not permitted: {error}");
        let group = Fanotify::open().inspect_err(|error| said("fanotify", error)).ok();
        if let Some(group) = &group {
            let watched = settings.directories.iter().filter(|folder| folder.options.realtime);
            realtime::watch_mounts(group, watched.map(|folder| folder.path.as_os_str().as_bytes()));
        }
        let audit = Audit::open().inspect_err(|error| said("reading audit records", error)).ok();
        Self { group: group.map(Arc::new), audit, packages: aware.then(Found::here) }
    }
}

fn open_baseline(root: &Path) -> Result<Baseline, Failure> {
    Baseline::open(&root.join(STATE)).map_err(|error| {
        let path = root.join(STATE).join("baseline.redb");
        Failure::new(None, format!("Could not open '{}': {error}.", path.display()))
    })
}

/// The connection to the manager.
struct Link {
    baseline: Baseline,
    sender: Sender,
    /// SIGHUP came while we waited for it.
    reload_asked: bool,
}

/// Connects to the queue, however long that takes; `None` when told to stop before.
fn connect(daemon: &mut Daemon, mut baseline: Baseline) -> Result<Option<Link>, Failure> {
    let mut reload_asked = false;
    loop {
        let path = daemon.root().join(paths::EVENTS);
        let mut sender = Sender::new(path, "syscheckd", baseline.stream());
        let ended = loop {
            let signals = daemon.signals().take();
            if signals.iter().any(|signal| matches!(signal, Signal::Stop(_))) {
                return Ok(None);
            }
            reload_asked |= signals.contains(&Signal::Reload);
            if let Ok(ended) = sender.connect(Duration::from_millis(500)) {
                break ended;
            }
        };
        let stream = baseline.stream();
        let last = baseline.settle(ended).map_err(|error| {
            Failure::new(None, format!("Could not write '{STATE}/baseline.redb': {error}."))
        })?;
        if baseline.stream() == stream {
            sender.start_after(last);
            return Ok(Some(Link { baseline, sender, reload_asked }));
        }
        log::info!("The queue's reader no longer knows our numbers: beginning new ones.");
    }
}

fn start_watcher(
    daemon: &Daemon,
    settings: &Settings,
    link: Link,
    sources: Sources,
) -> Result<Watcher, Failure> {
    let (root, options) = (daemon.root(), daemon.options());
    let rest = Duration::from_secs(options.number("syscheck.sleep"));
    let pacing = Pacing {
        files: options.number("syscheck.sleep_after"),
        rest,
        threads: usize::try_from(options.number("syscheck.threads")).unwrap_or(0),
    };
    let limits =
        Limits { file: plan::MOST_SHOWN, total: options.number("syscheck.diff_store") << 20 };
    let contents = root.join(CONTENTS);
    let changes = Store::open(&contents, limits).inspect_err(|error| {
        let contents = contents.display();
        log::error!("Unable to use '{contents}': {error}. Changes are told without their lines.");
    });
    let databases = sources.packages.map(Found::databases).unwrap_or_default();
    let path = root.join(paths::SYSCHECK_CONTROL);
    let control = ipc::datagram::bind(&path).map_err(|error| {
        Failure::new(None, format!("Could not open '{}': {error}.", path.display()))
    })?;
    let parts = Parts {
        baseline: link.baseline,
        sender: link.sender,
        group: sources.group,
        audit: sources.audit,
        changes: changes.ok(),
        gate: Gate::open(&root.join(STATE), databases),
        control: Some(control),
    };
    Watcher::start(root, &settings.syscheck, pacing, rest, parts, &now())
        .map_err(|error| Failure::new(None, format!("Could not begin to watch files: {error}.")))
}

fn start_rootcheck(
    daemon: &Daemon,
    settings: &Settings,
    rpm: Option<Rpm>,
) -> Result<Searcher, Failure> {
    let delay = Duration::from_secs(daemon.options().number("syscheck.sleep"));
    // The option is meant as seconds after each process; as milliseconds after each thousand it spares the machine enough.
    let rest = Duration::from_millis(5 * daemon.options().number("rootcheck.sleep"));
    let ships = move |path: &Path, md5, sha256| {
        rpm.as_ref().is_some_and(|rpm| rpm.ships(path, md5, sha256))
    };
    let (timing, settings) = (Timing { delay, rest }, rootcheck_settings(settings));
    Searcher::start(daemon.root(), &settings, timing, Box::new(ships))
        .map_err(|error| Failure::new(None, format!("Could not start rootcheck: {error}.")))
}

/// With a time or a day for scans rootcheck searches then, and its interval only makes sure that it does each week.
fn rootcheck_settings(settings: &Settings) -> Rootcheck {
    let mut rootcheck = settings.rootcheck.clone();
    if settings.syscheck.scan_time.is_some() || settings.syscheck.scan_day.is_some() {
        rootcheck.frequency = schedule::WEEK;
    }
    rootcheck
}

fn write_accounts(daemon: &Daemon, counts: &Counts) {
    if let Err(error) = daemon.write_state(&counts.lines()) {
        log::debug!("accounts not written: {error}");
    }
}

fn now() -> Moment {
    let local = runtime::clock::local(runtime::clock::now());
    Moment {
        instant: Instant::now(),
        day: i64::from(local.year) * 372 + i64::from(local.month) * 31 + i64::from(local.day),
        weekday: local.weekday,
        time: TimeOfDay { hour: local.hour, minute: local.minute },
    }
}

/// Says what is watched.
fn describe(settings: &Settings) {
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    describe_rootcheck(settings);
    let syscheck = &settings.syscheck;
    if syscheck.disabled || syscheck.directories.is_empty() {
        if syscheck.directories.is_empty() {
            log::info!("(1702) No directory provided for syscheck to monitor.");
        }
        log::warn!("Syscheck disabled.");
        return;
    }
    for directory in &syscheck.directories {
        let options = option_names(&directory.options).join(" | ");
        let path = directory.path.display();
        log::info!("Monitoring directory: '{path}', with options {options}.");
    }
    for ignore in &syscheck.ignore {
        if let Ignore::Prefix(prefix) = ignore {
            log::info!("ignoring: '{}'", String::from_utf8_lossy(prefix));
        }
    }
    for nodiff in &syscheck.nodiff {
        if let Ignore::Prefix(prefix) = nodiff {
            log::info!("No diff for file: '{}'", String::from_utf8_lossy(prefix));
        }
    }
    for directory in syscheck.directories.iter().filter(|directory| directory.options.realtime) {
        log::info!("Directory set for real time monitoring: '{}'.", directory.path.display());
    }
    if let Some(command) = &syscheck.prefilter_cmd {
        log::info!("MD5 and SHA-1 are of what '{command} FILE' prints (prefilter_cmd).");
    }
}

fn describe_rootcheck(settings: &Settings) {
    let rootcheck = &settings.rootcheck;
    if rootcheck.disabled {
        log::info!(target: "rootcheck", "Rootcheck disabled. Exiting.");
        log::warn!("Rootcheck module disabled.");
    } else if rootcheck.present {
        log::info!(target: "ossec-rootcheck", "Started (pid: {}).", std::process::id());
    }
}

/// In OSSEC's order.
fn option_names(options: &CheckOptions) -> Vec<&'static str> {
    let all = [
        (options.perm, "perm"),
        (options.size, "size"),
        (options.owner, "owner"),
        (options.group, "group"),
        (options.md5, "md5sum"),
        (options.sha1, "sha1sum"),
        (options.sha256, "sha256sum"),
        (options.realtime, "realtime"),
        (options.report_changes, "report_changes"),
        (options.no_recurse, "no_recurse"),
    ];
    all.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect()
}
