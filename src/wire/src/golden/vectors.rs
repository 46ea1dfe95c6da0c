//! Datagram by datagram.

use serde_json::Value;

use super::{hex, load};
use crate::control::{FromAgent, ToAgent};
use crate::counter::{Counter, Window};
use crate::datagram::{Addressed, MAX_TO_AGENT, Peer, Rejection, Sealed};
use crate::digest::Md5Hex;
use crate::forward;
use crate::keepalive::{AgentInfo, Keepalive};
use crate::key::{AgentCipher, Method};
use crate::merged;
use crate::response::Request;
use crate::sealed::{Opener, Sealer, Sealing, read_inner};
use crate::shared::{Assembler, push};

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_else(|| panic!("{name} is text"))
}

fn cipher(agent: &Value) -> AgentCipher {
    let field = |name| text(agent, name).as_bytes();
    AgentCipher::new(field("id"), field("name"), field("key"))
}

fn counter(row: &Value) -> Counter {
    Counter {
        global: u32::try_from(row["global"].as_u64().unwrap()).unwrap(),
        local: u16::try_from(row["local"].as_u64().unwrap()).unwrap(),
    }
}

/// Opens a datagram with a fresh window.
fn open(
    opener: &mut Opener,
    cipher: &AgentCipher,
    datagram: &[u8],
) -> Result<(Counter, Vec<u8>), Rejection> {
    let sealed = Sealed::parse(Addressed::parse(datagram)?.rest)?;
    let opened = opener.open(cipher, &sealed)?;
    Ok((opened.counter, opened.message.to_vec()))
}

/// Names of what does not fit: the recorded datagram opened, our own with the same inputs opened, every truncation refused.
fn complaints(agent: &Value, row: &Value) -> Option<String> {
    let (mut opener, mut sealer, cipher) = (Opener::new(), Sealer::new(), cipher(agent));
    let datagram = hex(&row["datagram_hex"]);
    let message = hex(&row["message_hex"]);
    let addressed = Addressed::parse(&datagram).ok()?;
    let prefix =
        addressed.id.map_or(String::new(), |id| format!("!{}!", String::from_utf8_lossy(id)));
    if prefix != text(row, "prefix") {
        return Some(format!("prefix {prefix}"));
    }
    let expected = (counter(row), message.clone());
    if open(&mut opener, &cipher, &datagram).as_ref() != Ok(&expected) {
        return Some(format!("opened as {:?}", open(&mut opener, &cipher, &datagram)));
    }
    let method = if text(row, "token") == ":" { Method::Blowfish } else { Method::Aes };
    let iv = hex(&row["iv_hex"]);
    let sealing = Sealing {
        method,
        with_id: addressed.id.is_some(),
        counter: expected.0,
        random: text(row, "rand5").parse().unwrap(),
        iv: iv.try_into().unwrap_or_default(),
    };
    let ours = sealer.seal(&cipher, &sealing, &message).unwrap().to_vec();
    let clear = datagram.len() - Sealed::parse(addressed.rest).unwrap().body.len();
    if ours[..clear] != datagram[..clear] {
        return Some("clear part differs".to_owned());
    }
    if open(&mut opener, &cipher, &ours).as_ref() != Ok(&expected) {
        return Some("ours is not opened".to_owned());
    }
    (0..datagram.len())
        .find(|&cut| open(&mut opener, &cipher, &datagram[..cut]).is_ok())
        .map(|cut| format!("opened though cut at {cut}"))
}

fn check_all(file: &str) {
    let Some(rows) = load(file) else { return };
    let rows = rows.as_array().unwrap();
    let wrong: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            complaints(&row["agent"], row).map(|what| format!("{}: {what}", text(row, "case")))
        })
        .collect();
    assert!(rows.len() > 20);
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn golden_datagrams_of_agents_open_and_seal() {
    check_all("agent_to_manager.json");
}

#[test]
fn golden_datagrams_of_managers_open_and_seal() {
    check_all("manager_to_agent.json");
}

#[test]
fn golden_inner_texts_cut_anywhere_are_refused() {
    let Some(rows) = load("agent_to_manager.json") else { return };
    for row in rows.as_array().unwrap() {
        let inner = hex(&row["inner_hex"]);
        let whole = read_inner(&inner).unwrap();
        assert_eq!((whole.counter, whole.message), (counter(row), &hex(&row["message_hex"])[..]));
        // The whole text is summed up for each cut: enough of them, not all, for the large ones.
        for cut in (0..inner.len()).filter(|cut| *cut < 200 || cut % 97 == 0) {
            let expected = if cut < 32 { Rejection::NoChecksum } else { Rejection::Checksum };
            assert_eq!(read_inner(&inner[..cut]), Err(expected), "{} at {cut}", row["case"]);
        }
    }
}

#[test]
fn golden_events_are_forwarded_as_recorded() {
    let Some(rows) = load("agent_to_manager.json") else { return };
    let mut wrong = Vec::new();
    let mut seen = 0;
    for row in rows.as_array().unwrap() {
        let (agent, message) = (&row["agent"], hex(&row["message_hex"]));
        let expected = match (&row["manager_queue"], &row["manager_queue_hex"]) {
            (_, Value::String(_)) => Some(hex(&row["manager_queue_hex"])),
            (Value::Array(list), Value::Array(_)) if list.is_empty() => None,
            (_, Value::Array(list)) => list.first().map(hex),
            (Value::Array(list), _) => {
                list.first().map(|text| text.as_str().unwrap().as_bytes().to_vec())
            }
            _ => None,
        };
        let expected = expected.map(|mut bytes| {
            if bytes.last() == Some(&0) {
                bytes.pop();
            }
            bytes
        });
        let FromAgent::Event(event) = FromAgent::parse(&message) else { continue };
        let ip = text(agent, "ip").split('/').next().unwrap();
        // The original's readers cut the name as they read client.keys.
        let name = text(agent, "name").as_bytes();
        let name = &name[..name.len().min(crate::key::MAX_FIELD)];
        let mut out = Vec::new();
        let ours =
            matches!(forward::event(name, ip.as_bytes(), event, &mut out), Ok(true)).then_some(out);
        seen += usize::from(ours.is_some());
        if ours != expected {
            wrong.push(format!(
                "{}: {:?} not {:?}",
                row["case"],
                ours.map(|b| b.len()),
                expected.map(|b| b.len())
            ));
        }
    }
    assert!(seen > 20, "{seen}");
    assert_eq!(wrong, Vec::<String>::new());
}

/// What a manager says to one recorded datagram, in the recorded order.
struct Manager {
    opener: Opener,
    windows: std::collections::HashMap<String, Window>,
}

impl Manager {
    fn receive(&mut self, row: &Value) -> Result<Vec<u8>, Rejection> {
        let datagram = hex(&row["datagram_hex"]);
        let fields: Vec<&str> = text(row, "keys_line").split(' ').collect();
        let [id, name, ip, key] = fields[..] else { panic!("four fields") };
        let cipher = AgentCipher::new(id.as_bytes(), name.as_bytes(), key.as_bytes());
        let addressed = Addressed::parse(&datagram)?;
        let source = text(row, "sent_from");
        match addressed.id {
            Some(wanted) if wanted != id.as_bytes() => return Err(Rejection::UnknownId),
            Some(_) if ip.ends_with("/24") && !source.starts_with("10.9.2.") => {
                return Err(Rejection::UnknownId);
            }
            None if source != ip => return Err(Rejection::UnknownAddress),
            _ => {}
        }
        let opened = self.opener.open(&cipher, &Sealed::parse(addressed.rest)?)?;
        let message = opened.message.to_vec();
        self.windows.entry(id.to_owned()).or_default().accept(opened.counter)?;
        Ok(message)
    }
}

#[test]
fn golden_rejections_name_the_recorded_reason() {
    let Some(file) = load("manager_rejections.json") else { return };
    let mut manager = Manager { opener: Opener::new(), windows: Default::default() };
    let mut wrong = Vec::new();
    for row in file["cases"].as_array().unwrap() {
        let case = text(row, "case");
        if case.starts_with("policy-") || case.ends_with("-tiny-inner") {
            manager.windows.clear();
        }
        if case.starts_with("policy-") {
            continue;
        }
        let fields: Vec<&str> = text(row, "keys_line").split(' ').collect();
        let id = if case.ends_with("unknown-id") { "777" } else { fields[0] };
        let peer = Peer { source: text(row, "sent_from"), id, name: fields[1], ip: fields[2] };
        let log =
            row["manager_log"].as_array().unwrap().first().and_then(Value::as_str).unwrap_or("");
        let verdict = manager.receive(row);
        let line = verdict.as_ref().err().map(|rejection| {
            let text = rejection.describe(&peer).to_string();
            let level = if *rejection == Rejection::UnknownAddress { "WARN" } else { "ERROR" };
            format!("ossec-remoted{}: {level}: {}", &text[..6], &text[7..])
        });
        let alive = row["manager_alive"].as_bool().unwrap();
        let fits = match case.split_once('-').unwrap().1 {
            // Differences that we want, and accidents of the original.
            "legacy" => verdict == Err(Rejection::Obsolete),
            "notoken" | "empty-token" => verdict.is_err(),
            "tiny-inner" => verdict == Err(Rejection::NoChecksum) && !alive,
            // Authentic; what is done with it afterwards is another matter.
            "event-noqueue" | "keepalive-event" | "ctl-oneline" => verdict.is_ok(),
            _ if row["accepted"].as_bool().unwrap() => verdict.is_ok(),
            _ => line.as_deref() == Some(log),
        };
        if !fits {
            wrong.push(format!("{case}: {verdict:?} {line:?}, recorded {log:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn golden_sessions_are_understood_message_by_message() {
    for (file, ip) in
        [("session_aes_any.json", "any"), ("session_blowfish_static.json", "10.9.1.12")]
    {
        let Some(session) = load(file) else { return };
        let cipher = cipher(&session["agent"]);
        let mut opener = Opener::new();
        let (mut up, mut down) = (Window::default(), Window::default());
        let mut assembler = Assembler::new(1 << 20);
        let (mut execd, mut merged_files, mut reported) = (Vec::new(), Vec::new(), None);
        for row in session["packets"].as_array().unwrap() {
            assert_eq!(complaints(&session["agent"], row), None, "{file} at {}", row["t"]);
            let datagram = hex(&row["datagram_hex"]);
            let (counter, message) = open(&mut opener, &cipher, &datagram).unwrap();
            if text(row, "direction") == "agent_to_manager" {
                up.accept(counter).unwrap();
                if let FromAgent::Keepalive(told) = FromAgent::parse(&message) {
                    reported = Some(told.to_vec());
                }
                continue;
            }
            down.accept(counter).unwrap();
            assert!(datagram.len() <= MAX_TO_AGENT);
            let parsed = ToAgent::parse(&message);
            assert_eq!(parsed.to_bytes(), message);
            match parsed {
                ToAgent::Ack | ToAgent::SyscheckRestart | ToAgent::Syscheck(_) => {}
                ToAgent::FileBegin { sum, name } => assembler.begin(sum, name).unwrap(),
                ToAgent::FilePiece(bytes) => assembler.piece(bytes).unwrap(),
                ToAgent::FileEnd => merged_files.push(assembler.end().unwrap()),
                ToAgent::Execd(line) => execd.push(String::from_utf8(line.to_vec()).unwrap()),
                ToAgent::Unknown(text) => panic!("{text:?}"),
            }
        }
        let recorded: Vec<&str> = session["agent_execd_queue"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_str().unwrap())
            .collect();
        assert_eq!(execd, recorded);
        check_push(&session, &merged_files);
        let reported = reported.unwrap();
        let keepalive = Keepalive::parse(&reported).unwrap();
        let sum = Md5Hex::of(&merged_files[0].content);
        assert_eq!(keepalive.merged(), Some(&sum.as_bytes()[..]));
        let info = session["files_after"][format!("manager:queue/agent-info/web01-{ip}")]
            .as_str()
            .unwrap();
        assert_eq!(AgentInfo::parse(info.as_bytes()).uname, keepalive.uname);
        check_requests(&session);
    }
}

fn check_push(session: &Value, files: &[crate::shared::SharedFile]) {
    assert_eq!(files.len(), 1);
    let file = &files[0];
    assert_eq!(file.name, "merged.mg");
    let mut packed = Vec::new();
    for entry in merged::unpack(&file.content).map(Result::unwrap) {
        assert_eq!(session["shared_files"][entry.name].as_str().unwrap().as_bytes(), entry.content);
        merged::pack(&entry, &mut packed).unwrap();
    }
    assert_eq!(packed, file.content);
    let sum = Md5Hex::of(&file.content);
    let ours: Vec<_> = push(b"merged.mg", &sum, &file.content).map(|m| m.to_bytes()).collect();
    let recorded: Vec<_> = session["packets"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| text(row, "direction") == "manager_to_agent")
        .map(|row| hex(&row["message_hex"]))
        .collect();
    let begin = recorded.iter().position(|m| m.starts_with(b"#!-up file")).unwrap();
    assert_eq!(ours[..], recorded[begin..begin + ours.len()]);
}

fn check_requests(session: &Value) {
    let sent: Vec<&str> = session["agent_execd_queue"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap())
        .collect();
    for text in session["ar_queue_messages_injected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap())
    {
        match Request::parse(text.as_bytes()) {
            Err(_) => assert_eq!(text, "no parenthesis"),
            Ok(request) => {
                let line = std::str::from_utf8(request.rest).unwrap();
                assert_eq!(sent.contains(&line), !text.starts_with("(nobody)"), "{text}");
            }
        }
    }
}
