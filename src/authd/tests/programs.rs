//! `ossec-authd` and `agent-auth` as programs of their own, on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn new_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["etc", "var/run", "logs"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    root
}

/// A running ossec-authd; ended when dropped.
struct Manager {
    root: tempfile::TempDir,
    port: u16,
    program: Child,
    lines: Receiver<String>,
    log: Vec<String>,
}

impl Manager {
    fn start(flags: &[&str]) -> Self {
        Self::start_in(new_root(), flags)
    }

    fn start_in(root: tempfile::TempDir, flags: &[&str]) -> Self {
        let port = TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
        let mut program = Command::new(env!("CARGO_BIN_EXE_authd-under-test"))
            .args(["-f", "-p", &port.to_string(), "-D"])
            .arg(root.path())
            .args(flags)
            .env("OXSEC_STAY_USER", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(program.stderr.take().unwrap());
        let (send, lines) = sync_channel(10_000);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut manager = Self { root, port, program, lines, log: Vec::new() };
        manager.await_line("Started (pid:");
        manager
    }

    /// The line that holds `text`; earlier ones count too.
    fn await_line(&mut self, text: &str) -> String {
        if let Some(line) = self.log.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self
                .lines
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("no '{text}' in the log:\n{}", self.log.join("\n")));
            self.log.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    fn fingerprint(&mut self) -> String {
        let line = self.await_line("--fingerprint sha256:");
        line.split("--fingerprint ").nth(1).unwrap().to_owned()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn keys(&self) -> String {
        std::fs::read_to_string(self.path("etc/client.keys")).unwrap_or_default()
    }

    fn agent(&self, root: &Path, flags: &[&str]) -> Command {
        let mut agent = Command::new(env!("CARGO_BIN_EXE_agent-auth-under-test"));
        agent.args(["-m", "localhost", "-p", &self.port.to_string(), "-D"]).arg(root).args(flags);
        agent.stderr(Stdio::piped()).stdout(Stdio::piped());
        agent
    }

    fn enrol(&self, root: &Path, flags: &[&str]) -> (bool, String) {
        let Output { status, stderr, .. } = self.agent(root, flags).output().unwrap();
        (status.success(), String::from_utf8(stderr).unwrap())
    }

    fn stop(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.program.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn keys_in(root: &Path) -> Option<String> {
    std::fs::read_to_string(root.join("etc/client.keys")).ok()
}

fn password_file(root: &Path, password: &str) -> String {
    let path = root.join("etc/authd.pass");
    std::fs::write(&path, password).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    path.display().to_string()
}

#[test]
fn twenty_agents_at_once_get_twenty_ids_and_keep_what_the_manager_has() {
    let root = new_root();
    let password = password_file(root.path(), "sekret with a blank\n");
    let mut manager = Manager::start_in(root, &[]);
    let pin = manager.fingerprint();
    let roots: Vec<_> = (0..20).map(|_| new_root()).collect();
    let agents: Vec<Child> = roots
        .iter()
        .enumerate()
        .map(|(n, root)| {
            let name = format!("agent{n:02}");
            let flags = ["-A", &name, "-P", &password, "--fingerprint", &pin];
            manager.agent(root.path(), &flags).spawn().unwrap()
        })
        .collect();
    for agent in agents {
        let output = agent.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut theirs: Vec<String> = roots.iter().map(|root| keys_in(root.path()).unwrap()).collect();
    theirs.sort();
    let mut ours: Vec<String> = manager.keys().lines().map(|line| format!("{line}\n")).collect();
    ours.sort();
    assert_eq!(ours, theirs);
    let mut ids: Vec<&str> = ours.iter().map(|line| line.split(' ').next().unwrap()).collect();
    ids.sort_unstable();
    let expected: Vec<String> = (1024..1044).map(|id| id.to_string()).collect();
    assert_eq!(ids, expected);
}

#[test]
fn a_wrong_password_is_refused_without_a_word_and_changes_nothing() {
    let root = new_root();
    let right = password_file(root.path(), "sekret\n");
    let mut manager = Manager::start_in(root, &[]);
    let agent = new_root();
    let wrong = password_file(agent.path(), "sekreT\n");
    for flags in [&["-A", "web01", "-P", &wrong, "--insecure"][..], &["-A", "web01", "--insecure"]]
    {
        let (done, said) = manager.enrol(agent.path(), flags);
        assert!(!done && said.contains("The manager refused the request"), "{said}");
    }
    manager.await_line("ERROR: Invalid password provided by ");
    assert_eq!((keys_in(agent.path()), manager.keys()), (None, String::new()));
    let (done, said) = manager.enrol(agent.path(), &["-A", "web01", "-P", &right, "--insecure"]);
    assert!(done, "{said}");
}

#[test]
fn a_hangup_brings_another_password_and_another_certificate() {
    let root = new_root();
    password_file(root.path(), "first\n");
    let mut manager = Manager::start_in(root, &[]);
    let old = manager.fingerprint();
    let agent = new_root();
    let other = new_root();
    let mut second = Manager::start_in(other, &["-n"]);
    let new = second.fingerprint();
    for name in ["etc/sslmanager.cert", "etc/sslmanager.key"] {
        std::fs::copy(second.path(name), manager.path(name)).unwrap();
    }
    let right = password_file(manager.root.path(), "second\n");
    manager.signal(rustix::process::Signal::HUP);
    manager.await_line("Certificates and password read again.");
    let flags = ["-A", "web01", "-P", &right, "--fingerprint"];
    let with =
        |fingerprint: &str| manager.enrol(agent.path(), &[&flags[..], &[fingerprint]].concat());
    assert!(!with(&old).0, "the old certificate is still shown");
    let (done, said) = with(&new);
    assert!(done, "{said}");
    std::fs::write(manager.path("etc/sslmanager.key"), "no key").unwrap();
    manager.signal(rustix::process::Signal::HUP);
    manager.await_line("Certificates and password stay as they were.");
}

#[test]
fn without_a_password_file_a_random_one_is_chosen_and_logged() {
    let mut manager = Manager::start(&[]);
    let line = manager.await_line("Random password chosen for agent authentication: ");
    let agent = new_root();
    let file = password_file(agent.path(), line.rsplit(' ').next().unwrap());
    let (done, said) = manager.enrol(agent.path(), &["-A", "web01", "-P", &file, "--insecure"]);
    assert!(done, "{said}");
}

#[test]
fn a_taken_name_is_numbered_and_a_taken_address_refused() {
    let manager = Manager::start(&["-n", "-i"]);
    let agent = new_root();
    assert!(manager.enrol(agent.path(), &["-A", "web01", "--insecure"]).0);
    let before = keys_in(agent.path());
    let (done, said) = manager.enrol(agent.path(), &["-A", "web02", "--insecure"]);
    assert!(!done && said.contains("Invalid IP address: agent 1024"), "{said}");
    assert_eq!(keys_in(agent.path()), before);

    let manager = Manager::start(&["-n"]);
    for (n, name) in [(1024, "web01"), (1025, "web012")] {
        assert!(manager.enrol(agent.path(), &["-A", "web01", "--insecure"]).0);
        let line = keys_in(agent.path()).unwrap();
        assert!(line.starts_with(&format!("{n} {name} any ")), "{line}");
    }
}

#[test]
fn replacing_needs_a_password_and_gives_a_new_id() {
    let root = new_root();
    let password = password_file(root.path(), "sekret\n");
    let manager = Manager::start_in(root, &["-F"]);
    let agent = new_root();
    for _ in 0..2 {
        let flags = ["-A", "web01", "-P", &password, "--insecure"];
        assert!(manager.enrol(agent.path(), &flags).0);
    }
    let keys = manager.keys();
    assert!(keys.starts_with("1024 #*#*") && keys.contains("\n1025 web01 any "), "{keys}");
    let refused = Command::new(env!("CARGO_BIN_EXE_authd-under-test")).arg("-Fn").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn only_the_expected_manager_is_asked() {
    let mut manager = Manager::start(&["-n"]);
    let pin = manager.fingerprint();
    let certificate = manager.path("etc/sslmanager.cert").display().to_string();
    let other = Manager::start(&["-n"]);
    let strange = other.path("etc/sslmanager.cert").display().to_string();
    let agent = new_root();
    let wrong_pin = format!("sha256:{}", "0".repeat(64));
    for flags in [["--fingerprint", &wrong_pin], ["-v", &strange]] {
        let (done, said) = manager.enrol(agent.path(), &[&["-A", "web01"][..], &flags].concat());
        assert!(!done && said.contains("Nothing was sent") && said.contains(&pin), "{said}");
    }
    assert_eq!((keys_in(agent.path()), manager.keys()), (None, String::new()));
    let said_of_all_went_well = |output: Output| {
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.starts_with("INFO: Connected to localhost:")
            && lines.contains("\nINFO: Using agent name as: web00\n")
            && lines.contains("\nINFO: Send request to manager. Waiting for reply.\n")
            && lines.contains("\nINFO: Valid key created. Finished.\n")
    };
    let flags = ["-A", "web00", "--fingerprint", &pin];
    assert!(said_of_all_went_well(manager.agent(agent.path(), &flags).output().unwrap()));
    for flags in [["--fingerprint", &pin], ["-v", &certificate]] {
        let (done, said) = manager.enrol(agent.path(), &[&["-A", "web01"][..], &flags].concat());
        assert!(done && !said.contains("NOT VERIFIED"), "{said}");
    }
    let (done, said) = manager.enrol(agent.path(), &["-A", "web01"]);
    assert!(done && said.contains("THE MANAGER IS NOT VERIFIED"), "{said}");
}

#[test]
fn a_certificate_is_asked_for_where_that_is_configured() {
    // Any self-made pair serves as the agent's: what is to be trusted is named.
    let maker = Manager::start(&["-n"]);
    let [certificate, key] = ["etc/sslmanager.cert", "etc/sslmanager.key"]
        .map(|path| maker.path(path).display().to_string());
    let manager = Manager::start(&["-n", "-v", &certificate]);
    let agent = new_root();
    let (done, said) = manager.enrol(agent.path(), &["-A", "web01", "--insecure"]);
    assert!(!done && said.contains("certificate"), "{said}");
    assert_eq!(manager.keys(), "");
    let flags = ["-A", "web01", "--insecure", "-x", &certificate, "-k", &key];
    let (done, said) = manager.enrol(agent.path(), &flags);
    assert!(done, "{said}");
}

#[test]
fn garbage_harms_nobody() {
    let mut manager = Manager::start(&["-n"]);
    let mut noise: u64 = 0x9e37_79b9_7f4a_7c15;
    for length in [0, 1, 5, 6, 300, 4096, 20_000] {
        let mut tcp = TcpStream::connect(("127.0.0.1", manager.port)).unwrap();
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise.to_le_bytes()[0]
        })
        .take(length)
        .collect();
        // The manager may be through with us before we are.
        let _ = tcp.write_all(&bytes);
        let _ = tcp.shutdown(std::net::Shutdown::Write);
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = tcp.read_to_end(&mut Vec::new());
    }
    manager.await_line("ERROR: SSL Error (-1) from 127.0.0.1");
    let agent = new_root();
    let (done, said) = manager.enrol(agent.path(), &["-A", "web01", "--insecure"]);
    assert!(done, "{said}");
}

#[test]
fn the_end_does_not_wait_for_those_who_say_nothing() {
    let mut manager = Manager::start(&["-n"]);
    let _silent = TcpStream::connect(("127.0.0.1", manager.port)).unwrap();
    manager.await_line("New connection from 127.0.0.1");
    let start = Instant::now();
    manager.stop();
    assert!(manager.program.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn checks_and_questions_of_the_command_line_start_nothing() {
    let root = new_root();
    let run = |program: &str, flags: &[&str]| {
        let mut command = Command::new(program);
        command.args(flags).arg("-D").arg(root.path());
        let Output { status, stderr, .. } = command.output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    };
    for program in
        [env!("CARGO_BIN_EXE_authd-under-test"), env!("CARGO_BIN_EXE_agent-auth-under-test")]
    {
        assert_eq!(run(program, &["-t"]).0, Some(0));
        let (code, text) = run(program, &["-h"]);
        assert!(code == Some(0) && text.contains("-p <port>"), "{text}");
        assert_eq!(run(program, &["-V"]).0, Some(0));
        let (code, text) = run(program, &["-Z"]);
        assert!(code == Some(1) && text.contains("invalid option -- 'Z'"), "{text}");
        let (code, text) =
            run(program, &["-t", "-v", "/nonexistent", "-x", "/nonexistent", "-k", "/nonexistent"]);
        assert!(code == Some(1) && text.contains("/nonexistent"), "{text}");
    }
    assert!(!root.path().join("etc/sslmanager.key").exists());
}
