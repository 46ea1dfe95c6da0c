//! One recorded run of the original daemon through our judge, its stores and outputs: every file byte for byte, except where
//! `docs/differences.md` says that we do better.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::response::write_ar_conf;
use crate::testing::{folders, judge, setup, text};

fn recorded(name: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
    let golden = PathBuf::from(std::env::var("GOLDEN_DIR").unwrap_or_else(|_| default.to_owned()));
    let run = golden.join(name);
    if run.is_dir() && golden.join("../ossec-ruleset/rules").is_dir() {
        return Some(run);
    }
    println!("skipped: no recorded run in {}", run.display());
    None
}

/// An install root with the stock rules and the recorded configuration.
fn install(run: &Path, root: &Path) {
    folders(root);
    let stock = run.join("../../../ossec-ruleset");
    fs::copy(stock.join("decoder.xml"), root.join("etc/decoder.xml")).unwrap();
    for entry in fs::read_dir(stock.join("rules")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), root.join("rules").join(entry.file_name())).unwrap();
    }
    let local = root.join("rules/local_rules.xml");
    if !local.exists() {
        fs::write(local, "<group name=\"local,\"></group>\n").unwrap();
    }
    fs::copy(run.join("ossec.conf"), root.join("etc/ossec.conf")).unwrap();
    let as_recorded = "analysisd.alert_first_scan=1\nanalysisd.fim_often_seconds=0\n";
    fs::write(root.join("etc/local_internal_options.conf"), as_recorded).unwrap();
}

/// Judges the recorded messages, each at its time; returns what execd was sent.
fn judge_recorded(run: &Path, root: &Path, workers: usize) -> Vec<String> {
    let setup = setup(root, "ossec-golden");
    write_ar_conf(&root.join("etc/shared/ar.conf"), &setup.settings).unwrap();
    let execd = UnixDatagram::bind(root.join("queue/alerts/execq")).unwrap();
    execd.set_nonblocking(true).unwrap();
    let rows = fs::read_to_string(run.join("input.jsonl")).unwrap();
    let rows = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
    judge(
        root,
        setup,
        workers,
        rows.map(|row| {
            (row["time"].as_i64().unwrap(), row["message"].as_str().unwrap().to_owned())
        }),
    );
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| {
        execd.recv(&mut buffer).ok().map(|len| String::from_utf8_lossy(&buffer[..len]).into_owned())
    })
    .collect()
}

/// Lines in which two files differ, each with its number.
fn differences(what: &str, ours: &str, theirs: &str) -> Vec<String> {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), theirs.lines().collect());
    let count = ours.len().max(theirs.len());
    let pairs = (0..count).map(|n| {
        (n, ours.get(n).copied().unwrap_or("(none)"), theirs.get(n).copied().unwrap_or("(none)"))
    });
    pairs
        .filter(|(_, a, b)| a != b)
        .map(|(n, a, b)| format!("{what} line {}:\n  ours     {a}\n  recorded {b}", n + 1))
        .collect()
}

/// Our alerts.json without the sizes of changed files, which the original leaves out (`docs/differences.md`).
fn without_sizes(alerts: &str) -> String {
    let rows = alerts.lines().map(|row| {
        let mut row = serde_json::from_str::<Value>(row).unwrap();
        if let Some(file) = row.get_mut("SyscheckFile").and_then(Value::as_object_mut) {
            file.retain(|key, _| !key.starts_with("size_"));
        }
        row.to_string()
    });
    rows.collect::<Vec<_>>().join("\n")
}

/// Our archives.json without the pairs of values that the original leaves out where they differ; we have them
/// in these rows only (`docs/differences.md`).
fn as_the_original(archives: &str) -> String {
    let with_pairs = [28, 29, 30];
    let pairs =
        ["sha1_before", "sha1_after", "gowner_before", "gowner_after", "size_before", "size_after"];
    let rows = archives.lines().zip(1..).map(|(row, number)| {
        if !with_pairs.contains(&number) {
            return row.to_owned();
        }
        let mut row = serde_json::from_str::<Value>(row).unwrap();
        let known = row.as_object_mut().unwrap();
        pairs.iter().for_each(|pair| drop(known.shift_remove(*pair)));
        row.to_string()
    });
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn golden_sample_run_of_the_daemon() {
    let Some(run) = recorded("analysis/sample_run") else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    install(&run, root);
    let sent = judge_recorded(&run, root, 1);
    let mut wrong = Vec::new();
    for (ours, theirs) in [
        ("logs/alerts/alerts.log", "alerts.log"),
        ("logs/archives/archives.log", "archives.log"),
        ("logs/firewall/firewall.log", "firewall.log"),
        ("etc/shared/ar.conf", "ar.conf"),
        ("queue/fts/fts-queue", "fts-queue"),
        ("queue/fts/hostinfo", "hostinfo"),
        ("queue/fts/ig-queue", "ig-queue"),
        ("queue/syscheck/syscheck", "syscheck_db/syscheck"),
        ("queue/syscheck/(web01) 10.0.0.5->syscheck", "syscheck_db/(web01) 10.0.0.5->syscheck"),
        ("queue/rootcheck/rootcheck", "rootcheck_db/rootcheck"),
        ("queue/rootcheck/(web01) 10.0.0.5->rootcheck", "rootcheck_db/(web01) 10.0.0.5->rootcheck"),
    ] {
        wrong.extend(differences(theirs, &text(&root.join(ours)), &text(&run.join(theirs))));
    }
    let (ours, theirs) =
        (text(&root.join("logs/alerts/alerts.json")), text(&run.join("alerts.json")));
    wrong.extend(differences("alerts.json", &without_sizes(&ours), &theirs));
    let (ours, theirs) = ("logs/archives/archives.json", "archives.json");
    let (ours, theirs) = (text(&root.join(ours)), text(&run.join(theirs)));
    wrong.extend(differences("archives.json", &as_the_original(&ours), &theirs));
    let rows = text(&run.join("ar_messages.jsonl"));
    let recorded = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
    let to_execd: Vec<String> = recorded
        .filter(|row| row["queue"] == "execq")
        .map(|row| row["message"].as_str().unwrap().to_owned())
        .collect();
    wrong.extend(differences("execq", &sent.join("\n"), &to_execd.join("\n")));
    assert!(
        root.join("queue/diff/ossec-golden/533/last-entry").exists(),
        "check_diff keeps the output"
    );
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// Alerts without their numbers, sorted: the original's threads shuffle them.
fn unnumbered(alerts: &str) -> Vec<String> {
    let numbered = alerts.split("** Alert ").skip(1);
    let mut alerts: Vec<String> = numbered
        .map(|alert| {
            let (time, rest) = alert.split_once('.').unwrap();
            format!("{time} {}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        })
        .collect();
    alerts.sort();
    alerts
}

/// The same of JSON, without the count of firings too, which those threads read after one another.
fn unnumbered_json(alerts: &str) -> Vec<String> {
    let mut alerts: Vec<String> = alerts
        .lines()
        .map(|row| {
            let mut row = serde_json::from_str::<Value>(row).unwrap();
            row["id"] = Value::Null;
            row["rule"].as_object_mut().unwrap().shift_remove("firedtimes");
            row.to_string()
        })
        .collect();
    alerts.sort();
    alerts
}

#[test]
fn golden_findings_of_rootcheck_become_the_recorded_alerts() {
    let Some(run) = recorded("host/rootcheck") else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    install(&run, root);
    let rows = text(&run.join("queue_messages.jsonl"));
    let messages = rows.lines().map(|row| {
        let row = serde_json::from_str::<Value>(row).unwrap();
        let time = if row["step"] == "scan1" { 1_795_220_513 } else { 1_795_220_523 };
        (time, row["msg"].as_str().unwrap().trim_end_matches('\0').to_owned())
    });
    judge(root, setup(root, "goldenhost"), 2, messages);
    let pair = |name: &str| (text(&root.join("logs/alerts").join(name)), text(&run.join(name)));
    let (ours, theirs) = pair("alerts.log");
    let (ours, theirs) = (unnumbered(&ours).join(""), unnumbered(&theirs).join(""));
    let mut wrong = differences("alerts.log", &ours, &theirs);
    let (ours, theirs) = pair("alerts.json");
    let (ours, theirs) = (unnumbered_json(&ours).join("\n"), unnumbered_json(&theirs).join("\n"));
    wrong.extend(differences("alerts.json", &ours, &theirs));
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
