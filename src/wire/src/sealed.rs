//! Sealing and opening of one message; buffers are kept, so that neither allocates once warm.
//!
//! ```text
//! plain = "!" x n   zlib( inner )              1 <= n <= 8, so that the length is a multiple of 8
//! inner = MD5hex(tail) tail                    tail = rand(5) global(10) ":" local(4) ":" message
//! ```
//! for instance `38b9...4e78` `53522` `0000000005:9991:` `#!-agent ack `.

use std::fmt;
use std::io::Write as _;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::counter::Counter;
use crate::datagram::{MAX_DATAGRAM, MAX_MESSAGE, Rejection, Sealed};
use crate::digest::Md5Hex;
use crate::key::{AgentCipher, IV_LEN, Method};

const CHECKSUM_LEN: usize = 32;
/// rand(5) global(10) ":" local(4) ":"
const HEADER_LEN: usize = 5 + 10 + 1 + 4 + 1;
/// What the compressor may make of the largest inner text; 12 bytes below the largest datagram, as at the original.
const MAX_COMPRESSED: usize = MAX_DATAGRAM - 12;
/// The original sends level 9; any stream is understood. A third of the time of level 6, for datagrams that are some 10 % longer.
/// Not 0, which is cheaper still: a line that somebody chose would stand as it is in the plain text, and of an AES datagram,
/// whose vector is in clear, any tail can be sent as a datagram of its own.
const LEVEL: u32 = 1;
/// For what the lower one makes larger (by an eighth: it knows no way to leave bytes as they are), such as pieces of shared
/// files that are not ASCII: agents of the original read 1024 bytes.
const THOROUGH: u32 = 6;
/// What the lower level may add: its header, sum and end.
const MAX_GROWTH: usize = 16;
/// Id prefix of the largest id, token, vector, marks, padding.
const MAX_AROUND: usize = (1 + 127 + 1) + 5 + IV_LEN + 8 + 16;

/// How one message is to be sealed. Random parts come from the caller.
#[derive(Debug, Clone, Copy)]
pub struct Sealing {
    /// By which cipher.
    pub method: Method,
    /// Whether to write the `!id!` prefix: only agents whose own entry is not a single address do.
    pub with_id: bool,
    /// The message's number.
    pub counter: Counter,
    /// 16 random bits.
    pub random: u16,
    /// Random for each message; unused with Blowfish.
    pub iv: [u8; IV_LEN],
}

/// Makes datagrams.
pub struct Sealer {
    deflate: Compress,
    /// Made when first needed.
    thorough: Option<Compress>,
    inner: Vec<u8>,
    datagram: Vec<u8>,
}

impl Sealer {
    /// With empty buffers.
    pub fn new() -> Self {
        Self {
            deflate: Compress::new(Compression::new(LEVEL), true),
            thorough: None,
            inner: Vec::with_capacity(MAX_DATAGRAM),
            datagram: Vec::with_capacity(MAX_COMPRESSED + MAX_AROUND),
        }
    }

    /// One message as the datagram to send; valid until the next call.
    ///
    /// # Errors
    /// [`SealError`], when the message is empty or too large; nothing must be sent then.
    pub fn seal(
        &mut self,
        cipher: &AgentCipher,
        sealing: &Sealing,
        message: &[u8],
    ) -> Result<&[u8], SealError> {
        if message.is_empty() {
            return Err(SealError::Empty);
        }
        if message.len() > MAX_MESSAGE {
            return Err(SealError::TooLong { len: message.len() });
        }
        self.write_inner(sealing, message);
        self.datagram.clear();
        if sealing.with_id {
            self.datagram.push(b'!');
            self.datagram.extend_from_slice(cipher.id());
            self.datagram.push(b'!');
        }
        match sealing.method {
            Method::Blowfish => self.datagram.push(b':'),
            Method::Aes => {
                self.datagram.extend_from_slice(b"#AES:");
                self.datagram.extend_from_slice(&sealing.iv);
            }
        }
        self.encrypt_inner(cipher, sealing).ok_or(SealError::TooLong { len: message.len() })?;
        Ok(&self.datagram)
    }

    fn write_inner(&mut self, sealing: &Sealing, message: &[u8]) {
        let Counter { global, local } = sealing.counter;
        self.inner.clear();
        self.inner.extend_from_slice(&[0; CHECKSUM_LEN]);
        write!(self.inner, "{:05}{global:010}:{local:04}:", sealing.random)
            .expect("a vector takes all bytes");
        self.inner.extend_from_slice(message);
        let (checksum, tail) = self.inner.split_at_mut(CHECKSUM_LEN);
        checksum.copy_from_slice(Md5Hex::of(tail).as_bytes());
    }

    /// Compresses behind the clear part and 8 marks, moves it up to the marks that are needed, encrypts in place.
    fn encrypt_inner(&mut self, cipher: &AgentCipher, sealing: &Sealing) -> Option<()> {
        let start = self.datagram.len();
        self.datagram.resize(start + 8 + MAX_COMPRESSED + 16, b'!');
        let plain = &mut self.datagram[start..];

        let room = &mut plain[8..8 + MAX_COMPRESSED];
        let few = room.len().min(self.inner.len() + MAX_GROWTH);
        let compressed =
            compress(&mut self.deflate, &self.inner, &mut room[..few]).or_else(|| {
                let thorough = || Compress::new(Compression::new(THOROUGH), true);
                compress(self.thorough.get_or_insert_with(thorough), &self.inner, room)
            })?;
        let marks = 8 - compressed % 8;
        plain.copy_within(8..8 + compressed, marks);

        let len = cipher.encrypt(sealing.method, &sealing.iv, plain, marks + compressed)?;
        self.datagram.truncate(start + len);
        Some(())
    }
}

/// The length of the whole stream; `None` when there is no room for it.
fn compress(deflate: &mut Compress, inner: &[u8], room: &mut [u8]) -> Option<usize> {
    deflate.reset();
    let status = deflate.compress(inner, room, FlushCompress::Finish).ok()?;
    (status == Status::StreamEnd).then(|| usize::try_from(deflate.total_out()).ok())?
}

impl Default for Sealer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

/// Why a message can't be sealed (1217 in the log).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealError {
    /// Has no byte.
    Empty,
    /// Larger than [`MAX_MESSAGE`].
    TooLong {
        /// Bytes of the message.
        len: usize,
    },
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("message without a byte can't be sent"),
            Self::TooLong { len } => {
                write!(f, "message of {len} bytes can't be sent, limit is {MAX_MESSAGE}")
            }
        }
    }
}

impl std::error::Error for SealError {}

/// Opens datagrams.
pub struct Opener {
    inflate: Decompress,
    plain: Vec<u8>,
    inner: Vec<u8>,
}

/// An authentic message; its counter is still to be checked, see [`Window`](crate::counter::Window).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The message's number.
    pub counter: Counter,
    /// The message; may be empty.
    pub message: &'a [u8],
}

impl Opener {
    /// With empty buffers.
    pub fn new() -> Self {
        Self {
            inflate: Decompress::new(true),
            plain: Vec::with_capacity(MAX_DATAGRAM),
            inner: vec![0; MAX_DATAGRAM],
        }
    }

    /// Decrypts, uncompresses, checks the sum. The message is valid until the next call.
    ///
    /// # Errors
    /// [`Rejection`], from [`Undecipherable`](Rejection::Undecipherable) to [`Header`](Rejection::Header).
    pub fn open(
        &mut self,
        cipher: &AgentCipher,
        sealed: &Sealed<'_>,
    ) -> Result<Opened<'_>, Rejection> {
        self.plain.clear();
        self.plain.extend_from_slice(sealed.body);
        let plain = cipher
            .decrypt(sealed.method, &sealed.iv, &mut self.plain)
            .ok_or(Rejection::Undecipherable)?;
        let stream = strip_marks(plain)?;

        self.inflate.reset(true);
        let status = self.inflate.decompress(stream, &mut self.inner, FlushDecompress::Finish);
        if !matches!(status, Ok(Status::StreamEnd)) {
            return Err(Rejection::Uncompressible);
        }
        let len = usize::try_from(self.inflate.total_out()).unwrap_or(usize::MAX);
        read_inner(self.inner.get(..len).ok_or(Rejection::Uncompressible)?)
    }
}

impl Default for Opener {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

fn strip_marks(plain: &[u8]) -> Result<&[u8], Rejection> {
    match plain.first() {
        Some(b'!') => {
            let marks = plain.iter().take_while(|&&b| b == b'!').count();
            Ok(&plain[marks..])
        }
        Some(b':') => Err(Rejection::Obsolete),
        _ => Err(Rejection::Unmarked),
    }
}

/// Reads the text that was compressed; public for fuzzing, [`Opener::open`] is what programs use.
///
/// # Errors
/// [`NoChecksum`](Rejection::NoChecksum), [`Checksum`](Rejection::Checksum), [`Header`](Rejection::Header).
pub fn read_inner(inner: &[u8]) -> Result<Opened<'_>, Rejection> {
    let (checksum, tail) = inner.split_at_checked(CHECKSUM_LEN).ok_or(Rejection::NoChecksum)?;
    if Md5Hex::of(tail).as_bytes() != checksum {
        return Err(Rejection::Checksum);
    }
    let (header, message) = tail.split_at_checked(HEADER_LEN).ok_or(Rejection::Header)?;
    let [_, _, _, _, _, global @ .., b':', l1, l2, l3, l4, b':'] = header else {
        return Err(Rejection::Header);
    };
    let global = number(global).ok_or(Rejection::Header)?;
    let local = number(&[*l1, *l2, *l3, *l4]).ok_or(Rejection::Header)?;
    let counter = Counter {
        global: u32::try_from(global).map_err(|_| Rejection::Header)?,
        local: u16::try_from(local).map_err(|_| Rejection::Header)?,
    };
    Ok(Opened { counter, message })
}

/// At most ten digits.
fn number(digits: &[u8]) -> Option<u64> {
    digits
        .iter()
        .try_fold(0u64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u64::from(b - b'0')))
}

#[cfg(test)]
mod tests;
