//! Each option of `<syscheck>`, seen at the alerts that it makes or prevents. One tree, one scan before and one after the changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{IFlags, XattrFlags};

use crate::harness::{Suite, append, is_root, succeeds};

const HEAD: &str = "<ossec_config>
  <rules><include>rules_config.xml</include><include>ossec_rules.xml</include></rules>
  <rootcheck><disabled>yes</disabled></rootcheck>
  <syscheck>
    <max_cpu>0</max_cpu>\n";
const END: &str = "  </syscheck>\n</ossec_config>\n";

/// Started, with its first scan done.
fn suite(syscheck: &str, files: &[(&str, &str)]) -> Suite {
    let suite = Suite::new(&format!("{HEAD}{syscheck}{END}"));
    for (name, content) in files {
        put(&suite, name, content);
    }
    options(&suite, "syscheck.sleep=0\n");
    suite.start();
    until_scans(&suite, 1);
    suite
}

fn options(suite: &Suite, options: &str) {
    fs::write(suite.root().join("etc/local_internal_options.conf"), options).expect("options");
}

fn put(suite: &Suite, name: &str, content: &str) {
    let path = suite.watched().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
    fs::write(path, content).expect("write");
}

fn until_scans(suite: &Suite, count: u64) {
    suite.until("the scan's end", || {
        let state = suite.read("var/run/ossec-syscheckd.state");
        let account = |key: &str| {
            let mut lines = state.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('=')?.parse::<u64>().ok())
        };
        account("scans").is_some_and(|scans| scans >= count) && account("pending") == Some(0)
    });
}

/// Stopped and started with these internal options; its accounts begin anew.
fn restart(suite: &Suite, internal: &str) {
    suite.stop();
    options(suite, internal);
    fs::remove_file(suite.root().join("var/run/ossec-syscheckd.state")).expect("accounts");
    suite.start();
}

fn scan(suite: &Suite) {
    let scans = suite.account("ossec-syscheckd", "scans");
    succeeds(&suite.program("syscheck_control").arg("--scan").output().expect("it runs"));
    until_scans(suite, scans + 1);
}

/// What was alerted of each file, by its name.
fn alerts(suite: &Suite) -> BTreeMap<String, String> {
    let text = suite.alerts().replace(&format!("{}/", suite.watched().display()), "");
    let records = text.split("** Alert ").filter_map(|record| record.split_once("\nRule: "));
    let of_file = |(_, record): (&str, &str)| {
        let (_, told) = record.split_once('\n')?;
        let name = told.split('\'').nth(1)?;
        Some((name.to_owned(), told.trim_end().to_owned()))
    };
    records.filter_map(of_file).collect()
}

fn names(alerts: &BTreeMap<String, String>) -> Vec<&str> {
    alerts.keys().map(String::as_str).collect()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

#[test]
fn only_what_is_checked_is_told() {
    let one = |option: &str| {
        let name = option.trim_start_matches("check_");
        let without = if name == "sha256sum" { "" } else { "check_sha256sum=\"no\"" };
        let only = format!("{without} {option}=\"yes\"");
        format!("<directories {only}>{{watched}}/{name}</directories>\n")
    };
    let checks = ["size", "perm", "owner", "group", "md5sum", "sha1sum", "sha256sum"];
    let entries: String = checks.iter().map(|check| one(&format!("check_{check}"))).collect();
    let files: Vec<String> = checks
        .iter()
        .flat_map(|check| [format!("{check}/mode"), format!("{check}/text")])
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|name| (name.as_str(), "one\n")).collect();
    let suite = suite(&entries, &files);
    for check in checks {
        let path = suite.watched().join(check);
        chmod(&path.join("mode"), 0o711);
        // Its size stays.
        fs::write(path.join("text"), "two\n").expect("write");
        fs::write(path.join("longer"), "").expect("write");
    }
    put(&suite, "size/text", "three\n");
    if is_root() {
        chown(suite.watched().join("owner/mode"), Some(1), Some(2)).expect("chown");
        chown(suite.watched().join("group/mode"), Some(1), Some(2)).expect("chown");
    }
    scan(&suite);
    let told = alerts(&suite);
    let mut expected =
        vec!["md5sum/text", "perm/mode", "sha1sum/text", "sha256sum/text", "size/text"];
    if is_root() {
        expected.extend(["group/mode", "owner/mode"]);
        expected.sort_unstable();
    }
    assert_eq!(names(&told), expected);
    for (name, change) in [
        ("md5sum/text", "Old md5sum was: '"),
        ("perm/mode", "Permissions changed from 'rw-r--r--' to 'rwx--x--x'"),
        ("sha1sum/text", "Old sha1sum was: '"),
        ("sha256sum/text", "Old sha256sum was: '"),
        ("size/text", "Size changed from '4' to '6'"),
    ] {
        let lines: Vec<&str> =
            told[name].lines().skip(1).take_while(|line| !line.is_empty()).collect();
        assert!(lines[0].starts_with(change), "{name}: {lines:?}");
        assert!(lines[1..].iter().all(|line| line.starts_with("New ")), "{name}: {lines:?}");
    }
}

#[test]
fn each_attribute_beyond_ossecs_is_told_where_it_is_checked() {
    // With a word for user 7.
    const LIST: &[u8] =
        b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x07\0\0\0\x04\0\x04\0\xff\xff\xff\xff\
        \x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";
    // Ports below 1024 (version 2, effective).
    const RIGHTS: &[u8] = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let checks = [
        (
            "acl",
            "Access list changed from 'none' to 'user::rw-,user:7:r--,group::r--,mask::r--,other::r--'",
        ),
        ("blake3", "BLAKE3 changed from "),
        ("caps", "Capabilities changed from 'none' to '01000002"),
        ("ctime", "Change time changed from "),
        ("flags", "File flags changed from 'none' to 'a'"),
        ("inode", "Inode changed from "),
        ("links", "Number of links changed from '1' to '2'"),
        ("mtime", "Modification time changed from "),
        ("selinux", "SELinux label changed from 'none' to 'oxsec_t'"),
        ("xattr", "Extended attributes changed from 'none' to 'user.note="),
    ];
    let one = |(check, _): &(&str, &str)| {
        format!(
            "<directories check_sha256sum=\"no\" check_{check}=\"yes\">{{watched}}/{check}</directories>\n"
        )
    };
    let files: Vec<String> = checks.iter().map(|(check, _)| format!("{check}/file")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|name| (name.as_str(), "one\n")).collect();
    let suite = suite(&checks.iter().map(one).collect::<String>(), &files);
    let path = |check: &str| suite.watched().join(check).join("file");
    let attribute = |check: &str, name: &str, value: &[u8]| {
        rustix::fs::setxattr(path(check), name, value, XattrFlags::empty()).is_ok()
    };
    let flags = |flags| {
        let file = fs::File::open(path("flags")).expect("open");
        rustix::fs::ioctl_setflags(&file, flags).is_ok()
    };
    fs::write(path("blake3"), "two\n").expect("write");
    chmod(&path("ctime"), 0o600);
    fs::write(path("inode").with_extension("new"), "one\n").expect("write");
    fs::rename(path("inode").with_extension("new"), path("inode")).expect("rename");
    fs::hard_link(path("links"), path("links").with_extension("too")).expect("link");
    let file = fs::File::options().write(true).open(path("mtime")).expect("open");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("time");
    // What this file system, or who runs the test, is not able to change.
    let unable = [
        ("acl", attribute("acl", "system.posix_acl_access", LIST)),
        ("caps", attribute("caps", "security.capability", RIGHTS)),
        ("flags", flags(IFlags::APPEND)),
        ("selinux", attribute("selinux", "security.selinux", b"oxsec_t\0")),
        ("xattr", attribute("xattr", "user.note", b"1")),
    ];
    let unable = unable.map(|(check, done)| if done { "" } else { check });
    scan(&suite);
    flags(IFlags::empty());
    let told = alerts(&suite);
    for (check, change) in checks.iter().filter(|(check, _)| !unable.contains(check)) {
        let record = told.get(&format!("{check}/file"));
        let line = record.and_then(|record| record.lines().nth(1)).unwrap_or_default();
        assert!(line.starts_with(change), "{check}: {told:?}");
        assert_eq!(record.map(|record| record.lines().count()), Some(2), "{check}: {told:?}");
    }
    assert_eq!(told.len(), unable.iter().filter(|check| check.is_empty()).count() + 5, "{told:?}");
}

const LEAVE_OUT: &str = "<directories check_all=\"yes\" restrict=\".conf$|^{watched}/some/x\">{watched}/some</directories>
         <directories check_all=\"yes\" no_recurse=\"yes\">{watched}/flat</directories>
         <directories check_all=\"yes\">{watched}/all,{watched}/one</directories>
         <ignore>{watched}/ALL/ign</ignore><ignore type=\"sregex\">.log$|/cache/</ignore>
         <alert_new_files>yes</alert_new_files>";

#[test]
fn what_is_left_out_is_not_told_by_scans() {
    leave_out("no");
}

#[test]
fn what_is_left_out_is_not_told_in_realtime() {
    leave_out("yes");
}

fn leave_out(realtime: &str) {
    let conf = LEAVE_OUT.replace("check_all", &format!("realtime=\"{realtime}\" check_all"));
    let suite =
        suite(&conf, &[("one", "one\n"), ("some/a.conf", ""), ("flat/a", ""), ("all/a", "")]);
    let left_out = [
        "some/b.txt",
        "some/a.conf.bak",
        "flat/sub/c",
        "all/ignored/d",
        "all/ign",
        "all/e.log",
        "all/cache/f",
        "two",
    ];
    let taken =
        ["all/e.logs", "all/cached/f", "flat/c", "some/b.conf", "some/sub/c.conf", "some/x-ray"];
    for name in left_out.iter().chain(&taken) {
        if *name != "all/ign" {
            put(&suite, name, "new\n");
        }
    }
    put(&suite, "one", "two\n");
    if realtime == "yes" {
        suite.until("all that is taken", || alerts(&suite).len() > taken.len());
    }
    scan(&suite);
    let mut expected = taken.to_vec();
    expected.push("one");
    expected.sort_unstable();
    assert_eq!(names(&alerts(&suite)), expected);
}

#[test]
fn changed_lines_are_told_within_their_limits() {
    const MOST: usize = 1 << 20;
    let suite = suite(
        "<directories check_all=\"yes\" report_changes=\"yes\">{watched}/shown</directories>
         <directories check_all=\"yes\">{watched}/not</directories>
         <nodiff>{watched}/shown/secret</nodiff><nodiff type=\"sregex\">.key$</nodiff>",
        &[],
    );
    let names = [
        "shown/text",
        "shown/secret",
        "shown/a.key",
        "not/text",
        "shown/binary",
        "shown/most",
        "shown/more",
        "shown/long",
    ];
    let text = |name: &str, line: &str| match name {
        "shown/binary" => format!("\0\u{1}{line}"),
        "shown/most" => "x\n".repeat(MOST / 2 - 2) + line,
        "shown/more" => "x\n".repeat(MOST / 2) + line,
        "shown/long" => line.repeat(30),
        _ => line.to_owned(),
    };
    for name in names {
        put(&suite, name, &text(name, "one\n"));
    }
    scan(&suite);
    for name in names {
        put(&suite, name, &text(name, "two\n"));
    }
    scan(&suite);
    let told = alerts(&suite);
    let changed =
        |name: &str| told[name].split_once("What changed:\n").map(|(_, lines)| lines.trim_end());
    let whole = "1c1\n< one\n---\n> two";
    assert_eq!(changed("shown/text"), Some(whole));
    let last = format!("{}c{0}\n< one\n---\n> two", MOST / 2 - 1);
    assert_eq!(changed("shown/most"), Some(last.as_str()));
    for hidden in ["shown/secret", "shown/a.key"] {
        assert_eq!(changed(hidden), Some("<Diff truncated because nodiff option>"), "{hidden}");
    }
    for without in ["shown/more", "shown/binary", "not/text"] {
        assert_eq!(changed(without), None, "{without}");
    }
    let long = changed("shown/long").expect("lines");
    assert!(long.ends_with("\n... diff was truncated ...") && long.lines().count() == 21, "{long}");
    let kept = fs::read_dir(suite.root().join("queue/diff/local")).expect("folder").count();
    assert_eq!(kept, 3, "text, most, long");
}

#[test]
fn no_content_is_kept_where_there_is_no_room() {
    let suite =
        suite("<directories check_all=\"yes\" report_changes=\"yes\">{watched}</directories>", &[]);
    restart(&suite, "syscheck.sleep=0\nsyscheck.diff_store=0\nsyscheck.debug=1\n");
    until_scans(&suite, 1);
    put(&suite, "a", "one\n");
    put(&suite, "b", "one\n");
    scan(&suite);
    put(&suite, "a", "two\n");
    put(&suite, "b", "two\n");
    scan(&suite);
    let told = alerts(&suite);
    // The newest is kept until the next one comes.
    assert!(!told["a"].contains("What changed:"), "{told:?}");
    assert!(suite.log().contains(" ossec-syscheckd: DEBUG: "), "syscheck.debug");
}

#[test]
fn the_manager_counts_changes_and_knows_new_files_as_it_is_told_to() {
    let change_often = |suite: &Suite| {
        put(suite, "new", "x");
        for round in 1..=4 {
            put(suite, "often", &"x".repeat(round));
            scan(suite);
        }
    };
    let all = "<directories check_all=\"yes\">{watched}</directories>\n";
    let quiet = suite(all, &[("often", "")]);
    change_often(&quiet);
    let rules = [550, 551, 552, 554].map(|rule| quiet.count(rule));
    assert_eq!(rules, [1, 1, 1, 0], "auto_ignore is on, alert_new_files off:\n{}", quiet.alerts());
    let options = "<auto_ignore>no</auto_ignore><alert_new_files>yes</alert_new_files>\n";
    let loud = suite(&format!("{options}{all}"), &[("often", "")]);
    change_often(&loud);
    let rules = [550, 551, 552, 554].map(|rule| loud.count(rule));
    assert_eq!(rules, [4, 0, 0, 1], "{}", loud.alerts());
}

#[test]
fn other_options_are_no_change_and_hide_none() {
    let suite = suite(
        "<directories check_all=\"yes\">{watched}</directories>",
        &[("a", "one\n"), ("changes", "one\n"), ("touched", "one\n")],
    );
    let filter = suite.root().join("etc/filter");
    fs::write(&filter, "tr a-z A-Z <\"$1\"\n").expect("write");
    let entries = [
        "<directories check_sum=\"yes\" check_inode=\"yes\" report_changes=\"yes\">{watched}</directories>",
        "<directories check_size=\"yes\" check_perm=\"yes\">{watched}</directories>",
        "<prefilter_cmd>/bin/sh {root}/etc/filter</prefilter_cmd><directories check_all=\"yes\">{watched}</directories>",
        "<directories check_all=\"yes\">{watched}</directories>",
    ];
    for (round, entry) in entries.iter().enumerate() {
        suite.configure(&format!("{HEAD}{entry}{END}"));
        put(&suite, "changes", &"two\n".repeat(round));
        put(&suite, "touched", "one\n");
        restart(&suite, "syscheck.sleep=0\n");
        until_scans(&suite, 1);
        assert_eq!(names(&alerts(&suite)), ["changes"], "by {entry}: {}", suite.alerts());
        assert_eq!(suite.account("ossec-syscheckd", "files"), 3);
        let told = [550, 551, 552].map(|rule| suite.count(rule));
        assert_eq!(told.iter().sum::<usize>(), round.min(2) + 1, "{}", suite.alerts());
    }
}

#[test]
fn folders_that_come_and_go_in_the_settings_are_no_change() {
    let both = "<alert_new_files>yes</alert_new_files><directories check_all=\"yes\">{watched}/a,{watched}/b</directories>";
    let one = both.replace(",{watched}/b", "");
    let suite = suite(&one, &[("a/one", "one\n"), ("b/one", "one\n"), ("b/two", "two\n")]);
    for (settings, files) in [(both, 3), (&one, 1), (both, 3)] {
        suite.configure(&format!("{HEAD}{settings}{END}"));
        restart(&suite, "syscheck.sleep=0\n");
        until_scans(&suite, 1);
        suite.until("the files", || suite.account("ossec-syscheckd", "files") == files);
        // The manager compares digests after a scan.
        scan(&suite);
        scan(&suite);
    }
    assert_eq!(names(&alerts(&suite)), [""; 0], "{}", suite.alerts());
    put(&suite, "b/three", "three\n");
    fs::remove_file(suite.watched().join("b/one")).expect("remove");
    scan(&suite);
    assert_eq!(names(&alerts(&suite)), ["b/one", "b/three"]);
}

#[test]
fn a_log_may_grow() {
    let files = [("log", "one\n"), ("cut", "one\ntwo\n"), ("written", "one\n")];
    let suite =
        suite("<directories check_all=\"yes\" growing=\"yes\">{watched}</directories>", &files);
    append(&suite.watched().join("log"), b"two\n");
    put(&suite, "cut", "one\n");
    put(&suite, "written", "two\nthree\n");
    scan(&suite);
    assert_eq!(names(&alerts(&suite)), ["cut", "written"]);
}

#[test]
fn without_a_scan_at_start_the_first_one_is_asked_for_or_due() {
    let conf = "<scan_on_start>no</scan_on_start><frequency>3600</frequency>
        <directories check_all=\"yes\">{watched}</directories>";
    let suite = Suite::new(&format!("{HEAD}{conf}{END}"));
    options(&suite, "syscheck.sleep=0\n");
    put(&suite, "a", "one\n");
    suite.start();
    // It would begin in the second in which the accounts are written first.
    suite.until("the accounts", || !suite.read("var/run/ossec-syscheckd.state").is_empty());
    assert_eq!(suite.account("ossec-syscheckd", "looked_at"), 0);
    assert!(!suite.log().contains("Starting syscheck scan"));
    scan(&suite);
    assert!(suite.log().contains("Starting syscheck scan (forwarding database)."));
    suite.configure(&format!("{HEAD}{}{END}", conf.replace("3600", "1")));
    restart(&suite, "syscheck.sleep=0\n");
    // The one before the restart said it in other words.
    let ended = || suite.log().matches("INFO: Ending syscheck scan.\n").count();
    suite.until("scans that are due", || ended() >= 2);
}

#[test]
fn files_that_look_unchanged_are_read_as_often_as_rehash_says() {
    let entry = "<directories check_all=\"yes\">{watched}</directories>";
    let reads = |rehash: &str| {
        let suite = suite(&format!("<rehash>{rehash}</rehash>{entry}"), &[("a", "12345")]);
        let read = || suite.account("ossec-syscheckd", "bytes_read");
        let before = read();
        scan(&suite);
        read() - before
    };
    assert_eq!(["always", "0"].map(reads), [5, 0]);
}

#[test]
fn scans_rest_as_they_are_told_to() {
    let suite = suite("<directories check_all=\"yes\">{watched}</directories>", &[]);
    (0..5).for_each(|number| put(&suite, &number.to_string(), "x"));
    restart(&suite, "syscheck.sleep=1\nsyscheck.sleep_after=2\n");
    until_scans(&suite, 1);
    let spent = suite.account("ossec-syscheckd", "scan_ms");
    assert!(spent >= 2000, "a second after each two of five files: {spent} ms");
    let limited = "<max_mbps>1</max_mbps><rehash>always</rehash><directories check_all=\"yes\">{watched}</directories>";
    suite.configure(&format!("{HEAD}{limited}{END}"));
    put(&suite, "large", &"x".repeat(2_000_000));
    restart(&suite, "syscheck.sleep=0\n");
    until_scans(&suite, 1);
    let spent = suite.account("ossec-syscheckd", "scan_ms");
    assert!(spent >= 1000, "2 MB at 1 MB a second: {spent} ms");
}
