//! `oxsec-bench ROOT SPEED RULES [RECORDED]`: measures the suite that is staged in ROOT, with the rules that are installed there, and
//! the engine alone by the program SPEED with the decoders and rules in RULES. RECORDED holds lines of real hosts.
//!
//! `oxsec-bench scan ROOT FOLDER` measures scans of files that it makes in FOLDER and of `/usr`, `oxsec-bench realtime ROOT FOLDER` how soon
//! a change is told. `oxsec-bench wire SERVER AGENT` measures a manager and its agents, staged in these two.
//!
//! Quote CPU per event first: the feeder shares the machine with the daemon, and wall-clock rates are noisy.

mod corpora;
mod daemon;
mod engine;
mod latency;
mod peers;
mod realtime;
mod scan;
mod trees;
mod wire;
mod wire_load;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ::wire::{Event, Kind};

use crate::corpora::Corpus;
use crate::daemon::{Daemon, nanos, write};
use crate::engine::Speed;

const EVENTS: usize = 300_000;
/// After these many, the memory is looked at.
const REMEMBERED: usize = 150_000;

fn main() {
    let arguments: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    if let [what, root, folder] = arguments.as_slice()
        && let Some(measure) = of_files(what)
    {
        println!("| measure | value | target |\n|---|---|---|");
        fs::create_dir_all(folder).expect("a folder for files");
        let folder = fs::canonicalize(folder).expect("the way to it");
        return measure(root, &folder);
    }
    let [root, speed, rules, recorded @ ..] = arguments.as_slice() else {
        panic!("usage: oxsec-bench ROOT SPEED RULES [RECORDED]");
    };
    println!("| measure | value | target |\n|---|---|---|");
    let corpora = corpora::all(recorded.first().map(PathBuf::as_path));
    for corpus in &corpora {
        for cores in ["0", "0,1"] {
            datagrams(root, cores, corpus);
            acknowledged(root, cores, corpus);
        }
    }
    Speed { program: speed, rules }.measure();
    latency::latency(root);
}

/// What is measured with one more folder: of `ossec-syscheckd`, in files that are made in a folder.
fn of_files(what: &Path) -> Option<fn(&Path, &Path)> {
    match what.to_str()? {
        "scan" => Some(scan::scans),
        "realtime" => Some(realtime::realtime),
        "wire" => Some(self::wire::wire),
        _ => None,
    }
}

/// The `<rules>` of the installed configuration.
fn rules(root: &Path) -> String {
    let conf = fs::read_to_string(root.join("etc/ossec.conf")).expect("ossec.conf");
    let (start, end) =
        (conf.find("<rules>").expect("<rules>"), conf.find("</rules>").expect("</rules>"));
    format!("{}</rules>", &conf[start..end])
}

/// A fresh analysisd, pinned to some cores.
fn analysisd(root: &Path, cores: &str) -> Daemon {
    let conf = format!(
        "<ossec_config>{}<syscheck><disabled>yes</disabled></syscheck></ossec_config>\n",
        rules(root)
    );
    write(&root.join("etc/ossec.conf"), &conf);
    for folder in ["logs/alerts", "stats"] {
        fs::remove_dir_all(root.join(folder)).ok();
        fs::create_dir_all(root.join(folder)).expect(folder);
    }
    Daemon::start(root, "ossec-analysisd", Some(cores))
}

/// Feeds analysisd over OSSEC's queue; no datagram is lost there, the kernel makes the feeder wait.
fn datagrams(root: &Path, cores: &str, corpus: &Corpus) {
    let mut daemon = analysisd(root, cores);
    let idle = daemon.resident_kib();
    let messages: Vec<Vec<u8>> = corpus
        .lines
        .iter()
        .map(|line| format!("1:{}:{line}", corpus.location).into_bytes())
        .collect();
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.connect(root.join(ipc::paths::QUEUE)).expect("the datagram queue");
    let mut after = 0;
    let (cpu, start) = (daemon.cpu_seconds(), Instant::now());
    for (n, message) in messages.iter().cycle().take(EVENTS).enumerate() {
        socket.send(message).expect("the queue takes it");
        if n == REMEMBERED {
            after = daemon.resident_kib();
        }
    }
    let wall = start.elapsed().as_secs_f64();
    thread::sleep(Duration::from_millis(500));
    let used = daemon.cpu_seconds() - cpu;
    println!(
        "| {}, core(s) {cores}, datagrams | {:.2} us CPU an event, {:.0} events/s | {} |",
        corpus.name,
        used / EVENTS as f64 * 1e6,
        EVENTS as f64 / wall,
        corpus.target
    );
    println!(
        "| the same: ready after, resident idle, after {REMEMBERED} events | {:.0} ms, {:.1} MiB, {:.1} MiB | <= 10 MB, <= 24 MB |",
        daemon.ready_after.as_secs_f64() * 1e3,
        idle as f64 / 1024.0,
        after as f64 / 1024.0
    );
    daemon.stop();
}

/// The same over the acknowledged queue; ends when all is acknowledged.
fn acknowledged(root: &Path, cores: &str, corpus: &Corpus) {
    let mut daemon = analysisd(root, cores);
    let mut sender = ipc::Sender::new(root.join(ipc::paths::EVENTS), "bench", nanos());
    let known = sender.connect(Duration::from_secs(30)).expect("analysisd is there");
    sender.start_after(known);
    let (cpu, start) = (daemon.cpu_seconds(), Instant::now());
    let mut sent = 0;
    while sender.acked() < EVENTS as u64 {
        while sent < EVENTS {
            let line = corpus.lines[sent % corpus.lines.len()].as_bytes();
            let event =
                Event { kind: Kind::Log, location: corpus.location.as_bytes(), payload: line };
            if sender.offer(&event).is_err() {
                break;
            }
            sent += 1;
        }
        sender.wait(Duration::from_millis(50));
    }
    let (wall, used) = (start.elapsed().as_secs_f64(), daemon.cpu_seconds() - cpu);
    println!(
        "| {}, core(s) {cores}, acknowledged queue | {:.2} us CPU an event, {:.0} events/s | {} |",
        corpus.name,
        used / EVENTS as f64 * 1e6,
        EVENTS as f64 / wall,
        corpus.target
    );
    daemon.stop();
}
