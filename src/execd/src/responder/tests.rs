//! The daemon's work with real scripts in a temporary root, and against the recorded transcript of the original.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

/// Appends one line for each run, in one write: its arguments in brackets, its working folder, its stdin.
const SCRIPT: &str = r#"#!/bin/sh
line=
for word in "$@"; do line="$line[$word]"; done
printf '%s\n' "$line $(pwd) $(readlink /proc/self/fd/0)" >>"${0%/*}/../runs"
"#;

fn root(table: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["etc/shared", "active-response/bin", "queue/execd"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    fs::write(root.path().join(TABLE), table).unwrap();
    add_script(root.path(), "test-ar.sh", SCRIPT);
    root
}

fn add_script(root: &Path, name: &str, text: &str) {
    let path = root.join(SCRIPTS).join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o750)).unwrap();
}

fn open(root: &TempDir) -> Responder {
    Responder::open(root.path(), Duration::from_secs(30)).unwrap()
}

/// Lets every script that is due end.
fn finish(responder: &mut Responder) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        responder.turn();
        if responder.runner.unfinished() == 0
            && responder.time_to_next_turn() != Some(Duration::ZERO)
        {
            return;
        }
        assert!(Instant::now() < deadline, "scripts did not end");
        std::thread::yield_now();
    }
}

fn stop(responder: &mut Responder) {
    responder.begin_to_take_all_back();
    while responder.takes_back() {
        responder.turn();
        responder.begin_to_take_all_back();
        std::thread::yield_now();
    }
}

fn runs(root: &TempDir) -> Vec<String> {
    let path = root.path().join("active-response/runs");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    text.lines().map(str::to_owned).collect()
}

fn arguments(run: &str) -> &str {
    run.split(' ').next().unwrap_or_default()
}

fn balanced(accounts: &Accounts) -> bool {
    let ended = accounts.forwarded + accounts.filtered + accounts.pending;
    let dropped = accounts.dropped_malformed + accounts.dropped_unknown + accounts.dropped_full;
    accounts.received == ended + dropped
}

#[test]
fn a_response_is_taken_back_when_its_time_is_over_and_not_before() {
    let root = root("t10 - test-ar.sh - 10\n");
    let mut responder = open(&root);
    responder.receive(b"t10 - 10.1.1.1 1.1 5716 web->/var/log/auth.log -");
    finish(&mut responder);
    let expected = "[add][-][10.1.1.1][1.1][5716][web->/var/log/auth.log][-] / /dev/null";
    assert_eq!(runs(&root), [expected]);
    let left = responder.time_to_next_turn().unwrap();
    assert!(left > Duration::from_secs(5) && left <= Duration::from_secs(10), "{left:?}");
    responder.ahead = Duration::from_secs(10);
    assert_eq!(responder.time_to_next_turn(), Some(Duration::ZERO));
    finish(&mut responder);
    assert_eq!(runs(&root), [expected.replace("add", "delete")]);
    assert_eq!(responder.time_to_next_turn(), None);
}

#[test]
fn what_was_in_force_when_execd_was_killed_is_taken_back_by_the_next_one() {
    let root = root("t10 - test-ar.sh - 10\nt600 - test-ar.sh - 600\n");
    let mut responder = open(&root);
    responder.receive(b"t600 - 10.1.1.1 1.1 1 l -");
    finish(&mut responder);
    runs(&root);
    // Killed here: nothing of the first responder runs any more. An hour passes.
    drop(responder);
    let journal = fs::read_to_string(root.path().join(JOURNAL)).unwrap();
    let due = journal.split(' ').nth(2).unwrap();
    let hour_ago = (due.parse::<u64>().unwrap() - 3600).to_string();
    fs::write(root.path().join(JOURNAL), journal.replace(due, &hour_ago)).unwrap();

    let mut next = open(&root);
    assert_eq!(next.in_force(), 1);
    finish(&mut next);
    assert_eq!(arguments(&runs(&root)[0]), "[delete][-][10.1.1.1][1.1][1][l][-]");
    drop(next);
    assert_eq!(open(&root).in_force(), 0);
}

#[test]
fn an_order_is_on_disk_before_its_script_runs() {
    let root = root("t10 - look.sh - 10\n");
    add_script(
        root.path(),
        "look.sh",
        "#!/bin/sh\ncp \"${0%/*}/../../queue/execd/pending\" \"${0%/*}/../seen\"\n",
    );
    let mut responder = open(&root);
    responder.receive(b"t10 - 10.1.1.1 1.1 1 l -");
    finish(&mut responder);
    let seen = fs::read_to_string(root.path().join("active-response/seen")).unwrap();
    assert!(seen.contains(" look.sh - 10.1.1.1 1.1 1 l -\n"), "{seen}");
}

#[test]
fn a_clock_that_was_set_back_does_not_prolong_a_block() {
    let root = root("");
    let far = epoch() + 1_000_000;
    fs::write(root.path().join(JOURNAL), format!("hold 4 {far} 60 test-ar.sh - 10.1.1.1 1.1\n"))
        .unwrap();
    let responder = open(&root);
    assert!(responder.time_to_next_turn().unwrap() <= Duration::from_secs(60));
}

#[test]
fn a_script_that_could_not_be_started_leaves_nothing_to_take_back() {
    let root = root("t10 - open.sh - 10\n");
    add_script(root.path(), "open.sh", SCRIPT);
    let open_to_all = fs::Permissions::from_mode(0o777);
    fs::set_permissions(root.path().join(SCRIPTS).join("open.sh"), open_to_all).unwrap();
    let mut responder = open(&root);
    responder.receive(b"t10 - 10.1.1.1 1.1 1 l -");
    finish(&mut responder);
    assert_eq!((responder.in_force(), responder.accounts().failed_scripts), (0, 1));
    drop(responder);
    assert_eq!(open(&root).in_force(), 0);
}

#[test]
fn ar_conf_is_read_again_when_it_has_changed() {
    let root = root("a0 - test-ar.sh - 0\n");
    let mut responder = open(&root);
    responder.receive(b"b0 - 10.1.1.1 1.1 1 l -");
    assert_eq!(responder.accounts().dropped_unknown, 1);
    fs::write(root.path().join(TABLE), "a0 - test-ar.sh - 0\nb0 - test-ar.sh - 0\n").unwrap();
    responder.receive(b"b0 - 10.1.1.1 1.1 1 l -");
    finish(&mut responder);
    assert_eq!(runs(&root).len(), 1);
}

#[test]
fn a_flood_is_bounded_and_every_order_is_accounted_for() {
    let root = root("a0 - test-ar.sh - 0\n");
    let mut responder = open(&root);
    for i in 0..3000 {
        responder.receive(format!("a0 - 10.{}.{}.1 1.1 1 l -", i / 256, i % 256).as_bytes());
    }
    let accounts = responder.accounts().clone();
    assert!(accounts.dropped_full > 0 && accounts.pending > 0);
    assert!(balanced(&accounts), "{accounts:?}");
}

#[test]
fn hostile_datagrams_are_counted_and_never_run_anything() {
    let root = root("a0 - test-ar.sh - 0\n");
    let mut responder = open(&root);
    let order = b"a0 - 10.1.1.1 1.1 5716 web->/var/log/auth.log -";
    let mut seed = 11u32;
    let mut sent = 0;
    for round in 0..5000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut bytes = order.to_vec();
        bytes.truncate((seed >> 4) as usize % (order.len() + 1));
        if let Some(byte) = bytes.first_mut() {
            *byte = b'z'.wrapping_add((round % 200) as u8);
        }
        responder.receive(&bytes);
        sent += 1;
    }
    finish(&mut responder);
    assert_eq!(responder.accounts().received, sent);
    assert!(balanced(responder.accounts()), "{:?}", responder.accounts());
}

/// The transcript: what was sent, when the clock was turned, and which runs of the script followed.
enum Step {
    Send(String),
    Turn(Duration),
    Stop,
}

fn steps(transcript: &str) -> Vec<(Step, Vec<String>)> {
    let mut steps: Vec<(Step, Vec<String>)> = Vec::new();
    for line in transcript.lines() {
        if let Some(message) = line.strip_prefix(">>> '").and_then(|rest| rest.strip_suffix('\'')) {
            steps.push((Step::Send(message.to_owned()), Vec::new()));
        } else if let Some(rest) = line.strip_prefix("--- clock +") {
            let seconds = rest.split('s').next().unwrap().parse().unwrap();
            steps.push((Step::Turn(Duration::from_secs(seconds)), Vec::new()));
        } else if line.starts_with("--- SIGTERM") {
            steps.push((Step::Stop, Vec::new()));
        } else if line.starts_with("argc=") {
            steps.last_mut().unwrap().1.push(String::new());
        } else if let Some(argument) = line.strip_prefix("  arg=") {
            steps.last_mut().unwrap().1.last_mut().unwrap().push_str(argument);
        }
    }
    steps
}

#[test]
fn golden_the_transcript_of_the_original_is_followed() {
    let golden = std::env::var("GOLDEN_DIR")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden").into());
    let folder = Path::new(&golden).join("host/execd");
    let Ok(transcript) = fs::read_to_string(folder.join("transcript.txt")) else {
        println!("skipped: no transcript in {}", folder.display());
        return;
    };
    let root = root(&fs::read_to_string(folder.join("ar.conf")).unwrap());
    let mut responder = open(&root);
    responder.set_repeated_offenders(&[30, 60, 120]);
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for (number, (step, mut expected)) in steps(&transcript).into_iter().enumerate() {
        match step {
            // The original looks at its timers only when the next message comes: compare after that one.
            Step::Turn(by) => {
                responder.ahead += by;
                continue;
            }
            Step::Send(message) => responder.receive(message.as_bytes()),
            Step::Stop => stop(&mut responder),
        }
        finish(&mut responder);
        seen.extend(runs(&root).iter().map(|run| arguments_of(run)));
        seen.sort();
        expected.sort();
        if seen != expected {
            wrong.push(format!("step {number}: expected {expected:?}, ran {seen:?}"));
        }
        seen.clear();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let accounts = responder.accounts();
    assert_eq!((accounts.dropped_malformed, accounts.dropped_unknown), (2, 2), "{accounts:?}");
    assert!(balanced(accounts), "{accounts:?}");
}

fn arguments_of(run: &str) -> String {
    run.strip_suffix(" / /dev/null").unwrap_or(run).to_owned()
}
