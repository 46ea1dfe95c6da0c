//! `ossec-regex-convert`: OS_Regex and OS_Match as PCRE2.
//!
//! The translations are what defines the two languages; the engines of `pattern` are checked against them.

use pattern::{Match, PatternError, Regex};

const USAGE: &str = "
Oxsec tool: ossec-regex-convert [-m | -r] PATTERN...
            ossec-regex-convert -b TAG PATTERN...
  -m          Only as a <match>
  -r          Only as a <regex>
  -b TAG      As the PCRE2 form of this tag of a rule or decoder, ready to be put in
  -t          List the tags
  -h          This help
";

/// Tags, each with its PCRE2 form and whether it is an OS_Regex.
const TAGS: [(&str, &str, bool); 15] = [
    ("regex", "pcre2", true),
    ("prematch", "prematch_pcre2", true),
    ("if_matched_regex", "if_matched_pcre2", true),
    ("match", "match_pcre2", false),
    ("program_name", "program_name_pcre2", false),
    ("hostname", "hostname_pcre2", false),
    ("user", "user_pcre2", false),
    ("url", "url_pcre2", false),
    ("id", "id_pcre2", false),
    ("status", "status_pcre2", false),
    ("srcport", "srcport_pcre2", false),
    ("dstport", "dstport_pcre2", false),
    ("extra_data", "extra_data_pcre2", false),
    ("srcgeoip", "srcgeoip_pcre2", false),
    ("dstgeoip", "dstgeoip_pcre2", false),
];

/// What the program prints, or what it complains about.
pub(super) fn run(arguments: &[String]) -> Result<String, String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["-h", ..] => Ok(USAGE.to_owned()),
        ["-t"] => Ok(TAGS.iter().map(|(tag, pcre2, _)| format!("{tag} -> {pcre2}\n")).collect()),
        ["-m", patterns @ ..] if !patterns.is_empty() => show(patterns, false, true),
        ["-r", patterns @ ..] if !patterns.is_empty() => show(patterns, true, false),
        ["-b", tag, patterns @ ..] if !patterns.is_empty() => batch(tag, patterns),
        [] => Err(USAGE.to_owned()),
        [first, ..] if first.starts_with('-') && *first != "-" && first.len() == 2 => {
            Err(format!("ossec-regex-convert: invalid use of {first}\n{USAGE}"))
        }
        patterns => show(patterns, true, true),
    }
}

fn show(patterns: &[&str], as_regex: bool, as_match: bool) -> Result<String, String> {
    let mut text = String::new();
    for pattern in patterns {
        text.push_str(&format!("pattern = {pattern}\n"));
        if as_regex {
            text.push_str(&format!("regex   = {}\n", said(regex(pattern))));
        }
        if as_match {
            text.push_str(&format!("match   = {}\n", said(words(pattern))));
        }
    }
    Ok(text)
}

fn said(translation: Result<String, PatternError>) -> String {
    translation.unwrap_or_else(|error| format!("(none: {error})"))
}

fn batch(tag: &str, patterns: &[&str]) -> Result<String, String> {
    let known = TAGS.iter().find(|(name, _, _)| *name == tag);
    let Some((_, pcre2, is_regex)) = known else {
        return Err(format!(
            "ossec-regex-convert: '{tag}' is no tag with a pattern; -t lists them\n"
        ));
    };
    let mut text = String::new();
    for pattern in patterns {
        let translation = if *is_regex { regex(pattern) } else { words(pattern) };
        let translation =
            translation.map_err(|error| format!("ossec-regex-convert: '{pattern}': {error}\n"))?;
        let translation = escaped_for_xml(&translation);
        text.push_str(&format!("<{pcre2}>{translation}</{pcre2}>\n"));
    }
    Ok(text)
}

/// In OSSEC's dialect of XML a backslash keeps a `<` from opening a tag, and PCRE2 reads `\<` as `<`.
fn escaped_for_xml(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut is_escaped = false;
    for character in pattern.chars() {
        if character == '<' && !is_escaped {
            out.push('\\');
        }
        is_escaped = character == '\\' && !is_escaped;
        out.push(character);
    }
    out
}

/// An OS_Regex as PCRE2.
pub(super) fn regex(pattern: &str) -> Result<String, PatternError> {
    Regex::new(pattern.as_bytes())?;
    let given: Vec<char> = pattern.chars().collect();
    let mut out: Vec<char> = Vec::with_capacity(given.len() * 2);
    let mut at = 0;
    while let Some(&character) = given.get(at) {
        let is_behind_escape = at >= 2 && given.get(at - 2) == Some(&'\\');
        match character {
            '*' | '+' if is_behind_escape => out.extend([character, '?']),
            '\\' => {
                at += 1;
                match given.get(at) {
                    Some('p') => out.extend(r##"[()*+,.:;\<=>?\[\]!"'#%&$|{}-]"##.chars()),
                    Some('s') => out.extend("[ ]".chars()),
                    Some('S') => out.extend("[^ ]".chars()),
                    Some('w') => out.extend("[A-Za-z0-9@_-]".chars()),
                    Some('W') => out.extend("[^A-Za-z0-9@_-]".chars()),
                    Some('d') => out.extend("[0-9]".chars()),
                    Some('D') => out.extend("[^0-9]".chars()),
                    Some('.') => out.extend("(?s:.)".chars()),
                    Some(&other) => out.extend(['\\', other]),
                    None => {}
                }
            }
            '$' => out.extend(r"(?!\n)$".chars()),
            '.' | '[' | ']' | '{' | '}' | '+' | '?' | '*' => out.extend(['\\', character]),
            _ => out.push(character),
        }
        at += 1;
    }
    Ok(with_greedy_ends(&out))
}

/// A quantifier that is the last of an alternative is greedy.
fn with_greedy_ends(text: &[char]) -> String {
    let ends_here = |at: usize| {
        let behind = text.iter().skip(at + 1).find(|&&character| character != ')');
        matches!(behind, None | Some('|' | '$'))
    };
    let is_lazy_mark = |at: usize| {
        at >= 1
            && matches!(text.get(at - 1), Some('+' | '*'))
            && (at < 2 || text.get(at - 2) != Some(&'\\'))
    };
    let kept = text
        .iter()
        .enumerate()
        .filter(|&(at, &character)| !(character == '?' && is_lazy_mark(at) && ends_here(at)));
    kept.map(|(_, &character)| character).collect()
}

/// An OS_Match as PCRE2.
pub(super) fn words(pattern: &str) -> Result<String, PatternError> {
    Match::new(pattern.as_bytes())?;
    let mut out = String::with_capacity(pattern.len() * 2);
    for character in pattern.chars() {
        if ".[]{}+?*()\\".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn run_with(words: &[&str]) -> Result<String, String> {
        run(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn both_languages_are_shown() {
        let text = run_with(&[r"user \w+ (a.b)$"]).unwrap();
        let regex = r"user [A-Za-z0-9@_-]+? (a\.b)(?!\n)$";
        let words = r"user \\w\+ \(a\.b\)$";
        assert_eq!(
            text,
            format!("pattern = user \\w+ (a.b)$\nregex   = {regex}\nmatch   = {words}\n")
        );
        assert!(run_with(&["-r", r"\n"]).unwrap().contains("regex   = (none: "));
        assert!(!run_with(&["-m", "a"]).unwrap().contains("regex"));
    }

    #[test]
    fn a_batch_gives_tags_and_refuses_what_is_none() {
        let tags = run_with(&["-b", "prematch", r"^\<\d+>", "a<b"]).unwrap();
        assert_eq!(
            tags,
            "<prematch_pcre2>^\\<[0-9]+?></prematch_pcre2>\n<prematch_pcre2>a\\<b</prematch_pcre2>\n"
        );
        assert!(run_with(&["-b", "colour", "x"]).is_err());
        assert!(run_with(&["-b", "regex", r"\n"]).is_err());
        assert!(run_with(&["-x", "a"]).is_err() && run_with(&[]).is_err());
    }

    #[test]
    fn golden_translations() {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
        let golden = std::env::var("GOLDEN_DIR").unwrap_or_else(|_| default.to_owned());
        let path = format!("{golden}/analysis/regex_cases.jsonl");
        let Ok(rows) = std::fs::read_to_string(&path) else {
            println!("skipped: no {path}");
            return;
        };
        let mut wrong = Vec::new();
        let mut checked = 0;
        for row in rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap()) {
            let Some(expected) = row["reference_pcre2"].as_str() else { continue };
            if expected.starts_with("<literal") {
                continue;
            }
            let pattern = row["pattern"].as_str().unwrap();
            let ours = if row["kind"] == "match" { words(pattern) } else { regex(pattern) };
            checked += 1;
            if ours.as_deref() != Ok(expected) {
                wrong.push(format!("{} '{pattern}': {ours:?} is not {expected}", row["kind"]));
            }
        }
        assert!(checked > 100, "{checked} rows have a translation");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
