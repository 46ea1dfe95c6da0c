//! The walls: which crate may know which (docs/architecture.md), and what lies below the install root (queue/manifest).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const PURE: &[&str] = &["xml", "pattern", "wire", "fim", "alerts", "rules", "cdb"];
const EDGES: &[&str] = &["sys", "ipc", "settings", "runtime", "agents"];
const AGENT_SIDE: &[&str] = &["agentd", "authd", "logcollector", "rootcheck", "syscheckd", "execd"];

/// Our crates, each with our crates that it depends on, directly or not. Tests may use what they like.
fn reach() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let mut direct = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let ours = dependencies.iter().filter(|d| d["kind"].is_null() && d["path"].is_string());
        let names: BTreeSet<String> =
            ours.map(|d| d["name"].as_str().expect("name").to_owned()).collect();
        direct.insert(package["name"].as_str().expect("name").to_owned(), names);
    }
    let mut reach = direct.clone();
    for _ in 0..direct.len() {
        for names in reach.values_mut() {
            let further: BTreeSet<String> =
                names.iter().flat_map(|n| direct.get(n).into_iter().flatten().cloned()).collect();
            names.extend(further);
        }
    }
    reach
}

fn broken(reach: &BTreeMap<String, BTreeSet<String>>, from: &[&str], to: &[&str]) -> Vec<String> {
    let pairs = from.iter().flat_map(|f| to.iter().map(move |t| (*f, *t)));
    pairs
        .filter(|(f, t)| reach.get(*f).is_some_and(|names| names.contains(*t)))
        .map(|(f, t)| format!("{f} reaches {t}"))
        .collect()
}

#[test]
fn pure_crates_never_reach_the_edges() {
    let reach = reach();
    assert!(
        PURE.iter().all(|name| reach.contains_key(*name)),
        "a pure crate is missing: {:?}",
        reach.keys()
    );
    assert_eq!(broken(&reach, PURE, EDGES), Vec::<String>::new());
}

#[test]
fn agent_side_programs_never_link_the_rules() {
    let reach = reach();
    assert!(
        AGENT_SIDE.iter().all(|name| reach.contains_key(*name)),
        "a program is missing: {:?}",
        reach.keys()
    );
    assert_eq!(broken(&reach, AGENT_SIDE, &["rules"]), Vec::<String>::new());
}

#[test]
fn only_sys_may_be_unsafe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(root.join("src")).expect("src") {
        let manifest = entry.expect("entry").path().join("Cargo.toml");
        let Ok(text) = std::fs::read_to_string(&manifest) else { continue };
        let inherits = text.contains("[lints]\nworkspace = true");
        let is_sys = manifest.ends_with("sys/Cargo.toml");
        assert_eq!(inherits, !is_sys, "{}: inherits the workspace's lints", manifest.display());
    }
}

/// path -> (type, mode) as `queue/manifest` says.
fn manifest() -> BTreeMap<&'static str, (&'static str, u32)> {
    let lines = include_str!("../queue/manifest")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let mode =
                u32::from_str_radix(words[2], 8).unwrap_or_else(|_| panic!("mode in '{line}'"));
            assert!(words.len() >= 7, "'{line}' lacks a column");
            assert!(matches!(words[5], "all" | "manager" | "agent"), "install in '{line}'");
            (words[0], (words[1], mode))
        })
        .collect()
}

#[test]
fn the_manifest_lists_every_socket_with_the_mode_that_the_code_gives_it() {
    let manifest = manifest();
    let sockets: BTreeMap<_, _> = manifest
        .iter()
        .filter(|(_, (kind, _))| matches!(*kind, "dgram" | "seqpacket"))
        .map(|(p, k)| (*p, *k))
        .collect();
    let expected = BTreeMap::from([
        (ipc::paths::QUEUE, ("dgram", ipc::paths::SOCKET_MODE)),
        (ipc::paths::EVENTS, ("seqpacket", ipc::paths::SOCKET_MODE)),
        (ipc::paths::EXECQ, ("dgram", ipc::paths::SOCKET_MODE)),
        (ipc::paths::AR, ("dgram", ipc::paths::SOCKET_MODE)),
        (ipc::paths::SYSCHECK_CONTROL, ("dgram", ipc::paths::SOCKET_MODE)),
    ]);
    assert_eq!(sockets, expected);
    assert!(manifest.contains_key(ipc::paths::ENDED));
}

#[test]
fn every_entry_of_the_manifest_lies_in_a_folder_of_the_manifest() {
    let manifest = manifest();
    for path in manifest.keys().filter(|path| **path != ".") {
        let parent = path.rsplit_once('/').map_or(".", |(parent, _)| parent);
        assert!(
            manifest.get(parent).is_some_and(|(kind, _)| *kind == "dir"),
            "{path} has no folder {parent}"
        );
    }
}

/// All text of our programs but of the crate that knows the table.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() && !path.ends_with("src/settings") {
            sources(&path, text);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("source"));
        }
    }
}

#[test]
fn each_internal_option_has_an_effect_or_says_that_it_has_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    let shipped = include_str!("../internal_options.conf");
    for option in settings::OPTIONS {
        let key = option.key;
        let before = shipped.split(&format!("\n{key}=")).next().expect("what stands before it");
        let comment: Vec<&str> =
            before.lines().rev().take_while(|line| line.starts_with('#')).collect();
        let has_none = comment.iter().any(|line| line.contains("effect"));
        let is_used = text.contains(&format!("\"{key}\""));
        assert_ne!(
            has_none, is_used,
            "{key}: used {is_used}, its comment says it has none: {has_none}"
        );
    }
}
