//! State on a file system that becomes read-only while we run: said once, nothing is lost, and it goes on when it is writable again.
//!
//! A read-only bind mount over the folder, for what is done by name; an ext4 of the test's own that has met an error
//! (`errors=remount-ro`), for files that are open: that one is writable again only after all have closed their files. Needs root;
//! elsewhere it says that it is skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Suite, append, is_root};

fn run(command: &str, arguments: &[&str]) -> bool {
    Command::new(command).args(arguments).output().is_ok_and(|output| output.status.success())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of a test")
}

/// A folder that cannot be written to by name, until it is dropped.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn over(folder: PathBuf) -> Self {
        let at = text(&folder);
        assert!(run("mount", &["--bind", at, at]), "{at} is mounted over itself");
        let covered = Self(folder.clone());
        assert!(run("mount", &["-o", "remount,bind,ro", at]), "{at} becomes read-only");
        covered
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        run("umount", &["-l", text(&self.0)]);
    }
}

const WATCHING: &str = "<ossec_config>
  {rules}
  <syscheck>
    <frequency>3600</frequency>
    <alert_new_files>yes</alert_new_files>
    <directories check_all=\"yes\" realtime=\"yes\" report_changes=\"yes\">{watched}</directories>
  </syscheck>
  <rootcheck><disabled>yes</disabled></rootcheck>
</ossec_config>
";

#[test]
fn changes_are_told_while_the_baseline_cannot_be_written() {
    if !is_root() {
        return println!("skipped: only root can mount a folder read-only");
    }
    let suite = Suite::new(WATCHING);
    for name in ["changed", "deleted", "same"] {
        fs::write(suite.watched().join(name), "one\n").expect("write");
    }
    suite.start();
    suite.until("the baseline", || suite.root().join("queue/syscheck/.syscheck.cpt").exists());
    suite.until("realtime", || suite.log().contains("Real time file monitoring started."));

    let baseline = ReadOnly::over(suite.root().join("queue/syscheckd"));
    let contents = ReadOnly::over(suite.root().join("queue/diff/local"));
    fs::write(suite.watched().join("changed"), "two\n").expect("write");
    suite.until_alert(550, "/changed'");
    fs::remove_file(suite.watched().join("deleted")).expect("remove");
    suite.until_alert(553, "/deleted'");
    fs::write(suite.watched().join("new"), "one\n").expect("write");
    suite.until_alert(554, "/new'");
    fs::write(suite.root().join("var/run/.syscheck_run"), "").expect("write");
    suite.until("a scan", || suite.log().matches("Ending syscheck scan.").count() == 1);
    fs::write(suite.watched().join("changed"), "three\n").expect("write");
    suite.until("another alert", || suite.alerts().matches("/changed'").count() == 2);
    let said = |word: &str| {
        let log = suite.log();
        log.lines().filter(|line| line.contains("syscheckd") && line.contains(word)).count()
    };
    assert_eq!(said("baseline.redb': Read-only file system"), 1, "{}", suite.log());
    assert_eq!(said("report_changes: Read-only file system"), 1, "{}", suite.log());
    assert_eq!((said("ERROR"), said("Read-only")), (1, 2), "{}", suite.log());

    drop((baseline, contents));
    suite.until("the baseline again", || said("baseline.redb' can be written again") == 1);
    suite.kill("ossec-syscheckd");
    fs::write(suite.watched().join("same"), "two\n").expect("write");
    // The supervisor starts it again.
    suite.until_alert(550, "/same'");
    let alerts = suite.alerts();
    let of = |name: &str| alerts.matches(&format!("/{name}'")).count();
    let counts = ["changed", "deleted", "new", "same"].map(of);
    assert_eq!(counts, [2, 1, 1, 1], "{alerts}");
}

const COLLECTING: &str = "<ossec_config>
  <global><logall>yes</logall></global>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <rootcheck><disabled>yes</disabled></rootcheck>
  <localfile><log_format>syslog</log_format><location>{watched}/app.log</location></localfile>
</ossec_config>
";

/// An ext4 that becomes read-only by an error, with whatever is open in it.
struct Ext4 {
    image: PathBuf,
    at: PathBuf,
}

impl Ext4 {
    /// `None` where there are no such file systems.
    fn make(image: PathBuf, at: PathBuf) -> Option<Self> {
        fs::write(&image, "").ok()?;
        fs::File::options().write(true).open(&image).ok()?.set_len(16 << 20).ok()?;
        let made = Self { image, at };
        let is_there = run("mkfs.ext4", &["-q", "-F", text(&made.image)]) && made.mount();
        (is_there && made.trigger().exists()).then_some(made)
    }

    fn mount(&self) -> bool {
        run("mount", &["-o", "loop,errors=remount-ro", text(&self.image), text(&self.at)])
    }

    fn trigger(&self) -> PathBuf {
        let find = Command::new("findmnt").args(["-no", "SOURCE"]).arg(&self.at).output();
        let source = find.map(|found| found.stdout).unwrap_or_default();
        let source = String::from_utf8_lossy(&source);
        let device = source.trim().rsplit('/').next().unwrap_or("none").to_owned();
        Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error")
    }

    /// What the kernel has not written yet would be lost, as with a power cut.
    fn fail(&self) {
        assert!(run("sync", &["-f", text(&self.at)]));
        fs::write(self.trigger(), "a test").expect("the kernel takes it");
    }

    /// As an administrator would; nobody may have a file open there. From a copy: other tests have namespaces of their own, in which the
    /// file system lives on for a while as it is.
    fn repair(&mut self) {
        assert!(run("umount", &[text(&self.at)]), "nobody uses it");
        let copy = self.image.with_extension("copy");
        fs::copy(&self.image, &copy).expect("a copy");
        self.image = copy;
        run("e2fsck", &["-fy", text(&self.image)]);
        assert!(self.mount(), "mounted again");
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        run("umount", &["-l", text(&self.at)]);
    }
}

const SKIPPED: &str = "skipped: no ext4 on a loop device that takes errors here (root is needed)";

/// Lines that come while a folder of this suite cannot be written to wait where they are, are complained of like this, and arrive
/// later. False where such a folder cannot be made.
fn lines_wait(folder: &str, complaint: &str) -> bool {
    let suite = Suite::new(COLLECTING);
    let image = suite.watched().join("image");
    let Some(mut disk) = Ext4::make(image, suite.root().join(folder)).filter(|_| is_root()) else {
        return false;
    };
    let log = suite.watched().join("app.log");
    let write = |from: usize, to: usize| {
        let lines: String = (from..to).map(|n| format!("app: number {n} of many\n")).collect();
        append(&log, lines.as_bytes());
    };
    let archived = || -> Vec<usize> {
        let all = suite.read("logs/archives/archives.log");
        let number = |line: &str| line.split_once("number ")?.1.split(' ').next()?.parse().ok();
        all.lines().filter_map(number).collect()
    };
    append(&log, b"");
    suite.start();
    write(0, 100);
    suite.until("the first lines", || archived().len() == 100);
    suite.until("their end", || suite.account("ossec-logcollector", "pending") == 0);
    disk.fail();
    write(100, 5000);
    suite.until("the complaint", || suite.log().contains(complaint));
    write(5000, 10_000);
    suite.until("another look", || {
        let state = suite.root().join("var/run/ossec-logcollector.state");
        let written = state.metadata().and_then(|data| data.modified()).expect("a state file");
        written > log.metadata().and_then(|data| data.modified()).expect("a log")
    });
    assert_eq!(suite.log().matches(complaint).count(), 1, "{}", suite.log());
    assert!(suite.log().contains("Read-only file system"), "{}", suite.log());

    // Linux lets nobody write there again before all have closed their files.
    suite.stop();
    disk.repair();
    suite.start();
    suite.until("the last line", || archived().last() == Some(&9999));
    let odd = archived().windows(2).position(|pair| pair[0] + 1 != pair[1]);
    assert_eq!(
        (archived().len(), odd),
        (10_000, None),
        "every line once, in order:\n{}",
        suite.log()
    );
    suite.stop();
    suite.assert_balanced("ossec-analysisd");
    true
}

#[test]
fn lines_wait_while_the_archive_cannot_be_written() {
    if !lines_wait("logs/archives", "Nothing is acknowledged and nothing is lost") {
        println!("{SKIPPED}");
    }
}

#[test]
fn lines_wait_while_the_positions_cannot_be_written() {
    if !lines_wait("queue/logcollector", "nothing is read until they can, and nothing is lost") {
        println!("{SKIPPED}");
    }
}

#[test]
fn lines_wait_while_it_cannot_be_noted_what_has_ended() {
    if !lines_wait("queue/ossec", "Nothing is acknowledged and nothing is lost") {
        println!("{SKIPPED}");
    }
}
