//! The command lines of both programs, read as getopt does: `-in -p1515`, and long ones as `--name value` or `--name=value`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What a program takes.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// Letters without a value.
    pub switches: &'static str,
    /// Letters with one.
    pub values: &'static str,
    /// Long names without a value.
    pub long_switches: &'static [&'static str],
    /// Long names with one.
    pub long_values: &'static [&'static str],
}

/// One option: its letter or long name, and its value (empty for a switch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// `p`, `fingerprint`.
    pub name: String,
    /// As it was typed.
    pub value: OsString,
}

impl Given {
    /// The value as text, for what is no file name.
    ///
    /// # Errors
    /// It is not text.
    pub fn text(&self) -> Result<&str, String> {
        self.value.to_str().ok_or_else(|| format!("the value of -{} is not text", self.name))
    }

    /// The value as a port.
    ///
    /// # Errors
    /// It is none.
    pub fn port(&self) -> Result<u16, String> {
        let text = self.text()?;
        match text.parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("Invalid port: {text} (1 to 65535)")),
        }
    }
}

impl Grammar {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// What is wrong, for the terminal.
    pub fn read(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Vec<Given>, String> {
        let mut given = Vec::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let bytes = argument.as_bytes();
            if let Some(long) = bytes.strip_prefix(b"--").filter(|long| !long.is_empty()) {
                given.push(self.long(long, &mut arguments)?);
                continue;
            }
            let Some(letters) = bytes.strip_prefix(b"-").filter(|letters| !letters.is_empty())
            else {
                return Err(format!("unexpected argument '{}'", argument.to_string_lossy()));
            };
            let mut letters = letters.iter().copied();
            while let Some(letter) = letters.next() {
                let letter = char::from(letter);
                let value = if self.switches.contains(letter) {
                    OsString::new()
                } else if self.values.contains(letter) {
                    let stuck: Vec<u8> = letters.by_ref().collect();
                    let value = if stuck.is_empty() {
                        arguments.next()
                    } else {
                        Some(OsString::from_vec(stuck))
                    };
                    value.ok_or_else(|| format!("option requires an argument -- '{letter}'"))?
                } else {
                    return Err(format!("invalid option -- '{}'", letter.escape_default()));
                };
                given.push(Given { name: letter.to_string(), value });
            }
        }
        Ok(given)
    }

    fn long(
        &self,
        long: &[u8],
        arguments: &mut impl Iterator<Item = OsString>,
    ) -> Result<Given, String> {
        let mut halves = long.splitn(2, |&b| b == b'=');
        let name = String::from_utf8_lossy(halves.next().unwrap_or_default()).into_owned();
        let stuck = halves.next().map(|value| OsStr::from_bytes(value).to_owned());
        if self.long_switches.contains(&name.as_str()) && stuck.is_none() {
            return Ok(Given { name, value: OsString::new() });
        }
        if !self.long_values.contains(&name.as_str()) {
            return Err(format!("unrecognized option '--{}'", String::from_utf8_lossy(long)));
        }
        let value = stuck.or_else(|| arguments.next());
        let value = value.ok_or_else(|| format!("option '--{name}' requires an argument"))?;
        Ok(Given { name, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAMMAR: Grammar = Grammar {
        switches: "in",
        values: "p",
        long_switches: &["insecure"],
        long_values: &["fingerprint"],
    };

    fn read(arguments: &[&str]) -> Result<Vec<(String, String)>, String> {
        let given = GRAMMAR.read(arguments.iter().map(OsString::from))?;
        Ok(given.into_iter().map(|g| (g.name, g.value.into_string().unwrap())).collect())
    }

    #[test]
    fn letters_may_be_joined_and_values_may_stick() {
        let expected = ["i", "n", "p"].map(str::to_owned);
        for arguments in [&["-inp1515"][..], &["-i", "-n", "-p", "1515"], &["-in", "-p1515"]] {
            let given = read(arguments).unwrap();
            assert_eq!(given.iter().map(|g| g.0.clone()).collect::<Vec<_>>(), expected);
            assert_eq!(given[2].1, "1515");
        }
    }

    #[test]
    fn long_options_take_their_value_either_way() {
        let expected = vec![("fingerprint".to_owned(), "ab=c".to_owned())];
        assert_eq!(read(&["--fingerprint=ab=c"]), Ok(expected.clone()));
        assert_eq!(read(&["--fingerprint", "ab=c"]), Ok(expected));
    }

    #[test]
    fn what_is_unknown_or_incomplete_is_refused() {
        for (arguments, why) in [
            (&["-z"][..], "invalid option -- 'z'"),
            (&["-p"], "option requires an argument -- 'p'"),
            (&["stray"], "unexpected argument 'stray'"),
            (&["-"], "unexpected argument '-'"),
            (&["--what"], "unrecognized option '--what'"),
            (&["--insecure=yes"], "unrecognized option '--insecure=yes'"),
            (&["--fingerprint"], "option '--fingerprint' requires an argument"),
        ] {
            assert_eq!(read(arguments), Err(why.to_owned()), "{arguments:?}");
        }
    }
}
