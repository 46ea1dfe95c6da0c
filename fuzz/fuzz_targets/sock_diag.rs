//! The kernel's list of sockets, as netlink gives it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rootcheck::sockets::{Ports, read};

fuzz_target!(|bytes: &[u8]| {
    let mut ports = Ports::default();
    // A socket is 88 bytes with its header.
    let _ = read(bytes, true, &mut ports);
    assert!(ports.used.len() + ports.bound.len() <= bytes.len() / 88);
    let _ = read(bytes, false, &mut Ports::default());
});
