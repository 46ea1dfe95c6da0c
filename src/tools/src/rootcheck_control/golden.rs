//! The recorded outputs, on the recorded database.

use crate::agent_tools::testing::{Bench, golden, masked, transcript, words};

#[test]
fn golden_commands_print_what_was_recorded() {
    let (Some(text), Some(database)) =
        (golden("host/rootcheck/rootcheck_control.txt"), golden("host/rootcheck/db_rootcheck.txt"))
    else {
        return;
    };
    let bench = Bench::new("goldenhost", "");
    bench.put("queue/rootcheck/rootcheck", database);
    let mut failing = Vec::new();
    for (command, recorded) in transcript(&text) {
        let reply = super::run(&bench.world, &words(&command)[1..]);
        let found = format!("{}{}\n", reply.out, reply.err);
        if masked(&recorded) != masked(&found) {
            failing.push(format!("{command}\n was {recorded:?}\n got {found:?}"));
        }
    }
    assert!(failing.is_empty(), "{}", failing.join("\n"));
    assert!(!bench.path("queue/rootcheck/rootcheck").exists());
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let bench = Bench::new("h", "001 web01 any 5ec4e7\n");
    bench.put("queue/rootcheck/rootcheck", "!1795220523!1795220513 say \"x\"\n");
    for line in [
        "-l -j",
        "-i 000 -j",
        "-i 001 -r --json",
        "-i 7 -j",
        "-u 7 -j",
        "-u 000 -i 000 -j",
        "-u all -j",
    ] {
        let reply = super::run(&bench.world, &words(line));
        serde_json::from_str::<serde_json::Value>(&reply.out)
            .unwrap_or_else(|e| panic!("{line}: {e} {}", reply.out));
    }
    for line in ["-c", "-r", "-l -i 000", "", "-i 7", "-Z"] {
        assert_eq!(super::run(&bench.world, &words(line)).code, 1, "{line}");
    }
}
