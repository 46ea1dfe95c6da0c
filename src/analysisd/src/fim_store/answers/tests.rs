//! A host of our kind, and a baseline that does not agree with it.

use std::collections::BTreeMap;

use fim::digest::{Answer, Buckets, Collector, Request, bucket};

use super::super::{FimKind, FimStore, Outcome, Policy, Reason};

const A: &str = "4:33188:0:0:aa:bb:cc";
const B: &str = "5:33188:0:0:dd:ee:ff";
const WEB: &[u8] = b"(web01) any->syscheck";

/// The host, as it answers; and the manager's store.
struct Bench {
    _folder: tempfile::TempDir,
    store: FimStore,
    files: BTreeMap<String, &'static str>,
    now: i64,
    events: Vec<(FimKind, String)>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ignore = vec![b"/ignored".to_vec()];
        let policy = Policy { alert_new_files: true, resync: true, ignore, ..Policy::default() };
        let store = FimStore::open(folder.path(), policy).unwrap();
        Self { _folder: folder, store, files: BTreeMap::new(), now: 1000, events: Vec::new() }
    }

    fn say(&mut self, message: &[u8]) -> Outcome {
        let outcome = self.store.process(WEB, message, self.now).unwrap();
        let mut tell = |event: &super::super::FimEvent| {
            self.events.push((event.kind, String::from_utf8(event.path.clone()).unwrap()));
        };
        match &outcome {
            Outcome::Event(event) => tell(event),
            Outcome::Events(events) => events.iter().for_each(tell),
            Outcome::Swallowed(_) => (),
            Outcome::Invalid(why) => panic!("{why}"),
        }
        self.store.flush().unwrap();
        outcome
    }

    /// A file appears or changes on the host, and the manager hears of it or not.
    fn file(&mut self, path: &str, sum: &'static str, heard: bool) {
        self.files.insert(path.to_owned(), sum);
        if heard {
            self.say(format!("{sum} {path}").as_bytes());
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Digest => {
                let mut collector = Collector::default();
                for (path, sum) in &self.files {
                    collector.add(path.as_bytes(), sum.as_bytes());
                }
                self.say(&collector.finish().to_message());
            }
            Request::Resend(buckets) => buckets.iter().for_each(|bucket| self.list(bucket)),
        }
    }

    fn list(&mut self, of: u8) {
        self.say(&Answer::Begin(of).to_message());
        let files = self.files.clone();
        let mut count = 0;
        for (path, sum) in files.iter().filter(|(path, _)| bucket(path.as_bytes()) == of) {
            self.say(format!("{sum} {path}").as_bytes());
            count += 1;
        }
        self.say(&Answer::End { bucket: of, files: count }.to_message());
    }

    /// A scan ends, an hour later; everything that is asked is answered. How many requests that were.
    fn scan(&mut self) -> usize {
        self.now += 3600;
        self.say(b"syscheck-db-completed");
        self.exchange()
    }

    /// Everything that is asked is answered.
    fn exchange(&mut self) -> usize {
        let mut asked = 0;
        loop {
            let requests = self.store.take_requests();
            if requests.is_empty() {
                return asked;
            }
            for (location, request) in requests {
                assert_eq!(location, WEB);
                asked += 1;
                self.answer(request);
            }
        }
    }

    fn clear(&mut self) {
        for name in ["(web01) any->syscheck", ".(web01) any->syscheck.cpt"] {
            std::fs::remove_file(self._folder.path().join(name)).unwrap();
        }
    }
}

#[test]
fn a_digest_that_comes_while_a_baseline_is_being_cleared_leads_to_silence() {
    let mut bench = Bench::new();
    for path in ["/a", "/b", "/c"] {
        bench.file(path, A, true);
    }
    bench.scan();
    // The marker goes next.
    std::fs::remove_file(bench._folder.path().join("(web01) any->syscheck")).unwrap();
    bench.now += 61;
    bench.scan();
    assert_eq!(bench.events, []);
}

#[test]
fn what_the_manager_missed_becomes_events_and_what_is_gone_is_deleted() {
    let mut bench = Bench::new();
    for path in ["/a", "/b", "/c"] {
        bench.file(path, A, true);
    }
    assert_eq!(bench.scan(), 1, "the digest, which is the same");
    assert_eq!(bench.events, []);
    bench.file("/a", B, false);
    bench.file("/new", A, false);
    bench.files.remove("/c");
    assert_eq!(bench.scan(), 2);
    bench.events.sort_by(|a, b| a.1.cmp(&b.1));
    let expected = [
        (FimKind::Changed, "/a".to_owned()),
        (FimKind::Deleted, "/c".to_owned()),
        (FimKind::New, "/new".to_owned()),
    ];
    assert_eq!(bench.events, expected);
    assert_eq!(bench.scan(), 1, "in agreement");
    assert_eq!(bench.events.len(), 3);
}

#[test]
fn a_baseline_that_was_cleared_comes_back_in_silence() {
    let mut bench = Bench::new();
    let paths: Vec<String> = (0..500).map(|n| format!("/f{n}")).collect();
    paths.iter().for_each(|path| bench.file(path, A, true));
    assert_eq!(bench.scan(), 1);
    bench.clear();
    assert!(bench.scan() > 1);
    assert_eq!(bench.events, []);
    bench.file("/f7", B, true);
    bench.file("/later", A, true);
    let expected = [(FimKind::Changed, "/f7".to_owned()), (FimKind::New, "/later".to_owned())];
    assert_eq!(bench.events, expected);
}

#[test]
fn a_clear_in_the_middle_of_a_message_is_noticed_with_the_next_one() {
    let mut bench = Bench::new();
    bench.file("/a", A, true);
    bench.scan();
    // A digest that agrees with the old baseline; before its verdict is noted the administrator clears it.
    bench.store.refresh(WEB).unwrap();
    bench.clear();
    bench.store.mark_completed(WEB).unwrap();
    bench.store.flush().unwrap();
    assert!(bench.scan() > 1);
    assert_eq!(bench.events, []);
}

#[test]
fn a_clear_in_the_middle_of_a_listing_leads_to_another_one_in_silence() {
    let mut bench = Bench::new();
    let paths: Vec<String> = (0..40).map(|n| format!("/f{n}")).collect();
    paths.iter().for_each(|path| bench.file(path, A, true));
    bench.scan();
    paths.iter().for_each(|path| bench.file(path, B, false));
    bench.now += 3600;
    bench.say(b"syscheck-db-completed");
    bench.store.take_requests();
    bench.answer(Request::Digest);
    let requests = bench.store.take_requests();
    let [(_, Request::Resend(buckets))] = &requests[..] else { panic!("{requests:?}") };
    for (number, bucket) in buckets.iter().enumerate() {
        if number == 10 {
            bench.events.clear();
            bench.clear();
        }
        bench.list(bucket);
    }
    // The tool asks, too.
    bench.now += 10;
    bench.answer(Request::Digest);
    assert!(bench.exchange() > 0);
    assert_eq!(bench.events, []);
    assert_eq!(bench.scan(), 1, "in agreement");
    bench.file("/later", A, true);
    assert_eq!(bench.events, [(FimKind::New, "/later".to_owned())]);
}

#[test]
fn a_host_that_never_answers_is_not_awaited_for_ever() {
    let mut bench = Bench::new();
    bench.say(b"syscheck-db-completed");
    bench.file("/a", A, true);
    assert_eq!(bench.events, [], "within patience: what a first scan brings");
    bench.now += 700;
    bench.file("/b", A, true);
    assert_eq!(bench.events, [(FimKind::New, "/b".to_owned())]);
}

#[test]
fn a_host_without_files_is_complete_by_its_digest() {
    let mut bench = Bench::new();
    assert_eq!(bench.scan(), 1);
    bench.file("/a", A, true);
    assert_eq!(bench.events, [(FimKind::New, "/a".to_owned())]);
}

#[test]
fn what_can_never_agree_is_asked_for_once() {
    let mut bench = Bench::new();
    bench.file("/a", A, true);
    bench.file("/ignored/x", A, true);
    assert_eq!((bench.scan(), bench.scan(), bench.scan()), (2, 1, 1));
    bench.file("/ignored/x", B, true);
    assert_eq!((bench.scan(), bench.scan()), (2, 1), "its bucket is another now");
    assert_eq!(bench.events, []);
}

#[test]
fn unasked_listings_delete_nothing_and_a_flood_of_digests_is_passed_over() {
    let mut bench = Bench::new();
    bench.file("/a", A, true);
    bench.scan();
    bench.files.clear();
    bench.list(bucket(b"/a"));
    assert_eq!(bench.events, []);
    let digest = Collector::default().finish().to_message();
    bench.now += 100;
    bench.say(&digest);
    assert_eq!(bench.store.take_requests().len(), 1);
    assert_eq!(bench.say(&digest), Outcome::Swallowed(Reason::Answer));
    assert_eq!(bench.store.take_requests().len(), 0);
    let mut one = Buckets::default();
    one.insert(bucket(b"/a"));
    bench.answer(Request::Resend(one));
    assert_eq!(bench.events, [(FimKind::Deleted, "/a".to_owned())]);
}

#[test]
fn a_registry_is_never_asked() {
    let mut bench = Bench::new();
    let location = b"(web01) any->syscheck-registry";
    bench.store.process(location, b"syscheck-db-completed", 5000).unwrap();
    let digest = Collector::default().finish().to_message();
    bench.store.process(location, &digest, 5000).unwrap();
    assert_eq!(bench.store.take_requests(), []);
}

#[test]
fn many_hosts_that_disagree_at_once_take_turns() {
    let mut bench = Bench::new();
    bench.file("/a", A, false);
    let mut collector = Collector::default();
    collector.add(b"/a", A.as_bytes());
    let digest = collector.finish().to_message();
    let location = |n: usize| format!("(h{n}) any->syscheck").into_bytes();
    let say = |store: &mut FimStore, n: usize, message: &[u8]| {
        store.process(&location(n), message, 1000).unwrap();
        store.take_requests()
    };
    let hosts = super::MAX_AT_ONCE + 2;
    let asked: Vec<usize> = (0..hosts).map(|n| say(&mut bench.store, n, &digest).len()).collect();
    assert_eq!(asked.iter().sum::<usize>(), super::MAX_AT_ONCE);
    let at = bucket(b"/a");
    say(&mut bench.store, 0, &Answer::Begin(at).to_message());
    say(&mut bench.store, 0, format!("{A} /a").as_bytes());
    let asked = say(&mut bench.store, 0, &Answer::End { bucket: at, files: 1 }.to_message());
    assert_eq!(asked, [(location(super::MAX_AT_ONCE), Request::Digest)]);
    let asked = say(&mut bench.store, super::MAX_AT_ONCE, &digest);
    assert!(matches!(asked[..], [(_, Request::Resend(_))]), "{asked:?}");
}
