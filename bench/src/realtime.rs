//! How long it takes from a change of a watched file to its event at the manager's socket: one at a time, and a thousand at once.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, mpsc::Receiver as Arrivals};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ipc::{Ended, Receiver};

use crate::daemon::{Daemon, write};

const CHANGES: usize = 500;
const BURST: usize = 1000;
const FILES: usize = 50;
const PATIENCE: Duration = Duration::from_secs(20);

/// The queue's reading end; tells which path arrived when.
struct Manager {
    arrivals: Arrivals<(String, Instant)>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Manager {
    fn start(root: &Path) -> Self {
        let (say, arrivals) = mpsc::sync_channel(1 << 20);
        let stop = Arc::new(AtomicBool::new(false));
        let told_to_stop = stop.clone();
        let mut poll = mio::Poll::new().expect("a poll");
        let ended = Ended::open(&root.join(ipc::paths::ENDED)).expect("what has ended");
        let socket = root.join(ipc::paths::EVENTS);
        let mut receiver =
            Receiver::bind(&socket, ended, poll.registry(), mio::Token(10)).expect("the queue");
        let thread = thread::spawn(move || {
            let mut events = mio::Events::with_capacity(16);
            while !told_to_stop.load(Ordering::Relaxed) {
                // Interrupted is as good as nothing.
                let _ = poll.poll(&mut events, Some(Duration::from_millis(20)));
                for event in &events {
                    receiver.on_event(event.token());
                }
                receiver.work(poll.registry(), &mut |delivery| {
                    let payload = String::from_utf8_lossy(delivery.event.payload);
                    let line = payload.lines().next().unwrap_or_default();
                    let path = line.split_once(" /").map_or("", |(_, path)| path);
                    let _ = say.try_send((format!("/{path}"), Instant::now()));
                    delivery.source.end(delivery.number);
                    true
                });
                receiver.acknowledge();
            }
        });
        Self { arrivals, stop, thread }
    }

    /// When each of these paths arrived; those that do not arrive are left out.
    fn await_all(&self, paths: &[String]) -> HashMap<String, Instant> {
        let mut arrived = HashMap::new();
        let end = Instant::now() + PATIENCE;
        while arrived.len() < paths.len() {
            let left = end.saturating_duration_since(Instant::now());
            let Ok((path, at)) = self.arrivals.recv_timeout(left) else { break };
            if paths.contains(&path) {
                arrived.entry(path).or_insert(at);
            }
        }
        arrived
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

/// Measures by both sources of events, as far as they are permitted; files lie below `folder`.
pub fn realtime(root: &Path, folder: &Path) {
    // Without this capability there is no fanotify.
    for launcher in [&[][..], &["setpriv", "--bounding-set=-sys_admin"]] {
        let tree = folder.join("watched");
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(&tree).expect("a folder for files");
        by(root, &tree, launcher);
        let _ = fs::remove_dir_all(&tree);
    }
}

fn by(root: &Path, tree: &Path, launcher: &[&str]) {
    let conf = format!(
        "<ossec_config><rootcheck><disabled>yes</disabled></rootcheck><syscheck>\
         <directories check_all=\"yes\" realtime=\"yes\">{}</directories></syscheck></ossec_config>\n",
        tree.display()
    );
    write(&root.join("etc/ossec.conf"), &conf);
    write(&root.join("etc/local_internal_options.conf"), "syscheck.sleep=0\n");
    for file in fs::read_dir(root.join("queue/syscheckd")).into_iter().flatten().flatten() {
        let _ = fs::remove_file(file.path());
    }
    let name = |n| format!("{}/f{n:04}", tree.display());
    let files: Vec<String> = (0..FILES + BURST).map(name).collect();
    for file in &files {
        write(Path::new(file), "begun\n");
    }
    let log = root.join("logs/ossec.log");
    let said = fs::metadata(&log).map_or(0, |log| log.len()) as usize;
    let manager = Manager::start(root);
    let daemon = Daemon::start_by(root, "ossec-syscheckd", launcher);
    let source = loop {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let text = text.get(said..).unwrap_or_default();
        if text.contains("Real time file monitoring started") {
            let source = text.lines().find_map(|line| line.split_once("Who changed a file: "));
            break source
                .map_or_else(String::new, |(_, source)| source.trim_end_matches('.').to_owned());
        }
        thread::sleep(Duration::from_millis(5));
    };
    while manager.arrivals.recv_timeout(Duration::from_millis(300)).is_ok() {}

    let mut times: Vec<Duration> = (0..CHANGES)
        .filter_map(|n| {
            let file = &files[n % FILES];
            let start = Instant::now();
            change(file, n);
            let took = *manager.await_all(std::slice::from_ref(file)).get(file)? - start;
            thread::sleep(Duration::from_millis(20));
            Some(took)
        })
        .collect();
    times.sort();
    if let Some(&last) = times.last() {
        let at = |percent: usize| times[times.len() * percent / 100];
        println!(
            "| realtime ({source}), {} of {CHANGES} changes told | p50 {:?}, p99 {:?}, most {last:?} | p99 <= 50 ms |",
            times.len(),
            at(50),
            at(99)
        );
    }
    let start = Instant::now();
    // Of the files before it was told a moment ago, and a file is told once a second.
    let burst = &files[FILES..];
    for (n, file) in burst.iter().enumerate() {
        change(file, CHANGES + n);
    }
    let made = start.elapsed();
    let arrived = manager.await_all(burst);
    if let Some(&last) = arrived.values().max() {
        println!(
            "| realtime ({source}), {BURST} changes at once, made in {made:?} | {} told, the last after {:?} | <= 1 s |",
            arrived.len(),
            last - start
        );
    }
    daemon.stop();
    manager.stop();
}

/// Appends a line, or puts another file in its place.
fn change(file: &str, n: usize) {
    if n.is_multiple_of(2) {
        let mut file = OpenOptions::new().append(true).open(file).expect("a file to append to");
        writeln!(file, "line {n}").expect("room");
    } else {
        let new = format!("{file}.new");
        fs::write(&new, format!("replaced {n}\n")).expect("room");
        fs::rename(new, file).expect("a file to replace");
    }
}
