//! Whole scans of small trees, and the recorded one.

#![expect(clippy::unwrap_used, reason = "a panic is the report")]
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rootcheck::pace::Pace;
use rootcheck::{Said, Scan};
use settings::{Checks, Rootcheck};

/// A tree that is taken for `/`, an install root, and the settings.
struct Bench {
    home: tempfile::TempDir,
    settings: Rootcheck,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let base = home.path().join("tree");
        for folder in ["bin", "dev", "etc", "usr/bin", "tmp", "var/lib/dpkg/info"] {
            fs::create_dir_all(base.join(folder)).unwrap();
        }
        fs::create_dir_all(home.path().join("root/queue/syscheckd")).unwrap();
        // Only what concerns files: all else is the machine's.
        let checks =
            Checks { pids: false, ports: false, interfaces: false, modules: false, ..Checks::ALL };
        let settings =
            Rootcheck { present: true, base_directory: base, checks, ..Rootcheck::default() };
        Self { home, settings }
    }

    fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.settings.base_directory.join(name)
    }

    fn put(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn list(&self, name: &str, content: &str) -> PathBuf {
        fs::write(self.root().join(name), content).unwrap();
        PathBuf::from(name)
    }

    /// The findings between the two marks, with the tree as `/`.
    fn scan(&self) -> Vec<String> {
        let mut found = Vec::new();
        let scan = Scan {
            settings: &self.settings,
            root: &self.root(),
            pace: Pace::new(std::sync::Arc::default(), Duration::ZERO),
            said: &mut Said::default(),
            ships: &|_, _, _| false,
            tell: &mut |text| {
                found.push(String::from_utf8(text).unwrap());
                Ok(())
            },
        };
        assert_eq!(scan.run(), Ok(()));
        assert_eq!(found.first().unwrap(), "Starting rootcheck scan.");
        assert_eq!(found.last().unwrap(), "Ending rootcheck scan.");
        let base = self.settings.base_directory.to_str().unwrap();
        found[1..found.len() - 1].iter().map(|text| text.replace(base, "")).collect()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Without the digests.
fn short(found: &[String]) -> Vec<&str> {
    found.iter().map(|text| text.split(" MD5=").next().unwrap()).collect()
}

#[test]
fn a_clean_tree_says_nothing() {
    let bench = Bench::new();
    bench.put("bin/ls", "nothing odd");
    assert_eq!(bench.scan(), [""; 0]);
}

#[test]
fn a_trojan_is_accused_unless_it_is_as_its_package_ships_it() {
    let mut bench = Bench::new();
    bench.put("usr/bin/diff", "\0\0xx /dev/demo\0");
    bench.put("usr/bin/cmp", "\0dev\0/demo\0");
    bench.settings.rootkit_trojans =
        Some(bench.list("t.txt", "diff !/dev/demo! Demo\ncmp !dev/demo|^dev! Demo\n"));
    let expected =
        "Trojaned version of file '/usr/bin/diff' detected. Signature used: '/dev/demo' (Demo).";
    assert_eq!(short(&bench.scan()), [expected]);
    // md5 of the content above
    bench
        .put("var/lib/dpkg/info/diffutils.md5sums", "b5b49bd2f3b5bb0d4b9dd0be12b4b1a8  bin/diff\n");
    assert_eq!(short(&bench.scan()), [expected], "another sum");
    let digest = bench.scan()[0].split_once("MD5=").unwrap().1[..32].to_owned();
    bench.put("var/lib/dpkg/info/diffutils.md5sums", &format!("{digest}  bin/diff\n"));
    assert_eq!(bench.scan(), [""; 0]);
}

#[test]
fn a_program_behind_two_folders_is_accused_once() {
    let mut bench = Bench::new();
    fs::remove_dir(bench.path("bin")).unwrap();
    symlink("usr/bin", bench.path("bin")).unwrap();
    bench.put("usr/bin/ls", "evil strings");
    bench.settings.rootkit_trojans = Some(bench.list("t.txt", "ls !evil! x\n"));
    assert_eq!(bench.scan().len(), 1);
}

#[test]
fn a_rootkit_file_is_found_at_its_place_and_a_name_anywhere() {
    let mut bench = Bench::new();
    bench.settings.rootkit_files = Some(
        bench.list("f.txt", "tmp/.kit ! Demo kit ::x\n*/k.so ! Any kit ::x\ntmp/fifo ! Pipe ::\n"),
    );
    bench.put("etc/deep/er/k.so", "");
    fs::create_dir(bench.path("tmp/.kit")).unwrap();
    assert!(Command::new("mkfifo").arg(bench.path("tmp/fifo")).status().unwrap().success());
    assert_eq!(
        short(&bench.scan()),
        [
            "Rootkit 'Demo kit' detected by the presence of file '/tmp/.kit'.",
            "Rootkit 'Pipe' detected by the presence of file '/tmp/fifo'.",
            "Rootkit 'Any kit' detected by the presence of file '/etc/deep/er/k.so'.",
        ]
    );
}

#[test]
fn what_everybody_may_write_is_told() {
    if !is_root() {
        return println!("skipped: files of root need root");
    }
    let bench = Bench::new();
    bench.put("etc/open.conf", "x");
    bench.mode("etc/open.conf", 0o666);
    fs::create_dir(bench.path("etc/open.d")).unwrap();
    bench.mode("etc/open.d", 0o777);
    bench.mode("tmp", 0o1777);
    assert_eq!(
        bench.scan(),
        [
            "File '/etc/open.conf' is owned by root and has write permissions to anyone.",
            "Directory '/etc/open.d' is owned by root, has write permissions to anyone and no sticky bit.",
        ]
    );
}

#[test]
fn dev_holds_no_files_and_its_memory_no_programs() {
    let bench = Bench::new();
    bench.put("dev/.udev/db", "usual");
    bench.put("dev/sub/.hid", "x");
    bench.put("dev/shm/data", "x");
    bench.put("dev/shm/x/miner", "x");
    bench.mode("dev/shm/x/miner", 0o755);
    assert_eq!(
        short(&bench.scan()),
        [
            "File '/dev/sub/.hid' present on /dev. Possible hidden file.",
            "Program '/dev/shm/x/miner' in shared memory. Possible malware.",
        ]
    );
}

#[test]
fn a_new_suid_file_is_told_and_loses_its_bits_only_when_asked() {
    let mut bench = Bench::new();
    bench.put("usr/bin/known", "a");
    bench.mode("usr/bin/known", 0o4755);
    assert_eq!(bench.scan(), [""; 0], "the first run knows nothing to compare with");
    bench.put("tmp/new", "b");
    bench.mode("tmp/new", 0o4755);
    let found = bench.scan();
    assert!(found[0].starts_with("New SUID file '/tmp/new' (mode 4755, owner "), "{found:?}");
    assert!(found[0].contains(". MD5=") && found.len() == 1);
    bench.put("tmp/new", "other content");
    bench.mode("tmp/new", 0o4755);
    assert_eq!(bench.scan(), found, "word for word while it is there, which is no news");
    bench.settings.suid_quarantine = true;
    bench.put("tmp/other", "c");
    bench.mode("tmp/other", 0o2711);
    let mut found = bench.scan();
    found.retain(|text| !text.contains("/tmp/new"));
    assert!(found[0].contains("New SGID file '/tmp/other'"), "{found:?}");
    assert!(found[0].contains("Both bits were taken away."));
    assert_eq!(fs::metadata(bench.path("tmp/other")).unwrap().permissions().mode() & 0o7777, 0o711);
    assert_eq!(fs::metadata(bench.path("tmp/new")).unwrap().permissions().mode() & 0o7777, 0o4755);
    assert_eq!(bench.scan().len(), 1, "without its bits it is one no more");
    bench.mode("tmp/other", 0o2711);
    assert_eq!(bench.scan().len(), 2, "the bits are back");
    bench.mode("tmp/new", 0o755);
    assert_eq!(bench.scan(), [""; 0], "both are gone");
}

#[test]
fn a_suid_file_inside_of_a_container_is_not_of_this_host() {
    let bench = Bench::new();
    assert_eq!(bench.scan(), [""; 0]);
    bench.put("var/lib/docker/overlay2/x/diff/bin/su", "x");
    bench.mode("var/lib/docker/overlay2/x/diff/bin/su", 0o4755);
    assert_eq!(bench.scan(), [""; 0]);
}

#[test]
fn a_suid_file_of_a_package_keeps_its_bits() {
    let mut bench = Bench::new();
    bench.settings.suid_quarantine = true;
    assert_eq!(bench.scan(), [""; 0]);
    bench.put("usr/bin/su", "x\n");
    bench.mode("usr/bin/su", 0o4755);
    bench.put("var/lib/dpkg/info/login.md5sums", "401b30e3b8b5d629635a5c613cdb7919  usr/bin/su\n");
    assert!(bench.scan()[0].contains(", as its package ships it."));
    assert_eq!(
        fs::metadata(bench.path("usr/bin/su")).unwrap().permissions().mode() & 0o7777,
        0o4755
    );
}

#[test]
fn preloaded_libraries_are_named() {
    let bench = Bench::new();
    bench.put("etc/ld.so.preload", "# x\n/lib/evil.so\n");
    assert_eq!(
        short(&bench.scan()),
        ["Library '/lib/evil.so' is loaded into every program by '/etc/ld.so.preload'."]
    );
}

/// A process of this name, for as long as it is held.
struct Process(Child);

impl Process {
    fn start(folder: &Path, name: &str) -> Self {
        let program = folder.join(name);
        let sleep =
            ["/usr/bin/sleep", "/bin/sleep"].iter().find(|path| Path::new(path).exists()).unwrap();
        fs::copy(sleep, &program).unwrap();
        Self(Command::new(program).arg("600").spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn golden() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let golden = std::env::var_os("GOLDEN_DIR")
        .map_or_else(|| root.join("../shared/golden"), |folder| root.join(folder));
    let folder = golden.join("host/rootcheck");
    if !folder.is_dir() {
        println!("skipped: no golden data in {}", folder.display());
        return None;
    }
    Some(folder)
}

#[test]
fn golden_messages_of_the_first_scan() {
    let Some(golden) = golden() else { return };
    if !is_root() {
        return println!("skipped: files of root need root");
    }
    let mut bench = Bench::new();
    let base = bench.settings.base_directory.to_str().unwrap().to_owned();
    let read =
        |name: &str| fs::read_to_string(golden.join(name)).unwrap().replace("/srv/rkdemo", &base);
    bench.settings.rootkit_files = Some(bench.list("f.txt", &read("rk_files.txt")));
    bench.settings.rootkit_trojans = Some(bench.list("t.txt", &read("rk_trojans.txt")));
    for name in ["policy.txt", "bad1.txt", "bad2.txt", "bad3.txt", "bad4.txt", "bad5.txt"] {
        bench.settings.system_audit.push(bench.list(name, &read(name)));
    }
    bench.put("tmp/mcliZokhb", "x\n");
    bench.put("etc/globalkit.so", "x\n");
    bench.put("bin/ls", "\x7fELF\0/dev/xmx\0");
    bench.put("usr/bin/cat", "harmless");
    bench.put("usr/bin/tool", "\0strings EVILSIG\0");
    bench.put("dev/cfg", "x");
    bench.put("dev/sub/.hid", "x");
    bench.put("var/www/a.php", "<?php eval($x);");
    bench.put("var/www/b.php", "ok");
    bench.put("etc/passwd", "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n");
    bench.put("etc/sshd_config", "PermitRootLogin yes\nProtocol 2\n#Protocol 1\n");
    for name in ["usr/bin/wwx", "etc/ww.conf"] {
        bench.put(name, "x");
        bench.mode(name, 0o777);
    }
    let _process = Process::start(bench.home.path(), "ossec-syscheckd");
    let found = bench.scan();
    let mut expected: Vec<String> = fs::read_to_string(golden.join("queue_messages.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|row| row["step"] == "scan1")
        .filter_map(|row| {
            let text = row["msg"].as_str()?.strip_prefix("9:rootcheck:")?.trim_end_matches('\0');
            // The original cuts a rootkit's name at its first blank.
            let whole = text.replace("Rootkit 'Bash'", "Rootkit 'Bash door'");
            Some(
                whole
                    .replace("Rootkit 'Global'", "Rootkit 'Global kit'")
                    .replace("/srv/rkdemo", ""),
            )
        })
        .filter(|text| !text.ends_with("rootcheck scan."))
        .collect();
    // The files with signatures are of our own making: their digests are others.
    let masked = |text: &String| {
        let is_ours = text.starts_with("Trojaned");
        if is_ours { text.split(" MD5=").next().unwrap().to_owned() } else { text.clone() }
    };
    let mut found: Vec<String> = found.iter().map(masked).collect();
    expected = expected.iter().map(masked).collect();
    found.sort();
    expected.sort();
    let missing: Vec<_> = expected.iter().filter(|text| !found.contains(text)).collect();
    let extra: Vec<_> = found.iter().filter(|text| !expected.contains(text)).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:#?}\nextra {extra:#?}");
    assert_eq!(found, expected);
}
