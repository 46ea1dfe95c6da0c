//! One record of a segment, and the sum that tells a torn one.
//!
//! ```text
//! kind(1) length(4) time(4) crc(4) payload        numbers little-endian; the sum is over all but itself
//!
//! kind 'e'   an event: the message as it goes to the manager
//! kind 'm'   marks: the batch before it is whole. Lines `<producer> <stream, hexadecimal> <number>`
//! ```

/// Bytes before the payload.
pub(crate) const HEAD: usize = 13;
/// No payload is larger: what a producer may hand over, and more than all marks.
pub(crate) const MAX_PAYLOAD: usize = 1 << 17;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Event,
    Marks,
}

impl Kind {
    fn tag(self) -> u8 {
        match self {
            Self::Event => b'e',
            Self::Marks => b'm',
        }
    }
}

/// A record, borrowed from its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    /// Seconds since 1970, when it was written.
    pub(crate) time: u32,
    pub(crate) payload: &'a [u8],
}

/// What lies at some place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read<'a> {
    Whole(Record<'a>),
    /// Goes on behind the end of these bytes.
    Cut,
    /// No record.
    Damaged,
}

impl<'a> Record<'a> {
    /// Bytes that it takes.
    pub(crate) fn len(&self) -> usize {
        HEAD + self.payload.len()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let len = u32::try_from(self.payload.len()).expect("callers cut payloads");
        let (len, time) = (len.to_le_bytes(), self.time.to_le_bytes());
        let tag = [self.kind.tag()];
        let sum = crc(&[&tag, &len, &time, self.payload]);
        for part in [&tag[..], &len, &time, &sum.to_le_bytes(), self.payload] {
            out.extend_from_slice(part);
        }
    }

    pub(crate) fn read(bytes: &'a [u8]) -> Read<'a> {
        let Some((head, behind)) = bytes.split_first_chunk::<HEAD>() else { return Read::Cut };
        let [tag, l0, l1, l2, l3, t0, t1, t2, t3, s0, s1, s2, s3] = *head;
        let kind = match tag {
            b'e' => Kind::Event,
            b'm' => Kind::Marks,
            _ => return Read::Damaged,
        };
        let (len, time) = ([l0, l1, l2, l3], [t0, t1, t2, t3]);
        let size = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
        if size > MAX_PAYLOAD {
            return Read::Damaged;
        }
        let Some(payload) = behind.get(..size) else { return Read::Cut };
        if crc(&[&[tag], &len, &time, payload]) != u32::from_le_bytes([s0, s1, s2, s3]) {
            return Read::Damaged;
        }
        Read::Whole(Record { kind, time: u32::from_le_bytes(time), payload })
    }
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
};

/// CRC-32 as zip has it, over all parts.
pub(crate) fn crc(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    !bytes.fold(u32::MAX, |sum, byte| {
        let [low, ..] = sum.to_le_bytes();
        (sum >> 8) ^ TABLE[usize::from(low ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_known_one() {
        assert_eq!(crc(&[b"1234", b"56789"]), 0xcbf4_3926);
    }

    #[test]
    fn a_record_is_read_back_and_every_cut_and_flip_is_noticed() {
        let record = Record { kind: Kind::Event, time: 77, payload: b"1:/var/log/x:hello" };
        let mut bytes = Vec::new();
        record.write(&mut bytes);
        assert_eq!(Record::read(&bytes), Read::Whole(record));
        for cut in 0..bytes.len() {
            assert_eq!(Record::read(&bytes[..cut]), Read::Cut, "cut at {cut}");
            for bit in 0..8 {
                let mut bent = bytes.clone();
                bent[cut] ^= 1 << bit;
                assert!(!matches!(Record::read(&bent), Read::Whole(_)), "bent at {cut}");
            }
        }
    }
}
