//! Options in the manner of getopt(3): `-lc`, `-i 001`, `-i001`, and `--json` for `-j`.

use std::fmt;

/// How a program's options were given, in order.
#[derive(Debug, Default)]
pub(crate) struct Options {
    given: Vec<(char, Option<String>)>,
    /// Words that belong to no option.
    pub(crate) stray: Vec<String>,
}

impl Options {
    /// Reads words; `known` is a letter for each option, with `:` behind those that take a value.
    pub(crate) fn parse(words: &[String], known: &str) -> Result<Self, Odd> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
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
        self.given.is_empty() && self.stray.is_empty()
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
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(letter) => write!(f, "invalid option -- '{}'", letter.escape_default()),
            Self::NoValue(letter) => write!(f, "option requires an argument -- '{letter}'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options, Odd> {
        Options::parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), "lcsji:")
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
