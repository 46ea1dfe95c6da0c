//! What rootcheck finds in a tree becomes an alert, once; rootcheck_control lists it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::Suite;

const CONF: &str = "<ossec_config>
  {rules}
  <syscheck><disabled>yes</disabled></syscheck>
  <rootcheck>
    <base_directory>{watched}</base_directory>
    <rootkit_files>etc/shared/rootkit_files.txt</rootkit_files>
    <rootkit_trojans>etc/shared/rootkit_trojans.txt</rootkit_trojans>
    <system_audit>etc/shared/test.txt</system_audit>
    <check_pids>no</check_pids>
    <check_modules>no</check_modules>
    <check_if>no</check_if>
  </rootcheck>
</ossec_config>
";

#[test]
fn findings_become_alerts_once_and_new_ones_with_the_next_search() {
    let suite = Suite::new(CONF);
    for folder in ["bin", "tmp", "dev/shm", "etc"] {
        fs::create_dir_all(suite.watched().join(folder)).expect("folder");
    }
    fs::write(suite.watched().join("tmp/kdevtmpfsi"), "x").expect("write");
    fs::write(suite.watched().join("bin/ps"), "#!/bin/sh\nps.lanigiro \"$@\" | grep -v x\n")
        .expect("write");
    fs::write(suite.watched().join("etc/sshd_config"), "PermitRootLogin yes\n").expect("write");
    let sshd = suite.watched().join("etc/sshd_config");
    let policy =
        format!("[Root may log in] [any] [1]\nf:{} -> r:^PermitRootLogin yes;\n", sshd.display());
    fs::write(suite.root().join("etc/shared/test.txt"), policy).expect("write");
    suite.start();
    suite.until("the end of the search", || {
        suite.log().contains("rootcheck: INFO: Ending rootcheck scan.")
    });
    suite.until_alert(510, "Rootkit 'Kinsing' detected by the presence of file '");
    suite.until_alert(510, "(wrapper that hides processes)");
    suite.until_alert(516, "System Audit: Root may log in. File: ");
    assert_eq!((suite.count(510), suite.count(516)), (2, 1), "{}", suite.alerts());

    let program = suite.watched().join("tmp/x");
    fs::write(&program, "x").expect("write");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).expect("chmod");
    let search = |number| {
        fs::write(suite.root().join("var/run/.syscheck_run"), "").expect("write");
        suite.until("the end of a search", || {
            suite.log().matches("rootcheck: INFO: Ending rootcheck scan.").count() == number
        });
    };
    search(2);
    suite.until_alert(190_731, "New SUID file '");
    assert_eq!((suite.count(510), suite.count(516)), (2, 1), "{}", suite.alerts());
    let outstanding = |text: &str| {
        let list = suite.program("rootcheck_control").args(["-q", "-i", "000"]).output();
        String::from_utf8_lossy(&list.expect("runs").stdout).contains(text)
    };
    suite.until("the list", || outstanding("Rootkit 'Kinsing'") && outstanding("New SUID file '"));

    search(3);
    // The end of the search has been noted, and with it what came before.
    let ended = |suite: &Suite| {
        let text = fs::read_to_string(suite.root().join("queue/rootcheck/rootcheck"));
        let text = text.unwrap_or_default();
        let time = |mark: &str| {
            text.lines()
                .find(|line| line.ends_with(mark))
                .and_then(|line| line.get(1..11))
                .map(str::to_owned)
        };
        time("Ending rootcheck scan.") > time("Starting rootcheck scan.")
    };
    suite.until("the note of its end", || ended(&suite));
    assert!(outstanding("New SUID file '"), "it is still there");
    assert_eq!(suite.count(190_731), 1, "{}", suite.alerts());
}
