//! What the worker saw, and what is told of it: the one place where a difference becomes a message.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use fim::Attributes;
use fim::Sum;
use fim::change::{Attribute, changes};
use fim::diff;
use fim::extra::{self, Extra};
use fim::note::{Notes, Package, Who};

use super::Watcher;
use super::growing::Growth;
use super::looks::upwards;
use super::message::{Message, sum_of};
use super::options;
use crate::baseline::{Mark, Record};
use crate::hash;
use crate::packages::gate::{Digests, View};
use crate::packages::{Asked, Told};
use crate::worker::{Job, News};

/// News that are taken before the other descriptors get their turn.
const NEWS_PER_TURN: usize = 512;
/// Until then all that a package manager did has come in as events.
const AFTERWARDS: Duration = Duration::from_millis(200);

/// What waits at the gate with a change.
#[derive(Debug)]
pub struct Change {
    record: Option<Record>,
    who: Option<Who>,
    diff: Option<Vec<u8>>,
}

impl Watcher {
    pub(super) fn take_news(&mut self, now: Instant) {
        self.worker.woken();
        self.empty_outbox();
        let looked = self.worker.looked();
        for _ in 0..NEWS_PER_TURN {
            if !self.outbox.is_empty() {
                return;
            }
            let Some(news) = self.worker.news() else { return self.looks.heard(looked) };
            self.digest(news, now);
        }
        // There may be more: do not sleep on them.
        self.next_tick = now;
    }

    fn digest(&mut self, news: News, now: Instant) {
        log::trace!("{news:?}");
        match news {
            News::File { path, attributes, mark, unreadable, prefix, content } => {
                self.counts.unreadable += u64::from(unreadable);
                match self.growth(&path, &attributes, unreadable, prefix) {
                    Growth::Silent => self.grown(path, Record { attributes, mark }),
                    Growth::Unknown(size) => self.jobs.push_back(Job::Growth(path, size)),
                    Growth::None => {
                        self.compare(path, attributes, mark, unreadable, content, now);
                    }
                }
            }
            News::Gone(path) => match self.baseline.get(&path) {
                Some(known) => self.change(path, Some(known), None, None, now),
                None => self.gate.forget(&path),
            },
            News::FolderGone(folder) => {
                let below = self.known_below(&folder);
                self.jobs.extend(below.into_iter().map(Job::Look));
            }
            News::Unwanted(path) => self.unwatch(path),
            News::Reached(place) => self.reached(&place),
            News::ScanEnded { id, complete } if id == self.scans => self.end_scan(complete, now),
            // Of a scan that was given up.
            News::ScanEnded { .. } => {}
        }
    }

    fn compare(
        &mut self,
        path: Vec<u8>,
        mut attributes: Attributes,
        mark: Mark,
        unreadable: bool,
        content: Option<Vec<u8>>,
        now: Instant,
    ) {
        let known = self.baseline.get(&path);
        if unreadable && let Some(Record { attributes: known, .. }) = &known {
            keep_digests(&mut attributes, known);
        }
        let record = Record { attributes, mark };
        let same = |known: &Record| known.attributes.encode() == record.attributes.encode();
        if known.as_ref().is_some_and(same) {
            self.gate.forget(&path);
            if known.is_some_and(|known| known.mark != mark) {
                self.baseline.mark(&path, mark);
            }
            if let Some(content) = content {
                self.changes_remember(&path, &content);
            }
            self.counts.received += 1;
            self.counts.filtered += 1;
        } else if self.is_managers_baseline_known()
            && match &known {
                Some(known) => options::make_the_difference(known, &record),
                None => !self.first && self.is_fresh(&path),
            }
        {
            self.gate.forget(&path);
            if let Some(content) = content {
                self.changes_remember(&path, &content);
            }
            self.say_silently(path, record, Notes { options: true, ..Notes::default() });
        } else {
            self.change(path, known, Some(record), content, now);
        }
    }

    /// A file is not as it was told: tells it, unless a package manager is at work that may vouch for it.
    fn change(
        &mut self,
        path: Vec<u8>,
        known: Option<Record>,
        record: Option<Record>,
        content: Option<Vec<u8>>,
        now: Instant,
    ) {
        let before = known.as_ref().map(|known| known.attributes.encode());
        let after = sum_of(record.as_ref());
        let diff = self.what_changed(&path, before.as_deref(), &after, content);
        let who = self.who.take(&path, now);
        let change = Change { record, who, diff };
        let asked = Asked { path: &path, before: before.as_deref(), now: &after };
        let at_once = match self.first {
            true => Some(change),
            false => self.gate.take(asked, change, now),
        };
        if let Some(change) = at_once {
            self.tell(path, change, None);
        }
    }

    fn tell(&mut self, path: Vec<u8>, change: Change, package: Option<Package>) {
        let Change { record, who, diff } = change;
        self.counts.vouched += u64::from(package.is_some());
        let data = Notes { who, package, ..Notes::default() }.join(diff.as_deref());
        self.say(Message::File { path, record, data });
    }

    /// The lines that changed, of an entry that wants them told.
    fn what_changed(
        &mut self,
        path: &[u8],
        before: Option<&[u8]>,
        after: &[u8],
        content: Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        self.plan.entry_for(path).filter(|entry| entry.options.report_changes)?;
        if self.plan.hides(path) {
            return (before.is_some() && content_differs(before?, after))
                .then(|| diff::NOT_SHOWN.to_vec());
        }
        let content = content?;
        if before.is_some_and(|before| !content_differs(before, after)) {
            self.changes_remember(path, &content);
            return None;
        }
        self.changes.as_mut()?.changed(path, &content)
    }

    fn changes_remember(&mut self, path: &[u8], content: &[u8]) {
        if let Some(changes) = &mut self.changes {
            changes.remember(path, content);
        }
    }

    pub(super) fn changes_forget(&mut self, path: &[u8]) {
        if let Some(changes) = &mut self.changes {
            changes.forget(path);
        }
    }

    /// Tells what the gate lets through.
    pub(super) fn open_gate(&mut self, now: Instant) {
        if !self.outbox.is_empty() {
            return;
        }
        // What was touched while the package manager was at work may change what is told of its files, and so may a further look at
        // one of them. Other paths, that never rest perhaps, keep nobody waiting.
        let is_complete = self.jobs.is_empty()
            && self.gate.done_at().is_none_or(|done| {
                let then = done + AFTERWARDS;
                then <= now && self.settling.began_after(then, now)
            });
        let (settling, looks) = (&self.settling, &self.looks);
        let waits = |path: &[u8]| settling.waits(path) || looks.waits(path);
        let is_open = |path: &[u8]| upwards(path).any(waits);
        let view = View { is_complete, is_open: &is_open, read: &mut digests_of };
        let (told, events) = self.gate.turn(now, view);
        for Told { path, load, package } in told {
            // It may be as it was told by now.
            let known = self.baseline.get(&path);
            // Other settings may not want it any more.
            if self.plan.entry_for(&path).is_some()
                && sum_of(known.as_ref()) != sum_of(load.record.as_ref())
            {
                self.tell(path, load, package);
            }
        }
        for event in events {
            self.say(Message::Log(event));
        }
    }

    /// Puts a message into the queue, or behind those that wait for room.
    pub(super) fn say(&mut self, message: Message) {
        self.counts.received += 1;
        self.outbox.push_back(message);
        self.empty_outbox();
    }

    pub(super) fn empty_outbox(&mut self) {
        while let Some(message) = self.outbox.front() {
            let Ok(number) = self.sender.offer(&message.event(&message.payload())) else { return };
            if let Some(Message::File { path, record, .. }) = self.outbox.pop_front() {
                self.baseline.tell(number, &path, record);
            }
            self.counts.forwarded += 1;
        }
    }
}

/// What could not be read has not changed, as far as we know.
fn keep_digests(now: &mut Attributes, known: &Attributes) {
    (now.md5, now.sha1, now.sha256) = (known.md5, known.sha1, known.sha256);
    if let Some(blake3) = extra::value(&known.extra, Extra::Blake3) {
        let separator: &[u8] = if now.extra.is_empty() { b"" } else { b";" };
        let key = Extra::Blake3.key().as_bytes();
        now.extra = [&now.extra, separator, key, b"=", blake3].concat();
    }
}

/// Whether two sums differ in a digest, or in size.
fn content_differs(before: &[u8], after: &[u8]) -> bool {
    let (Ok(Sum::Present(before)), Ok(Sum::Present(after))) =
        (Sum::parse(before), Sum::parse(after))
    else {
        return true;
    };
    changes(&before, &after).iter().any(|change| {
        use Attribute::{Md5, Sha1, Sha256, Size};
        matches!(change.attribute, Md5 | Sha1 | Sha256 | Size)
    })
}

/// MD5 and SHA-256 of a file as it is now; only of a regular file, and not of a huge one.
fn digests_of(path: &[u8]) -> Option<Digests> {
    use std::os::unix::ffi::OsStrExt;
    const MOST: u64 = 1 << 30;
    let mut options = std::fs::OpenOptions::new();
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file =
        options.read(true).custom_flags(flags).open(std::ffi::OsStr::from_bytes(path)).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > MOST {
        return None;
    }
    let wanted = hash::Wanted { md5: true, sha256: true, ..hash::Wanted::default() };
    let digests = hash::digest(&mut file.take(MOST), wanted, MOST, None, &mut || true).ok()??;
    Some((digests.md5?, digests.sha256?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_what_cannot_be_read_stay() {
        let known = |extra: &[u8]| Attributes { extra: extra.to_vec(), ..Attributes::default() };
        for (now, before, then) in [
            ("ino=1", "ino=1;blake3=ab", "ino=1;blake3=ab"),
            ("", "blake3=ab", "blake3=ab"),
            ("ino=2", "ino=1", "ino=2"),
        ] {
            let mut now = known(now.as_bytes());
            keep_digests(&mut now, &Attributes { md5: Some([7; 16]), ..known(before.as_bytes()) });
            assert_eq!((now.md5, now.extra.as_slice()), (Some([7; 16]), then.as_bytes()));
        }
    }

    #[test]
    fn a_changed_mode_is_no_changed_content() {
        assert!(!content_differs(b"1:33188:0:0:a:b:c", b"1:33152:0:0:a:b:c"));
        assert!(content_differs(b"1:33188:0:0:a:b:c", b"1:33188:0:0:a:b:d"));
        assert!(content_differs(b"1:33188:0:0:a:b:c", b"-1"));
    }
}
