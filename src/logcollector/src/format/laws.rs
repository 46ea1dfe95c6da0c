//! What holds for every format, whatever its shape: tested on mutations of one sample each.
//!
//! - However the bytes are cut into reads, the records are the same.
//! - Reading again from where a record says to resume gives exactly the records after it.
//! - No bytes make it panic.

use settings::LogFormat;

use super::{About, Format, Record, Records, for_file};
use crate::line::LineBuffer;

/// Everything that `format` makes of `text`.
pub(super) fn run(format: &mut dyn Format, text: &[u8], rest: bool) -> Records {
    run_from(format, text, 0, text.len().max(1), rest)
}

pub(super) fn lines(format: &mut dyn Format, text: &[u8]) -> Vec<Record> {
    run(format, text, false).ready
}

pub(super) fn payloads(format: &mut dyn Format, text: &[u8]) -> Vec<String> {
    as_text(&run(format, text, false).ready)
}

pub(super) fn payloads_at_rest(format: &mut dyn Format, text: &[u8]) -> Vec<String> {
    as_text(&run(format, text, true).ready)
}

fn as_text(records: &[Record]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8(r.payload.clone()).unwrap()).collect()
}

fn run_from(
    format: &mut dyn Format,
    text: &[u8],
    from: usize,
    chunk: usize,
    rest: bool,
) -> Records {
    let mut out = Records { stamp: "Nov 21 00:22:13".to_owned(), ..Records::default() };
    let mut buffer = LineBuffer::at(from as u64);
    if from > 0 {
        format.recall(&text[..from]);
    }
    for bytes in text[from..].chunks(chunk) {
        buffer.feed(bytes, format, &mut out);
    }
    if rest {
        format.rest(&mut out);
    }
    out
}

const SAMPLES: [(LogFormat, &[u8]); 14] = [
    (LogFormat::Syslog, b"one\n\ntwo\r\nthree \0 four\n"),
    (LogFormat::Json, b"{\"a\":1}\n\nplain\n[1]\n"),
    (LogFormat::MultiLine(3), b"a\nb\nc\nd\n\nf\ng\nh\ni\nj\n"),
    (LogFormat::MultiLineIndented, b"a\n b\n\tc\nd\n\n e\nf\n"),
    (LogFormat::SnortFull, b"[**] [1:2:3] X [**]\n[Classification: L] [Priority: 2] \n11/21-10:00 1.1.1.1 -> 2.2.2.2\nTTL\n\n[**] [1:2:4] Y [**]\n[Priority: 1]\n11/21-10:00 1.1.1.1 -> 2.2.2.2\n[**] [1:2:5] Z [**]\nbad\n"),
    (LogFormat::MySql, b"261121 10:00:01    12 Connect\n\t\t      13 Query\nbad\n\t\t      14 Query\n261121  1:00:01 x\n\t\t      15 Quit\n"),
    (LogFormat::MsSql, b"x\n2026-11-21 10:00:00 one\n more\n\n2026-11-21 10:00:01 two\n2026-11-21 10:00:01 three\n"),
    (LogFormat::PostgreSql, b"x\n[2026-11-21 10:00:00 one\n\tmore\nstray\n[2026-11-21 10:00:01 two\n[2026-11-21 10:00:01 three\n"),
    (LogFormat::DjbMultilog, b"@40000000463246020c2ca16c a\nbad\n@40000000463246020c2ca16c Apr 27 14:50:32 h q: b\n"),
    (LogFormat::NmapGrepable, b"# c\nHost: 1.1.1.1 (w)\tPorts: 22/open/tcp//ssh///, 25/closed/tcp/\tIgnored\nbad\nHost: 1.1.1.2 ()\tStatus: Up\n"),
    (LogFormat::Audit, b"type=A msg=audit(1:3): a\ntype=B msg=audit(1:3): b\nbad\ntype=C msg=audit(1:4): c\ntype=D msg=audit(1:5): d\n"),
    (LogFormat::ModSecurity, b"n\n--a-A--\nx\n--b-Z--\n--a-Z--\n\n--c-A--\ny\n--d-A--\nz\n--d-Z--\n"),
    (LogFormat::OssecAlert, b"** Alert 1.1: - x,\n2026 Nov 21 00:10:34 w->/a\nRule: 1 (level 2) -> 'c'\nSrc IP: 1.1.1.1\nlog\nlog\n\n** Alert 1.2: - x,\nRule: 3 (level 4) -> 'd'\nlog\n\nstray\n** Alert 1.3: x\nno rule\n\n"),
    (LogFormat::Apache, b"10.0.0.9 - - \"GET /x\" 404 10\n"),
];

fn fresh(format: LogFormat) -> Box<dyn Format> {
    for_file(format, About { path: b"/log/smtpd/current", host: b"host" }).unwrap().unwrap()
}

#[test]
fn the_records_do_not_depend_on_how_the_file_was_read() {
    for (name, text) in SAMPLES {
        let whole = run(fresh(name).as_mut(), text, true);
        for chunk in [1, 2, 3, 7, 19] {
            let cut = run_from(fresh(name).as_mut(), text, 0, chunk, true);
            assert_eq!(cut.ready, whole.ready, "{name:?} in reads of {chunk}");
            assert_eq!(
                (cut.filtered, cut.malformed),
                (whole.filtered, whole.malformed),
                "{name:?}"
            );
        }
    }
}

#[test]
fn reading_on_from_any_record_gives_exactly_what_follows_it() {
    for (name, text) in SAMPLES {
        let all = run(fresh(name).as_mut(), text, true).ready;
        assert!(!all.is_empty(), "{name:?}");
        for (at, record) in all.iter().enumerate() {
            let rest =
                run_from(fresh(name).as_mut(), text, record.resume as usize, 4096, true).ready;
            assert_eq!(rest, all[at + 1..], "{name:?} after record {at}");
        }
    }
}

#[test]
fn every_truncation_gives_a_prefix_and_never_a_panic() {
    for (name, text) in SAMPLES {
        let all = lines(fresh(name).as_mut(), text);
        for cut in 0..text.len() {
            let some = lines(fresh(name).as_mut(), &text[..cut]);
            assert_eq!(some, all[..some.len()], "{name:?} cut at {cut}");
        }
    }
}

#[test]
fn no_mutation_makes_a_format_panic() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for (name, text) in SAMPLES {
        for _ in 0..500 {
            let mut bent = text.to_vec();
            for _ in 0..1 + random(4) {
                let (at, other) = (random(bent.len()), random(text.len()));
                match random(3) {
                    0 => bent[at] = [0, b'\n', b' ', b':', 0xff, b'[', b'-'][random(7)],
                    1 => drop(bent.drain(at..(at + 1 + random(9)).min(bent.len()))),
                    _ => drop(bent.splice(at..at, text[other..].iter().copied())),
                }
                if bent.is_empty() {
                    bent.push(b'\n');
                }
            }
            run(fresh(name).as_mut(), &bent, true);
        }
    }
}
