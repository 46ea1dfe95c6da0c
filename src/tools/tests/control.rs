//! ossec-control from outside: the real program and its supervisor, with stand-ins for the daemons (`examples/double.rs`),
//! in install roots of their own.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use runtime::{accounts, instance};
use serde_json::Value;
use sys::process::{self, Handle};

const DAEMONS: [&str; 5] =
    ["ossec-execd", "ossec-analysisd", "ossec-logcollector", "ossec-syscheckd", "ossec-monitord"];
const KILL: i32 = 9;

/// An install root whose daemons are stopped when the test ends, however it ends.
struct Install {
    folder: tempfile::TempDir,
}

impl Install {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for below in ["bin", "etc", "logs", "var/run"] {
            fs::create_dir_all(folder.path().join(below)).unwrap();
        }
        for name in DAEMONS.into_iter().chain(["ossec-control"]) {
            fs::hard_link(double(), folder.path().join("bin").join(name))
                .or_else(|_| fs::copy(double(), folder.path().join("bin").join(name)).map(drop))
                .unwrap();
        }
        Self { folder }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn behave(&self, name: &str, how: &str) {
        fs::write(self.root().join(format!("etc/{name}.behaviour")), how).unwrap();
    }

    fn control(&self, arguments: &[&str]) -> Output {
        Command::new(self.root().join("bin/ossec-control"))
            .args(arguments)
            .env("OXSEC_STAY_USER", "1")
            .env_remove("OXSEC_ROOT")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The lines of stdout, and whether the exit code was 0.
    fn says(&self, arguments: &[&str]) -> (Vec<String>, bool) {
        let output = self.control(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        (text.lines().map(str::to_owned).collect(), output.status.success())
    }

    fn start(&self) {
        let (lines, good) = self.says(&["start"]);
        assert!(good, "{lines:#?}\n{}", self.log());
    }

    fn pid(&self, name: &str) -> Option<u32> {
        instance::running(self.root(), name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root().join("logs/ossec.log")).unwrap_or_default()
    }
}

impl Drop for Install {
    fn drop(&mut self) {
        // What the test has left running, the deaf included.
        for name in ["ossec-control"].into_iter().chain(DAEMONS) {
            if let Some(pid) = instance::running(self.folder.path(), name) {
                let _ = process::kill(pid, KILL);
            }
        }
    }
}

fn double() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples/double")
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn head() -> String {
    format!("Starting OSSEC HIDS v{}...", env!("CARGO_PKG_VERSION"))
}

fn foot() -> String {
    format!("OSSEC HIDS v{} Stopped", env!("CARGO_PKG_VERSION"))
}

#[test]
fn all_start_in_order_run_and_stop_in_order() {
    let install = Install::new();
    let (lines, good) = install.says(&["start"]);
    let started = DAEMONS.map(|name| format!("Started {name}..."));
    assert_eq!(lines, [vec![head()], started.to_vec(), vec!["Completed.".into()]].concat());
    assert!(good);

    let stop_order = [
        "ossec-monitord",
        "ossec-logcollector",
        "ossec-syscheckd",
        "ossec-analysisd",
        "ossec-execd",
    ];
    let (lines, good) = install.says(&["status"]);
    assert_eq!(lines, stop_order.map(|name| format!("{name} is running...")));
    assert!(good);

    let (lines, good) = install.says(&["stop"]);
    let killing = stop_order.map(|name| format!("Killing {name} .. "));
    assert_eq!(lines, [killing.to_vec(), vec![foot()]].concat());
    assert!(good);
    let log = install.log();
    let ends: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("(1225)"))
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    let expected = [
        "ossec-control",
        "ossec-monitord",
        "ossec-logcollector",
        "ossec-syscheckd",
        "ossec-analysisd",
        "ossec-execd",
    ];
    assert_eq!(ends, expected.map(|name| format!("{name}(1225):")));

    let (lines, good) = install.says(&["status"]);
    assert_eq!(lines, stop_order.map(|name| format!("{name} not running...")));
    assert!(!good);
    let (lines, good) = install.says(&["stop"]);
    let idle = stop_order.map(|name| format!("{name} not running .."));
    assert_eq!(lines, [idle.to_vec(), vec![foot()]].concat());
    assert!(good);
    let left: Vec<_> = fs::read_dir(install.root().join("var/run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".notify")), "{left:?}");
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".pid")), "{left:?}");
}

#[test]
fn a_second_start_changes_nothing() {
    let install = Install::new();
    install.start();
    let before = DAEMONS.map(|name| install.pid(name));
    let (lines, good) = install.says(&["start"]);
    let already = DAEMONS.map(|name| format!("{name} already running..."));
    assert_eq!(lines, [vec![head()], already.to_vec(), vec!["Completed.".into()]].concat());
    assert!(good);
    assert_eq!(DAEMONS.map(|name| install.pid(name)), before);
}

#[test]
fn what_has_died_is_started_again() {
    let install = Install::new();
    install.start();
    let first = install.pid("ossec-analysisd").unwrap();
    process::kill(first, KILL).unwrap();
    wait_until("analysisd runs again", || {
        install.pid("ossec-analysisd").is_some_and(|pid| pid != first)
    });
    assert!(
        install.log().contains("ossec-analysisd ended by signal 9 after "),
        "{}",
        install.log()
    );
    wait_until("the restart is on record", || {
        let own = accounts::read(install.root(), "ossec-control").unwrap();
        own.contains(&("restarts_ossec-analysisd".into(), 1))
    });
}

#[test]
fn a_daemon_that_does_not_start_is_explained_and_the_others_are_stopped() {
    let install = Install::new();
    install.behave("ossec-logcollector", "die");
    let (lines, good) = install.says(&["start"]);
    assert!(!good);
    let text = lines.join("\n");
    assert!(
        text.contains("Started ossec-analysisd...\nossec-logcollector did not start correctly.\n"),
        "{text}"
    );
    assert!(text.contains("it ended with exit status 1."), "{text}");
    assert!(text.contains("ERROR: this daemon was told to die"), "{text}");
    assert!(text.contains("bin/ossec-logcollector -t"), "{text}");
    for name in DAEMONS {
        assert_eq!(install.pid(name), None, "{name}");
    }
}

#[test]
fn a_refused_configuration_stops_nothing_and_starts_nothing() {
    let install = Install::new();
    install.behave("ossec-analysisd", "broken");
    let (lines, good) = install.says(&["start"]);
    assert!(!good);
    assert_eq!(
        lines.last().unwrap(),
        "OSSEC analysisd: Testing rules failed. Configuration error. Exiting."
    );
    assert!(
        lines.iter().any(|line| line.contains("ossec-analysisd(1202): ERROR: Configuration error")),
        "{lines:#?}"
    );

    install.behave("ossec-analysisd", "");
    install.start();
    let before = DAEMONS.map(|name| install.pid(name));
    install.behave("ossec-syscheckd", "broken");
    for verb in ["restart", "reload"] {
        let (lines, good) = install.says(&[verb]);
        assert!(!good);
        assert_eq!(lines.last().unwrap(), "ossec-syscheckd: Configuration error. Exiting");
    }
    assert_eq!(DAEMONS.map(|name| install.pid(name)), before);
}

#[test]
fn a_daemon_that_is_not_wanted_does_not_count_as_down() {
    let install = Install::new();
    install.behave("ossec-execd", "unwanted");
    let (lines, good) = install.says(&["start"]);
    assert!(good, "{lines:#?}");
    assert_eq!(lines[1], "ossec-execd not needed by this configuration...");
    let (lines, good) = install.says(&["status"]);
    assert_eq!(lines[4], "ossec-execd not running...");
    assert!(good);
}

#[test]
fn a_reload_asks_again_whom_the_old_configuration_did_not_want() {
    let install = Install::new();
    install.behave("ossec-execd", "unwanted");
    install.start();
    install.behave("ossec-execd", "");
    let (lines, good) = install.says(&["reload"]);
    assert!(good, "{lines:#?}");
    wait_until("execd runs", || install.pid("ossec-execd").is_some());
    assert!(install.says(&["status"]).1);
}

#[test]
fn daemons_outlive_their_supervisor_and_are_adopted() {
    let install = Install::new();
    install.start();
    let before = DAEMONS.map(|name| install.pid(name));
    let supervisor = Handle::open(install.pid("ossec-control").unwrap()).unwrap();
    supervisor.signal(KILL).unwrap();
    assert!(supervisor.ended_within(Duration::from_secs(20)).unwrap());
    assert!(install.says(&["status"]).1);

    let (lines, good) = install.says(&["start"]);
    assert!(good, "{lines:#?}");
    assert_eq!(lines[1], "ossec-execd already running...");
    assert_eq!(DAEMONS.map(|name| install.pid(name)), before);
    let execd = before[0].unwrap();
    process::kill(execd, KILL).unwrap();
    wait_until("an adopted daemon is started again", || {
        install.pid("ossec-execd").is_some_and(|pid| pid != execd)
    });
    assert!(install.says(&["stop"]).1);
    assert_eq!(DAEMONS.map(|name| install.pid(name)), [None; 5]);
}

#[test]
fn stop_works_without_a_supervisor() {
    let install = Install::new();
    install.start();
    let supervisor = Handle::open(install.pid("ossec-control").unwrap()).unwrap();
    supervisor.signal(KILL).unwrap();
    assert!(supervisor.ended_within(Duration::from_secs(20)).unwrap());
    let (lines, good) = install.says(&["stop"]);
    assert!(good, "{lines:#?}");
    assert_eq!(DAEMONS.map(|name| install.pid(name)), [None; 5]);
}

#[test]
fn restart_and_reload_leave_all_running() {
    let install = Install::new();
    install.start();
    let before = DAEMONS.map(|name| install.pid(name));
    let (lines, good) = install.says(&["reload"]);
    assert_eq!(lines, DAEMONS.map(|name| format!("Reloaded {name}...")));
    assert!(good);
    assert_eq!(DAEMONS.map(|name| install.pid(name)), before);
    wait_until("each has been told", || {
        DAEMONS.iter().all(|name| {
            accounts::read(install.root(), name).unwrap() == [("reloads".to_owned(), 1)]
        })
    });
    let (lines, good) = install.says(&["restart"]);
    assert!(good, "{lines:#?}");
    for (name, before) in DAEMONS.iter().zip(before) {
        assert!(install.pid(name).is_some_and(|pid| Some(pid) != before), "{name}");
    }
}

#[test]
fn a_hangup_to_the_supervisor_reaches_all() {
    let install = Install::new();
    install.start();
    process::kill(install.pid("ossec-control").unwrap(), 1).unwrap();
    wait_until("each has been told", || {
        DAEMONS.iter().all(|name| {
            accounts::read(install.root(), name).unwrap() == [("reloads".to_owned(), 1)]
        })
    });
}

#[test]
fn json_tells_pid_memory_and_balance() {
    let install = Install::new();
    install.start();
    let output = install.control(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["type"], "local");
    assert_eq!(status["supervisor"]["pid"], install.pid("ossec-control").unwrap());
    let daemons = status["daemons"].as_array().unwrap();
    assert_eq!(daemons.len(), DAEMONS.len());
    let logcollector = &daemons[1];
    assert_eq!(logcollector["name"], "ossec-logcollector");
    assert_eq!(logcollector["pid"], install.pid("ossec-logcollector").unwrap());
    assert_eq!(logcollector["balanced"], true);
    assert_eq!(logcollector["accounts"]["dropped_odd"], 1);
    assert!(logcollector["rss_bytes"].as_u64().unwrap() > 4096);
    assert!(logcollector["uptime_seconds"].as_u64().unwrap() < 120);
}

#[test]
fn debug_is_passed_on_to_the_daemons() {
    let install = Install::new();
    assert!(install.says(&["enable", "debug"]).1);
    install.start();
    let pid = install.pid("ossec-execd").unwrap();
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(line.split(|&byte| byte == 0).any(|word| word == b"-d"));
}

#[test]
fn two_starts_at_a_time_start_each_daemon_once() {
    let install = Install::new();
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..3).map(|_| scope.spawn(|| install.says(&["start"]))).collect();
        for start in starts {
            let (lines, good) = start.join().unwrap();
            assert!(good, "{lines:#?}");
        }
    });
    assert_eq!(install.log().matches("ossec-execd: INFO: Started (pid: ").count(), 1);
}
