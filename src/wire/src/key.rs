//! An agent's ciphers, made once from its line of `client.keys` (`001 web01 any 7f2a...`).
//!
//! ```text
//! cipher_key = MD5hex(key) + first 15 digits of MD5hex(MD5hex(name) + MD5hex(id))     47 characters
//! Blowfish   : all 47 characters;   AES-256: the first 32, so id and name do not enter
//! ```
//! (One character short of what its inventors meant; every peer does the same.) The same key serves both directions.

use std::fmt;
use std::sync::OnceLock;

use aes::Aes256;
use blowfish::Blowfish;
use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};

use crate::digest::Md5Hex;

/// Id, name and key are each cut to this many bytes before they are used.
pub const MAX_FIELD: usize = 127;
/// Bytes of the random vector that goes in clear before each AES message.
pub const IV_LEN: usize = 16;

const BLOWFISH_IV: [u8; 8] = [0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10];
const CIPHER_KEY_LEN: usize = 47;

/// By which cipher a message is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// AES-256-CBC with a random vector, PKCS#7; token `#AES:`.
    Aes,
    /// Blowfish-CBC with a fixed vector; token `:`.
    Blowfish,
}

impl Method {
    /// As in `<crypto_method>` and in agent-info files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes => "aes",
            Self::Blowfish => "blowfish",
        }
    }

    /// As in log lines.
    pub fn title(self) -> &'static str {
        match self {
            Self::Aes => "AES",
            Self::Blowfish => "Blowfish",
        }
    }

    /// Bytes of a cipher block.
    pub(crate) fn block_len(self) -> usize {
        match self {
            Self::Aes => 16,
            Self::Blowfish => 8,
        }
    }
}

impl std::str::FromStr for Method {
    type Err = ();

    /// Reads `aes` or `blowfish`.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "aes" => Ok(Self::Aes),
            "blowfish" => Ok(Self::Blowfish),
            _ => Err(()),
        }
    }
}

/// One agent's id and its prepared key schedules; make it once, use it for every message of both directions.
pub struct AgentCipher {
    id: Box<[u8]>,
    aes: Aes256,
    key: [u8; CIPHER_KEY_LEN],
    /// 4 KiB and some 30 us: made when the first Blowfish message comes.
    blowfish: OnceLock<Box<Blowfish>>,
}

impl AgentCipher {
    /// From the fields of the agent's line.
    pub fn new(id: &[u8], name: &[u8], key: &[u8]) -> Self {
        let key = cipher_key(id, name, key);
        let (head, _) = key.split_first_chunk::<32>().expect("47 bytes hold 32");
        let aes = Aes256::new(head.into());
        Self { id: cut(id).into(), aes, key, blowfish: OnceLock::new() }
    }

    /// The id as it goes on the wire; exactly the digits of the file.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    fn blowfish(&self) -> &Blowfish {
        self.blowfish.get_or_init(|| {
            Box::new(
                Blowfish::new_from_slice(&self.key)
                    .expect("47 bytes lie within Blowfish's 4 to 56"),
            )
        })
    }

    /// Encrypts in place: `buffer[..len]` is the text (`len` a multiple of 8), behind it is room for 16 bytes.
    /// Returns how many bytes the encrypted text has, or `None` when there is no room.
    pub(crate) fn encrypt(
        &self,
        method: Method,
        iv: &[u8; IV_LEN],
        buffer: &mut [u8],
        len: usize,
    ) -> Option<usize> {
        let sealed = match method {
            Method::Aes => cbc::Encryptor::inner_iv_init(&self.aes, iv.into())
                .encrypt_padded::<Pkcs7>(buffer, len),
            Method::Blowfish => {
                cbc::Encryptor::inner_iv_init(self.blowfish(), (&BLOWFISH_IV).into())
                    .encrypt_padded::<NoPadding>(buffer, len)
            }
        };
        sealed.ok().map(<[u8]>::len)
    }

    /// Decrypts in place; `None` when the length or the padding is wrong.
    pub(crate) fn decrypt<'a>(
        &self,
        method: Method,
        iv: &[u8; IV_LEN],
        buffer: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        if buffer.is_empty() || !buffer.len().is_multiple_of(method.block_len()) {
            return None;
        }
        match method {
            Method::Aes => cbc::Decryptor::inner_iv_init(&self.aes, iv.into())
                .decrypt_padded::<Pkcs7>(buffer)
                .ok(),
            Method::Blowfish => {
                cbc::Decryptor::inner_iv_init(self.blowfish(), (&BLOWFISH_IV).into())
                    .decrypt_padded::<NoPadding>(buffer)
                    .ok()
            }
        }
    }
}

impl fmt::Debug for AgentCipher {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentCipher({})", String::from_utf8_lossy(&self.id))
    }
}

fn cipher_key(id: &[u8], name: &[u8], key: &[u8]) -> [u8; CIPHER_KEY_LEN] {
    let (name, id) = (Md5Hex::of(cut(name)), Md5Hex::of(cut(id)));
    let mix = Md5Hex::of_parts(&[name.as_bytes(), id.as_bytes()]);
    let mut out = [0; CIPHER_KEY_LEN];
    out[..32].copy_from_slice(Md5Hex::of(cut(key)).as_bytes());
    out[32..].copy_from_slice(&mix.as_bytes()[..CIPHER_KEY_LEN - 32]);
    out
}

fn cut(field: &[u8]) -> &[u8] {
    &field[..field.len().min(MAX_FIELD)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn the_specifications_example_derives_as_written() {
        assert_eq!(
            &cipher_key(b"001", b"web01", b"7f2a"),
            b"3940b67e3bdcace2d6aaa875cdec3f6f55ca7fce424e2b9"
        );
    }

    #[test]
    fn debug_output_has_no_key() {
        let cipher = AgentCipher::new(b"001", b"web01", b"7f2a");
        assert_eq!(format!("{cipher:?}"), "AgentCipher(001)");
    }

    #[test]
    fn golden_keys_derive_as_recorded() {
        let Some(rows) = golden::load("keys.json") else { return };
        let rows = rows.as_array().unwrap();
        let wrong: Vec<_> = rows
            .iter()
            .filter(|row| {
                let field = |name: &str| row[name].as_str().unwrap().as_bytes();
                let derived = cipher_key(field("id"), field("name"), field("key"));
                derived != field("cipher_key") || &derived[..32] != field("aes_key_ascii")
            })
            .map(|row| row["keys_line"].to_string())
            .collect();
        assert!(!rows.is_empty());
        assert_eq!(wrong, Vec::<String>::new());
    }
}
