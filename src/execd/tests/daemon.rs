//! execd from outside: the real daemon (`examples/daemon.rs`) in install roots of its own, its socket, its scripts, its end.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sys::process::{self, Handle};
use tempfile::TempDir;

const TERM: i32 = 15;
const PATIENCE: Duration = Duration::from_secs(20);

/// A running execd; killed when the test ends.
struct Execd {
    child: Child,
}

impl Execd {
    fn start(root: &TempDir) -> Self {
        let this = Self::launch(root);
        let socket = root.path().join(ipc::paths::EXECQ);
        until("the socket", || UnixDatagram::unbound().unwrap().connect(&socket).is_ok());
        this
    }

    fn launch(root: &TempDir) -> Self {
        let test = std::env::current_exe().unwrap();
        let program = test.parent().unwrap().parent().unwrap().join("examples/daemon");
        let mut command = Command::new(program);
        command
            .arg("-f")
            .arg("-D")
            .arg(root.path())
            .env("OXSEC_STAY_USER", "1")
            .env_remove("NOTIFY_SOCKET");
        Self {
            child: command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        }
    }

    fn stop(mut self) -> ExitStatus {
        process::kill(self.child.id(), TERM).unwrap();
        self.end()
    }

    fn end(&mut self) -> ExitStatus {
        let handle = Handle::open(self.child.id()).unwrap();
        assert!(handle.ended_within(PATIENCE).unwrap(), "execd did not end");
        self.child.wait().unwrap()
    }
}

impl Drop for Execd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn root(table: &str, responses: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for below in
        ["etc/shared", "active-response/bin", "queue/alerts", "queue/execd", "logs", "var/run"]
    {
        fs::create_dir_all(root.path().join(below)).unwrap();
    }
    configure(&root, responses);
    fs::write(root.path().join("etc/shared/ar.conf"), table).unwrap();
    add_script(root.path(), "note.sh", "echo \"$1 $3\" >>\"${0%/*}/notes\"");
    add_script(root.path(), "hang.sh", "[ \"$1\" = delete ] || exec sleep 30");
    root
}

fn configure(root: &TempDir, responses: &str) {
    let text =
        format!("<ossec_config><active-response>{responses}</active-response></ossec_config>\n");
    fs::write(root.path().join("etc/ossec.conf"), text).unwrap();
}

fn add_script(root: &Path, name: &str, body: &str) {
    let path = root.join("active-response/bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o750)).unwrap();
}

fn order(root: &TempDir, text: &str) {
    let socket = ipc::datagram::connect(&root.path().join(ipc::paths::EXECQ)).unwrap();
    socket.send(text.as_bytes()).unwrap();
}

fn notes(root: &TempDir) -> String {
    fs::read_to_string(root.path().join("active-response/bin/notes")).unwrap_or_default()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_response_ends_when_its_time_is_over() {
    let root = root("n1 - note.sh - 1\n", "<disabled>no</disabled>");
    let _execd = Execd::start(&root);
    let sent = Instant::now();
    order(&root, "n1 - 10.0.0.1 1.1 5716 l -");
    until("add", || notes(&root) == "add 10.0.0.1\n");
    until("delete", || notes(&root).ends_with("delete 10.0.0.1\n"));
    assert!(sent.elapsed() >= Duration::from_secs(1), "{:?}", sent.elapsed());
}

#[test]
fn an_orderly_end_takes_back_what_is_in_force_and_waits_for_no_other_script() {
    let root = root("n600 - note.sh - 600\nh0 - hang.sh - 0\n", "<disabled>no</disabled>");
    let execd = Execd::start(&root);
    order(&root, "h0 - 10.0.0.9 1.1 5716 l -");
    order(&root, "n600 - 10.0.0.1 1.1 5716 l -");
    until("add", || notes(&root) == "add 10.0.0.1\n");
    let asked = Instant::now();
    assert!(execd.stop().success());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(notes(&root), "add 10.0.0.1\ndelete 10.0.0.1\n");
    assert_eq!(
        fs::read_to_string(root.path().join("queue/execd/pending"))
            .unwrap()
            .matches("done")
            .count(),
        1
    );
}

#[test]
fn after_a_kill_the_next_execd_keeps_the_time() {
    let root = root("n2 - note.sh - 2\n", "<disabled>no</disabled>");
    let mut execd = Execd::start(&root);
    order(&root, "n2 - 10.0.0.1 1.1 5716 l -");
    until("add", || notes(&root) == "add 10.0.0.1\n");
    execd.child.kill().unwrap();
    execd.child.wait().unwrap();
    let _next = Execd::start(&root);
    until("delete", || notes(&root) == "add 10.0.0.1\ndelete 10.0.0.1\n");
}

#[test]
fn when_active_response_is_off_execd_ends_well_and_leaves_no_block() {
    let root = root("n600 - note.sh - 600\n", "<disabled>no</disabled>");
    let mut execd = Execd::start(&root);
    order(&root, "n600 - 10.0.0.1 1.1 5716 l -");
    until("add", || notes(&root) == "add 10.0.0.1\n");
    execd.child.kill().unwrap();
    execd.child.wait().unwrap();
    configure(&root, "<disabled>yes</disabled>");
    assert!(Execd::launch(&root).end().success());
    assert_eq!(notes(&root), "add 10.0.0.1\ndelete 10.0.0.1\n");
    let log = fs::read_to_string(root.path().join("logs/ossec.log")).unwrap();
    assert!(log.contains("ossec-execd(1350): INFO: Active response disabled. Exiting."), "{log}");
}

#[test]
fn nonsense_is_logged_by_its_number_and_counted() {
    let root = root("n0 - note.sh - 0\n", "<disabled>no</disabled>");
    let execd = Execd::start(&root);
    for text in ["nospace", "unknown9 - 1.2.3.4 x 1 l -", "n0 onlyone", "n0 - 10.0.0.1 1.1 1 l -"] {
        order(&root, text);
    }
    until("the last one", || notes(&root) == "add 10.0.0.1\n");
    assert!(execd.stop().success());
    let log = fs::read_to_string(root.path().join("logs/ossec.log")).unwrap();
    for text in [
        "ossec-execd(1310): WARN: Invalid active response (execd) message 'nospace'.",
        "ossec-execd(1311): ERROR: Invalid command name 'unknown9' provided.",
        "ossec-execd: WARN: Invalid number of arguments.",
        "ossec-execd(1314): INFO: Shutdown received. Deleting responses.",
    ] {
        assert!(log.contains(text), "no '{text}' in:\n{log}");
    }
    let accounts = runtime::accounts::read(root.path(), "ossec-execd").unwrap();
    let of = |name: &str| accounts.iter().find(|(key, _)| key == name).unwrap().1;
    assert_eq!((of("received"), of("dropped_malformed"), of("dropped_unknown")), (4, 2, 1));
    assert_eq!(of("forwarded") + of("pending"), 1);
}
