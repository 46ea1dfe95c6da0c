//! The agents' tools as programs: several at once, in an install root.

use std::collections::HashSet;
use std::fs;
use std::process::{Child, Stdio};

use crate::harness::Suite;

const CONF: &str = "<ossec_config></ossec_config>";

#[test]
fn eight_programs_that_add_agents_at_once_lose_none_and_give_no_id_twice() {
    let suite = Suite::new(CONF);
    let bulk = |writer: usize| -> Child {
        let agents: String = (0..24).map(|n| format!("any,agent-{writer}-{n}\n")).collect();
        let list = suite.watched().join(format!("{writer}.csv"));
        fs::write(&list, agents).unwrap();
        suite.program("manage-agents").arg("-f").arg(list).stdout(Stdio::null()).spawn().unwrap()
    };
    let bulks: Vec<Child> = (0..8).map(bulk).collect();
    // Meanwhile, one by one, by the name that it has always had.
    for n in 0..8 {
        let name = format!("single-{n}");
        let added =
            suite.program("manage_agents").args(["-j", "-a", "any", "-n", &name]).output().unwrap();
        let text = String::from_utf8(added.stdout).unwrap();
        assert!(text.starts_with("{\"error\":0,\"response\":\"Agent added with ID "), "{text}");
    }
    for mut child in bulks {
        assert!(child.wait().unwrap().success());
    }
    let keys = fs::read_to_string(suite.root().join("etc/client.keys")).unwrap();
    let field = |at: usize| -> HashSet<&str> {
        keys.lines().filter_map(|line| line.split(' ').nth(at)).collect()
    };
    assert_eq!(
        (keys.lines().count(), field(0).len(), field(1).len(), field(3).len()),
        (200, 200, 200, 200)
    );
    let ids: HashSet<u32> = field(0).iter().filter_map(|id| id.parse().ok()).collect();
    assert_eq!(ids, (1..=200).collect());
}

#[test]
fn every_tool_answers_in_a_fresh_root() {
    let suite = Suite::new(CONF);
    for (program, words) in [
        ("agent_control", &["-l", "--json"][..]),
        ("agent_control", &["-m", "--json"]),
        ("list_agents", &["-a", "--json"]),
        ("syscheck_control", &["-i", "000", "--json"]),
        ("rootcheck_control", &["-i", "000", "--json"]),
        ("manage_agents", &["-l", "--json"]),
    ] {
        let output = suite.program(program).args(words).output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["error"], 0, "{program}: {answer}");
    }
}
