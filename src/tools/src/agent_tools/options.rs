//! Options in the manner of getopt(3): `-lc`, `-i 001`, `-i001`; `--json` for `-j`; and words of our own: `--compare 001 002`.

use std::fmt;

use super::{Reply, version};

/// What a program is called, and what it understands.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Its name.
    pub(crate) name: &'static str,
    /// A letter for each option, with `:` behind those that take a value.
    pub(crate) letters: &'static str,
    /// Options that are words.
    pub(crate) words: &'static [Word],
    /// Its help.
    pub(crate) usage: &'static str,
}

/// An option that is a word.
#[derive(Debug)]
pub(crate) struct Word {
    /// Without its dashes.
    pub(crate) name: &'static str,
    /// Values that it must have.
    pub(crate) least: usize,
    /// Values that it may have: words that don't begin with a dash.
    pub(crate) most: usize,
}

impl Tool {
    /// Reads the words of a call.
    ///
    /// # Errors
    /// The answer to words that can't be understood, to `-V` and to `-h`.
    pub(crate) fn read(&self, words: &[String]) -> Result<Options, Reply> {
        let options = Options::parse_with(words, self.letters, self.words).map_err(|odd| {
            Reply { out: self.usage.into(), err: format!("{}: {odd}\n", self.name), code: 1 }
        })?;
        if options.has('V') {
            return Err(version(self.name));
        }
        if options.has('h') {
            return Err(Reply::of(self.usage));
        }
        Ok(options)
    }
}

/// How a program's options were given, in order.
#[derive(Debug, Default)]
pub(crate) struct Options {
    given: Vec<(char, Option<String>)>,
    words: Vec<(&'static str, Vec<String>)>,
    /// Words that belong to no option.
    pub(crate) stray: Vec<String>,
}

impl Options {
    /// Reads words; `known` is a letter for each option, with `:` behind those that take a value.
    pub(crate) fn parse(words: &[String], known: &str) -> Result<Self, Odd> {
        Self::parse_with(words, known, &[])
    }

    fn parse_with(words: &[String], known: &str, long: &[Word]) -> Result<Self, Odd> {
        let mut options = Self::default();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").unwrap_or_default();
            if let Some(Word { name, least, most }) = long.iter().find(|word| word.name == name) {
                let mut values = Vec::new();
                while values.len() < *most
                    && let Some(value) = words.next_if(|word| !word.starts_with('-'))
                {
                    values.push(value.clone());
                }
                if values.len() < *least {
                    return Err(Odd::TooFew(name));
                }
                options.words.push((name, values));
                continue;
            }
            if word == "--json" && known.contains('j') {
                options.given.push(('j', None));
                continue;
            }
            let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
                options.stray.push(word.clone());
                continue;
            };
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                if letter == ':' || !known.contains(letter) {
                    return Err(Odd::Unknown(letter));
                }
                if !known.contains(&format!("{letter}:")) {
                    options.given.push((letter, None));
                    continue;
                }
                let rest: String = letters.by_ref().collect();
                let value = if rest.is_empty() { words.next().cloned() } else { Some(rest) };
                options.given.push((letter, Some(value.ok_or(Odd::NoValue(letter))?)));
            }
        }
        Ok(options)
    }

    /// Whether an option was given.
    pub(crate) fn has(&self, letter: char) -> bool {
        self.given.iter().any(|(given, _)| *given == letter)
    }

    /// Whether any of them was.
    pub(crate) fn has_any(&self, letters: &str) -> bool {
        letters.chars().any(|letter| self.has(letter))
    }

    /// The last value of an option.
    pub(crate) fn value(&self, letter: char) -> Option<&str> {
        let of = self.given.iter().rev().find(|(given, _)| *given == letter);
        of.and_then(|(_, value)| value.as_deref())
    }

    /// The values of an option that is a word; `None` when it was not given.
    pub(crate) fn word(&self, name: &str) -> Option<&[String]> {
        let of = self.words.iter().rev().find(|(given, _)| *given == name);
        of.map(|(_, values)| values.as_slice())
    }

    /// The options that are words, as given.
    pub(crate) fn words(&self) -> impl Iterator<Item = &'static str> {
        self.words.iter().map(|(name, _)| *name)
    }

    /// How to answer: the later of `-s` and `-j` wins.
    pub(crate) fn form(&self) -> Form {
        match self.given.iter().rev().find(|(given, _)| matches!(given, 's' | 'j')) {
            Some(('s', _)) => Form::Csv,
            Some(_) => Form::Json,
            None => Form::Text,
        }
    }

    /// Whether nothing at all was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.given.is_empty() && self.words.is_empty() && self.stray.is_empty()
    }
}

/// For whom an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// People.
    Text,
    /// `-s`: comma-separated values.
    Csv,
    /// `-j`, `--json`.
    Json,
}

/// Options that can't be understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Odd {
    /// There is no such option.
    Unknown(char),
    /// Its value is missing.
    NoValue(char),
    /// So are some of this one.
    TooFew(&'static str),
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(letter) => write!(f, "invalid option -- '{}'", letter.escape_default()),
            Self::NoValue(letter) => write!(f, "option requires an argument -- '{letter}'"),
            Self::TooFew(name) => write!(f, "option --{name} requires more than that"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options, Odd> {
        let two = Word { name: "compare", least: 2, most: 2 };
        let maybe = Word { name: "rare", least: 0, most: 1 };
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Options::parse_with(&words, "lcsji:", &[two, maybe])
    }

    #[test]
    fn options_that_are_words_take_as_many_values_as_they_may() {
        let options = parse("--compare 001 002 --rare -j").unwrap();
        assert_eq!(options.word("compare").unwrap(), ["001", "002"]);
        assert_eq!(options.word("rare").unwrap(), [""; 0]);
        assert!(options.has('j') && options.stray.is_empty());
        assert_eq!(parse("--rare 3 x").unwrap().stray, ["x"]);
        assert_eq!(parse("--compare 001 -j").unwrap_err(), Odd::TooFew("compare"));
        assert_eq!(parse("--sign").unwrap_err(), Odd::Unknown('-'));
    }

    #[test]
    fn options_are_read_as_getopt_does() {
        let options = parse("-lc -i001 x").unwrap();
        assert!(options.has('l') && options.has('c') && !options.has('s'));
        assert_eq!((options.value('i'), &options.stray[..]), (Some("001"), &["x".to_owned()][..]));
        assert_eq!(parse("-l -i 002").unwrap().value('i'), Some("002"));
        assert_eq!(parse("-Z").unwrap_err(), Odd::Unknown('Z'));
        assert_eq!(parse("-i").unwrap_err(), Odd::NoValue('i'));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn the_later_form_wins() {
        assert_eq!(parse("-l").unwrap().form(), Form::Text);
        assert_eq!(parse("-s -j").unwrap().form(), Form::Json);
        assert_eq!(parse("--json -s").unwrap().form(), Form::Csv);
        assert_eq!(parse("-l --json").unwrap().form(), Form::Json);
    }
}
