//! `--junit`: results of rule tests as JUnit XML, which build servers read.

use std::fmt::Write as _;

use super::check::{Case, Report};

/// The whole file: one suite for each file of tests.
pub(super) fn text(report: &Report) -> String {
    let cases = &report.cases;
    let failed = |cases: &[&Case]| cases.iter().filter(|case| !case.failures.is_empty()).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all: Vec<&Case> = cases.iter().collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<testsuites name=\"ossec-logtest\" tests=\"{}\" failures=\"{}\">",
        all.len(),
        failed(&all)
    );
    for suite in cases.chunk_by(|a, b| a.file == b.file) {
        let suite: Vec<&Case> = suite.iter().collect();
        let Some(file) = suite.first().map(|case| escaped(&case.file)) else { continue };
        let _ = writeln!(
            out,
            "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\">",
            suite.len(),
            failed(&suite)
        );
        for case in suite {
            write_case(case, &file, &mut out);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn write_case(case: &Case, file: &str, out: &mut String) {
    let name = escaped(&case.title);
    let _ = write!(
        out,
        "    <testcase name=\"{name}\" classname=\"{file}\" file=\"{file}\" line=\"{}\"",
        case.line
    );
    let Some(first) = case.failures.first() else {
        out.push_str("/>\n");
        return;
    };
    let all = escaped(&case.failures.join("\n"));
    let _ = writeln!(
        out,
        ">\n      <failure message=\"{}\">{all}</failure>\n    </testcase>",
        escaped(first)
    );
}

/// Text for XML 1.0: without what it cannot hold at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            control if control < ' ' => out.push('\u{FFFD}'),
            '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logtest::samples;

    #[test]
    fn each_file_is_a_suite_and_each_test_a_case() {
        let engine = samples::engine();
        let mut report = Report::default();
        report.file(
            &engine,
            "a.test",
            b"test: a <b>\nlog: x\nrule: none\n\nlog: \x01\"&\nprogram: \x02\"&\n",
        );
        report.file(&engine, "b.ini", b"[s]\nlog 1 pass = x\nrule = 5\n");
        let text = text(&report);
        assert_eq!(text.matches("<testsuite ").count(), 2, "{text}");
        assert_eq!(text.matches("</testsuite>").count(), 2, "{text}");
        assert!(
            text.contains("<testsuites name=\"ossec-logtest\" tests=\"3\" failures=\"2\">"),
            "{text}"
        );
        assert!(
            text.contains(
                "<testcase name=\"a &lt;b&gt;\" classname=\"a.test\" file=\"a.test\" line=\"2\"/>"
            ),
            "{text}"
        );
        assert!(text.contains("expected '\u{FFFD}&quot;&amp;', got none"), "{text}");
        assert!(!text.contains('\u{1}'));
    }
}
