//! Decoder and rule files: any bytes end in an engine or in errors with file and line. A NUL parts the two files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rules::{Options, RawEvent, Source};

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (decoders, rules) = bytes.split_at(at);
    let rules = rules.get(1..).unwrap_or_default();
    let loaded = rules::load(
        &[Source { name: "decoder.xml", text: decoders }],
        &[Source { name: "rules.xml", text: rules }],
        &[Source { name: "list", text: decoders }],
        Options::default(),
    );
    match loaded {
        Ok(loaded) => {
            let moment = alerts::Moment::utc(1_700_000_000);
            let payload = b"Nov 14 22:13:20 h app[1]: ip=10.0.0.1 {\"a\":1}";
            loaded.engine.decode(&RawEvent { moment, location: b"/x", payload });
        }
        Err(errors) => assert!(!errors.is_empty()),
    }
});
