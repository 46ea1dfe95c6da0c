//! Killed at any moment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::{Bench, moment, settings, thorough, watcher};

/// Not a test of its own: what the killed process of a test does.
#[test]
fn child_watches_until_it_is_killed() {
    let Some(home) = std::env::var_os("WATCHED_HOME") else { return };
    let home = PathBuf::from(home);
    let realtime = std::env::var_os("WATCHED_REALTIME").is_some();
    let mut watcher = watcher(&home.join("root"), &settings(&home, thorough(realtime)));
    println!("\nready");
    loop {
        assert!(watcher.turn(&moment()));
        watcher.wait(None);
    }
}

pub(crate) fn spawn_child(bench: &Bench, realtime: bool) -> Child {
    let program = Command::new(std::env::current_exe().unwrap());
    spawn_child_by(program, bench, realtime).unwrap()
}

/// By a command that runs this very program; `None` when it does not.
pub(crate) fn spawn_child_by(mut program: Command, bench: &Bench, realtime: bool) -> Option<Child> {
    let mut child = program
        .envs(realtime.then_some(("WATCHED_REALTIME", "1")))
        .args(["--exact", "killed::child_watches_until_it_is_killed", "--nocapture"])
        .env("WATCHED_HOME", bench.home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let is_ready = output.lines().any(|line| line.is_ok_and(|line| line == "ready"));
    if is_ready {
        return Some(child);
    }
    child.wait().unwrap();
    None
}

#[test]
fn killed_again_and_again_it_tells_every_file_exactly_once() {
    let bench = Bench::new(false);
    for number in 0..3000 {
        bench.write(&format!("sub/file{number}"), &number.to_string());
    }
    let mut told = BTreeMap::<String, u32>::new();
    let end = Instant::now() + Duration::from_secs(120);
    let mut rounds = 0_u64;
    while told.len() < 3003 {
        assert!(Instant::now() < end, "{} of 3003 told in {rounds} rounds", told.len());
        let mut child = spawn_child(&bench, false);
        // Killed after another hundred or so were heard, or when it has nothing more to say.
        let (before, idle) = (told.len(), Instant::now() + Duration::from_secs(3));
        while told.len() < before + 100 && told.len() < 3003 && Instant::now() < idle {
            for (name, (there, gone)) in bench.told() {
                assert_eq!(gone, 0, "{name}");
                *told.entry(name).or_default() += there;
            }
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        rounds += 1;
    }
    assert!(rounds > 1, "killed at least once on the way");
    let more_than_once: Vec<_> = told.iter().filter(|(_, times)| **times != 1).collect();
    assert!(more_than_once.is_empty(), "{more_than_once:?}");
}
