//! Requests as remoted gets them, refusals, and what happens when nobody listens.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use wire::control::ToAgent;
use wire::response::{Recipient, Request};

use crate::agent_tools::Reply;
use crate::agent_tools::testing::{Bench, words};

fn bench() -> Bench {
    Bench::new("vm", "001 web01 any 5ec4e7\n002 #*#*#\n")
}

fn run(bench: &Bench, line: &str) -> Reply {
    super::run(&bench.world, &words(line))
}

#[test]
fn requests_are_understood_by_remoted() {
    let bench = bench();
    let remoted = UnixDatagram::bind(bench.path("queue/alerts/ar")).unwrap();
    remoted.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let cases: [(&str, Recipient<'_>, ToAgent<'_>); 4] = [
        ("-r -u 001", Recipient::Id(b"001"), ToAgent::SyscheckRestart),
        ("-r -a", Recipient::All, ToAgent::SyscheckRestart),
        (
            "-R 001",
            Recipient::Id(b"001"),
            ToAgent::Execd(b"restart-ossec0 - null (from_the_server) (no_rule_id)"),
        ),
        (
            "-b 203.0.113.7 -f host-deny600 -u 001",
            Recipient::Id(b"001"),
            ToAgent::Execd(b"host-deny600 - 203.0.113.7 (from_the_server) (no_rule_id)"),
        ),
    ];
    for (line, recipient, message) in cases {
        assert_eq!(run(&bench, line).code, 0, "{line}");
        let mut buffer = [0; 2048];
        let len = remoted.recv(&mut buffer).unwrap();
        let request = Request::parse(&buffer[..len]).unwrap();
        assert_eq!(request.recipient, recipient, "{line}");
        assert_eq!(request.message().to_bytes(), message.to_bytes(), "{line}");
    }
}

#[test]
fn that_an_agent_is_not_there_to_hear_it_is_said() {
    let bench = bench();
    let _remoted = UnixDatagram::bind(bench.path("queue/alerts/ar")).unwrap();
    let away = "\nAgent 001 is not connected: it gets this if it is heard";
    let orders = ["-R 001", "-r -u 001", "-b 203.0.113.7 -f host-deny600 -u 001"];
    for line in orders {
        assert!(run(&bench, line).out.contains(away), "{line}");
    }
    assert!(run(&bench, "-r -a").out.contains("\n1 of them are not connected: "));
    bench.put("queue/agent-info/web01-any", "Linux w - X\ncrypto_method:aes\n");
    for line in orders.into_iter().chain(["-r -a"]) {
        assert!(!run(&bench, line).out.contains("not connected"), "{line}");
    }
}

#[test]
fn without_remoted_it_says_so() {
    let reply = run(&bench(), "-R 001");
    assert_eq!((reply.out.as_str(), reply.code), ("\n** Unable to connect to remoted.\n", 1));
    assert!(
        reply
            .err
            .contains("agent_control(1301): ERROR: Unable to connect to active response queue.")
    );
    let reply = run(&bench(), "-r -a --json");
    assert_eq!(reply.code, 1);
    assert!(reply.out.starts_with("{\"error\":42,"), "{}", reply.out);
}

#[test]
fn an_end_that_cannot_be_asked_for_changes_nothing() {
    let bench = bench();
    let marker = bench.path("queue/syscheck/.(web01) any.maint");
    assert_eq!(run(&bench, "-M end -u 001").code, 1);
    assert!(!marker.exists());
    run(&bench, "-M enable -u 001");
    let reply = run(&bench, "-M end -u 001 -j");
    assert!(reply.out.starts_with("{\"error\":47,"), "{}", reply.out);
    assert!(std::fs::read_to_string(marker).unwrap().contains("pending_end=0"));
    assert!(run(&bench, "-l").out.contains("Name: web01, IP: any, Never connected, Maint\n"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let bench = bench();
    for line in ["-r", "-r -a -u 001", "-b 1.2.3.4", "-l -R 001", "-u 001", "-R 000", ""] {
        let reply = run(&bench, line);
        assert_eq!(reply.code, 1, "{line}");
        assert!(reply.out.contains("agent_control -l | -lc"), "{line}: {}", reply.out);
    }
    for line in ["-b 1.2.3.4;x -f ar -u 001", "-b 1.2.3.4 -f a/r -u 001", "-M enable", "-Z"] {
        assert_eq!(run(&bench, line).code, 1, "{line}");
    }
    // Digit for digit; a removed agent is none.
    for line in ["-i 1", "-i 002", "-i ../x"] {
        assert!(run(&bench, line).out.starts_with("\n** Invalid agent id '"), "{line}");
    }
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let bench = bench();
    bench.put(
        "queue/rootcheck/(web01) any->rootcheck",
        "!1795220279!1795220194 Starting syscheck scan.\n",
    );
    for line in [
        "-l -j",
        "-lc --json",
        "-i 001 -j",
        "-e -i 000 -j",
        "-L -j",
        "-m -j",
        "-M status -u 000 -j",
        "-i 9 -j",
    ] {
        let reply = run(&bench, line);
        serde_json::from_str::<serde_json::Value>(&reply.out)
            .unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(!reply.out.contains("5ec4e7"), "{line} shows a key");
    }
    assert!(!run(&bench, "-i 001").out.contains("Syscheck last started  at: Unknown"));
}

#[test]
fn who_is_suspended_is_listed_as_such() {
    let bench = bench();
    bench.put(
        "queue/agent-info/web01-any",
        "Linux w - X\ncrypto_method:aes\noxsec=1;suspended;00000001;\n",
    );
    assert!(run(&bench, "-l").out.contains("   ID: 001, Name: web01, IP: any, Suspended\n"));
    assert!(!run(&bench, "-lc").out.contains("web01"), "it is not active");
    bench.put(
        "queue/agent-info/web01-any",
        "Linux w - X\ncrypto_method:aes\noxsec=1;exiting;00000001;\n",
    );
    assert!(run(&bench, "-l").out.contains("   ID: 001, Name: web01, IP: any, Disconnected\n"));
}
