//! Finds which of many literals lie in a line, ASCII case ignored.
//!
//! Three neighbouring bytes stand for a literal, those that the fewest other literals have. One look at each byte of the
//! line, into a bit set of 8 KiB, tells whether a literal may lie there; a second look, with the byte behind them, that most
//! likely one does; only then texts are compared. So a line costs about a dozen instructions a byte, however many
//! literals there are.

/// Shortest literal that can be found.
pub(crate) const MIN_LITERAL: usize = 3;

/// Words of a bit set; a hash has 16 bits.
const WORDS: usize = 1 << 10;

/// Buckets of hashes: few literals share one.
const BUCKETS: usize = 1 << 12;

/// Spreads windows over a set (2^32 by the golden ratio).
const SPREAD: u32 = 0x9E37_79B1;

/// Literals, ready to be looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scanner {
    /// The windows.
    windows: BitSet,
    /// The windows with the byte behind them; with any byte if the literal ends there.
    longer: BitSet,
    /// Where the literals of each bucket of hashes begin, and their end.
    starts: Box<[u32]>,
    /// Ordered by the hash of their windows.
    literals: Box<[Literal]>,
    /// Their texts in lower case.
    texts: Box<[u8]>,
}

/// Hashes that occur. Of fixed size, so that looking one up needs no check; when it is full it is of no use, and does no harm.
#[derive(Debug, Clone)]
struct BitSet(Box<[u64; WORDS]>);

impl Default for BitSet {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl BitSet {
    fn insert(&mut self, hash: u16) {
        if let Some(word) = self.0.get_mut(usize::from(hash / 64)) {
            *word |= 1 << (hash % 64);
        }
    }

    fn has(&self, hash: u16) -> bool {
        self.0.get(usize::from(hash / 64)).is_some_and(|word| word >> (hash % 64) & 1 == 1)
    }
}

/// A hash of folded bytes.
fn spread(bytes: u32) -> u16 {
    (bytes.wrapping_mul(SPREAD) >> 16) as u16
}

/// Makes both cases of a letter the same; also a few other pairs of bytes, which a comparison tells apart.
fn fold(bytes: [u8; 4]) -> u32 {
    u32::from_le_bytes(bytes) | 0x2020_2020
}

/// One literal.
#[derive(Debug, Clone, Copy)]
struct Literal {
    number: u32,
    window: Window,
    /// Bytes before the window.
    before: u32,
    /// Place in the texts.
    start: u32,
    end: u32,
}

/// Three bytes, folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Window(u32);

impl Window {
    /// Of the first three of four folded bytes.
    fn start_of(folded: u32) -> Self {
        Self(folded << 8)
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c] = bytes else { return None };
        Some(Self::start_of(fold([a, b, c, 0])))
    }

    fn hash(self) -> u16 {
        spread(self.0)
    }

    fn bucket(self) -> usize {
        usize::from(self.hash()) / (usize::from(u16::MAX) / BUCKETS + 1)
    }

    /// The four folded bytes that it begins, with this one behind it.
    fn followed_by(self, byte: u8) -> u32 {
        self.0 >> 8 | u32::from(byte | 0x20) << 24
    }

    /// How common it is in lines, by how common it is in literals; numbers are in every line.
    fn commonness(self, all: &[Self]) -> usize {
        let count = all.partition_point(|at| *at <= self) - all.partition_point(|at| *at < self);
        let digits = self.0.to_le_bytes().iter().filter(|byte| byte.is_ascii_digit()).count();
        count * (1 + 2 * digits)
    }
}

impl Scanner {
    /// Literals of at least [`MIN_LITERAL`] bytes, in lower case; they are numbered in this order. Shorter ones are not found.
    pub(crate) fn new<'a>(literals: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let mut windows: Vec<Window> = literals.clone().flat_map(windows_of).collect();
        windows.sort_unstable();
        let (mut texts, mut entries) = (Vec::new(), Vec::new());
        for (number, text) in literals.enumerate() {
            let start = texts.len();
            texts.extend_from_slice(text);
            let rarest = windows_of(text).enumerate().min_by_key(|(_, at)| at.commonness(&windows));
            if let Some((before, window)) = rarest {
                let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                entries.push(Literal {
                    number: place(number),
                    window,
                    before: place(before),
                    start: place(start),
                    end: place(texts.len()),
                });
            }
        }
        entries.sort_unstable_by_key(|literal| (literal.window.hash(), literal.number));
        let mut scanner = Self { literals: entries.into(), texts: texts.into(), ..Self::default() };
        scanner.index();
        scanner
    }

    fn index(&mut self) {
        for literal in &self.literals {
            self.windows.insert(literal.window.hash());
            let behind = (literal.start + literal.before) as usize + MIN_LITERAL;
            let end = literal.end as usize;
            let behind = self.texts.get(behind).filter(|_| behind < end);
            let possible = behind.map_or(0..=u8::MAX, |&byte| byte..=byte);
            for byte in possible {
                self.longer.insert(spread(literal.window.followed_by(byte)));
            }
        }
        let begin = |bucket: usize| {
            let before = self.literals.partition_point(|literal| literal.window.bucket() < bucket);
            u32::try_from(before).unwrap_or(u32::MAX)
        };
        self.starts = (0..=BUCKETS).map(begin).collect();
    }

    /// Calls `found` with the number of each literal in `text`, maybe more than once.
    pub(crate) fn scan(&self, text: &[u8], mut found: impl FnMut(usize)) {
        for (at, bytes) in text.windows(4).enumerate() {
            let Ok(bytes) = <[u8; 4]>::try_from(bytes) else { return };
            let folded = fold(bytes);
            let window = Window::start_of(folded);
            if self.windows.has(window.hash()) && self.longer.has(spread(folded)) {
                self.compare(window, text, at, &mut found);
            }
        }
        // Behind the last window of four there is one of three.
        let at = text.len().saturating_sub(MIN_LITERAL);
        if let Some(window) = text.get(at..).and_then(Window::of)
            && self.windows.has(window.hash())
        {
            self.compare(window, text, at, &mut found);
        }
    }

    #[inline(never)]
    fn compare(&self, window: Window, text: &[u8], at: usize, found: &mut impl FnMut(usize)) {
        for literal in self.candidates(window).iter().filter(|literal| literal.window == window) {
            let wanted = self.texts.get(literal.start as usize..literal.end as usize);
            let start = at.checked_sub(literal.before as usize);
            let (Some(wanted), Some(start)) = (wanted, start) else { continue };
            let there = text.get(start..start + wanted.len());
            if there.is_some_and(|there| there.eq_ignore_ascii_case(wanted)) {
                found(literal.number as usize);
            }
        }
    }

    /// The literals of a window's bucket.
    fn candidates(&self, window: Window) -> &[Literal] {
        let at = window.bucket();
        let (Some(&start), Some(&end)) = (self.starts.get(at), self.starts.get(at + 1)) else {
            return &[];
        };
        self.literals.get(start as usize..end as usize).unwrap_or_default()
    }
}

/// Each three neighbouring bytes.
fn windows_of(text: &[u8]) -> impl Iterator<Item = Window> {
    text.windows(MIN_LITERAL).filter_map(Window::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner(literals: &[&str]) -> Scanner {
        Scanner::new(literals.iter().map(|text| text.as_bytes()))
    }

    fn found(scanner: &Scanner, text: &[u8]) -> Vec<usize> {
        let mut numbers = Vec::new();
        scanner.scan(text, |number| numbers.push(number));
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    #[test]
    fn a_literal_is_found_at_either_end_in_any_case() {
        let scanner = scanner(&["failed", "ail", "password", "led pass", "failed password"]);
        assert_eq!(found(&scanner, b"FAILED Password"), [0, 1, 2, 3, 4]);
        assert_eq!(found(&scanner, b"AIL"), [1]);
        assert_eq!(found(&scanner, b"ai"), []);
        assert_eq!(found(&scanner, b""), []);
        assert_eq!(found(&scanner, b"xpassword"), [2]);
    }

    #[test]
    fn bytes_that_differ_as_letters_do_are_not_the_same() {
        // '@' and '`', '[' and '{' lie as far apart as 'A' and 'a'.
        let scanner = scanner(&["a@b", "x[y", "[[[[[[[[["]);
        assert_eq!(found(&scanner, b"a`b x{y {{{{{{{{{"), []);
        assert_eq!(found(&scanner, b"A@B X[Y"), [0, 1]);
    }

    #[test]
    fn it_finds_what_a_plain_search_finds() {
        let mut seed = 7_u32;
        let mut next = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 10) % below
        };
        let mut word = |longest: u32| -> Vec<u8> {
            (0..3 + next(longest)).map(|_| b"abcABC\xe4 "[next(8) as usize]).collect()
        };
        for _ in 0..200 {
            let literals: Vec<Vec<u8>> = (0..60).map(|_| word(9).to_ascii_lowercase()).collect();
            let scanner = Scanner::new(literals.iter().map(Vec::as_slice));
            let text = word(80);
            let lower = text.to_ascii_lowercase();
            let is_there =
                |literal: &[u8]| lower.windows(literal.len()).any(|window| window == literal);
            let expected: Vec<usize> =
                (0..literals.len()).filter(|&at| is_there(&literals[at])).collect();
            assert_eq!(found(&scanner, &text), expected);
        }
    }
}
