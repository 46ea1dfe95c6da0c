//! Datagrams from the network, as a manager takes them; what opens was sealed with the key, so nothing may.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use wire::datagram::{Addressed, Sealed};
use wire::key::AgentCipher;
use wire::sealed::Opener;

static CIPHER: LazyLock<AgentCipher> =
    LazyLock::new(|| AgentCipher::new(b"001", b"web01", b"7f2a"));

fuzz_target!(|bytes: &[u8]| {
    let Ok(addressed) = Addressed::parse(bytes) else { return };
    let Ok(sealed) = Sealed::parse(addressed.rest) else { return };
    if let Ok(opened) = Opener::new().open(&CIPHER, &sealed) {
        assert!(opened.message.len() <= wire::datagram::MAX_DATAGRAM);
    }
});
