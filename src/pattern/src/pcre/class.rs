//! Sets of bytes: what a bracket class or a class escape stands for in byte mode.

/// A set of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteSet([u128; 2]);

impl ByteSet {
    pub(super) const fn empty() -> Self {
        Self([0; 2])
    }

    pub(super) fn of(test: impl Fn(u8) -> bool) -> Self {
        let half =
            |first: u8| (0..128).filter(|&at| test(first + at)).fold(0, |bits, at| bits | 1 << at);
        Self([half(0), half(128)])
    }

    pub(super) fn one(byte: u8) -> Self {
        let bit = 1 << (byte % 128);
        Self(if byte < 128 { [bit, 0] } else { [0, bit] })
    }

    /// The class that `\d`, `\W`, `\h` ... stand for; `None` for other letters.
    pub(super) fn of_escape(letter: u8) -> Option<Self> {
        let set = match letter.to_ascii_lowercase() {
            b'd' => Self::of(|byte| byte.is_ascii_digit()),
            b's' => Self::of(is_space),
            b'w' => Self::of(is_word),
            b'h' => Self::of(|byte| b"\t \xA0".contains(&byte)),
            b'v' => Self::of(|byte| b"\n\x0B\x0C\r\x85".contains(&byte)),
            _ => return None,
        };
        Some(if letter.is_ascii_uppercase() { set.inverse() } else { set })
    }

    /// The class that `[:name:]` stands for; `^name` is its inverse.
    pub(super) fn of_posix(name: &[u8]) -> Option<Self> {
        if let Some(name) = name.strip_prefix(b"^") {
            return Self::of_posix(name).map(Self::inverse);
        }
        Some(match name {
            b"alpha" => Self::of(|byte| byte.is_ascii_alphabetic()),
            b"lower" => Self::of(|byte| byte.is_ascii_lowercase()),
            b"upper" => Self::of(|byte| byte.is_ascii_uppercase()),
            b"alnum" => Self::of(|byte| byte.is_ascii_alphanumeric()),
            b"ascii" => Self::of(|byte| byte.is_ascii()),
            b"blank" => Self::of(|byte| b" \t".contains(&byte)),
            b"cntrl" => Self::of(|byte| byte.is_ascii_control()),
            b"digit" => Self::of(|byte| byte.is_ascii_digit()),
            b"graph" => Self::of(|byte| byte.is_ascii_graphic()),
            b"print" => Self::of(|byte| byte == b' ' || byte.is_ascii_graphic()),
            b"punct" => Self::of(|byte| byte.is_ascii_punctuation()),
            b"space" => Self::of(is_space),
            b"word" => Self::of(is_word),
            b"xdigit" => Self::of(|byte| byte.is_ascii_hexdigit()),
            _ => return None,
        })
    }

    pub(super) fn add(&mut self, other: Self) {
        let ([low, high], [other_low, other_high]) = (self.0, other.0);
        self.0 = [low | other_low, high | other_high];
    }

    /// Adds the other case of each letter.
    pub(super) fn fold(&mut self) {
        const UPPER: u128 = 0x3FF_FFFF << b'A';
        const LOWER: u128 = 0x3FF_FFFF << b'a';
        let [low, _] = &mut self.0;
        *low |= (*low & UPPER) << 32 | (*low & LOWER) >> 32;
    }

    pub(super) fn inverse(self) -> Self {
        Self(self.0.map(|half| !half))
    }

    /// Writes the set in the syntax of the `regex` crate.
    pub(super) fn write(&self, out: &mut String) {
        let [low, high] = self.0;
        if low.count_ones() + high.count_ones() == 1 {
            let only = self.next(0, true);
            return push_byte(out, u8::try_from(only).unwrap_or(u8::MAX));
        }
        let mut first = self.next(0, true);
        if first > 255 {
            return out.push_str(r"[^\x00-\xFF]");
        }
        out.push('[');
        while first < 256 {
            let end = self.next(first, false);
            push_hex(out, first);
            if end - first > 1 {
                out.push('-');
                push_hex(out, end - 1);
            }
            first = self.next(end, true);
        }
        out.push(']');
    }

    /// The first byte from `from` on that is in the set, or is not; 256 if there is none.
    fn next(&self, from: u32, member: bool) -> u32 {
        let [low, high] = if member { self.0 } else { self.0.map(|half| !half) };
        let low = low & u128::MAX.checked_shl(from).unwrap_or(0);
        if low != 0 {
            return low.trailing_zeros();
        }
        let high = high & u128::MAX.checked_shl(from.saturating_sub(128)).unwrap_or(0);
        128 + high.trailing_zeros()
    }
}

fn push_hex(out: &mut String, byte: u32) {
    out.push_str("\\x");
    for nibble in [byte >> 4, byte] {
        out.push(char::from_digit(nibble & 15, 16).unwrap_or('0').to_ascii_uppercase());
    }
}

fn is_space(byte: u8) -> bool {
    b"\t\n\x0B\x0C\r ".contains(&byte)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Writes one byte so that it stands for itself.
fn push_byte(out: &mut String, byte: u8) {
    if byte == b' ' || byte.is_ascii_graphic() {
        crate::os_regex::push_literal(out, char::from(byte));
    } else {
        out.push_str(&format!("\\x{byte:02X}"));
    }
}
