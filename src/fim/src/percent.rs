//! Words: any bytes as one printable word, blanks and all that is not printable ASCII as `%20`.

/// Appends a value; at most `limit` bytes are written, never half an escape.
pub fn escape(value: &[u8], limit: usize, out: &mut Vec<u8>) {
    let start = out.len();
    for &byte in value {
        let plain = byte.is_ascii_graphic() && byte != b'%';
        if out.len() - start + if plain { 1 } else { 3 } > limit {
            break;
        }
        match plain {
            true => out.push(byte),
            false => out.extend_from_slice(format!("%{byte:02x}").as_bytes()),
        }
    }
}

/// Gives back what was escaped; a `%` without two digits stands for itself.
pub fn unescape(word: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, tail @ ..] = rest {
        match (first, hex_pair(tail)) {
            (b'%', Some(byte)) => {
                value.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                value.push(*first);
                rest = tail;
            }
        }
    }
    value
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let [high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_round_trip() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let mut word = Vec::new();
        escape(&all, usize::MAX, &mut word);
        assert!(word.iter().all(u8::is_ascii_graphic));
        assert_eq!(unescape(&word), all);
        assert_eq!(unescape(b"%2fbin%2"), b"/bin%2");
    }

    #[test]
    fn a_limit_never_cuts_an_escape() {
        let mut word = Vec::new();
        escape(b"ab c", 4, &mut word);
        assert_eq!(word, b"ab");
    }
}
