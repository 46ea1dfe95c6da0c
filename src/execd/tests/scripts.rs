//! The response scripts of `etc/active-response`, run by a real `sh` in a temporary install root. The programs that would change
//! this host (nft, iptables, ip, passwd, ...) are recorders: nothing else of the host's PATH can be reached.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic in a test is the report, and a skip is said"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const TOOLS: [&str; 18] = [
    "sh", "dirname", "basename", "date", "tr", "grep", "cat", "mktemp", "cp", "mv", "rm", "chmod",
    "sed", "flock", "sleep", "mkdir", "rmdir", "awk",
];

struct Host {
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["active-response/bin", "logs", "queue/execd", "var/run", "path", "etc"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        let scripts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../etc/active-response"));
        for script in fs::read_dir(scripts).unwrap() {
            let script = script.unwrap();
            fs::copy(script.path(), host.path("active-response/bin").join(script.file_name()))
                .unwrap();
        }
        for tool in TOOLS {
            if let Some(real) = ["/usr/bin", "/bin"]
                .iter()
                .map(|dir| Path::new(dir).join(tool))
                .find(|p| p.exists())
            {
                symlink(real, host.path("path").join(tool)).unwrap();
            }
        }
        host
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// A program of this name that writes down how it was called, then does `body`.
    fn recorder(&self, name: &str, body: &str) {
        let calls = self.path("calls");
        let text = format!("#!/bin/sh\necho \"{name} $*\" >>'{}'\n{body}\n", calls.display());
        let path = self.path("path").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("calls"));
        text.lines().map(str::to_owned).collect()
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        Command::new(self.path("path/sh"))
            .arg(self.path("active-response/bin").join(script))
            .args(arguments)
            .env_clear()
            .env("PATH", self.path("path"))
            .env("OSSEC_HOSTS_DENY", self.path("etc/hosts.deny"))
            .env("OSSEC_LOGIN_DEFS", self.path("etc/login.defs"))
            .output()
            .unwrap()
    }

    fn ok(&self, script: &str, action: &str, user: &str, address: &str) {
        let output = self.run(
            script,
            &[action, user, address, "1795219834.1", "5716", "web->/var/log/auth.log", "-"],
        );
        assert!(output.status.success(), "{script} {action} {user} {address}: {output:?}");
    }

    fn refused(&self, script: &str, action: &str, user: &str, address: &str) -> String {
        let output = self.run(script, &[action, user, address, "1795219834.1", "5716", "l", "-"]);
        assert_eq!(output.status.code(), Some(1), "{script} {action} {user} {address}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn hosts_deny(&self) -> String {
        fs::read_to_string(self.path("etc/hosts.deny")).unwrap()
    }
}

#[test]
fn each_call_leaves_its_line_in_the_log_of_responses() {
    let host = Host::new();
    host.ok("host-deny.sh", "add", "-", "10.1.1.1");
    let log = fs::read_to_string(host.path("logs/active-responses.log")).unwrap();
    let script = host.path("active-response/bin/host-deny.sh").canonicalize().unwrap();
    let tail = format!(" {} add - 10.1.1.1 1795219834.1 5716\n", script.display());
    assert!(log.ends_with(&tail), "{log}");
    assert_eq!(log.split(' ').filter(|word| !word.is_empty()).count(), 12, "{log}");
}

#[test]
fn a_link_in_the_place_of_the_log_is_not_followed() {
    let host = Host::new();
    fs::write(host.path("precious"), "").unwrap();
    symlink(host.path("precious"), host.path("logs/active-responses.log")).unwrap();
    host.ok("host-deny.sh", "add", "-", "10.1.1.1");
    assert_eq!(fs::read_to_string(host.path("precious")).unwrap(), "");
}

#[test]
fn only_addresses_of_other_hosts_are_blocked() {
    let host = Host::new();
    let bad = [
        "",
        "-",
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.8.8.8",
        "::",
        "::1",
        "0:0:0:0:0:0:0:1",
        "0::0:1",
        "::ffff:127.0.0.1",
        "255.255.255.255",
        "224.0.0.1",
        "ff02::1",
        "10.0.0.0/8",
        "10.0.0",
        "10.0.0.1.2",
        "10.0.0.256",
        "10.0.0.01",
        "1e3.1.1.1",
        "10.0..1",
        "a.b.c.d",
        "10.0.0.1;id",
        "$(id)",
        "--flush",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1::2::3",
        ":1:2:3:4:5:6:7",
        "12345::1",
        "fe80::1%eth0",
        ":::",
        "1:2:3:4:5:6:7:",
        "g::1",
        "::ffff:10.0.0.1.9",
    ];
    for address in bad {
        host.refused("host-deny.sh", "add", "-", address);
    }
    assert!(!host.path("etc/hosts.deny").exists());
    for address in [
        "10.0.0.1",
        "223.255.255.254",
        "2001:db8::1",
        "fe80::1",
        "1:2:3:4:5:6:7:8",
        "::ffff:192.0.2.7",
        "2001:DB8::",
    ] {
        host.ok("host-deny.sh", "add", "-", address);
    }
}

#[test]
fn an_action_other_than_add_or_delete_is_refused() {
    let host = Host::new();
    for script in [
        "host-deny.sh",
        "firewall-drop.sh",
        "route-null.sh",
        "disable-account.sh",
        "restart-ossec.sh",
    ] {
        assert!(host.refused(script, "flush", "bob", "10.0.0.1").contains("usage"), "{script}");
    }
}

#[test]
fn host_deny_adds_one_line_and_takes_that_line_away() {
    let host = Host::new();
    fs::write(host.path("etc/hosts.deny"), "# mine\nALL:10.0.0.11").unwrap();
    fs::set_permissions(host.path("etc/hosts.deny"), fs::Permissions::from_mode(0o640)).unwrap();
    for _ in 0..2 {
        host.ok("host-deny.sh", "add", "-", "10.0.0.1");
        host.ok("host-deny.sh", "add", "-", "2001:db8::7");
    }
    assert_eq!(host.hosts_deny(), "# mine\nALL:10.0.0.11\nALL:10.0.0.1\nALL:[2001:db8::7]\n");
    for _ in 0..2 {
        host.ok("host-deny.sh", "delete", "-", "10.0.0.1");
        host.ok("host-deny.sh", "delete", "-", "2001:db8::7");
    }
    assert_eq!(host.hosts_deny(), "# mine\nALL:10.0.0.11\n");
    assert_eq!(
        fs::metadata(host.path("etc/hosts.deny")).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert_eq!(
        fs::read_dir(host.path("etc")).unwrap().count(),
        1,
        "a scratch file was left behind"
    );
}

#[test]
fn the_last_address_leaves_an_empty_file() {
    let host = Host::new();
    host.ok("host-deny.sh", "add", "-", "10.0.0.1");
    host.ok("host-deny.sh", "delete", "-", "10.0.0.1");
    assert_eq!(host.hosts_deny(), "");
}

#[test]
fn many_at_a_time_lose_no_line() {
    let host = Host::new();
    let script = host.path("active-response/bin/host-deny.sh");
    let children: Vec<_> = (1..=12)
        .map(|i| {
            Command::new(host.path("path/sh"))
                .arg(&script)
                .args(["add", "-", &format!("10.0.0.{i}"), "1.1", "1"])
                .env("PATH", host.path("path"))
                .env("OSSEC_HOSTS_DENY", host.path("etc/hosts.deny"))
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(host.hosts_deny().lines().count(), 12);
}

#[test]
fn firewall_drop_uses_nftables_in_a_table_of_its_own() {
    let host = Host::new();
    host.recorder("nft", &format!("[ \"$1\" != -f ] || cat >>'{}'", host.path("rules").display()));
    host.recorder("iptables", "exit 1");
    host.ok("firewall-drop.sh", "add", "-", "10.0.0.1");
    let rules = fs::read_to_string(host.path("rules")).unwrap();
    assert!(rules.contains("add element inet ossec drop4 { 10.0.0.1 }"), "{rules}");
    assert!(rules.lines().all(|line| line.contains(" inet ossec")), "{rules}");
    host.calls();
    host.recorder("ip6tables", "exit 1");
    host.ok("firewall-drop.sh", "delete", "-", "2001:db8::7");
    assert!(host.calls().contains(&"nft delete element inet ossec drop6 { 2001:db8::7 }".into()));
}

#[test]
fn a_refusal_of_nft_is_an_error() {
    let host = Host::new();
    host.recorder("nft", "[ \"$1\" != -f ]");
    assert!(host.refused("firewall-drop.sh", "add", "-", "10.0.0.1").contains("nft refused"));
}

#[test]
fn firewall_drop_falls_back_to_a_chain_of_iptables() {
    let host = Host::new();
    // Nothing is there yet: the chain cannot be listed, no rule can be found.
    host.recorder("iptables", "case \"$*\" in *' -C '*|*'-L OSSEC') exit 1;; esac");
    host.ok("firewall-drop.sh", "add", "-", "10.0.0.1");
    let changes: Vec<String> = host
        .calls()
        .into_iter()
        .filter(|call| [" -N ", " -I "].iter().any(|c| call.contains(c)))
        .collect();
    let expected = [
        "iptables -w -N OSSEC",
        "iptables -w -I INPUT -j OSSEC",
        "iptables -w -I FORWARD -j OSSEC",
        "iptables -w -I OSSEC -s 10.0.0.1 -j DROP",
    ];
    assert_eq!(changes, expected);
}

#[test]
fn what_iptables_already_has_is_not_added_twice_and_can_be_deleted() {
    let host = Host::new();
    host.recorder("ip6tables", "");
    host.ok("firewall-drop.sh", "add", "-", "2001:db8::7");
    assert!(!host.calls().iter().any(|call| call.contains(" -I ") || call.contains(" -N ")));
    host.ok("firewall-drop.sh", "delete", "-", "2001:db8::7");
    assert_eq!(host.calls().last().unwrap(), "ip6tables -w -D OSSEC -s 2001:db8::7 -j DROP");
}

#[test]
fn without_any_packet_filter_firewall_drop_says_what_to_do() {
    let host = Host::new();
    assert!(host.refused("firewall-drop.sh", "add", "-", "10.0.0.1").contains("route-null.sh"));
}

#[test]
fn route_null_makes_and_removes_a_black_hole() {
    let host = Host::new();
    host.recorder("ip", "case \"$*\" in *show*) echo blackhole;; esac");
    host.ok("route-null.sh", "add", "-", "10.0.0.1");
    host.ok("route-null.sh", "delete", "-", "2001:db8::7");
    let calls = host.calls();
    assert_eq!(calls.first().unwrap(), "ip -4 route replace blackhole 10.0.0.1/32");
    assert_eq!(calls.last().unwrap(), "ip -6 route del blackhole 2001:db8::7/128");
}

#[test]
fn a_black_hole_that_is_gone_already_is_no_error() {
    let host = Host::new();
    host.recorder("ip", "case \"$*\" in *del*) exit 2;; esac");
    host.ok("route-null.sh", "delete", "-", "10.0.0.1");
}

#[test]
fn disable_account_locks_and_unlocks_a_person() {
    let host = Host::new();
    host.recorder("id", "echo 1001");
    host.recorder("passwd", "");
    host.ok("disable-account.sh", "add", "bob", "-");
    host.ok("disable-account.sh", "delete", "bob", "-");
    let calls = host.calls();
    assert!(
        calls.contains(&"passwd -l bob".into()) && calls.contains(&"passwd -u bob".into()),
        "{calls:?}"
    );
    assert_eq!(fs::read_dir(host.path("queue/execd")).unwrap().count(), 0);
}

#[test]
fn root_and_the_accounts_of_the_system_are_never_locked() {
    let host = Host::new();
    host.recorder("passwd", "");
    fs::write(host.path("etc/login.defs"), "# x\nUID_MIN\t\t  2000\nUID_MAX 60000\n").unwrap();
    for id in ["0", "33", "1999", "65534"] {
        host.recorder("id", &format!("echo {id}"));
        assert!(
            host.refused("disable-account.sh", "add", "someone", "-")
                .contains("account of the system")
        );
    }
    host.recorder("id", "exit 1");
    for name in ["nobody-here", "-", "", "-rf", "a b", "x;id", "../etc"] {
        host.refused("disable-account.sh", "add", name, "-");
    }
    assert!(!host.calls().iter().any(|call| call.starts_with("passwd -l")));
}

#[test]
fn an_account_that_was_locked_before_stays_locked() {
    let host = Host::new();
    host.recorder("id", "echo 1001");
    host.recorder("passwd", "[ \"$1\" != -S ] || echo 'bob L 2026-11-21 0 99999 7 -1'");
    host.ok("disable-account.sh", "add", "bob", "-");
    host.ok("disable-account.sh", "delete", "bob", "-");
    assert!(!host.calls().iter().any(|call| call == "passwd -l bob" || call == "passwd -u bob"));
    assert_eq!(fs::read_dir(host.path("queue/execd")).unwrap().count(), 0);
}

#[test]
fn restart_ossec_restarts_once_and_takes_nothing_back() {
    let host = Host::new();
    fs::create_dir(host.path("bin")).unwrap();
    host.recorder("ossec-control", "");
    fs::rename(host.path("path/ossec-control"), host.path("bin/ossec-control")).unwrap();
    host.ok("restart-ossec.sh", "delete", "-", "-");
    host.ok("restart-ossec.sh", "add", "-", "-");
    assert_eq!(host.calls(), ["ossec-control restart"]);
}

/// Runs firewall-drop.sh against the real packet filter of a network namespace of its own; `hidden` programs cannot be found.
/// `None` where that is not possible.
fn with_real_filter(host: &Host, hidden: &str, needed: &str, commands: &str) -> Option<String> {
    let path = host.path("path");
    for tool in ["nft", "iptables", "ip6tables", "ip", "head"] {
        let real =
            ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().map(|dir| Path::new(dir).join(tool));
        if let Some(real) = real.into_iter().find(|real| real.exists() && tool != hidden) {
            symlink(real, path.join(tool)).unwrap();
        }
    }
    let in_namespace = |script: &str| {
        // By its path: the PATH below has only what the script may find.
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["-n", "/bin/sh", "-euc", script]).env("PATH", &path);
        command.env("script", host.path("active-response/bin/firewall-drop.sh")).output()
    };
    let probe = in_namespace(needed);
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: no network namespace, or no working '{needed}'");
        return None;
    }
    let output = in_namespace(commands).unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn real_nftables_drops_and_releases() {
    let host = Host::new();
    let said = with_real_filter(
        &host,
        "",
        "nft list tables",
        r#"for i in 1 2; do
             sh "$script" add - 192.0.2.7 1.1 1; sh "$script" add - 2001:db8::7 1.1 1; sh "$script" add - 192.0.2.8 1.1 1
           done
           nft list table inet ossec; echo ==
           for i in 1 2; do sh "$script" delete - 192.0.2.7 1.1 1; sh "$script" delete - 2001:db8::7 1.1 1; done
           nft list table inet ossec"#,
    );
    let Some(said) = said else { return };
    let (during, after) = said.split_once("==\n").unwrap();
    assert!(during.contains("elements = { 192.0.2.7, 192.0.2.8 }"), "{during}");
    assert!(during.contains("elements = { 2001:db8::7 }"), "{during}");
    assert_eq!(during.matches("ip saddr @drop4 counter").count(), 2, "{during}");
    assert!(after.contains("elements = { 192.0.2.8 }") && !after.contains("2001:db8"), "{after}");
}

#[test]
fn real_iptables_drops_and_releases() {
    let host = Host::new();
    let said = with_real_filter(
        &host,
        "nft",
        "iptables -w -n -L INPUT; ip6tables -w -n -L INPUT",
        r#"for i in 1 2; do sh "$script" add - 192.0.2.7 1.1 1; sh "$script" add - 2001:db8::7 1.1 1; done
           iptables -S; ip6tables -S; echo ==
           for i in 1 2; do sh "$script" delete - 192.0.2.7 1.1 1; sh "$script" delete - 2001:db8::7 1.1 1; done
           iptables -S; ip6tables -S"#,
    );
    let Some(said) = said else { return };
    let (during, after) = said.split_once("==\n").unwrap();
    assert_eq!(during.matches("-A OSSEC -s 192.0.2.7/32 -j DROP").count(), 1, "{during}");
    assert_eq!(during.matches("-A OSSEC -s 2001:db8::7/128 -j DROP").count(), 1, "{during}");
    assert_eq!(during.matches("-A INPUT -j OSSEC").count(), 2, "{during}");
    assert!(!after.contains("DROP"), "{after}");
}
