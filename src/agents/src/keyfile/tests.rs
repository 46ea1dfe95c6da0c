//! client.keys: what peers wrote, what we write, and every way in which a line can be broken.

use std::path::Path;

use serde_json::Value;

use super::*;

const FILE: &[u8] =
    b"# who\n001 web01 10.9.1.11 5ec4e7\n002 #*#*#*#*#*#*#*#*#*#*#old rest of a key\n\
    1024 dyn-01 any a b c\n 9 indented any k\n003 net.01 !10.9.2.0/24 k\n";

fn agent(line: &str) -> Agent {
    Agent::parse(line.as_bytes()).unwrap()
}

fn ids(file: &KeyFile) -> Vec<&str> {
    file.agents().map(|agent| agent.id.as_str()).collect()
}

#[test]
fn agents_removed_ones_and_comments_are_told_apart() {
    let file = KeyFile::parse(FILE);
    assert_eq!(ids(&file), ["001", "1024", "003"]);
    assert_eq!(file.removed().map(AgentId::as_str).collect::<Vec<_>>(), ["002"]);
    assert_eq!(file.by_name("dyn-01").unwrap().key.as_bytes(), b"a b c");
    assert_eq!(file.problems().count(), 0);
    assert_eq!(file.by_id("003").unwrap().location(), "(net.01) !10.9.2.0");
}

#[test]
fn a_bad_line_is_named_by_number_and_kept_without_showing_its_key() {
    let text = b"001 web01 10.9.1.11\n001 a1 nowhere 5ec4e7\nx a1 any 5ec4e7\n001 a/1 any 5ec4e7\n001 a1 any \n001 ok1 any k\n001 ok2 any k\n";
    let file = KeyFile::parse(text);
    let problems: Vec<String> = file.problems().map(|problem| problem.to_string()).collect();
    assert_eq!(problems.len(), 6);
    assert_eq!(
        problems[1],
        "(1237) Invalid ip address: 'nowhere'. Line 2 of client.keys is not used."
    );
    assert!(problems[5].contains("id 001 is on an earlier line"), "{}", problems[5]);
    assert!(!format!("{problems:?} {file:?}").contains("5ec4e7"));
    assert_eq!(file.to_bytes(), text);
    assert_eq!(ids(&file), ["001"]);
}

#[test]
fn a_removed_agent_leaves_its_id_and_nothing_of_its_key() {
    let mut file = KeyFile::parse(FILE);
    let id = AgentId::parse(b"001").unwrap();
    assert_eq!(file.remove(&id).unwrap().name.as_str(), "web01");
    assert!(file.remove(&id).is_none());
    let bytes = file.to_bytes();
    assert!(bytes.starts_with(b"# who\n001 #*#*#*#*#*#*#*#*#*#*#\n002 #*"));
    assert_eq!(file.add(agent("001 other any k")), Err(AddError::Id(id)));
    assert_eq!(file.next_id().unwrap().as_str(), "1025");
}

#[test]
fn names_and_ids_are_given_once() {
    let mut file = KeyFile::parse(b"001 web01 any k\n1024 e1 any k\n");
    let taken = file.add(agent("005 web01 any k"));
    assert_eq!(taken.unwrap_err().to_string(), "Name 'web01' already present");
    assert_eq!(file.free_id(FIRST_ENROLLED).unwrap().as_str(), "1025");
    assert_eq!(KeyFile::default().next_id().unwrap().as_str(), "001");
    let id = AgentId::parse(b"001").unwrap();
    assert!(file.replace_key(&id, Key::parse(b"new").unwrap()));
    assert_eq!(file.by_id("001").unwrap().key.as_bytes(), b"new");
}

#[test]
fn what_is_written_is_read_back() {
    let once = KeyFile::parse(FILE).to_bytes();
    let twice = KeyFile::parse(&once).to_bytes();
    assert_eq!(once, twice);
    assert_eq!(KeyFile::parse(b"").to_bytes(), b"");
}

#[test]
fn a_file_cut_anywhere_gives_no_agent_that_it_does_not_hold() {
    let whole = KeyFile::parse(FILE);
    for cut in 0..=FILE.len() {
        let file = KeyFile::parse(&FILE[..cut]);
        for agent in file.agents() {
            let known = whole.by_id(agent.id.as_str());
            assert!(known.is_some_and(|whole| whole.name == agent.name), "cut at {cut}: {agent:?}");
        }
        let _ = file.problems().count();
    }
}

#[test]
fn mutated_files_are_read_and_written_without_a_panic() {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    for _ in 0..5000 {
        let mut bytes = FILE.to_vec();
        for _ in 0..1 + random() % 6 {
            let at = random() % bytes.len();
            match random() % 3 {
                0 => bytes[at] = u8::try_from(random() % 256).unwrap(),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b" #\n!/0"[random() % 6]),
            }
        }
        let file = KeyFile::parse(&bytes);
        let again = KeyFile::parse(&file.to_bytes());
        assert_eq!(ids(&file), ids(&again));
        for agent in file.agents() {
            assert!(
                !agent.file_name().contains('/')
                    && Agent::parse(&agent.line()).as_ref() == Ok(agent)
            );
        }
    }
}

#[test]
fn golden_key_lines_are_read_as_recorded() {
    let folder = std::env::var("GOLDEN_DIR")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden").into());
    let Ok(text) = std::fs::read(Path::new(&folder).join("wire/keys.json")) else {
        println!("skipped: no golden data in {folder}");
        return;
    };
    let rows: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let mut failing = Vec::new();
    for row in &rows {
        let field = |name: &str| row[name].as_str().unwrap_or_default();
        let line = field("keys_line");
        let read = Agent::parse(line.as_bytes()).map(|agent| {
            agent.line() == line.as_bytes()
                && agent.name.kept() == field("effective_name")
                && agent.key.kept() == field("effective_key").as_bytes()
                && agent.address.stored() == field("stored_ip")
                && agent.address.is_single_host()
                    != row["id_prefix_on_wire"].as_bool().unwrap_or_default()
        });
        if read != Ok(true) {
            failing.push(field("id").to_owned());
        }
    }
    assert!(!rows.is_empty());
    assert_eq!(failing, Vec::<String>::new());
}
