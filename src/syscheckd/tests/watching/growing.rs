//! Logs that may grow: `growing="yes"`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use settings::CheckOptions;
use syscheckd::watcher::Watcher;

use crate::bench::{Bench, turn_until};

fn bench(realtime: bool) -> Bench {
    let growing = CheckOptions {
        size: true,
        perm: true,
        sha256: true,
        growing: true,
        realtime,
        ..CheckOptions::default()
    };
    Bench::with(growing)
}

fn append(bench: &Bench, text: &str) {
    let mut file = OpenOptions::new().append(true).open(bench.path("a")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// What was said of the log since the last call: `grown`, or how it was told.
fn said(bench: &Bench) -> Vec<String> {
    let name = format!(" {}", bench.path("a").display());
    let heard = bench.manager.take();
    let of_log = heard.iter().filter_map(|message| {
        let (sum, behind) = message.split_once(&name)?;
        Some(match behind.trim_start_matches('\n') {
            "@grown\n" => "grown".to_owned(),
            "" if sum == "-1" => "gone".to_owned(),
            "" => "changed".to_owned(),
            other => other.to_owned(),
        })
    });
    of_log.collect()
}

fn started(bench: &Bench) -> Watcher {
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.manager.take();
    watcher
}

#[test]
fn growth_is_followed_in_silence_and_all_else_is_told() {
    let bench = bench(false);
    let mut watcher = started(&bench);
    append(&bench, " and a line more");
    bench.scan(&mut watcher);
    assert_eq!(said(&bench), ["grown"]);

    bench.scan(&mut watcher);
    assert_eq!(said(&bench), [""; 0]);

    fs::write(bench.path("a"), "ONE and a line more, and yet another one").unwrap();
    bench.scan(&mut watcher);
    assert_eq!(said(&bench), ["changed"], "what was there before is another");

    append(&bench, " and more");
    fs::set_permissions(bench.path("a"), fs::Permissions::from_mode(0o666)).unwrap();
    bench.scan(&mut watcher);
    assert_eq!(said(&bench), ["changed"], "its mode has changed, too");

    // The manager asks now and then.
    drop(watcher);
    let mut watcher = started(&bench);
    fs::write(bench.path("a"), "").unwrap();
    bench.scan(&mut watcher);
    assert_eq!(said(&bench), ["changed"], "it shrank");

    append(&bench, "a first line after the rotation");
    bench.scan(&mut watcher);
    assert_eq!(said(&bench), ["grown"]);
}

#[test]
fn growth_that_an_event_tells_of_is_followed_too() {
    let bench = bench(true);
    let mut watcher = started(&bench);
    append(&bench, " and a line more");
    let mut heard = Vec::new();
    turn_until(&mut watcher, |_| {
        heard.extend(said(&bench));
        !heard.is_empty()
    });
    assert_eq!(heard, ["grown"]);
    fs::write(bench.path("b"), "one").unwrap();
    fs::rename(bench.path("b"), bench.path("a")).unwrap();
    // Once a minute: a scan is sooner.
    fs::write(bench.root().join("var/run/.syscheck_run"), "now").unwrap();
    heard.clear();
    turn_until(&mut watcher, |_| {
        heard.extend(said(&bench));
        !heard.is_empty()
    });
    assert_eq!(heard, ["changed"]);
}

#[test]
fn a_manager_that_is_none_of_ours_hears_nothing_of_growth() {
    let bench = bench(false);
    let mut watcher = started(&bench);
    // It asks nothing.
    for _ in 0..3 {
        bench.scan(&mut watcher);
    }
    append(&bench, " and a line more");
    bench.scan(&mut watcher);
    assert_eq!(said(&bench), [""; 0]);
    fs::write(bench.path("a"), "another").unwrap();
    bench.scan(&mut watcher);
    assert_eq!(said(&bench), ["changed"]);
}
