//! One recorded run of the original daemon, byte for byte: alerts.log, alerts.json, archives and firewall.log.
//!
//! Only the events of log lines are judged here; those of the built-in decoders need the daemon's stores, so their
//! lines are skipped (the daemon's own test has them).

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test helpers: a panic is the report, counts are for the reader"
)]

use std::path::{Path, PathBuf};

use alerts::Moment;
use alerts::response::{Expects, Response, Targets};
use rules::{
    Decoded, Engine, Fate, Judgement, MemoryWorld, Options, RawEvent, ResponseBinding, Source,
    State,
};
use serde_json::Value;

fn golden_dir() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
    let dir = PathBuf::from(std::env::var("GOLDEN_DIR").unwrap_or(default.to_string()));
    if dir.join("analysis/sample_run").is_dir() && dir.join("../ossec-ruleset").is_dir() {
        return Some(dir);
    }
    println!("skipped: no golden data in {}", dir.display());
    None
}

fn load(dir: &Path) -> Engine {
    let ruleset = dir.join("../ossec-ruleset");
    let conf = std::fs::read_to_string(dir.join("analysis/sample_run/ossec.conf")).unwrap();
    let names = conf.split("<include>").skip(1).map(|rest| rest.split('<').next().unwrap());
    let files: Vec<(String, Vec<u8>)> = names
        .filter_map(|name| {
            Some((name.into(), std::fs::read(ruleset.join("rules").join(name)).ok()?))
        })
        .collect();
    let rules: Vec<Source<'_>> = files.iter().map(|(name, text)| Source { name, text }).collect();
    let decoders = std::fs::read(ruleset.join("decoder.xml")).unwrap();
    let binding = ResponseBinding::default;
    let responses = vec![
        ResponseBinding { level: Some(6), ..binding() },
        ResponseBinding { rules_group: Some(b"authentication_success".to_vec()), ..binding() },
        ResponseBinding { rules_id: vec![550, 551, 554], ..binding() },
        ResponseBinding { rules_id: vec![5712], ..binding() },
        ResponseBinding { rules_id: vec![5712], ..binding() },
    ];
    let options = Options { hostname: b"ossec-golden".to_vec(), responses, ..Options::default() };
    let decoders = [Source { name: "decoder.xml", text: &decoders }];
    rules::load(&decoders, &rules, &[], options)
        .unwrap_or_else(|errors| panic!("{errors:?}"))
        .engine
}

/// The responses of the recorded configuration, in its order.
fn responses() -> Vec<Response> {
    let srcip = Expects { srcip: true, ..Expects::default() };
    let user = Expects { user: true, ..Expects::default() };
    let filename = Expects { filename: true, ..Expects::default() };
    let local = Targets { local: true, ..Targets::default() };
    let server = Targets { server: true, ..Targets::default() };
    let all = Targets { all: true, ..Targets::default() };
    let agent = Targets { agent: true, ..Targets::default() };
    let make = |name: &str, expects, targets, agent_id: Option<&[u8]>| Response {
        name: name.into(),
        expects,
        targets,
        agent_id: agent_id.map(<[u8]>::to_vec),
    };
    vec![
        make("host-deny600", srcip, local, None),
        make("disable-account0", user, server, None),
        make("quarantine0", filename, server, None),
        make("host-deny0", srcip, all, None),
        make("noexp0", Expects::default(), agent, Some(b"001")),
    ]
}

/// Log events of the run with what became of them.
fn run(engine: &Engine, dir: &Path, mut each: impl FnMut(&Decoded, &Judgement)) {
    let input = std::fs::read_to_string(dir.join("analysis/sample_run/input.jsonl")).unwrap();
    let mut state = State::new(engine);
    let mut world = MemoryWorld::default();
    for row in input.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        let message = row["message"].as_str().unwrap();
        let Some(rest) = message.strip_prefix("1:").or(message.strip_prefix("2:")) else {
            continue;
        };
        let arrow = if rest.starts_with('(') { rest.find("->").unwrap() } else { 0 };
        let Some(colon) = rest[arrow..].find(':').map(|at| at + arrow) else { continue };
        let (location, log) = (&rest[..colon], &rest[colon + 1..]);
        if location.starts_with("..") {
            continue;
        }
        let mut event = engine.decode(&RawEvent {
            moment: Moment::utc(row["time"].as_i64().unwrap()),
            location: location.as_bytes(),
            payload: log.as_bytes(),
        });
        let judgement = engine.judge(&mut state, &mut event, &mut world);
        each(&event, &judgement);
    }
}

fn is_builtin(text: &str) -> bool {
    ["syscheck", "rootcheck", "hostinfo"].iter().any(|name| {
        text.contains(&format!("->{name}\n"))
            || text.contains(&format!("\"logfile\":\"{name}\""))
            || text.contains(&format!(" 10.0.0.5->{name}\n"))
    })
}

fn compare(name: &str, said: &[String], wanted: &[String]) {
    let differ = said.iter().zip(wanted).find(|(said, wanted)| said != wanted);
    if let Some((said, wanted)) = differ {
        panic!("{name}:\n  wanted {wanted}\n  got    {said}");
    }
    assert_eq!(said.len(), wanted.len(), "{name}: number of records");
    println!("{name}: {} records agree", said.len());
}

#[test]
fn golden_alert_files_agree_byte_for_byte() {
    let Some(dir) = golden_dir() else { return };
    let engine = load(&dir);
    let read = |name: &str| {
        let bytes = std::fs::read(dir.join("analysis/sample_run").join(name)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let records = read("alerts.log");
    let wanted_text: Vec<String> = records
        .split("** Alert ")
        .skip(1)
        .map(|record| format!("** Alert {record}"))
        .filter(|record| !is_builtin(record))
        .collect();
    let wanted_json: Vec<String> = read("alerts.json")
        .split_inclusive('\n')
        .filter(|line| !is_builtin(line))
        .map(str::to_string)
        .collect();
    // The numbers count alerts of the built-in decoders too.
    let number_of = |record: &String| {
        record[9..record.find(": ").unwrap()].split('.').nth(1).unwrap().parse().unwrap()
    };
    let numbers: Vec<u64> = wanted_text.iter().map(number_of).collect();
    let (mut text, mut json, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    run(&engine, &dir, |event, judgement| {
        if !judgement.log {
            return;
        }
        let number = numbers.get(text.len()).copied().unwrap_or(0);
        let alert = judgement.alert(&engine, event, number).unwrap();
        let render = |write: fn(&alerts::Alert<'_>, &mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&alert, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        text.push(render(alerts::write_text));
        json.push(render(alerts::write_json));
        for &bound in &engine.rule(judgement.rule.unwrap()).responses {
            let allowed = |ip: &[u8]| ip == b"127.0.0.1" || ip == b"192.168.2.1";
            let sent = alerts::response::messages(&responses()[bound], &alert, &allowed);
            for (queue, message) in [("execq", sent.here), ("ar", sent.agents)] {
                messages
                    .extend(message.map(|m| format!("{queue} {}", String::from_utf8_lossy(&m))));
            }
        }
    });
    compare("alerts.log", &text, &wanted_text);
    compare("alerts.json", &json, &wanted_json);
    let wanted_messages: Vec<String> = read("ar_messages.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| {
            format!("{} {}", row["queue"].as_str().unwrap(), row["message"].as_str().unwrap())
        })
        // Ours has no `(null)`.
        .map(|message| message.replace("(null)", "-"))
        .filter(|message| !message.contains("quarantine"))
        .collect();
    messages.sort();
    let mut wanted_messages = wanted_messages;
    wanted_messages.sort();
    compare("active responses", &messages, &wanted_messages);
}

#[test]
fn golden_archives_and_firewall_lines_agree_byte_for_byte() {
    let Some(dir) = golden_dir() else { return };
    let engine = load(&dir);
    let read = |name: &str| {
        let bytes = std::fs::read(dir.join("analysis/sample_run").join(name)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (mut lines, mut json, mut firewall) = (String::new(), Vec::new(), String::new());
    run(&engine, &dir, |event, judgement| {
        if !judgement.is_archived() {
            return;
        }
        let facts = engine.facts(event);
        let mut out = Vec::new();
        if alerts::text::is_archived(event.location()) {
            alerts::text::write_archive(&facts, &mut out);
            lines.push_str(&String::from_utf8_lossy(&out));
            out.clear();
        }
        let rule = judgement.rule_facts(&engine).filter(|_| judgement.fate == Fate::Alert);
        alerts::json::write_archive(&facts, rule.as_ref(), &mut out);
        json.push(String::from_utf8_lossy(&out).into_owned());
        if event.is_firewall() {
            out.clear();
            alerts::firewall::write_line(&facts, &mut out);
            firewall.push_str(&String::from_utf8_lossy(&out));
        }
    });
    assert_eq!(firewall, read("firewall.log"));
    let wanted_json: Vec<String> = read("archives.json")
        .split_inclusive('\n')
        .filter(|line| !is_builtin(line))
        .map(str::to_string)
        .collect();
    compare("archives.json", &json, &wanted_json);
    let wanted = read("archives.log");
    for line in lines.lines() {
        assert!(wanted.lines().any(|wanted| wanted == line), "not in archives.log: {line}");
    }
    println!("archives.log: {} lines agree", lines.lines().count());
}
