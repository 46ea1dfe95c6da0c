//! SHA-256 of a certificate, as a person compares and types it: `sha256:9f86...0f00a08`.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Digest of a certificate's DER bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of this certificate.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    /// `sha256:` may be missing; digits of either case, with or without colons, as `openssl x509 -fingerprint` writes them.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "Invalid fingerprint '{text}': it is 'sha256:' and 64 hex digits; authd logs it at start"
            )
        };
        let head = text.get(..7).filter(|head| head.eq_ignore_ascii_case("sha256:"));
        let digits: String = text[head.map_or(0, str::len)..].split(':').collect();
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let pair = digits.get(2 * at..2 * at + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_in_the_forms_in_which_it_is_written() {
        let own = Fingerprint::of(b"certificate");
        let text = own.to_string();
        let digits = text.strip_prefix("sha256:").unwrap().to_owned();
        let pairs: Vec<&str> = (0..32).map(|at| &digits[2 * at..2 * at + 2]).collect();
        let openssl = pairs.join(":").to_uppercase();
        for form in [text.as_str(), &digits, &openssl, &format!("SHA256:{openssl}")] {
            assert_eq!(form.parse(), Ok(own), "{form}");
        }
        assert_ne!(Fingerprint::of(b"another"), own);
        for cut in 0..text.len() {
            assert!(text[..cut].parse::<Fingerprint>().is_err(), "cut at {cut}");
        }
        for bad in ["sha256:zz", "é", "sha1:00", &format!("{text}0")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
