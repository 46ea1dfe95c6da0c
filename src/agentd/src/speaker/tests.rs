//! The speaker against recorded managers.

use super::*;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use wire::control::ToAgent;

use crate::orders::Orders;

fn golden(name: &str) -> Option<Value> {
    let folder = std::env::var_os("GOLDEN_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden")),
        PathBuf::from,
    );
    match fs::read(folder.join("wire").join(name)) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Err(_) => {
            println!("skipped: no golden data ({name})");
            None
        }
    }
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn speaker(root: &Path, line: &str, method: &str) -> Speaker {
    for folder in ["queue/rids", "etc/shared", "var/run", "queue/alerts"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let agent = Agent::parse(line.as_bytes()).unwrap();
    Speaker::open(root, agent, method.parse().unwrap(), true, &["m".to_owned()]).unwrap()
}

#[test]
fn golden_messages_of_managers_are_understood_and_the_other_cipher_is_not() {
    let Some(cases) = golden("manager_to_agent.json") else { return };
    let mut wrong = Vec::new();
    for case in cases.as_array().unwrap() {
        let dir = tempfile::tempdir().unwrap();
        let line = case["agent"]["keys_line"].as_str().unwrap();
        let method = case["method"].as_str().unwrap();
        let datagram = bytes(&case["datagram_hex"]);
        let name = case["case"].as_str().unwrap();
        let mut this = speaker(dir.path(), line, method);
        match this.unseal(0, &datagram) {
            Ok(message) if message == bytes(&case["message_hex"]) => {}
            other => wrong.push(format!("{name}: {other:?}")),
        }
        if this.unseal(0, &datagram).is_ok() {
            wrong.push(format!("{name}: taken twice"));
        }
        let other = if method == "aes" { "blowfish" } else { "aes" };
        let dir = tempfile::tempdir().unwrap();
        if speaker(dir.path(), line, other).unseal(0, &datagram).is_ok() {
            wrong.push(format!("{name}: taken with the other method"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn golden_sessions_leave_the_same_shared_files_and_responses() {
    for name in ["session_aes_any.json", "session_blowfish_static.json"] {
        let Some(session) = golden(name) else { return };
        let dir = tempfile::tempdir().unwrap();
        let line = session["agent"]["keys_line"].as_str().unwrap();
        let mut speaker = speaker(dir.path(), line, session["method"].as_str().unwrap());
        let execd =
            std::os::unix::net::UnixDatagram::bind(dir.path().join(ipc::paths::EXECQ)).unwrap();
        execd.set_nonblocking(true).unwrap();
        let mut orders = Orders::new(dir.path(), true);
        let mut heard = 0;
        for packet in session["packets"].as_array().unwrap() {
            if packet["direction"].as_str().unwrap().starts_with("manager") {
                let datagram = bytes(&packet["datagram_hex"]);
                let message = speaker.unseal(0, &datagram).unwrap().to_vec();
                orders.obey(&ToAgent::parse(&message));
                heard += 1;
            }
        }
        assert!(heard > 3, "{name}: {heard} packets of the manager");
        let mut responses = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok(len) = execd.recv(&mut buffer) {
            responses
                .push(String::from_utf8_lossy(&buffer[..len]).trim_end_matches('\0').to_owned());
        }
        let expected: Vec<String> = session["agent_execd_queue"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m.as_str().unwrap_or_default().trim_end_matches('\0').to_owned())
            .collect();
        assert_eq!(responses, expected, "{name}");
        for (file, content) in session["shared_files"].as_object().unwrap() {
            let Some(expected) = content.as_str() else { continue };
            let found = fs::read(dir.path().join("etc/shared").join(file)).unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(&found), expected, "{name}: {file}");
        }
    }
}

#[test]
fn golden_datagrams_cut_at_any_byte_are_refused() {
    let Some(cases) = golden("manager_to_agent.json") else { return };
    let case = &cases[0];
    let dir = tempfile::tempdir().unwrap();
    let line = case["agent"]["keys_line"].as_str().unwrap();
    let mut speaker = speaker(dir.path(), line, case["method"].as_str().unwrap());
    let datagram = bytes(&case["datagram_hex"]);
    for cut in 0..datagram.len() {
        assert!(speaker.unseal(0, &datagram[..cut]).is_err(), "cut at {cut}");
    }
    assert!(speaker.unseal(0, &datagram).is_ok());
}
