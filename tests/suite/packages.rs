//! A package manager at work: what it leaves as shipped is one summary, what is changed by hand is an alert.
//!
//! Real dpkg and apt-get, and real rpm, in a mount namespace of the test's own, on top of this machine's file system: nothing of it reaches the
//! machine. Needs root and an overlay file system; elsewhere it says that it is skipped.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::Suite;
use crate::inside::Inside;

const CONF: &str = "<ossec_config>
  {rules}
  <syscheck>
    <frequency>3600</frequency>
    <alert_new_files>yes</alert_new_files>
    <directories check_all=\"yes\" realtime=\"yes\">/usr/share/oxsec-probe</directories>
  </syscheck>
</ossec_config>
";

/// Makes the namespace, then runs a shell in it. `$1` is a folder that both sides see.
const ENTER: &str = r#"set -e
mkdir "$1/over"
mount -t tmpfs tmpfs "$1/over"
mkdir "$1/over/up" "$1/over/work" "$1/over/all"
all="$1/over/all"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/over/up,workdir=$1/over/work" "$all"
for folder in proc sys dev; do mount --rbind "/$folder" "$all/$folder"; done
mount --bind "$1" "$all$1"
export OXSEC_ROOT="$1/root" OXSEC_STAY_USER=1 DEBIAN_FRONTEND=noninteractive
exec chroot "$all" sh
"#;

/// Makes the files of `oxsec-probe` of this version: 120, the first `changed` of which bear the version.
fn files(tree: &Path, version: &str, changed: usize) {
    let share = tree.join("usr/share/oxsec-probe");
    fs::create_dir_all(&share).expect("folder");
    for number in 0..120 {
        let content = if number < changed { version } else { "the same" };
        fs::write(share.join(format!("file{number:03}")), content).expect("file");
    }
}

/// Builds a package for dpkg.
fn deb(folder: &Path, version: &str, changed: usize) {
    let tree = folder.join(version);
    files(&tree, version, changed);
    fs::create_dir_all(tree.join("DEBIAN")).expect("folder");
    let control = format!(
        "Package: oxsec-probe\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: for a test\n"
    );
    fs::write(tree.join("DEBIAN/control"), control).expect("control");
    let built = Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .arg(&tree)
        .arg(folder.join(format!("{version}.deb")))
        .output()
        .expect("dpkg-deb runs");
    assert!(built.status.success(), "{built:?}");
}

/// Builds a package for rpm.
fn rpm(folder: &Path, version: &str, changed: usize) {
    let tree = folder.join(version);
    files(&tree, version, changed);
    let spec = format!(
        "Name: oxsec-probe\nVersion: {version}\nRelease: 1\nSummary: for a test\nLicense: none\nBuildArch: noarch\n\
         %description\nFor a test.\n%install\nmkdir -p %{{buildroot}}\ncp -R {0}/usr %{{buildroot}}/\n\
         %files\n%defattr(-,root,root)\n/usr/share/oxsec-probe\n",
        tree.display()
    );
    let path = folder.join(format!("{version}.spec"));
    fs::write(&path, spec).expect("spec");
    let built = Command::new("rpmbuild")
        .args(["-bb", "--define", &format!("_topdir {}", folder.join("built").display())])
        .args(["--define", &format!("_rpmdir {}", folder.display())])
        .args(["--define", &format!("_rpmfilename {version}.rpm")])
        .arg(&path)
        .output()
        .expect("rpmbuild runs");
    assert!(built.status.success(), "{built:?}");
}

#[test]
fn a_package_is_one_summary_and_what_is_changed_by_hand_an_alert() {
    let suite = Suite::new(CONF);
    let needs = "command -v dpkg-deb apt-get && test -e /var/lib/dpkg/status";
    let Some(mut inside) = Inside::enter(&suite, &["--mount"], ENTER, needs) else {
        return println!("skipped: no mount namespace with dpkg and apt-get here (root is needed)");
    };
    deb(&suite.watched(), "1.0", 0);
    deb(&suite.watched(), "2.0", 40);
    // Other files of the same folder, which are touched all the time and looked at each second, one after the other.
    inside.must("mkdir -p /usr/share/oxsec-probe && cd /usr/share/oxsec-probe && touch a b c");
    for name in ["a", "b", "c"] {
        inside.must(&format!(
            "{{ for n in $(seq 4000); do touch {name}; sleep 0.04; done >/dev/null 2>&1 & }}; pids=\"$pids $!\"; sleep 0.3"
        ));
    }
    inside.must("\"$OXSEC_ROOT/bin/ossec-control\" start");
    suite.until("the baseline", || suite.root().join("queue/syscheck/.syscheck.cpt").exists());
    let packages = suite.watched();
    let install = |version: &str| {
        let package = packages.join(version).display().to_string();
        format!("apt-get install -y --allow-downgrades {package}.deb </dev/null")
    };

    inside.must(&install("1.0"));
    suite.until_alert(190_742, "oxsec-probe (none) -> 1.0: 120 files as shipped");
    inside.must(&install("2.0"));
    suite.until_alert(190_742, "oxsec-probe 1.0 -> 2.0: 40 files as shipped");
    let noise = suite.alerts().matches("/usr/share/oxsec-probe/").count();
    assert_eq!(noise, 0, "{}", suite.alerts());
    assert!(suite.read("logs/fim_packages.log").contains("/usr/share/oxsec-probe/file119"));

    inside.must("echo evil >/usr/share/oxsec-probe/file007");
    suite.until_alert(550, "/usr/share/oxsec-probe/file007'");
    inside.must("apt-get remove -y oxsec-probe </dev/null");
    suite.until_alert(190_742, "oxsec-probe 2.0 -> (none): 120 files removed");
}

#[test]
fn a_package_of_rpm_is_one_summary_and_what_is_changed_by_hand_an_alert() {
    let suite = Suite::new(CONF);
    let needs = "command -v rpm rpmbuild && rpm --dbpath /var/lib/rpm --initdb";
    let Some(mut inside) = Inside::enter(&suite, &["--mount"], ENTER, needs) else {
        return println!("skipped: no mount namespace with rpm and rpmbuild here (root is needed)");
    };
    rpm(&suite.watched(), "1.0", 0);
    rpm(&suite.watched(), "2.0", 40);
    inside.must("\"$OXSEC_ROOT/bin/ossec-control\" start");
    suite.until("the baseline", || suite.root().join("queue/syscheck/.syscheck.cpt").exists());
    let packages = suite.watched().display().to_string();

    // Debian's rpm has a database of its own, and wants to hear that it is not the host's package manager.
    let rpm = "rpm --dbpath /var/lib/rpm --nodeps";
    inside.must(&format!("{rpm} -i '{packages}/1.0.rpm'"));
    suite.until_alert(190_742, "oxsec-probe (none) -> 1.0-1: 120 files as shipped");
    inside.must(&format!("{rpm} -U '{packages}/2.0.rpm'"));
    suite.until_alert(190_742, "oxsec-probe 1.0-1 -> 2.0-1: 40 files as shipped");
    let noise = suite.alerts().matches("/usr/share/oxsec-probe/").count();
    assert_eq!(noise, 0, "{}", suite.alerts());
    assert!(suite.read("logs/fim_packages.log").contains("/usr/share/oxsec-probe/file119"));

    inside.must("echo evil >/usr/share/oxsec-probe/file007");
    suite.until_alert(550, "/usr/share/oxsec-probe/file007'");
    inside.must(&format!("{rpm} -e oxsec-probe"));
    suite.until_alert(190_742, "oxsec-probe 2.0-1 -> (none): 120 files removed");
}
