use super::*;
use crate::datagram::MAX_TO_AGENT;
use crate::shared::PIECE;
use proptest::prelude::*;

fn cipher() -> AgentCipher {
    AgentCipher::new(b"001", b"web01", b"7f2a")
}

fn sealing(method: Method) -> Sealing {
    let counter = Counter { global: 5, local: 9991 };
    Sealing { method, with_id: true, counter, random: 7, iv: [9; IV_LEN] }
}

fn open(opener: &mut Opener, datagram: &[u8]) -> Result<Vec<u8>, Rejection> {
    let addressed = crate::datagram::Addressed::parse(datagram)?;
    Ok(opener.open(&cipher(), &Sealed::parse(addressed.rest)?)?.message.to_vec())
}

fn noise(len: usize) -> Vec<u8> {
    let step = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24) as u8)
    };
    (0..len).scan(1, |state, _| step(state)).collect()
}

/// An agent of the original reads 1024 bytes of a datagram.
#[test]
fn a_piece_of_any_shared_file_fits_what_agents_read() {
    let (mut sealer, mut opener, cipher) = (Sealer::new(), Opener::new(), cipher());
    let umlauts = "äöüßéèêñ".repeat(100).into_bytes();
    for piece in [noise(PIECE), vec![0xff; PIECE], umlauts.get(..PIECE).unwrap().to_vec()] {
        for method in [Method::Aes, Method::Blowfish] {
            let sealing = Sealing { with_id: false, ..sealing(method) };
            let datagram = sealer.seal(&cipher, &sealing, &piece).unwrap();
            assert!(datagram.len() <= MAX_TO_AGENT, "{method:?}: {} bytes", datagram.len());
            assert_eq!(open(&mut opener, datagram).unwrap(), piece);
        }
    }
}

/// Of an AES datagram any tail can be sent as a datagram of its own: a line that somebody chose shall not be such a tail.
#[test]
fn a_line_does_not_stand_as_it_is_in_what_is_encrypted() {
    let (mut sealer, cipher, line) = (Sealer::new(), cipher(), b"1:/var/log/x:abcdefghijklmnop");
    let sealing = Sealing { with_id: false, ..sealing(Method::Aes) };
    let datagram = sealer.seal(&cipher, &sealing, line).unwrap();
    let mut body = Sealed::parse(datagram).unwrap().body.to_vec();
    let plain = cipher.decrypt(Method::Aes, &sealing.iv, &mut body).unwrap();
    assert!(!plain.windows(8).any(|run| line.windows(8).any(|part| part == run)));
}

#[test]
fn sizes_at_the_limits() {
    let noise = noise(MAX_MESSAGE + 1);
    let (mut sealer, mut opener, cipher) = (Sealer::new(), Opener::new(), cipher());
    for method in [Method::Aes, Method::Blowfish] {
        let sealing = sealing(method);
        let largest = &noise[..MAX_MESSAGE];
        let datagram = sealer.seal(&cipher, &sealing, largest).unwrap();
        assert!(datagram.len() <= MAX_DATAGRAM, "{}", datagram.len());
        assert_eq!(open(&mut opener, datagram).unwrap(), largest);
        assert_eq!(
            sealer.seal(&cipher, &sealing, &noise),
            Err(SealError::TooLong { len: MAX_MESSAGE + 1 })
        );
        assert_eq!(sealer.seal(&cipher, &sealing, b""), Err(SealError::Empty));
    }
}

#[test]
fn another_key_opens_nothing() {
    let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
    let other = AgentCipher::new(b"001", b"web01", b"7f2b");
    for method in [Method::Aes, Method::Blowfish] {
        let datagram = sealer.seal(&other, &sealing(method), b"1:a:b").unwrap();
        assert!(open(&mut opener, datagram).is_err());
    }
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let mut deflate = Compress::new(Compression::new(9), true);
    let mut plain = vec![b'!'; 8];
    let mut stream = vec![0; 4096];
    deflate.compress(&vec![b'a'; 1 << 20], &mut stream, FlushCompress::Finish).unwrap();
    stream.truncate(usize::try_from(deflate.total_out()).unwrap());
    plain.truncate(8 - stream.len() % 8);
    plain.extend_from_slice(&stream);
    let len = plain.len();
    plain.resize(len + 16, 0);
    let size = cipher().encrypt(Method::Blowfish, &[0; IV_LEN], &mut plain, len).unwrap();
    let sealed = Sealed { method: Method::Blowfish, iv: [0; IV_LEN], body: &plain[..size] };
    assert_eq!(Opener::new().open(&cipher(), &sealed), Err(Rejection::Uncompressible));
}

#[test]
fn numbers_of_the_header_are_digits() {
    let inner = |tail: &str| [Md5Hex::of(tail.as_bytes()).as_str(), tail].concat();
    let read = |tail: &str| read_inner(inner(tail).as_bytes()).map(|opened| opened.counter);
    assert_eq!(read("000070000000005:9991:"), Ok(Counter { global: 5, local: 9991 }));
    for bad in [
        "",
        "0000700000000",
        "000070000000005:9991",
        "000070000000005x9991:",
        "0000700000000-5:9991:",
        "000079999999999:9991:",
        "000070000000005:+991:",
        "000070000000005:99911",
    ] {
        assert_eq!(read(bad), Err(Rejection::Header), "{bad}");
    }
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened(message in proptest::collection::vec(any::<u8>(), 1..600), aes: bool) {
        let method = if aes { Method::Aes } else { Method::Blowfish };
        let mut sealer = Sealer::new();
        let datagram = sealer.seal(&cipher(), &sealing(method), &message).unwrap();
        prop_assert_eq!(open(&mut Opener::new(), datagram), Ok(message));
    }

    #[test]
    fn a_changed_datagram_never_gives_another_message(at in any::<prop::sample::Index>(), flip in 1u8.., aes: bool) {
        let method = if aes { Method::Aes } else { Method::Blowfish };
        let mut sealer = Sealer::new();
        let mut datagram = sealer.seal(&cipher(), &sealing(method), b"1:/var/log/x:hi").unwrap().to_vec();
        let at = at.index(datagram.len());
        datagram[at] ^= flip;
        if let Ok(message) = open(&mut Opener::new(), &datagram) {
            prop_assert_eq!(message, b"1:/var/log/x:hi");
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut opener = Opener::new();
        prop_assert!(open(&mut opener, &bytes).is_err());
        prop_assert!(open(&mut opener, &[b":", &bytes[..]].concat()).is_err());
        prop_assert!(open(&mut opener, &[b"#AES:", &bytes[..]].concat()).is_err());
        let _ = read_inner(&bytes);
    }
}
