//! Golden: messages that the original's agent sent, and what its manager made of them (alert texts, values, database).

use super::*;
use std::fs;

/// One step's messages, in order.
struct Step {
    name: String,
    messages: Vec<Vec<u8>>,
}

fn folder(scenario: &str) -> Option<PathBuf> {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
    let golden = std::env::var_os("GOLDEN_DIR").map_or(PathBuf::from(fallback), PathBuf::from);
    let folder = golden.join("host/syscheck-intended").join(scenario);
    if !folder.is_dir() {
        println!("skipped: no golden data at {}", folder.display());
        return None;
    }
    Some(folder)
}

fn lines_of_json(path: PathBuf) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn steps(folder: &Path) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for row in lines_of_json(folder.join("queue_messages.jsonl")) {
        let name = row["step"].as_str().unwrap();
        if steps.last().is_none_or(|last| last.name != name) {
            steps.push(Step { name: name.to_owned(), messages: Vec::new() });
        }
        if let Some(message) = row["msg"].as_str().unwrap().strip_prefix("8:syscheck:") {
            steps.last_mut().unwrap().messages.push(message.as_bytes().to_vec());
        }
    }
    steps
}

/// An event as the golden `alerts.json` shows it: text and `SyscheckFile`.
fn as_json(event: &FimEvent) -> (String, serde_json::Value) {
    let mut file = serde_json::Map::new();
    let mut put = |key: &str, value: &Option<Vec<u8>>| {
        if let Some(value) = value {
            file.insert(key.to_owned(), String::from_utf8_lossy(value).into());
        }
    };
    put("path", &Some(event.path.clone()));
    for (when, values) in [("before", &event.before), ("after", &event.after)] {
        put(&format!("md5_{when}"), &values.md5);
        put(&format!("sha1_{when}"), &values.sha1);
        put(&format!("sha256_{when}"), &values.sha256);
        put(&format!("owner_{when}"), &values.owner);
        put(&format!("gowner_{when}"), &values.group);
    }
    for (when, values) in [("before", &event.before), ("after", &event.after)] {
        if let Some(mode) = values.mode {
            file.insert(format!("perm_{when}"), mode.into());
        }
    }
    (String::from_utf8_lossy(&event.text).into_owned(), file.into())
}

fn rule_of(kind: FimKind) -> i64 {
    match kind {
        FimKind::Changed => 550,
        FimKind::ChangedAgain => 551,
        FimKind::ChangedThird => 552,
        FimKind::Deleted => 553,
        FimKind::New | FimKind::ReAdded => 554,
    }
}

/// Compares events with the first alerts of the golden file; collects what differs.
fn compare_alerts(events: &[FimEvent], folder: &Path, failures: &mut Vec<String>) {
    let alerts = lines_of_json(folder.join("alerts.json"));
    for (at, event) in events.iter().enumerate() {
        let (text, file) = as_json(event);
        let Some(alert) = alerts.get(at) else {
            failures.push(format!("alert {} more than recorded: {text}", at + 1));
            continue;
        };
        let same = alert["full_log"] == *text
            && alert["SyscheckFile"] == file
            && alert["rule"]["sidid"] == rule_of(event.kind);
        if !same {
            failures.push(format!("alert {}:\n  was {alert}\n  got {text}\n  {file}", at + 1));
        }
    }
}

/// Database lines with their time masked.
fn masked(database: &str) -> Vec<String> {
    let mask = |line: &str| match line.split_once(" !") {
        Some((head, rest)) => {
            let path = rest.split_once(' ').map_or("", |(_, path)| path);
            format!("{head} !EPOCH {path}")
        }
        None => line.to_owned(),
    };
    database.lines().map(mask).collect()
}

struct Replay {
    root: tempfile::TempDir,
    store: FimStore,
    events: Vec<FimEvent>,
}

impl Replay {
    fn new(policy: Policy) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("queue/syscheck");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir(root.path().join("logs")).unwrap();
        let store = FimStore::open(&folder, policy).unwrap();
        Self { root, store, events: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("queue/syscheck").join(name)
    }

    fn step(&mut self, step: &Step) {
        for message in &step.messages {
            match self.store.process(b"syscheck", message, 1_795_220_000).unwrap() {
                Outcome::Event(event) => self.events.push(*event),
                Outcome::Events(events) => self.events.extend(events),
                Outcome::Swallowed(_) => {}
                Outcome::Invalid(reason) => panic!("{}: refused: {reason}", step.name),
            }
        }
        self.store.flush().unwrap();
    }

    fn database(&self) -> Vec<String> {
        masked(&fs::read_to_string(self.path("syscheck")).unwrap())
    }
}

#[test]
fn golden_realtime_messages_give_the_recorded_alerts_and_databases() {
    let Some(folder) = folder("realtime") else { return };
    let snapshots = fs::read_to_string(folder.join("db_snapshots.txt")).unwrap();
    let policy = Policy {
        auto_ignore: false,
        alert_new_files: true,
        alert_first_scan: true,
        ..Policy::default()
    };
    let mut replay = Replay::new(policy);
    let mut failures = Vec::new();
    let mut steps = steps(&folder).into_iter().peekable();
    for snapshot in snapshots.split("--- after ").filter(|text| !text.is_empty()) {
        let (name, lines) = snapshot.split_once('\n').unwrap();
        // Names begin with a two-digit number.
        while let Some(step) = steps.next_if(|step| step.name[..2] <= name[..2]) {
            replay.step(&step);
        }
        if replay.database() != masked(lines) {
            failures.push(format!("database after {name}:\n{:#?}", replay.database()));
        }
    }
    assert!(steps.next().is_none(), "every step has its snapshot");
    compare_alerts(&replay.events, &folder, &mut failures);
    assert_eq!(replay.events.len(), lines_of_json(folder.join("alerts.json")).len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Steps 19 and 20 are in maintenance: enabled before 19, its end asked for after it.
#[test]
fn golden_scheduled_messages_give_the_recorded_alerts_and_database() {
    let Some(folder) = folder("scheduled") else { return };
    let ignore = vec![b".tmp$".to_vec(), b"/srv/fimdemo2/sched/ign".to_vec()];
    let policy = Policy {
        auto_ignore: true,
        alert_new_files: true,
        alert_first_scan: true,
        ignore,
        ..Policy::default()
    };
    let mut replay = Replay::new(policy);
    let marker = replay.path(".syscheck.maint");
    let mut failures = Vec::new();
    for step in &steps(&folder) {
        match &step.name[..2] {
            "19" => fs::write(
                &marker,
                "#!maint\nenabled_at=1795220000\npending_end=0\nsilent_updates=0\n",
            )
            .unwrap(),
            "20" => {
                let text = fs::read_to_string(&marker).unwrap();
                assert!(text.contains("silent_updates=3"), "{text}");
                fs::write(&marker, text.replace("pending_end=0", "pending_end=1")).unwrap();
            }
            _ => (),
        }
        replay.step(step);
    }
    assert!(!marker.exists(), "maintenance ends with the scan");
    compare_alerts(&replay.events, &folder, &mut failures);
    assert_eq!(replay.events.len(), lines_of_json(folder.join("alerts.json")).len());

    let recorded = masked(&fs::read_to_string(folder.join("db_syscheck.txt")).unwrap());
    let found = replay.database();
    if found != recorded {
        failures.push(format!("database: {found:#?}"));
    }
    let without_times = |path: PathBuf| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.get(20..).unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(
        without_times(replay.root.path().join("logs/fim_maintenance.log")),
        without_times(folder.join("fim_maintenance.log"))
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
