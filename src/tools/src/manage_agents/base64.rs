//! Base64 as exported keys have it: the standard alphabet, padded, on one line (RFC 4648, section 4).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .enumerate()
            .fold(0u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for place in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            text.push(if place <= group.len() { char::from(ALPHABET[digit]) } else { '=' });
        }
    }
    text
}

/// Decodes up to the padding; what is not of the alphabet is passed over.
pub(super) fn decode(text: &[u8]) -> Vec<u8> {
    let digits = text.iter().take_while(|b| **b != b'=');
    let digits = digits.filter_map(|b| ALPHABET.iter().position(|digit| digit == b));
    let digits: Vec<u32> = digits.filter_map(|digit| u32::try_from(digit).ok()).collect();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    for group in digits.chunks(4) {
        let bits =
            group.iter().enumerate().fold(0u32, |bits, (at, digit)| bits | digit << (18 - 6 * at));
        let [_, whole @ ..] = bits.to_be_bytes();
        bytes.extend_from_slice(&whole[..group.len().saturating_sub(1)]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfcs_examples_go_both_ways() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("001 web01 any k", "MDAxIHdlYjAxIGFueSBr"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()), bytes.as_bytes());
        }
        assert_eq!(decode(b"Zm9v\n YmFy\xff="), b"foobar");
        assert_eq!(decode(b"Z"), b"");
    }
}
