//! What the languages promise beyond the tables: hostile bytes, `$` and newlines, required literals, backtracking.

#![allow(clippy::unwrap_used)]

use pattern::{Captures, Match, PatternError, Pcre, Regex, has_word, literals_apply};

fn groups<'t>(pattern: &str, text: &'t [u8]) -> Option<Vec<&'t [u8]>> {
    let mut captures = Captures::new();
    Regex::new(pattern.as_bytes()).unwrap().find_captures(text, &mut captures)?;
    Some(captures.iter().map(|range| &text[range]).collect())
}

fn pcre_groups<'t>(pattern: &str, text: &'t [u8]) -> Option<(usize, Vec<&'t [u8]>)> {
    let mut captures = Captures::new();
    let end = Pcre::new(pattern.as_bytes()).unwrap().find_captures(text, &mut captures)?;
    Some((end, captures.iter().map(|range| &text[range]).collect()))
}

#[test]
fn a_byte_that_is_no_utf8_counts_as_one_character() {
    assert_eq!(groups(r"^user (\S+) x", b"user \xFF\xFE x"), Some(vec![&b"\xFF\xFE"[..]]));
    assert_eq!(groups(r"^(\.)(\W)$", b"\xFFa"), None);
    assert!(Regex::new(r"^\S\S$".as_bytes()).unwrap().is_match(b"\xC3x"));
    assert!(!Regex::new(r"^\S\S$".as_bytes()).unwrap().is_match("é".as_bytes()));
}

#[test]
fn a_pattern_may_hold_bytes_that_are_no_utf8() {
    assert!(Regex::new(b"a\xFF\\d").unwrap().is_match(b"A\xFF7"));
    assert!(Match::new(b"a\xFF|b").unwrap().is_match(b"xA\xFFy"));
    assert!(Pcre::new(b"a\xFF\\d").unwrap().is_match(b"A\xFF7"));
}

#[test]
fn case_of_letters_beyond_ascii_is_ignored_except_in_pcre2() {
    assert!(Regex::new("é\\d".as_bytes()).unwrap().is_match("É1".as_bytes()));
    assert!(Match::new("é|x".as_bytes()).unwrap().is_match("É".as_bytes()));
    assert!(!Pcre::new("é\\d".as_bytes()).unwrap().is_match("É1".as_bytes()));
}

#[test]
fn a_repetition_needs_something_to_repeat() {
    for pattern in [r"\\|+", r"\\(+a)", r"\\$+", r"\\++"] {
        assert_eq!(
            Regex::new(pattern.as_bytes()).map_err(|err| err.code()).err(),
            Some(6),
            "{pattern}"
        );
    }
    for pattern in ["*a", "a**", "a{2}{3}", "^*", r"\b+", "(?i)*", "(|+)", "a|?"] {
        assert_eq!(
            Pcre::new(pattern.as_bytes()).map_err(|err| err.code()).err(),
            Some(6),
            "{pattern}"
        );
    }
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let error = |pattern: &[u8]| Pcre::new(pattern).unwrap_err().to_string();
    assert_eq!(error(b""), "the pattern is empty");
    assert_eq!(error(br"a\q"), r"unknown escape '\q' at offset 1");
    assert_eq!(error(b"a(b"), "a parenthesis is not closed");
    assert_eq!(error(b"[b-a]"), "the range 'b-a' counts downwards");
    assert_eq!(error(b"a{3,2}"), "'{3,2}' counts downwards");
    assert_eq!(error(b"ab(?1)"), "a call of a group at offset 2 is not supported");
    assert_eq!(
        Regex::new(br"ab\z").unwrap_err(),
        PatternError::UnknownEscape { escape: b'z', at: 2 }
    );
    assert_eq!(Regex::new(&[b'a'; 2049]).unwrap_err().code(), 3);
    assert_eq!(Match::new(&[b'a'; 2049]).unwrap_err().code(), 3);
}

#[test]
fn a_counted_repetition_cannot_take_all_memory() {
    assert!(Pcre::new(b"((((a{999}){999}){999}){999})").is_err());
}

#[test]
fn dollar_of_pcre2_is_also_before_a_final_newline_and_leaves_it() {
    assert_eq!(pcre_groups(r"(\S+) b$", b"a b\n"), Some((3, vec![&b"a"[..]])));
    assert_eq!(pcre_groups(r"(.+|\n)$", b"ab\n"), Some((2, vec![&b"ab"[..]])));
    assert_eq!(pcre_groups(r"b\Z", b"ab\n\n"), None);
    assert_eq!(pcre_groups(r"(?m)a$", b"a\nb"), Some((1, vec![])));
    assert_eq!(pcre_groups(r"(?m)^b", b"a\nb\n"), Some((3, vec![])));
}

#[test]
fn dollar_of_os_match_is_also_before_a_final_newline() {
    let matches = |pattern: &[u8], text: &[u8]| Match::new(pattern).unwrap().is_match(text);
    assert!(matches(b"x|b$", b"ab\n"));
    assert!(!matches(b"x|b$", b"ab\n\n"));
    assert!(matches(b"x|b$$", b"ab"));
    assert!(matches(b"x|b$\n", b"ab\n"));
    assert!(!matches(b"x|b$\nc", b"ab\nc"));
    assert!(!matches(b"b^|$b", b"b"));
    assert!(matches(b"^^$|zz", b"\n"));
}

#[test]
fn look_around_and_references_work_and_are_reported() {
    let is_slow = |pattern: &str| Pcre::new(pattern.as_bytes()).unwrap().needs_backtracking();
    assert!(!is_slow(r"^(?<user>\S+)(?i:x)+?[[:alpha:]]{2,3}$"));
    assert!(is_slow(r"a(?=b)"));
    assert_eq!(pcre_groups(r"(?<w>\w)\k<w>(?!c)", b"aAc bBd"), Some((6, vec![&b"b"[..]])));
    assert_eq!(pcre_groups(r"(?<!x)(\d++)\xFF", b"x1\xFF 22\xFF"), Some((7, vec![&b"22"[..]])));
}

#[test]
fn a_backtracking_pattern_gives_up_instead_of_going_on_for_ever() {
    let pcre = Pcre::new(br"^(a+)+(?=\d)$").unwrap();
    assert!(!pcre.is_match(&[b'a'; 200]));
}

#[test]
fn a_group_without_part_makes_room_for_later_ones() {
    assert_eq!(groups(r"x(\d+)y|z(\s*)(\d+)", b"z17"), Some(vec![&b""[..], &b"17"[..]]));
}

#[test]
fn literals_that_are_required_are_the_longest_and_of_every_alternative() {
    let of = |pattern: &str| {
        Regex::new(pattern.as_bytes()).unwrap().required_literals().map(<[Vec<u8>]>::to_vec)
    };
    assert_eq!(
        of(r"^Failed \S+ for invalid user (\S+)"),
        Some(vec![b" for invalid user ".to_vec()])
    );
    assert_eq!(of(r"ab(cd)ef\d"), Some(vec![b"abcdef".to_vec()]));
    assert_eq!(of(r"^Accepted|refused \d"), Some(vec![b"accepted".to_vec(), b"refused ".to_vec()]));
    assert_eq!(of("abc|"), None);
    assert_eq!(of(r"\S+"), None);
    assert_eq!(of("^SSHD"), Some(vec![b"sshd".to_vec()]));
}

#[test]
fn a_text_with_odd_letters_is_not_judged_by_literals() {
    let regex = Regex::new(r"kernel: \d".as_bytes()).unwrap();
    let text = "\u{212A}ernel: 1".as_bytes();
    assert!(regex.is_match(text));
    assert!(!literals_apply(text));
    assert!(!literals_apply("\u{17F}sh".as_bytes()));
    assert!(literals_apply("né\u{FF}".as_bytes()));
}

#[test]
fn words_are_pieces_of_the_text() {
    assert!(has_word(b"web|sshd", b"syslog,SSHD,"));
    assert!(!has_word(b"", b"syslog"));
    assert!(!has_word(b"a", b""));
}

/// Patterns and texts from a fixed seed, made of pieces that mean something.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn string(&mut self, pieces: &[&[u8]], most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..self.roll(most + 1) {
            out.extend_from_slice(pieces[self.roll(pieces.len())]);
        }
        out
    }
}

const PIECES: &[&[u8]] = &[
    b"a",
    b"b",
    b"K",
    b"s",
    b"ab",
    b"sk",
    b"\\d",
    b"\\S",
    b"\\w",
    b"\\.",
    b"+",
    b"*",
    b"?",
    b"(",
    b")",
    b"|",
    b"^",
    b"$",
    b"\\",
    b"[",
    b"]",
    b"{2}",
    b"(?:",
    b"(?i)",
    b"(?=",
    b"(?<n>",
    b"-",
    b"1",
    b" ",
    b"\n",
    b"\\\\",
    b"\xC3\xA9",
    b"\xFF",
    b"\\x",
    b"\\Q",
    b"[:",
    b"\\1",
    b"\0",
];

const TEXTS: &[&[u8]] = &[
    b"a",
    b"b",
    b"A",
    b"k",
    b"S",
    b"1",
    b" ",
    b"\n",
    b"\xC3\xA9",
    b"\xFF",
    b"\\",
    b"+",
    b"\xE2\x84\xAA",
    b"-",
    b"\0",
];

#[test]
fn no_pattern_and_no_text_make_it_panic_and_every_match_has_a_required_literal() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut captures = Captures::new();
    let mut matches_with_literals = 0;
    for _ in 0..2_000 {
        let pattern = dice.string(PIECES, 7);
        let mut texts: Vec<Vec<u8>> = (0..5).map(|_| dice.string(TEXTS, 9)).collect();
        // What the pattern spells, for more matches.
        texts.push(
            pattern
                .iter()
                .filter(|byte| !b"\\()|^$[]{}?+*".contains(byte))
                .map(u8::to_ascii_uppercase)
                .collect(),
        );
        let (regex, matcher, pcre) =
            (Regex::new(&pattern), Match::new(&pattern), Pcre::new(&pattern));
        for text in &texts {
            let mut found = Vec::new();
            if let Ok(regex) = &regex {
                let end = regex.find_captures(text, &mut captures);
                assert_eq!(end.is_some(), regex.is_match(text), "{}", pattern.escape_ascii());
                assert!(
                    captures
                        .iter()
                        .all(|range| range.start <= range.end && range.end <= text.len())
                );
                found.push((end.is_some(), regex.required_literals(), literals_apply(text)));
            }
            if let Ok(pcre) = &pcre {
                let end = pcre.find_captures(text, &mut captures);
                assert!(end.is_none_or(|end| end <= text.len()));
                found.push((end.is_some(), pcre.required_literals(), true));
            }
            if let Ok(matcher) = &matcher {
                found.push((
                    matcher.is_match(text),
                    matcher.required_literals(),
                    literals_apply(text),
                ));
            }
            let lower = text.to_ascii_lowercase();
            for (is_match, literals, apply) in found {
                let (true, Some(literals), true) = (is_match, literals, apply) else { continue };
                matches_with_literals += 1;
                let has = |literal: &Vec<u8>| {
                    lower.windows(literal.len()).any(|window| window == literal)
                };
                assert!(
                    literals.iter().any(has),
                    "{} on {}",
                    pattern.escape_ascii(),
                    text.escape_ascii()
                );
            }
        }
    }
    assert!(matches_with_literals > 50, "only {matches_with_literals}: the test tests nothing");
}
