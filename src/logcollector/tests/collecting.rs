//! The daemon from outside: real files, the real program, a consumer on the acknowledged queue.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::{Host, copytruncate, localfile, wait_for};

fn syslog(location: &str) -> String {
    localfile("syslog", location)
}

/// A host whose daemon watches `{logs}/log`, which has one old line.
fn watching() -> Host {
    let mut host = Host::new(&syslog("{logs}/log"));
    host.append("log", "old\n");
    host.consume();
    host.start();
    host
}

fn numbered(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("line {n} of the numbered ones\n")).collect()
}

fn assert_complete(lines: &[String], upto: usize) {
    let expected: Vec<String> = numbered(0..upto).lines().map(str::to_owned).collect();
    let mut sorted = lines.to_vec();
    sorted.sort_by_key(|line| line.split(' ').nth(1).and_then(|n| n.parse::<usize>().ok()));
    let wrong = sorted.iter().zip(&expected).find(|(got, expected)| got != expected);
    assert_eq!(wrong, None, "{} lines instead of {upto}", lines.len());
    assert_eq!(lines.len(), upto);
}

#[test]
fn a_first_start_begins_at_the_end_and_a_line_arrives_within_milliseconds() {
    let host = watching();
    let started = Instant::now();
    host.append("log", "new\n");
    assert_eq!(host.wait_for_lines("log", 1), ["new"]);
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
}

#[test]
fn a_partial_line_waits_until_it_is_complete() {
    let host = watching();
    host.append("log", "PARTIAL-first-half");
    host.append("log", " -second-half\nnext\n");
    assert_eq!(host.wait_for_lines("log", 2), ["PARTIAL-first-half -second-half", "next"]);
}

#[test]
fn hostile_bytes_pass_in_pieces() {
    let host = watching();
    host.append("log", [&vec![b'L'; 1 << 20][..], b"\na\0b\n\xff\n"].concat());
    let pieces = (1_usize << 20).div_ceil(5887);
    let lines = host.wait_for_lines("log", pieces + 2);
    assert_eq!(lines[..pieces].iter().map(String::len).sum::<usize>(), 1 << 20);
    assert_eq!(lines[pieces..], ["a b", "\u{fffd}"]);
}

#[test]
fn rotation_by_rename_loses_nothing_however_quick() {
    let host = watching();
    let log = host.log("log");
    for round in 0..5 {
        host.append("log", numbered(round * 10..round * 10 + 10));
        for older in (1..5).rev() {
            let _ = fs::rename(
                host.log(&format!("log.{older}")),
                host.log(&format!("log.{}", older + 1)),
            );
        }
        fs::rename(&log, host.log("log.1")).unwrap();
        fs::write(&log, "").unwrap();
    }
    host.append("log", numbered(50..60));
    assert_complete(&host.wait_for_lines("log", 60), 60);
    let announced = format!("ossec: File rotated (inode changed): '{}'.", log.display());
    assert!(
        host.got()
            .iter()
            .any(|got| got.location == "ossec-logcollector" && got.payload == announced)
    );
}

#[test]
fn what_is_written_to_the_old_file_after_a_rename_counts() {
    let host = watching();
    fs::rename(host.log("log"), host.log("log.1")).unwrap();
    host.append("log.1", "late line in old file\n");
    host.append("log", "in new file\n");
    host.append("log.1", "very late\n");
    let mut lines = host.wait_for_lines("log", 3);
    lines.sort();
    assert_eq!(lines, ["in new file", "late line in old file", "very late"]);
}

#[test]
fn copytruncate_loses_nothing_that_was_copied() {
    let host = watching();
    for round in 0..4 {
        host.append("log", numbered(round * 100..round * 100 + 100));
        copytruncate(&host.log("log"), &host.log(&format!("log-2026112{round}")));
    }
    host.append("log", numbered(400..410));
    assert_complete(&host.wait_for_lines("log", 410), 410);
    let announced =
        format!("ossec: File size reduced (inode remained): '{}'.", host.log("log").display());
    assert!(host.got().iter().any(|got| got.payload == announced));
}

#[test]
fn killed_at_any_moment_it_repeats_nothing_and_loses_nothing() {
    let mut host = watching();
    let mut written = 0;
    for round in 0..12 {
        host.append("log", numbered(written..written + 2000));
        written += 2000;
        match round % 4 {
            0 => wait_for("some progress", || !host.lines("log").is_empty()),
            1 => wait_for("more progress", || host.lines("log").len() + 1500 > written),
            _ => {}
        }
        host.kill();
        host.append("log", numbered(written..written + 10));
        written += 10;
        if round % 3 == 0 {
            fs::rename(host.log("log"), host.log(&format!("log.{round}"))).unwrap();
            fs::write(host.log("log"), "").unwrap();
        }
        if round % 3 == 1 {
            copytruncate(&host.log("log"), &host.log(&format!("log.{round}")));
        }
        host.append("log", numbered(written..written + 10));
        written += 10;
        host.start();
    }
    let lines = host.wait_for_lines("log", written);
    assert_complete(&lines, written);
}

/// As long as `OXSEC_STRESS` says (seconds), by default a moment; `OXSEC_SEED` varies it. Writers, rotations of both kinds and kills at once.
#[test]
fn under_kills_and_rotations_at_random_every_line_arrives_once() {
    let setting = |name| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let seconds = setting("OXSEC_STRESS").unwrap_or(3);
    let mut host = watching();
    let (end, mut seed, mut written, mut rotation) = (
        Instant::now() + Duration::from_secs(seconds),
        setting("OXSEC_SEED").unwrap_or(0x2545_f491),
        0,
        0,
    );
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    while Instant::now() < end {
        let count = random(3000) as usize;
        host.append("log", numbered(written..written + count));
        written += count;
        match random(8) {
            0 => {
                rotation += 1;
                fs::rename(host.log("log"), host.log(&format!("log.{rotation}"))).unwrap();
                fs::write(host.log("log"), "").unwrap();
            }
            1 => {
                rotation += 1;
                copytruncate(&host.log("log"), &host.log(&format!("log.{rotation}")));
            }
            2 => {
                host.kill();
                if random(2) == 0 {
                    host.append("log", numbered(written..written + 7));
                    written += 7;
                }
                host.start();
            }
            3 => {
                let enough = written.saturating_sub(random(4000) as usize);
                wait_for("some progress", || host.lines("log").len() >= enough);
            }
            _ => {}
        }
    }
    assert_complete(&host.wait_for_lines("log", written), written);
}

#[test]
fn rotated_twice_while_it_was_down_it_reads_all_generations() {
    let mut host = watching();
    host.append("log", numbered(0..5));
    host.wait_for_lines("log", 5);
    assert_eq!(host.stop(), 0);
    host.append("log", numbered(5..10));
    fs::rename(host.log("log"), host.log("log.2")).unwrap();
    host.append("log.1", numbered(10..15));
    host.append("log", numbered(15..20));
    host.start();
    let expected: Vec<String> = numbered(0..20).lines().map(str::to_owned).collect();
    assert_eq!(host.wait_for_lines("log", 20), expected, "in their order");
}

#[test]
fn while_the_queue_is_gone_the_file_is_the_buffer() {
    let mut host = watching();
    host.append("log", numbered(0..10));
    host.wait_for_lines("log", 10);
    host.stop_consuming();
    host.append("log", numbered(10..100_000));
    host.consume();
    assert_complete(&host.wait_for_lines("log", 100_000), 100_000);
}

#[test]
fn files_and_folders_that_appear_later_are_read_from_their_start() {
    let mut host = Host::new(&(syslog("{logs}/new/*.log") + &syslog("{logs}/late")));
    host.consume();
    host.start();
    host.append("late", "late one\n");
    fs::create_dir(host.log("new")).unwrap();
    host.append("new/a.log", "a one\n");
    host.append("new/b.log", "b one\n");
    assert_eq!(host.wait_for_lines("late", 1), ["late one"]);
    assert_eq!(host.wait_for_lines("new/a.log", 1), ["a one"]);
    assert_eq!(host.wait_for_lines("new/b.log", 1), ["b one"]);
}

#[test]
fn a_pattern_that_matches_rotated_files_too_reads_nothing_twice() {
    let mut host = Host::new(&syslog("{logs}/log*"));
    host.append("log", "old\n");
    host.consume();
    host.start();
    host.append("log", numbered(0..20));
    host.wait_for_lines("log", 20);
    fs::rename(host.log("log"), host.log("log.1")).unwrap();
    host.append("log", numbered(20..40));
    host.wait_for_lines("log", 40);
    fs::rename(host.log("log.1"), host.log("log.2")).unwrap();
    copytruncate(&host.log("log"), &host.log("log.1"));
    host.append("log", numbered(40..60));
    host.wait_for_lines("log", 60);
    let all = host.got().into_iter().filter(|got| got.payload.starts_with("line ")).count();
    assert_eq!(all, 60, "rotated files are not read again");
}

#[test]
fn a_file_that_vanishes_is_missed_once_and_found_again() {
    let host = watching();
    fs::remove_file(host.log("log")).unwrap();
    wait_for("the complaint", || host.said().contains("(1103): ERROR: Could not open file"));
    host.append("log", "back\n");
    assert_eq!(host.wait_for_lines("log", 1), ["back"]);
    assert_eq!(host.said().matches("(1103)").count(), 1);
}

#[test]
fn a_reload_takes_files_on_and_off_and_keeps_positions() {
    let mut host = watching();
    host.append("log", "one\n");
    host.wait_for_lines("log", 1);
    host.append("other", "old\n");
    host.configure(&(syslog("{logs}/log") + &syslog("{logs}/other")));
    host.append("log", "two\n");
    host.signal("-HUP");
    wait_for("the reload", || host.said().contains("Configuration read again."));
    host.append("other", "new\n");
    host.append("log", "three\n");
    assert_eq!(host.wait_for_lines("log", 3), ["one", "two", "three"]);
    assert_eq!(host.wait_for_lines("other", 1), ["new"]);

    host.configure(&(localfile("multi-line:2", "{logs}/log") + &syslog("{logs}/other")));
    host.signal("-HUP");
    wait_for("the second reload", || host.said().matches("Configuration read again.").count() == 2);
    host.append("log", "a\nb\n");
    assert_eq!(host.wait_for_lines("log", 4)[3], "a b");

    host.configure("<localfile><nonsense/></localfile>");
    host.signal("-HUP");
    wait_for("the refusal", || host.said().contains("was not taken on"));
    host.append("log", "four\nfive\n");
    host.wait_for_lines("log", 5);
    assert_eq!(host.stop(), 0);
}

#[test]
fn the_accounts_balance() {
    let mut host = Host::new(&(localfile("json", "{logs}/j") + &localfile("audit", "{logs}/a")));
    for name in ["j", "a"] {
        host.append(name, "");
    }
    host.consume();
    host.start();
    host.append("j", "{}\n\n{}\nplain\n");
    host.append("a", "type=A msg=audit(1:2): x\nnoise\ntype=A msg=audit(1:3): y\n");
    host.wait_for_lines("j", 3);
    host.wait_for_lines("a", 2);
    assert_eq!(host.stop(), 0);
    let accounts = host.accounts();
    let value =
        |key: &str| accounts.iter().find(|(name, _)| name == key).map(|(_, value)| *value).unwrap();
    assert_eq!(value("received"), 7);
    assert_eq!(value("forwarded"), 5);
    assert_eq!((value("filtered"), value("dropped_malformed"), value("pending")), (1, 1, 0));
}

#[test]
fn only_future_events_forgets_what_happened_while_it_was_down() {
    let section = "<localfile><log_format>syslog</log_format><location>{logs}/log</location><only-future-events>yes</only-future-events></localfile>";
    let mut host = Host::new(section);
    host.append("log", "old\n");
    host.consume();
    host.start();
    host.append("log", "one\n");
    host.wait_for_lines("log", 1);
    host.stop();
    host.append("log", "while down\n");
    host.start();
    host.append("log", "two\n");
    assert_eq!(host.wait_for_lines("log", 2), ["one", "two"]);
}

#[test]
fn a_damaged_journal_is_recovered_with_a_warning() {
    let mut host = watching();
    host.append("log", "one\n");
    host.wait_for_lines("log", 1);
    host.kill();
    let positions = host.root().join("queue/logcollector/positions");
    support::append(&positions, b"marks 1 9999 garbage");
    host.append("log", "two\n");
    host.start();
    assert_eq!(host.wait_for_lines("log", 2), ["one", "two"]);
    assert!(host.said().contains("bytes are damaged"), "{}", host.said());
}

#[test]
fn an_idle_collector_uses_no_time() {
    let host = watching();
    host.append("log", "one\n");
    host.wait_for_lines("log", 1);
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
        let line =
            status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = switches();
    std::thread::sleep(Duration::from_secs(2));
    assert!(switches() - before < 20, "it wakes up without a reason");
}

#[test]
fn nothing_to_do_is_said_and_it_stays() {
    let mut host = Host::new("");
    host.consume();
    host.start();
    assert!(host.said().contains("ossec-logcollector(1905): INFO: No file configured to monitor."));
    assert_eq!(host.stop(), 0);
}
