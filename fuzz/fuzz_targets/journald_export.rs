//! journalctl's export: it reads the same wherever the pipe cuts it. The first byte says where.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, rest)) = bytes.split_first() else { return };
    assert!(logcollector::foreign::export_reads_the_same(rest, usize::from(*cut)));
});
