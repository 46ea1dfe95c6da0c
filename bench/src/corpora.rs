//! The lines that are fed. Deterministic; those of OpenSSH are recorded ones where they are there.

use std::fs;
use std::path::Path;

const LINES: u32 = 20_000;

/// Lines with their name and what the daemon may use for one: microseconds of CPU, and lines a second.
pub struct Corpus {
    pub name: &'static str,
    pub lines: Vec<String>,
    pub target: &'static str,
    pub location: &'static str,
}

pub fn all(recorded: Option<&Path>) -> Vec<Corpus> {
    let corpus =
        |name, location, target, lines: Vec<String>| Corpus { name, lines, target, location };
    let auth = "/var/log/auth.log";
    let mut all = vec![
        corpus("sshd", auth, "<= 5 us, >= 220,000/s", each(sshd)),
        corpus("no match", "/var/log/syslog", "<= 3 us, >= 350,000/s", each(no_match)),
        corpus("web access", "/var/log/access.log", ">= 350,000/s", each(web)),
        corpus("mixed syslog", "/var/log/syslog", "", each(mixed)),
    ];
    let recorded = recorded.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let openssh: Vec<String> = recorded
        .lines()
        .filter(|row| row.contains("\"corpus\": \"OpenSSH"))
        .filter_map(|row| {
            Some(
                row.split_once("\"line\": \"")?
                    .1
                    .split_once("\", \"")?
                    .0
                    .replace("\\\"", "\"")
                    .replace("\\\\", "\\"),
            )
        })
        .collect();
    if !openssh.is_empty() {
        all.insert(0, corpus("recorded OpenSSH", auth, "<= 5 us, >= 220,000/s", openssh));
    }
    all
}

fn each(line: fn(u32) -> String) -> Vec<String> {
    (0..LINES).map(line).collect()
}

/// Failed and accepted logins of many addresses: most give an alert.
fn sshd(n: u32) -> String {
    let (a, b, port) = (n / 250 % 250, n % 250, 1024 + n % 60_000);
    let what = match n % 10 {
        0 => format!("Accepted password for user{} from 203.0.{a}.{b} port {port} ssh2", n % 40),
        1..=3 => format!(
            "Failed password for invalid user guess{} from 203.0.{a}.{b} port {port} ssh2",
            n % 90
        ),
        4..=6 => format!("Failed password for root from 203.0.{a}.{b} port {port} ssh2"),
        7 => format!("Received disconnect from 203.0.{a}.{b}: 11: Bye Bye [preauth]"),
        8 => format!("pam_unix(sshd:session): session opened for user user{} by (uid=0)", n % 40),
        _ => format!("Connection closed by 203.0.{a}.{b} [preauth]"),
    };
    format!("Nov 14 22:13:{:02} web1 sshd[{}]: {what}", n % 60, 1000 + n % 9000)
}

/// Lines of an unknown program: no decoder, no rule.
fn no_match(n: u32) -> String {
    format!(
        "Nov 14 22:13:{:02} web1 ourapp[{}]: request {n} served in {} ms",
        n % 60,
        1000 + n % 9000,
        n % 97
    )
}

/// A web server's log: one page in twenty is missing.
fn web(n: u32) -> String {
    let (a, b, status) = (n / 250 % 250, n % 250, if n.is_multiple_of(20) { 404 } else { 200 });
    format!(
        "203.0.{a}.{b} - - [14/Nov/2023:22:13:{:02} +0000] \"GET /shop/item{n}/index.html HTTP/1.1\" {status} {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
        n % 60,
        n % 9999
    )
}

/// What a host's syslog has beside sshd.
fn mixed(n: u32) -> String {
    let head = format!("Nov 14 22:13:{:02} web{}", n % 60, n % 7);
    match n % 8 {
        0 => sshd(n),
        1 => format!("{head} CRON[{n}]: (root) CMD (/usr/lib/sa/sa1 1 1)"),
        2 => format!(
            "{head} kernel: [{n}.12] DROP IN=eth0 OUT= SRC=203.0.113.{} DST=192.0.2.1 PROTO=TCP SPT={} DPT=22",
            n % 250,
            1024 + n % 60_000
        ),
        3 => format!(
            "{head} sudo:   user{} : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/cat {n}",
            n % 40
        ),
        4 => format!(
            "{head} postfix/smtpd[{n}]: connect from mail{}.example.org[203.0.113.{}]",
            n % 90,
            n % 250
        ),
        5 => format!("{head} systemd[1]: Started Session {n} of user user{}.", n % 40),
        6 => format!("{head} dhclient[812]: DHCPREQUEST on eth0 to 192.0.2.1 port 67"),
        _ => no_match(n),
    }
}
