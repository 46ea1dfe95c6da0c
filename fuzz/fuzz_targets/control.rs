//! Control messages of both directions, keepalives, requests to remoted, forwarded events, file transfers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::control::{FromAgent, ToAgent};
use wire::keepalive::{AgentInfo, Keepalive, system_and_version};
use wire::ours::{FromOurs, Mark, ToOurs};
use wire::response::Request;
use wire::shared::{Assembler, is_plain};

fuzz_target!(|bytes: &[u8]| {
    if let FromAgent::Keepalive(text) = FromAgent::parse(bytes)
        && let Ok(keepalive) = Keepalive::parse(text)
    {
        assert!(keepalive.sums().count() <= bytes.len());
        let _ = (keepalive.merged(), system_and_version(keepalive.uname), keepalive.mark());
    }
    let _ = (AgentInfo::parse(bytes), Mark::parse(bytes));
    let mut again = Vec::new();
    if let Some(message) = ToOurs::parse(bytes) {
        message.write(&mut again);
        assert_eq!(again, bytes);
    } else if let Some(message) = FromOurs::parse(bytes) {
        message.write(&mut again);
        assert_eq!(again, bytes);
    }
    let message = ToAgent::parse(bytes);
    if bytes.len() <= wire::control::MAX_CONTROL && !matches!(message, ToAgent::FileBegin { .. }) {
        assert_eq!(message.to_bytes(), bytes);
    }
    if let Ok(request) = Request::parse(bytes) {
        let _ = request.message().to_bytes();
    }
    let mut out = Vec::new();
    let _ = wire::forward::event(b"web01", b"any", bytes, &mut out);

    let mut assembler = Assembler::new(4096);
    for message in bytes.split(|&b| b == 0).map(ToAgent::parse) {
        match message {
            ToAgent::FileBegin { sum, name } => drop(assembler.begin(sum, name)),
            ToAgent::FilePiece(piece) => drop(assembler.piece(piece)),
            ToAgent::FileEnd => {
                if let Ok(file) = assembler.end() {
                    assert!(is_plain(&file.name) && file.content.len() <= 4096);
                }
            }
            _ => {}
        }
    }
});
