//! The tunables from outside: layers, ranges, and what is said of a bad line.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::fs;
use std::path::Path;

use settings::{ConfigErrors, InternalOptions};

fn parse(text: &str) -> Result<InternalOptions, ConfigErrors> {
    InternalOptions::parse(text.as_bytes(), Path::new("x.conf"))
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn without_files_the_built_in_values_hold() {
    let root = tempfile::tempdir().unwrap();
    let options = InternalOptions::load(root.path()).unwrap();
    assert_eq!(options.number("analysisd.default_timeframe"), 360);
    assert!(options.flag("monitord.compress") && !options.flag("analysisd.debug"));
}

#[test]
fn the_local_file_wins_over_the_shipped_one_and_that_over_the_built_in() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let write = |name, text| fs::write(root.path().join("etc").join(name), text).unwrap();
    write("internal_options.conf", "# comment\n\nsyscheck.sleep=7\nsyscheck.sleep_after=20\n");
    write("local_internal_options.conf", " indented\r\nsyscheck.sleep=9\r\n");
    let options = InternalOptions::load(root.path()).unwrap();
    assert_eq!(options.number("syscheck.sleep"), 9);
    assert_eq!(options.number("syscheck.sleep_after"), 20);
    assert_eq!(options.number("rootcheck.sleep"), 2);
}

#[test]
fn the_first_definition_in_a_file_counts() {
    let options = parse("syscheck.sleep=7\nsyscheck.sleep=8\n").unwrap();
    assert_eq!(options.number("syscheck.sleep"), 7);
}

#[test]
fn a_value_out_of_its_range_is_refused_with_file_and_line() {
    let hint = "(x.conf line 2: expected a number of digits only, 0 to 64, default 2)";
    for value in ["65", "-1", "2s", "", " 2", "99999999999999999999", "0x1", "yes"] {
        let expected = format!("(2302) Invalid definition for syscheck.sleep: '{value}'. {hint}");
        assert_eq!(refusal(&format!("\nsyscheck.sleep={value}\n")), expected);
    }
}

#[test]
fn a_line_that_is_no_definition_is_refused() {
    for line in ["syscheck.sleep 2", "sleep=2", "nonsense", "a=b.c"] {
        let expected = format!(
            "(1119) Invalid line on file 'x.conf': {line}. (x.conf line 1: expected section.key=value)"
        );
        assert_eq!(refusal(line), expected);
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let errors = parse("x\nsyscheck.sleep=x\nrootcheck.sleep=99\n").unwrap_err();
    let numbers: Vec<_> = errors.iter().map(|error| (error.number, error.line)).collect();
    assert_eq!(numbers, [(Some(1119), 1), (Some(2302), 2), (Some(2302), 3)]);
    assert_eq!(errors.closing(), "(1202) Configuration error at 'x.conf'. Exiting.");
}

#[test]
fn an_unknown_key_is_a_warning_that_names_the_nearest() {
    let options = parse("syschek.sleep=3\nfuture.option=1\n").unwrap();
    let said: Vec<String> = options.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "Unknown internal option 'syschek.sleep', ignoring it. (x.conf line 1: did you mean 'syscheck.sleep'?)",
            "Unknown internal option 'future.option', ignoring it. (x.conf line 2: no such option is known)",
        ]
    );
}

#[test]
fn a_file_cut_or_changed_at_any_byte_is_read_or_refused() {
    let text = b"# c\nsyscheck.sleep=7\nanalysisd.debug=2\n\xff.\xff=\xff\n";
    for at in 0..text.len() {
        let _ = InternalOptions::parse(&text[..at], Path::new("x"));
        for byte in [0, b'=', b'.', b'\n', 0xff] {
            let mut changed = text.to_vec();
            changed[at] = byte;
            let _ = InternalOptions::parse(&changed, Path::new("x"));
        }
    }
}

#[test]
#[should_panic(expected = "'no.such' is not in the table of internal options")]
fn asking_for_a_key_that_is_not_in_the_table_is_a_slip_of_the_program() {
    let _ = InternalOptions::default().number("no.such");
}
