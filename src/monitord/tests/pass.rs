//! Whole passes over trees of files that were faked to be old.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use monitord::closing::Wishes;
use monitord::daily::{Daily, Form, Part, SERIES};
use monitord::date::Date;
use monitord::keeper::{Order, pass};
use monitord::retention::Limits;
use monitord::seal::{Named, Sums, sign, text};
use monitord::stop::Stop;
use tempfile::TempDir;

const NOV: &str = "logs/alerts/2026/Nov";

fn root() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["alerts", "archives", "firewall"] {
        fs::create_dir_all(root.path().join("logs").join(folder)).unwrap();
    }
    root
}

fn put(root: &TempDir, path: &str, content: &str) -> PathBuf {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn order(day: u8) -> Order {
    let today = Date::new(2026, 11, day).unwrap();
    Order {
        today,
        last_closed: today.yesterday(),
        wishes: Wishes { sign: true, pack: Some(Form::Gzip) },
        limits: Limits::default(),
        keep_rotated: 2,
    }
}

fn run(root: &TempDir, order: &Order) {
    assert!(pass(root.path(), order, &Stop::default()));
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    let file = fs::File::open(path).unwrap();
    // What a test wrote itself is small.
    flate2::read::MultiGzDecoder::new(file).take(1 << 20).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn past_days_are_signed_and_compressed_and_today_is_left_alone() {
    let root = root();
    put(&root, "logs/alerts/2026/Oct/ossec-alerts-31.log", "october\n");
    for (day, content) in
        [("19", "nineteen\n"), ("20", "twenty\n"), ("21", "today\n"), ("22", "to come\n")]
    {
        put(&root, &format!("{NOV}/ossec-alerts-{day}.log"), content);
    }
    put(&root, &format!("{NOV}/ossec-alerts-20.json"), "{}\n");
    put(&root, &format!("{NOV}/ossec-alerts-21-1.log"), "today's part\n");
    put(&root, &format!("{NOV}/notes.txt"), "mine\n");
    put(&root, &format!("{NOV}/.ossec-alerts-20.log.gz.tmp"), "half a file of a killed process");
    run(&root, &order(21));
    let nov = root.path().join(NOV);
    let expected = [
        "notes.txt",
        "ossec-alerts-19.log.gz",
        "ossec-alerts-19.log.sum",
        "ossec-alerts-20.json.gz",
        "ossec-alerts-20.json.sum",
        "ossec-alerts-20.log.gz",
        "ossec-alerts-20.log.sum",
        "ossec-alerts-21-1.log",
        "ossec-alerts-21.log",
        "ossec-alerts-22.log",
    ];
    assert_eq!(names(&nov), expected);
    assert_eq!(gunzip(&nov.join("ossec-alerts-20.log.gz")), "twenty\n");
    let sum = fs::read_to_string(nov.join("ossec-alerts-19.log.sum")).unwrap();
    assert!(sum.contains("(/logs/alerts/2026/Oct/ossec-alerts-31.log.sum) = "), "{sum}");
    assert!(!sum.contains("none"), "{sum}");
    let before: Vec<_> = expected.iter().map(|name| fs::read(nov.join(name)).unwrap()).collect();
    run(&root, &order(21));
    let after: Vec<_> = expected.iter().map(|name| fs::read(nov.join(name)).unwrap()).collect();
    assert_eq!(before, after, "a second pass changes nothing");
}

#[test]
fn the_chain_can_be_followed_by_anybody() {
    let root = root();
    for day in 10..15 {
        put(&root, &format!("{NOV}/ossec-alerts-{day}.log"), &format!("{day}\n"));
    }
    let wishes = Wishes { sign: true, pack: None };
    run(&root, &Order { wishes, ..order(15) });
    for day in 11..15 {
        let sum = fs::read_to_string(root.path().join(format!("{NOV}/ossec-alerts-{day}.log.sum")))
            .unwrap();
        let previous = format!("/{NOV}/ossec-alerts-{}.log.sum", day - 1);
        let content = fs::read(root.path().join(&previous[1..])).unwrap();
        let sums = Sums::of(&mut &content[..], &Stop::default()).unwrap();
        let log = Sums::of(&mut format!("{day}\n").as_bytes(), &Stop::default()).unwrap();
        let current = Named { name: format!("/{NOV}/ossec-alerts-{day}.log"), sums: Some(log) };
        assert_eq!(sum, text(&current, &Named { name: previous, sums: Some(sums) }));
    }
}

#[test]
fn the_wishes_are_honoured() {
    let root = root();
    put(&root, &format!("{NOV}/ossec-alerts-20.log"), "x\n");
    let wishes = Wishes { sign: false, pack: None };
    run(&root, &Order { wishes, ..order(21) });
    assert_eq!(names(&root.path().join(NOV)), ["ossec-alerts-20.log"]);
    let wishes = Wishes { sign: false, pack: Some(Form::Zstd) };
    run(&root, &Order { wishes, ..order(21) });
    assert_eq!(names(&root.path().join(NOV)), ["ossec-alerts-20.log.zst"]);
    let mode = fs::metadata(root.path().join(NOV).join("ossec-alerts-20.log.zst"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}

#[test]
fn a_log_that_was_cut_off_while_it_was_compressed_is_finished() {
    let root = root();
    let log = put(&root, &format!("{NOV}/ossec-alerts-20.log"), "twenty\n");
    run(&root, &order(21));
    // As if it had been killed between the copy's name and the original's removal.
    fs::write(&log, "twenty\n").unwrap();
    run(&root, &order(21));
    let nov = root.path().join(NOV);
    assert_eq!(names(&nov), ["ossec-alerts-20.log.gz", "ossec-alerts-20.log.sum"]);
    assert_eq!(gunzip(&nov.join("ossec-alerts-20.log.gz")), "twenty\n");
}

#[test]
fn a_day_that_comes_again_after_the_clock_went_back_loses_nothing() {
    let root = root();
    put(&root, &format!("{NOV}/ossec-alerts-20.log"), "first\n");
    run(&root, &order(21));
    put(&root, &format!("{NOV}/ossec-alerts-20.log"), "second\n");
    run(&root, &order(21));
    run(&root, &order(21));
    let nov = root.path().join(NOV);
    assert_eq!(gunzip(&nov.join("ossec-alerts-20.log.gz")), "first\n");
    assert_eq!(gunzip(&nov.join("ossec-alerts-20-1.log.gz")), "second\n");
    assert!(nov.join("ossec-alerts-20-1.log.sum").exists());
    assert!(!nov.join("ossec-alerts-20.log").exists());
}

#[test]
fn limits_delete_the_oldest_and_empty_folders_go() {
    let root = root();
    put(&root, "logs/alerts/2025/Jan/ossec-alerts-01.log.gz", "old");
    put(&root, "logs/alerts/2025/Jan/ossec-alerts-01.log.sum", "old");
    put(&root, &format!("{NOV}/ossec-alerts-11.log.gz"), "eleven");
    put(&root, &format!("{NOV}/ossec-alerts-20.log"), "twenty");
    put(&root, &format!("{NOV}/ossec-alerts-21.log"), "today");
    let limits = Limits { keep_days: Some(10), ..Limits::default() };
    run(&root, &Order { limits, ..order(21) });
    let kept = ["ossec-alerts-20.log.gz", "ossec-alerts-20.log.sum", "ossec-alerts-21.log"];
    assert_eq!(names(&root.path().join("logs/alerts")), ["2026"]);
    assert!(kept.iter().all(|name| names(&root.path().join(NOV)).iter().any(|n| n == name)));
    assert!(
        names(&root.path().join(NOV)).contains(&"ossec-alerts-11.log.gz".to_owned()),
        "ten days"
    );
    let limits = Limits { max_bytes: Some(0), ..Limits::default() };
    run(&root, &Order { limits, ..order(21) });
    assert_eq!(names(&root.path().join(NOV)), ["ossec-alerts-20.log.sum", "ossec-alerts-21.log"]);
}

#[test]
fn links_are_neither_followed_nor_touched() {
    let root = root();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("ossec-alerts-20.log"), "mine").unwrap();
    fs::create_dir_all(root.path().join("logs/alerts/2026")).unwrap();
    symlink(outside.path(), root.path().join(NOV)).unwrap();
    fs::create_dir_all(root.path().join("logs/firewall/2026/Nov")).unwrap();
    let link = root.path().join("logs/firewall/2026/Nov/ossec-firewall-20.log");
    symlink(outside.path().join("ossec-alerts-20.log"), &link).unwrap();
    let limits = Limits { keep_days: Some(0), max_bytes: Some(0), min_free_percent: Some(90) };
    run(&root, &Order { limits, ..order(28) });
    assert_eq!(names(outside.path()), ["ossec-alerts-20.log"]);
    assert!(fs::symlink_metadata(&link).is_ok());
}

#[test]
fn rotated_logs_of_the_programs_are_bounded_in_number() {
    let root = root();
    for second in 0..4 {
        put(&root, &format!("logs/ossec.log-20261120-00000{second}"), "lines\n");
    }
    put(&root, "logs/ossec.log", "now\n");
    run(&root, &order(21));
    assert_eq!(
        names(&root.path().join("logs")),
        [
            "alerts",
            "archives",
            "firewall",
            "ossec.log",
            "ossec.log-20261120-000002",
            "ossec.log-20261120-000003"
        ]
    );
}

#[test]
fn golden_sums_of_the_original_begin_as_ours() {
    let folder = std::env::var("GOLDEN_DIR").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden").to_owned()
    });
    let Ok(tree) = fs::read_to_string(Path::new(&folder).join("host/monitord/tree.txt")) else {
        println!("skipped: no golden data in {folder}");
        return;
    };
    let recorded: Vec<(&str, &str)> =
        tree.split("\n== ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (name, content) in [("archive", "archives"), ("firewall", "firewall")] {
        let series = *SERIES.iter().find(|s| s.folder == content && s.extension == "log").unwrap();
        let root = root();
        let packed = format!("zcat {content}/2026/Nov/ossec-{name}-21.log.gz");
        let text = recorded.iter().find(|(title, _)| *title == packed).unwrap().1;
        put(
            &root,
            &format!("logs/{content}/2026/Nov/ossec-{name}-21.log"),
            &format!("{}\n", text.trim_end()),
        );
        for day in [21, 22] {
            let title = format!("{content}/2026/Nov/ossec-{name}-{day}.log.sum");
            let expected = recorded.iter().find(|(recorded, _)| *recorded == title).unwrap().1;
            let daily = Daily { date: Date::new(2026, 11, day).unwrap(), part: Part::Last, series };
            let before = Daily { date: daily.date.yesterday(), ..daily };
            sign(root.path(), daily, (day == 22).then_some(before), &Stop::default()).unwrap();
            let path = root.path().join("logs").join(&title);
            let ours = fs::read_to_string(&path).unwrap();
            compared += 1;
            if !ours.starts_with(&format!("{}\n\n", expected.trim_end())) {
                wrong.push(format!("{title}:\n{ours}\nexpected:\n{expected}"));
            }
            // The next one is chained to what the original wrote.
            fs::write(&path, format!("{}\n\n", expected.trim_end())).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(compared, 4);
}
