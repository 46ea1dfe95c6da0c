//! The recorded verdicts of the reference, row by row, through the same path as `--json`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use alerts::Moment;
use rules::explain::{Link, LinkStatus};
use rules::lint::{Finding, Severity};
use rules::{Engine, RuleIndex, Step};
use serde_json::Value;

use super::check;
use super::json;
use super::script::DecodedBy;
use super::session::Session;
use super::setup::{Files, Setup};

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

/// Everything that was tried, node by node, must lead to the judged rule.
fn explanation_differs(engine: &Engine, line: &[u8]) -> Option<String> {
    let mut session = Session::new(engine);
    let mut event = session.decode(line, DecodedBy::Decoders, b"stdin", Moment::utc(EPOCH));
    let judged = session.judge(event.clone());
    let traced = Session::new(engine).judge_traced(event.clone());
    let told = Session::new(engine).explain(&mut event);
    if told.judgement != judged.judgement {
        return Some(format!("judged {:?}, explained {:?}", judged.judgement, told.judgement));
    }
    let steps = traced.steps.iter().filter_map(|step| match step {
        Step::Matched(rule) => Some(*rule),
        _ => None,
    });
    let steps: Vec<RuleIndex> = steps.collect();
    let matched = told.rules.iter().filter(|trial| trial.failed.is_none());
    let matched: Vec<RuleIndex> = matched.map(|trial| trial.rule).collect();
    if matched != steps {
        return Some(format!("matched {steps:?}, explained {matched:?}"));
    }
    if let Some(selected) = judged.judgement.rule {
        let chains = engine.why(&told, &event, selected);
        let fired =
            |chain: &Vec<Link>| chain.last().is_some_and(|l| l.status == LinkStatus::Selected);
        if !chains.iter().any(fired) {
            return Some("why does not end at the selected rule".to_owned());
        }
    }
    let mut decoders = engine.explain_decoders(&event).into_iter();
    let took = decoders.any(|trial| !trial.is_child && trial.failed.is_none());
    (took != engine.decoder_name(&event).is_some())
        .then(|| "decoders are told otherwise".to_owned())
}

/// The rules that we ship.
fn own_rules() -> (Files, Setup) {
    let root = tempfile::tempdir().unwrap();
    let etc = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../etc"));
    let etc = etc.canonicalize().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    symlink(etc.join("rules"), root.path().join("rules")).unwrap();
    symlink(etc.join("decoder.xml"), root.path().join("etc/decoder.xml")).unwrap();
    let options = etc.join("../internal_options.conf");
    fs::copy(options, root.path().join("etc/internal_options.conf")).unwrap();
    fs::copy(etc.join("ossec-local.conf"), root.path().join("etc/ossec.conf")).unwrap();
    let files = Files::read(root.path(), &root.path().join("etc/ossec.conf"), "here")
        .unwrap_or_else(|error| panic!("{error}"));
    let setup = files.load().unwrap_or_else(|error| panic!("{error}"));
    (files, setup)
}

#[test]
fn the_shipped_rules_have_no_warnings() {
    let (files, setup) = own_rules();
    let found = files.lint(&setup.engine);
    let warnings: Vec<&Finding> =
        found.iter().filter(|finding| finding.severity == Severity::Warning).collect();
    assert!(warnings.is_empty(), "{warnings:#?}");
    assert!(found.iter().any(|finding| finding.class == "frequency"));
    assert_eq!(setup.warnings, Vec::<String>::new());
}

fn stock_files() -> Option<(tempfile::TempDir, Files)> {
    let Some(root) = root() else {
        println!("skipped: no stock rules");
        return None;
    };
    let files = Files::read(root.path(), &root.path().join("etc/ossec.conf"), "ossec-golden");
    Some((root, files.unwrap_or_else(|error| panic!("{error}"))))
}

fn lines(file: &str) -> Option<Vec<Vec<u8>>> {
    let path = shared("golden", "GOLDEN_DIR").join("analysis").join(file);
    let Ok(rows) = fs::read_to_string(&path) else {
        println!("skipped: no recordings at {}", path.display());
        return None;
    };
    let line = |row: &str| {
        let row: Value = serde_json::from_str(&surrogates_as_text(row)).unwrap();
        row["line"].as_str().map(|line| line.as_bytes().to_vec())
    };
    Some(rows.lines().filter_map(line).collect())
}

#[test]
fn golden_lines_are_explained_as_they_are_judged() {
    let Some(lines) = lines("loghub_logs.jsonl") else { return };
    let (_, setup) = own_rules();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate().step_by(2) {
        let difference = explanation_differs(&setup.engine, line);
        found.extend(difference.map(|what| format!("{}: {what}", at + 1)));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn golden_suite_lines_are_explained_as_they_are_judged_by_stock_rules() {
    let (Some((_root, files)), Some(lines)) = (stock_files(), lines("ini_logs.jsonl")) else {
        return;
    };
    let engine = files.load().unwrap_or_else(|error| panic!("{error}")).engine;
    let found: Vec<String> =
        lines.iter().filter_map(|line| explanation_differs(&engine, line)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Tests of the suite that the reference itself does not satisfy.
const UNSATISFIED: [&str; 6] = [
    "command run as root: log 1 fail",
    "doas command run: log 1 fail",
    "asa enable failed: log 1 pass",
    "asa login permitted: log 1 pass",
    "pix login permitted empty user: log 1 pass",
    "Snort drop fast format.: log 1 pass",
];

#[test]
fn golden_ini_tests_are_imported_and_pass_where_the_reference_does() {
    let Some((_root, files)) = stock_files() else { return };
    let engine = files.load().unwrap_or_else(|error| panic!("{error}")).engine;
    let tests = shared("ossec-ruleset", "GOLDEN_RULES").join("tests");
    let report = check::run(&engine, &tests, None).unwrap();
    let failed = report.cases.iter().filter(|case| !case.failures.is_empty());
    let failed: Vec<&str> = failed.map(|case| case.title.as_str()).collect();
    assert_eq!(failed, UNSATISFIED, "{}", report.failures.join("\n"));
    assert_eq!(report.tests, 127);
}

#[test]
fn golden_stock_rules_are_linted_with_findings_that_are_true() {
    let Some((_root, files)) = stock_files() else { return };
    let setup = files.load().unwrap_or_else(|error| panic!("{error}"));
    let found = files.lint(&setup.engine);
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &found {
        *classes.entry(finding.class).or_default() += 1;
    }
    let expected = [
        ("blocked-sibling", 7),
        ("child-type", 1),
        ("control-bytes", 2),
        ("counts-nothing", 2),
        ("counts-twice", 3),
        ("frequency", 135),
        ("fts-srcuser", 3),
        ("hidden-from-group", 4),
        ("joined-groups", 13),
        ("loaded-later", 4),
        ("maxsize", 2),
        ("silence", 30),
        ("timeframe", 2),
    ];
    assert_eq!(classes, BTreeMap::from(expected));
    // Samples, each looked up in the files by hand.
    for (class, rule) in [
        ("counts-nothing", 18_155),
        ("maxsize", 1003),
        ("counts-nothing", 51_007),
        ("loaded-later", 40_111),
        ("hidden-from-group", 40_113),
        ("joined-groups", 51_004),
    ] {
        let has = |finding: &Finding| finding.class == class && finding.rule == Some(rule);
        assert!(found.iter().any(has), "{class} {rule}: {found:#?}");
    }
}
