//! Thousands of random changes with a model beside them: when all is quiet, what was told is the tree; every difference was told once,
//! and none was invented.
//!
//! `MODEL_SEED` makes another run of it, `MODEL_TIMES` a longer one.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sys::fanotify::Fanotify;
use syscheckd::watcher::Watcher;

use crate::bench::{Bench, PATIENCE, parts, started, turn_until};
use crate::killed::spawn_child;
use crate::ledger::Ledger;
use crate::operations::{Chance, Tree, growing};

struct Model {
    bench: Bench,
    tree: Tree,
    ledger: Ledger,
    chance: Chance,
}

impl Model {
    fn new(realtime: bool) -> Self {
        let seed = setting("MODEL_SEED", 1);
        println!("MODEL_SEED={seed}");
        let bench = Bench::thorough(realtime);
        let tree = Tree::new(bench.path("").join("."), seed, !realtime);
        Self { bench, tree, ledger: Ledger::default(), chance: Chance::new(seed + 1000) }
    }

    fn hear(&mut self) {
        self.ledger.hear(&self.bench, &self.tree);
    }

    fn change(&mut self, times: usize) {
        for _ in 0..times {
            self.tree.change();
        }
    }

    /// Turns until what was told is the tree.
    fn agree(&mut self, watcher: &mut Watcher) {
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(watcher.turn(&crate::bench::moment()));
            self.hear();
            if watcher.is_idle() && self.ledger.differences(&self.tree).is_empty() {
                return;
            }
            if Instant::now() > end {
                panic!("{:#?}\n{:?}", self.ledger.differences(&self.tree), watcher.counts());
            }
            watcher.wait(None);
        }
    }

    /// A scan finds nothing more.
    fn verify(&mut self, watcher: &mut Watcher) {
        let count = self.ledger.count;
        self.bench.scan(watcher);
        self.hear();
        assert_eq!(self.ledger.count, count, "the scan told what was told already");
        assert_eq!(self.ledger.differences(&self.tree), [""; 0]);
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn rounds(default: u64) -> u64 {
    default * setting("MODEL_TIMES", 1)
}

#[test]
fn scans_tell_random_changes_as_they_are() {
    let mut model = Model::new(false);
    let mut watcher = model.bench.start();
    model.bench.settle(&mut watcher);
    model.hear();
    for _ in 0..rounds(12) {
        let times = model.chance.below(500);
        model.change(times);
        let (before, count) = (model.ledger.files.clone(), model.ledger.count);
        model.bench.scan(&mut watcher);
        model.hear();
        assert_eq!(model.ledger.differences(&model.tree), [""; 0]);
        let after = &model.ledger.files;
        let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
        let changed = names.filter(|name| before.get(*name) != after.get(*name)).count();
        assert_eq!(model.ledger.count - count, changed as u64, "one message for each difference");
        if model.chance.below(5) == 0 {
            // As it is, which writes nothing: as after a kill.
            drop(watcher);
            watcher = model.bench.start();
            model.bench.settle(&mut watcher);
        }
    }
    model.verify(&mut watcher);
}

/// By inotify, and by fanotify where it is permitted.
fn in_realtime(mut test: impl FnMut(Model, Watcher)) {
    let group = Fanotify::open().inspect_err(|error| println!("no fanotify here: {error}"));
    for group in [None].into_iter().chain(group.ok().map(|group| Some(Arc::new(group)))) {
        let model = Model::new(true);
        let mut parts = parts(&model.bench.root());
        parts.group = group;
        let mut watcher = started(&model.bench.root(), &model.bench.syscheck, parts);
        model.bench.settle(&mut watcher);
        test(model, watcher);
    }
}

#[test]
fn realtime_tells_random_changes_as_they_are() {
    in_realtime(|mut model, mut watcher| {
        model.agree(&mut watcher);
        for _ in 0..rounds(8) {
            for _ in 0..model.chance.below(40) {
                let times = model.chance.below(20);
                model.change(times);
                assert!(watcher.turn(&crate::bench::moment()));
                model.hear();
                if model.chance.below(20) == 0 {
                    // A scan that goes on all the while.
                    fs::write(model.bench.root().join("var/run/.syscheck_run"), "now").unwrap();
                }
            }
            model.agree(&mut watcher);
        }
        turn_until(&mut watcher, Watcher::is_idle);
        model.verify(&mut watcher);
    });
}

#[test]
fn lost_events_are_made_up_for_whatever_was_changed() {
    in_realtime(|mut model, mut watcher| {
        model.agree(&mut watcher);
        for round in 1..=rounds(1) {
            model.change(200);
            // Of one name the kernel may make one event.
            model.tree.flood(queue_of_events() + 1);
            model.change(200);
            turn_until(&mut watcher, |watcher| watcher.counts().overflows >= round);
            model.agree(&mut watcher);
        }
        turn_until(&mut watcher, Watcher::is_idle);
        model.verify(&mut watcher);
    });
}

/// Events that wait with the kernel at the most.
fn queue_of_events() -> usize {
    let limit = |name| fs::read_to_string(format!("/proc/sys/fs/{name}/max_queued_events"));
    let limits = ["inotify", "fanotify"].map(|name| limit(name).map_or(16_384, number));
    limits.into_iter().max().unwrap()
}

fn number(text: String) -> usize {
    text.trim().parse().unwrap()
}

#[test]
fn killed_at_random_moments_it_tells_random_changes_as_they_are() {
    let mut model = Model::new(true);
    for round in 0..rounds(12) {
        let mut child = spawn_child(&model.bench, true);
        for _ in 0..model.chance.below(30) {
            let times = model.chance.below(10);
            model.change(times);
            model.hear();
        }
        if round % 3 == 0 {
            // Until it has come along.
            let end = Instant::now() + PATIENCE;
            while !model.ledger.differences(&model.tree).is_empty() {
                assert!(Instant::now() < end, "{:#?}", model.ledger.differences(&model.tree));
                model.hear();
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut watcher = model.bench.start();
    model.agree(&mut watcher);
    model.bench.settle(&mut watcher);
    model.verify(&mut watcher);
}

/// Calls it while somebody appends to files of the tree all the time.
fn while_growing<T>(root: &Path, test: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..).take_while(|_| !is_over.load(Ordering::Relaxed)) {
                let path = root.join(growing(number));
                // Its owner may have been forbidden it.
                if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path) {
                    file.write_all(&vec![b'x'; number % 700]).unwrap();
                }
                // Slowly enough for a disk, and often enough to meet every look.
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let result = test();
        is_over.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
fn scans_of_files_that_grow_meanwhile_tell_what_they_have_become() {
    let mut model = Model::new(false);
    let mut watcher = model.bench.start();
    model.bench.settle(&mut watcher);
    for _ in 0..rounds(3) {
        let root = model.bench.path("");
        while_growing(&root, || {
            for _ in 0..3 {
                model.change(50);
                model.bench.scan(&mut watcher);
            }
        });
        model.bench.scan(&mut watcher);
        model.hear();
        assert_eq!(model.ledger.differences(&model.tree), [""; 0]);
    }
    model.verify(&mut watcher);
}

#[test]
fn files_that_grow_all_the_time_are_told_in_realtime_as_they_end() {
    in_realtime(|mut model, mut watcher| {
        model.tree.forget_states();
        model.agree(&mut watcher);
        for _ in 0..rounds(2) {
            let root = model.bench.path("");
            let end = Instant::now() + Duration::from_secs(2);
            while_growing(&root, || {
                while Instant::now() < end {
                    model.change(5);
                    assert!(watcher.turn(&crate::bench::moment()));
                    watcher.wait(None);
                }
            });
            model.agree(&mut watcher);
        }
        turn_until(&mut watcher, Watcher::is_idle);
        model.verify(&mut watcher);
    });
}

/// A file system that comes and goes, in a mount namespace of its own.
#[test]
fn what_is_mounted_below_the_tree_is_told_while_it_is_there() {
    const ALONE: &str = "MODEL_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = "model::what_is_mounted_below_the_tree_is_told_while_it_is_there";
        let alone = |command: &[&str]| {
            let mut unshare = Command::new("unshare");
            unshare.args(["--mount", "--propagation", "private"]).args(command).env(ALONE, "1");
            unshare.status().is_ok_and(|status| status.success())
        };
        if !alone(&["mount", "-t", "tmpfs", "tmpfs", "/mnt"]) {
            return println!("skipped: no mount namespace here (root is needed)");
        }
        let this = std::env::current_exe().unwrap();
        return assert!(alone(&[this.to_str().unwrap(), "--exact", name, "--nocapture"]));
    }
    let mount = |arguments: &[&str], at: &Path| {
        let (program, arguments) = arguments.split_first().unwrap();
        assert!(Command::new(program).args(arguments).arg(at).status().unwrap().success());
    };
    for realtime in [false, true] {
        let mut model = Model::new(realtime);
        let mut watcher = model.bench.start();
        model.bench.settle(&mut watcher);
        for _ in 0..rounds(4) {
            model.change(40);
            fs::create_dir_all(model.bench.path("always")).unwrap();
            let folder = model.tree.one_folder();
            mount(&["mount", "-t", "tmpfs", "tmpfs"], &folder);
            model.tree.write_into(&folder, 5);
            model.bench.scan(&mut watcher);
            model.agree(&mut watcher);
            model.tree.write_into(&folder, 20);
            if !realtime {
                model.bench.scan(&mut watcher);
            }
            model.agree(&mut watcher);
            mount(&["umount"], &folder);
            model.bench.scan(&mut watcher);
            model.agree(&mut watcher);
        }
        model.verify(&mut watcher);
    }
}
