//! The program as scripts and people use it: words and typed lines in, text and client.keys out.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use super::*;
use crate::agent_tools::testing::{Bench, words};

struct Ran {
    out: String,
    err: String,
    code: u8,
}

fn run_with(bench: &Bench, line: &str, typed: &str, environment: &[(&str, &str)]) -> Ran {
    let variable = |name: &str| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let mut streams = Streams { input: typed.as_bytes(), out: Vec::new(), err: Vec::new() };
    let code = run(&bench.world, &words(line), &variable, &mut streams);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { out: text(streams.out), err: text(streams.err), code }
}

fn run_line(bench: &Bench, line: &str) -> Ran {
    run_with(bench, line, "", &[])
}

fn manager(keys: &str) -> Bench {
    Bench::new("vm", keys)
}

fn agent() -> Bench {
    let bench = Bench::new("vm", "");
    bench.put("etc/ossec-init.conf", "TYPE=\"agent\"\n");
    bench
}

#[test]
fn an_agent_is_added_listed_extracted_and_removed() {
    let bench = manager("");
    let ran = run_line(&bench, "-a 10.9.1.11 -n web01");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(
        ran.out.contains("Agent information:\n   ID:001\n   Name:web01\n   IP Address:10.9.1.11\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("Agent added with ID 001.\n"));
    assert_eq!(
        run_line(&bench, "-l").out,
        "\nAvailable agents: \n   ID: 001, Name: web01, IP: 10.9.1.11\n\n"
    );

    let line = bench.keys();
    let key = line.trim_end().rsplit(' ').next().unwrap();
    assert!(key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit()));
    let exported = base64::encode(line.trim_end().as_bytes());
    assert_eq!(
        run_line(&bench, "-e 1").out,
        format!("\nAgent key information for '001' is: \n{exported}\n")
    );

    bench.put("queue/agent-info/web01-10.9.1.11", "x\n");
    bench.put("queue/rids/001", "1:1:");
    let ran = run_line(&bench, "-r 001");
    assert!(ran.out.contains("Agent '001' removed.\n") && ran.code == 0, "{}", ran.out);
    assert_eq!(bench.keys(), "001 #*#*#*#*#*#*#*#*#*#*#\n");
    assert!(
        !bench.path("queue/rids/001").exists()
            && !bench.path("queue/agent-info/web01-10.9.1.11").exists()
    );
    let kept = fs::read_dir(bench.path("backup/agents")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read(kept.join("agent-info")).unwrap(), b"x\n");
    assert!(run_line(&bench, "-a any -n web01").out.contains("ID 002"));
}

#[test]
fn json_is_pure_and_failures_have_their_numbers() {
    let bench = manager("001 web01 10.0.0.1 5ec4e7\n");
    assert_eq!(
        run_line(&bench, "-j -a any -n web02").out,
        "{\"error\":0,\"response\":\"Agent added with ID 002\"}"
    );
    assert_eq!(run_line(&bench, "-j -r 002").out, "{\"error\":0,\"response\":\"Agent removed\"}");
    let exported = base64::encode(b"001 web01 10.0.0.1 5ec4e7");
    assert_eq!(
        run_line(&bench, "-j -e 001").out,
        format!("{{\"error\":0,\"response\":\"{exported}\"}}")
    );
    for (line, number) in [
        ("-j -e 099", 70),
        ("-j -a any -n web01", 76),
        ("-j -a any -n w", 76),
        ("-j -a nowhere -n web03", 77),
        ("-j -r 099", 78),
        ("-j -r 002", 78),
        ("-j -a 10.0.0.1 -n web03", 79),
    ] {
        let ran = run_line(&bench, line);
        let object: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((object["error"].as_u64(), ran.code), (Some(number), 1), "{line}: {}", ran.out);
    }
    assert_eq!(run_line(&bench, "-j").code, 1);
    assert!(serde_json::from_str::<serde_json::Value>(&run_line(&bench, "-l -j").out).is_ok());
}

#[test]
fn the_end_of_input_ends_everything() {
    let bench = manager("001 web01 10.0.0.1 k\n");
    for typed in [
        "",
        "a\n",
        "a\nweb02\n",
        "a\n!\n!\n",
        "e\n",
        "e\n9\n",
        "r\n9\n",
        "x\n",
        "a",
        &"y".repeat(2000),
    ] {
        let ran = run_with(&bench, "", typed, &[]);
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (1, "manage_agents: Input too large. Not adding it.\n"),
            "{typed:?}"
        );
    }
    // What can't be right is said once on the command line, whoever waits at standard input.
    let ran = run_line(&bench, "-a 10.0.0.1 -n web02");
    assert_eq!((ran.code, ran.out.matches("Duplicated IP").count()), (1, 1));
    let ran = run_with(
        &bench,
        "",
        "",
        &[("OSSEC_ACTION", "a"), ("OSSEC_AGENT_NAME", "web02"), ("OSSEC_AGENT_IP", "10.0.0.1")],
    );
    assert_eq!((ran.code, ran.out.matches("Duplicated IP").count()), (1, 1));
}

#[test]
fn the_menu_adds_after_odd_answers_and_removes_on_y_only() {
    let bench = manager("");
    let typed = "A\nw\nweb01\nnowhere\n10.0.0.1\nx\n\ny\na\nweb01\n\\q\nr\n1\nn\nL\nQ\n";
    let ran = run_with(&bench, "", typed, &[]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    for text in [
        "** Invalid name 'w' given.",
        "** Invalid IP 'nowhere'. Please enter a valid IP Address.\n",
        "** Invalid ID 'x' given. ID must be numeric (max 8 digits).\n",
        "Agent added with ID 001.\n",
        "** Name 'web01' already present. Please enter a new name.\n",
        "Not removing.\n",
        "   ID: 001, Name: web01, IP: 10.0.0.1\n",
    ] {
        assert!(ran.out.contains(text), "{text} in {}", ran.out);
    }
    assert!(ran.out.ends_with("manage_agents: Exiting.\nmanage_agents: Exiting.\n"));
}

#[test]
fn the_environment_answers_in_advance() {
    let bench = manager("");
    let environment = [
        ("OSSEC_ACTION", "a"),
        ("OSSEC_AGENT_NAME", "web01"),
        ("OSSEC_AGENT_IP", "10.9.2.0/24"),
        ("OSSEC_AGENT_ID", "70"),
        ("OSSEC_ACTION_CONFIRMED", "y"),
    ];
    assert_eq!(run_with(&bench, "", "", &environment).code, 0);
    assert!(bench.keys().starts_with("070 web01 10.9.2.0/24 "));
    let environment =
        [("OSSEC_ACTION", "r"), ("OSSEC_AGENT_ID", "070"), ("OSSEC_ACTION_CONFIRMED", "n")];
    assert!(run_with(&bench, "", "", &environment).out.contains("Not removing.\n"));
}

#[test]
fn a_silent_agent_makes_room_and_a_speaking_one_does_not() {
    let bench = manager("001 web01 10.0.0.1 k\n");
    bench.put("queue/agent-info/web01-10.0.0.1", "x\n");
    let info =
        File::options().write(true).open(bench.path("queue/agent-info/web01-10.0.0.1")).unwrap();
    info.set_modified(SystemTime::now() - Duration::from_secs(100)).unwrap();
    assert_eq!(run_line(&bench, "-a 10.0.0.1 -n web02 -F 1000").code, 1);
    assert_eq!(run_line(&bench, "-a 10.0.0.1 -n web02 -F x").code, 1);
    assert_eq!(run_line(&bench, "-a 10.0.0.1 -n web02 -F 50").code, 0);
    assert!(bench.keys().starts_with("001 #*") && bench.keys().contains("\n002 web02 10.0.0.1 "));
    assert!(bench.path("backup/agents").is_dir());
}

#[test]
fn a_bulk_file_adds_its_good_lines() {
    let bench = manager("");
    let ran = run_with(
        &bench,
        "-f -",
        "10.0.0.1, web01\n\nnowhere,web02\n10.0.0.1,web03,rest\nany,web01\nany\n",
        &[],
    );
    assert_eq!(ran.code, 0);
    assert!(
        ran.out.starts_with("\nBulk load file: -\nReading bulk agents from stdin\n"),
        "{}",
        ran.out
    );
    let names: Vec<String> =
        bench.keys().lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(names, ["web01", "web03"]);
    assert_eq!(run_line(&bench, "-f /nonexistent").code, 1);
}

#[test]
fn an_agent_imports_its_key_and_nothing_else() {
    let bench = agent();
    let exported = base64::encode(b"007 web07 any 5ec4e7");
    let ran = run_with(&bench, &format!("-i {exported}"), "y\n", &[]);
    assert!(ran.code == 0 && ran.out.contains("Added.\n"), "{}{}", ran.out, ran.err);
    assert_eq!(bench.keys(), "007 web07 any 5ec4e7\n");
    assert!(!ran.out.contains("5ec4e7"));
    assert!(run_with(&bench, &format!("-i {exported}"), "n\n", &[]).out.contains("Not Adding.\n"));
    let ran =
        run_with(&bench, "-i -", &format!("{}\ny\n", base64::encode(b"008 web08 any k")), &[]);
    assert!(ran.code == 0 && bench.keys() == "008 web08 any k\n", "{}", ran.out);
    for bad in ["x", "", &base64::encode(b"007 web07 any"), &base64::encode(&[b'x'; 400])] {
        assert_eq!(run_with(&bench, &format!("-i {bad}"), "y\n", &[]).code, 1, "{bad}");
    }
    assert!(
        run_with(&bench, "-a any -n x1", "", &[])
            .err
            .contains("Agent adding only available on a master.")
    );
    assert!(
        run_with(&manager(""), "-i x", "", &[])
            .err
            .contains("Key import only available on an agent.")
    );
}

#[test]
fn a_counter_is_reset_once_for_an_agent_that_there_is() {
    let bench = manager("001 web01 any k\n");
    fs::create_dir_all(bench.world.root.join("queue/rids")).unwrap();
    let ran = run_line(&bench, "--reset-counter 1");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("next hello of agent '001' within 5 minutes"), "{}", ran.out);
    let id = agents::AgentId::parse(b"001").unwrap();
    let now = SystemTime::now() + Duration::from_secs(1);
    assert!(agents::counters::reset::take(&bench.world.root, &id, now).unwrap());
    assert_eq!(
        run_line(&bench, "-j --reset-counter 1").out,
        r#"{"error":0,"response":"Counter reset"}"#
    );
    let ran = run_line(&bench, "--reset-counter 7");
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("Invalid ID '7' given"), "{}", ran.out);
    assert_eq!(run_line(&agent(), "--reset-counter 1").code, 1);
}
