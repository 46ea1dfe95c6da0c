//! A tree that changes, watched by the real parts (worker, inotify, journal, queue), and a manager that writes down what it is told.

#![expect(clippy::unwrap_used, reason = "a panic is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipc::{Ended, Receiver, Sender};
use settings::{CheckOptions, Directory, Syscheck, TimeOfDay};
use syscheckd::baseline::Baseline;
use syscheckd::changes::{Limits, Store};
use syscheckd::packages::Gate;
use syscheckd::schedule::Moment;
use syscheckd::watcher::{Parts, Watcher, manager_is_ours};
use syscheckd::worker::Pacing;
use wire::Kind;

const PATIENCE: Duration = Duration::from_secs(20);

/// The consumer's end of the queue, in a thread of its own.
struct Manager {
    heard: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Manager {
    fn start(root: &Path) -> Self {
        fs::create_dir_all(root.join("queue/ossec")).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (heard_in, stop_in) = (heard.clone(), stop.clone());
        let mut poll = mio::Poll::new().unwrap();
        let ended = Ended::open(&root.join(ipc::paths::ENDED)).unwrap();
        let socket = root.join(ipc::paths::EVENTS);
        let mut receiver = Receiver::bind(&socket, ended, poll.registry(), mio::Token(10)).unwrap();
        let thread = std::thread::spawn(move || {
            let mut events = mio::Events::with_capacity(16);
            while !stop_in.load(Ordering::Relaxed) {
                poll.poll(&mut events, Some(Duration::from_millis(20))).unwrap();
                for event in &events {
                    receiver.on_event(event.token());
                }
                receiver.work(poll.registry(), &mut |delivery| {
                    let payload = String::from_utf8_lossy(delivery.event.payload).into_owned();
                    let line = match delivery.event.kind {
                        Kind::FileIntegrity if delivery.event.location == b"syscheck" => payload,
                        Kind::Rootcheck => format!("rootcheck: {payload}"),
                        other => panic!("unexpected {other:?}"),
                    };
                    heard_in.lock().unwrap().push(line);
                    delivery.source.end(delivery.number);
                    true
                });
                receiver.acknowledge();
            }
        });
        Self { heard, stop, thread: Some(thread) }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A root, a tree, a manager.
struct Bench {
    home: tempfile::TempDir,
    syscheck: Syscheck,
    manager: Manager,
}

impl Bench {
    fn new(realtime: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["root/queue/syscheckd", "root/var/run", "tree/sub"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let manager = Manager::start(&home.path().join("root"));
        let options = CheckOptions {
            size: true,
            perm: true,
            md5: true,
            sha256: true,
            realtime,
            ..CheckOptions::default()
        };
        let directory = Directory { path: home.path().join("tree"), options, restrict: None };
        let syscheck = Syscheck { directories: vec![directory], max_cpu: 0, ..Syscheck::default() };
        let bench = Self { home, syscheck, manager };
        bench.write("a", "one");
        bench.write("sub/b", "two");
        bench.write("c", "three");
        bench
    }

    fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("tree").join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn start(&self) -> Watcher {
        watcher(&self.root(), &self.syscheck)
    }

    /// Turns until nothing is left to do.
    fn settle(&self, watcher: &mut Watcher) {
        turn_until(watcher, |watcher| watcher.is_idle() && watcher.counts().scans > 0);
    }

    /// What was told about files since the last call: name in the tree -> number of times told there, and gone.
    fn told(&self) -> BTreeMap<String, (u32, u32)> {
        let tree = format!(" {}/", self.path("").display()).replace("//", "/");
        let mut told = BTreeMap::<_, (u32, u32)>::new();
        for line in self.manager.take() {
            let Some((sum, name)) = line.split_once(&tree) else { continue };
            let counts = told.entry(name.to_owned()).or_default();
            if sum == "-1" { counts.1 += 1 } else { counts.0 += 1 }
        }
        told
    }

    fn scan(&self, watcher: &mut Watcher) {
        let before = watcher.counts().scans;
        fs::write(self.root().join("var/run/.syscheck_run"), "now").unwrap();
        turn_until(watcher, |watcher| watcher.counts().scans > before && watcher.is_idle());
    }

    /// Turns until these names were told about, and then until idle.
    fn hear(&self, watcher: &mut Watcher, expected: &[(&str, (u32, u32))]) {
        let wanted = names(expected);
        let mut told = BTreeMap::<String, (u32, u32)>::new();
        turn_until(watcher, |_| {
            for (name, (there, gone)) in self.told() {
                let counts = told.entry(name).or_default();
                *counts = (counts.0 + there, counts.1 + gone);
            }
            wanted.iter().all(|(name, _)| told.contains_key(name))
        });
        // Whatever is told too much has some time to come.
        let end = Instant::now() + Duration::from_millis(400);
        turn_until(watcher, |watcher| Instant::now() > end && watcher.is_idle());
        for (name, (there, gone)) in self.told() {
            let counts = told.entry(name).or_default();
            *counts = (counts.0 + there, counts.1 + gone);
        }
        assert_eq!(told, wanted);
    }
}

fn names(list: &[(&str, (u32, u32))]) -> BTreeMap<String, (u32, u32)> {
    list.iter().map(|(name, counts)| ((*name).to_owned(), *counts)).collect()
}

fn moment() -> Moment {
    let time = TimeOfDay { hour: 12, minute: 0 };
    Moment { instant: Instant::now(), day: 1, weekday: 1, time }
}

fn parts(root: &Path) -> Parts {
    let mut baseline = Baseline::open(&root.join("queue/syscheckd")).unwrap();
    let mut sender = Sender::new(root.join(ipc::paths::EVENTS), "syscheckd", baseline.stream());
    let ended = sender.connect(PATIENCE).unwrap();
    let stream = baseline.stream();
    let last = baseline.settle(ended).unwrap();
    assert_eq!(baseline.stream(), stream, "the manager knows the stream");
    sender.start_after(last);
    manager_is_ours(&mut baseline);
    let limits = Limits { file: 1 << 20, total: 1 << 24 };
    let changes = Some(Store::open(&root.join("queue/diff/local"), limits).unwrap());
    let gate = Gate::open(root, None);
    Parts { baseline, sender, group: None, audit: None, changes, gate, control: None }
}

fn watcher(root: &Path, syscheck: &Syscheck) -> Watcher {
    started(root, syscheck, parts(root))
}

fn started(root: &Path, syscheck: &Syscheck, parts: Parts) -> Watcher {
    let pacing = Pacing { files: 1000, rest: Duration::ZERO };
    Watcher::start(root, syscheck, pacing, Duration::ZERO, parts, &moment()).unwrap()
}

fn turn_until(watcher: &mut Watcher, mut done: impl FnMut(&Watcher) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        assert!(watcher.turn(&moment()), "the worker is alive");
        if done(watcher) {
            return;
        }
        assert!(Instant::now() < end, "nothing happened for too long: {:?}", watcher.counts());
        watcher.wait(None);
    }
}

#[test]
fn the_first_scan_tells_every_file_once_between_its_marks() {
    let bench = Bench::new(false);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);

    let heard = bench.manager.take();

    assert_eq!(heard.first().unwrap(), "rootcheck: Starting syscheck scan.");
    assert_eq!(heard.len(), 6, "{heard:?}");
    assert_eq!(heard[4..], ["rootcheck: Ending syscheck scan.", "syscheck-db-completed"]);
    let line = heard.iter().find(|line| line.ends_with("/tree/a")).unwrap();
    assert!(line.starts_with("3:33"), "{line}");
    assert!(line.contains(":0:0:f97c5d29941bfb1b2fdab0874906ab82:xxx:7692c3ad3540bb80"), "{line}");
}

#[test]
fn a_scan_tells_what_is_new_changed_and_gone_exactly_once() {
    let bench = Bench::new(false);
    bench.write("d", "moves");
    bench.write("e", "chmod");
    symlink("a", bench.path("link")).unwrap();
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    assert_eq!(bench.told().len(), 6);

    bench.write("new", "new");
    bench.write("a", "changed");
    fs::remove_file(bench.path("c")).unwrap();
    fs::rename(bench.path("d"), bench.path("sub/d")).unwrap();
    fs::set_permissions(bench.path("e"), fs::Permissions::from_mode(0o600)).unwrap();
    bench.scan(&mut watcher);

    let expected = [
        ("new", (1, 0)),
        ("a", (1, 0)),
        ("link", (1, 0)),
        ("c", (0, 1)),
        ("d", (0, 1)),
        ("sub/d", (1, 0)),
        ("e", (1, 0)),
    ];
    assert_eq!(bench.told(), names(&expected));
    bench.scan(&mut watcher);
    assert_eq!(bench.told(), names(&[]));
    let counts = watcher.counts();
    assert_eq!(counts.received, counts.filtered + counts.forwarded + counts.pending);
}

#[test]
fn a_file_that_comes_back_as_it_was_is_told() {
    let bench = Bench::new(false);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();
    fs::remove_file(bench.path("c")).unwrap();
    bench.scan(&mut watcher);
    bench.write("c", "three");
    bench.scan(&mut watcher);
    assert_eq!(bench.told(), names(&[("c", (1, 1))]));
}

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
fn odd_names_and_special_files_are_handled() {
    let bench = Bench::new(false);
    bench.write("new\nline", "1");
    bench.write("with space", "2");
    let fifo = bench.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    symlink("/", bench.path("link-to-folder")).unwrap();
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    let told = bench.told();
    assert_eq!(told.len(), 6, "{told:?}");
    for name in ["new\\012line", "with space", "link-to-folder"] {
        assert_eq!(told.get(name), Some(&(1, 0)), "{name} in {told:?}");
    }
}

#[test]
fn a_restart_tells_only_differences() {
    let bench = Bench::new(false);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();
    // Dropped as it is, which writes nothing: as after a kill.
    drop(watcher);
    bench.write("a", "changed");
    fs::remove_file(bench.path("c")).unwrap();

    let mut watcher = bench.start();
    bench.settle(&mut watcher);

    assert_eq!(bench.told(), names(&[("a", (1, 0)), ("c", (0, 1))]));
}

#[test]
fn a_reload_forgets_what_is_no_longer_watched_and_tells_what_is_new() {
    let mut bench = Bench::new(false);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();
    bench.syscheck.directories[0].path = bench.path("sub");
    bench.write("sub/new", "x");
    watcher.reload(&bench.syscheck, &moment()).unwrap();
    turn_until(&mut watcher, |watcher| watcher.counts().scans == 2 && watcher.is_idle());
    assert_eq!(bench.told(), names(&[("sub/new", (1, 0))]));
    assert_eq!(watcher.counts().files, 2);
}

#[test]
fn a_reload_in_the_middle_of_a_scan_begins_anew() {
    let bench = Bench::new(false);
    let mut watcher = bench.start();
    turn_until(&mut watcher, |watcher| watcher.counts().received > 0);
    watcher.reload(&bench.syscheck, &moment()).unwrap();
    bench.settle(&mut watcher);
    assert_eq!(bench.told(), names(&[("a", (1, 0)), ("c", (1, 0)), ("sub/b", (1, 0))]));
}

#[test]
fn events_are_served_while_a_scan_rests() {
    let bench = Bench::new(true);
    bench.settle(&mut bench.start());
    bench.told();
    let pacing = Pacing { files: 1, rest: Duration::from_secs(3600) };
    let root = bench.root();
    let started =
        Watcher::start(&root, &bench.syscheck, pacing, Duration::ZERO, parts(&root), &moment());
    let mut watcher = started.unwrap();
    turn_until(&mut watcher, |watcher| watcher.counts().unchanged == 1);
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

/// Not a test of its own: what the killed process of the next test does.
#[test]
fn child_watches_until_it_is_killed() {
    let Some(home) = std::env::var_os("WATCHED_HOME") else { return };
    let home = PathBuf::from(home);
    let options = CheckOptions { size: true, md5: true, ..CheckOptions::default() };
    let directory = Directory { path: home.join("tree"), options, restrict: None };
    let syscheck = Syscheck { directories: vec![directory], ..Syscheck::default() };
    let mut watcher = watcher(&home.join("root"), &syscheck);
    println!("\nready");
    loop {
        assert!(watcher.turn(&moment()));
        watcher.wait(None);
    }
}

fn spawn_child(bench: &Bench) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_watches_until_it_is_killed", "--nocapture"])
        .env("WATCHED_HOME", bench.home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.is_ok_and(|line| line == "ready")));
    child
}

#[test]
fn killed_again_and_again_it_tells_every_file_exactly_once() {
    let bench = Bench::new(false);
    for number in 0..3000 {
        bench.write(&format!("sub/file{number}"), &number.to_string());
    }
    let mut told = BTreeMap::<String, u32>::new();
    let end = Instant::now() + Duration::from_secs(120);
    let mut rounds = 0_u64;
    while told.len() < 3003 {
        assert!(Instant::now() < end, "{} of 3003 told in {rounds} rounds", told.len());
        let mut child = spawn_child(&bench);
        // Killed after another hundred or so were heard, or when it has nothing more to say.
        let (before, idle) = (told.len(), Instant::now() + Duration::from_secs(3));
        while told.len() < before + 100 && told.len() < 3003 && Instant::now() < idle {
            for (name, (there, gone)) in bench.told() {
                assert_eq!(gone, 0, "{name}");
                *told.entry(name).or_default() += there;
            }
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        rounds += 1;
    }
    assert!(rounds > 1, "killed at least once on the way");
    let more_than_once: Vec<_> = told.iter().filter(|(_, times)| **times != 1).collect();
    assert!(more_than_once.is_empty(), "{more_than_once:?}");
}
