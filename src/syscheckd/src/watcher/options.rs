//! Options that changed: a file that is looked at by others than before has another sum, and has not changed; what is watched since now is
//! not new, and what is watched no longer is not gone.

use fim::Attributes;
use fim::extra::{self, Extra};
use fim::note::Notes;

use super::Watcher;
use super::message::Message;
use crate::baseline::Record;
use crate::plan::is_below;

/// The entries that a whole scan has been through, each with a NUL behind it, in the baseline.
const ENTRIES: &str = "entries";

impl Watcher {
    /// Compares the plan with what was scanned; a baseline of before this was remembered has been through everything.
    pub(super) fn find_fresh(&mut self) {
        let known = self.baseline.recall(ENTRIES);
        let knows = |path: &[u8]| {
            known.as_ref().is_none_or(|known| {
                let mut known = known.split(|&byte| byte == 0).filter(|one| !one.is_empty());
                known.any(|one| one == path || is_below(one, path))
            })
        };
        let paths = self.plan.entries().iter().map(|entry| &entry.path);
        self.fresh = paths.filter(|path| !knows(path)).cloned().collect();
    }

    /// A whole scan has been through all entries.
    pub(super) fn forget_fresh(&mut self) {
        self.fresh.clear();
        let entries = self.plan.entries().iter().flat_map(|entry| [&*entry.path, b"\0"]);
        self.baseline.remember(ENTRIES, &entries.collect::<Vec<_>>().concat());
    }

    /// Whether a file that is not known was there before we looked, as far as we know.
    pub(super) fn is_fresh(&self, path: &[u8]) -> bool {
        self.fresh.iter().any(|entry| entry == path || is_below(entry, path))
    }

    /// It is watched no longer.
    pub(super) fn unwatch(&mut self, path: Vec<u8>) {
        self.gate.forget(&path);
        self.changes_forget(&path);
        if self.is_managers_baseline_known() && self.baseline.get(&path).is_some() {
            let data = Notes { options: true, ..Notes::default() }.join(None);
            self.say(Message::File { path, record: None, data });
        } else {
            self.baseline.forget(&path);
        }
    }
}

/// Whether only the options make the difference between what was told and what is seen: all that both looks show is the same. That the content
/// is, too, the stamp shows, or a digest that both have. MD5 and SHA-1 may differ even so: `prefilter_cmd` is an option, too.
pub(super) fn make_the_difference(before: &Record, now: &Record) -> bool {
    let has_stamp = before.mark.stamp != 0 && before.mark.stamp == now.mark.stamp;
    let (one, other) = (&before.attributes, &now.attributes);
    before.mark.options != now.mark.options
        && agree(one, other)
        && (has_stamp || has_same_content(one, other))
}

/// But for the digests that a filter may stand before.
fn agree(one: &Attributes, other: &Attributes) -> bool {
    let extras = |of: &Attributes, extra| extra::value(&of.extra, extra).map(<[u8]>::to_vec);
    fits(&one.size, &other.size)
        && fits(&one.mode, &other.mode)
        && fits(&one.uid, &other.uid)
        && fits(&one.gid, &other.gid)
        && fits(&one.sha256, &other.sha256)
        && extra::ALL.into_iter().all(|extra| fits(&extras(one, extra), &extras(other, extra)))
}

/// Equal, or one of them was not looked at.
fn fits<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// As far as both looks made the same digest; a filter stands before MD5 and SHA-1 only.
fn has_same_content(one: &Attributes, other: &Attributes) -> bool {
    let blake3 = extra::value(&one.extra, Extra::Blake3);
    let has_same_md5 = one.md5.is_some() && one.md5 == other.md5;
    let has_same_sha1 = one.sha1.is_some() && one.sha1 == other.sha1;
    one.sha256.is_some() && one.sha256 == other.sha256
        || blake3.is_some() && blake3 == extra::value(&other.extra, Extra::Blake3)
        || has_same_md5 && fits(&one.sha1, &other.sha1)
        || has_same_sha1 && fits(&one.md5, &other.md5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Mark;

    fn record(options: u16, stamp: u64, attributes: Attributes) -> Record {
        Record { attributes, mark: Mark { stamp, read_at: 1, options } }
    }

    fn size(size: u64) -> Attributes {
        Attributes { size: Some(size), ..Attributes::default() }
    }

    fn md5(md5: u8, attributes: Attributes) -> Attributes {
        Attributes { md5: Some([md5; 16]), ..attributes }
    }

    #[test]
    fn what_only_one_look_shows_is_no_difference() {
        let mode =
            Attributes { mode: Some(0o644), extra: b"ino=7".to_vec(), ..Attributes::default() };
        assert!(make_the_difference(&record(1, 5, size(3)), &record(2, 5, mode)));
        assert!(make_the_difference(
            &record(1, 5, md5(1, size(3))),
            &record(2, 6, md5(1, Attributes::default()))
        ));
    }

    #[test]
    fn what_both_looks_show_has_to_be_the_same() {
        let before = record(1, 5, md5(1, size(3)));
        for now in [
            // By the same options.
            record(1, 5, Attributes::default()),
            // It may be another file.
            record(2, 6, size(3)),
            record(2, 0, size(3)),
            record(2, 5, size(4)),
            record(2, 6, md5(2, size(3))),
        ] {
            assert!(!make_the_difference(&before, &now), "{now:?}");
        }
        assert!(
            make_the_difference(&before, &record(2, 5, md5(2, size(3)))),
            "seen through a filter"
        );
        let sha256 = |of| Attributes { sha256: Some([7; 32]), ..of };
        let filtered = record(2, 6, sha256(md5(2, size(3))));
        assert!(make_the_difference(&record(1, 5, sha256(md5(1, size(3)))), &filtered));
        let inode = |inode: &[u8]| Attributes { extra: inode.to_vec(), ..Attributes::default() };
        let (one, other) = (record(1, 5, inode(b"ino=7")), record(2, 5, inode(b"ino=8")));
        assert!(!make_the_difference(&one, &other));
    }
}
