//! What scans find.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Instant;

use settings::TimeOfDay;
use syscheckd::schedule::Moment;

use crate::bench::{Bench, PATIENCE, moment, names, turn_until};
use crate::killed::spawn_child_by;

#[test]
fn the_first_scan_tells_every_file_once_between_its_marks() {
    let bench = Bench::new(false);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);

    let heard = bench.manager.take();

    assert_eq!(heard.first().unwrap(), "rootcheck: Starting syscheck scan.");
    assert_eq!(heard.len(), 6, "{heard:?}");
    assert_eq!(heard[4..], ["rootcheck: Ending syscheck scan.", "syscheck-db-completed"]);
    let line = heard.iter().find(|line| line.ends_with("/tree/a")).unwrap();
    assert!(line.starts_with("3:33"), "{line}");
    assert!(line.contains(":0:0:f97c5d29941bfb1b2fdab0874906ab82:xxx:7692c3ad3540bb80"), "{line}");
}

#[test]
fn a_scan_tells_what_is_new_changed_and_gone_exactly_once() {
    let bench = Bench::new(false);
    bench.write("d", "moves");
    bench.write("e", "chmod");
    symlink("a", bench.path("link")).unwrap();
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    assert_eq!(bench.told().len(), 6);

    bench.write("new", "new");
    bench.write("a", "changed");
    fs::remove_file(bench.path("c")).unwrap();
    fs::rename(bench.path("d"), bench.path("sub/d")).unwrap();
    fs::set_permissions(bench.path("e"), fs::Permissions::from_mode(0o600)).unwrap();
    bench.scan(&mut watcher);

    let expected = [
        ("new", (1, 0)),
        ("a", (1, 0)),
        ("link", (1, 0)),
        ("c", (0, 1)),
        ("d", (0, 1)),
        ("sub/d", (1, 0)),
        ("e", (1, 0)),
    ];
    assert_eq!(bench.told(), names(&expected));
    bench.scan(&mut watcher);
    assert_eq!(bench.told(), names(&[]));
    let counts = watcher.counts();
    assert_eq!(counts.received, counts.filtered + counts.forwarded + counts.pending);
}

#[test]
fn a_file_that_comes_back_as_it_was_is_told() {
    let bench = Bench::new(false);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();
    fs::remove_file(bench.path("c")).unwrap();
    bench.scan(&mut watcher);
    bench.write("c", "three");
    bench.scan(&mut watcher);
    assert_eq!(bench.told(), names(&[("c", (1, 1))]));
}

#[test]
fn odd_names_and_special_files_are_handled() {
    let bench = Bench::new(false);
    bench.write("new\nline", "1");
    bench.write("with space", "2");
    let fifo = bench.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    symlink("/", bench.path("link-to-folder")).unwrap();
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    let told = bench.told();
    assert_eq!(told.len(), 6, "{told:?}");
    for name in ["new\\012line", "with space", "link-to-folder"] {
        assert_eq!(told.get(name), Some(&(1, 0)), "{name} in {told:?}");
    }
}

#[test]
fn a_restart_tells_only_differences() {
    let bench = Bench::new(false);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();
    // Dropped as it is, which writes nothing: as after a kill.
    drop(watcher);
    bench.write("a", "changed");
    fs::remove_file(bench.path("c")).unwrap();

    let mut watcher = bench.start();
    bench.settle(&mut watcher);

    assert_eq!(bench.told(), names(&[("a", (1, 0)), ("c", (0, 1))]));
}

#[test]
fn a_time_of_day_begins_a_scan_and_a_search_by_rootcheck() {
    let mut bench = Bench::new(false);
    bench.syscheck.scan_time = TimeOfDay::parse("12:30");
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    assert!(!watcher.take_run_asked());
    let end = Instant::now() + PATIENCE;
    while watcher.counts().scans < 2 {
        assert!(Instant::now() < end, "no scan at 12:31");
        watcher.turn(&Moment { time: TimeOfDay { hour: 12, minute: 31 }, ..moment() });
        watcher.wait(None);
    }
    assert!(watcher.take_run_asked());
}

#[test]
fn a_reload_forgets_what_is_no_longer_watched_and_tells_what_is_new() {
    let mut bench = Bench::new(false);
    let mut watcher = bench.start();
    bench.settle(&mut watcher);
    bench.told();
    bench.syscheck.directories[0].path = bench.path("sub");
    bench.write("sub/new", "x");
    watcher.reload(&bench.syscheck, &moment()).unwrap();
    turn_until(&mut watcher, |watcher| watcher.counts().scans == 2 && watcher.is_idle());
    // Its manager is to forget the others, in silence.
    let silent = [("a\n@options\n", (0, 1)), ("c\n@options\n", (0, 1)), ("sub/new", (1, 0))];
    assert_eq!(bench.told(), names(&silent));
    turn_until(&mut watcher, |watcher| watcher.counts().files == 2);
}

#[test]
fn a_reload_in_the_middle_of_a_scan_begins_anew() {
    let bench = Bench::new(false);
    let mut watcher = bench.start();
    turn_until(&mut watcher, |watcher| watcher.counts().received > 0);
    watcher.reload(&bench.syscheck, &moment()).unwrap();
    bench.settle(&mut watcher);
    assert_eq!(bench.told(), names(&[("a", (1, 0)), ("c", (1, 0)), ("sub/b", (1, 0))]));
}

#[test]
fn a_mounted_view_of_the_kernel_is_not_entered() {
    let bench = Bench::new(false);
    fs::create_dir_all(bench.path("proc")).unwrap();
    fs::create_dir_all(bench.path("zz")).unwrap();
    bench.write("proc/under", "hidden by the mount");
    bench.write("zz/last", "behind it");
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", "mount -t proc proc \"$0\" && exec \"$@\""]);
    unshare.arg(bench.path("proc")).arg(std::env::current_exe().unwrap());
    let Some(mut child) = spawn_child_by(unshare, &bench, false) else {
        return println!("skipped: a mount in a namespace is not permitted here");
    };
    let end = Instant::now() + PATIENCE;
    let mut told = Vec::new();
    while !told.iter().any(|name| name == "zz/last") {
        assert!(Instant::now() < end, "{told:?}");
        told.extend(bench.told().into_keys());
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!told.iter().any(|name| name.starts_with("proc/")), "{told:?}");
}
