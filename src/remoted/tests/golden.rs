//! Recorded sessions and refusals of the original, replayed through the table and the intake.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a panic in a test is the report")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use agents::{KeyFile, Received, SendCounter, Table};
use remoted::agents_table::{AgentsTable, Reply};
use remoted::intake::{self, Strictness};
use remoted::post::{Post, Sent};
use remoted::remedy::Case;
use serde_json::Value;
use tempfile::TempDir;
use wire::control::{FromAgent, ToAgent};
use wire::counter::Counter;
use wire::datagram::{Accept, Addressed, Sealed};
use wire::forward;
use wire::keepalive::Keepalive;
use wire::sealed::Opener;

/// What became of one datagram.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Event(String),
    /// An authentic message that is no event.
    NoEvent,
    LifeSign,
    Control(Vec<u8>),
    /// The line of the log.
    Refused(String),
}

/// A manager without sockets.
struct Manager {
    _root: TempDir,
    table: AgentsTable,
    received: Received,
    opener: Opener,
    accept: Accept,
}

impl Manager {
    fn new(keys: &str, accept: Accept) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("queue/rids")).unwrap();
        let mut table = AgentsTable::default();
        table.update(&Table::new(&KeyFile::parse(keys.as_bytes()), usize::MAX));
        let received = Received::open(root.path()).unwrap();
        Self { _root: root, table, received, opener: Opener::new(), accept }
    }

    fn take(&mut self, datagram: &[u8], from: &str) -> Came {
        let how = Strictness { accept: self.accept, verify_numbers: true, pin_methods: false };
        // As a socket of both families shows it.
        let from = match from.parse().unwrap() {
            IpAddr::V4(from) => from.to_ipv6_mapped(),
            IpAddr::V6(from) => from,
        };
        let from = SocketAddr::from((from, 40_000));
        let at = SystemTime::UNIX_EPOCH;
        let (table, received) = (&mut self.table, &mut self.received);
        match intake::take(table, received, &mut self.opener, datagram, from, at, how) {
            Err((refused, counter)) => {
                let entry = refused.slot.and_then(|slot| self.table.entry(slot));
                let inside = datagram.strip_prefix(b"!").unwrap_or_default();
                let digits = inside.iter().take_while(|b| b.is_ascii_digit()).count();
                let case = Case {
                    cause: refused.cause,
                    from,
                    id: &inside[..digits],
                    entry,
                    counter,
                    last: None,
                };
                assert!(!case.remedy().is_empty());
                Came::Refused(case.line())
            }
            Ok(taken) => {
                let agent = &self.table.entry(taken.slot).unwrap().agent;
                let FromAgent::Event(message) = FromAgent::parse(taken.message) else {
                    return Came::Control(taken.message.to_vec());
                };
                let mut out = Vec::new();
                let (name, ip) = (agent.name.kept(), agent.address.stored());
                match forward::event(name.as_bytes(), ip.as_bytes(), message, &mut out) {
                    Ok(true) => Came::Event(String::from_utf8_lossy(&out).into_owned()),
                    Ok(false) => Came::LifeSign,
                    Err(_) => Came::NoEvent,
                }
            }
        }
    }
}

fn load(name: &str) -> Option<Value> {
    let folder = std::env::var_os("GOLDEN_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden")),
        PathBuf::from,
    );
    let path = folder.join("wire").join(name);
    let Ok(text) = std::fs::read(&path) else {
        println!("skipped: no {}", path.display());
        return None;
    };
    Some(serde_json::from_slice(&text).unwrap())
}

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().unwrap().as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// `ossec-remoted(1407): ERROR: Duplicated ...` as we hand it to the log: `(1407) Duplicated ...`.
fn ours(line: &str) -> String {
    let Some(behind) = line.strip_prefix("ossec-remoted(") else { return line.to_owned() };
    let (number, rest) = behind.split_once("): ").unwrap();
    format!("({number}) {}", rest.split_once(": ").unwrap().1)
}

#[test]
fn golden_sessions_are_taken_message_by_message() {
    for (file, source) in
        [("session_aes_any.json", "10.9.1.11"), ("session_blowfish_static.json", "10.9.1.12")]
    {
        let Some(session) = load(file) else { return };
        let mut manager = Manager::new(text(&session["agent"]["keys_line"]), Accept::Both);
        let mut events = Vec::new();
        let (mut wrong, mut keepalives) = (Vec::new(), 0);
        // The recording leaves some packets out; the gaps tell how many.
        let (mut last, mut left_out) = (0, 0);
        for packet in session["packets"].as_array().unwrap() {
            if packet["direction"] != "agent_to_manager" {
                continue;
            }
            let message = bytes(&packet["message_hex"]);
            let local = packet["local"].as_u64().unwrap();
            (last, left_out) = (local, left_out + local - last - 1);
            match manager.take(&bytes(&packet["datagram_hex"]), source) {
                Came::Event(event) => events.push(event),
                Came::Control(control) if control == message => {
                    if let FromAgent::Keepalive(text) = FromAgent::parse(&control) {
                        keepalives += usize::from(
                            Keepalive::parse(text).is_ok_and(|it| it.merged().is_some()),
                        );
                    }
                }
                other => wrong.push(format!("{file} at {}: {other:?}", packet["t"])),
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
        assert!(keepalives > 1, "{file}");
        let recorded: Vec<&str> =
            session["manager_analysis_queue"].as_array().unwrap().iter().map(text).collect();
        let missing: Vec<&&str> =
            recorded.iter().filter(|event| !events.iter().any(|e| e == **event)).collect();
        assert!(missing.is_empty(), "{file}: {missing:?} of {events:#?}");
        let slot = manager.table.by_id(b"001").unwrap();
        let known = &manager.table.entry(slot).unwrap().known;
        assert_eq!((known.missing, known.refused), (left_out, 0), "{file}");
    }
}

#[test]
fn golden_messages_to_agents_are_sent_as_recorded() {
    let Some(rows) = load("manager_to_agent.json") else { return };
    let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
    agent.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let doors = [UdpSocket::bind("127.0.0.1:0").unwrap()];
    let mut wrong = Vec::new();
    let mut opener = Opener::new();
    for row in rows.as_array().unwrap() {
        let keys = text(&row["agent"]["keys_line"]);
        let manager = Manager::new(keys, Accept::Both);
        let number = |field: &str| row[field].as_u64().unwrap();
        let (global, local) =
            (u32::try_from(number("global")).unwrap(), u16::try_from(number("local")).unwrap());
        let before = Counter { global, local: local - 1 };
        let mut counter = SendCounter::open(manager._root.path()).unwrap();
        counter.jump(before).unwrap();
        let entry = manager.table.iter().next().unwrap();
        let method = text(&row["method"]).parse().unwrap();
        let to =
            Reply { address: agent.local_addr().unwrap(), door: 0, method, at: Instant::now() };
        let message = bytes(&row["message_hex"]);
        let sent = Post::new(counter).send_to(&doors, entry, to, ToAgent::parse(&message));
        assert_eq!(sent, Sent::Yes);
        let mut buffer = [0; 8192];
        let len = agent.recv(&mut buffer).unwrap();
        let addressed = Addressed::parse(&buffer[..len]).unwrap();
        let sealed = Sealed::parse(addressed.rest).unwrap();
        let opened = opener.open(&entry.cipher, &sealed).unwrap();
        let is_right = addressed.id.is_none()
            && sealed.method == method
            && opened.counter == Counter { global, local }
            && opened.message == message;
        if !is_right {
            wrong.push(format!(
                "{}: {} {}",
                row["case"],
                opened.counter,
                opened.message.escape_ascii()
            ));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn golden_rejections_are_refused_with_their_lines() {
    let Some(file) = load("manager_rejections.json") else { return };
    let cases = file["cases"].as_array().unwrap();
    let mut lines: Vec<&str> = Vec::new();
    for case in cases {
        if !lines.contains(&text(&case["keys_line"])) {
            lines.push(text(&case["keys_line"]));
        }
    }
    let mut keys: Vec<&str> = lines.clone();
    // Some cases mean a key that the manager doesn't have: the first line of an id counts.
    keys.dedup_by_key(|line| line.split(' ').next());
    let keys = keys.join("\n");
    let mut manager = Manager::new(&keys, Accept::Both);
    let mut series = "";
    let mut wrong = Vec::new();
    for case in cases {
        let name = text(&case["case"]);
        let this = match name.split('-').collect::<Vec<_>>()[..] {
            ["policy", "aes", ..] => "aes only",
            ["policy", "blowfish", ..] => "blowfish only",
            ["aes", "tiny" | "max" | "over", "inner"] | ["aes", "short", "header"] => "aes inner",
            [_, "tiny" | "max" | "over", "inner"] | [_, "short", "header"] => "inner",
            _ => "",
        };
        // Those of the inner series came to a manager of their own, restarted when it died.
        if this != series {
            let accept = match this {
                "aes only" => Accept::Aes,
                "blowfish only" => Accept::Blowfish,
                _ => Accept::Both,
            };
            manager = Manager::new(&keys, accept);
            series = this;
        }
        let came = manager.take(&bytes(&case["datagram_hex"]), text(&case["sent_from"]));
        if !fits(case, name, &came) {
            wrong.push(format!(
                "{name}: {came:?} instead of {} {}",
                case["manager_log"], case["manager_queue"]
            ));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn golden_datagrams_cut_anywhere_change_nothing_at_the_manager() {
    for (file, rows) in
        [("agent_to_manager.json", None), ("manager_rejections.json", Some("cases"))]
    {
        let Some(all) = load(file) else { return };
        let rows = rows.map_or(&all, |field| &all[field]).as_array().unwrap();
        let mut wrong = Vec::new();
        for row in rows {
            let keys = row["agent"]["keys_line"].as_str().or(row["keys_line"].as_str()).unwrap();
            let from = row["sent_from"].as_str().unwrap_or("10.9.1.11");
            let mut manager = Manager::new(keys, Accept::Both);
            let whole = bytes(&row["datagram_hex"]);
            for len in 0..whole.len() {
                let came = manager.take(&whole[..len], from);
                if !matches!(came, Came::Refused(_)) {
                    wrong.push(format!("{} cut to {len}: {came:?}", row["case"]));
                }
            }
            for entry in manager.table.iter() {
                let last = manager.received.last(&entry.agent.id).unwrap_or_default();
                if entry.known.accepted > 0 || last != Counter::default() {
                    wrong.push(format!("{}: a piece counts: {last}", row["case"]));
                }
            }
        }
        assert_eq!(wrong, Vec::<String>::new(), "{file}");
    }
}

fn fits(case: &Value, name: &str, came: &Came) -> bool {
    let accidental = ["-notoken", "-empty-token", "-legacy", "-tiny-inner"];
    if accidental.iter().any(|end| name.ends_with(end)) {
        return matches!(came, Came::Refused(_));
    }
    let logged = case["manager_log"].as_array().unwrap().first().map(|line| ours(text(line)));
    let queued = case["manager_queue"].as_array().unwrap().first().map(text);
    match came {
        Came::Event(event) => match queued {
            // Long ones are recorded by their beginning and length, with the zero byte of the old queue.
            Some(queued) if queued.ends_with(" bytes)") => {
                let (start, len) = queued.rsplit_once("...(").unwrap();
                event.starts_with(start) && len == format!("{} bytes)", event.len() + 1)
            }
            queued => queued == Some(event),
        },
        Came::Control(_) => case["manager_reply_count"].as_u64().unwrap() > 0,
        Came::LifeSign => logged.is_none() && queued.is_none() && case["manager_reply_count"] == 0,
        Came::NoEvent => logged.is_some_and(|line| line.starts_with("(1106)")),
        // The policy's line is written once in a while.
        Came::Refused(line) if name.starts_with("policy-") => {
            logged.is_none_or(|logged| logged == *line)
        }
        Came::Refused(line) => logged.as_deref() == Some(line),
    }
}
