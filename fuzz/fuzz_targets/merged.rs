//! merged.mg as it came from a manager: no entry leaves the folder, and what is unpacked packs to the same entries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::merged::{pack, unpack};
use wire::shared::is_plain;

fuzz_target!(|bytes: &[u8]| {
    let entries: Vec<_> = unpack(bytes).filter_map(Result::ok).collect();
    let mut packed = Vec::new();
    for entry in &entries {
        assert!(is_plain(entry.name));
        pack(entry, &mut packed).expect("an unpacked name is plain");
    }
    let again: Vec<_> = unpack(&packed).map(|entry| entry.expect("just packed")).collect();
    assert_eq!(again, entries);
});
