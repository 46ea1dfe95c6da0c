//! Tests: bytes that nobody would send on purpose, through everything that reads them.

use crate::change::changes;
use crate::digest::{Answer, Collector, Request};
use crate::history::Record;
use crate::message::{self, Message};
use crate::note::Notes;
use crate::sum::Sum;
use crate::{path, report};

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (limit as u64)).unwrap()
    }
}

fn read_everything(payload: &[u8]) {
    let Ok(Message::File { sum, sum_text, path, data }) = Message::parse(payload) else { return };
    let (_, diff) = Notes::split(data.unwrap_or_default());
    assert!(!path.is_empty() && !path.contains(&b'\n'));
    let shown = path::printable(path);
    assert!(shown.iter().all(|&b| b >= b' ' && b != 0x7f));
    assert_eq!(path::unescape(&path::escape(path)).as_ref(), path);
    let again = message::write(sum_text, path, data);
    assert!(Message::parse(&again).is_ok());
    let known = Sum::parse(b"1:33188:0:0:a:b:c");
    if let (Sum::Present(now), Ok(Sum::Present(known))) = (sum, known) {
        let changes = changes(&known, &now);
        report::changed(&shown, &changes, diff);
        report::values_of_change(&changes);
        report::new_file(&shown, &now);
        report::values_of_new_file(&now);
    }
}

#[test]
fn mutated_messages_never_panic() {
    let seed: &[u8] = b"12:33188:0:0:07a83dea:2e6b6dcb:f4e8583d /srv/o\\012ne.txt\n1c1\n< one\n\0";
    let mut random = Random(0x5eed_1234_5678_9abc);
    for _ in 0..20_000 {
        let mut payload = seed.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(payload.len());
            let byte = *b":-1 \n\0\\x\xff+#!'9".get(random.below(14)).unwrap();
            match random.below(3) {
                0 => payload[at] = byte,
                1 => payload.insert(at, byte),
                _ => drop(payload.remove(at)),
            }
        }
        read_everything(&payload);
    }
}

#[test]
fn every_truncation_is_read_without_panic() {
    let whole: &[u8] = b"12:33188:0:0:a:b:c /srv/one.txt\n1c1\n";
    for len in 0..whole.len() {
        read_everything(&whole[..len]);
    }
}

#[test]
fn mutated_answers_requests_and_history_never_panic_and_are_read_back_as_read() {
    let mut collector = Collector::default();
    collector.add(b"/etc/motd", b"1:33188:0:0:a:b:c");
    let seeds = [
        collector.finish().to_message(),
        b"syscheck-resend 17 end 203".to_vec(),
        b"resend 17,203-205,255".to_vec(),
        b"1795220196 alert 4:33188:0:0:a:b:c -1 /etc/a%20b @who%20uid=0%0a".to_vec(),
    ];
    let mut random = Random(0x0dd_5eed_1234_5678);
    for round in 0..40_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = *b" ,-%09afx\n\xff".get(random.below(11)).unwrap(),
                1 => bytes.insert(at, b'7'),
                2 => bytes.truncate(at.max(1)),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        if let Some(request) = Request::parse(&bytes) {
            assert_eq!(Request::parse(request.to_string().as_bytes()), Some(request));
        }
        if let Some(answer) = Answer::parse(&bytes) {
            assert_eq!(Answer::parse(&answer.to_message()), Some(answer));
        }
        if let Some(record) = Record::parse(&bytes) {
            let mut line = Vec::new();
            record.write(&mut line);
            assert_eq!(Record::parse(line.strip_suffix(b"\n").unwrap()), Some(record));
        }
    }
}
