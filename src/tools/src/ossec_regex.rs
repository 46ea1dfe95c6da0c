//! `ossec-regex PATTERN`: says which lines of its input a pattern matches, in both of OSSEC's own languages.
//!
//! `ossec-regex-convert` ([`convert`]) shows patterns as PCRE2.

pub mod convert;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use pattern::{Captures, Match, Regex};

use crate::{complain, say};

const USAGE: &str = "\nOxsec tool: ossec-regex PATTERN\n";
/// What the original answers to a pattern that is none.
const NO_PATTERN: u8 = 255;

/// The program.
pub fn main() -> ExitCode {
    use std::os::unix::ffi::OsStringExt;
    let mut arguments = std::env::args_os().skip(1).map(OsStringExt::into_vec);
    let (Some(given), None) = (arguments.next(), arguments.next()) else {
        complain(USAGE);
        return ExitCode::FAILURE;
    };
    if given == b"-h" {
        complain(USAGE);
        return ExitCode::SUCCESS;
    }
    let no_pattern = |compiler: &str| {
        complain(&format!("pattern does not compile with {compiler}\n"));
        ExitCode::from(NO_PATTERN)
    };
    let Ok(regex) = Regex::new(&given) else { return no_pattern("OSRegex_Compile") };
    let Ok(words) = Match::new(&given) else { return no_pattern("OSMatch_Compile") };
    match answer(&regex, &words, &mut io::stdin().lock(), &mut io::stdout().lock()) {
        // Whoever read the answers has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("ossec-regex: {error}\n"));
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

fn answer(
    regex: &Regex,
    words: &Match,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (mut line, mut captures) = (Vec::new(), Captures::new());
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return out.flush();
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.len() < 2 {
            continue;
        }
        let names: [&[u8]; 2] = [b"+OSRegex_Execute: ", b"+OS_Regex       : "];
        if regex.find_captures(text, &mut captures).is_some() {
            names.iter().try_for_each(|name| out.write_all(&[name, text, b"\n"].concat()))?;
        }
        let names: [&[u8]; 2] = [b"+OSMatch_Compile: ", b"+OS_Match2      : "];
        if words.is_match(text) {
            names.iter().try_for_each(|name| out.write_all(&[name, text, b"\n"].concat()))?;
        }
    }
}

/// `ossec-regex-convert`.
pub fn convert_main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    match convert::run(&arguments) {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(text) => {
            complain(&text);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_tells_the_lines_that_it_matches() {
        let pattern = br"user \w+$";
        let (regex, words) = (Regex::new(pattern).unwrap(), Match::new(pattern).unwrap());
        let mut out = Vec::new();
        let input = b"x\nno\nthe user bob\r\na user \\w+";
        answer(&regex, &words, &mut &input[..], &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "+OSRegex_Execute: the user bob\n+OS_Regex       : the user bob\n\
             +OSMatch_Compile: a user \\w+\n+OS_Match2      : a user \\w+\n"
        );
    }
}
