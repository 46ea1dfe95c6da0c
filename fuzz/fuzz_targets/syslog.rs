//! Syslog streams: read whole or byte by byte, the messages are the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::syslog::{Item, Splitter, datagram};

const LIMIT: usize = 64;

fn split(bytes: &[u8], step: usize) -> Vec<Option<Vec<u8>>> {
    let mut splitter = Splitter::new(LIMIT);
    let mut items = Vec::new();
    for piece in bytes.chunks(step) {
        splitter.feed(piece);
        while let Some(item) = splitter.next_item() {
            items.push(match item {
                Item::Message(text) => Some(text.to_vec()),
                Item::TooLong => None,
            });
        }
    }
    items.extend(splitter.finish().map(|text| Some(text.to_vec())));
    items
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(split(bytes, 1), split(bytes, bytes.len().max(1)));
    assert!(datagram(bytes).len() <= bytes.len());
});
