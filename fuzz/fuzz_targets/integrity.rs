//! Integrity messages: sums, notes, digests, and what is made of them.
#![no_main]

use fim::digest::{Answer, Request};
use fim::message::{self, Message};
use fim::note::Notes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(request) = Request::parse(bytes) {
        assert_eq!(Request::parse(request.to_string().as_bytes()), Some(request));
    }
    if let Some(answer) = Answer::parse(bytes) {
        assert_eq!(Answer::parse(&answer.to_message()), Some(answer));
    }
    if let Ok(Message::File { sum_text, path, data, .. }) = Message::parse(bytes) {
        let (notes, diff) = Notes::split(data.unwrap_or_default());
        for text in
            [&notes.who].into_iter().flatten().flat_map(|who| [&who.exe, &who.cmd]).flatten()
        {
            assert!(text.iter().all(|&b| b >= b' ' && b != 0x7f));
        }
        // Longer values may be cut when written again.
        if bytes.len() < 250 && Notes::split(diff.unwrap_or_default()).0 == Notes::default() {
            let data = notes.join(diff);
            let path = fim::path::escape(path);
            let mut again = message::write(sum_text, &path, data.as_deref());
            // One at the end is taken off, as old senders leave it there.
            again.push(b'\0');
            let Ok(Message::File { data, .. }) = Message::parse(&again) else {
                panic!("not read back")
            };
            assert_eq!(Notes::split(data.unwrap_or_default()).0, notes);
        }
    }
});
