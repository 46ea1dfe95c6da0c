//! Tests of the store's behaviour on a folder of its own.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const A: &str = "4:33188:0:0:aa:bb:cc";
const B: &str = "5:33188:0:0:dd:ee:ff";
const C: &str = "6:33188:0:0:11:22:33";

struct Bench {
    folder: tempfile::TempDir,
    store: FimStore,
    now: i64,
}

impl Bench {
    fn new(auto_ignore: bool, alert_new_files: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = Policy {
            auto_ignore,
            alert_new_files,
            alert_first_scan: true,
            ignore: vec![b"/ignored".to_vec()],
            ..Policy::default()
        };
        let store = FimStore::open(folder.path(), policy).unwrap();
        Self { folder, store, now: 1000 }
    }

    fn send(&mut self, message: &str) -> Outcome {
        self.now += 1;
        self.store.process(b"syscheck", message.as_bytes(), self.now).unwrap()
    }

    fn file(&mut self, sum: &str) -> Outcome {
        self.send(&format!("{sum} /etc/x"))
    }

    fn kind(&mut self, sum: &str) -> FimKind {
        match self.file(sum) {
            Outcome::Event(event) => event.kind,
            other => panic!("no event: {other:?}"),
        }
    }

    fn flushed(&mut self) -> String {
        self.store.flush().unwrap();
        fs::read_to_string(self.folder.path().join("syscheck")).unwrap()
    }

    /// As after a kill: only what is on disk is left.
    fn restart(&mut self) {
        let policy = self.store.policy.clone();
        self.store = FimStore::open(self.folder.path(), policy).unwrap();
    }
}

fn swallowed(reason: Reason) -> Outcome {
    Outcome::Swallowed(reason)
}

#[test]
fn a_file_is_new_then_unchanged_then_changed() {
    let mut bench = Bench::new(false, true);
    assert_eq!(bench.kind(A), FimKind::New);
    assert_eq!(bench.file(A), swallowed(Reason::Unchanged));
    assert_eq!(bench.kind(B), FimKind::Changed);
    assert_eq!(bench.flushed(), format!("#++{A} !1001 /etc/x\n!++{B} !1003 /etc/x\n"));
}

#[test]
fn superseded_lines_in_the_file_are_struck_out_in_place() {
    let mut bench = Bench::new(false, false);
    assert_eq!(bench.file(A), swallowed(Reason::NewFile));
    assert_eq!(bench.flushed(), format!("+++{A} !1001 /etc/x\n"));
    bench.kind(B);
    assert_eq!(bench.flushed(), format!("#++{A} !1001 /etc/x\n!++{B} !1002 /etc/x\n"));
}

#[test]
fn after_three_changes_auto_ignore_says_nothing_more() {
    let mut bench = Bench::new(true, false);
    bench.file(A);
    assert_eq!(bench.kind(B), FimKind::Changed);
    assert_eq!(bench.kind(C), FimKind::ChangedAgain);
    assert_eq!(bench.kind(A), FimKind::ChangedThird);
    assert_eq!(bench.file(B), swallowed(Reason::AutoIgnored));
    assert!(bench.flushed().ends_with(&format!("!!!{A} !1004 /etc/x\n")));
}

#[test]
fn a_file_that_changes_often_is_told_again_once_it_was_quiet() {
    let mut bench = Bench::new(true, false);
    bench.store.policy.often = 100;
    let mut often = |after: i64, sum: &str| {
        bench.now += after;
        match bench.file(sum) {
            Outcome::Event(event) => (event.kind, event.often),
            other => panic!("no event: {other:?}"),
        }
    };
    assert_eq!(often(0, "-1"), (FimKind::Deleted, false));
    assert_eq!(often(0, A), (FimKind::ReAdded, false));
    assert_eq!(often(0, B), (FimKind::ChangedAgain, false));
    assert_eq!(often(0, C), (FimKind::ChangedThird, false));
    assert_eq!(often(0, A), (FimKind::ChangedThird, true));
    assert_eq!(often(98, "-1"), (FimKind::Deleted, true));
    assert_eq!(often(99, A), (FimKind::ReAdded, false), "quiet for so long");
    assert_eq!(often(0, B), (FimKind::ChangedThird, true));
    assert!(bench.flushed().ends_with(&format!("!!?{B} !1205 /etc/x\n")), "the baseline follows");
}

#[test]
fn without_auto_ignore_the_counter_stops_at_more_than_three() {
    let mut bench = Bench::new(false, false);
    bench.file(A);
    for sum in [B, C, A, B, C] {
        assert_eq!(bench.kind(sum), FimKind::Changed);
    }
    assert!(bench.flushed().ends_with(&format!("!!?{C} !1006 /etc/x\n")));
}

#[test]
fn a_deleted_file_that_comes_back_is_re_added() {
    let mut bench = Bench::new(true, false);
    bench.file(A);
    assert_eq!(bench.kind("-1"), FimKind::Deleted);
    assert_eq!(bench.file("-1"), swallowed(Reason::Unchanged));
    assert_eq!(bench.kind(A), FimKind::ReAdded);
    assert!(bench.flushed().ends_with(&format!("#++-1 !1002 /etc/x\n!!+{A} !1004 /etc/x\n")));
}

#[test]
fn the_deletion_of_a_file_that_was_never_seen_is_told_once() {
    let mut bench = Bench::new(true, false);
    assert_eq!(bench.kind("-1"), FimKind::Deleted);
    assert_eq!(bench.file("-1"), swallowed(Reason::Unchanged));
}

#[test]
fn placeholders_are_filled_in_silently() {
    let mut bench = Bench::new(true, false);
    bench.file("4:33188:0:0:xxx:bb:cc");
    assert_eq!(bench.file(A), swallowed(Reason::OnlyPlaceholders));
    assert_eq!(bench.file(A), swallowed(Reason::Unchanged));
    assert!(bench.flushed().ends_with(&format!("+++{A} !1002 /etc/x\n")));
}

#[test]
fn ignored_prefixes_count_whatever_their_case() {
    let mut bench = Bench::new(true, true);
    assert_eq!(bench.send(&format!("{A} /IGNORED/x")), swallowed(Reason::IgnoredPath));
    assert_eq!(bench.store.dirty.len(), 0);
}

#[test]
fn a_completed_scan_leaves_its_marker() {
    let mut bench = Bench::new(true, true);
    assert_eq!(bench.send("syscheck-db-completed"), swallowed(Reason::ScanCompleted));
    bench.flushed();
    let marker = bench.folder.path().join(".syscheck.cpt");
    assert_eq!(fs::read(&marker).unwrap(), b"#!X");
    assert_eq!(fs::metadata(marker).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn an_event_that_comes_again_after_a_kill_gives_no_second_alert() {
    let mut bench = Bench::new(true, true);
    bench.kind(A);
    bench.kind(B);
    bench.flushed();
    bench.restart();
    assert_eq!(bench.file(B), swallowed(Reason::Unchanged));
}

#[test]
fn an_event_that_was_not_flushed_is_told_after_a_kill() {
    let mut bench = Bench::new(true, true);
    bench.kind(A);
    bench.flushed();
    bench.kind(B);
    bench.restart();
    assert_eq!(bench.kind(B), FimKind::Changed);
}

#[test]
fn a_torn_last_line_is_dropped_and_doubles_are_struck_out() {
    let mut bench = Bench::new(true, false);
    let torn = format!("+++{A} !1 /etc/x\n!++{B} !2 /etc/x\n+++{C} !3 /etc/hal");
    fs::write(bench.folder.path().join("syscheck"), torn).unwrap();
    assert_eq!(bench.file(B), swallowed(Reason::Unchanged));
    assert_eq!(bench.kind(C), FimKind::ChangedAgain);
    assert_eq!(
        bench.flushed(),
        format!("#++{A} !1 /etc/x\n#++{B} !2 /etc/x\n!!+{C} !1002 /etc/x\n")
    );
}

#[test]
fn lines_without_a_time_and_unreadable_ones_are_lived_with() {
    let mut bench = Bench::new(true, false);
    let long = "x".repeat(300_000);
    let old = format!("+++{A} /etc/x\njunk\n\n+++\n{long}\n#++{B} !1 /etc/y\n+++{B} !2 /etc/z z\n");
    fs::write(bench.folder.path().join("syscheck"), &old).unwrap();
    assert_eq!(bench.file(A), swallowed(Reason::Unchanged));
    assert_eq!(bench.send(&format!("{B} /etc/z z")), swallowed(Reason::Unchanged));
    assert_eq!(bench.send(&format!("{B} /etc/y")), swallowed(Reason::NewFile));
    assert_eq!(bench.flushed(), format!("{old}+++{B} !1003 /etc/y\n"));
}

#[test]
fn a_database_that_was_emptied_or_removed_begins_anew() {
    let mut bench = Bench::new(true, false);
    let path = bench.folder.path().join("syscheck");
    bench.file(A);
    bench.flushed();
    fs::write(&path, "").unwrap();
    assert_eq!(bench.file(A), swallowed(Reason::NewFile));
    bench.flushed();
    fs::remove_file(&path).unwrap();
    assert_eq!(bench.file(A), swallowed(Reason::NewFile));
    assert_eq!(bench.flushed(), format!("+++{A} !1003 /etc/x\n"));
}

#[test]
fn a_location_is_one_plain_file_name_or_refused() {
    let mut bench = Bench::new(true, false);
    for location in [&b"../../etc/x"[..], b"/etc/x", b".", b"..", b"a\nb", b"(a) any->syscheck"] {
        let outcome = bench.store.process(location, format!("{A} /x").as_bytes(), 1).unwrap();
        assert_eq!(outcome, swallowed(Reason::NewFile));
    }
    for location in [&b""[..], &[b'x'; 251], &[b'/'; 100]] {
        let outcome = bench.store.process(location, format!("{A} /x").as_bytes(), 1).unwrap();
        assert_eq!(outcome, Outcome::Invalid(Invalid::Location));
    }
    bench.store.flush().unwrap();
    let mut names: Vec<String> = fs::read_dir(bench.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "(a) any->syscheck",
            "\\056",
            "\\056.",
            "\\056.\\057..\\057etc\\057x",
            "\\057etc\\057x",
            "a\\012b"
        ]
    );
}

#[test]
fn a_link_in_the_folder_is_not_followed() {
    let mut bench = Bench::new(true, false);
    let target = bench.folder.path().join("elsewhere");
    fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, bench.folder.path().join("syscheck")).unwrap();
    let error = bench.store.process(b"syscheck", format!("{A} /x").as_bytes(), 1).unwrap_err();
    assert!(error.to_string().starts_with("cannot read integrity database"), "{error}");
    assert_eq!(fs::read(target).unwrap(), b"precious");
}

#[test]
fn more_hosts_than_open_files_keep_their_baselines() {
    let mut bench = Bench::new(true, false);
    let hosts = 3 * MAX_OPEN_FILES;
    for reason in [Reason::NewFile, Reason::Unchanged] {
        for host in 0..hosts {
            let location = format!("(h{host}) any->syscheck");
            let message = format!("{A} /x");
            let outcome = bench.store.process(location.as_bytes(), message.as_bytes(), 1).unwrap();
            assert_eq!(outcome, swallowed(reason));
        }
        bench.store.flush().unwrap();
    }
}

#[test]
fn control_bytes_of_a_path_cannot_break_the_line() {
    let mut bench = Bench::new(true, true);
    let outcome = bench.send(&format!("{A} /a\rb\x1b[2J"));
    let Outcome::Event(event) = outcome else { panic!("{outcome:?}") };
    assert_eq!(event.path, b"/a\\015b\\033[2J");
    assert_eq!(bench.flushed(), format!("+++{A} !1001 /a\\015b\\033[2J\n"));
}

#[test]
fn mutated_messages_and_databases_never_panic() {
    let mut bench = Bench::new(true, true);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % limit as u64).unwrap()
    };
    for round in 0..3_000 {
        let mut message = format!("{A} /etc/x\ndiff").into_bytes();
        let at = below(message.len());
        message[at] = *b"\0\n !#+-:1\xff".get(below(10)).unwrap();
        message.truncate(below(message.len() + 1));
        bench.store.process(b"syscheck", &message, round).unwrap();
        if round % 50 == 0 {
            bench.store.flush().unwrap();
            let path = bench.folder.path().join("syscheck");
            let mut bytes = fs::read(&path).unwrap_or_default();
            if !bytes.is_empty() {
                let at = below(bytes.len());
                bytes[at] = *b"\0\n !#+-:1\xff".get(below(10)).unwrap();
                fs::write(&path, bytes).unwrap();
            }
            bench.restart();
        }
    }
}

#[test]
fn a_first_scan_is_silent_and_later_new_files_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let policy = Policy { alert_new_files: true, ..Policy::default() };
    let record = |n: u32| format!("{n}:33188:0:0:xxx:xxx /srv/file{n}").into_bytes();
    let mut store = FimStore::open(dir.path(), policy.clone()).unwrap();
    assert_eq!(
        store.process(b"syscheck", &record(1), 1).unwrap(),
        Outcome::Swallowed(Reason::NewFile)
    );
    store.process(b"syscheck", b"syscheck-db-completed", 2).unwrap();
    assert!(matches!(store.process(b"syscheck", &record(2), 3).unwrap(), Outcome::Event(_)));
    store.flush().unwrap();
    let mut store = FimStore::open(dir.path(), policy).unwrap();
    assert!(
        matches!(store.process(b"syscheck", &record(3), 4).unwrap(), Outcome::Event(_)),
        "after a restart too"
    );
}

#[test]
fn who_did_it_stands_between_the_attributes_and_the_diff() {
    let mut bench = Bench::new(true, false);
    bench.file(A);
    let said = bench.send(&format!("{B} /etc/x\n@who uid=0 user=root pid=7\n1c1\n< a\n"));
    let Outcome::Event(event) = said else { panic!("{said:?}") };
    let text = String::from_utf8(event.text).unwrap();
    let expected = "'ff'\nChanged by user 'root' (0)\nProcess 7\nWhat changed:\n1c1\n< a\n";
    assert!(text.ends_with(expected), "{text}");
    assert_eq!(event.fields[0], ("who.user", b"root".to_vec()));
    let said = bench.send("-1 /etc/x\n@who auser=eve\n");
    let Outcome::Event(event) = said else { panic!("{said:?}") };
    let text = String::from_utf8(event.text).unwrap();
    assert!(text.ends_with("checksum.\nChanged by login user 'eve'\n"), "{text}");
}

#[test]
fn a_change_of_a_package_is_the_new_baseline_and_is_listed() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["queue/syscheck", "queue/fim-history", "logs"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let mut store = FimStore::open(&root.path().join("queue/syscheck"), Policy::default()).unwrap();
    let mut send = |message: &str| store.process(b"syscheck", message.as_bytes(), 1000).unwrap();
    send(&format!("{A} /bin/x"));
    send("syscheck-db-completed");
    let note = "@package name=openssl old=3.0.1 new=3.0.2\n";
    let said = send(&format!("{B} /bin/x\n{note}"));
    assert_eq!(said, swallowed(Reason::Package));
    assert_eq!(send(&format!("{B} /bin/x\n{note}")), swallowed(Reason::Unchanged));
    assert!(matches!(send(&format!("{C} /bin/x\n@package old=1\n")), Outcome::Event(_)));
    send(&format!("-1 /bin/x\n{note}"));
    send(&format!("{A} /bin/x\n{note}"));
    store.flush().unwrap();
    let log = fs::read_to_string(root.path().join("logs/fim_packages.log")).unwrap();
    let words: Vec<&str> = log.lines().map(|line| line.split(' ').nth(3).unwrap()).collect();
    assert_eq!(words, ["modify", "delete", "new"], "{log}");
    assert!(log.ends_with(" syscheck new /bin/x openssl 3.0.1 -> 3.0.2\n"), "{log}");
    let history = fs::read_to_string(root.path().join("queue/fim-history/syscheck")).unwrap();
    let told: Vec<&str> = history.lines().map(|l| l.split(' ').nth(1).unwrap()).collect();
    assert_eq!(told, ["package", "alert", "package", "package"], "the first scan is no change");
}

#[test]
fn a_file_of_superseded_lines_is_written_anew_and_knows_the_same() {
    let mut bench = Bench::new(false, false);
    let path = bench.folder.path().join("syscheck");
    let mut sums = (0..12_000_u32).map(|n| format!("{n}:33188:0:0:{}:bb:cc", "a".repeat(64)));
    bench.send(&format!("{A} /only once"));
    for sum in sums.by_ref().take(11_000) {
        bench.file(&sum);
    }
    bench.flushed();
    let len = fs::metadata(&path).unwrap().len();
    assert!(len < 300, "{len}");
    assert_eq!(bench.send(&format!("{A} /only once")), swallowed(Reason::Unchanged));
    assert_eq!(bench.kind(&sums.next().unwrap()), FimKind::Changed);
    assert_eq!(bench.flushed().lines().count(), 3);
    bench.restart();
    assert_eq!(bench.send(&format!("{A} /only once")), swallowed(Reason::Unchanged));
    let names: Vec<_> = fs::read_dir(bench.folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn a_log_that_has_grown_is_followed_in_silence_and_its_deletion_is_told() {
    let mut bench = Bench::new(true, false);
    bench.file(A);
    assert_eq!(bench.send(&format!("{B} /etc/x\n@grown\n")), swallowed(Reason::Grown));
    assert_eq!(bench.file(B), swallowed(Reason::Unchanged));
    assert!(bench.flushed().ends_with(&format!("+++{B} !1002 /etc/x\n")));
    assert!(matches!(bench.send("-1 /etc/x\n@grown\n"), Outcome::Event(_)));
}

#[test]
fn what_only_the_hosts_options_make_is_followed_in_silence() {
    let mut bench = Bench::new(true, true);
    bench.send("syscheck-db-completed");
    assert_eq!(bench.send(&format!("{A} /etc/x\n@options\n")), swallowed(Reason::Options));
    assert_eq!(bench.send(&format!("{B} /etc/x\n@options\n")), swallowed(Reason::Options));
    assert_eq!(bench.file(B), swallowed(Reason::Unchanged));
    assert_eq!(bench.send("-1 /etc/x\n@options\n"), swallowed(Reason::Options));
    assert_eq!(bench.send(&format!("{A} /etc/x\n@options\n")), swallowed(Reason::Options));
    assert!(matches!(bench.send("-1 /etc/x\n"), Outcome::Event(_)));
}

#[test]
fn attributes_beyond_the_originals_are_told_before_and_after() {
    let mut bench = Bench::new(true, false);
    bench.file(&format!("{A}:ino=7;acl="));
    let said = bench.file(&format!("{A}:ino=7;acl=user%3a%3ar;flags=i"));
    let Outcome::Event(event) = said else { panic!("{said:?}") };
    let expected =
        "Integrity checksum changed for: '/etc/x'\nAccess list changed from 'none' to 'user::r'\n";
    assert_eq!(String::from_utf8(event.text).unwrap(), expected);
    assert_eq!(event.before.more, [("acl", b"none".to_vec())]);
    assert_eq!(event.after.more, [("acl", b"user::r".to_vec())]);
    bench.flushed();
    bench.restart();
    let same = bench.file(&format!("{A}:ino=7;acl=user%3a%3ar;flags=i"));
    assert_eq!(same, swallowed(Reason::Unchanged));
}
