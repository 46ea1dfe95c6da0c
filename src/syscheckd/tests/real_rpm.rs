//! The real `rpm`, with a database of the test's own: does it answer as the reader expects?
//!
//! Nothing is installed but records (`--justdb`). Where there is no rpm and rpmbuild it says that it is skipped.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use md5::{Digest, Md5};
use sha2::Sha256;
use syscheckd::packages::database::{Content, Database, Shipped};
use syscheckd::packages::rpm::{PROGRAM, Rpm};

/// Names that mean something to shells, or to rpm's way of asking.
const NAMES: [&str; 5] = ["tool", "it's", "two words", "x[y]", "back\\slash"];

fn has_rpm() -> bool {
    ["rpm", "rpmbuild"].iter().all(|program| {
        let asked = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    })
}

fn must(command: &mut Command) {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// Builds a package of the files in `tree`, which are to lie there.
fn build(folder: &Path, tree: &Path) {
    let spec = format!(
        "Name: oxsec-probe\nEpoch: 3\nVersion: 1.0\nRelease: 1\nSummary: for a test\nLicense: none\nBuildArch: noarch\n\
         %description\nFor a test.\n%install\nmkdir -p %{{buildroot}}{0}\ncp -a {0}/. %{{buildroot}}{0}/\n\
         %files\n%defattr(-,root,root)\n{0}/\n%ghost {0}/claimed\n",
        tree.display()
    );
    fs::write(folder.join("probe.spec"), spec).expect("spec");
    must(
        Command::new("rpmbuild")
            .args(["-bb", "--define", &format!("_topdir {}", folder.join("built").display())])
            .args(["--define", &format!("_rpmdir {}", folder.display())])
            .args(["--define", "_rpmfilename probe.rpm", "--define", "__os_install_post %{nil}"])
            .arg(folder.join("probe.spec")),
    );
}

#[test]
fn its_answer_is_understood() {
    if !has_rpm() || !Path::new(PROGRAM).exists() {
        return println!("skipped: no rpm and rpmbuild here");
    }
    let folder = tempfile::tempdir().unwrap();
    let (tree, database) = (folder.path().join("tree"), folder.path().join("database"));
    fs::create_dir_all(&tree).unwrap();
    for name in NAMES.into_iter().chain(["claimed"]) {
        fs::write(tree.join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("tool", tree.join("link")).unwrap();
    build(folder.path(), &tree);
    let rpm = || {
        let mut rpm = Command::new(PROGRAM);
        rpm.arg("--dbpath").arg(&database);
        rpm
    };
    must(rpm().arg("--initdb"));
    let records = Rpm::at(Path::new(PROGRAM), &[&database]).unwrap();
    let mark = records.mark();
    must(rpm().args(["--nodeps", "--justdb", "-i"]).arg(folder.path().join("probe.rpm")));
    assert_ne!(records.mark(), mark);
    let mark = records.mark();

    let (mut packages, mut files) = (Vec::new(), std::collections::BTreeMap::new());
    records
        .each(&mut |package| {
            packages.push((package.name.to_vec(), package.version.to_vec()));
            (package.files)(&mut |path, shipped| {
                files.insert(path.to_vec(), shipped);
            })
        })
        .unwrap();

    assert_eq!(packages, [(b"oxsec-probe:noarch".to_vec(), b"3:1.0-1".to_vec())]);
    let of = |name: &str| {
        let path = format!("{}/{name}", tree.display());
        *files.get(path.as_bytes()).unwrap_or_else(|| panic!("{name} in {files:?}"))
    };
    for name in NAMES {
        let content = Some(Content::Sha256(Sha256::digest(name).into()));
        let Shipped { content: shipped, mode } = of(name).unwrap();
        assert_eq!((shipped, mode.unwrap() & 0o170_000), (content, 0o100_000), "{name}");
        let ships = |content: &str| {
            let (md5, sha256) = (Md5::digest(content).into(), Sha256::digest(content).into());
            records.ships(&tree.join(name), md5, sha256)
        };
        assert!(ships(name) && !ships("evil"), "{name}");
    }
    assert_eq!(of("link"), Some(Shipped { content: None, mode: Some(0o120_777) }));
    assert_eq!(of("claimed"), None);
    assert_eq!(records.mark(), mark, "a question is no transaction");
    assert!(!records.is_busy());
}
