use super::*;
use crate::golden;
use proptest::prelude::*;

fn split(pieces: &[&[u8]]) -> Vec<String> {
    let mut splitter = Splitter::new(100);
    let mut out = Vec::new();
    for piece in pieces {
        splitter.feed(piece);
        while let Some(item) = splitter.next_item() {
            out.push(match item {
                Item::Message(text) => String::from_utf8_lossy(text).into_owned(),
                Item::TooLong => "TOO LONG".to_owned(),
            });
        }
    }
    out.extend(splitter.finish().map(|text| String::from_utf8_lossy(text).into_owned()));
    out
}

#[test]
fn lines_are_split_wherever_the_reads_end() {
    let stream = b"<14>one\ntwo\r\n\n\n<3>three\n11 <5>counted\nx<1>y\n7 <1>a\nbc17 apples\nend";
    let whole = split(&[stream]);
    assert_eq!(whole, ["one", "two", "three", "counted", "x<1>y", "a\nbc", "17 apples", "end"]);
    for cut in 0..stream.len() {
        assert_eq!(split(&[&stream[..cut], &stream[cut..]]), whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(split(&bytes), whole);
}

#[test]
fn a_long_message_is_thrown_away_once_and_the_next_one_read() {
    let long = [b'x'; 300];
    let line = [&long[..], b"\nnext\n"].concat();
    assert_eq!(split(&[&line]), ["TOO LONG", "next"]);
    let pieces: Vec<&[u8]> = line.chunks(7).collect();
    assert_eq!(split(&pieces), ["TOO LONG", "next"]);
    let counted = [&b"300 <"[..], &long[1..], b"<1>next\n"].concat();
    assert_eq!(split(&[&counted]), ["TOO LONG", "next"]);
    let pieces: Vec<&[u8]> = counted.chunks(11).collect();
    assert_eq!(split(&pieces), ["TOO LONG", "next"]);
    assert_eq!(split(&[&long[..]]), ["TOO LONG"]);
}

#[test]
fn the_buffer_stays_bounded() {
    let mut splitter = Splitter::new(100);
    for _ in 0..1000 {
        splitter.feed(&[b'x'; 64]);
        while splitter.next_item().is_some() {}
        assert!(splitter.buffer.len() <= 100 + 64);
    }
}

#[test]
fn a_priority_is_removed_whatever_it_is() {
    assert_eq!(datagram(b"<13>a\n"), b"a");
    assert_eq!(datagram(b"<x>a\r\n"), b"a\r");
    assert_eq!(datagram(b"<13 unterminated"), b"<13 unterminated");
    assert_eq!(datagram(b"\n"), b"");
}

#[test]
fn golden_syslog_input_is_read_as_recorded() {
    let Some(file) = golden::load("syslog_input.json") else { return };
    let mut wrong = Vec::new();
    let mut stream = Vec::new();
    for (case, seen) in file["cases"].as_object().unwrap() {
        let text = &case[case.find("b'").unwrap() + 2..case.rfind('\'').unwrap()];
        let sent = text.replace("\\n", "\n").replace("\\r", "\r");
        if case.starts_with("tcp") {
            stream.extend_from_slice(sent.as_bytes());
            continue;
        }
        let Some(recorded) = seen[0].as_array().unwrap().first().and_then(|v| v.as_str()) else {
            continue;
        };
        let (recorded, len) = recorded.rsplit_once(" len=").unwrap();
        let recorded = recorded.strip_prefix("2:10.9.1.99:").unwrap();
        let whole_recorded = len.parse() == Ok("2:10.9.1.99:".len() + recorded.len() + 1);
        let ours = datagram(sent.as_bytes());
        if whole_recorded && ours != recorded.as_bytes() {
            wrong.push(case.clone());
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    // The original glued some of these lines together; every one is there.
    assert_eq!(split(&[&stream]), ["tcp one", "part ial", "a", "b", "c", "d", "crlf", "e"]);
}

proptest! {
    #[test]
    fn any_stream_is_split_the_same_however_it_is_read(bytes in "[<>0-3 \na-c\r]{0,400}", step in 1usize..50) {
        let pieces: Vec<&[u8]> = bytes.as_bytes().chunks(step).collect();
        prop_assert_eq!(split(&pieces), split(&[bytes.as_bytes()]));
    }
}
