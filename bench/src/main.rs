//! `oxsec-bench ROOT`: measures the suite that is staged in ROOT, with the rules that are installed there.
//!
//! Quote CPU per event first: the feeder shares the machine with the daemon, and wall-clock rates are noisy.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wire::{Event, Kind};

const EVENTS: usize = 300_000;
const LATENCIES: usize = 500;
const TICKS_PER_SECOND: f64 = 100.0;

fn main() {
    let root = PathBuf::from(std::env::args().nth(1).expect("usage: oxsec-bench ROOT"));
    println!("| measure | value |\n|---|---|");
    for cores in ["0", "0,1"] {
        for (name, lines) in [("sshd", sshd_lines()), ("no match", no_match_lines())] {
            throughput(&root, cores, name, &lines);
        }
    }
    latency(&root);
}

/// Failed and accepted logins of many addresses: most give an alert.
fn sshd_lines() -> Vec<String> {
    (0..20_000u32)
        .map(|n| {
            let (a, b, port) = (n / 250 % 250, n % 250, 1024 + n % 60_000);
            let what = match n % 10 {
                0 => format!("Accepted password for user{} from 203.0.{a}.{b} port {port} ssh2", n % 40),
                1..=3 => format!("Failed password for invalid user guess{} from 203.0.{a}.{b} port {port} ssh2", n % 90),
                4..=6 => format!("Failed password for root from 203.0.{a}.{b} port {port} ssh2"),
                7 => format!("Received disconnect from 203.0.{a}.{b}: 11: Bye Bye [preauth]"),
                8 => format!("pam_unix(sshd:session): session opened for user user{} by (uid=0)", n % 40),
                _ => format!("Connection closed by 203.0.{a}.{b} [preauth]"),
            };
            format!("Nov 14 22:13:{:02} web1 sshd[{}]: {what}", n % 60, 1000 + n % 9000)
        })
        .collect()
}

/// Lines of an unknown program: no decoder, no rule.
fn no_match_lines() -> Vec<String> {
    (0..20_000u32).map(|n| format!("Nov 14 22:13:{:02} web1 ourapp[{}]: request {n} served in {} ms", n % 60, 1000 + n % 9000, n % 97)).collect()
}

/// The `<rules>` of the installed configuration.
fn rules(root: &Path) -> String {
    let conf = fs::read_to_string(root.join("etc/ossec.conf")).expect("ossec.conf");
    let (start, end) = (conf.find("<rules>").expect("<rules>"), conf.find("</rules>").expect("</rules>"));
    format!("{}</rules>", &conf[start..end])
}

/// Feeds analysisd, pinned to some cores, over the acknowledged queue; ends when all is acknowledged.
fn throughput(root: &Path, cores: &str, name: &str, lines: &[String]) {
    let conf = format!("<ossec_config>{}<syscheck><disabled>yes</disabled></syscheck></ossec_config>\n", rules(root));
    write(&root.join("etc/ossec.conf"), &conf);
    fs::remove_dir_all(root.join("logs/alerts")).ok();
    fs::create_dir_all(root.join("logs/alerts")).expect("logs/alerts");
    let mut daemon = Daemon::start(root, "ossec-analysisd", Some(cores));
    let memory_before = daemon.resident_kib();
    let mut sender = ipc::Sender::new(root.join(ipc::paths::EVENTS), "bench", nanos());
    let known = sender.connect(Duration::from_secs(30)).expect("analysisd is there");
    sender.start_after(known);
    let (cpu, start) = (daemon.cpu_seconds(), Instant::now());
    let mut sent = 0;
    while sender.acked() < EVENTS as u64 {
        while sent < EVENTS {
            let line = lines[sent % lines.len()].as_bytes();
            if sender.offer(&Event { kind: Kind::Log, location: b"/var/log/auth.log", payload: line }).is_err() {
                break;
            }
            sent += 1;
        }
        sender.wait(Duration::from_millis(50));
    }
    let (wall, used) = (start.elapsed().as_secs_f64(), daemon.cpu_seconds() - cpu);
    println!(
        "| analysisd, {name} lines, core(s) {cores}, acknowledged queue | {:.0} events/s, {:.2} us CPU an event, {} MiB resident ({} idle) |",
        EVENTS as f64 / wall,
        used / EVENTS as f64 * 1e6,
        daemon.resident_kib() / 1024,
        memory_before / 1024,
    );
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.connect(root.join(ipc::paths::QUEUE)).expect("the datagram queue");
    let (cpu, start) = (daemon.cpu_seconds(), Instant::now());
    for n in 0..EVENTS {
        let message = format!("1:/var/log/auth.log:{}", lines[n % lines.len()]);
        socket.send(message.as_bytes()).expect("the queue takes it");
    }
    let wall = start.elapsed().as_secs_f64();
    thread::sleep(Duration::from_millis(500));
    let used = daemon.cpu_seconds() - cpu;
    println!("| the same over the datagram queue | {:.0} events/s, {:.2} us CPU an event |", EVENTS as f64 / wall, used / EVENTS as f64 * 1e6);
    daemon.stop();
}

/// From the append to a watched file to the line in alerts.log, with the whole suite running.
fn latency(root: &Path) {
    let log = root.join("tmp-auth.log");
    write(&log, "");
    let conf = format!(
        "<ossec_config>{}\
         <syscheck><directories check_all=\"yes\" realtime=\"yes\">{}</directories></syscheck>\
         <localfile><log_format>syslog</log_format><location>{}</location></localfile></ossec_config>\n",
        rules(root),
        root.join("etc").display(),
        log.display()
    );
    write(&root.join("etc/ossec.conf"), &conf);
    fs::remove_dir_all(root.join("logs/alerts")).ok();
    fs::create_dir_all(root.join("logs/alerts")).expect("logs/alerts");
    let names = ["ossec-execd", "ossec-analysisd", "ossec-logcollector", "ossec-syscheckd"];
    let mut daemons: Vec<Daemon> = names.iter().map(|name| Daemon::start(root, name, None)).collect();
    let mut append = OpenOptions::new().append(true).open(&log).expect("log");
    let mut times: Vec<Duration> = (0..LATENCIES).filter_map(|n| one_latency(root, &mut append, n)).collect();
    times.sort();
    if let Some(&last) = times.last() {
        let at = |percent: usize| times[times.len() * percent / 100];
        println!("| append to alert, {} of {LATENCIES} | p50 {:?}, p99 {:?}, most {last:?} |", times.len(), at(50), at(99));
    }
    for (name, daemon) in names.iter().zip(&mut daemons) {
        println!("| {name}, resident | {:.1} MiB, {:.1} MiB of it its own |", daemon.resident_kib() as f64 / 1024.0, daemon.private_kib() as f64 / 1024.0);
    }
    daemons.into_iter().rev().for_each(Daemon::stop);
}

fn one_latency(root: &Path, log: &mut File, n: usize) -> Option<Duration> {
    let alerts = root.join("logs/alerts/alerts.log");
    let end = fs::metadata(&alerts).map_or(0, |meta| meta.len());
    let mark = format!("port {} ssh2", 10_000 + n);
    let start = Instant::now();
    writeln!(log, "Nov 14 22:13:20 web1 sshd[4711]: Failed password for root from 203.0.113.{} {mark}", n % 250).ok()?;
    while start.elapsed() < Duration::from_secs(5) {
        let mut text = String::new();
        if let Ok(mut file) = File::open(&alerts) {
            file.seek(SeekFrom::Start(end)).ok()?;
            let _ = file.read_to_string(&mut text);
        }
        if text.contains(&mark) {
            let took = start.elapsed();
            thread::sleep(Duration::from_millis(5));
            return Some(took);
        }
        thread::yield_now();
    }
    None
}

struct Daemon(Child);

impl Daemon {
    /// Starts a daemon in the foreground and waits until it says that it is ready.
    fn start(root: &Path, name: &str, cores: Option<&str>) -> Self {
        let notify = root.join("var/run/bench-notify");
        let _ = fs::remove_file(&notify);
        let socket = UnixDatagram::bind(&notify).expect("notify socket");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
        let program = root.join("bin").join(name);
        let mut command = match cores {
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cores]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg("-f").env("OXSEC_ROOT", root).env("OXSEC_STAY_USER", "1").env("NOTIFY_SOCKET", &notify);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the daemon starts");
        let mut buffer = [0; 256];
        let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{name} is not ready: {error}"));
        assert!(buffer[..len].starts_with(b"READY=1"), "{name} says it is ready");
        Self(child)
    }

    fn cpu_seconds(&mut self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: f64 = after.split(' ').skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
        ticks / TICKS_PER_SECOND
    }

    fn resident_kib(&mut self) -> u64 {
        self.kib("status", "VmRSS:")
    }

    fn private_kib(&mut self) -> u64 {
        self.kib("smaps_rollup", "Private_Dirty:")
    }

    fn kib(&mut self, file: &str, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    fn stop(mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn write(path: &Path, text: &str) {
    let _ = fs::remove_file(path);
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn nanos() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64)
}
