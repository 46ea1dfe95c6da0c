//! The recorded verdicts of the reference, row by row, through the same path as `--json`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use alerts::Moment;
use serde_json::Value;

use super::json;
use super::script::DecodedBy;
use super::session::Session;
use super::setup::Setup;

/// The clock of the recordings.
const EPOCH: i64 = 1_700_000_000;

fn shared(folder: &str, variable: &str) -> PathBuf {
    let usual = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(folder);
    std::env::var_os(variable).map_or(usual, PathBuf::from)
}

/// An install root with the rules of the recordings; `None` where they are not at hand.
fn root() -> Option<tempfile::TempDir> {
    let stock = shared("ossec-ruleset", "GOLDEN_RULES").canonicalize().ok()?;
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    symlink(stock.join("rules"), root.path().join("rules")).unwrap();
    for (from, to) in [
        ("decoder.xml", "decoder.xml"),
        ("ossec-full.conf", "ossec.conf"),
        ("internal_options.conf", "internal_options.conf"),
    ] {
        fs::copy(stock.join(from), root.path().join("etc").join(to)).unwrap();
    }
    Some(root)
}

/// The keys of a row that are compared; those that the recording has.
const KEYS: [&str; 7] = ["phase1", "decoder", "fields", "rule", "level", "groups", "alert"];

fn differences(file: &str, most: usize) -> Vec<String> {
    let path = shared("golden", "GOLDEN_DIR").join("analysis").join(file);
    let (Some(root), Ok(rows)) = (root(), fs::read_to_string(&path)) else {
        println!("skipped: no recordings at {}", path.display());
        return Vec::new();
    };
    let setup = Setup::load(root.path(), &root.path().join("etc/ossec.conf"), "ossec-golden")
        .unwrap_or_else(|error| panic!("{error}"));
    let mut found = Vec::new();
    for (at, row) in rows.lines().enumerate().take(most) {
        let difference = difference(&setup, row);
        found.extend(difference.map(|what| {
            format!(
                "{file}:{}: {what}\n    {}",
                at + 1,
                row.get(..row.len().min(300)).unwrap_or(row)
            )
        }));
    }
    found
}

fn difference(setup: &Setup, row: &str) -> Option<String> {
    let recorded: Value = serde_json::from_str(&surrogates_as_text(row))
        .unwrap_or_else(|error| panic!("{error}: {row}"));
    let line = match recorded["line_hex"].as_str() {
        Some(hex) => (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
            .collect(),
        None => recorded["line"].as_str().unwrap().as_bytes().to_vec(),
    };
    let mut session = Session::new(&setup.engine);
    let event = session.decode(&line, DecodedBy::Decoders, b"stdin", Moment::utc(EPOCH));
    let mut out = Vec::new();
    json::write(&setup.engine, &session.judge(event), &mut out);
    let out = String::from_utf8(out).unwrap();
    let got: Value = serde_json::from_str(&surrogates_as_text(&out))
        .unwrap_or_else(|error| panic!("{error}: {out}"));
    let odd = KEYS.iter().find(|&&key| recorded.get(key).is_some() && recorded[key] != got[key])?;
    Some(format!("{odd}: expected {}, got {}", recorded[odd], got[odd]))
}

/// Lone surrogates are no JSON for this reader: `\udc80` is made the text `\\udc80` on both sides.
fn surrogates_as_text(row: &str) -> String {
    row.replace("\\udc", "\\\\udc")
}

fn check(file: &str) {
    let found = differences(file, usize::MAX);
    assert!(
        found.is_empty(),
        "{} rows differ:\n{}",
        found.len(),
        found.iter().take(40).cloned().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn golden_lines_of_the_rule_suite() {
    check("ini_logs.jsonl");
}

#[test]
fn golden_lines_of_real_logs() {
    check("loghub_logs.jsonl");
}

#[test]
fn golden_lines_with_odd_headers() {
    check("predecode_logs.jsonl");
}
