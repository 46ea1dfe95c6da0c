//! Compiled lists: any bytes are read in bounded time, and a list that is written is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(reader) = cdb::Reader::new(bytes) {
        reader.get(bytes.get(2048..2056).unwrap_or_default());
        assert!(reader.records().count() <= bytes.len() / 8 + 1);
    }
    let _ = cdb::to_text(bytes);
    let database = cdb::write(cdb::entries(bytes)).expect("a list of this size fits");
    let reader = cdb::Reader::new(&database).expect("what was written is sound");
    let mut seen = std::collections::HashSet::new();
    for (key, value) in cdb::entries(bytes) {
        if seen.insert(key) {
            assert_eq!(reader.get(key), Some(value));
        }
    }
});
