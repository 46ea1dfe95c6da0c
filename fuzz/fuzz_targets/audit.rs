//! The kernel's audit records: any bytes, one record a line, each with the digit in front as its kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syscheckd::whodata::audit::Gathering;

const KINDS: [u16; 5] = [1300, 1302, 1307, 1320, 1327];

fuzz_target!(|bytes: &[u8]| {
    let mut gathering = Gathering::default();
    for line in bytes.split(|&byte| byte == b'\n') {
        let Some((digit, record)) = line.split_first() else { continue };
        let kind = KINDS[usize::from(*digit) % KINDS.len()];
        if let Some(seen) = gathering.take(kind, record) {
            assert!((1..=16).contains(&seen.paths.len()), "as many as are kept");
            assert!(seen.paths.iter().all(|path| path.starts_with(b"/")), "absolute");
        }
    }
});
