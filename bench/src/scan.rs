//! Scans of `ossec-syscheckd`: a first one, one that finds nothing changed by the look of it, one that reads all again; beside them, in the
//! same run, the tools that are installed here and do the same ([`crate::peers`]).
//!
//! analysisd takes the messages on another core. Wall clock is from readiness to the end of the scan; quote CPU first. "Cold" is with
//! the kernel's caches dropped, where that is permitted. `BENCH_BIG_GIB` says how much the large files hold, 1 if it is not set.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, write};
use crate::peers::{self, Pass};
use crate::trees::{self, Tree};

/// What one run took.
#[derive(Clone, Copy)]
pub struct Figures {
    /// Seconds.
    pub wall: f64,
    /// Seconds of processor time.
    pub cpu: f64,
    pub peak_mib: f64,
    /// What the database takes on the disk, in bytes.
    pub database: u64,
}

/// Runs under the same conditions.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    pub tree: &'a Tree,
    /// MD5, SHA-1 and SHA-256, else SHA-256 alone.
    pub all_digests: bool,
    /// As `taskset` takes them.
    pub cores: &'static str,
    /// With empty caches.
    cold: bool,
}

const FREE: &str = "<max_cpu>0</max_cpu>";
const AGAIN: &str = "<max_cpu>0</max_cpu><rehash>always</rehash>";
const STANDARD: &str = "<rehash>always</rehash>";

/// Measures all trees; those that are made lie below `folder`, and are removed again.
pub fn scans(root: &Path, folder: &Path) {
    write(&root.join("etc/local_internal_options.conf"), "syscheck.sleep=0\n");
    let small = trees::small(&folder.join("small"));
    let usual = Round { tree: &small, all_digests: false, cores: "0", cold: false };
    whole(root, folder, &usual, ["<= 1.5 s", "<= 0.4 s", "<= 1.5 s"]);
    say(
        &usual,
        "all read, standard budget",
        &ours(root, &usual, STANDARD, false),
        "<= 120 s, < 10 %",
    );
    whole(root, folder, &Round { cold: true, ..usual }, [""; 3]);
    first(root, folder, &Round { cores: "0,1", ..usual }, "<= 1.0 s");
    first(root, folder, &Round { all_digests: true, ..usual }, "");
    let _ = fs::remove_dir_all(&small.folder);

    let usr = trees::usr();
    let usual = Round { tree: &usr, ..usual };
    whole(root, folder, &usual, [""; 3]);
    whole(root, folder, &Round { cold: true, ..usual }, [""; 3]);

    let gib = std::env::var("BENCH_BIG_GIB").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let Some(big) = trees::big(&folder.join("big"), gib) else {
        println!("| big | no room in {} | |", folder.display());
        return;
    };
    let usual = Round { tree: &big, ..usual };
    whole(root, folder, &usual, [">= 1.0 GB/s", "", ">= 1.0 GB/s"]);
    whole(root, folder, &Round { cold: true, ..usual }, [""; 3]);
    first(root, folder, &Round { cores: "0,1", ..usual }, ">= 1.2 GB/s");
    first(root, folder, &Round { all_digests: true, ..usual }, ">= 0.28 GB/s");
    first(root, folder, &Round { all_digests: true, cores: "0,1", ..usual }, ">= 0.55 GB/s");
    let _ = fs::remove_dir_all(&big.folder);
}

/// The first scan, and the peers'.
fn first(root: &Path, folder: &Path, round: &Round<'_>, target: &str) {
    let figures = ours(root, round, FREE, true);
    say(round, "first", &figures, target);
    for peer in peers::for_round(round) {
        let peers = peer.measure(&folder.join(peer.name), round, Pass::First);
        say_peer(round, peer.name, "first", peers, &[("first", figures)]);
        let _ = fs::remove_dir_all(folder.join(peer.name));
    }
}

/// All kinds of scans, and the peers'.
fn whole(root: &Path, folder: &Path, round: &Round<'_>, targets: [&str; 3]) {
    if round.cold && !drop_caches() {
        println!("| {}, cold | the caches cannot be dropped here | |", round.tree.name);
        return;
    }
    let first = ours(root, round, FREE, true);
    say(round, "first", &first, targets[0]);
    let unchanged = ours(root, round, FREE, false);
    say(round, "unchanged", &unchanged, targets[1]);
    let again = ours(root, round, AGAIN, false);
    say(round, "all read", &again, targets[2]);
    for peer in peers::for_round(round) {
        let at = folder.join(peer.name);
        let _ = round.cold && drop_caches();
        let figures = peer.measure(&at, round, Pass::First);
        say_peer(round, peer.name, "first", figures, &[("first", first)]);
        let _ = round.cold && drop_caches();
        let figures = peer.measure(&at, round, Pass::Check);
        let mine = [("unchanged", unchanged), ("all read", again)];
        say_peer(round, peer.name, "check", figures, &mine);
        let _ = fs::remove_dir_all(at);
    }
}

/// One scan of ours, with an empty baseline if it is a first one.
fn ours(root: &Path, round: &Round<'_>, settings: &str, first: bool) -> Figures {
    let digests = if round.all_digests {
        "check_all=\"yes\""
    } else {
        "check_size=\"yes\" check_perm=\"yes\" check_owner=\"yes\" check_group=\"yes\" check_sha256sum=\"yes\""
    };
    let folder = round.tree.folder.display();
    let conf = format!(
        "<ossec_config><rootcheck><disabled>yes</disabled></rootcheck><syscheck><frequency>86400</frequency>\
         <directories {digests}>{folder}</directories>{settings}</syscheck></ossec_config>\n"
    );
    write(&root.join("etc/ossec.conf"), &conf);
    let baseline = root.join("queue/syscheckd");
    if first {
        for folder in [&baseline, &root.join("queue/syscheck")] {
            for file in fs::read_dir(folder).into_iter().flatten().flatten() {
                let _ = fs::remove_file(file.path());
            }
        }
    }
    let log = root.join("logs/ossec.log");
    let manager = Daemon::start(root, "ossec-analysisd", Some("1"));
    if round.cold {
        drop_caches();
    }
    let ended = ends(&log);
    let mut daemon = Daemon::start(root, "ossec-syscheckd", Some(round.cores));
    let start = Instant::now();
    while ends(&log) == ended {
        assert!(start.elapsed() < Duration::from_secs(900), "the scan ends: see {}", log.display());
        thread::sleep(Duration::from_millis(2));
    }
    let (wall, cpu) = (start.elapsed().as_secs_f64(), daemon.cpu_with_ended_threads());
    let peak_mib = daemon.peak_kib() as f64 / 1024.0;
    let database = at_rest(&baseline.join("baseline.redb"));
    daemon.stop();
    manager.stop();
    Figures { wall, cpu, peak_mib, database }
}

/// What a file takes on the disk when that has not changed for a while.
fn at_rest(file: &Path) -> u64 {
    let size = || fs::metadata(file).map_or(0, |file| file.blocks() * 512);
    let (start, mut last, mut since) = (Instant::now(), size(), Instant::now());
    while since.elapsed() < Duration::from_secs(3) && start.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(20));
        if size() != last {
            (last, since) = (size(), Instant::now());
        }
    }
    last
}

fn name(round: &Round<'_>) -> String {
    let digests = if round.all_digests { "md5+sha1+sha256" } else { "sha256" };
    let cold = if round.cold { ", cold" } else { "" };
    format!("{}, {digests}, core(s) {}{cold}", round.tree.name, round.cores)
}

fn say(round: &Round<'_>, pass: &str, figures: &Figures, target: &str) {
    println!("| {}: {pass} | {} | {target} |", name(round), describe(round, figures));
}

fn say_peer(
    round: &Round<'_>,
    peer: &str,
    pass: &str,
    figures: Option<Figures>,
    mine: &[(&str, Figures)],
) {
    let Some(figures) = figures else {
        return println!("| {}: {peer}, {pass} | it failed | |", name(round));
    };
    let ratios = mine.iter().map(|(pass, mine)| {
        let (wall, cpu) = (figures.wall / mine.wall, figures.cpu / mine.cpu);
        format!("{wall:.1}x wall, {cpu:.1}x CPU of ours, {pass}")
    });
    let ratios = ratios.collect::<Vec<_>>().join("; ");
    println!("| {}: {peer}, {pass} | {} | {ratios} |", name(round), describe(round, &figures));
}

fn describe(round: &Round<'_>, figures: &Figures) -> String {
    let &Figures { wall, cpu, peak_mib, database } = figures;
    let (files, bytes) = (round.tree.files as f64, round.tree.bytes as f64);
    format!(
        "{wall:.2} s, CPU {cpu:.2} s ({:.0} %), peak {peak_mib:.1} MiB, {:.0} files/s, {:.2} GB/s, database {:.0} bytes a file",
        100.0 * cpu / wall,
        files / wall,
        bytes / wall / 1e9,
        database as f64 / files
    )
}

/// Scans that have ended, by the log.
fn ends(log: &Path) -> usize {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.matches("Ending syscheck scan").count()
}

/// `false` where it is not permitted.
fn drop_caches() -> bool {
    let _ = Command::new("sync").status();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}
