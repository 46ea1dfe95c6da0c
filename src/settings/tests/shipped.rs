//! The files that we ship: each is read without a complaint, and says what its reader expects.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use settings::{InternalOptions, OPTIONS, RuleSourceKind, Settings};

fn top(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn shipped(name: &str) -> Settings {
    let settings = settings::load(&top("etc").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(settings.warnings, [], "{name}");
    settings
}

#[test]
fn the_local_example_watches_one_host() {
    let settings = shipped("ossec-local.conf");
    assert!(settings.global.jsonout_output);
    assert!(settings.global.allow_list.contains("127.0.0.1"));
    let watched: Vec<_> = settings.syscheck.directories.iter().map(|d| d.path.to_str()).collect();
    let folders = ["/etc", "/usr/bin", "/usr/sbin", "/bin", "/sbin", "/boot"];
    assert_eq!(watched, folders.map(Some));
    assert!(settings.localfiles.iter().any(|log| log.location == "/var/log/auth.log"));
    assert!(settings.localfiles.iter().any(|log| log.command.as_deref() == Some("df -P")));
}

#[test]
fn no_response_is_active_as_shipped_and_each_script_has_a_command() {
    for name in ["ossec-local.conf", "ossec-server.conf"] {
        let settings = shipped(name);
        assert!(settings.responses.list.is_empty() && !settings.responses.disabled);
        let scripts: BTreeSet<String> =
            settings.commands.iter().map(|command| command.executable.clone()).collect();
        let mut files = names_in("etc/active-response", ".sh");
        files.remove("common.sh");
        assert_eq!(scripts, files, "{name}");
    }
}

#[test]
fn the_commented_response_is_sound() {
    let text = fs::read_to_string(top("etc/ossec-local.conf")).unwrap();
    let (before, response) = text.split_once("comes back.\n").unwrap();
    let text = format!("{before}-->{}", response.replacen("-->", "", 1));
    let settings = settings::parse(text.as_bytes(), Path::new("x")).unwrap();
    assert_eq!(settings.responses.list.len(), 1);
    assert_eq!(settings.responses.repeated_offenders, [30, 60, 120]);
}

#[test]
fn the_examples_name_each_rule_file_once() {
    for name in ["ossec-local.conf", "ossec-server.conf"] {
        let entries = shipped(name).rules.entries;
        assert!(entries.iter().all(|entry| entry.kind == RuleSourceKind::Rules), "{name}");
        let named: BTreeSet<String> = entries.iter().map(|entry| entry.path.clone()).collect();
        assert_eq!(named.len(), entries.len(), "{name}");
        assert_eq!(named, names_in("etc/rules", ".xml"), "{name}");
        assert_eq!(entries.last().unwrap().path, "local_rules.xml", "{name}");
    }
}

fn names_in(folder: &str, suffix: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(top(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(suffix)).collect()
}

#[test]
fn the_server_example_opens_the_agents_door() {
    let settings = shipped("ossec-server.conf");
    let remote = settings.sections("remote").next().unwrap();
    assert_eq!(remote.child("connection").unwrap().content, b"secure");
}

#[test]
fn the_agent_example_names_a_manager_and_no_rules() {
    let settings = shipped("ossec-agent.conf");
    assert_eq!(settings.sections("client").count(), 1);
    assert!(settings.rules.entries.is_empty() && settings.commands.is_empty());
}

#[test]
fn the_shipped_tunables_are_the_table_with_unit_range_and_default() {
    let path = top("internal_options.conf");
    let text = fs::read(&path).unwrap();
    let options = InternalOptions::parse(&text, &path).unwrap();
    assert_eq!(options.warnings(), []);
    assert_eq!(options, InternalOptions::default());
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for option in OPTIONS {
        let line = format!("{}={}", option.key, option.default);
        let at = lines.iter().position(|l| **l == line).unwrap_or_else(|| panic!("no {line}"));
        let facts = format!("; {} to {}; default {}]", option.min, option.max, option.default);
        assert!(lines[at - 1].ends_with(&facts), "{}: expected a comment with {facts}", option.key);
    }
}
