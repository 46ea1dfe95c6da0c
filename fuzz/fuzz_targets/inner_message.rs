//! The text inside a datagram, behind encryption, compression and checksum: what a peer with a valid key can send.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::counter::{Counter, Window};
use wire::digest::Md5Hex;
use wire::key::{AgentCipher, Method};
use wire::sealed::{Opener, Sealer, Sealing, read_inner};

fuzz_target!(|tail: &[u8]| {
    let _ = read_inner(tail);
    let inner = [&Md5Hex::of(tail).as_bytes()[..], tail].concat();
    let Ok(opened) = read_inner(&inner) else { return };
    let mut window = Window::default();
    let _ = window.accept(opened.counter);
    let _ = Counter::parse(tail);

    // What it carries goes through both ciphers and comes out the same.
    let cipher = AgentCipher::new(b"001", b"web01", b"7f2a");
    for method in [Method::Aes, Method::Blowfish] {
        let sealing =
            Sealing { method, with_id: false, counter: opened.counter, random: 1, iv: [2; 16] };
        let mut sealer = Sealer::new();
        let Ok(datagram) = sealer.seal(&cipher, &sealing, opened.message) else { return };
        let sealed = wire::datagram::Sealed::parse(datagram).expect("ours has a token");
        assert_eq!(Opener::new().open(&cipher, &sealed), Ok(opened));
    }
});
