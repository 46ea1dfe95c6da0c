//! `ossec-control`: start, stop, restart, reload, status, enable, disable; and `diagnose`, which is ours. Texts and exit codes as OSSEC's script has them.
//!
//! Called with a word it is a short-lived front; called with flags only it is the supervisor (`control/supervisor.rs`),
//! which `start` puts into the background. Whether a daemon runs is told by its lock in `var/run`, so that all of this
//! works too when the supervisor was killed, or when a daemon was started by hand.

mod backoff;
mod check;
pub(crate) mod daemons;
mod diagnose;
mod log_tail;
mod process_list;
mod report;
mod scan_figures;
mod start;
mod status;
mod stop;
mod supervisor;
mod ward;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use runtime::instance;
use sys::process::Handle;

use crate::control::daemons::InstallType;
use crate::control::process_list::Switch;
use crate::control::ward::Ward;

const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
const HANGUP: i32 = 1;
const TERM: i32 = 15;
/// How long a reloaded daemon is watched for a sudden end.
const RELOAD_WATCH: Duration = Duration::from_secs(1);

/// The program.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    // Flags only: the supervisor. Its own help is not what a person looks for.
    if arguments.first().is_some_and(|first| first.as_bytes().starts_with(b"-") && first != "-h") {
        return supervisor::main();
    }
    let order = match Order::read(&arguments) {
        Ok(order) => order,
        Err(unclear) => {
            say(&format!("\n{}", unclear.text(&runtime::root::find(None))));
            return ExitCode::FAILURE;
        }
    };
    sys::process::umask(0o027);
    match order.carry_out() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            complain(&format!("ossec-control: {trouble}"));
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Order {
    what: What,
    root: Option<PathBuf>,
    json: bool,
    foreground: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Start,
    Stop,
    Restart,
    Reload,
    Status,
    Diagnose,
    Set(Switch, bool),
}

/// A command line that asks for nothing we know.
#[derive(Debug, PartialEq, Eq)]
enum Unclear {
    Subcommand,
    /// `enable` or `disable` without a word, or with an unknown one.
    Switch {
        verb: &'static str,
        bad: bool,
    },
}

impl Order {
    fn read(arguments: &[OsString]) -> Result<Self, Unclear> {
        let mut words = Vec::new();
        let (mut root, mut json, mut foreground) = (None, false, false);
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_bytes() {
                b"-D" => root = Some(PathBuf::from(arguments.next().ok_or(Unclear::Subcommand)?)),
                b"--json" => json = true,
                b"--foreground" | b"-f" => foreground = true,
                _ => words.push(argument.to_str().unwrap_or_default()),
            }
        }
        let what = match words.as_slice() {
            ["start"] => What::Start,
            ["stop"] => What::Stop,
            ["restart"] => What::Restart,
            ["reload"] => What::Reload,
            ["status"] => What::Status,
            ["diagnose"] => What::Diagnose,
            ["enable", rest @ ..] => What::Set(switch("enable", rest)?, true),
            ["disable", rest @ ..] => What::Set(switch("disable", rest)?, false),
            _ => return Err(Unclear::Subcommand),
        };
        let fits = (!json || matches!(what, What::Status | What::Diagnose))
            && (!foreground || what == What::Start);
        if fits { Ok(Self { what, root, json, foreground }) } else { Err(Unclear::Subcommand) }
    }

    /// Gives whether all went well; the rest has been said.
    fn carry_out(self) -> io::Result<bool> {
        let suite = Suite::find(self.root.as_deref());
        if let What::Status = self.what {
            return status::show(&suite, self.json);
        }
        if let What::Diagnose = self.what {
            return diagnose::show(&suite, self.json);
        }
        if let What::Set(switch, on) = self.what {
            return switch.set(&suite.root, on).map(|()| true).map_err(|error| {
                io::Error::other(format!(
                    "cannot write '{}/bin/.process_list': {error}",
                    suite.root.display()
                ))
            });
        }
        let _lock = suite.lock()?;
        match self.what {
            What::Start => start::start(&suite, self.foreground),
            What::Stop => suite.stop(),
            What::Restart => Ok(suite.check()? && suite.stop()? && start::start(&suite, false)?),
            _ => suite.reload(),
        }
    }
}

fn switch(verb: &'static str, rest: &[&str]) -> Result<Switch, Unclear> {
    match rest {
        [] => Err(Unclear::Switch { verb, bad: false }),
        [word] => Switch::named(word).ok_or(Unclear::Switch { verb, bad: true }),
        _ => Err(Unclear::Switch { verb, bad: true }),
    }
}

impl Unclear {
    fn text(&self, root: &Path) -> String {
        let program = root.join("bin/ossec-control");
        let program = program.display();
        match self {
            Self::Subcommand => {
                format!("Usage: {program} {{start|stop|reload|restart|status|enable|disable}}")
            }
            Self::Switch { verb, bad } => {
                let title = if *verb == "enable" { "Enable" } else { "Disable" };
                let complaint =
                    if *bad { format!("Invalid {verb} option.\n\n") } else { String::new() };
                let options = "database, client-syslog, agentless, debug";
                let words = "database|client-syslog|agentless|debug";
                format!("{complaint}{title} options: {options}\nUsage: {program} {verb} [{words}]")
            }
        }
    }
}

/// The installed suite that is controlled.
struct Suite {
    root: PathBuf,
    install: InstallType,
}

impl Suite {
    fn find(given: Option<&Path>) -> Self {
        let root = runtime::root::find(given);
        let install = InstallType::of(&root);
        Self { root, install }
    }

    /// One command at a time: whoever comes second waits.
    fn lock(&self) -> io::Result<File> {
        let path = self.root.join("var/run/ossec-control.command");
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o640)
            .custom_flags(flags)
            .open(&path);
        let lock = lock.map_err(|error| {
            let path = path.display();
            io::Error::other(format!("cannot open '{path}': {error}. Run it as root, or as the owner of the install root."))
        })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                say("another ossec-control is at work, waiting ..");
                lock.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(lock)
    }

    /// Has every daemon check its configuration.
    fn check(&self) -> io::Result<bool> {
        match check::all(&self.root, self.install) {
            Ok(()) => Ok(true),
            Err(broken) => {
                say(&broken.to_string());
                Ok(false)
            }
        }
    }

    /// Stops everything, whoever has started it.
    fn stop(&self) -> io::Result<bool> {
        let mut wards: Vec<Ward> =
            daemons::stop_order(self.install).iter().map(|line| Ward::new(line.name)).collect();
        for ward in &mut wards {
            if ward.adopt(&self.root) {
                say(&format!("Killing {} .. ", ward.name));
            } else {
                say(&format!("{} not running ..", ward.name));
            }
        }
        match instance::running(&self.root, supervisor::NAME)
            .and_then(|pid| Some((pid, Handle::open(pid).ok()?)))
        {
            Some((pid, supervisor)) => self.stop_by(&supervisor, pid, &mut wards)?,
            None => stop::in_order(&self.root, &mut wards, &mut |line| say(line)),
        }
        let alive: Vec<&str> =
            wards.iter().filter(|ward| ward.pid().is_some()).map(|ward| ward.name).collect();
        if !alive.is_empty() {
            say(&format!(
                "{} still running: you may not stop it, or it hangs in the kernel.",
                alive.join(", ")
            ));
            return Ok(false);
        }
        say(&format!("OSSEC HIDS {VERSION} Stopped"));
        Ok(true)
    }

    /// Lets the supervisor stop its daemons, and helps where it is stuck.
    fn stop_by(&self, supervisor: &Handle, pid: u32, wards: &mut [Ward]) -> io::Result<()> {
        let path = self.root.join(supervisor::NOTIFY);
        let reports = ipc::datagram::bind(&path)?;
        supervisor.signal(TERM).map_err(|error| {
            io::Error::other(format!(
                "cannot signal the supervisor (process {pid}): {error}. Run it as root."
            ))
        })?;
        if !supervisor.ended_within(stop::TIME_FOR_ALL + Duration::from_secs(5))? {
            say(&stop::killing_line(pid));
            supervisor.signal(9)?;
            supervisor.ended_within(Duration::from_secs(5))?;
        }
        // Whom it had to kill.
        start::show_reports(&reports);
        let _ = fs::remove_file(path);
        for ward in wards {
            if !ward.ended_within(&self.root, Duration::ZERO) {
                say(&stop::killing_line(ward.pid().unwrap_or_default()));
                ward.kill(&self.root);
            }
        }
        Ok(())
    }

    /// Has every daemon read its configuration again, without a gap in what it watches.
    fn reload(&self) -> io::Result<bool> {
        if !self.check()? {
            return Ok(false);
        }
        let mut wards: Vec<Ward> =
            daemons::start_order(self.install).iter().map(|line| Ward::new(line.name)).collect();
        let ran: Vec<bool> = wards.iter_mut().map(|ward| ward.adopt(&self.root)).collect();
        match instance::running(&self.root, supervisor::NAME) {
            Some(supervisor) => sys::process::kill(supervisor, HANGUP)?,
            None => wards.iter().for_each(|ward| ward.signal(HANGUP)),
        }
        let deadline = Instant::now() + RELOAD_WATCH;
        for ward in &mut wards {
            ward.ended_within(&self.root, deadline.saturating_duration_since(Instant::now()));
        }
        let unwanted = status::not_wanted(&self.root);
        let mut all_well = true;
        for (ward, ran) in wards.iter_mut().zip(ran) {
            let name = ward.name;
            let lives = ward.pid().is_some() || ward.adopt(&self.root);
            say(&match (ran, lives) {
                (true, true) => format!("Reloaded {name}..."),
                (false, true) => format!("Started {name}..."),
                (true, false) => format!(
                    "{name} ended at the reload, see {}/logs/ossec.log",
                    self.root.display()
                ),
                (false, false) => format!("{name} not running..."),
            });
            all_well &= lives || unwanted.iter().any(|unwanted| unwanted == name);
        }
        Ok(all_well)
    }
}

/// Writes a line for the person at the terminal; a closed terminal changes nothing.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Order, Unclear> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Order::read(&words)
    }

    #[test]
    fn words_and_options_are_read() {
        let order = read("status --json -D /opt/x").unwrap();
        assert_eq!((order.what, order.json), (What::Status, true));
        assert_eq!(order.root, Some(PathBuf::from("/opt/x")));
        assert!(read("start --foreground").unwrap().foreground);
        for unclear in ["", "help", "start stop", "start --json", "stop -f", "status -D"] {
            assert_eq!(read(unclear), Err(Unclear::Subcommand), "{unclear}");
        }
    }

    #[test]
    fn golden_usage_texts_are_those_of_the_original() {
        let golden = env::var("GOLDEN_DIR").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden").into()
        });
        let path = Path::new(&golden).join("host/control/transcript.txt");
        let Ok(transcript) = std::fs::read_to_string(&path) else {
            println!("skipped: no {}", path.display());
            return;
        };
        let mut wrong = Vec::new();
        for line in ["", "help", "enable", "enable bogus", "disable", "disable bogus"] {
            let text = read(line).unwrap_err().text(Path::new("/var/ossec"));
            let recorded = format!("$ ossec-control {line}\n\n{text}\n[exit 1]\n");
            if !transcript.contains(&recorded) {
                wrong.push(recorded);
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
