//! The journal's export format, as `journalctl -o export` writes it (systemd.io/JOURNAL_EXPORT_FORMATS).
//!
//! ```text
//! __CURSOR=s=0a1b...
//! __REALTIME_TIMESTAMP=1795219834000000
//! _HOSTNAME=web01
//! SYSLOG_IDENTIFIER=sshd
//! MESSAGE                     a field with bytes that are no line of text:
//! <8 bytes: length, little endian><bytes>
//!                             an empty line ends the entry
//! ```
//! Only the fields that make the event are kept; the others are passed over, however long they are.

/// Most bytes of a field that are kept.
const MAX_VALUE: usize = crate::format::MAX_RECORD;
/// Longest name of a field that has its length before it.
const MAX_NAME: usize = 256;

/// The fields of an entry that make an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    /// Where the journal stands after it.
    pub cursor: Vec<u8>,
    /// Microseconds since 1970.
    pub time: Vec<u8>,
    /// The host's name.
    pub host: Vec<u8>,
    /// The program's name.
    pub identifier: Vec<u8>,
    /// The program's file name, for entries without an identifier.
    pub command: Vec<u8>,
    /// The text.
    pub message: Option<Vec<u8>>,
}

impl Entry {
    fn field(&mut self, name: &[u8]) -> Option<&mut Vec<u8>> {
        Some(match name {
            b"__CURSOR" => &mut self.cursor,
            b"__REALTIME_TIMESTAMP" => &mut self.time,
            b"_HOSTNAME" => &mut self.host,
            b"SYSLOG_IDENTIFIER" => &mut self.identifier,
            b"_COMM" => &mut self.command,
            b"MESSAGE" => self.message.get_or_insert_default(),
            _ => return None,
        })
    }
}

/// Reads the stream, however it is cut.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    entry: Entry,
    state: State,
    /// Bytes of the line or length that is not complete.
    held: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Line,
    /// In the text of a field; `keep` says whether it counts.
    Text {
        name: Vec<u8>,
        keep: bool,
    },
    Length {
        name: Vec<u8>,
    },
    Bytes {
        name: Vec<u8>,
        left: u64,
    },
    AfterBytes,
}

impl Reader {
    /// Takes the next bytes; appends the entries that they complete to `out`.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<Entry>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match &mut self.state {
                State::Line => self.line(rest, out),
                State::Text { .. } => self.text(rest),
                State::Length { .. } => self.length(rest),
                State::Bytes { .. } => self.bytes(rest),
                State::AfterBytes => {
                    self.state = State::Line;
                    usize::from(rest.first() == Some(&b'\n'))
                }
            };
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    /// The name of a field, up to its `=` or the end of the line.
    fn line(&mut self, rest: &[u8], out: &mut Vec<Entry>) -> usize {
        let Some(at) = rest.iter().position(|&b| b == b'=' || b == b'\n') else {
            let room = MAX_NAME.saturating_sub(self.held.len());
            self.held.extend_from_slice(&rest[..rest.len().min(room)]);
            return rest.len();
        };
        let room = MAX_NAME.saturating_sub(self.held.len());
        self.held.extend_from_slice(&rest[..at.min(room)]);
        let name = std::mem::take(&mut self.held);
        if rest.get(at) == Some(&b'=') {
            let keep = self.entry.field(&name).is_some();
            self.state = State::Text { name, keep };
        } else if name.is_empty() {
            out.push(std::mem::take(&mut self.entry));
        } else {
            self.state = State::Length { name };
        }
        at + 1
    }

    fn text(&mut self, rest: &[u8]) -> usize {
        let State::Text { name, keep } = &self.state else { return 0 };
        let end = memchr::memchr(b'\n', rest);
        if *keep {
            append(self.entry.field(name), &rest[..end.unwrap_or(rest.len())]);
        }
        match end {
            Some(at) => {
                self.state = State::Line;
                at + 1
            }
            None => rest.len(),
        }
    }

    fn length(&mut self, rest: &[u8]) -> usize {
        let State::Length { name } = &mut self.state else { return 0 };
        let used = rest.len().min(8 - self.held.len());
        self.held.extend_from_slice(&rest[..used]);
        if let Ok(length) = <[u8; 8]>::try_from(self.held.as_slice()) {
            self.held.clear();
            let name = std::mem::take(name);
            // An empty value still is a value.
            self.entry.field(&name);
            self.state = match u64::from_le_bytes(length) {
                0 => State::AfterBytes,
                left => State::Bytes { name, left },
            };
        }
        used
    }

    fn bytes(&mut self, rest: &[u8]) -> usize {
        let State::Bytes { name, left } = &mut self.state else { return 0 };
        let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
        append(self.entry.field(name), &rest[..used]);
        *left -= used as u64;
        if *left == 0 {
            self.state = State::AfterBytes;
        }
        used
    }
}

fn append(field: Option<&mut Vec<u8>>, bytes: &[u8]) {
    if let Some(field) = field {
        let room = MAX_VALUE.saturating_sub(field.len());
        field.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut text = b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795219834000000\n_BOOT_ID=xyz\n_HOSTNAME=web01\nSYSLOG_IDENTIFIER=sshd\nMESSAGE=a = b\n\n".to_vec();
        text.extend_from_slice(b"__CURSOR=s=1;i=3\nOTHER\n");
        text.extend_from_slice(&5_u64.to_le_bytes());
        text.extend_from_slice(b"a\n\nb=\nMESSAGE\n");
        text.extend_from_slice(&7_u64.to_le_bytes());
        text.extend_from_slice(b"two\n\xff\nx\n_COMM=c\n\n");
        text
    }

    fn expected() -> [Entry; 2] {
        let first = Entry {
            cursor: b"s=1;i=2".to_vec(),
            time: b"1795219834000000".to_vec(),
            host: b"web01".to_vec(),
            identifier: b"sshd".to_vec(),
            message: Some(b"a = b".to_vec()),
            ..Entry::default()
        };
        let second = Entry {
            cursor: b"s=1;i=3".to_vec(),
            message: Some(b"two\n\xff\nx".to_vec()),
            command: b"c".to_vec(),
            ..Entry::default()
        };
        [first, second]
    }

    fn read(chunks: impl Iterator<Item = Vec<u8>>) -> Vec<Entry> {
        let (mut reader, mut out) = (Reader::default(), Vec::new());
        chunks.for_each(|chunk| reader.feed(&chunk, &mut out));
        out
    }

    #[test]
    fn text_and_binary_fields_are_read() {
        assert_eq!(read([sample()].into_iter()), expected());
    }

    #[test]
    fn the_entries_do_not_depend_on_how_the_stream_is_cut() {
        for size in 1..20 {
            assert_eq!(
                read(sample().chunks(size).map(<[u8]>::to_vec)),
                expected(),
                "chunks of {size}"
            );
        }
    }

    #[test]
    fn every_truncation_gives_a_prefix() {
        let whole = sample();
        for cut in 0..whole.len() {
            let some = read([whole[..cut].to_vec()].into_iter());
            assert_eq!(some, expected()[..some.len()], "cut at {cut}");
            assert!(some.len() < 2);
        }
    }

    #[test]
    fn a_huge_field_is_passed_over_without_being_held() {
        let mut text = b"MESSAGE\n".to_vec();
        text.extend_from_slice(&(1_u64 << 20).to_le_bytes());
        text.extend(std::iter::repeat_n(b'x', 1 << 20));
        text.extend_from_slice(b"\n_HOSTNAME=h\n\n");
        let entries = read([text].into_iter());
        assert_eq!(entries[0].message.as_ref().map(Vec::len), Some(MAX_VALUE));
        assert_eq!(entries[0].host, b"h");
    }

    #[test]
    fn no_mutation_makes_it_panic() {
        let mut seed = 0x9e37_79b9_u32;
        for _ in 0..3000 {
            let mut bent = sample();
            for _ in 0..3 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = seed as usize % bent.len();
                bent[at] = (seed >> 24) as u8;
            }
            read(bent.chunks(7).map(<[u8]>::to_vec));
        }
    }
}
