//! The recorded outputs, on the recorded database.

use crate::agent_tools::testing::{Bench, golden, masked, transcript, words};

const FOLDER: &str = "host/syscheck-intended/scheduled";

#[test]
fn golden_commands_print_what_was_recorded() {
    let (Some(text), Some(database)) = (
        golden(&format!("{FOLDER}/syscheck_control.txt")),
        golden(&format!("{FOLDER}/db_syscheck.txt")),
    ) else {
        return;
    };
    let bench = Bench::new("goldenhost", "");
    bench.put("queue/syscheck/syscheck", database);
    bench.put("queue/syscheck/.syscheck.cpt", "#!X");
    let mut failing = Vec::new();
    for (command, recorded) in transcript(&text) {
        let Some(line) = command.strip_prefix("syscheck_control ") else { continue };
        let reply = super::run(&bench.world, &words(line));
        let found = format!("{}{}\n", reply.out, reply.err);
        // Our help has words of its own.
        let sentence =
            |text: &str| text.split("\n\nOSSEC HIDS syscheck_control: ").next().map(str::to_owned);
        let is_same = match reply.code {
            1 if reply.err.is_empty() => sentence(&recorded)
                .is_some_and(|recorded| found.starts_with(&format!("{recorded}\n"))),
            _ => masked(&recorded) == masked(&found),
        };
        if !is_same {
            failing.push(format!("{command}\n was {recorded:?}\n got {found:?}"));
        }
    }
    assert!(failing.is_empty(), "{}", failing.join("\n"));
    let left: Vec<_> = std::fs::read_dir(bench.path("queue/syscheck")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_counter_is_reset_and_a_file_ignored_in_the_database_itself() {
    let bench = Bench::new("h", "001 web01 any k\n");
    let name = "queue/syscheck/(web01) any->syscheck";
    bench.put(name, "#++1:33188:0:0:a:b:c !1 /etc/x\n!!+2:33188:0:0:a:b:c !2 /etc/x\n!++1:33188:0:0:a:b:c !1 /etc/y\n");
    let run = |line: &str| super::run(&bench.world, &words(line)).out;
    let flags = || {
        std::fs::read_to_string(bench.path(name))
            .unwrap()
            .lines()
            .map(|l| l[..3].to_owned())
            .collect::<Vec<_>>()
    };
    assert!(run("-i 001 -f /etc/x -z").ends_with("**Counter updated for file '/etc/x'\n\n"));
    assert_eq!(flags(), ["#++", "+++", "!++"]);
    assert!(run("-i 001 -f /etc/ -d").contains("**Ignoring file '/etc/y'"));
    assert_eq!(flags(), ["#++", "!!?", "!!?"]);
    assert!(run("-i 001").contains(",ignored - /etc/y"));
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let bench = Bench::new("h", "001 web01 any 5ec4e7\n");
    bench.put("queue/syscheck/syscheck", "!++1:33188:0:0:a:b:c !1 /a\"b\n");
    for line in [
        "-l -j",
        "-i 000 -j",
        "-i 000 -f a -j",
        "-i 7 -j",
        "-u 7 -j",
        "-u 001 -r -j",
        "-u all --json",
        "-i 000 -f a -z -j",
    ] {
        let reply = super::run(&bench.world, &words(line));
        serde_json::from_str::<serde_json::Value>(&reply.out)
            .unwrap_or_else(|e| panic!("{line}: {e} {}", reply.out));
    }
    for line in ["-c", "-r", "-f x", "-z -i 000", "-l -i 000", "x", "", "-i 7"] {
        assert_eq!(super::run(&bench.world, &words(line)).code, 1, "{line}");
    }
}
