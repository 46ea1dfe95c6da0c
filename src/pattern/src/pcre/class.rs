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
        Self::of(|other| other == byte)
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
        *self = Self::of(|byte| self.has(byte) || other.has(byte));
    }

    /// Adds the other case of each letter.
    pub(super) fn fold(&mut self) {
        *self = Self::of(|byte| {
            self.has(byte.to_ascii_lowercase()) || self.has(byte.to_ascii_uppercase())
        });
    }

    pub(super) fn inverse(self) -> Self {
        Self::of(|byte| !self.has(byte))
    }

    fn has(&self, byte: u8) -> bool {
        let [low, high] = self.0;
        (if byte < 128 { low } else { high }) >> (byte % 128) & 1 == 1
    }

    /// Writes the set in the syntax of the `regex` crate.
    pub(super) fn write(&self, out: &mut String) {
        let mut members = (0..=u8::MAX).filter(|&byte| self.has(byte));
        match (members.next(), members.next()) {
            (Some(only), None) => return push_byte(out, only),
            (None, _) => return out.push_str(r"[^\x00-\xFF]"),
            _ => {}
        }
        out.push('[');
        let mut at = 0u16;
        while at < 256 {
            let len = (at..256)
                .take_while(|&byte| u8::try_from(byte).is_ok_and(|byte| self.has(byte)))
                .count() as u16;
            if len > 0 {
                let (first, last) = (at, at + len - 1);
                out.push_str(&format!("\\x{first:02X}"));
                if last > first {
                    out.push_str(&format!("-\\x{last:02X}"));
                }
            }
            at += len + 1;
        }
        out.push(']');
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
