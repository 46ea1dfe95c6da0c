//! A root, a tree, the real parts that watch it, and a manager that writes down what it is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
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

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The consumer's end of the queue, in a thread of its own.
pub(crate) struct Manager {
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

    pub(crate) fn take(&self) -> Vec<String> {
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
pub(crate) struct Bench {
    pub(crate) home: tempfile::TempDir,
    pub(crate) syscheck: Syscheck,
    pub(crate) manager: Manager,
}

impl Bench {
    pub(crate) fn new(realtime: bool) -> Self {
        let options = CheckOptions {
            size: true,
            perm: true,
            md5: true,
            sha256: true,
            realtime,
            ..CheckOptions::default()
        };
        Self::with(options)
    }

    /// Owner and group are checked too.
    pub(crate) fn thorough(realtime: bool) -> Self {
        Self::with(thorough(realtime))
    }

    pub(crate) fn with(options: CheckOptions) -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["root/queue/syscheckd", "root/var/run", "tree/sub"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let manager = Manager::start(&home.path().join("root"));
        let syscheck = settings(home.path(), options);
        let bench = Self { home, syscheck, manager };
        bench.write("a", "one");
        bench.write("sub/b", "two");
        bench.write("c", "three");
        bench
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("tree").join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn start(&self) -> Watcher {
        watcher(&self.root(), &self.syscheck)
    }

    /// Turns until nothing is left to do.
    pub(crate) fn settle(&self, watcher: &mut Watcher) {
        turn_until(watcher, |watcher| watcher.is_idle() && watcher.counts().scans > 0);
    }

    /// What was told about files since the last call: name in the tree -> number of times told there, and gone.
    pub(crate) fn told(&self) -> BTreeMap<String, (u32, u32)> {
        let tree = format!(" {}/", self.path("").display()).replace("//", "/");
        let mut told = BTreeMap::<_, (u32, u32)>::new();
        for line in self.manager.take() {
            let Some((sum, name)) = line.split_once(&tree) else { continue };
            let counts = told.entry(name.to_owned()).or_default();
            if sum == "-1" { counts.1 += 1 } else { counts.0 += 1 }
        }
        told
    }

    pub(crate) fn scan(&self, watcher: &mut Watcher) {
        let before = watcher.counts().scans;
        fs::write(self.root().join("var/run/.syscheck_run"), "now").unwrap();
        turn_until(watcher, |watcher| watcher.counts().scans > before && watcher.is_idle());
    }

    /// Turns until these names were told about, and then until idle.
    pub(crate) fn hear(&self, watcher: &mut Watcher, expected: &[(&str, (u32, u32))]) {
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

/// The tree of a bench is watched like this.
pub(crate) fn settings(home: &Path, options: CheckOptions) -> Syscheck {
    let directory = Directory { path: home.join("tree"), options, restrict: None };
    Syscheck { directories: vec![directory], max_cpu: 0, ..Syscheck::default() }
}

pub(crate) fn thorough(realtime: bool) -> CheckOptions {
    CheckOptions {
        size: true,
        perm: true,
        owner: true,
        group: true,
        sha256: true,
        realtime,
        ..CheckOptions::default()
    }
}

pub(crate) fn names(list: &[(&str, (u32, u32))]) -> BTreeMap<String, (u32, u32)> {
    list.iter().map(|(name, counts)| ((*name).to_owned(), *counts)).collect()
}

pub(crate) fn moment() -> Moment {
    let time = TimeOfDay { hour: 12, minute: 0 };
    Moment { instant: Instant::now(), day: 1, weekday: 1, time }
}

pub(crate) fn parts(root: &Path) -> Parts {
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
    let gate = Gate::open(root, Vec::new());
    Parts { baseline, sender, group: None, audit: None, changes, gate, control: None }
}

pub(crate) fn watcher(root: &Path, syscheck: &Syscheck) -> Watcher {
    started(root, syscheck, parts(root))
}

pub(crate) fn started(root: &Path, syscheck: &Syscheck, parts: Parts) -> Watcher {
    let pacing = Pacing { files: 1000, rest: Duration::ZERO, threads: 3 };
    Watcher::start(root, syscheck, pacing, Duration::ZERO, parts, &moment()).unwrap()
}

pub(crate) fn turn_until(watcher: &mut Watcher, mut done: impl FnMut(&Watcher) -> bool) {
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
