//! What our agents and our manager tell each other beyond OSSEC's protocol; nobody else ever sees more than an odd keepalive.
//!
//! ```text
//! agent to manager   oxsec=1;running;1f00ba42;       in front of a keepalive's random tail, see [`Mark`]
//!                    heard=6.128;                    behind it: the highest number heard from this manager, see [`Heard`]
//! manager to agent   #!-oxsec prove <nonce>          is the holder of the key alive, there? see [`ToOurs`]
//! agent to manager   #!-oxsec proof <nonce>          it is, see [`FromOurs`]
//! manager to agent   #!-oxsec advance <nonce> 6:128: your numbers are old: go on behind this one
//! agent to manager   #!-oxsec advanced <nonce>       done, by a number above it
//! manager to agent   #!-oxsec cloned 10.0.0.7        another living host, at this address, has your key
//! ```
//! An OSSEC manager passes over all that is behind the sum of merged.mg. The messages go only to agents whose keepalive bears the mark.

use std::fmt;

use crate::counter::{Counter, MAX_LOCAL};

const FAMILY: &[u8] = b"oxsec ";
const MARK: &[u8] = b"oxsec=1;";

/// How an agent of ours fares, in front of its keepalive's tail: `oxsec=1;<state>;<run>;`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// What it does.
    pub state: State,
    /// Which start of its process this is: a random number, new with each start.
    pub run: u32,
}

/// What an agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Its work.
    Running,
    /// Nothing until it is told to go on (SIGUSR2).
    Suspended,
    /// It ends in good order.
    Exiting,
}

impl State {
    /// The word on the wire and in files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Exiting => "exiting",
        }
    }

    fn parse(word: &[u8]) -> Option<Self> {
        let all = [Self::Running, Self::Suspended, Self::Exiting];
        all.into_iter().find(|state| state.word().as_bytes() == word)
    }
}

impl Mark {
    /// Reads what a tail begins with; `None`: not an agent of ours.
    pub fn parse(tail: &[u8]) -> Option<Self> {
        let (state, rest) = split(tail.strip_prefix(MARK)?, b';')?;
        let (run, _) = split(rest, b';')?;
        let state = State::parse(state)?;
        if run.len() != 8 || !run.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let run = u32::from_str_radix(std::str::from_utf8(run).ok()?, 16).ok()?;
        Some(Self { state, run })
    }

    /// Appends it; the random letters of the tail follow.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_string().as_bytes());
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oxsec=1;{};{:08x};", self.state.word(), self.run)
    }
}

/// The highest number that an agent has heard from the manager it speaks to, behind its [`Mark`]: `heard=6.128;`. Whatever
/// the manager sends by lower ones is refused: by this a manager that was restored from an older image learns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard(pub Counter);

impl Heard {
    /// Reads it from what a tail begins with; `None`: no agent of ours, or one that has heard nothing yet.
    pub fn parse(tail: &[u8]) -> Option<Self> {
        Mark::parse(tail)?;
        let (_, rest) = split(tail.strip_prefix(MARK)?, b';')?;
        let (_, rest) = split(rest, b';')?;
        let (number, _) = split(rest.strip_prefix(b"heard=")?, b';')?;
        let (global, local) = split(number, b'.')?;
        let counter = whole_counter(&[global, b":", local, b":"].concat())?;
        (counter.local <= MAX_LOCAL).then_some(Self(counter))
    }

    /// Appends it, behind the mark.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Counter { global, local } = self.0;
        out.extend_from_slice(format!("heard={global}.{local};").as_bytes());
    }
}

/// A random number that a question bears, and its answer: 32 lower hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 16]);

impl Nonce {
    fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != 32 || !text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let number = u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()?;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What the manager says to an agent of ours; the text behind `#!-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToOurs<'a> {
    /// Answer with [`FromOurs::Proof`], by whatever number comes next.
    Prove(Nonce),
    /// Send by numbers above `upto` from now on; answer with [`FromOurs::Advanced`] by the first of them.
    Advance {
        /// For the answer.
        nonce: Nonce,
        /// The highest number that the manager has seen.
        upto: Counter,
    },
    /// Another living host uses this agent's key: until one of the two is enrolled anew, this one is refused.
    Cloned {
        /// Where the other one is: an address, for the log only.
        other: &'a [u8],
    },
}

impl<'a> ToOurs<'a> {
    /// Reads the text behind `#!-`; `None`: something else.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (word, rest) = split(text.strip_prefix(FAMILY)?, b' ')?;
        match word {
            b"prove" => Some(Self::Prove(Nonce::parse(rest)?)),
            b"advance" => {
                let (nonce, upto) = split(rest, b' ')?;
                Some(Self::Advance { nonce: Nonce::parse(nonce)?, upto: whole_counter(upto)? })
            }
            b"cloned" => Some(Self::Cloned { other: rest }),
            _ => None,
        }
    }

    /// Appends the text.
    pub fn write(&self, out: &mut Vec<u8>) {
        let text = match self {
            Self::Prove(nonce) => format!("oxsec prove {nonce}"),
            Self::Advance { nonce, upto } => format!("oxsec advance {nonce} {upto}"),
            Self::Cloned { .. } => "oxsec cloned ".to_owned(),
        };
        out.extend_from_slice(text.as_bytes());
        if let Self::Cloned { other } = self {
            out.extend_from_slice(other);
        }
    }
}

/// What an agent of ours answers; the text behind `#!-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromOurs {
    /// To [`ToOurs::Prove`].
    Proof(Nonce),
    /// To [`ToOurs::Advance`].
    Advanced(Nonce),
}

impl FromOurs {
    /// Reads the text behind `#!-`; `None`: something else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (word, nonce) = split(text.strip_prefix(FAMILY)?, b' ')?;
        let nonce = Nonce::parse(nonce)?;
        match word {
            b"proof" => Some(Self::Proof(nonce)),
            b"advanced" => Some(Self::Advanced(nonce)),
            _ => None,
        }
    }

    /// Appends the text.
    pub fn write(&self, out: &mut Vec<u8>) {
        let text = match self {
            Self::Proof(nonce) => format!("oxsec proof {nonce}"),
            Self::Advanced(nonce) => format!("oxsec advanced {nonce}"),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// `6:128:` and nothing behind it.
fn whole_counter(text: &[u8]) -> Option<Counter> {
    Counter::parse(text).filter(|counter| counter.to_string().as_bytes() == text)
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(at, text)?;
    Some((&text[..place], &text[place + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = Nonce([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);

    #[test]
    fn what_is_written_is_read_back_and_no_truncation_is() {
        let advance = ToOurs::Advance { nonce: NONCE, upto: Counter { global: 6, local: 128 } };
        for message in [ToOurs::Prove(NONCE), advance, ToOurs::Cloned { other: b"10.0.0.7" }] {
            let mut text = Vec::new();
            message.write(&mut text);
            assert_eq!(ToOurs::parse(&text), Some(message));
            for cut in 0..text.len() {
                let read = ToOurs::parse(&text[..cut]);
                let is_shorter = matches!(read, Some(ToOurs::Cloned { .. }));
                assert!(read.is_none() || is_shorter, "cut at {cut}: {read:?}");
            }
        }
        for message in [FromOurs::Proof(NONCE), FromOurs::Advanced(NONCE)] {
            let mut text = Vec::new();
            message.write(&mut text);
            assert_eq!(FromOurs::parse(&text), Some(message));
            assert!((0..text.len()).all(|cut| FromOurs::parse(&text[..cut]).is_none()));
        }
    }

    #[test]
    fn a_mark_is_of_letters_that_a_tail_may_have_and_is_read_in_front_of_it() {
        for state in [State::Running, State::Suspended, State::Exiting] {
            let mark = Mark { state, run: 0x1f };
            let mut tail = Vec::new();
            mark.write(&mut tail);
            assert!(tail.iter().all(|b| crate::keepalive::TAIL_ALPHABET.contains(b)));
            assert!((0..tail.len()).all(|cut| Mark::parse(&tail[..cut]).is_none()));
            tail.extend_from_slice(b"um23;zX");
            assert_eq!(Mark::parse(&tail), Some(mark));
        }
        for other in
            [&b"um23zX]'VdpTAJQtn"[..], b"oxsec=1;dancing;00000000;", b"oxsec=1;running;0000+000;"]
        {
            assert_eq!(Mark::parse(other), None);
        }
    }

    #[test]
    fn what_was_heard_is_read_behind_the_mark_and_cut_anywhere_it_is_not() {
        let heard = Heard(Counter { global: u32::MAX, local: MAX_LOCAL });
        let mut tail = Vec::new();
        Mark { state: State::Running, run: 7 }.write(&mut tail);
        heard.write(&mut tail);
        assert!(tail.iter().all(|b| crate::keepalive::TAIL_ALPHABET.contains(b)));
        assert!((0..tail.len()).all(|cut| Heard::parse(&tail[..cut]).is_none()));
        tail.extend_from_slice(b"um23;zX");
        assert_eq!(Heard::parse(&tail), Some(heard));
        for other in ["", "heard=1.9998;", "heard=4294967296.1;", "heard=+1.1;", "heard=1:1;", "x"]
        {
            let tail = format!("oxsec=1;running;00000007;{other}um23");
            assert_eq!(Heard::parse(tail.as_bytes()), None, "{other}");
            assert!(Mark::parse(tail.as_bytes()).is_some());
        }
    }

    #[test]
    fn mutated_messages_never_panic_and_numbers_have_one_form() {
        let mut seed = 7_u32;
        let text = format!("oxsec advance {NONCE} 6:128:");
        for _ in 0..20_000 {
            let mut bytes = text.clone().into_bytes();
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = seed as usize % bytes.len();
            bytes[at] = (seed >> 24) as u8;
            let _ = (ToOurs::parse(&bytes), FromOurs::parse(&bytes), Mark::parse(&bytes));
        }
        assert_eq!(ToOurs::parse(format!("oxsec advance {NONCE} 06:1:").as_bytes()), None);
        assert_eq!(ToOurs::parse(format!("oxsec advance {NONCE} 6:1:x").as_bytes()), None);
    }
}
