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
    let mut times: Vec<Duration> =
        (0..LATENCIES).filter_map(|n| one_latency(root, &mut append, n)).collect();
    times.sort();
    if let Some(&last) = times.last() {
        let at = |percent: usize| times[times.len() * percent / 100];
        println!(
            "| append to alert, {} of {LATENCIES} | p50 {:?}, p99 {:?}, most {last:?} | |",
            times.len(),
            at(50),
            at(99)
        );
    }
    for (name, daemon) in names.iter().zip(&mut daemons) {
        println!(
            "| {name}, resident | {:.1} MiB, {:.1} MiB of it its own | |",
            daemon.resident_kib() as f64 / 1024.0,
            daemon.private_kib() as f64 / 1024.0
        );
    }
    daemons.into_iter().rev().for_each(Daemon::stop);
}

fn one_latency(root: &Path, log: &mut File, n: usize) -> Option<Duration> {
    let alerts = root.join("logs/alerts/alerts.log");
    let end = fs::metadata(&alerts).map_or(0, |meta| meta.len());
    let mark = format!("port {} ssh2", 10_000 + n);
    let start = Instant::now();
    writeln!(
        log,
        "Nov 14 22:13:20 web1 sshd[4711]: Failed password for root from 203.0.113.{} {mark}",
        n % 250
    )
    .ok()?;
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
