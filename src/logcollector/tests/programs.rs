//! Commands and the journal: programs that the collector runs.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::{Got, Host, localfile, wait_for};

fn command(format: &str, command: &str, alias: &str) -> String {
    let alias = if alias.is_empty() { String::new() } else { format!("<alias>{alias}</alias>") };
    format!(
        "<localfile><log_format>{format}</log_format><command>{command}</command>{alias}<frequency>1</frequency></localfile>\n"
    )
}

fn payloads(host: &Host, location: &str) -> Vec<String> {
    let is_its = |got: &Got| got.location == location;
    host.got().into_iter().filter(is_its).map(|got| got.payload).collect()
}

#[test]
fn each_line_of_a_command_is_an_event() {
    let mut host = Host::new(
        &(command("command", "echo one; echo; echo two", "")
            + &command("command", "printf 'no newline'", "my:alias")),
    );
    host.consume();
    host.start();
    let location = "echo one; echo; echo two";
    wait_for("its output", || payloads(&host, location).len() >= 3);
    let expected = ["one", "", "two"].map(|line| format!("ossec: output: '{location}': {line}"));
    assert_eq!(payloads(&host, location)[..3], expected);
    wait_for("the alias", || !payloads(&host, "my\\alias").is_empty());
    assert_eq!(payloads(&host, "my\\alias")[0], "ossec: output: 'my\\alias': no newline");
}

#[test]
fn a_full_command_is_one_event_and_silence_is_none() {
    let mut host = Host::new(
        &(command("full_command", r"printf 'a\n\nb\r\nc\n'", "full")
            + &command("full_command", "true", "silent")),
    );
    host.consume();
    host.start();
    wait_for("its output", || payloads(&host, "full").len() >= 2);
    assert_eq!(payloads(&host, "full")[0], "ossec: output: 'full':\na\nb\nc");
    assert!(payloads(&host, "silent").is_empty());
}

#[test]
fn a_hanging_command_does_not_hold_up_the_files() {
    let mut host =
        Host::new(&(command("command", "sleep 1000", "") + &localfile("syslog", "{logs}/log")));
    host.append("log", "");
    host.consume();
    host.start();
    let children = format!("/proc/{0}/task/{0}/children", host.pid());
    wait_for("the command", || {
        fs::read_to_string(&children).is_ok_and(|pids| !pids.trim().is_empty())
    });
    host.append("log", "meanwhile\n");
    assert_eq!(host.wait_for_lines("log", 1), ["meanwhile"]);
    assert_eq!(host.stop(), 0);
}

/// A stand-in for journalctl: two entries after its cursor, each with its arguments, and then it stays.
const JOURNALCTL: &str = r#"#!/bin/sh
case "$*" in *after-cursor=c2*) first=3 ;; *) first=1 ;; esac
for n in $first $((first + 1)); do
  printf '__CURSOR=c%s\n__REALTIME_TIMESTAMP=1795219834000000\n_HOSTNAME=web01\nSYSLOG_IDENTIFIER=sshd\nMESSAGE=%s %s\n\n' "$n" "$n" "$*"
done
exec sleep 1000
"#;

/// Another one, which ends at once.
const SHORT_LIVED: &str = r#"#!/bin/sh
printf '__CURSOR=c\n__REALTIME_TIMESTAMP=1795219834000000\nMESSAGE=x\n\n'
"#;

fn with_journalctl(localfiles: &str, script: &str) -> Host {
    let mut host = Host::new(localfiles);
    let programs = host.log("programs");
    fs::create_dir(&programs).unwrap();
    fs::write(programs.join("journalctl"), script).unwrap();
    fs::set_permissions(programs.join("journalctl"), fs::Permissions::from_mode(0o755)).unwrap();
    host.programs = Some(programs);
    host.consume();
    host.start();
    host
}

#[test]
fn the_journal_is_read_on_from_its_cursor_after_a_kill() {
    let mut host = with_journalctl(&localfile("journald", "sshd"), JOURNALCTL);
    wait_for("two entries", || payloads(&host, "journald").len() == 2);
    host.kill();
    host.start();
    wait_for("two more", || payloads(&host, "journald").len() >= 4);
    let entries = payloads(&host, "journald");
    let always = "--output=export --follow --quiet --identifier=sshd";
    let expected = [
        format!(" web01 sshd: 1 {always} --lines=0"),
        format!(" web01 sshd: 2 {always} --lines=0"),
        format!(" web01 sshd: 3 {always} --no-tail --after-cursor=c2"),
        format!(" web01 sshd: 4 {always} --no-tail --after-cursor=c2"),
    ];
    assert_eq!(entries.len(), 4);
    for (entry, expected) in entries.iter().zip(expected) {
        assert!(entry.ends_with(&expected), "{entry}");
    }
}

#[test]
fn a_journalctl_that_ends_is_started_again_and_said_once() {
    let host = with_journalctl(&localfile("journald", "all"), SHORT_LIVED);
    wait_for("three runs", || payloads(&host, "journald").len() >= 3);
    assert_eq!(host.said().matches("journalctl ended").count(), 1);
}
