//! The pattern tables of the reference: every row must give the same match, end and captures.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::PathBuf;

use pattern::{Captures, Match, PatternError, Pcre, Regex, has_word};
use serde_json::Value;

#[test]
fn golden_pattern_tables() {
    let Some(rows) = rows("analysis/regex_cases.jsonl") else { return };
    let failures: Vec<String> =
        rows.iter().enumerate().filter_map(|(at, row)| failure(at + 1, row)).collect();
    assert!(
        failures.is_empty(),
        "{} of {} rows fail:\n{}",
        failures.len(),
        rows.len(),
        failures.join("\n")
    );
}

fn failure(line: usize, row: &Value) -> Option<String> {
    let expected = (row["compiles"].as_bool() == Some(true)).then(|| Outcome {
        is_match: row["match"].as_bool().unwrap_or(false),
        end: row["end"].as_u64(),
        captures: row["captures"].as_array().map(|items| items.iter().map(bytes).collect()),
    });
    let got = run(row);
    let same = match (&expected, &got) {
        (Some(expected), Ok(got)) => {
            got.is_match == expected.is_match
                && (got.end.is_none() || got.end == expected.end)
                && (got.captures.is_none() || !got.is_match || got.captures == expected.captures)
        }
        (None, Err(err)) => row["error"].as_u64() == Some(err.code().into()),
        _ => false,
    };
    (!same).then(|| format!("row {line}: {row}\n  got {got:?}"))
}

#[derive(Debug)]
struct Outcome {
    is_match: bool,
    end: Option<u64>,
    captures: Option<Vec<Vec<u8>>>,
}

fn run(row: &Value) -> Result<Outcome, PatternError> {
    let (pattern, text) = (bytes(&row["pattern"]), bytes(&row["string"]));
    let mut captures = Captures::new();
    let only = |is_match| Outcome { is_match, end: None, captures: None };
    let outcome = match row["kind"].as_str() {
        Some("regex") => {
            let regex = Regex::new(&pattern)?;
            let end = regex.find_captures(&text, &mut captures);
            assert_eq!(
                regex.is_match(&text),
                end.is_some(),
                "is_match and find_captures disagree on {row}"
            );
            found(end, &captures, &text)
        }
        Some("pcre2") => {
            let pcre = Pcre::new(&pattern)?;
            let end = pcre.find_captures(&text, &mut captures);
            assert_eq!(
                pcre.is_match(&text),
                end.is_some(),
                "is_match and find_captures disagree on {row}"
            );
            found(end, &captures, &text)
        }
        Some("match") => only(Match::new(&pattern)?.is_match(&text)),
        Some("word") => only(has_word(&pattern, &text)),
        other => panic!("unknown kind {other:?}"),
    };
    Ok(outcome)
}

fn found(end: Option<usize>, captures: &Captures, text: &[u8]) -> Outcome {
    Outcome {
        is_match: end.is_some(),
        end: end.map(|end| end as u64),
        captures: Some(captures.iter().map(|range| text[range].to_vec()).collect()),
    }
}

/// The bytes of a string of the tables.
fn bytes(value: &Value) -> Vec<u8> {
    value.as_str().unwrap_or_default().as_bytes().to_vec()
}

fn rows(file: &str) -> Option<Vec<Value>> {
    let folder = std::env::var_os("GOLDEN_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden")),
        PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(folder.join(file)) else {
        println!("skipped: no {} below {}", file, folder.display());
        return None;
    };
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}")))
            .collect(),
    )
}
