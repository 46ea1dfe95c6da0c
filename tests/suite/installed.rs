//! The suite as root installs it, each daemon with the few rights that are left to it: all other tests keep those they are run with.
//!
//! In a mount namespace of its own, where `/etc` is a copy and `/opt` is empty.

use std::path::Path;
use std::process::Command;

const CONF: &str = r#"<ossec_config>
  <rules><include>rules_config.xml</include><include>ossec_rules.xml</include></rules>
  <syscheck>
    <alert_new_files>yes</alert_new_files>
    <directories check_all="yes" realtime="yes">/opt/watched</directories>
  </syscheck>
  <rootcheck>
    <check_files>no</check_files><check_trojans>no</check_trojans><check_unixaudit>no</check_unixaudit>
    <check_dev>no</check_dev><check_sys>no</check_sys><check_suid>no</check_suid><check_preload>no</check_preload>
    <check_modules>no</check_modules><check_pids>no</check_pids><check_if>no</check_if>
  </rootcheck>
</ossec_config>"#;

const SCRIPT: &str = r#"
    mount -t tmpfs none /mnt; cp -a /etc /mnt/etc; mount --bind /mnt/etc /etc; mount -t tmpfs none /opt
    unset OXSEC_ROOT OXSEC_STAY_USER NOTIFY_SOCKET
    mkdir /opt/units /opt/watched; mount -t tmpfs none /opt/watched
    mkdir /opt/watched/sub; echo one >/opt/watched/sub/old
    sh "$project/install.sh" --unattended --preloaded /nonexistent --bin-dir "$bin" --unit-dir /opt/units --type local --dir /opt/x --no-start
    printf '%s\n' "$conf" >/opt/x/etc/ossec.conf
    trap '/opt/x/bin/ossec-control stop; cat /opt/x/logs/ossec.log' EXIT
    await() {
        tries=0
        until grep -qs "$1" "/opt/x/logs/$2"; do
            tries=$((tries + 1)); test $tries -lt 600; sleep 0.1
        done
    }
    /opt/x/bin/ossec-control start
    await 'Real time file monitoring started' ossec.log
    echo two >/opt/watched/sub/new
    await "New file '/opt/watched/sub/new'" alerts/alerts.log
    await 'Ending rootcheck scan' ossec.log
"#;

#[test]
fn daemons_without_their_rights_watch_files_and_ports() {
    let can = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        return println!("skipped: needs root and a mount namespace");
    }
    let program = Path::new(env!("CARGO_BIN_EXE_ossec-control"));
    let output = Command::new("unshare")
        .args(["-m", "sh", "-euc", SCRIPT])
        .env("project", env!("CARGO_MANIFEST_DIR"))
        .env("bin", program.parent().expect("folder of the programs"))
        .env("conf", CONF)
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for trouble in ["ERROR", "by netlink here", "not tried by binding"] {
        assert!(!said.contains(trouble), "'{trouble}' in:\n{said}");
    }
}
