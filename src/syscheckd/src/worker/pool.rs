//! Threads that look at files for a scan that need not spare the machine.
//!
//! A disk answers many questions at once, a processor has several cores: one thread alone would wait most of the time. What a look came to
//! goes back to the worker, which tells it in the order of the walk. The threads live as long as the scan.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::fs::{Stat, fstat, stat};
use settings::CheckOptions;

use crate::look::{Besides, Sight, look};

/// Looks that are asked for and not told of yet.
pub(super) const AHEAD: usize = 256;
/// Looks that one thread takes at a time, when there are many.
const AT_ONCE: usize = 8;
/// Threads for each core: while some wait for the disk, others compute.
const PER_CORE: usize = 4;
/// No disk is faster with more.
const MOST: usize = 16;

/// A folder that is gone through.
pub(super) struct Opened {
    pub fd: OwnedFd,
    /// Where it was when it was opened.
    pub path: Vec<u8>,
}

impl Opened {
    /// Whether it still bears this path.
    pub(super) fn is_there(&self) -> bool {
        let place = |stat: Stat| (stat.st_dev, stat.st_ino);
        let (here, there) = (fstat(&self.fd), stat(self.path.as_slice()));
        matches!((here, there), (Ok(here), Ok(there)) if place(here) == place(there))
    }
}

/// A file to be looked at.
pub(super) struct Item {
    /// Comes back with what was seen.
    pub number: u64,
    pub folder: Arc<Opened>,
    pub name: Vec<u8>,
    pub options: CheckOptions,
}

/// What was seen.
pub(super) struct Seen {
    pub number: u64,
    /// `None` when the folder was moved meanwhile: it may be of a file at another path.
    pub sight: Option<io::Result<Sight>>,
}

/// The threads. Dropping it gives up what is being read, and waits for their end.
pub(super) struct Pool {
    items: Option<Sender<Item>>,
    seen: Receiver<Vec<Seen>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// How many threads there are to be: `wanted`, or what suits the machine if that is 0.
pub(super) fn threads(wanted: usize) -> usize {
    match wanted {
        0 => thread::available_parallelism().map_or(1, |cores| cores.get() * PER_CORE).min(MOST),
        wanted => wanted,
    }
}

impl Pool {
    /// Starts so many threads, or as many as the system has; `None` when it has none.
    pub(super) fn start(wanted: usize) -> Option<Self> {
        let (items, items_in) = bounded::<Item>(AHEAD);
        // It never holds more than was asked for.
        let (seen_out, seen) = bounded(AHEAD);
        let stop = Arc::new(AtomicBool::new(false));
        let start = |_| {
            let (items, seen, stop) = (items_in.clone(), seen_out.clone(), stop.clone());
            let work = move || work(&items, &seen, wanted, &stop);
            thread::Builder::new().name("reader".to_owned()).spawn(work).ok()
        };
        let threads: Vec<_> = (0..wanted).map_while(start).collect();
        (!threads.is_empty()).then_some(Self { items: Some(items), seen, stop, threads })
    }

    /// Asks for a look. The caller sees to it that no more than [`AHEAD`] are asked for.
    pub(super) fn ask(&self, item: Item) {
        // The threads go on as long as we do: a panic ends the whole process.
        let _ = self.items.as_ref().map(|items| items.send(item));
    }

    /// What was seen.
    pub(super) fn seen(&self) -> &Receiver<Vec<Seen>> {
        &self.seen
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.items = None;
        for thread in self.threads.drain(..) {
            // A panic has been printed already.
            let _ = thread.join();
        }
    }
}

/// Looks at one item after the other; takes several when there are enough for all threads.
fn work(items: &Receiver<Item>, seen: &Sender<Vec<Seen>>, threads: usize, stop: &AtomicBool) {
    let stopped = || stop.load(Ordering::Relaxed);
    let mut taken = Vec::with_capacity(AT_ONCE);
    while let Ok(item) = items.recv() {
        taken.push(item);
        let more = (items.len() / threads.max(1)).min(AT_ONCE - 1);
        taken.extend(items.try_iter().take(more));
        let mut sights = Vec::with_capacity(taken.len());
        for item in taken.drain(..) {
            if stopped() {
                return;
            }
            let Item { number, folder, name, options } = item;
            let sight = look(&folder.fd, &name, &options, Besides::default(), &mut || !stopped());
            sights.push((folder, Seen { number, sight: Some(sight) }));
        }
        let sights = drop_moved(sights);
        if seen.send(sights).is_err() {
            return;
        }
    }
}

/// Drops what was seen in folders that were moved. Files of a folder come together.
fn drop_moved(sights: Vec<(Arc<Opened>, Seen)>) -> Vec<Seen> {
    let mut last: Option<(Arc<Opened>, bool)> = None;
    let keep = |(folder, mut seen): (Arc<Opened>, Seen)| {
        let known = last.as_ref().filter(|(last, _)| Arc::ptr_eq(last, &folder));
        let is_there = known.map_or_else(|| folder.is_there(), |(_, is_there)| *is_there);
        if !is_there {
            seen.sight = None;
        }
        last = Some((folder, is_there));
        seen
    };
    sights.into_iter().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    fn options() -> CheckOptions {
        CheckOptions { size: true, sha256: true, ..CheckOptions::default() }
    }

    fn open(path: &Path) -> Arc<Opened> {
        let fd = OwnedFd::from(fs::File::open(path).unwrap());
        Arc::new(Opened { fd, path: path.to_str().unwrap().as_bytes().to_vec() })
    }

    fn ask(pool: &Pool, folder: &Arc<Opened>, names: impl IntoIterator<Item = String>) {
        for (number, name) in (0..).zip(names) {
            let (folder, name) = (folder.clone(), name.into_bytes());
            pool.ask(Item { number, folder, name, options: options() });
        }
    }

    #[test]
    fn each_look_that_was_asked_for_comes_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let names = || (0..AHEAD).map(|n| format!("f{n}"));
        for name in names().skip(1) {
            fs::write(folder.path().join(&name), &name).unwrap();
        }
        let opened = open(folder.path());
        let pool = Pool::start(3).unwrap();
        ask(&pool, &opened, names());
        let mut numbers = BTreeSet::new();
        while numbers.len() < AHEAD {
            for Seen { number, sight } in pool.seen().recv().unwrap() {
                assert!(numbers.insert(number));
                match sight.unwrap() {
                    Ok(Sight::File { attributes, .. }) => {
                        let len = format!("f{number}").len() as u64;
                        assert_eq!(attributes.size, Some(len));
                    }
                    other => assert!(number == 0 && other.is_err(), "{number}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_was_seen_in_a_folder_that_was_moved_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
        fs::create_dir(&old).unwrap();
        fs::write(old.join("f"), "f").unwrap();
        let opened = open(&old);
        fs::rename(&old, &new).unwrap();
        let pool = Pool::start(1).unwrap();
        ask(&pool, &opened, ["f".to_owned()]);
        assert!(pool.seen().recv().unwrap().iter().all(|seen| seen.sight.is_none()));
        ask(&pool, &open(&new), ["f".to_owned()]);
        assert!(pool.seen().recv().unwrap().iter().all(|seen| seen.sight.is_some()));
    }

    #[test]
    fn a_huge_file_is_given_up_when_the_scan_is() {
        let folder = tempfile::tempdir().unwrap();
        // It takes hours to read.
        fs::File::create(folder.path().join("f")).unwrap().set_len(1 << 42).unwrap();
        let opened = open(folder.path());
        let pool = Pool::start(2).unwrap();
        ask(&pool, &opened, ["f".to_owned()]);
        drop(pool);
    }

    #[test]
    fn there_are_as_many_threads_as_suit_the_machine() {
        assert_eq!(threads(3), 3);
        assert!((1..=MOST).contains(&threads(0)));
    }
}
