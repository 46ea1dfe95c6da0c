//! Walking: through entries, folders and files, beside what is remembered of them.
//!
//! Folders come in the order of their paths, part by part, files of a folder in the order of their names: so that two walks through the same
//! tree are the same walk, one that was cut short can go on, and the baseline grows at its end.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Dir, FileType};

use super::course::{Course, Folder, Step};
use super::hand::{Hand, Stopped};
use super::pool::{Opened, Pool};
use super::{News, Place, Scan, Scope};
use crate::baseline::{Mark, Reader};
use crate::look::{
    Besides, Glance, Sight, glance, is_gone, look, open_below, open_parent, open_root,
};
use crate::plan::{Entry, Plan, is_below, join, relative, split};

/// Longer paths are not descended into: their messages could not be sent.
const MAX_PATH: usize = 12_000;
/// How often a scan says how far it is.
const SAY_PLACE: Duration = Duration::from_secs(5);

/// How a walk goes about it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Watches folders only.
    WatchOnly,
    /// Without rests.
    Brisk,
    /// With rests.
    Rests,
}

/// One walk.
pub(super) struct Walk<'a> {
    pub(super) hand: &'a mut Hand,
    pace: Pace,
    remembered: Option<Reader>,
    /// Of the one growing file that is looked at.
    pub(super) size_before: Option<u64>,
    from: Option<Place>,
    /// Folders that were gone through, by a hash of their paths.
    met: HashSet<u64, Plain>,
    /// Folders that could not be looked into: nothing is known of what is below them.
    blind: Vec<Vec<u8>>,
    hasher: std::collections::hash_map::RandomState,
    said: Instant,
    /// Threads that look at files for it, if there are any.
    pub(super) pool: Option<Pool>,
    /// In the middle of an entry.
    walking: bool,
}

/// The keys are hashes already.
type Plain = std::hash::BuildHasherDefault<Same>;

#[derive(Default)]
pub(super) struct Same(u64);

impl std::hash::Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// What a look at a name came to.
pub(super) enum Found {
    /// News were sent, or there are none.
    Told,
    /// Another thread looks at it.
    Asked,
    /// A folder.
    Folder,
    /// Nothing that counts as a file.
    Nothing,
    /// The folder was moved meanwhile: what was seen may be of another path.
    Moved,
}

impl<'a> Walk<'a> {
    /// A walk that remembers nothing: every file is read.
    pub(super) fn plain(hand: &'a mut Hand, pace: Pace) -> Self {
        Self {
            hand,
            pace,
            remembered: None,
            size_before: None,
            from: None,
            met: HashSet::default(),
            blind: Vec::new(),
            hasher: std::collections::hash_map::RandomState::new(),
            said: Instant::now(),
            pool: None,
            walking: false,
        }
    }

    pub(super) fn of_scan(hand: &'a mut Hand, scan: Scan) -> Self {
        let pace = if scan.rests { Pace::Rests } else { Pace::Brisk };
        let threads = hand.threads(pace);
        let pool = (threads > 0).then(|| Pool::start(threads)).flatten();
        let plain = Self::plain(hand, pace);
        Self { remembered: Some(scan.remembered), from: scan.from, pool, ..plain }
    }

    pub(super) fn entries(&mut self, scope: Scope) -> Result<(), Stopped> {
        let plan = self.hand.plan.clone();
        // An entry that is gone from the settings is no place to go on from.
        let from = self.from.take();
        let from = from.filter(|from| plan.entries().iter().any(|entry| entry.path == from.entry));
        let first = from.as_ref().map(|from| from.entry.clone());
        let is_done = |entry: &&Entry| first.as_ref().is_some_and(|first| *first != entry.path);
        let done = plan.entries().iter().take_while(is_done).count();
        for entry in plan.entries().iter().take(done) {
            self.remember_below(&entry.path, None);
        }
        for entry in plan.entries().iter().skip(done) {
            self.from = from.clone().filter(|from| from.entry == entry.path);
            if let Some(from) = &self.from {
                let folder = from.folder.clone();
                self.remember_below(&entry.path, Some(&folder));
            }
            if scope == Scope::All || entry.options.realtime {
                self.visit(entry, &entry.path)?;
            }
        }
        Ok(())
    }

    /// Looks at remembered files in folders that the walk did not come to.
    pub(super) fn what_was_not_met(&mut self, scope: Scope) -> Result<(), Stopped> {
        let Some(remembered) = self.remembered.take() else { return Ok(()) };
        let plan = self.hand.plan.clone();
        for folder in remembered.folders_below(b"/") {
            let met = self.met.contains(&self.hasher.hash_one(&folder));
            let blind = self.blind.iter().any(|blind| *blind == folder || is_below(blind, &folder));
            if met || blind {
                continue;
            }
            for (name, _) in remembered.folder(&folder) {
                if self.hand.is_abandoned() {
                    return Ok(());
                }
                let path = join(&folder, &name);
                let of_scope = |entry: &Entry| scope == Scope::All || entry.options.realtime;
                match plan.entry_for(&path) {
                    // It was visited by itself.
                    Some(entry) if entry.path == path => {}
                    Some(entry) if of_scope(entry) => self.look_anew(&path)?,
                    Some(_) => {}
                    None => self.hand.tell(News::Unwanted(path))?,
                }
                self.hand.rest_if_due(self.pace)?;
            }
        }
        Ok(())
    }

    pub(super) fn look_anew(&mut self, path: &[u8]) -> Result<(), Stopped> {
        let plan = self.hand.plan.clone();
        match plan.entry_for(path) {
            Some(entry) => self.visit(entry, path),
            None => self.hand.tell(News::Unwanted(path.to_vec())),
        }
    }

    /// Looks at a path of an entry, or at all below it.
    fn visit(&mut self, entry: &Entry, path: &[u8]) -> Result<(), Stopped> {
        let is_root = path == entry.path;
        if is_root && entry.options.realtime {
            // A file has no watch of its own, and a folder may be made anew: their own folder's events tell.
            self.hand.watch(split(path).0);
        }
        // A configured link to a folder is entered, one that was found is not.
        if is_root && open_root(path).is_ok() {
            if self.pace != Pace::WatchOnly {
                self.hand.tell(News::Gone(path.to_vec()))?;
            }
            return self.walk(entry, path);
        }
        if self.pace == Pace::WatchOnly {
            return Ok(());
        }
        let found = match self.find(entry, path)? {
            Found::Moved => self.find(entry, path)?,
            found => found,
        };
        match found {
            Found::Folder => {
                self.hand.tell(News::Gone(path.to_vec()))?;
                if entry.options.no_recurse { Ok(()) } else { self.walk(entry, path) }
            }
            Found::Nothing => self.hand.tell(News::Gone(path.to_vec())),
            // What is moved again and again will be told of when it rests.
            Found::Told | Found::Asked | Found::Moved => Ok(()),
        }
    }

    /// Looks at a path, from the entry's root.
    fn find(&mut self, entry: &Entry, path: &[u8]) -> Result<Found, Stopped> {
        match open_parent(entry, path) {
            Ok((folder, name)) => {
                let known = self.remembered.as_ref().and_then(|known| known.file(path));
                let folder = Opened { fd: folder, path: split(path).0.to_vec() };
                self.look_at(entry, &Arc::new(folder), name, path, known, None)
            }
            Err(error) if is_gone(&error) => Ok(Found::Nothing),
            Err(error) => {
                log::warn!("Error accessing '{}': {error}", String::from_utf8_lossy(path));
                Ok(Found::Told)
            }
        }
    }

    fn walk(&mut self, entry: &Entry, folder: &[u8]) -> Result<(), Stopped> {
        let outer = std::mem::replace(&mut self.walking, true);
        // In the middle of another walk the threads are busy with that one.
        let busy = if outer { self.pool.take() } else { None };
        let walked = self.walk_through(entry, folder);
        self.walking = outer;
        self.pool = self.pool.take().or(busy);
        walked
    }

    /// Walks through a folder and all below it. Open descriptors do not add up: a folder is opened from the entry's root each time.
    fn walk_through(&mut self, entry: &Entry, folder: &[u8]) -> Result<(), Stopped> {
        let mut course = Course::from(folder);
        while let Some(folder) = self.next_folder(entry, &mut course)? {
            if let Err(error) = self.walk_folder(entry, &folder, &mut course)?
                && !is_gone(&error)
            {
                let path = String::from_utf8_lossy(&folder);
                log::warn!("Error opening directory: '{path}': {error}");
                self.blind.push(folder);
            }
        }
        Ok(())
    }

    fn walk_folder(
        &mut self,
        entry: &Entry,
        folder: &[u8],
        course: &mut Course,
    ) -> Result<io::Result<()>, Stopped> {
        let opened =
            open_root(&entry.path).and_then(|root| open_below(root, relative(&entry.path, folder)));
        let opened = match opened {
            Ok(fd) => Arc::new(Opened { fd, path: folder.to_vec() }),
            Err(error) => return Ok(Err(error)),
        };
        let plan = self.hand.plan.clone();
        if plan.skip_nfs && is_network(&opened.fd) {
            self.blind.push(folder.to_vec());
            return Ok(Ok(()));
        }
        if is_kernel_view(&opened.fd) && !is_of_kernel_view(entry) {
            // What is remembered below is looked at: something was mounted over it.
            let path = String::from_utf8_lossy(folder);
            log::debug!("not entered, since the kernel makes it up: '{path}'");
            return Ok(Ok(()));
        }
        if entry.options.realtime {
            self.hand.watch(folder);
        }
        let listing = match list(&opened.fd, &plan, entry, folder) {
            Ok(listing) => listing,
            Err(error) => return Ok(Err(error)),
        };
        let done = self.from.as_ref().is_some_and(|from| !is_before(&from.folder, folder));
        let mut known = self.known_of(folder);
        let mut below = Vec::new();
        for (name, kind) in &listing {
            let known = known.remove(name);
            let was_known = known.is_some();
            let path = join(folder, name);
            let looks = self.pace != Pace::WatchOnly && !done;
            let found = match *kind {
                FileType::Directory => Found::Folder,
                FileType::RegularFile | FileType::Symlink | FileType::Unknown if looks => {
                    let found = self.look_at(entry, &opened, name, &path, known, Some(course))?;
                    self.hand.rest_if_due(self.pace)?;
                    found
                }
                FileType::Unknown if matches!(glance(&opened.fd, name), Ok(Glance::Folder)) => {
                    Found::Folder
                }
                _ => Found::Nothing,
            };
            below.extend(self.found(entry, path, looks && was_known, found)?);
            if self.hand.is_abandoned() {
                return Ok(Ok(()));
            }
        }
        // The last in is the first out.
        course.folders.extend(below.into_iter().rev());
        let names = listing.into_iter().map(|(name, _)| name).collect();
        let folder = Folder { opened, names, missing: known, done };
        self.end_in_turn(entry, folder, course)?;
        Ok(Ok(()))
    }

    /// What follows from a look at a listed name; gives the path back if it is a folder to be entered.
    pub(super) fn found(
        &mut self,
        entry: &Entry,
        path: Vec<u8>,
        was_known: bool,
        found: Found,
    ) -> Result<Option<Vec<u8>>, Stopped> {
        if matches!(found, Found::Moved) {
            self.look_anew(&path)?;
            return Ok(None);
        }
        if was_known && matches!(found, Found::Folder | Found::Nothing) {
            self.hand.tell(News::Gone(path.clone()))?;
        }
        let enters = matches!(found, Found::Folder) && !entry.options.no_recurse;
        Ok((enters && self.may_enter(&path)).then_some(path))
    }

    /// All files of a folder were told.
    pub(super) fn end_folder(&mut self, entry: &Entry, folder: Folder) -> Result<(), Stopped> {
        let Folder { opened, names, missing, done } = folder;
        let path = &opened.path;
        if !done {
            self.look_at_missing(path, missing.into_keys())?;
            if self.pace != Pace::WatchOnly && !opened.is_there() {
                // It was moved meanwhile: what was said of its files was said under a path that is not theirs.
                self.look_at_missing(path, names.into_iter())?;
            }
        }
        self.say_place(entry, path.clone())
    }

    /// What is remembered of a folder's files, which counts as met from now on.
    fn known_of(&mut self, folder: &[u8]) -> BTreeMap<Vec<u8>, Mark> {
        let Some(remembered) = &self.remembered else { return BTreeMap::new() };
        self.met.insert(self.hasher.hash_one(folder));
        remembered.folder(folder).into_iter().collect()
    }

    /// Files that are remembered and were not listed.
    fn look_at_missing(
        &mut self,
        folder: &[u8],
        missing: impl Iterator<Item = Vec<u8>>,
    ) -> Result<(), Stopped> {
        let plan = self.hand.plan.clone();
        for name in missing {
            let path = join(folder, &name);
            // Another entry's own file is visited by itself.
            if !plan.entries().iter().any(|entry| entry.path == path) {
                self.look_anew(&path)?;
            }
        }
        Ok(())
    }

    /// Counts an entry's folders as met, those at or before a place.
    fn remember_below(&mut self, entry: &[u8], upto: Option<&[u8]>) {
        let Some(remembered) = &self.remembered else { return };
        for folder in remembered.folders_below(entry) {
            if upto.is_none_or(|upto| !is_before(upto, &folder)) {
                self.met.insert(self.hasher.hash_one(&folder));
            }
        }
    }

    fn may_enter(&self, path: &[u8]) -> bool {
        if path.len() > MAX_PATH {
            let start = String::from_utf8_lossy(path.get(..200).unwrap_or_default());
            log::warn!("Directory too deep, not entered: '{start}...' ({} bytes).", path.len());
            return false;
        }
        // What lies wholly before the place to go on from is done.
        self.from.as_ref().is_none_or(|from| {
            *path == *from.folder || is_below(path, &from.folder) || is_before(&from.folder, path)
        })
    }

    fn say_place(&mut self, entry: &Entry, folder: Vec<u8>) -> Result<(), Stopped> {
        self.hand.progress.add(&self.hand.progress.folders, 1);
        if self.remembered.is_none() || self.said.elapsed() < SAY_PLACE {
            return Ok(());
        }
        self.said = Instant::now();
        self.hand.tell(News::Reached(Place { entry: entry.path.clone(), folder }))
    }

    /// Looks at one name in a folder and tells what is to be told of a file; with a course other threads may do it in their turn.
    fn look_at(
        &mut self,
        entry: &Entry,
        folder: &Arc<Opened>,
        name: &[u8],
        path: &[u8],
        known: Option<Mark>,
        course: Option<&mut Course>,
    ) -> Result<Found, Stopped> {
        self.hand.supersede(path);
        if !entry.wants(path) {
            return match glance(&folder.fd, name) {
                Ok(Glance::Folder) => Ok(Found::Folder),
                _ => self.told(News::Unwanted(path.to_vec())),
            };
        }
        let now = runtime::clock::now();
        let progress = self.hand.progress.clone();
        progress.add(&progress.files, 1);
        let was_known = known.is_some();
        if let Some(known) = known
            && known.options == entry.fingerprint
            && !self.hand.plan.is_due(path, known.read_at, now)
        {
            match glance(&folder.fd, name) {
                Ok(Glance::Folder) => return Ok(Found::Folder),
                Ok(Glance::File(stamp)) if stamp == known.stamp => {
                    progress.add(&progress.unchanged, 1);
                    return Ok(Found::Told);
                }
                _ => {}
            }
        }
        let plan = self.hand.plan.clone();
        let content = plan.keeps(entry, path);
        self.hand.begins(path);
        if let (Some(pool), Some(course)) = (&self.pool, course)
            && !entry.options.growing
            && content.is_none()
            && plan.prefilter.is_none()
        {
            pool.ask(course.item(folder.clone(), name.to_vec(), entry.options));
            course.steps.push_back(Step::Look { was_known, now });
            self.keep_course(entry, course)?;
            return Ok(Found::Asked);
        }
        let prefix = entry.options.growing.then(|| self.size_before(path)).flatten();
        let filter = plan.prefilter.as_ref().map(|filter| (filter, path));
        let besides = Besides { content, prefix, filter };
        let (pace, hand) = (self.pace, &mut *self.hand);
        let mut pause = || hand.rest_within_file(pace).is_ok();
        let sight = look(&folder.fd, name, &entry.options, besides, &mut pause);
        if self.hand.ended_last() {
            return Ok(Found::Told);
        }
        if !folder.is_there() {
            return Ok(Found::Moved);
        }
        self.saw(entry, path, now, sight)
    }

    /// Tells what was seen of a file.
    pub(super) fn saw(
        &mut self,
        entry: &Entry,
        path: &[u8],
        now: i64,
        sight: io::Result<Sight>,
    ) -> Result<Found, Stopped> {
        match sight {
            Ok(Sight::Stopped) => Err(Stopped),
            Ok(Sight::Folder) => Ok(Found::Folder),
            Ok(Sight::Special) => Ok(Found::Nothing),
            Ok(Sight::File { attributes, stamp, content, prefix, read, unreadable }) => {
                self.hand.progress.add(&self.hand.progress.bytes, read);
                if let Some(error) = &unreadable {
                    let path = String::from_utf8_lossy(path);
                    log::warn!("Unable to read file '{path}' for checksum: {error}");
                }
                let unreadable = unreadable.is_some();
                // What could not be read is tried again each time.
                let stamp = if unreadable { 0 } else { stamp };
                let read_at = u32::try_from(now).unwrap_or(u32::MAX);
                let mark = Mark { stamp, read_at, options: entry.fingerprint };
                let path = path.to_vec();
                self.told(News::File { path, attributes, mark, unreadable, prefix, content })
            }
            Err(error) if is_gone(&error) => Ok(Found::Nothing),
            Err(error) => {
                log::warn!("Error accessing '{}': {error}", String::from_utf8_lossy(path));
                Ok(Found::Told)
            }
        }
    }

    fn size_before(&self, path: &[u8]) -> Option<u64> {
        self.size_before.or_else(|| self.remembered.as_ref()?.size(path))
    }

    fn told(&mut self, news: News) -> Result<Found, Stopped> {
        self.hand.tell(news).map(|()| Found::Told)
    }
}

/// A folder's names that the plan takes, in order.
fn list(
    opened: &OwnedFd,
    plan: &Plan,
    entry: &Entry,
    folder: &[u8],
) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut names = Vec::new();
    for found in Dir::read_from(opened)? {
        let found = found?;
        let name = found.file_name().to_bytes();
        if name != b"." && name != b".." && plan.takes(entry, &join(folder, name)) {
            names.push((name.to_vec(), found.file_type()));
        }
    }
    names.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(names)
}

/// Whether a walk comes to `one` before `other`: by their parts, a folder before what is below it.
fn is_before(one: &[u8], other: &[u8]) -> bool {
    one.split(|&byte| byte == b'/').lt(other.split(|&byte| byte == b'/'))
}

/// Whether a folder lies on NFS or a Windows share.
fn is_network(folder: &OwnedFd) -> bool {
    is_of(folder, &[0x6969, 0xFF53_4D42, 0xFE53_4D42])
}

/// Whether a folder is no storage but the kernel's view of itself: proc, sysfs, cgroup (both), debugfs, tracefs, securityfs, configfs,
/// bpf, selinuxfs. Below `/` they come along; what they hold changes all the time, and some of it never ends.
fn is_kernel_view(folder: &OwnedFd) -> bool {
    const VIEWS: [u32; 10] = [
        0x9FA0,
        0x6265_6572,
        0x0027_E0EB,
        0x6367_7270,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0x6265_6570,
        0xCAFE_4A11,
        0xF97C_FF8C,
    ];
    is_of(folder, &VIEWS)
}

/// Whether such a folder was asked for by name.
fn is_of_kernel_view(entry: &Entry) -> bool {
    open_root(&entry.path).is_ok_and(|root| is_kernel_view(&root))
}

/// Whether a folder lies on a file system of one of these kinds (statfs(2) numbers).
fn is_of(folder: &OwnedFd, kinds: &[u32]) -> bool {
    let kind = rustix::fs::fstatfs(folder).map(|stat| stat.f_type as u32);
    kind.is_ok_and(|kind| kinds.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_part_by_part() {
        let order = [&b"/a"[..], b"/a/b", b"/a/b/c", b"/a/c", b"/a b", b"/b"];
        for pair in order.windows(2) {
            assert!(is_before(pair[0], pair[1]), "{pair:?}");
            assert!(!is_before(pair[1], pair[0]));
        }
        assert!(!is_before(b"/a", b"/a"));
    }
}
