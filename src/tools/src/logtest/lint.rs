//! `--lint`: what is odd in decoders and rules, with file and line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rules::lint::{Finding, Severity};

use super::json;

/// The numbers of users' own rules.
const OWN_RULES: std::ops::Range<u32> = 100_000..190_000;

/// What to show.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shown {
    /// Notes on shipped rules, too.
    pub(super) all_notes: bool,
    /// One object of JSON for each finding.
    pub(super) json: bool,
}

/// Everything that was found, ready to print.
pub(super) fn report(findings: &[Finding], load_warnings: &[String], shown: Shown) -> Vec<u8> {
    let mut out = Vec::new();
    if shown.json {
        for finding in findings {
            write_json(finding, &mut out);
        }
        return out;
    }
    let mut text = String::new();
    for warning in load_warnings {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{warning} [load]");
    }
    let mut hidden = 0;
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings {
        *classes.entry(finding.class).or_default() += 1;
        if finding.severity == Severity::Note && !shown.all_notes && !is_own(finding) {
            hidden += 1;
            continue;
        }
        let Finding { class, severity, file, line, text: what, .. } = finding;
        let _ = writeln!(text, "{file}:{line}: {}: {what} [{class}]", name(*severity));
    }
    let warnings = warnings(findings) + load_warnings.len();
    let _ = writeln!(text, "{warnings} warnings, {} notes", notes(findings));
    for (class, count) in classes {
        let _ = writeln!(text, "    {count:5} {class}");
    }
    if hidden > 0 {
        let _ = writeln!(text, "{hidden} notes on shipped rules are not shown; -v shows them");
    }
    text.into_bytes()
}

/// How many findings are warnings.
pub(super) fn warnings(findings: &[Finding]) -> usize {
    findings.iter().filter(|finding| finding.severity == Severity::Warning).count()
}

fn notes(findings: &[Finding]) -> usize {
    findings.len() - warnings(findings)
}

fn is_own(finding: &Finding) -> bool {
    finding.rule.is_some_and(|rule| OWN_RULES.contains(&rule)) || finding.file.contains("local_")
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn write_json(finding: &Finding, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"file\":");
    json::string(finding.file.as_bytes(), out);
    let rule = finding.rule.map_or("null".to_owned(), |rule| rule.to_string());
    let middle = format!(",\"line\":{},\"rule\":{rule},\"severity\":", finding.line);
    out.extend_from_slice(middle.as_bytes());
    json::string(name(finding.severity).as_bytes(), out);
    out.extend_from_slice(b",\"class\":");
    json::string(finding.class.as_bytes(), out);
    out.extend_from_slice(b",\"text\":");
    json::string(finding.text.as_bytes(), out);
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, rule: u32) -> Finding {
        let (file, text) = ("rules/a.xml".to_owned(), "is \"odd\"".to_owned());
        Finding { class: "some-class", severity, file, line: 7, rule: Some(rule), text }
    }

    #[test]
    fn warnings_are_shown_always_and_notes_on_shipped_rules_when_asked_for() {
        let found = [
            finding(Severity::Warning, 5),
            finding(Severity::Note, 6),
            finding(Severity::Note, 100_001),
        ];
        let text = |shown| {
            String::from_utf8(report(&found, &["b.xml:1: load".to_owned()], shown)).unwrap()
        };
        let some = text(Shown::default());
        assert!(
            some.starts_with(
                "b.xml:1: load [load]\nrules/a.xml:7: warning: is \"odd\" [some-class]\n"
            ),
            "{some}"
        );
        assert_eq!(some.matches(": note: ").count(), 1);
        assert!(
            some.contains("2 warnings, 2 notes\n") && some.contains("1 notes on shipped rules"),
            "{some}"
        );
        assert_eq!(text(Shown { all_notes: true, json: false }).matches(": note: ").count(), 2);
        let json = text(Shown { all_notes: false, json: true });
        let rows: Vec<serde_json::Value> =
            json.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
        assert_eq!(
            (rows.len(), &rows[0]["line"], &rows[1]["severity"]),
            (3, &7.into(), &"note".into())
        );
    }
}
