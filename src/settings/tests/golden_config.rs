//! Broken configurations, and what OSSEC says about each: number and sentence are a promise, what we add is ours.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::fs;
use std::path::{Path, PathBuf};

/// Cases that are not judged here, and why.
const NOT_JUDGED: &[(&str, &str)] = &[
    ("logformat", "the format json is ours"),
    ("agentless", "needs the folder of scripts of an installation"),
    ("db2", "which databases a build has is the business of the program that connects"),
];

struct Case {
    name: String,
    snippet: String,
    /// Number and sentence, without the closing complaints that the daemons add.
    sentences: Vec<String>,
    accepted: bool,
}

fn golden_cases() -> Option<Vec<Case>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
    let folder = std::env::var_os("GOLDEN_DIR").map_or(PathBuf::from(default), PathBuf::from);
    let text = fs::read_to_string(folder.join("host/config/config_errors.txt")).ok()?;
    Some(text.split("##### ").filter(|block| !block.trim().is_empty()).map(case).collect())
}

fn case(block: &str) -> Case {
    let (title, rest) = block.split_once('\n').unwrap();
    let mut snippet = Vec::new();
    let mut sentences = Vec::new();
    let mut accepted = false;
    for line in rest.lines() {
        if let Some(logged) = line.strip_prefix("DATE ") {
            sentences.extend(sentence(logged));
        } else if line.starts_with("[exit ") {
            accepted = line == "[exit 0]";
        } else {
            snippet.push(line);
        }
    }
    let name = title.split(':').next().unwrap().to_owned();
    Case { name, snippet: snippet.join("\n").trim_end().to_owned(), sentences, accepted }
}

/// `ossec-x(1230): ERROR: text` becomes `(1230) text`; `ossec-x: ERROR: text` becomes `text`.
fn sentence(logged: &str) -> Option<String> {
    let mut parts = logged.splitn(3, ": ");
    let (program, _level, text) = (parts.next()?, parts.next()?, parts.next()?);
    let number = program.split_once('(').map(|(_, number)| format!("({number} "));
    let number = number.unwrap_or_default();
    let closing = ["(1202) ", "(7101) "].contains(&number.as_str());
    (!closing).then(|| format!("{number}{text}").trim_end().to_owned())
}

fn difference(case: &Case) -> Option<String> {
    let text = format!("<ossec_config>\n{}\n</ossec_config>\n", case.snippet);
    let result = settings::parse(text.as_bytes(), Path::new("/tmp/bad.conf"));
    let accepted = result.is_ok();
    let said: Vec<String> = match result {
        Ok(settings) => settings.warnings.iter().map(ToString::to_string).collect(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    };
    // Where OSSEC is content, a warning of ours is welcome.
    let as_many = said.len() == case.sentences.len() || (accepted && case.sentences.is_empty());
    let same = case.sentences.iter().zip(&said).all(|(golden, ours)| ours.starts_with(golden));
    let good = accepted == case.accepted && as_many && same;
    (!good).then(|| format!("{}: expected {:?}, said {said:?}", case.name, case.sentences))
}

#[test]
fn golden_broken_configurations_are_refused_in_the_known_words() {
    let Some(cases) = golden_cases() else {
        println!("skipped: no golden data");
        return;
    };
    assert!(cases.len() > 40);
    let left_out = |case: &&Case| NOT_JUDGED.iter().any(|(name, _)| *name == case.name);
    assert_eq!(cases.iter().filter(left_out).count(), NOT_JUDGED.len());
    let judged = cases.iter().filter(|case| !left_out(case));
    let failures: Vec<String> = judged.filter_map(difference).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
