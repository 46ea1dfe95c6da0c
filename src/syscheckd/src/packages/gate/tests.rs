//! Tests: records of dpkg as it would write them, and changes before, in and after a transaction.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::time::SystemTime;

use md5::{Digest, Md5};
use sha2::Sha256;

use super::super::dpkg::Dpkg;
use super::*;

/// A small system: its records, its log, its files' contents.
struct System {
    folder: tempfile::TempDir,
    files: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl System {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("dpkg/info")).unwrap();
        fs::create_dir_all(folder.path().join("state")).unwrap();
        fs::write(folder.path().join("dpkg.log"), "").unwrap();
        let mut system = Self { folder, files: BTreeMap::new() };
        system.ship("1.0", &[("/usr/bin/tool", "one"), ("/usr/bin/old", "one")]);
        // The index is made after the records.
        let past = SystemTime::now() - Duration::from_secs(3600);
        for entry in fs::read_dir(system.folder.path().join("dpkg/info")).unwrap() {
            File::open(entry.unwrap().path()).unwrap().set_modified(past).unwrap();
        }
        File::open(system.folder.path().join("dpkg/status")).unwrap().set_modified(past).unwrap();
        system
    }

    /// Records and files of package `tool` in this version.
    fn ship(&mut self, version: &str, files: &[(&str, &str)]) {
        let records = self.folder.path().join("dpkg");
        let status = format!("Package: tool\nStatus: install ok installed\nVersion: {version}\n");
        fs::write(records.join("status"), status).unwrap();
        let (mut list, mut sums) = (String::new(), String::new());
        for (path, content) in files {
            list += &format!("{path}\n");
            let md5: String =
                Md5::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
            sums += &format!("{md5}  {}\n", &path[1..]);
            self.files.insert(path.as_bytes().to_vec(), content.as_bytes().to_vec());
        }
        fs::write(records.join("info/tool.list"), list).unwrap();
        fs::write(records.join("info/tool.md5sums"), sums).unwrap();
    }

    fn log(&self, line: &str) {
        let path = self.folder.path().join("dpkg.log");
        let mut log = OpenOptions::new().append(true).open(path).unwrap();
        writeln!(log, "2026-11-21 02:16:19 {line}").unwrap();
    }

    fn gate(&self) -> Gate<&'static str> {
        let root = self.folder.path();
        let dpkg = Dpkg::at(&root.join("dpkg"), &root.join("dpkg.log"));
        let databases = dpkg.into_iter().map(|dpkg| Box::new(dpkg) as Box<dyn Database>);
        Gate::open(&root.join("state"), databases.collect())
    }

    fn turn(&self, gate: &mut Gate<&'static str>) -> (Vec<Told<&'static str>>, Vec<String>) {
        let mut read = |path: &[u8]| {
            let content = self.files.get(path)?;
            Some((Md5::digest(content).into(), Sha256::digest(content).into()))
        };
        let (told, events) = gate.turn(Instant::now() + 3 * TICK, view(&mut read));
        (told, events.into_iter().map(|event| String::from_utf8(event).unwrap()).collect())
    }
}

/// All was looked at.
fn view(read: &mut dyn FnMut(&[u8]) -> Option<Digests>) -> View<'_> {
    View { is_complete: true, is_open: &|_| false, read }
}

fn sum(mode: u32, content: &str) -> Vec<u8> {
    let sha256 = Some(Sha256::digest(content).into());
    let size = Some(content.len() as u64);
    let some = fim::Attributes { size, mode: Some(mode), sha256, ..fim::Attributes::default() };
    fim::Attributes { uid: Some(0), gid: Some(0), ..some }.encode()
}

fn asked<'a>(path: &'a str, before: Option<&'a [u8]>, now: &'a [u8]) -> Asked<'a> {
    Asked { path: path.as_bytes(), before, now }
}

const FILE: u32 = 0o100_755;

#[test]
fn a_change_without_a_transaction_is_told_at_once() {
    let system = System::new();
    let mut gate = system.gate();
    let (old, new) = (sum(FILE, "one"), sum(FILE, "evil"));
    let now = Instant::now();
    for path in ["/usr/bin/tool", "/etc/passwd"] {
        assert_eq!(gate.take(asked(path, Some(&old), &new), "x", now), Some("x"));
    }
    assert_eq!(gate.take(asked("/usr/bin/new", None, &new), "x", now), Some("x"));
}

#[test]
fn a_file_that_is_looked_at_again_waits_alone_and_not_for_ever() {
    let mut system = System::new();
    let mut gate = system.gate();
    let now = Instant::now();
    system.ship("2.0", &[("/usr/bin/tool", "two"), ("/usr/bin/new", "two")]);
    system.log("upgrade tool:amd64 1.0 2.0");
    let (old, new) = (sum(FILE, "one"), sum(FILE, "two"));
    assert_eq!(gate.take(asked("/usr/bin/tool", Some(&old), &new), "changed", now), None);
    assert_eq!(gate.take(asked("/usr/bin/new", None, &new), "new", now), None);
    let mut told = |is_complete, now| {
        let is_open = |path: &[u8]| path == b"/usr/bin/new";
        let view = View { is_complete, is_open: &is_open, read: &mut |_| None };
        let (told, events) = gate.turn(now, view);
        (told.into_iter().map(|told| told.load).collect::<Vec<_>>(), events.len())
    };
    let later = now + 3 * TICK;
    assert_eq!(told(false, later), (vec![], 0));
    assert_eq!(told(true, later), (vec!["changed"], 0));
    assert_eq!(told(true, now + LONGEST_HOLD - TICK), (vec![], 0));
    assert_eq!(told(true, now + LONGEST_HOLD), (vec!["new"], 1));
}

#[test]
fn what_a_transaction_left_as_shipped_is_one_summary() {
    let mut system = System::new();
    let mut gate = system.gate();
    let now = Instant::now();
    system.ship("2.0", &[("/usr/bin/tool", "two"), ("/usr/bin/new", "two")]);
    system.log("upgrade tool:amd64 1.0 2.0");
    let (old, new) = (sum(FILE, "one"), sum(FILE, "two"));
    assert_eq!(gate.take(asked("/usr/bin/tool", Some(&old), &new), "changed", now), None);
    assert_eq!(gate.take(asked("/usr/bin/new", None, &new), "new", now), None);
    assert_eq!(gate.take(asked("/usr/bin/old", Some(&old), b"-1"), "gone", now), None);
    assert_eq!(gate.take(asked("/etc/passwd", Some(&old), &new), "x", now), Some("x"));

    let (told, events) = system.turn(&mut gate);

    assert_eq!(told.len(), 3);
    for told in told {
        let package = told.package.unwrap();
        assert_eq!(package.name, b"tool");
        assert_eq!(
            (package.old.as_deref(), package.new.as_deref()),
            (Some(&b"1.0"[..]), Some(&b"2.0"[..]))
        );
    }
    assert_eq!(events, ["syscheck-package: tool 1.0 -> 2.0: 3 files as shipped"]);
    gate.scanned();
    assert_eq!(gate.take(asked("/usr/bin/tool", Some(&new), &old), "x", now), Some("x"));
}

#[test]
fn a_transaction_right_behind_another_is_one_too() {
    let mut system = System::new();
    let mut gate = system.gate();
    let now = Instant::now();
    system.turn(&mut gate);
    system.ship("2.0", &[("/usr/bin/new", "two")]);
    system.log("upgrade tool:amd64 1.0 2.0");
    let (two, three) = (sum(FILE, "two"), sum(FILE, "three"));
    assert_eq!(gate.take(asked("/usr/bin/new", None, &two), "new", now), None);
    assert_eq!(system.turn(&mut gate).1, ["syscheck-package: tool 1.0 -> 2.0: 1 files as shipped"]);

    system.ship("3.0", &[("/usr/bin/new", "three")]);
    system.log("upgrade tool:amd64 2.0 3.0");
    assert_eq!(gate.take(asked("/usr/bin/new", Some(&two), &three), "changed", now), None);
    assert_eq!(system.turn(&mut gate).1, ["syscheck-package: tool 2.0 -> 3.0: 1 files as shipped"]);
}

#[test]
fn what_differs_from_what_was_shipped_is_loud() {
    let mut system = System::new();
    let mut gate = system.gate();
    let now = Instant::now();
    system.ship("2.0", &[("/usr/bin/tool", "two"), ("/usr/bin/root", "two")]);
    system.log("upgrade tool:amd64 1.0 2.0");
    let (old, evil) = (sum(FILE, "one"), sum(FILE, "evil"));
    let setuid = sum(0o104_755, "two");
    gate.take(asked("/usr/bin/tool", Some(&old), &evil), "content", now);
    gate.take(asked("/usr/bin/root", None, &setuid), "setuid", now);
    gate.take(asked("/usr/bin/unknown", None, &evil), "no package's", now);

    let (told, events) = system.turn(&mut gate);

    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|told| told.package.is_none()));
    assert_eq!(
        events,
        [
            "syscheck-package: tool 2.0: 2 files differ from what was shipped: /usr/bin/root, /usr/bin/tool"
        ]
    );
}

#[test]
fn content_that_changed_again_since_it_was_seen_is_not_vouched_for() {
    let mut system = System::new();
    let mut gate = system.gate();
    let (old, seen) = (sum(FILE, "one"), sum(FILE, "something else"));
    system.ship("2.0", &[("/usr/bin/tool", "two")]);
    system.log("upgrade tool:amd64 1.0 2.0");
    gate.take(asked("/usr/bin/tool", Some(&old), &seen), "x", Instant::now());
    let (told, _) = system.turn(&mut gate);
    assert_eq!(told[0].package, None);
}

#[test]
fn while_dpkg_is_at_work_changes_wait() {
    let system = System::new();
    let lock = system.folder.path().join("dpkg/lock");
    fs::write(&lock, "").unwrap();
    let script = "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('held',flush=True)\nsys.stdin.read()";
    let mut dpkg = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&lock)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let stdout = dpkg.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut said).unwrap();
    let mut gate = system.gate();
    let (old, new) = (sum(FILE, "one"), sum(FILE, "half"));
    let now = Instant::now();

    assert_eq!(gate.take(asked("/usr/bin/tool", Some(&old), &new), "x", now), None);
    assert_eq!(system.turn(&mut gate), (vec![], vec![]));
    assert!(gate.holds());

    drop(dpkg.stdin.take());
    dpkg.wait().unwrap();
    assert_eq!(
        gate.turn(now + TICK, view(&mut |_| None)).0,
        vec![],
        "the last moment is waited for"
    );
    let (told, _) = gate.turn(now + 10 * TICK, view(&mut |_| None));
    assert_eq!(told.len(), 1);
}

#[test]
fn what_is_again_as_known_is_forgotten() {
    let mut system = System::new();
    let mut gate = system.gate();
    system.ship("2.0", &[("/usr/bin/tool", "two")]);
    system.log("upgrade tool:amd64 1.0 2.0");
    gate.take(asked("/usr/bin/tool.dpkg-new", None, &sum(FILE, "two")), "x", Instant::now());
    gate.forget(b"/usr/bin/tool.dpkg-new");
    assert_eq!(system.turn(&mut gate), (vec![], vec![]));
}

#[test]
fn records_that_change_without_a_transaction_are_told_once() {
    let mut system = System::new();
    let mut gate = system.gate();
    system.ship("1.0", &[("/usr/bin/tool", "evil")]);
    // The file system's clock is coarse: later than an index made just now.
    let sums = File::open(system.folder.path().join("dpkg/info/tool.md5sums")).unwrap();
    sums.set_modified(SystemTime::now() + Duration::from_secs(2)).unwrap();
    let (_, events) = system.turn(&mut gate);
    assert_eq!(events.len(), 1);
    assert!(
        events[0].starts_with("syscheck-package: package database changed without a transaction: ")
    );
    assert!(events[0].ends_with("info/tool.md5sums"));
    let later = Instant::now() + Duration::from_secs(120);
    assert_eq!(gate.turn(later, view(&mut |_| None)).1, Vec::<Vec<u8>>::new());
    // And they vouch for nothing.
    let (old, evil) = (sum(FILE, "one"), sum(FILE, "evil"));
    let now = Instant::now();
    if gate.take(asked("/usr/bin/tool", Some(&old), &evil), "x", now).is_none() {
        assert_eq!(system.turn(&mut gate).0[0].package, None);
    }
}

#[test]
fn without_records_everything_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut gate: Gate<&str> = Gate::open(folder.path(), Vec::new());
    let new = sum(FILE, "x");
    assert_eq!(gate.take(asked("/a", None, &new), "x", Instant::now()), Some("x"));
    assert_eq!(gate.next_due(Instant::now()), None);
}
