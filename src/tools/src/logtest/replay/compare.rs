//! `--against`: how the alerts of two rule sets differ.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rules::{Engine, Judgement};

/// Samples that are kept of one difference.
const SAMPLES: usize = 3;
/// Bytes shown of a sample.
const SHOWN: usize = 300;

/// How one event's alerts differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    OnlyHere,
    OnlyThere,
    OtherLevel,
    OtherRule,
}

/// The alert of one event: rule and level.
type Alert = Option<(u32, u8)>;

/// The differences so far.
#[derive(Debug, Default)]
pub(super) struct Differences {
    same: u64,
    by_rule: BTreeMap<(Kind, Alert, Alert), Difference>,
}

#[derive(Debug, Default)]
struct Difference {
    count: u64,
    samples: Vec<Vec<u8>>,
}

impl Differences {
    /// Takes what both make of one event; `sample` is its line.
    pub(super) fn take(&mut self, here: Alert, there: Alert, sample: &[u8]) {
        let kind = match (here, there) {
            (None, None) => return,
            (Some(_), None) => Kind::OnlyHere,
            (None, Some(_)) => Kind::OnlyThere,
            (Some((_, a)), Some((_, b))) if a != b => Kind::OtherLevel,
            (Some((a, _)), Some((b, _))) if a != b => Kind::OtherRule,
            _ => {
                self.same += 1;
                return;
            }
        };
        let difference = self.by_rule.entry((kind, here, there)).or_default();
        difference.count += 1;
        if difference.samples.len() < SAMPLES {
            difference.samples.push(sample.get(..SHOWN).unwrap_or(sample).to_vec());
        }
    }

    fn total(&self, kind: Kind) -> u64 {
        self.by_rule.iter().filter(|((of, ..), _)| *of == kind).map(|(_, d)| d.count).sum()
    }

    /// For people: totals, then counts by rule, then samples.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "Alerts of the rules in force (A) and of the others (B)");
        let _ = writeln!(out, "    {:8} the same", self.same);
        for (kind, name) in KINDS {
            let _ = writeln!(out, "    {:8} {name}", self.total(kind));
        }
        for (kind, name) in KINDS {
            let mut rows: Vec<_> =
                self.by_rule.iter().filter(|((of, ..), _)| *of == kind).collect();
            if rows.is_empty() {
                continue;
            }
            rows.sort_by_key(|(_, difference)| std::cmp::Reverse(difference.count));
            let _ = writeln!(out, "\n{name}:");
            for ((_, here, there), difference) in &rows {
                let _ = writeln!(out, "    {:8} {}", difference.count, change(*here, *there));
            }
            for ((_, here, there), difference) in rows {
                let _ = writeln!(out, "  {}:", change(*here, *there));
                for sample in &difference.samples {
                    let text = String::from_utf8_lossy(sample);
                    let text: String = text.chars().filter(|c| !c.is_control()).collect();
                    let _ = writeln!(out, "      {text}");
                }
            }
        }
        out
    }

    /// For programs: one object.
    pub(super) fn json(&self) -> serde_json::Value {
        let alert = |alert: Alert| match alert {
            Some((rule, level)) => serde_json::json!({"rule": rule, "level": level}),
            None => serde_json::Value::Null,
        };
        let rows = self.by_rule.iter().map(|((kind, here, there), difference)| {
            let samples = difference.samples.iter().map(|line| String::from_utf8_lossy(line));
            serde_json::json!({
                "kind": key(*kind), "a": alert(*here), "b": alert(*there), "count": difference.count,
                "samples": samples.collect::<Vec<_>>(),
            })
        });
        let rows: Vec<_> = rows.collect();
        serde_json::json!({
            "same": self.same, "only_a": self.total(Kind::OnlyHere), "only_b": self.total(Kind::OnlyThere),
            "other_level": self.total(Kind::OtherLevel), "other_rule": self.total(Kind::OtherRule), "differences": rows,
        })
    }
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::OnlyHere, "only in A"),
    (Kind::OnlyThere, "only in B"),
    (Kind::OtherLevel, "other level"),
    (Kind::OtherRule, "other rule of the same level"),
];

fn key(kind: Kind) -> &'static str {
    match kind {
        Kind::OnlyHere => "only_a",
        Kind::OnlyThere => "only_b",
        Kind::OtherLevel => "other_level",
        Kind::OtherRule => "other_rule",
    }
}

fn change(here: Alert, there: Alert) -> String {
    let text = |(rule, level): (u32, u8)| format!("rule {rule} (level {level})");
    match (here, there) {
        (Some(here), Some(there)) => format!("{} -> {}", text(here), text(there)),
        (Some(only), None) | (None, Some(only)) => text(only),
        (None, None) => String::new(),
    }
}

/// The alert that a judgement writes.
pub(super) fn alert(engine: &Engine, judgement: &Judgement) -> Alert {
    let rule = judgement.rule.filter(|_| judgement.log).map(|index| engine.rule(index));
    rule.map(|rule| (rule.id, rule.level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_counted_by_rule_with_samples() {
        let mut found = Differences::default();
        for n in 0..5 {
            found.take(Some((1, 5)), None, format!("line {n}").as_bytes());
        }
        found.take(None, Some((2, 7)), b"b\x1b[1m");
        found.take(Some((1, 5)), Some((1, 9)), b"c");
        found.take(Some((1, 5)), Some((3, 5)), b"d");
        found.take(Some((1, 5)), Some((1, 5)), b"e");
        found.take(None, None, b"f");
        let json = found.json();
        let counts =
            ["same", "only_a", "only_b", "other_level", "other_rule"].map(|key| json[key].as_u64());
        assert_eq!(counts, [1, 5, 1, 1, 1].map(Some));
        assert_eq!(json["differences"][0]["samples"].as_array().unwrap().len(), SAMPLES);
        let text = found.text();
        assert!(text.contains("       5 rule 1 (level 5)\n"), "{text}");
        assert!(text.contains("rule 1 (level 5) -> rule 1 (level 9)"), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
