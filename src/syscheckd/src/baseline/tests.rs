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
    assert!(baseline.get(b"/a").is_some() && baseline.has_told());
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
