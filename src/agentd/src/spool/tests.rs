//! The spool against a model: what was committed is there, in order, whatever is killed or cut.

use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { bytes: 1 << 20, age: 1000 };

fn marks(upto: u64) -> [Mark<'static>; 1] {
    [Mark { name: "logcollector", stream: 0xab, upto }]
}

fn open(folder: &Path) -> Spool {
    Spool::open(folder, LIMITS).unwrap().0
}

fn put(spool: &mut Spool, events: &[&[u8]], upto: u64) {
    for event in events {
        spool.append(event, 100);
    }
    spool.commit(&marks(upto), 100).unwrap();
}

fn drain(spool: &mut Spool) -> Vec<(u64, Vec<u8>)> {
    let mut out = Vec::new();
    let mut all = Vec::new();
    while let Some(number) = spool.next(&mut out).unwrap() {
        all.push((number, out.clone()));
    }
    all
}

fn texts(spool: &mut Spool) -> Vec<String> {
    drain(spool).into_iter().map(|(_, e)| String::from_utf8(e).unwrap()).collect()
}

#[test]
fn events_come_out_in_order_and_what_is_not_confirmed_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    put(&mut spool, &[b"a", b"b", b"c"], 3);
    assert_eq!(texts(&mut spool), ["a", "b", "c"]);
    spool.confirm(1).unwrap();
    assert_eq!(spool.rewind(), 2);
    assert_eq!(texts(&mut spool), ["b", "c"]);
    drop(spool);
    let mut spool = open(dir.path());
    assert_eq!(spool.waiting(), 2);
    assert_eq!(drain(&mut spool), [(2, b"b".to_vec()), (3, b"c".to_vec())]);
}

#[test]
fn a_kill_at_any_byte_leaves_whole_batches_with_their_marks() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    let mut ends = vec![(0, 0)];
    for upto in 1..=4_u64 {
        put(&mut spool, &[format!("one {upto}").as_bytes(), b"two"], upto * 10);
        ends.push((spool.bytes(), upto));
    }
    drop(spool);
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (mut spool, found) = Spool::open(dir.path(), LIMITS).unwrap();
        let (_, batches) = ends.iter().rfind(|(len, _)| *len <= cut as u64).unwrap();
        assert_eq!(drain(&mut spool).len() as u64, batches * 2, "cut at {cut}");
        let expected = (*batches > 0).then_some(batches * 10);
        assert_eq!(
            found.get(&("logcollector".to_owned(), 0xab)).copied(),
            expected,
            "cut at {cut}"
        );
        // And it goes on from there.
        put(&mut spool, &[b"new"], 99);
        spool.rewind();
        assert_eq!(texts(&mut spool).last().unwrap(), "new", "cut at {cut}");
        for entry in fs::read_dir(dir.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn flipped_bytes_never_give_a_wrong_event() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    put(&mut spool, &[b"alpha", b"beta"], 2);
    put(&mut spool, &[b"gamma"], 3);
    drop(spool);
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bent = whole.clone();
        bent[at] ^= 0x20;
        fs::write(&path, &bent).unwrap();
        let mut spool = open(dir.path());
        let found = texts(&mut spool);
        assert!(
            ["alpha", "beta", "gamma"]
                .starts_with(&found.iter().map(String::as_str).collect::<Vec<_>>()[..])
        );
    }
}

#[test]
fn damage_that_appears_while_it_runs_is_counted_and_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    put(&mut spool, &[b"alpha", b"beta"], 2);
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[MAGIC.len() + 14] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(texts(&mut spool), [] as [&str; 0]);
    assert_eq!(spool.counts().damaged, 2);
    assert!(!spool.has_next());
}

#[test]
fn a_full_spool_says_so_and_has_room_again_when_events_are_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 100_000, age: 1000 };
    let (mut spool, _) = Spool::open(dir.path(), limits).unwrap();
    let mut number = 0;
    while spool.has_room() {
        number += 1;
        put(&mut spool, &[&[b'x'; 1000]], number);
    }
    assert!((90..=100).contains(&number), "{number}");
    assert_eq!(drain(&mut spool).len() as u64, number);
    spool.confirm(number / 2).unwrap();
    assert!(spool.has_room());
    assert!(spool.bytes() < 70_000, "{}", spool.bytes());
    let on_disk: u64 =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk < 70_100, "{on_disk}");
}

#[test]
fn what_is_too_old_is_given_up_and_counted_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    put(&mut spool, &[b"old", b"older"], 2);
    spool.confirm(1).unwrap();
    assert_eq!(spool.give_up_old(1100).unwrap(), 0);
    assert_eq!(spool.give_up_old(1101).unwrap(), 1);
    assert_eq!((spool.counts().given_up, spool.waiting()), (1, 0));
    put(&mut spool, &[b"new"], 3);
    assert_eq!(drain(&mut spool), [(3, b"new".to_vec())]);
    drop(spool);
    assert_eq!(drain(&mut open(dir.path())), [(3, b"new".to_vec())]);
}

#[test]
fn a_batch_that_cannot_be_written_stays_at_hand() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("spool");
    fs::create_dir(&folder).unwrap();
    let mut spool = open(&folder);
    spool.append(b"a", 1);
    fs::rename(&folder, dir.path().join("away")).unwrap();
    assert!(spool.commit(&marks(1), 1).is_err());
    assert!(spool.has_batch());
    assert!(!spool.has_next());
    fs::rename(dir.path().join("away"), &folder).unwrap();
    spool.commit(&marks(1), 1).unwrap();
    assert_eq!(texts(&mut spool), ["a"]);
}

#[test]
fn a_position_that_is_damaged_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    put(&mut spool, &[b"a", b"b"], 2);
    spool.confirm(1).unwrap();
    drop(spool);
    fs::write(dir.path().join("position"), "00000000000000000002 00000000\n").unwrap();
    assert_eq!(texts(&mut open(dir.path())), ["a", "b"]);
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<u16>),
    Read(usize),
    Confirm,
    Rewind,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        proptest::collection::vec(1..4000_u16, 1..5).prop_map(Step::Put),
        (1..6_usize).prop_map(Step::Read),
        Just(Step::Confirm),
        Just(Step::Rewind),
        Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_history_equals_the_model(steps in proptest::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { bytes: 64 << 10, age: 1000 };
        let mut spool = Spool::open(dir.path(), limits).unwrap().0;
        // The model: all events ever, how many were read, how many are confirmed.
        let (mut all, mut read, mut confirmed) = (Vec::<Vec<u8>>::new(), 0, 0);
        for step in steps {
            match step {
                Step::Put(sizes) => {
                    for size in sizes {
                        let fill = u8::try_from(all.len() % 251).unwrap();
                        all.push(vec![fill; usize::from(size)]);
                        spool.append(&all[all.len() - 1], 1);
                    }
                    spool.commit(&marks(all.len() as u64), 1).unwrap();
                }
                Step::Read(count) => for _ in 0..count {
                    let mut out = Vec::new();
                    let found = spool.next(&mut out).unwrap();
                    let expected = all.get(read);
                    prop_assert_eq!(found.is_some(), expected.is_some());
                    if let (Some(number), Some(event)) = (found, expected) {
                        prop_assert_eq!(number, read as u64 + 1);
                        prop_assert_eq!(&out, event);
                        read += 1;
                    }
                },
                Step::Confirm => {
                    confirmed = read;
                    spool.confirm(read as u64).unwrap();
                }
                Step::Rewind => {
                    prop_assert_eq!(spool.rewind(), (read - confirmed) as u64);
                    read = confirmed;
                }
                Step::Reopen => {
                    drop(spool);
                    spool = Spool::open(dir.path(), limits).unwrap().0;
                    read = confirmed;
                }
            }
            prop_assert_eq!(spool.waiting(), (all.len() - confirmed) as u64);
            prop_assert_eq!(spool.read(), read as u64);
        }
    }
}
