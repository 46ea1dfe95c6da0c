//! How long an alert takes, with the whole suite running.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, write};
use crate::rules;

const LATENCIES: usize = 500;

/// From the append to a watched file to the line in alerts.log, with the whole suite running.
pub fn latency(root: &Path) {
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
    let mut daemons: Vec<Daemon> =
        names.iter().map(|name| Daemon::start(root, name, None)).collect();
    let mut append = OpenOptions::new().append(true).open(&log).expect("log");
    let times = (0..LATENCIES).filter_map(|n| one_latency(root, &mut append, n)).collect();
    println!("| append to alert, of {LATENCIES} | {} | |", percentiles(times));
    for (name, daemon) in names.iter().zip(&mut daemons) {
        println!(
            "| {name}, resident | {:.1} MiB, {:.1} MiB of it its own | |",
            daemon.resident_kib() as f64 / 1024.0,
            daemon.private_kib() as f64 / 1024.0
        );
    }
    daemons.into_iter().rev().for_each(Daemon::stop);
}

/// How many there are, the median, the 99th percentile, the largest.
pub fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).or(times.last());
    let [half, most, last] = [50, 99, 100].map(|percent| at(percent).copied().unwrap_or_default());
    format!("{}: p50 {half:?}, p99 {most:?}, most {last:?}", times.len())
}

/// From the append of a line to its alert.
pub fn one_latency(root: &Path, log: &mut File, n: usize) -> Option<Duration> {
    let mark = format!("port {} ssh2", 10_000 + n);
    let start = Instant::now();
    writeln!(
        log,
        "Nov 14 22:13:20 web1 sshd[4711]: Failed password for root from 203.0.113.{} {mark}",
        n % 250
    )
    .ok()?;
    let took = from_start_to_alert(root, start, &mark, Duration::from_secs(5))?;
    thread::sleep(Duration::from_millis(5));
    Some(took)
}

/// Waits for an alert that bears `mark`, among the last ones.
pub fn from_start_to_alert(
    root: &Path,
    start: Instant,
    mark: &str,
    patience: Duration,
) -> Option<Duration> {
    const LAST: u64 = 1000;
    let alerts = root.join("logs/alerts/alerts.log");
    while start.elapsed() < patience {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&alerts) {
            let len = file.metadata().map_or(0, |meta| meta.len());
            file.seek(SeekFrom::Start(len.saturating_sub(LAST))).ok()?;
            let _ = file.read_to_end(&mut text);
        }
        if String::from_utf8_lossy(&text).contains(mark) {
            return Some(start.elapsed());
        }
        thread::yield_now();
    }
    None
}
