//! Scans of `ossec-syscheckd`: a first one, one that finds nothing changed by the look of it, one that reads all again.
//!
//! "small" are 100,000 files of 4 KiB in 100 folders, "big" 2 GiB in 8 files (left out where there is no room). The daemon runs on one core
//! without a budget, analysisd on the other takes its messages. Wall clock is from readiness to the end of the scan; quote CPU first. Last the
//! standard budget, 5 percent of a core.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, write};

const SMALL: usize = 100_000;
const BIG: usize = 8;
const BIG_BYTES: usize = 256 << 20;

/// One way to scan.
struct Way {
    name: &'static str,
    digests: &'static str,
    settings: &'static str,
    /// Begins with an empty baseline.
    first: bool,
    target: &'static str,
}

const SHA256: &str = "check_sha256sum=\"yes\"";
const ALL: &str = "check_all=\"yes\"";
const FREE: &str = "<max_cpu>0</max_cpu>";
const AGAIN: &str = "<max_cpu>0</max_cpu><rehash>always</rehash>";

/// Measures both trees below `folder`, which is removed again.
pub fn scans(root: &Path, folder: &Path) {
    write(&root.join("etc/local_internal_options.conf"), "syscheck.sleep=0\n");
    let small = small_tree(&folder.join("small"));
    let ways = [
        way("first", SHA256, FREE, true, "<= 1.5 s"),
        way("unchanged, by the look of it", SHA256, FREE, false, "<= 0.4 s"),
        way("unchanged, all read", SHA256, AGAIN, false, "<= 1.5 s"),
        way(
            "unchanged, all read, standard budget",
            SHA256,
            "<rehash>always</rehash>",
            false,
            "<= 120 s, < 10 %",
        ),
    ];
    for way in &ways {
        measure(root, "small", &small, SMALL, way);
    }
    let _ = fs::remove_dir_all(&small);
    let Some(big) = big_tree(&folder.join("big")) else {
        println!("| big | no room in {} | |", folder.display());
        return;
    };
    let ways = [
        way("first, sha256", SHA256, FREE, true, ">= 1.0 GB/s a core"),
        way("all read, sha256", SHA256, AGAIN, false, ">= 1.0 GB/s a core"),
        way("first, md5+sha1+sha256", ALL, FREE, true, ">= 0.28 GB/s a core"),
    ];
    for way in &ways {
        measure(root, "big", &big, BIG, way);
    }
    let _ = fs::remove_dir_all(&big);
}

fn way(
    name: &'static str,
    digests: &'static str,
    settings: &'static str,
    first: bool,
    target: &'static str,
) -> Way {
    Way { name, digests, settings, first, target }
}

fn measure(root: &Path, tree: &str, folder: &Path, files: usize, way: &Way) {
    let (digests, folder, settings) = (way.digests, folder.display(), way.settings);
    let conf = format!(
        "<ossec_config><rootcheck><disabled>yes</disabled></rootcheck><syscheck><frequency>86400</frequency>\
         <directories {digests}>{folder}</directories>{settings}</syscheck></ossec_config>\n"
    );
    write(&root.join("etc/ossec.conf"), &conf);
    let baseline = root.join("queue/syscheckd");
    if way.first {
        for file in fs::read_dir(&baseline).into_iter().flatten().flatten() {
            let _ = fs::remove_file(file.path());
        }
    }
    let log = root.join("logs/ossec.log");
    let manager = Daemon::start(root, "ossec-analysisd", Some("1"));
    let ended = ends(&log);
    let mut daemon = Daemon::start(root, "ossec-syscheckd", Some("0"));
    let start = Instant::now();
    while ends(&log) == ended {
        assert!(start.elapsed() < Duration::from_secs(900), "the scan ends: see {}", log.display());
        thread::sleep(Duration::from_millis(2));
    }
    let (wall, cpu) = (start.elapsed().as_secs_f64(), daemon.cpu_seconds());
    let peak = daemon.peak_kib() as f64 / 1024.0;
    daemon.stop();
    manager.stop();
    let bytes = fs::metadata(baseline.join("baseline.redb")).map_or(0, |file| file.len());
    let speed = if tree == "big" {
        let bytes = (BIG * BIG_BYTES) as f64;
        format!("{:.2} GB/s of wall, {:.2} of CPU", bytes / wall / 1e9, bytes / cpu / 1e9)
    } else {
        format!(
            "{:.0} files/s, {} bytes of database a file",
            files as f64 / wall,
            bytes / files as u64
        )
    };
    println!(
        "| {tree}, {} | {wall:.2} s, CPU {cpu:.2} s ({:.0} %), peak {peak:.1} MiB, {speed} | {} |",
        way.name,
        100.0 * cpu / wall,
        way.target
    );
}

/// Scans that have ended, by the log.
fn ends(log: &Path) -> usize {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.matches("Ending syscheck scan").count()
}

fn small_tree(folder: &Path) -> PathBuf {
    for n in 0..SMALL {
        let parent = folder.join(format!("d{:02}", n % 100));
        if n < 100 {
            fs::create_dir_all(&parent).expect("a folder for files");
        }
        let mut content = format!("{n:09}").repeat(456);
        content.truncate(4096);
        fs::write(parent.join(format!("f{n:06}")), content).expect("room for 400 MB");
    }
    folder.to_path_buf()
}

/// `None` where there is no room for it.
fn big_tree(folder: &Path) -> Option<PathBuf> {
    fs::create_dir_all(folder).ok()?;
    let mut block = vec![0; 1 << 20];
    let mut state = 1_u64;
    for n in 0..BIG {
        let mut file = File::create(folder.join(format!("f{n}"))).ok()?;
        for _ in 0..BIG_BYTES / block.len() {
            for chunk in block.chunks_exact_mut(8) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                chunk.copy_from_slice(&state.to_le_bytes());
            }
            if file.write_all(&block).is_err() {
                let _ = fs::remove_dir_all(folder);
                return None;
            }
        }
    }
    Some(folder.to_path_buf())
}
