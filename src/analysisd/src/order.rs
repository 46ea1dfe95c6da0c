//! The result does not depend on the number of threads: 200,000 mixed events, judged by the shipped rules with one, two and eight
//! workers, give the same bytes.

use std::fs;
use std::path::Path;

use crate::testing::{folders, judge, setup, text};

const EVENTS: u32 = 200_000;

/// ssh logins (composites, first-seen), web attacks, sudo, packets, unknown programs, file changes, from several places.
fn event(n: u32) -> (i64, String) {
    let time = 1_700_000_000 + i64::from(n / 50);
    let (host, pid, port) = (n / 7 % 10, 1000 + n % 9000, 1024 + n % 60_000);
    let message = match (n.wrapping_mul(2_654_435_761) >> 16) % 11 {
        0 => format!(
            "1:/var/log/auth.log:Nov 14 22:13:20 web1 sshd[{pid}]: Failed password for root from 203.0.113.{host} port {port} ssh2"
        ),
        1 => format!(
            "1:/var/log/auth.log:Nov 14 22:13:20 web1 sshd[{pid}]: Failed password for invalid user u{host} from 203.0.113.{host} port {port} ssh2"
        ),
        2 => format!(
            "1:/var/log/auth.log:Nov 14 22:13:20 web1 sshd[{pid}]: Accepted password for user{host} from 192.0.2.{host} port {port} ssh2"
        ),
        3 => format!(
            "1:/var/log/access.log:203.0.113.{host} - - [14/Nov/2023:22:13:20 +0000] \"GET /p{n} HTTP/1.1\" 404 153 \"-\" \"x\""
        ),
        4 => format!(
            "1:/var/log/access.log:203.0.113.{host} - - [14/Nov/2023:22:13:20 +0000] \"GET /a?id={n}%27+UNION+SELECT+1 HTTP/1.1\" 200 1 \"-\" \"x\""
        ),
        5 => format!(
            "1:/var/log/auth.log:Nov 14 22:13:20 web1 sudo:   user{host} : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/cat {n}"
        ),
        6 => format!(
            "1:(web{host}) 10.0.0.{host}->/var/log/syslog:Nov 14 22:13:20 web1 ourapp[{pid}]: request {n} failed with an error"
        ),
        7 => format!(
            "1:/var/log/syslog:Nov 14 22:13:20 web1 kernel: [{n}.1] DROP IN=eth0 OUT= SRC=203.0.113.{host} DST=192.0.2.1 PROTO=TCP SPT={port} DPT=22"
        ),
        8 => format!(
            "8:syscheck:{n}:33188:0:0:d41d8cd98f00b204e9800998ecf8427e:da39a3ee5e6b4b0d3255bfef95601890afd80709 /srv/file{}",
            n % 3000
        ),
        9 => format!(
            "1:/var/log/syslog:Nov 14 22:13:20 web1 useradd[{pid}]: new user: name=u{n}, UID={n}, GID={n}, home=/home/u{n}, shell=/bin/sh"
        ),
        _ => format!(
            "1:/var/log/syslog:Nov 14 22:13:20 web1 ourapp[{pid}]: request {n} served in {host} ms"
        ),
    };
    (time, message)
}

fn install(root: &Path) {
    folders(root);
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc");
    fs::copy(etc.join("decoder.xml"), root.join("etc/decoder.xml")).unwrap();
    for entry in fs::read_dir(etc.join("rules"))
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.path().is_file())
    {
        fs::copy(entry.path(), root.join("rules").join(entry.file_name())).unwrap();
    }
    let conf = fs::read_to_string(etc.join("ossec-local.conf")).unwrap();
    let rules = &conf[conf.find("<rules>").unwrap()..conf.find("</rules>").unwrap()];
    let global = "<global><jsonout_output>yes</jsonout_output></global>";
    fs::write(
        root.join("etc/ossec.conf"),
        format!("<ossec_config>{global}{rules}</rules></ossec_config>"),
    )
    .unwrap();
}

#[test]
fn the_alerts_are_the_same_with_one_worker_and_with_eight() {
    let results = [1, 2, 8].map(|workers| {
        let folder = tempfile::tempdir().unwrap();
        install(folder.path());
        judge(folder.path(), setup(folder.path(), "here"), workers, (0..EVENTS).map(event));
        let read = |name: &str| text(&folder.path().join("logs/alerts").join(name));
        (read("alerts.json"), read("alerts.log"))
    });
    println!("{} alerts", results[0].0.lines().count());
    assert!(results[0].0.lines().count() > 10_000, "the events give alerts");
    assert!(results[0].0.contains("\"frequency\":"), "composite rules are among them");
    assert!(results[0] == results[1], "two workers give what one gives");
    assert!(results[0] == results[2], "eight workers give what one gives");
}
