//! The life of a daemon from outside: real processes (`examples/probe.rs`) in install roots of their own.
//!
//! `cargo test -p runtime` builds the probe; `--test life` alone takes the one that is there.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests")]

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use runtime::{accounts, instance};
use sys::process::Handle;

/// An install root, with the folders that the probe needs.
struct Install {
    folder: tempfile::TempDir,
}

impl Install {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for below in ["etc", "logs", "var/run", "queue/probe"] {
            fs::create_dir_all(folder.path().join(below)).unwrap();
        }
        fs::write(folder.path().join("logs/old.log"), "").unwrap();
        fs::write(folder.path().join("etc/internal_options.conf"), "").unwrap();
        Self { folder }
    }

    /// As install.sh leaves it: the root is open to the suite's users, what they write belongs to them.
    fn for_user(uid: u32, gid: u32) -> Self {
        let this = Self::new();
        fs::set_permissions(this.root(), fs::Permissions::from_mode(0o755)).unwrap();
        for below in ["logs", "queue/probe"] {
            chown(this.root().join(below), Some(uid), Some(gid)).unwrap();
        }
        let run = this.root().join("var/run");
        chown(&run, None, Some(gid)).unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o770)).unwrap();
        this
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn probe(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(probe());
        command.arg("-D").arg(self.root()).args(arguments);
        command.env_remove("OXSEC_STAY_USER").env_remove("NOTIFY_SOCKET").env_remove("PROBE");
        command.stdin(Stdio::null());
        command
    }

    /// A probe that stays who it is.
    fn own_probe(&self, arguments: &[&str]) -> Command {
        let mut command = self.probe(arguments);
        command.env("OXSEC_STAY_USER", "1");
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root().join("logs/ossec.log")).unwrap_or_default()
    }

    fn pid(&self) -> Option<u32> {
        instance::look(self.root(), "ossec-probe").unwrap()
    }

    fn report(&self) -> String {
        fs::read_to_string(self.root().join("queue/probe/report")).unwrap_or_default()
    }

    fn pid_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root().join("var/run")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".pid")).collect()
    }
}

/// Cargo builds examples beside the tests.
fn probe() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap().join("examples/probe");
    assert!(built.exists(), "{} is missing: cargo build -p runtime --examples", built.display());
    built
}

/// A process that ends with the test, whatever happens.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn stop(mut self) -> std::process::ExitStatus {
        sys::process::kill(self.0.id(), 15).unwrap();
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon in the background that ends with the test, whatever happens.
struct Background(Handle);

impl Background {
    fn of(install: &Install) -> Self {
        Self(Handle::open(install.pid().expect("the daemon runs")).unwrap())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.signal(9);
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn root_or_skip() -> bool {
    let root = sys::privilege::effective_uid() == 0;
    if !root {
        println!("skipped: only root can give up root");
    }
    root
}

/// The user who is on every Linux; its number, its group's number and the names.
fn nobody() -> (u32, u32, [&'static str; 4]) {
    let user = sys::users::user("nobody").unwrap().expect("the user nobody");
    let group = if sys::users::group("nogroup").unwrap().is_some() { "nogroup" } else { "nobody" };
    let gid = sys::users::group(group).unwrap().expect("the group of nobody");
    (user.uid, gid, ["-u", "nobody", "-g", group])
}

/// Runs the probe in the foreground as `nobody` until it is ready, stops it, and gives its report.
fn report_as_nobody(variation: &str) -> (Install, String) {
    let (uid, gid, names) = nobody();
    let install = Install::for_user(uid, gid);
    if variation == "root" {
        chown(install.root().join("queue/probe"), Some(0), None).unwrap();
    }
    let mut command = install.probe(&["-f"]);
    command.args(if variation == "root" { &names[2..] } else { &names }).env("PROBE", variation);
    let running = Running::start(command);
    until("Started", || install.log().contains("INFO: Started (pid: "));
    let report = install.report();
    assert_eq!(running.stop().code(), Some(0), "{}", install.log());
    (install, report)
}

fn field<'a>(report: &'a str, name: &str) -> &'a str {
    let value = report.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {report}")).trim()
}

#[test]
fn version_help_and_refusal_exit_as_recorded() {
    let install = Install::new();
    for (arguments, code) in [(&["-V"], 0), (&["-h"], 0), (&["-Z"], 1)] {
        let Output { status, stdout, stderr } = install.probe(arguments).output().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
        assert!(stdout.is_empty(), "{arguments:?}");
        assert!(text(&stderr).contains("Oxsec v"), "{arguments:?}");
    }
}

#[test]
fn a_check_of_the_configuration_tells_good_from_bad() {
    let install = Install::new();
    assert_eq!(install.probe(&["-t"]).status().unwrap().code(), Some(0));
    let options = install.root().join("etc/local_internal_options.conf");
    fs::write(options, "analysisd.debug=9\n").unwrap();
    let Output { status, stderr, .. } = install.probe(&["-t"]).output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(text(&stderr).contains(" ossec-probe(2302): ERROR: "), "{}", text(&stderr));
    assert_eq!(install.log(), text(&stderr));
}

#[test]
fn a_daemon_in_the_background_runs_once_until_it_is_told_to_stop() {
    let install = Install::new();
    assert_eq!(install.own_probe(&[]).status().unwrap().code(), Some(0), "{}", install.log());
    let daemon = Background::of(&install);
    let pid = install.pid().unwrap();
    assert_eq!(install.pid_files(), [format!("ossec-probe-{pid}.pid")]);

    let Output { status, stderr, .. } = install.own_probe(&[]).output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(text(&stderr).contains(&format!("already runs as process {pid}")), "{}", text(&stderr));

    until("Started", || install.log().contains(&format!("INFO: Started (pid: {pid}).")));
    daemon.0.signal(1).unwrap();
    until("Reloaded", || install.log().contains("ossec-probe: INFO: Reloaded."));
    let state = accounts::read(install.root(), "ossec-probe").unwrap();
    assert_eq!(state, [("received".to_owned(), 1), ("pending".to_owned(), 1)]);

    daemon.0.signal(15).unwrap();
    assert!(daemon.0.ended_within(Duration::from_secs(30)).unwrap());
    let stopped = "ossec-probe(1225): INFO: SIGNAL [(15)-(Terminated)] Received. Exit Cleaning...";
    assert!(install.log().contains(stopped), "{}", install.log());
    assert_eq!(install.pid(), None);
    assert!(install.pid_files().is_empty());
}

#[test]
fn a_killed_daemon_is_seen_as_such_and_starts_again() {
    let install = Install::new();
    assert!(install.own_probe(&[]).status().unwrap().success());
    let killed = Background::of(&install);
    let left_over = install.pid_files();
    killed.0.signal(9).unwrap();
    assert!(killed.0.ended_within(Duration::from_secs(30)).unwrap());
    // Its attempt to run a program may have been under way, with a copy of the lock.
    until("the lock is free", || install.pid().is_none());
    assert_eq!(install.pid_files(), left_over);
    assert!(install.own_probe(&[]).status().unwrap().success(), "{}", install.log());
    let _again = Background::of(&install);
    assert_ne!(install.pid_files(), left_over);
    assert_eq!(install.pid_files().len(), 1);
}

#[test]
fn a_start_that_fails_in_the_background_is_told_at_the_terminal() {
    let install = Install::new();
    fs::remove_dir(install.root().join("var/run")).unwrap();
    let Output { status, stderr, .. } = install.own_probe(&[]).output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(
        text(&stderr).contains("(1212): ERROR: Unable to create PID file."),
        "{}",
        text(&stderr)
    );
}

#[test]
fn the_supervisor_is_told_when_the_daemon_is_ready() {
    let install = Install::new();
    let path = install.root().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = install.own_probe(&["-f"]);
    command.env("NOTIFY_SOCKET", &path);
    let running = Running::start(command);
    let mut message = [0; 64];
    let length = socket.recv(&mut message).unwrap();
    assert_eq!(text(&message[..length]), "READY=1");
    assert_eq!(running.stop().code(), Some(0));
}

#[test]
fn the_supervisor_is_told_why_a_daemon_ends() {
    let install = Install::new();
    fs::remove_dir(install.root().join("var/run")).unwrap();
    let path = install.root().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = install.own_probe(&["-f"]);
    let Output { status, .. } = command.env("NOTIFY_SOCKET", &path).output().unwrap();
    assert_eq!(status.code(), Some(1));
    let mut message = [0; 512];
    let length = socket.recv(&mut message).unwrap();
    let message = text(&message[..length]);
    assert!(message.starts_with("STATUS=(1212) Unable to create PID file."), "{message}");
}

#[test]
fn an_unknown_user_is_refused() {
    if !root_or_skip() {
        return;
    }
    let install = Install::new();
    let Output { status, stderr, .. } = install.probe(&["-f"]).output().unwrap();
    assert_eq!(status.code(), Some(1));
    let expected = "(1203): ERROR: Invalid user 'no-such-user' or group 'no-such-group' given.";
    assert!(text(&stderr).contains(expected), "{}", text(&stderr));
    assert_eq!(install.pid(), None);
}

#[test]
fn a_folder_that_the_user_cannot_write_is_said_with_the_remedy() {
    if !root_or_skip() {
        return;
    }
    let (uid, gid, names) = nobody();
    let install = Install::for_user(uid, gid);
    let queue = install.root().join("queue/probe");
    chown(&queue, Some(0), Some(0)).unwrap();
    let Output { status, stderr, .. } = install.probe(&["-f"]).args(names).output().unwrap();
    assert_eq!(status.code(), Some(1));
    let remedy = format!("chown -R nobody:{} {}", names[3], queue.display());
    assert!(text(&stderr).contains(&remedy), "{}", text(&stderr));
}

#[test]
fn root_is_given_up_for_good_and_the_sandbox_holds() {
    if !root_or_skip() {
        return;
    }
    let (uid, gid, _) = nobody();
    let (install, report) = report_as_nobody("");
    assert_eq!(field(&report, "Uid"), format!("{uid}\t{uid}\t{uid}\t{uid}"));
    assert_eq!(field(&report, "Gid"), format!("{gid}\t{gid}\t{gid}\t{gid}"));
    assert_eq!(field(&report, "Groups"), gid.to_string());
    for set in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(&report, set), "0000000000000000", "{set}");
    }
    assert_eq!(field(&report, "NoNewPrivs"), "1");
    assert_eq!(field(&report, "write inside"), "done");
    assert!(!install.root().join("etc/mark").exists());
    assert_eq!(fs::metadata(install.root().join("logs/ossec.log")).unwrap().uid(), uid);
    // The log goes on, and the pid file could be removed, as that user.
    assert!(install.log().contains("(1225): INFO"), "{}", install.log());
    assert!(install.pid_files().is_empty());
}

#[test]
fn seccomp_denies_programs_and_network() {
    let (install, report) = report_as_whoever("");
    if install.log().contains("filter of system calls") {
        println!("skipped: no seccomp here");
        return;
    }
    assert_eq!(field(&report, "Seccomp"), "2");
    assert_eq!(field(&report, "run a program"), "PermissionDenied");
    assert_eq!(field(&report, "network socket"), "PermissionDenied");
}

#[test]
fn landlock_denies_what_was_not_declared() {
    let (install, report) = report_as_whoever("");
    if install.log().contains("has no Landlock") {
        println!("skipped: no Landlock here");
        return;
    }
    assert_eq!(field(&report, "write outside"), "PermissionDenied");
    assert_eq!(field(&report, "write inside"), "done");
    assert_eq!(field(&report, "read options"), "done");
    assert_eq!(field(&report, "read /etc/passwd"), "PermissionDenied");
    assert_eq!(field(&report, "remove a log"), "PermissionDenied");
}

#[test]
fn only_the_programs_that_were_declared_are_run() {
    let (install, report) = report_as_whoever("program");
    if install.log().contains("has no Landlock") {
        println!("skipped: no Landlock here");
        return;
    }
    assert_eq!(field(&report, "run a program"), "done");
    assert_eq!(field(&report, "end a program"), "done");
    assert_eq!(field(&report, "run another program"), "PermissionDenied");
    assert_eq!(field(&report, "write outside"), "PermissionDenied");
}

/// The sandbox needs no root: run as whoever runs the tests.
fn report_as_whoever(variation: &str) -> (Install, String) {
    let install = Install::new();
    let mut command = install.own_probe(&["-f"]);
    command.env("PROBE", variation);
    let running = Running::start(command);
    until("Started", || install.log().contains("INFO: Started (pid: "));
    let report = install.report();
    assert_eq!(running.stop().code(), Some(0), "{}", install.log());
    let log = install.log();
    let said = log.matches(": stays ").count();
    assert_eq!(said, 1, "what was skipped is said once: {log}");
    (install, report)
}

#[test]
fn a_daemon_that_stays_root_keeps_only_its_capabilities() {
    if !root_or_skip() {
        return;
    }
    let (_, gid, _) = nobody();
    let (install, report) = report_as_nobody("root");
    if install.log().contains("Capabilities are not reduced") {
        println!("skipped: no CAP_SETPCAP here");
        return;
    }
    assert_eq!(field(&report, "Uid"), "0\t0\t0\t0");
    assert_eq!(field(&report, "Groups"), gid.to_string());
    // Bit 2 is CAP_DAC_READ_SEARCH.
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(field(&report, set), "0000000000000004", "{set}");
    }
    assert_eq!(field(&report, "CapInh"), "0000000000000000");
}

#[test]
fn without_landlock_root_confines_by_a_chroot() {
    if !root_or_skip() {
        return;
    }
    let (install, report) = report_as_nobody("old-kernel");
    assert_eq!(field(&report, "root"), "/");
    assert_eq!(field(&report, "read /etc/passwd"), "NotFound");
    assert_eq!(field(&report, "write inside"), "done");
    assert!(install.log().contains("confined by a chroot to "), "{}", install.log());
    assert!(install.log().contains("(1225): INFO"), "{}", install.log());
    assert!(install.pid_files().is_empty());
}

#[test]
fn a_panic_of_any_thread_is_logged_and_ends_the_process() {
    let install = Install::new();
    let mut command = install.own_probe(&["-f"]);
    command.env("PROBE", "panic");
    let mut running = Running::start(command);
    let status = running.0.wait().unwrap();
    assert_eq!(status.signal(), Some(6), "{status}");
    let log = install.log();
    assert!(log.contains("ossec-probe: ERROR: Internal error at "), "{log}");
    assert!(log.contains("on purpose"), "{log}");
    assert_eq!(install.pid(), None);
}

#[test]
fn a_log_that_cannot_be_written_is_said_at_the_terminal() -> io::Result<()> {
    let install = Install::new();
    fs::remove_dir_all(install.root().join("logs"))?;
    fs::write(install.root().join("etc/internal_options.conf"), "analysisd.debug=x\n")?;
    let Output { stderr, .. } = install.probe(&["-t"]).output()?;
    let stderr = text(&stderr);
    assert_eq!(stderr.matches("cannot write the log").count(), 1, "{stderr}");
    assert!(stderr.contains("chown ossec:ossec "), "{stderr}");
    Ok(())
}
