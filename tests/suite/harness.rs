//! An install root of the test's own, with the programs that were just built.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One installation; it is stopped and removed when it goes out of scope.
pub(crate) struct Suite {
    folder: TempDir,
    /// The network namespace that its programs run in.
    namespace: Option<String>,
}

impl Suite {
    /// Lays out a root with `conf` as its `ossec.conf`, in which `{root}`, `{watched}` and `{rules}` (the shipped
    /// ones) are replaced.
    pub(crate) fn new(conf: &str) -> Self {
        Self::of("local", conf, None)
    }

    /// The same for a `server` or an `agent`, whose programs run in a network namespace.
    pub(crate) fn of(kind: &str, conf: &str, namespace: Option<String>) -> Self {
        let suite = Self { folder: tempfile::tempdir().expect("a temporary folder"), namespace };
        fs::create_dir(suite.watched()).expect("folder for watched files");
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let bin = Path::new(env!("CARGO_BIN_EXE_ossec-control"))
            .parent()
            .expect("folder of the programs");
        let mut install = Command::new("sh");
        install.arg(project.join("install.sh")).args([
            "--no-build",
            "--type",
            kind,
            "--manager",
            "manager",
        ]);
        install.arg("--stage").arg(suite.root()).arg("--bin-dir").arg(bin);
        succeeds(&install.output().expect("install.sh runs"));
        suite.configure(conf);
        suite
    }

    /// Replaces `ossec.conf`.
    pub(crate) fn configure(&self, conf: &str) {
        let path = self.root().join("etc/ossec.conf");
        let text = conf
            .replace("{rules}", shipped_rules())
            .replace("{root}", &self.root().display().to_string())
            .replace("{watched}", &self.watched().display().to_string());
        // The installed file may be read-only for its owner.
        let _ = fs::remove_file(&path);
        fs::write(path, text).expect("ossec.conf can be written");
    }

    /// The install root.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// A folder for files that the suite watches.
    pub(crate) fn watched(&self) -> PathBuf {
        self.folder.path().join("watched")
    }

    /// A program of the suite, ready to be run in this root.
    pub(crate) fn program(&self, name: &str) -> Command {
        let program = self.root().join("bin").join(name);
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.env("OXSEC_ROOT", self.root()).env("OXSEC_STAY_USER", "1");
        command
    }

    /// Runs `ossec-control`.
    pub(crate) fn control(&self, arguments: &[&str]) -> Output {
        self.program("ossec-control").args(arguments).output().expect("ossec-control runs")
    }

    /// Starts all daemons; they are ready when it returns.
    pub(crate) fn start(&self) {
        let output = self.control(&["start"]);
        assert!(output.status.success(), "start: {}{}", text(&output), self.log());
    }

    /// Stops all daemons.
    pub(crate) fn stop(&self) {
        succeeds(&self.control(&["stop"]));
    }

    /// The pid of a running daemon, from its pid file.
    pub(crate) fn pid(&self, daemon: &str) -> Option<i32> {
        let entries = fs::read_dir(self.root().join("var/run")).ok()?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let pids = names.filter_map(|name| {
            name.strip_prefix(daemon)?.strip_prefix('-')?.strip_suffix(".pid")?.parse().ok()
        });
        pids.filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).max()
    }

    /// Kills a daemon with SIGKILL; `false` when it does not run at the moment.
    pub(crate) fn kill(&self, daemon: &str) -> bool {
        self.signal(daemon, Signal::KILL)
    }

    /// Sends a daemon a signal; `false` when it does not run at the moment.
    pub(crate) fn signal(&self, daemon: &str, signal: Signal) -> bool {
        self.pid(daemon)
            .and_then(Pid::from_raw)
            .is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// Content of a file below the root; empty when there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read(self.root().join(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// `alerts.log`.
    pub(crate) fn alerts(&self) -> String {
        self.read("logs/alerts/alerts.log")
    }

    /// `ossec.log`.
    pub(crate) fn log(&self) -> String {
        self.read("logs/ossec.log")
    }

    /// A daemon's account.
    pub(crate) fn account(&self, daemon: &str, key: &str) -> u64 {
        let state = self.read(&format!("var/run/{daemon}.state"));
        let value =
            state.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')?.parse().ok());
        value.unwrap_or_else(|| panic!("no '{key}' in the state of {daemon}:\n{state}"))
    }

    /// Checks that what a daemon took in is what it says became of it.
    pub(crate) fn assert_balanced(&self, daemon: &str) {
        let state = self.read(&format!("var/run/{daemon}.state"));
        let accounts: Vec<(&str, u64)> = state
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter_map(|(key, n)| Some((key, n.parse().ok()?)))
            .collect();
        let received: u64 =
            accounts.iter().filter(|(key, _)| *key == "received").map(|(_, n)| n).sum();
        let is_end = |key: &str| {
            matches!(key, "forwarded" | "filtered" | "pending") || key.starts_with("dropped_")
        };
        let ends: u64 = accounts.iter().filter(|(key, _)| is_end(key)).map(|(_, n)| n).sum();
        assert_eq!(received, ends, "accounts of {daemon} do not balance:\n{state}");
    }

    /// Waits until something holds, and says what it was when it does not.
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < end, "waited in vain for {what}; ossec.log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for an alert of a rule whose record contains `part`.
    pub(crate) fn until_alert(&self, rule: u32, part: &str) {
        self.until(&format!("an alert of rule {rule} with '{part}'"), || {
            records(&self.alerts(), rule).any(|record| record.contains(part))
        });
    }

    /// How many alerts a rule gave.
    pub(crate) fn count(&self, rule: u32) -> usize {
        records(&self.alerts(), rule).count()
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        let _ = self.control(&["stop"]);
    }
}

/// The `<rules>` of the shipped configuration: files whose rules are parents come first.
fn shipped_rules() -> &'static str {
    let conf = include_str!("../../etc/ossec-local.conf");
    let start = conf.find("<rules>").expect("a <rules> section");
    let end = conf.find("</rules>").expect("its end");
    &conf[start..end + "</rules>".len()]
}

/// The records of one rule.
fn records(alerts: &str, rule: u32) -> impl Iterator<Item = &str> {
    let mark = format!("\nRule: {rule} (level ");
    alerts.split("** Alert ").filter(move |record| record.contains(&mark))
}

/// Appends to a file, which is made if need be.
pub(crate) fn append(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// What a program said.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Asserts that a program ended with 0.
pub(crate) fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}\n{}", output.status, text(output));
}

/// Whether this is root: some tests make namespaces or mounts of their own, and say that they skip where they may not.
pub(crate) fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
