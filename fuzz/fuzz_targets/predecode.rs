//! Any line, with and without the modern headers: it ends in parts of itself.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rules::{Engine, EventTime, Options, RawEvent};

fuzz_target!(|line: &[u8]| {
    static ENGINES: OnceLock<[Engine; 2]> = OnceLock::new();
    let engines = ENGINES.get_or_init(|| {
        let modern = Options {
            modern_headers: true,
            structured_data: true,
            keep_lines: true,
            event_time: EventTime::Logged { past: 86_400, future: 3600 },
            ..Options::default()
        };
        [Options::default(), modern].map(|options| {
            rules::load(&[], &[], &[], options).expect("no files, no mistakes").engine
        })
    });
    for engine in engines {
        let moment = alerts::Moment::utc(1_700_000_000);
        let event = engine.decode(&RawEvent { moment, location: b"/x", payload: line });
        assert!(event.log().len() <= line.len().max(event.full_log().len()));
    }
});
