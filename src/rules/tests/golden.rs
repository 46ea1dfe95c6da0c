//! Recorded behaviour of OSSEC 4.3, with its stock rules as data: line in, decoder, fields, rule and level out.
//!
//! The folder is `$GOLDEN_DIR`, or `shared/golden` beside the workspace; `ossec-ruleset` lies beside it. Where it is
//! absent the tests say so and pass.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test helpers: a panic is the report, counts are for the reader"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use alerts::Moment;
use rules::{
    Decoded, Engine, Fate, Judgement, MemoryWorld, Mode, Options, RawEvent, Source, State,
};
use serde_json::Value;

/// The clock of all single-line rows.
const CLOCK: i64 = 1_700_000_000;

fn golden_dir() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
    let dir = PathBuf::from(std::env::var("GOLDEN_DIR").unwrap_or(default.to_string()));
    if dir.join("analysis").is_dir() && dir.join("../ossec-ruleset").is_dir() {
        return Some(dir);
    }
    println!("skipped: no golden data in {}", dir.display());
    None
}

fn rows(dir: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read(dir.join("analysis").join(name)).unwrap();
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(&plain_surrogates(line)).unwrap()).collect()
}

/// Raw bytes are written as `\udc80`; such strings are given as hexadecimal text beside, and not read.
fn plain_surrogates(line: &[u8]) -> Vec<u8> {
    let mut text = String::from_utf8(line.to_vec()).unwrap();
    while let Some(at) = text.find("\\udc") {
        text.replace_range(at..at + 6, "\u{FFFD}");
    }
    text.into_bytes()
}

/// Files of the stock rule set by name, in the order of its configuration.
fn stock(dir: &Path) -> (Files, Files) {
    let ruleset = dir.join("../ossec-ruleset");
    let read = |name: &str| {
        let path = ruleset.join(name);
        (name.to_string(), std::fs::read(&path).unwrap_or_else(|e| panic!("{path:?}: {e}")))
    };
    let conf = std::fs::read_to_string(ruleset.join("ossec-full.conf")).unwrap();
    let names = conf.split("<include>").skip(1).map(|rest| rest.split('<').next().unwrap());
    let rules = names
        .map(|name| format!("rules/{name}"))
        .filter(|name| ruleset.join(name).is_file())
        .map(|name| read(&name))
        .collect();
    (vec![read("decoder.xml")], rules)
}

type Files = Vec<(String, Vec<u8>)>;

fn engine(decoders: &Files, rules: &Files, lists: &Files, mode: Mode) -> Engine {
    fn sources(files: &Files) -> Vec<Source<'_>> {
        files.iter().map(|(name, text)| Source { name, text }).collect()
    }
    let options = Options { mode, hostname: b"ossec-golden".to_vec(), ..Options::default() };
    match rules::load(&sources(decoders), &sources(rules), &sources(lists), options) {
        Ok(loaded) => loaded.engine,
        Err(errors) => {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            panic!("{} errors:\n{}", texts.len(), texts.join("\n"));
        }
    }
}

fn stock_engine(dir: &Path, mode: Mode) -> Engine {
    let (decoders, rules) = stock(dir);
    engine(&decoders, &rules, &Vec::new(), mode)
}

fn line_of(row: &Value) -> Vec<u8> {
    match row.get("line_hex").and_then(Value::as_str) {
        Some(hex) => (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect(),
        None => row["line"].as_str().unwrap().as_bytes().to_vec(),
    }
}

fn judge_alone(engine: &Engine, line: &[u8], epoch: i64) -> (Decoded, Judgement) {
    let mut event = engine.decode(&raw(line, epoch));
    let mut state = State::new(engine);
    let judgement = engine.judge(&mut state, &mut event, &mut MemoryWorld::default());
    (event, judgement)
}

fn raw(line: &[u8], epoch: i64) -> RawEvent<'_> {
    RawEvent { moment: Moment::utc(epoch), location: b"stdin", payload: line }
}

fn text(bytes: &[u8]) -> Value {
    Value::from(String::from_utf8_lossy(bytes).into_owned())
}

fn optional(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, text)
}

/// What the engine says of one line, in the form of a golden row.
fn said(engine: &Engine, event: &Decoded, judgement: &Judgement) -> HashMap<&'static str, Value> {
    let rule = judgement.rule.map(|rule| engine.rule(rule));
    let mut said = HashMap::new();
    said.insert("hostname", text(event.hostname()));
    said.insert("program_name", optional(event.program_name()));
    said.insert("log", text(event.log()));
    said.insert("decoder", optional(engine.decoder_name(event).map(str::as_bytes)));
    let fields = engine
        .assignments(event)
        .map(|(label, value)| Value::from(vec![Value::from(label), text(value)]));
    said.insert("fields", Value::from(fields.collect::<Vec<_>>()));
    said.insert("rule", rule.map_or(Value::Null, |rule| rule.id.into()));
    said.insert("level", rule.map_or(Value::Null, |rule| rule.level.into()));
    said.insert("alert", Value::from(judgement.log));
    let groups = rule.map(|rule| rule.group_names().map(text).collect::<Vec<_>>());
    said.insert("groups", Value::from(groups.unwrap_or_default()));
    said
}

/// The differences between a golden row and what the engine says.
fn differences(row: &Value, said: &HashMap<&'static str, Value>, keys: &[&str]) -> Vec<String> {
    let hex = row.get("line_hex").is_some();
    let mut found = Vec::new();
    for &key in keys {
        let phase1 = matches!(key, "hostname" | "program_name" | "log");
        let wanted = if phase1 { &row["phase1"][key] } else { &row[key] };
        let wanted = match (key, wanted) {
            ("groups", Value::Null) => Value::from(Vec::<Value>::new()),
            _ => wanted.clone(),
        };
        // Lines that are not UTF-8: the texts differ in how they show that.
        if hex && matches!(key, "log" | "fields") {
            continue;
        }
        if wanted != said[key] {
            found.push(format!("{key}: wanted {wanted}, got {}", said[key]));
        }
    }
    found
}

fn check_lines(name: &str, keys: &[&str]) {
    let Some(dir) = golden_dir() else { return };
    let engine = stock_engine(&dir, Mode::Tool);
    let rows = rows(&dir, name);
    let mut failures = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        let line = line_of(row);
        let (event, judgement) = judge_alone(&engine, &line, CLOCK);
        let found = differences(row, &said(&engine, &event, &judgement), keys);
        if !found.is_empty() {
            let line = String::from_utf8_lossy(&line).into_owned();
            failures.push(format!("row {}: {line}\n    {}", n + 1, found.join("\n    ")));
        }
    }
    println!("{name}: {} of {} rows pass", rows.len() - failures.len(), rows.len());
    let shown = failures.len().min(60);
    assert!(failures.is_empty(), "{} rows fail:\n{}", failures.len(), failures[..shown].join("\n"));
}

/// The quick way and the language's own order must agree: neither the scan for literals nor the pruned tree may cost
/// a rule.
#[test]
fn golden_lines_are_judged_alike_with_and_without_short_cuts() {
    let Some(dir) = golden_dir() else { return };
    let engine = stock_engine(&dir, Mode::Daemon);
    let (mut quick, mut slow) = (State::new(&engine), State::new(&engine));
    let (mut quick_world, mut slow_world) = (MemoryWorld::default(), MemoryWorld::default());
    let mut failures = Vec::new();
    for (n, row) in rows(&dir, "loghub_logs.jsonl").iter().enumerate() {
        let line = line_of(row);
        let epoch = CLOCK + n as i64 / 20;
        let mut event = engine.decode(&raw(&line, epoch));
        let mut copy = event.clone();
        let judgement = engine.judge(&mut quick, &mut event, &mut quick_world);
        let traced = engine.judge_traced(&mut slow, &mut copy, &mut slow_world, &mut |_| {});
        if judgement != traced {
            let number = |j: &Judgement| j.rule.map(|rule| engine.rule(rule).id);
            let (a, b) = (number(&judgement), number(&traced));
            failures.push(format!("{}: {a:?}, {b:?}", String::from_utf8_lossy(&line)));
        }
    }
    assert!(failures.is_empty(), "{} rows differ:\n{}", failures.len(), failures.join("\n"));
}

const ALL: &[&str] =
    &["hostname", "program_name", "log", "decoder", "fields", "rule", "level", "groups", "alert"];

#[test]
fn golden_header_lines_are_taken_apart() {
    check_lines("predecode_logs.jsonl", &["hostname", "program_name", "log", "decoder", "rule"]);
}

#[test]
fn golden_lines_of_the_original_test_suite_are_judged_alike() {
    check_lines("ini_logs.jsonl", ALL);
}

#[test]
fn golden_loghub_lines_are_judged_alike() {
    check_lines("loghub_logs.jsonl", ALL);
}

#[test]
fn golden_addresses_times_and_weekdays_agree() {
    let Some(dir) = golden_dir() else { return };
    let mut failures = Vec::new();
    let rows = rows(&dir, "ip_time_day_cases.jsonl");
    for row in &rows {
        let pattern = row["pattern"].as_str().unwrap();
        let subject = row["string"].as_str().unwrap();
        let (tag, line, epoch) = match row["kind"].as_str().unwrap() {
            "ip" => ("srcip", format!("Nov 14 22:13:20 h app: ip={subject}|"), CLOCK),
            "time" => {
                let part = |n| subject.split(':').nth(n).unwrap().parse::<i64>().unwrap();
                let midnight = CLOCK - CLOCK % 86_400;
                let epoch = midnight + part(0) * 3600 + part(1) * 60 + part(2);
                ("time", "Nov 14 22:13:20 h app: ip=x|".to_string(), epoch)
            }
            _ => {
                // 2023-11-12 was a Sunday.
                let day: i64 = subject.parse().unwrap();
                (
                    "weekday",
                    "Nov 14 22:13:20 h app: ip=x|".to_string(),
                    1_699_747_200 + day * 86_400,
                )
            }
        };
        let decoders = "<decoder name=\"app\"><program_name>^app</program_name></decoder>\
            <decoder name=\"kv\"><parent>app</parent><pcre2>ip=([^|]*)\\|</pcre2><order>srcip</order></decoder>";
        let rules = format!(
            "<group name=\"g,\"><rule id=\"1\" level=\"0\"><category>syslog</category><description>d</description></rule>\
             <rule id=\"100\" level=\"3\"><{tag}>{pattern}</{tag}><description>d</description></rule></group>"
        );
        let loaded = rules::load(
            &[Source { name: "decoder", text: decoders.as_bytes() }],
            &[Source { name: "rules", text: rules.as_bytes() }],
            &[],
            Options { mode: Mode::Tool, ..Options::default() },
        );
        let compiles = row["compiles"].as_bool().unwrap();
        let said = match &loaded {
            Ok(loaded) => {
                let (_, judgement) = judge_alone(&loaded.engine, line.as_bytes(), epoch);
                Some(judgement.rule.map(|rule| loaded.engine.rule(rule).id) == Some(100))
            }
            Err(_) => None,
        };
        let wanted = compiles.then(|| row["match"].as_bool().unwrap());
        if said != wanted {
            failures.push(format!("{row}: wanted {wanted:?}, got {said:?}"));
        }
    }
    println!("ip_time_day: {} of {} rows pass", rows.len() - failures.len(), rows.len());
    assert!(failures.is_empty(), "{} rows fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn golden_scenarios_agree_with_the_tool_and_the_daemon() {
    let Some(dir) = golden_dir() else { return };
    let mut failures = Vec::new();
    let scenarios = rows(&dir, "scenarios.jsonl");
    for scenario in &scenarios {
        // Loading is what takes long: one engine serves both.
        let engine = scenario_engine(&dir, scenario).with_mode(Mode::Tool);
        failures.extend(tool_differences(&engine, scenario));
        let engine = engine.with_mode(Mode::Daemon);
        if let Some(found) = daemon_differences(&engine, scenario) {
            failures.push(format!("{} in the daemon: {found}", scenario["name"]));
        }
    }
    println!("scenarios: {} differences in {}", failures.len(), scenarios.len());
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

/// Where the tool's answers differ from ours.
fn tool_differences(engine: &Engine, scenario: &Value) -> Vec<String> {
    let mut failures = Vec::new();
    let mut state = State::new(engine);
    let mut world = MemoryWorld::default();
    let inputs = scenario["events"].as_array().unwrap().iter();
    for (n, (input, wanted)) in inputs.zip(scenario["logtest"].as_array().unwrap()).enumerate() {
        let line = input["line"].as_str().unwrap().as_bytes();
        let mut event = engine.decode(&raw(line, input["time"].as_i64().unwrap()));
        let judgement = engine.judge(&mut state, &mut event, &mut world);
        let said = said(engine, &event, &judgement);
        let found = differences(wanted, &said, &["rule", "level", "alert", "decoder", "fields"]);
        if !found.is_empty() {
            failures.push(format!("{} event {n}: {}", scenario["name"], found.join("; ")));
        }
    }
    failures
}

/// The first difference between the alerts of a scenario and ours.
fn daemon_differences(engine: &Engine, scenario: &Value) -> Option<String> {
    let mut state = State::new(engine);
    let mut world = MemoryWorld::default();
    let mut archived = 0;
    let mut wanted = scenario["analysisd_alerts"].as_array().unwrap().iter();
    let mut number = 0;
    for input in scenario["events"].as_array().unwrap() {
        let line = input["line"].as_str().unwrap().as_bytes();
        let mut event = engine.decode(&raw(line, input["time"].as_i64().unwrap()));
        let judgement = engine.judge(&mut state, &mut event, &mut world);
        archived += u64::from(judgement.is_archived());
        if !judgement.log {
            continue;
        }
        number += 1;
        let Some(alert) = judgement.alert(engine, &event, number) else {
            return Some("logged without an alert".into());
        };
        let mut record = Vec::new();
        alerts::write_text(&alert, &mut record);
        let record = String::from_utf8_lossy(&record).into_owned();
        let (_, lines) = record.split_once("')\n").or(record.split_once("'\n")).unwrap();
        let lines: Vec<Value> = lines.trim_end().split('\n').map(Value::from).collect();
        let said = serde_json::json!({
            "time": event.moment().epoch, "rule": alert.rule.id, "level": alert.rule.level, "mail": alert.mail,
            "groups": String::from_utf8_lossy(alert.rule.groups), "extra_lines": lines,
        });
        match wanted.next() {
            None => return Some(format!("one alert too many: {said}")),
            Some(wanted) if *wanted != said => {
                return Some(format!("alert {number}:\n  wanted {wanted}\n  got    {said}"));
            }
            Some(_) => {}
        }
    }
    let wanted_archived = scenario["analysisd_archived"].as_u64().unwrap();
    match wanted.next() {
        Some(missing) => Some(format!("missing: {missing}")),
        None if archived != wanted_archived => {
            Some(format!("archived {archived}, wanted {wanted_archived}"))
        }
        None => None,
    }
}

fn scenario_engine(dir: &Path, scenario: &Value) -> Engine {
    let (mut decoders, mut rules) = stock(dir);
    for (key, files) in [("local_decoders", &mut decoders), ("local_rules", &mut rules)] {
        if let Some(text) = scenario[key].as_str() {
            files.push((key.to_string(), text.as_bytes().to_vec()));
        }
    }
    let names = scenario["lists"].as_array().unwrap().iter();
    let lists = names.map(|name| {
        let name = name.as_str().unwrap().to_string();
        let text = scenario["files"][&name].as_str().unwrap().as_bytes().to_vec();
        (name, text)
    });
    engine(&decoders, &rules, &lists.collect(), Mode::Daemon)
}

#[test]
fn golden_speed_is_reported_for_loghub_lines() {
    let Some(dir) = golden_dir() else { return };
    let started = std::time::Instant::now();
    let engine = stock_engine(&dir, Mode::Daemon);
    println!("load: {:?}", started.elapsed());
    let lines: Vec<Vec<u8>> = rows(&dir, "loghub_logs.jsonl").iter().map(line_of).collect();
    let mut event = Decoded::default();
    let mut state = State::new(&engine);
    let mut world = MemoryWorld::default();
    let rounds = if cfg!(debug_assertions) { 1 } else { 20 };
    for phase in ["decode", "decode and judge"] {
        let started = std::time::Instant::now();
        let mut alerts = 0;
        for round in 0..rounds {
            for line in &lines {
                engine.decode_into(&raw(line, CLOCK + round), &mut event);
                if phase != "decode" {
                    let judgement = engine.judge(&mut state, &mut event, &mut world);
                    alerts += u64::from(judgement.fate == Fate::Alert);
                }
            }
        }
        let count = lines.len() as u32 * rounds as u32;
        println!("{phase}: {:?} an event, {alerts} alerts of {count}", started.elapsed() / count);
    }
}
