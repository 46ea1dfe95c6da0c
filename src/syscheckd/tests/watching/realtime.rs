//! What is found at once.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use settings::Directory;
use syscheckd::packages::Gate;
use syscheckd::packages::database::{Database, Mark, Package};
use syscheckd::watcher::{Parts, Watcher};
use syscheckd::worker::Pacing;

use crate::bench::{Bench, moment, names, parts, started, turn_until};

#[test]
fn realtime_tells_each_change_once_without_a_scan() {
    let bench = Bench::new(true);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();

    bench.write("a", "changed");
    bench.hear(&mut watcher, &[("a", (1, 0))]);
    fs::set_permissions(bench.path("a"), fs::Permissions::from_mode(0o600)).unwrap();
    bench.hear(&mut watcher, &[("a", (1, 0))]);
    bench.write("new", "new");
    bench.hear(&mut watcher, &[("new", (1, 0))]);
    fs::rename(bench.path("new"), bench.path("sub/newer")).unwrap();
    bench.hear(&mut watcher, &[("new", (0, 1)), ("sub/newer", (1, 0))]);
    fs::remove_file(bench.path("c")).unwrap();
    bench.hear(&mut watcher, &[("c", (0, 1))]);
    bench.write("c", "three");
    bench.hear(&mut watcher, &[("c", (1, 0))]);
    // As editors do it.
    bench.write(".c.tmp", "edited");
    fs::rename(bench.path(".c.tmp"), bench.path("c")).unwrap();
    bench.hear(&mut watcher, &[("c", (1, 0))]);
    assert_eq!(watcher.counts().scans, 1);
}

#[test]
fn realtime_follows_folders_that_come_move_and_go() {
    let bench = Bench::new(true);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();

    fs::create_dir_all(bench.path("x/y/z")).unwrap();
    bench.write("x/y/z/deep", "1");
    bench.hear(&mut watcher, &[("x/y/z/deep", (1, 0))]);
    bench.write("x/y/z/deep", "22");
    bench.hear(&mut watcher, &[("x/y/z/deep", (1, 0))]);
    fs::rename(bench.path("x"), bench.path("w")).unwrap();
    bench.hear(&mut watcher, &[("x/y/z/deep", (0, 1)), ("w/y/z/deep", (1, 0))]);
    bench.write("w/y/z/deep", "333");
    bench.hear(&mut watcher, &[("w/y/z/deep", (1, 0))]);
    fs::remove_dir_all(bench.path("w")).unwrap();
    bench.hear(&mut watcher, &[("w/y/z/deep", (0, 1))]);
}

#[test]
fn realtime_watches_single_files_and_folders_that_are_made_anew() {
    let mut bench = Bench::new(true);
    let options = bench.syscheck.directories[0].options;
    let single = Directory { path: bench.path("c"), options, restrict: None };
    let folder = Directory { path: bench.path("sub"), options, restrict: None };
    bench.syscheck.directories = vec![single, folder];
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    assert_eq!(bench.told(), names(&[("c", (1, 0)), ("sub/b", (1, 0))]));

    bench.write(".c.tmp", "edited");
    fs::rename(bench.path(".c.tmp"), bench.path("c")).unwrap();
    bench.hear(&mut watcher, &[("c", (1, 0))]);
    fs::remove_dir_all(bench.path("sub")).unwrap();
    bench.hear(&mut watcher, &[("sub/b", (0, 1))]);
    fs::create_dir(bench.path("sub")).unwrap();
    bench.write("sub/b", "anew");
    bench.hear(&mut watcher, &[("sub/b", (1, 0))]);
    bench.write("sub/b", "once more");
    bench.hear(&mut watcher, &[("sub/b", (1, 0))]);
}

#[test]
fn events_are_served_while_a_scan_rests() {
    let bench = Bench::new(true);
    bench.settle(&mut bench.start());
    bench.told();
    let pacing = Pacing { files: 1, rest: Duration::from_secs(3600), threads: 1 };
    let root = bench.root();
    let started =
        Watcher::start(&root, &bench.syscheck, pacing, Duration::ZERO, parts(&root), &moment());
    let mut watcher = started.unwrap();
    turn_until(&mut watcher, |watcher| watcher.counts().looked_at == 1);
    bench.write("new", "new");
    bench.hear_while_scanning(&mut watcher, "new");
}

impl Bench {
    fn hear_while_scanning(&self, watcher: &mut Watcher, name: &str) {
        turn_until(watcher, |_| self.told().contains_key(name));
        assert_eq!(watcher.counts().scans, 0);
    }
}

#[test]
fn lost_events_are_made_up_for_by_a_scan() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    if limit.trim().parse::<u64>().unwrap() > 20_000 {
        println!("skipped: the kernel's queue holds {limit} events");
        return;
    }
    let bench = Bench::new(true);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();
    // Three events each, and no one reads them.
    for number in 0..8000 {
        bench.write(&format!("sub/file{number}"), "x");
    }

    turn_until(&mut watcher, |watcher| watcher.counts().files == 8003 && watcher.is_idle());

    assert_eq!(watcher.counts().overflows, 1);
    let told = bench.told();
    assert_eq!(told.len(), 8000);
    assert!(told.values().all(|counts| *counts == (1, 0)));
    assert_eq!(watcher.counts().scans, 1, "no scan of everything");
}

/// A package manager with nothing to its name, that is at work until it is told to stop.
#[derive(Debug)]
struct Busy(Arc<AtomicBool>);

impl Database for Busy {
    fn name(&self) -> &'static str {
        "none"
    }

    fn is_busy(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn mark(&self) -> Mark {
        Mark::default()
    }

    fn each(&self, _: &mut dyn FnMut(&Package<'_>) -> io::Result<()>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_waits_at_the_gate_and_goes_while_events_are_lost_is_never_told() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    if limit.trim().parse::<u64>().unwrap() > 20_000 {
        println!("skipped: the kernel's queue holds {limit} events");
        return;
    }
    let bench = Bench::new(true);
    let is_busy = Arc::new(AtomicBool::new(true));
    let gate = Gate::open(&bench.root(), vec![Box::new(Busy(is_busy.clone()))]);
    let parts = Parts { gate, ..parts(&bench.root()) };
    let mut watcher = started(&bench.root(), &bench.syscheck, parts);
    turn_until(&mut watcher, |watcher| watcher.is_idle() && watcher.counts().scans == 1);
    bench.told();
    fs::create_dir(bench.path("new")).unwrap();
    for name in ["sub/gone", "new/gone", "stays"] {
        bench.write(name, "x");
    }
    turn_until(&mut watcher, |watcher| watcher.counts().held == 3);

    for number in 0..6000 {
        bench.write(&format!("file{number}"), "x");
        fs::remove_file(bench.path(&format!("file{number}"))).unwrap();
    }
    fs::remove_file(bench.path("sub/gone")).unwrap();
    fs::remove_dir_all(bench.path("new")).unwrap();
    turn_until(&mut watcher, |watcher| watcher.counts().overflows == 1);
    turn_until(&mut watcher, |watcher| watcher.counts().held == 1);
    is_busy.store(false, Ordering::Relaxed);
    turn_until(&mut watcher, Watcher::is_idle);
    assert_eq!(bench.told(), names(&[("stays", (1, 0))]));
}
