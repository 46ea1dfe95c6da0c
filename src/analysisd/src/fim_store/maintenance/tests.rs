//! Maintenance seen from outside: markers as the tool makes them, messages as agents send them.

use std::fs;
use std::path::PathBuf;

use super::super::{FimStore, Outcome, Policy, Reason};
use fim::maintenance::Marker;

const A: &str = "4:33188:0:0:aa:bb:cc";
const B: &str = "5:33188:0:0:dd:ee:ff";
const WEB: &[u8] = b"(web01) any->syscheck";

struct Bench {
    root: tempfile::TempDir,
    store: FimStore,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("queue/syscheck")).unwrap();
        fs::create_dir_all(root.path().join("logs")).unwrap();
        let policy = Policy { alert_new_files: true, alert_first_scan: true, ..Policy::default() };
        let store = FimStore::open(&root.path().join("queue/syscheck"), policy).unwrap();
        Self { root, store }
    }

    fn marker(&self) -> PathBuf {
        self.root.path().join("queue/syscheck/.(web01) any.maint")
    }

    fn set(&self, marker: Marker) {
        fs::write(self.marker(), marker.to_text()).unwrap();
    }

    fn counted(&self) -> u64 {
        Marker::parse(&fs::read(self.marker()).unwrap(), 0).silent_updates
    }

    /// Sends one message at a time and writes.
    fn send(&mut self, location: &[u8], message: &str, now: i64) -> Outcome {
        let outcome = self.store.process(location, message.as_bytes(), now).unwrap();
        self.store.flush().unwrap();
        outcome
    }

    fn file(&mut self, sum: &str, now: i64) -> Outcome {
        self.send(WEB, &format!("{sum} /etc/x"), now)
    }
}

fn is_silent(outcome: &Outcome) -> bool {
    *outcome == Outcome::Swallowed(Reason::Maintenance)
}

#[test]
fn changes_in_maintenance_become_the_baseline_and_are_noted() {
    let mut bench = Bench::new();
    bench.file(A, 0);
    bench.set(Marker::since(0));
    assert!(is_silent(&bench.file(B, 1)));
    assert!(is_silent(&bench.send(WEB, &format!("{A} /etc/new"), 1)));
    assert_eq!(bench.counted(), 2);
    let noted = fs::read_to_string(bench.root.path().join("logs/fim_maintenance.log")).unwrap();
    let noted: Vec<&str> = noted.lines().map(|line| line.get(20..).unwrap()).collect();
    assert_eq!(
        noted,
        ["(web01) any->syscheck modify /etc/x", "(web01) any->syscheck new /etc/new"]
    );

    fs::remove_file(bench.marker()).unwrap();
    assert_eq!(bench.file(B, 10), Outcome::Swallowed(Reason::Unchanged));
    assert!(matches!(bench.file(A, 11), Outcome::Event(_)));
}

#[test]
fn one_hosts_maintenance_is_not_anothers() {
    let mut bench = Bench::new();
    bench.set(Marker::since(0));
    assert!(matches!(bench.send(b"syscheck", &format!("{A} /etc/x"), 1), Outcome::Event(_)));
    assert!(matches!(
        bench.send(b"(web02) any->syscheck", &format!("{A} /etc/x"), 1),
        Outcome::Event(_)
    ));
    assert!(is_silent(&bench.send(b"(web01) any->syscheck-registry", &format!("{A} HKEY"), 1)));
}

#[test]
fn the_next_complete_scan_ends_what_waits_for_it_and_nothing_else() {
    let mut bench = Bench::new();
    bench.set(Marker::since(0));
    bench.send(WEB, "syscheck-db-completed", 1);
    assert!(bench.marker().exists());
    bench.set(Marker { pending_end: true, ..Marker::since(0) });
    assert!(is_silent(&bench.file(A, 2)));
    bench.send(b"(web02) any->syscheck", "syscheck-db-completed", 3);
    assert!(bench.marker().exists());
    bench.send(WEB, "syscheck-db-completed", 4);
    assert!(!bench.marker().exists());
    assert!(matches!(bench.file(B, 4), Outcome::Event(_)));
}

#[test]
fn the_marker_outlives_a_kill_before_the_baseline_is_written() {
    let mut bench = Bench::new();
    bench.set(Marker { pending_end: true, ..Marker::since(0) });
    bench.store.process(WEB, format!("{A} /etc/x").as_bytes(), 1).unwrap();
    bench.store.process(WEB, b"syscheck-db-completed", 1).unwrap();
    // In one batch: what comes behind the scan is told.
    assert!(matches!(
        bench.store.process(WEB, format!("{B} /etc/x").as_bytes(), 1).unwrap(),
        Outcome::Event(_)
    ));
    assert!(bench.marker().exists());
}

#[test]
fn a_tool_that_holds_the_lock_delays_the_count_and_nothing_else() {
    let mut bench = Bench::new();
    bench.set(Marker::since(0));
    let folder = fs::File::open(bench.root.path().join("queue/syscheck")).unwrap();
    folder.lock().unwrap();
    assert!(is_silent(&bench.file(A, 1)));
    assert_eq!(bench.counted(), 0);
    folder.unlock().unwrap();
    assert!(is_silent(&bench.file(B, 2)));
    assert_eq!(bench.counted(), 2);
}
