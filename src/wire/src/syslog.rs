//! Syslog from the network: where a message ends, and its `<priority>`.
//!
//! A datagram is one message. A TCP stream separates them by newlines (`<13>Nov 21 10:00:00 h p[1]: hi\n`), or counts their octets
//! before each (`27 <13>Nov 21 ...`, RFC 6587); both are understood, message by message.

/// Largest datagram that the original reads.
pub const MAX_DATAGRAM: usize = 1024;
/// Largest message on a stream.
pub const MAX_MESSAGE: usize = 6144;

/// The message of a datagram: one newline at its end and the priority taken off; may be empty.
pub fn datagram(bytes: &[u8]) -> &[u8] {
    without_priority(bytes.strip_suffix(b"\n").unwrap_or(bytes))
}

/// The message behind `<...>`, when there is one; what stands between is not looked at.
pub fn without_priority(text: &[u8]) -> &[u8] {
    if !text.starts_with(b"<") {
        return text;
    }
    memchr::memchr(b'>', text).map_or(text, |end| &text[end + 1..])
}

/// Cuts one connection's bytes into messages. It holds at most one message and what was fed last.
#[derive(Debug)]
pub struct Splitter {
    limit: usize,
    buffer: Vec<u8>,
    /// Where the next message begins.
    start: usize,
    /// Up to where no newline was found.
    seen: usize,
    /// What remains of a message that was too long.
    discard: Discard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Discard {
    Nothing,
    ToNewline,
    Octets(usize),
}

/// What the stream brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A message without priority, cut at its first carriage return; never empty.
    Message(&'a [u8]),
    /// A message above the limit was thrown away; said once for each.
    TooLong,
}

enum Frame {
    Incomplete,
    Line { end: usize },
    Counted { start: usize, len: usize },
}

impl Splitter {
    /// Messages above `limit` bytes are thrown away ([`MAX_MESSAGE`] at the original).
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), start: 0, seen: 0, discard: Discard::Nothing }
    }

    /// Takes what was read. Take all items before the next call.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.seen = self.seen.saturating_sub(self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next item, `None` until more is fed.
    pub fn next_item(&mut self) -> Option<Item<'_>> {
        loop {
            if !self.discard_rest() {
                return None;
            }
            let (from, to) = match self.frame() {
                Frame::Incomplete => return self.refuse_when_full(),
                Frame::Line { end } => {
                    let from = self.start;
                    self.move_to(end + 1);
                    (from, end)
                }
                Frame::Counted { start, len } if len > self.limit => {
                    self.move_to(start);
                    self.discard = Discard::Octets(len);
                    return Some(Item::TooLong);
                }
                Frame::Counted { start, len } => {
                    if self.buffer.len() - start < len {
                        return None;
                    }
                    self.move_to(start + len);
                    (start, start + len)
                }
            };
            if to - from > self.limit {
                return Some(Item::TooLong);
            }
            if !trimmed(&self.buffer[from..to]).is_empty() {
                return Some(Item::Message(trimmed(&self.buffer[from..to])));
            }
        }
    }

    /// What is left when the connection is closed: a last line without newline.
    pub fn finish(&mut self) -> Option<&[u8]> {
        let from = std::mem::replace(&mut self.start, self.buffer.len());
        if self.discard != Discard::Nothing || self.buffer.len() - from > self.limit {
            return None;
        }
        let last = trimmed(self.buffer.get(from..)?);
        (!last.is_empty()).then_some(last)
    }

    fn frame(&mut self) -> Frame {
        let pending = &self.buffer[self.start..];
        match octet_count(pending) {
            Count::Maybe => return Frame::Incomplete,
            Count::Yes { header, len } => {
                return Frame::Counted { start: self.start + header, len };
            }
            Count::No => {}
        }
        let from = self.seen.max(self.start);
        self.seen = self.buffer.len();
        match memchr::memchr(b'\n', &self.buffer[from..]) {
            Some(at) => Frame::Line { end: from + at },
            None => Frame::Incomplete,
        }
    }

    fn refuse_when_full(&mut self) -> Option<Item<'_>> {
        if self.buffer.len() - self.start <= self.limit {
            return None;
        }
        self.move_to(self.buffer.len());
        self.discard = Discard::ToNewline;
        Some(Item::TooLong)
    }

    /// `false` when all that is there belongs to a message that is thrown away.
    fn discard_rest(&mut self) -> bool {
        let pending = &self.buffer[self.start..];
        match self.discard {
            Discard::Nothing => return true,
            Discard::ToNewline => match memchr::memchr(b'\n', pending) {
                Some(at) => self.move_to(self.start + at + 1),
                None => {
                    self.move_to(self.buffer.len());
                    return false;
                }
            },
            Discard::Octets(left) => {
                let gone = left.min(pending.len());
                self.move_to(self.start + gone);
                if gone < left {
                    self.discard = Discard::Octets(left - gone);
                    return false;
                }
            }
        }
        self.discard = Discard::Nothing;
        true
    }

    fn move_to(&mut self, start: usize) {
        self.start = start;
        self.seen = start;
    }
}

enum Count {
    No,
    /// So far it could be one.
    Maybe,
    Yes {
        header: usize,
        len: usize,
    },
}

/// `<digits> <` begins a counted message; a line of text that begins so is no syslog.
fn octet_count(pending: &[u8]) -> Count {
    let digits = pending.iter().take(6).take_while(|b| b.is_ascii_digit()).count();
    if pending.is_empty() || digits == 0 || digits > 5 || pending[0] == b'0' {
        return Count::No;
    }
    match &pending[digits..] {
        [] | [b' '] => Count::Maybe,
        [b' ', b'<', ..] => {
            let len = pending[..digits].iter().fold(0, |sum, b| sum * 10 + usize::from(b - b'0'));
            Count::Yes { header: digits + 1, len }
        }
        _ => Count::No,
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = &text[..memchr::memchr(b'\r', text).unwrap_or(text.len())];
    without_priority(text)
}

#[cfg(test)]
mod tests;
