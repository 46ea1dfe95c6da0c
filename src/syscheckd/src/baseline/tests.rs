//! Tests: told, acknowledged, killed, damaged.

use super::*;

fn record(size: u64) -> Record {
    let attributes = fim::Attributes { size: Some(size), ..fim::Attributes::default() };
    let attributes = fim::Attributes::decode(&attributes.encode()).unwrap();
    Record { attributes, mark: Mark { stamp: size, read_at: 5, options: 6 } }
}

fn opened(folder: &tempfile::TempDir, ended: u64) -> Baseline {
    let mut baseline = Baseline::open(folder.path()).unwrap();
    baseline.settle(ended).unwrap();
    baseline
}

#[test]
fn what_was_acknowledged_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    baseline.tell(1, b"/a", Some(record(1)));
    baseline.tell(2, b"/b", Some(record(2)));
    baseline.tell(3, b"/b", None);
    baseline.acknowledged(3);
    baseline.flush().unwrap();
    let stream = baseline.stream();
    drop(baseline);

    let baseline = opened(&folder, 3);

    assert_eq!((baseline.get(b"/a"), baseline.get(b"/b")), (Some(record(1)), None));
    assert_eq!((baseline.stream(), baseline.len()), (stream, 1));
}

#[test]
fn after_a_kill_the_manager_says_how_far_it_came() {
    for ended in 0..=4 {
        let folder = tempfile::tempdir().unwrap();
        let mut baseline = opened(&folder, 0);
        baseline.tell(1, b"/a", Some(record(1)));
        baseline.flush().unwrap();
        baseline.tell(2, b"/b", Some(record(2)));
        baseline.tell(3, b"/a", Some(record(3)));
        baseline.flush().unwrap();
        baseline.tell(4, b"/a", None);
        baseline.flush().unwrap();
        drop(baseline);

        let baseline = opened(&folder, ended);

        let a = [None, Some(1), Some(1), Some(3), None][ended as usize].map(record);
        assert_eq!(baseline.get(b"/a"), a, "{ended}");
        assert_eq!(baseline.get(b"/b").is_some(), ended >= 2);
    }
}

#[test]
fn what_was_not_flushed_is_known_until_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    baseline.tell(1, b"/a", Some(record(1)));
    assert!(baseline.get(b"/a").is_some() && baseline.told() == 1);
    drop(baseline);
    assert!(opened(&folder, 0).is_empty());
}

#[test]
fn a_manager_that_forgot_the_stream_gets_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    baseline.tell(1, b"/a", Some(record(1)));
    baseline.acknowledged(1);
    baseline.flush().unwrap();
    let stream = baseline.stream();
    drop(baseline);

    let mut baseline = Baseline::open(folder.path()).unwrap();

    assert_eq!(baseline.settle(0).unwrap(), 0);
    assert_ne!(baseline.stream(), stream);
    assert_eq!(baseline.get(b"/a"), Some(record(1)));
    let stream = baseline.stream();
    drop(baseline);
    assert_eq!(Baseline::open(folder.path()).unwrap().stream(), stream);
}

#[test]
fn a_mark_is_not_news() {
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    baseline.tell(1, b"/a", Some(record(1)));
    baseline.acknowledged(1);
    baseline.flush().unwrap();
    let newer = Mark { stamp: 9, ..record(1).mark };
    baseline.mark(b"/a", newer);
    baseline.mark(b"/unknown", newer);
    baseline.flush().unwrap();
    drop(baseline);
    let baseline = opened(&folder, 1);
    assert_eq!(baseline.get(b"/a"), Some(Record { mark: newer, ..record(1) }));
    assert_eq!(baseline.len(), 1);
}

#[test]
fn a_file_that_is_damaged_or_foreign_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("baseline.redb");
    drop(opened(&folder, 0));
    let whole = fs::read(&path).unwrap();
    for bytes in [b"not a database".to_vec(), whole[..whole.len() / 2].to_vec(), vec![0; 8192]] {
        fs::write(&path, &bytes).unwrap();
        assert!(opened(&folder, 0).is_empty());
        assert_eq!(fs::read(folder.path().join("baseline.damaged")).unwrap(), bytes);
    }
}

#[test]
fn a_reader_sees_folders_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    for (number, path) in
        [&b"/a"[..], b"/a.txt", b"/a/b", b"/a/c/d", b"/ab", b"/b"].iter().enumerate()
    {
        baseline.tell(number as u64 + 1, path, Some(record(1)));
    }
    baseline.flush().unwrap();
    let reader = baseline.reader().unwrap();
    baseline.tell(7, b"/a/new", Some(record(1)));
    baseline.flush().unwrap();
    let names =
        |folder: &[u8]| reader.folder(folder).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(b"/a"), [b"b"]);
    assert_eq!(names(b"/"), [&b"a"[..], b"a.txt", b"ab", b"b"]);
    assert_eq!(reader.folders_below(b"/a"), [b"/a".to_vec(), b"/a/c".to_vec()]);
    assert_eq!(reader.folders_below(b"/").len(), 3);
    assert_eq!(reader.file(b"/a/c/d"), Some(record(1).mark));
    assert_eq!((reader.file(b"/a/new"), reader.file(b"/c/x")), (None, None));
    let mut count = 0;
    baseline.each(|_, _| count += 1).unwrap();
    assert_eq!(count, 7);
}

#[test]
fn other_things_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    baseline.remember("scan", b"/usr");
    baseline.flush().unwrap();
    drop(baseline);
    let mut baseline = opened(&folder, 0);
    assert_eq!(baseline.recall("scan"), Some(b"/usr".to_vec()));
    baseline.remember("scan", b"");
    baseline.flush().unwrap();
    assert_eq!(baseline.recall("scan"), None);
}

#[test]
fn the_undo_of_what_has_arrived_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    for number in 1..=100 {
        baseline.tell(number, b"/a", Some(record(number)));
        baseline.flush().unwrap();
        baseline.acknowledged(number);
    }
    baseline.flush().unwrap();
    assert_eq!(baseline.read(|tables| Ok(tables.undo.len()?)).unwrap(), 0);
    assert!(!baseline.is_dirty());
}

#[test]
fn a_folder_goes_with_its_last_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    let tell = |baseline: &mut Baseline, number, path: &[u8], there: bool| {
        baseline.tell(number, path, there.then(|| record(number)));
    };
    for (number, path) in [&b"/a/1"[..], b"/a/2", b"/b/1", b"/c/1"].into_iter().enumerate() {
        tell(&mut baseline, number as u64 + 1, path, true);
    }
    baseline.flush().unwrap();
    tell(&mut baseline, 5, b"/a/1", false);
    tell(&mut baseline, 6, b"/b/1", false);
    // Gone and there again in one batch, and never there.
    tell(&mut baseline, 7, b"/c/1", false);
    tell(&mut baseline, 8, b"/c/2", true);
    tell(&mut baseline, 9, b"/d/1", false);
    baseline.flush().unwrap();
    let folders = |baseline: &Baseline| baseline.reader().unwrap().folders_below(b"/");
    assert_eq!(folders(&baseline), [b"/a", b"/c"]);
    drop(baseline);

    // Numbers of folders that are there are not given again.
    let mut baseline = opened(&folder, 9);
    tell(&mut baseline, 10, b"/e/2", true);
    baseline.flush().unwrap();
    assert_eq!(folders(&baseline), [b"/a", b"/c", b"/e"]);
    for (path, number) in [(b"/a/2", 2), (b"/c/2", 8), (b"/e/2", 10)] {
        assert_eq!(baseline.get(path), Some(record(number)));
    }
}

#[test]
fn an_undone_file_has_its_folder_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    baseline.tell(1, b"/a/1", Some(record(1)));
    baseline.acknowledged(1);
    baseline.flush().unwrap();
    baseline.tell(2, b"/a/1", None);
    baseline.flush().unwrap();
    drop(baseline);
    assert_eq!(opened(&folder, 1).get(b"/a/1"), Some(record(1)));
}

#[test]
fn a_file_that_another_has_open_is_not_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let baseline = opened(&folder, 0);
    let error = Baseline::open(folder.path()).err().expect("it is open");
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert!(!folder.path().join("baseline.damaged").exists());
    drop(baseline);
    opened(&folder, 0);
}

/// In a process of its own: the limit on the size of files is one process's.
#[test]
fn a_full_disk_is_waited_for() {
    const ALONE: &str = "BASELINE_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let status = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "baseline::tests::a_full_disk_is_waited_for"])
            .env(ALONE, "1")
            .status();
        return assert!(status.unwrap().success());
    }
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    baseline.tell(1, b"/early", Some(record(1)));
    baseline.acknowledged(1);
    baseline.flush().unwrap();
    let reader = baseline.reader().unwrap();
    let path = folder.path().join("baseline.redb");
    limit_files_to(Some(fs::metadata(&path).unwrap().len()));
    let mut last = 1;
    while baseline.flush().is_ok() {
        for _ in 0..1000 {
            last += 1;
            let path = format!("/folder/{last}/{}", "x".repeat(200));
            baseline.tell(last, path.as_bytes(), Some(record(last)));
        }
    }

    assert_eq!(baseline.get(b"/early"), Some(record(1)), "it can still be read");
    assert_eq!(baseline.get(b"/never"), None);
    // What an older reader still knows is chance; it does no harm.
    reader.folders_below(b"/");
    baseline.flush().expect_err("still full");
    assert!(baseline.reader().unwrap().file(b"/early").is_some());

    limit_files_to(None);
    baseline.flush().unwrap();
    drop(baseline);
    let mut baseline = Baseline::open(folder.path()).unwrap();
    assert_eq!(baseline.len() as u64, last);
    // What was sent meanwhile and has not arrived is undone all the same.
    baseline.settle(10).unwrap();
    assert_eq!(baseline.len(), 10);
}

fn limit_files_to(bytes: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
}

#[test]
fn what_was_written_after_a_look_is_seen_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    baseline.tell(1, b"/a", Some(record(1)));
    baseline.flush().unwrap();
    for (number, size) in [(2, Some(2)), (3, None), (4, Some(4))] {
        assert!(baseline.get(b"/b").is_none());
        baseline.tell(number, b"/a", size.map(record));
        baseline.flush().unwrap();
        assert_eq!((baseline.get(b"/a"), baseline.told()), (size.map(record), 0));
    }
}

#[test]
fn a_compacted_baseline_is_small() {
    const FILES: u32 = 30_000;
    let folder = tempfile::tempdir().unwrap();
    let mut baseline = opened(&folder, 0);
    let digest = |n: u32| *blake3::hash(&n.to_le_bytes()).as_bytes();
    for n in 0..FILES {
        let attributes = fim::Attributes { sha256: Some(digest(n)), ..record(4096).attributes };
        let path = format!("/tree/d{:02}/f{n:06}", n / 1000);
        baseline.tell(u64::from(n) + 1, path.as_bytes(), Some(Record { attributes, ..record(1) }));
        if n % 3000 == 0 {
            baseline.flush().unwrap();
            baseline.acknowledged(u64::from(n));
        }
    }
    baseline.flush().unwrap();
    baseline.acknowledged(FILES.into());
    baseline.flush().unwrap();
    assert!(baseline.get(b"/tree/d00/f000000").is_some());

    baseline.compact();

    let bytes = fs::metadata(folder.path().join("baseline.redb")).unwrap().blocks() * 512;
    assert!(bytes < u64::from(FILES) * 100, "{bytes}");
    assert_eq!(baseline.len(), FILES as usize);
}
