//! Numbering of messages, and refusal of what was seen before.
//!
//! A sender numbers with a pair: `local` runs from 1 to 9997, then `global` goes up by one. A receiver takes a message only
//! when its pair is above the last one. Both keep their pair in a file under `queue/rids` as `6:128:`.

use std::fmt;

/// Highest local part that is ever sent.
pub const MAX_LOCAL: u16 = 9997;

/// A message's number; ordered as it is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter {
    /// The slow part.
    pub global: u32,
    /// The fast part.
    pub local: u16,
}

impl Counter {
    /// The number of the message behind this one; `None` after some 43 million million messages.
    pub fn next(self) -> Option<Self> {
        if self.local >= MAX_LOCAL {
            return Some(Self { global: self.global.checked_add(1)?, local: 1 });
        }
        Some(Self { local: self.local + 1, ..self })
    }

    /// This number moved on by `messages`, or the highest there is.
    pub fn plus(self, messages: u64) -> Self {
        let per_global = u64::from(MAX_LOCAL);
        let Some(place) = self.place().checked_add(messages) else { return Self::LAST };
        if place == 0 {
            return self;
        }
        let (global, local) = ((place - 1) / per_global, (place - 1) % per_global + 1);
        match (u32::try_from(global), u16::try_from(local)) {
            (Ok(global), Ok(local)) => Self { global, local },
            _ => Self::LAST,
        }
    }

    /// Reads `6:128:` with anything behind it, as peers leave it there; `None` for an empty or other file.
    pub fn parse(file: &[u8]) -> Option<Self> {
        let mut parts = file.split(|&b| b == b':');
        let global = digits(parts.next()?)?;
        let local = parts.next()?;
        let len = local.iter().take_while(|b| b.is_ascii_digit()).count();
        let local = digits(&local[..len])?;
        Some(Self { global: u32::try_from(global).ok()?, local: u16::try_from(local).ok()? })
    }

    /// How many places lie behind this one; 0:0 has none.
    fn place(self) -> u64 {
        u64::from(self.global) * u64::from(MAX_LOCAL) + u64::from(self.local)
    }

    const LAST: Self = Self { global: u32::MAX, local: MAX_LOCAL };
}

impl fmt::Display for Counter {
    /// As in the file: `6:128:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.global, self.local)
    }
}

/// What one receiver has seen of one sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    last: Counter,
}

impl Window {
    /// A receiver that has seen all up to `last`; 0:0 for a new one.
    pub fn after(last: Counter) -> Self {
        Self { last }
    }

    /// The number of the last accepted message.
    pub fn last(self) -> Counter {
        self.last
    }

    /// Takes a message's number; the answer is how many messages are missing before it (0 in the usual case).
    ///
    /// # Errors
    /// [`Stale`] when the number is not above the last one; the window stays as it was.
    pub fn accept(&mut self, counter: Counter) -> Result<u64, Stale> {
        if counter <= self.last {
            let same = counter.global == self.last.global;
            return Err(if same { Stale::Repeated } else { Stale::Backwards });
        }
        let missing = counter.place().saturating_sub(self.last.place()).saturating_sub(1);
        self.last = counter;
        Ok(missing)
    }

    /// Remembers a number whatever it is, for `remoted.verify_msg_id=0`.
    pub fn remember(&mut self, counter: Counter) {
        self.last = counter;
    }
}

/// Why a number is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// Same global part, local part not above: a repeated or a late message.
    Repeated,
    /// Global part below: an agent restored from an old image, or a replay.
    Backwards,
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |sum, b| sum * 10 + u64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(global: u32, local: u16) -> Counter {
        Counter { global, local }
    }

    #[test]
    fn numbering_begins_at_one_and_carries_at_9997() {
        assert_eq!(Counter::default().next(), Some(at(0, 1)));
        assert_eq!(at(0, 9997).next(), Some(at(1, 1)));
        assert_eq!(at(u32::MAX, 9997).next(), None);
    }

    #[test]
    fn moving_on_is_counting_on() {
        let mut counted = at(3, 9990);
        for _ in 0..20 {
            counted = counted.next().unwrap();
        }
        assert_eq!(at(3, 9990).plus(20), counted);
        assert_eq!(at(3, 5).plus(0), at(3, 5));
        assert_eq!(Counter::default().plus(0), Counter::default());
        assert_eq!(at(3, 5).plus(u64::MAX), Counter::LAST);
    }

    #[test]
    fn a_replay_is_refused_and_a_gap_is_counted() {
        let mut window = Window::after(at(5, 10));
        assert_eq!(window.accept(at(5, 11)), Ok(0));
        assert_eq!(window.accept(at(5, 11)), Err(Stale::Repeated));
        assert_eq!(window.accept(at(5, 3)), Err(Stale::Repeated));
        assert_eq!(window.accept(at(4, 9000)), Err(Stale::Backwards));
        assert_eq!(window.accept(at(6, 1)), Ok(9997 - 11));
        assert_eq!(window.last(), at(6, 1));
    }

    #[test]
    fn the_file_is_read_with_old_bytes_behind_it() {
        assert_eq!(Counter::parse(b"6:128:"), Some(at(6, 128)));
        assert_eq!(Counter::parse(b"6:128:7:"), Some(at(6, 128)));
        assert_eq!(Counter::parse(b"6:128"), Some(at(6, 128)));
        for bad in [&b""[..], b"6", b":", b"x:1:", b"4294967296:1:", b"1:70000:", b"1::"] {
            assert_eq!(Counter::parse(bad), None, "{bad:?}");
        }
        assert_eq!(at(6, 128).to_string(), "6:128:");
    }
}
