//! The recorded runs of the original's file integrity (`golden/host/syscheck-intended`), host's side: the same tree, the same steps, the recorded
//! `ossec.conf`, our `ossec-syscheckd`; what it tells is compared with what the original told, step by step.
//!
//! A recording has no contents and no commands. Steps follow from what each message says a file is like, contents from diffs and digests
//! ([`recorded_files::contents`](contents)); what no digest confirms is stood in for, and its recorded digests are
//! translated. The tree lies below a temporary folder, which is cut off from what is told. A step of which nothing was recorded does what its
//! name says, and writes files that the settings leave out. [`Steps::beyond_the_recording`] is the list of what we tell and the
//! original did not.

#![expect(clippy::print_stdout, reason = "what was skipped or stood in for is told")]

#[path = "recorded_files/contents.rs"]
mod contents;
#[path = "recorded_files/listener.rs"]
mod listener;
#[path = "recorded_files/recording.rs"]
mod recording;
#[path = "recorded_files/tree.rs"]
mod tree;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Suite, is_root};
use contents::Contents;
use listener::Listener;
use recording::{Recording, Row, Step};
use tree::Tree;

/// Lines of the original's log that ours does not have, each with the reason.
const NOT_LOGGED: &[(&str, &str)] = &[
    ("Initializing real time file monitoring (not started).", "there is no such state"),
    ("Error opening directory:", "a file that went in the meantime is no folder"),
    ("Unable to generate diff alert", "that a file is no text is no error"),
];

fn folder(name: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/golden");
    let golden = PathBuf::from(std::env::var("GOLDEN_DIR").unwrap_or_else(|_| default.to_owned()));
    let folder = golden.join("host/syscheck-intended").join(name);
    if !folder.is_dir() {
        println!("skipped: no recorded run in {}", folder.display());
        return None;
    }
    if !is_root() {
        println!("skipped: needs root, to give files away");
        return None;
    }
    Some(folder)
}

#[test]
fn golden_scheduled_scans_tell_what_the_original_told() {
    replay("scheduled");
}

#[test]
fn golden_realtime_tells_what_the_original_told() {
    replay("realtime");
}

fn replay(name: &str) {
    let Some(folder) = folder(name) else { return };
    let recording = Recording::read(&folder);
    let contents = Contents::recover(&recording);
    println!("{name}: {contents}");
    let mut steps = Steps::start(&recording, &contents);
    let mut failures = Vec::new();
    for step in &recording.steps {
        failures.extend(steps.replay(step));
    }
    failures.extend(steps.missing_lines());
    let rows: usize = recording.steps.iter().map(|step| step.rows.len()).sum();
    println!("{name}: {} steps, {rows} rows, {} differ", recording.steps.len(), failures.len());
    assert!(failures.is_empty(), "{name}:\n{}", failures.join("\n"));
}

/// A running syscheckd, and the tree that it watches.
struct Steps<'a> {
    recording: &'a Recording,
    contents: &'a Contents,
    tree: Tree<'a>,
    listener: Listener,
    daemon: Child,
    suite: Suite,
}

impl<'a> Steps<'a> {
    /// The tree of the first step is there before the program starts.
    fn start(recording: &'a Recording, contents: &'a Contents) -> Self {
        let suite = Suite::new("<ossec_config></ossec_config>");
        let mut tree = Tree::new(suite.watched(), contents);
        suite.configure(&recording.conf_below(&suite.watched()));
        let options = "syscheck.sleep=0\nrootcheck.sleep=0\n";
        fs::write(suite.root().join("etc/local_internal_options.conf"), options).expect("options");
        tree.make_folders(recording);
        let first = recording.steps.first().expect("a first step");
        tree.apply(&first.rows);
        tree.write_unseen(recording, &first.name);
        let listener = Listener::start(&suite.root());
        let mut daemon = suite.program("ossec-syscheckd");
        let daemon = daemon.arg("-f").stderr(Stdio::null()).spawn().expect("ossec-syscheckd runs");
        Self { recording, contents, tree, listener, daemon, suite }
    }

    /// Does a step, and says where what is told differs from the recording.
    fn replay(&mut self, step: &Step) -> Vec<String> {
        let is_first = self.recording.steps.first().is_some_and(|first| first.name == step.name);
        let mut expected: Vec<Row> =
            step.rows.iter().map(|row| self.contents.translate(row)).collect();
        if is_first {
            self.listener.until_scans(1);
            if self.recording.has_realtime() {
                self.suite.until("realtime", || {
                    self.suite.log().contains("Real time file monitoring started.")
                });
            }
        } else {
            self.tree.apply(&step.rows);
            if step.rows.is_empty() {
                self.tree.write_unseen(self.recording, &step.name);
                expected.extend(self.beyond_the_recording(step));
            }
        }
        let mut failures = Vec::new();
        if self.recording.has_realtime() && !self.listener.until_rows(expected.len()) {
            failures.push(format!("{}: not all was told in realtime", step.name));
        }
        // As often as in the recording: whatever is told twice has its chance.
        for _ in 0..2 {
            let scans = self.listener.scans();
            self.ask_for_scan();
            self.listener.until_scans(scans + 1);
        }
        let (told, marks) = self.listener.take();
        let told = told
            .iter()
            .map(|line| Row::parse(line).in_recorded_form(&self.suite.watched()))
            .collect();
        failures.extend(differences(&step.name, expected, told));
        let theirs = &self.recording.marks;
        if !marks.chunks(theirs.len()).all(|marks| marks == theirs) {
            failures.push(format!("{}: marks {marks:?} instead of {theirs:?}", step.name));
        }
        failures
    }

    /// What we tell and the original does not (docs/differences.md, "syscheckd"); does it, too, where the recording cannot say to
    /// which file it was done.
    fn beyond_the_recording(&mut self, step: &Step) -> Vec<Row> {
        if step.name.contains("delete") {
            // Its scheduled scans never notice deletions.
            let unheard = self.recording.never_heard_after(&step.name);
            let deleted = unheard.into_iter().find(|path| self.tree.delete(path));
            deleted.map(|path| Row::gone(&path)).into_iter().collect()
        } else if step.name.contains("recreate") {
            // To the original, a file that comes back as it was is the one it remembers.
            let row = self.tree.bring_back();
            row.map(|row| self.contents.translate(&row)).into_iter().collect()
        } else {
            Vec::new()
        }
    }

    fn ask_for_scan(&self) {
        let control = self.suite.root().join("queue/syscheckd/control");
        let socket = UnixDatagram::unbound().expect("a socket");
        self.suite.until("syscheckd's ear", || socket.send_to(b"scan", &control).is_ok());
    }

    /// Lines that the original's syscheckd logs and ours does not.
    fn missing_lines(&self) -> Vec<String> {
        let watched = self.suite.watched().display().to_string();
        let ours = self.suite.log().replace(&watched, "");
        let known = |line: &str| NOT_LOGGED.iter().any(|(part, _)| line.contains(part));
        let missing =
            self.recording.logged.iter().filter(|line| !known(line) && !ours.contains(*line));
        missing.map(|line| format!("ossec.log lacks: {line}")).collect()
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        let pid = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        let _ = self.daemon.wait();
    }
}

/// Rows that only one side has; the order within a step is the file system's.
fn differences(step: &str, expected: Vec<Row>, mut told: Vec<Row>) -> Vec<String> {
    let mut failures = Vec::new();
    for row in expected {
        match told.iter().position(|told| row.is_told_by(told)) {
            Some(at) => drop(told.swap_remove(at)),
            None => failures.push(format!("{step}: recorded, not told: {row:?}")),
        }
    }
    failures.extend(told.iter().map(|row| format!("{step}: told, not recorded: {row:?}")));
    failures
}

/// Waits until something holds; `false` when it does not in time.
fn in_time(mut holds: impl FnMut() -> bool) -> bool {
    const PATIENCE: Duration = Duration::from_secs(30);
    let end = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A recorded path, where it lies in the test.
fn below(folder: &Path, path: &str) -> PathBuf {
    folder.join(path.trim_start_matches('/'))
}
