//! Events under the shipped decoders and rules: decoding, judging, and both outputs. Lines of the input are events.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rules::{Engine, MemoryWorld, Options, RawEvent, Source, State};

fuzz_target!(|bytes: &[u8]| {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(shipped);
    let (mut state, mut world) = (State::new(engine), MemoryWorld::default());
    for (n, line) in bytes.split(|&byte| byte == b'\n').take(64).enumerate() {
        let moment = alerts::Moment::utc(1_700_000_000 + n as i64);
        let mut event = engine.decode(&RawEvent { moment, location: b"/x", payload: line });
        let judgement = engine.judge(&mut state, &mut event, &mut world);
        if let Some(alert) = judgement.alert(engine, &event, 1) {
            let mut out = Vec::new();
            alerts::write_text(&alert, &mut out);
            out.clear();
            alerts::write_json(&alert, &mut out);
            assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
        }
    }
});

fn shipped() -> Engine {
    let etc = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../etc"));
    let decoders = fs::read(etc.join("decoder.xml")).expect("shipped decoders");
    let configuration = fs::read_to_string(etc.join("ossec-local.conf")).expect("its configuration");
    let includes = configuration.split("<include>").skip(1);
    let names: Vec<&str> =
        includes.filter_map(|rest| Some(rest.split_once("</include>")?.0.trim())).collect();
    let texts: Vec<Vec<u8>> =
        names.iter().map(|name| fs::read(etc.join("rules").join(name)).expect("a rule file")).collect();
    let sources: Vec<Source<'_>> =
        names.iter().zip(&texts).map(|(name, text)| Source { name, text }).collect();
    let decoders = [Source { name: "decoder.xml", text: &decoders }];
    rules::load(&decoders, &sources, &[], Options::default()).expect("shipped rules load").engine
}
