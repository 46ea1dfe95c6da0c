//! A temporary install root with the real daemon in it, and a consumer of the acknowledged queue.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is the report")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipc::ended::Mark;
use ipc::{Ended, Receiver};
use mio::{Events, Poll, Token};

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// One event as the consumer got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Got {
    pub tag: char,
    pub location: String,
    pub payload: String,
}

/// The install root, with a folder for logs beside it.
pub(crate) struct Host {
    dir: tempfile::TempDir,
    got: Arc<Mutex<Vec<Got>>>,
    consumer: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
    daemon: Option<Child>,
    /// Put before `$PATH`.
    pub programs: Option<PathBuf>,
}

impl Host {
    /// With these `<localfile>` sections, in which `{logs}` stands for the folder of logs.
    pub(crate) fn new(localfiles: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["etc", "logs", "queue/ossec", "queue/logcollector", "var/run", "watched"] {
            fs::create_dir_all(dir.path().join("root").join(folder)).unwrap();
        }
        let host = Self { dir, got: Arc::default(), consumer: None, daemon: None, programs: None };
        fs::create_dir(host.logs()).unwrap();
        host.configure(localfiles);
        host
    }

    pub(crate) fn configure(&self, localfiles: &str) {
        let logs = self.logs();
        let sections = localfiles.replace("{logs}", logs.to_str().unwrap());
        fs::write(
            self.root().join("etc/ossec.conf"),
            format!("<ossec_config>\n{sections}\n</ossec_config>\n"),
        )
        .unwrap();
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(name)
    }

    pub(crate) fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        append(&self.log(name), bytes.as_ref());
    }

    /// Starts the consumer, which goes on until the host is dropped.
    pub(crate) fn consume(&mut self) {
        let stop = Arc::new(AtomicBool::new(false));
        let (root, got, stopping) = (self.root(), self.got.clone(), stop.clone());
        let thread = std::thread::spawn(move || consume(&root, &got, &stopping));
        self.consumer = Some((stop, thread));
    }

    pub(crate) fn stop_consuming(&mut self) {
        if let Some((stop, thread)) = self.consumer.take() {
            stop.store(true, Ordering::Relaxed);
            thread.join().unwrap();
        }
    }

    /// Starts the daemon and waits until it says that it has started.
    pub(crate) fn start(&mut self) {
        let log = self.root().join("logs/ossec.log");
        let before = count(&log, "Started (pid:");
        self.spawn();
        wait_for("the daemon's start", || count(&log, "Started (pid:") > before);
    }

    pub(crate) fn spawn(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logcollector-under-test"));
        command
            .arg("-f")
            .arg("-D")
            .arg(self.root())
            .env("OXSEC_STAY_USER", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if std::env::var_os("OXSEC_STRESS").is_some() {
            command.arg("-d");
        }
        if let Some(programs) = &self.programs {
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", programs.display()));
        }
        self.daemon = Some(command.spawn().unwrap());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    /// As `kill -9` does it.
    pub(crate) fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Orderly; returns the exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal("-TERM");
        let status = self.daemon.take().unwrap().wait().unwrap();
        status.code().unwrap_or(-1)
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// The payloads from a file, without what the collector says about itself.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let location = self.log(name).to_str().unwrap().to_owned();
        self.got()
            .into_iter()
            .filter(|got| got.location == location)
            .map(|got| got.payload)
            .collect()
    }

    pub(crate) fn wait_for_lines(&self, name: &str, count: usize) -> Vec<String> {
        wait_for(&format!("{count} lines of {name}"), || self.lines(name).len() >= count);
        self.lines(name)
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.root().join("logs/ossec.log")).unwrap_or_default()
    }

    /// Of lines such as `line 17 of ...`: the runs of consecutive numbers, in order of arrival.
    fn numbers(&self) -> Vec<std::ops::Range<usize>> {
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        let got = self.got();
        for n in got.iter().filter_map(|got| got.payload.split(' ').nth(1)?.parse::<usize>().ok()) {
            match runs.last_mut() {
                Some(run) if run.end == n => run.end += 1,
                _ => runs.push(n..n + 1),
            }
        }
        runs
    }

    pub(crate) fn accounts(&self) -> Vec<(String, u64)> {
        runtime::accounts::read(&self.root(), "ossec-logcollector").unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if let Some((stop, thread)) = self.consumer.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
        if std::thread::panicking() {
            eprintln!("--- ossec.log\n{}", self.said());
            eprintln!("--- numbered lines as they came: {:?}", self.numbers());
        }
    }
}

fn consume(root: &Path, got: &Mutex<Vec<Got>>, stop: &AtomicBool) {
    let mut poll = Poll::new().unwrap();
    let ended_path = root.join(ipc::paths::ENDED);
    let mut ended = Ended::open(&ended_path).unwrap();
    let before = Ended::open(&ended_path).unwrap();
    let socket = root.join(ipc::paths::EVENTS);
    let mut receiver = Receiver::bind(&socket, before, poll.registry(), Token(0)).unwrap();
    let mut events = Events::with_capacity(64);
    while !stop.load(Ordering::Relaxed) {
        let _ = poll.poll(&mut events, Some(Duration::from_millis(5)));
        for event in &events {
            receiver.on_event(event.token());
        }
        let mut last = None;
        receiver.work(poll.registry(), &mut |delivery| {
            got.lock().unwrap().push(Got {
                tag: char::from(delivery.event.kind.tag()),
                location: String::from_utf8_lossy(delivery.event.location).into_owned(),
                payload: String::from_utf8_lossy(delivery.event.payload).into_owned(),
            });
            last = Some((delivery.source.clone(), delivery.number));
            true
        });
        if let Some((source, upto)) = last {
            ended.end(&[Mark { name: source.name(), stream: source.stream(), upto }]).unwrap();
            source.end(upto);
        }
        receiver.acknowledge();
    }
}

pub(crate) fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

pub(crate) fn count(path: &Path, text: &str) -> usize {
    fs::read_to_string(path).unwrap_or_default().matches(text).count()
}

/// Looks until `is_so`, with a deadline.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// As logrotate's copytruncate: a copy, then the file is emptied.
pub(crate) fn copytruncate(path: &Path, copy: &Path) {
    fs::copy(path, copy).unwrap();
    File::options().write(true).open(path).unwrap().set_len(0).unwrap();
}

/// A `<localfile>` of this format and location.
pub(crate) fn localfile(format: &str, location: &str) -> String {
    format!(
        "<localfile><log_format>{format}</log_format><location>{location}</location></localfile>\n"
    )
}
