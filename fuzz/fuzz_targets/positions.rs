//! logcollector's file of positions, as a kill, a full disk or an editor left it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(logcollector::foreign::positions_read_the_same(bytes));
});
