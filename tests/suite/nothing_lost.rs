//! Nothing is lost: 200,000 numbered lines while daemons are killed, files rotated, and the suite stopped and started.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::Suite;

const CONF: &str = "<ossec_config>
  <global><logall>yes</logall></global>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <localfile><log_format>syslog</log_format><location>{watched}/renamed.log</location></localfile>
  <localfile><log_format>syslog</log_format><location>{watched}/truncated.log</location></localfile>
</ossec_config>
";

const LINES: usize = 200_000;
/// Lines written between two pauses, and the pause: about 16,000 lines a second.
const BURST: usize = 160;
const PAUSE: Duration = Duration::from_millis(10);
const RENAME_EVERY: usize = 30_000;
const TRUNCATE_EVERY: usize = 40_000;
/// Rotated files that are kept.
const KEPT: usize = 9;
/// Daemons killed between two starts of the suite; the supervisor waits longer after each kill of the same one.
const KILLS: usize = 3;

/// A log that a program writes and logrotate rotates.
struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    fn new(path: PathBuf) -> Self {
        let file = open(&path);
        Self { path, file }
    }

    fn write(&mut self, number: usize) {
        writeln!(self.file, "app: line SEQ={number} of the test").expect("log line");
    }

    fn shift(&self) {
        for n in (1..KEPT).rev() {
            // Not all of them exist at first.
            let _ = fs::rename(self.rotated(n), self.rotated(n + 1));
        }
    }

    fn rename(&mut self) {
        self.shift();
        fs::rename(&self.path, self.rotated(1)).expect("rename");
        self.file = open(&self.path);
    }

    /// The writer waits meanwhile, so the copier loses nothing.
    fn copy_and_truncate(&mut self) {
        self.shift();
        fs::copy(&self.path, self.rotated(1)).expect("copy");
        self.file.set_len(0).expect("truncate");
    }

    fn rotated(&self, n: usize) -> PathBuf {
        PathBuf::from(format!("{}.{n}", self.path.display()))
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).expect("log file")
}

fn write_all(watched: &Path, written: &AtomicUsize) {
    let mut renamed = Log::new(watched.join("renamed.log"));
    let mut truncated = Log::new(watched.join("truncated.log"));
    for number in 0..LINES {
        if number % 2 == 0 {
            renamed.write(number)
        } else {
            truncated.write(number)
        }
        if number % RENAME_EVERY == RENAME_EVERY - 1 {
            renamed.rename();
        }
        if number % TRUNCATE_EVERY == TRUNCATE_EVERY - 1 {
            truncated.copy_and_truncate();
        }
        if number % BURST == BURST - 1 {
            thread::sleep(PAUSE);
        }
        written.store(number + 1, Ordering::Release);
    }
}

/// Which numbers came how often.
fn numbers(archives: &str) -> HashMap<usize, usize> {
    let mut seen = HashMap::new();
    for line in archives.lines() {
        let number =
            line.split_once("SEQ=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        if let Some(number) = number {
            *seen.entry(number).or_insert(0) += 1;
        }
    }
    seen
}

fn archives(suite: &Suite) -> String {
    // The day may change while the test runs.
    let mut all = String::new();
    let mut folders = vec![suite.root().join("logs/archives")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                folders.push(path);
            } else if name.to_string_lossy().starts_with("ossec-archive-") {
                all.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap_or_default()));
            }
        }
    }
    all
}

/// What analysisd said may appear twice, over all its kills.
fn in_doubt(log: &str) -> usize {
    let counts = log.lines().filter_map(|line| {
        line.split_once("may appear twice")
            .and_then(|_| line.split_once("up to ")?.1.split(' ').next()?.parse::<usize>().ok())
    });
    counts.sum()
}

#[test]
fn every_line_is_judged_whatever_is_killed_rotated_or_stopped() {
    let suite = Suite::new(CONF);
    let watched = suite.watched();
    for name in ["renamed.log", "truncated.log"] {
        File::create(watched.join(name)).expect("log file");
    }
    suite.start();
    let written = AtomicUsize::new(0);
    thread::scope(|scope| {
        let writer = scope.spawn(|| write_all(&watched, &written));
        for round in 0..2 {
            for kill in 0..KILLS {
                for daemon in ["ossec-logcollector", "ossec-analysisd"] {
                    let due = LINES * (round * KILLS + kill + 1) / (2 * KILLS + 1);
                    suite.until("more lines", || written.load(Ordering::Acquire) >= due);
                    suite.until("a daemon to kill", || suite.kill(daemon));
                }
            }
            suite.stop();
            suite.start();
        }
        writer.join().expect("the writer ends well");
    });
    suite.until("the last lines", || {
        let archives = archives(&suite);
        archives.contains(&format!("SEQ={} of", LINES - 1))
            && archives.contains(&format!("SEQ={} of", LINES - 2))
    });
    suite.stop();

    let seen = numbers(&archives(&suite));
    let missing: Vec<usize> = (0..LINES).filter(|n| !seen.contains_key(n)).collect();
    let twice: usize = seen.values().map(|n| n - 1).sum();
    let doubtful = in_doubt(&suite.log());
    println!(
        "{LINES} lines, {} missing, {twice} twice, {doubtful} announced as doubtful",
        missing.len()
    );
    assert!(
        missing.is_empty(),
        "{} missing, first {:?}\n{}",
        missing.len(),
        missing.first(),
        suite.log()
    );
    assert!(
        twice <= doubtful,
        "{twice} lines came twice, only {doubtful} were announced\n{}",
        suite.log()
    );
    for daemon in ["ossec-logcollector", "ossec-analysisd"] {
        suite.assert_balanced(daemon);
    }
}
